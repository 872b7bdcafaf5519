"""Requests that botocore signs by version 2 are taken in any shape; bent ones are not."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from cenote.s3 import RequestHead, S3Error, authenticate
from cenote.s3.query import read_query
from cenote.s3.sigv2 import SIGNED_PARAMETERS
from cenote.s3.times import read_http_date

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(ACCESS_KEY, SECRET_KEY)
HOST = "127.0.0.1:9000"
BUCKET = "bucket"

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
words = st.one_of(st.sampled_from(HmacV1Auth.QSAOfInterest), st.sampled_from(["prefix", "marker"]))
params = st.dictionaries(words, text, max_size=5)
methods = st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE"])
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
headers = st.dictionaries(
    st.sampled_from(
        ["x-amz-meta-a", "X-Amz-Acl", "x-amz-meta-b-c", "Range", "Content-Type", "Content-MD5"]
    ),
    values.filter(bool),
    max_size=5,
)


def url_of(key: str, query: dict[str, str], host_bucket: bool) -> tuple[str, str]:
    """Return (URL, the path botocore signs)."""
    key = quote(key, safe="/~")
    signed = f"/{BUCKET}/{key}"
    path = f"/{key}" if host_bucket else signed
    encoded = [f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in query.items()]
    tail = f"?{'&'.join(encoded)}" if encoded else ""
    return f"http://{HOST}{path}{tail}", signed


def head_of(method: str, url: str, sent: dict[str, str]) -> RequestHead:
    target = urlsplit(url)
    lowered = {name.lower(): value for name, value in sent.items()}
    lowered.setdefault("host", target.netloc)
    return RequestHead(method, target.path.encode(), target.query.encode(), lowered)


def check(head: RequestHead, now_ms: int, host_bucket: bool = False, **more):
    return authenticate(
        head,
        read_query(head.query),
        keys={ACCESS_KEY: SECRET_KEY}.get,
        now_ms=now_ms,
        host_bucket=BUCKET if host_bucket else None,
        signature_v2=True,
        **more,
    )


def code_of(head: RequestHead, now_ms: int, host_bucket: bool = False) -> str:
    with pytest.raises(S3Error) as refused:
        check(head, now_ms, host_bucket)
    return refused.value.code


def signed(method: str, url: str, sent: dict[str, str], auth_path: str) -> tuple[RequestHead, int]:
    request = AWSRequest(method, url, headers=sent, auth_path=auth_path)
    HmacV1Auth(CREDENTIALS).add_auth(request)
    now_ms = read_http_date(request.headers["Date"])
    assert now_ms is not None
    return head_of(method, url, dict(request.headers)), now_ms


def presigned(method: str, url: str, sent: dict[str, str], auth_path: str) -> tuple[str, int]:
    request = AWSRequest(method, url, headers=sent, auth_path=auth_path)
    HmacV1QueryAuth(CREDENTIALS, expires=60).add_auth(request)
    made = dict(parse_qsl(urlsplit(request.url).query))
    return request.url, int(made["Expires"]) * 1000


@given(methods, text, params, headers, st.booleans())
def test_header_signatures(
    method: str, key: str, query: dict[str, str], sent: dict[str, str], host_bucket: bool
) -> None:
    url, auth_path = url_of(key, query, host_bucket)
    head, now_ms = signed(method, url, sent, auth_path)
    auth = check(head, now_ms, host_bucket)
    assert (auth.access_key, auth.presigned) == (ACCESS_KEY, False)
    assert check(head, now_ms, host_bucket, region="eu-west-1").access_key == ACCESS_KEY


@given(methods, text, params, headers, st.booleans(), st.booleans())
def test_query_signatures(
    method: str,
    key: str,
    query: dict[str, str],
    sent: dict[str, str],
    host_bucket: bool,
    again: bool,
) -> None:
    url, auth_path = url_of(key, query, host_bucket)
    url, end_ms = presigned(method, url, sent, auth_path)
    # Whoever uses the URL may send the headers it was made for once more, or leave them.
    used = {n: v for n, v in sent.items() if again and n != "Range"}
    head = head_of(method, url, used)
    auth = check(head, end_ms, host_bucket)
    assert (auth.access_key, auth.presigned) == (ACCESS_KEY, True)
    assert code_of(head, end_ms + 1, host_bucket) == "AccessDenied"


@given(st.booleans(), st.sampled_from(["uploads", "location", None]))
def test_a_bucket_without_its_slash(by_url: bool, word: str | None) -> None:
    url = f"http://{HOST}/{BUCKET}" + (f"?{word}" if word else "")
    if by_url:
        url, now_ms = presigned("GET", url, {}, f"/{BUCKET}/")
        head = head_of("GET", url, {})
    else:
        head, now_ms = signed("GET", url, {}, f"/{BUCKET}/")
    assert check(head, now_ms).access_key == ACCESS_KEY


def bends(head: RequestHead) -> dict[str, RequestHead]:
    """Return the request with each signed element changed, by the element's name."""
    sent, query = head.headers, dict(parse_qsl(head.query.decode(), keep_blank_values=True))

    def with_headers(**changed: str | None) -> RequestHead:
        merged = {**sent, **{n.replace("_", "-"): v for n, v in changed.items()}}
        kept = {n: v for n, v in merged.items() if v is not None}
        return RequestHead(head.method, head.path, head.query, kept)

    def with_query(**changed: str) -> RequestHead:
        merged = {**query, **{n.replace("_", "-"): v for n, v in changed.items()}}
        encoded = urlencode(merged, quote_via=quote).encode()
        return RequestHead(head.method, head.path, encoded, sent)

    bent = {
        "method": RequestHead("DELETE", head.path, head.query, sent),
        "key": RequestHead(head.method, head.path + b"x", head.query, sent),
        "bucket": RequestHead(head.method, b"/other" + head.path[7:], head.query, sent),
        "sub-resource": with_query(partNumber="2"),
        "added sub-resource": with_query(tagging=""),
        "override": with_query(response_content_type="text/html"),
        "metadata": with_headers(x_amz_meta_a="2"),
        "added header": with_headers(x_amz_copy_source="/bucket/secret"),
        "added parameter": with_query(x_amz_copy_source="/bucket/secret"),
        "added parameter in capitals": with_query(X_Amz_Copy_Source="/bucket/secret"),
    }
    if "authorization" in sent:
        bent |= {
            "type": with_headers(content_type="text/html"),
            "digest": with_headers(content_md5="1B2M2Y8AsgTpgAmY7PhCfg=="),
            "no type": with_headers(content_type=None),
            "no metadata": with_headers(x_amz_meta_a=None),
            "date": with_headers(date="Tue, 27 Mar 2007 19:36:42 +0000"),
            "date in another place": with_headers(date=None, x_amz_date=sent["date"]),
        }
    else:
        bent |= {
            "type": with_query(content_type="text/html"),
            "digest": with_query(content_md5="1B2M2Y8AsgTpgAmY7PhCfg=="),
            "type as a header": with_headers(content_type="text/html"),
            "digest as a header": with_headers(content_md5="1B2M2Y8AsgTpgAmY7PhCfg=="),
            "expiry": with_query(Expires=str(int(query["Expires"]) + 1)),
            "metadata with a line end": with_query(x_amz_meta_a="1\nx-amz-meta-b:2"),
        }
    return bent


