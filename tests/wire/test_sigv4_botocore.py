"""Requests signed by botocore, in any shape it can sign, are taken; bent ones are not."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from cenote.s3 import RequestHead, S3Error, authenticate, presign, sign_request
from cenote.s3.query import read_query
from cenote.s3.stamps import read_stamp

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(ACCESS_KEY, SECRET_KEY)
HOST = "127.0.0.1:9000"

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
methods = st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE"])
params = st.dictionaries(text.filter(lambda n: n and not n.startswith("X-Amz-")), text, max_size=5)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
headers = st.dictionaries(
    st.sampled_from(["x-amz-meta-a", "x-amz-acl", "x-amz-meta-b-c", "range", "content-type"]),
    values,
    max_size=4,
)


def head_of(method: str, url: str, sent: dict[str, str]) -> RequestHead:
    target = urlsplit(url)
    lowered = {name.lower(): value for name, value in sent.items()}
    lowered.setdefault("host", target.netloc)
    return RequestHead(method, target.path.encode(), target.query.encode(), lowered)


def url_of(key: str, query: dict[str, str]) -> str:
    url = f"http://{HOST}/bucket/{quote(key, safe='/~')}"
    encoded = [f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in query.items()]
    return f"{url}?{'&'.join(encoded)}" if encoded else url


def check(head: RequestHead, now_ms: int, **more):
    secrets = {ACCESS_KEY: SECRET_KEY}.get
    return authenticate(head, read_query(head.query), keys=secrets, now_ms=now_ms, **more)


def signed_by_botocore(method: str, url: str, sent: dict[str, str], region: str) -> AWSRequest:
    request = AWSRequest(method, url, headers=sent, data=b"body")
    S3SigV4Auth(CREDENTIALS, "s3", region).add_auth(request)
    return request


regions = st.sampled_from(["us-east-1", "eu-central-1", "auto", "garage"])


@given(methods, text, params, headers, regions)
def test_header_signatures(
    method: str, key: str, query: dict[str, str], sent: dict[str, str], region: str
) -> None:
    assume(not {"AWSAccessKeyId", "Signature"} & set(query))
    url = url_of(key, query)
    request = signed_by_botocore(method, url, sent, region)
    now_ms = read_stamp(request.headers["X-Amz-Date"])
    assert now_ms is not None
    head = head_of(method, url, dict(request.headers))
    assert check(head, now_ms).access_key == ACCESS_KEY
    assert check(head, now_ms, region=region).access_key == ACCESS_KEY


@given(methods, text, params, headers, regions)
def test_query_signatures(
    method: str, key: str, query: dict[str, str], sent: dict[str, str], region: str
) -> None:
    assume(not {"AWSAccessKeyId", "Signature"} & set(query))
    request = AWSRequest(method, url_of(key, query), headers=sent)
    S3SigV4QueryAuth(CREDENTIALS, "s3", region, expires=60).add_auth(request)
    head = head_of(method, request.url, sent)
    now_ms = read_stamp(read_query(head.query)["X-Amz-Date"])
    assert now_ms is not None
    auth = check(head, now_ms)
    assert (auth.access_key, auth.presigned) == (ACCESS_KEY, True)


@given(methods, text, params, headers)
def test_our_signer_signs_as_botocore_does(
    method: str, key: str, query: dict[str, str], sent: dict[str, str]
) -> None:
    url = url_of(key, query)
    request = signed_by_botocore(method, url, sent, "us-east-1")
    now_ms = read_stamp(request.headers["X-Amz-Date"])
    assert now_ms is not None
    ours = sign_request(
        method,
        url,
        sent,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        now_ms=now_ms,
        body_hash=request.headers["X-Amz-Content-SHA256"],
    )
    assert ours["authorization"] == request.headers["Authorization"]


@given(methods, text, headers, st.integers(1, 604_800))
def test_our_presigned_urls_are_botocores(
    method: str, key: str, sent: dict[str, str], expires_s: int
) -> None:
    url = url_of(key, {})
    request = AWSRequest(method, url, headers=sent)
    S3SigV4QueryAuth(CREDENTIALS, "s3", "us-east-1", expires=expires_s).add_auth(request)
    theirs = read_query(urlsplit(request.url).query.encode())
    now_ms = read_stamp(theirs["X-Amz-Date"])
    assert now_ms is not None
    ours = presign(
        method,
        url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        now_ms=now_ms,
        expires_s=expires_s,
        headers=sent,
    )
    assert read_query(urlsplit(ours).query.encode()) == theirs


BENT = {
    "method": lambda h: ("DELETE", h.path, h.query, h.headers),
    "path": lambda h: (h.method, h.path + b"x", h.query, h.headers),
    "slash": lambda h: (h.method, h.path.replace(b"/k", b"//k"), h.query, h.headers),
    "dots": lambda h: (h.method, h.path + b"/../key", h.query, h.headers),
    "case": lambda h: (h.method, h.path.upper(), h.query, h.headers),
    "double encoding": lambda h: (h.method, b"/bucket/ke%2579", h.query, h.headers),
    "parameter": lambda h: (h.method, h.path, h.query + b"&x=1", h.headers),
    "bare parameter": lambda h: (h.method, h.path, h.query + b"&acl", h.headers),
    "parameter gone": lambda h: (
        h.method,
        h.path,
        h.query.replace(b"versionId=null", b""),
        h.headers,
    ),
    "host": lambda h: (h.method, h.path, h.query, {**h.headers, "host": "evil"}),
    "header": lambda h: (h.method, h.path, h.query, {**h.headers, "x-amz-meta-a": "2"}),
    "header gone": lambda h: (
        h.method,
        h.path,
        h.query,
        {n: v for n, v in h.headers.items() if n != "x-amz-meta-a"},
    ),
}


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize("name", BENT)
def test_nothing_that_matters_can_be_bent(name: str, presigned: bool) -> None:
    url = url_of("key", {"versionId": "null"})
    request = AWSRequest("GET", url, headers={"x-amz-meta-a": "1"})
    signer = S3SigV4QueryAuth if presigned else S3SigV4Auth
    signer(CREDENTIALS, "s3", "us-east-1").add_auth(request)
    head = head_of("GET", request.url, dict(request.headers))
    stamp = read_query(head.query).get("X-Amz-Date") or request.headers["X-Amz-Date"]
    now_ms = read_stamp(stamp)
    assert now_ms is not None
    assert check(head, now_ms).access_key == ACCESS_KEY
    with pytest.raises(S3Error) as caught:
        check(RequestHead(*BENT[name](head)), now_ms)
    assert caught.value.code == "SignatureDoesNotMatch"
    assert caught.value.status == 403
    extra = caught.value.extra
    assert extra["AWSAccessKeyId"] == ACCESS_KEY
    assert str(extra["StringToSign"]).startswith("AWS4-HMAC-SHA256\n")
    assert bytes.fromhex(str(extra["CanonicalRequestBytes"])).decode() == extra["CanonicalRequest"]