SENT = {
    "Content-Type": "text/plain",
    "Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww==",
    "x-amz-meta-a": "1",
}
URL = f"http://{HOST}/{BUCKET}/key?partNumber=1&uploadId=abc"


def both_forms() -> dict[str, tuple[RequestHead, int]]:
    by_header = signed("PUT", URL, dict(SENT), f"/{BUCKET}/key")
    url, end_ms = presigned("PUT", URL, dict(SENT), f"/{BUCKET}/key")
    return {"header": by_header, "url": (head_of("PUT", url, {}), end_ms)}


@pytest.mark.parametrize("form", ["header", "url"])
def test_each_signed_element_is_guarded(form: str) -> None:
    head, now_ms = both_forms()[form]
    assert check(head, now_ms).access_key == ACCESS_KEY
    refusals = {name: code_of(bent, now_ms) for name, bent in bends(head).items()}
    for name, code in refusals.items():
        expected = {"SignatureDoesNotMatch"}
        if name == "date":
            expected = {"RequestTimeTooSkewed"}
        elif form == "url":  # or it contradicts what the URL says of the header
            expected |= {"InvalidArgument"}
        assert code in expected, (name, code)


@given(headers, st.sampled_from(["copy-source", "acl", "meta-a", "tagging", "date"]), values)
def test_nothing_can_be_slipped_into_a_url(sent: dict[str, str], name: str, value: str) -> None:
    """Whatever `x-amz-*` is added to a URL, as header or parameter, breaks its signature."""
    added = f"x-amz-{name}"
    lowered = {n.lower(): v for n, v in sent.items()}
    assume(value and lowered.get(added) != value)
    url, end_ms = presigned("PUT", f"http://{HOST}/{BUCKET}/key", dict(sent), f"/{BUCKET}/key")
    refused = {"SignatureDoesNotMatch", "InvalidArgument"}
    assert code_of(head_of("PUT", url, {added: value}), end_ms) in refused
    if added not in lowered:
        longer = f"{url}&{added}={quote(value, safe='')}"
        assert code_of(head_of("PUT", longer, {}), end_ms) in refused
        assert code_of(head_of("PUT", longer, {added: value}), end_ms) in refused


def test_our_list_holds_botocores() -> None:
    assert set(HmacV1Auth.QSAOfInterest) <= SIGNED_PARAMETERS


def test_the_clock_of_a_header() -> None:
    head, now_ms = both_forms()["header"]
    minute = 60_000
    for skew in (-15 * minute, 15 * minute):
        assert check(head, now_ms + skew).access_key == ACCESS_KEY
    for skew in (-15 * minute - 1, 15 * minute + 1):
        assert code_of(head, now_ms + skew) == "RequestTimeTooSkewed"


def test_the_answer_shows_what_was_signed() -> None:
    head, now_ms = both_forms()["header"]
    request = AWSRequest("PUT", URL, headers=dict(SENT), auth_path=f"/{BUCKET}/key")
    request.headers["Date"] = head.headers["date"]
    signer = HmacV1Auth(CREDENTIALS)
    signer._get_date = lambda: head.headers["date"]  # type: ignore[method-assign]
    expected = signer.canonical_string("PUT", urlsplit(URL), request.headers)
    forged = {**head.headers, "authorization": f"AWS {ACCESS_KEY}:AAAA"}
    with pytest.raises(S3Error) as refused:
        check(RequestHead("PUT", head.path, head.query, forged), now_ms)
    extra = refused.value.extra
    assert extra["StringToSign"] == expected
    assert bytes.fromhex(str(extra["StringToSignBytes"])).decode() == expected
    assert extra["SignatureProvided"] == "AAAA"
