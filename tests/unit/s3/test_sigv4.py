"""The rules of SigV4, one refusal each, with the code S3 answers."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from sigv4_lab import (
    EMPTY,
    KEY,
    MINUTE,
    NOW,
    SECRET,
    URL,
    check,
    head,
    link,
    refused,
    rewritten,
    signed,
)

from cenote.s3 import (
    RequestHead,
    UnsignedPayload,
)
from cenote.s3.canonical import canonical_headers, canonical_request, string_to_sign
from cenote.s3.keyring import signing_key
from cenote.s3.stamps import stamp

# Who


def test_access_keys_may_hold_slashes() -> None:
    assert check(signed()).access_key == KEY
    assert check(link()).access_key == KEY


def test_unknown_key_wrong_secret() -> None:
    error = refused(signed(access_key="AKIDOTHER"), "InvalidAccessKeyId")
    assert (error.status, error.extra["AWSAccessKeyId"]) == (403, "AKIDOTHER")
    refused(signed(secret_key="other"), "SignatureDoesNotMatch")
    refused(link(access_key="AKIDOTHER"), "InvalidAccessKeyId")
    refused(link(secret_key="other"), "SignatureDoesNotMatch")


def test_no_credentials_at_all_is_anonymous() -> None:
    auth = check(head("GET", URL, {"host": "a"}))
    assert (auth.access_key, auth.payload, auth.presigned) == (None, UnsignedPayload(), False)


@pytest.mark.parametrize("trace", ["Algorithm", "Credential", "Signature", "Date", "Expires"])
def test_any_trace_of_a_presigned_url_is_not_anonymous(trace: str) -> None:
    error = refused(head("GET", f"{URL}?X-Amz-{trace}=1", {}), "AuthorizationQueryParametersError")
    assert error.status == 400


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders"])
def test_presigned_url_needs_all_six_parameters(name: str) -> None:
    request = rewritten(link(), f"X-Amz-{name}".encode(), b"X-Amz-Other")
    error = refused(request, "AuthorizationQueryParametersError")
    assert "requires the X-Amz-Algorithm, X-Amz-Credential" in error.message


def test_header_and_query_together() -> None:
    query = link().query.decode()
    refused(signed(f"{URL}?{query}"), "InvalidArgument")


@pytest.mark.parametrize(
    "text", ["AWS AKID:c2lnbmF0dXJl", "AWS4-ECDSA-P256-SHA256 Credential=a", "AWS4-HMAC-SHA512 x"]
)
def test_other_signature_versions(text: str) -> None:
    error = refused(head("GET", URL, {"authorization": text}), "InvalidRequest")
    assert "Please use AWS4-HMAC-SHA256" in error.message


def test_other_signature_versions_in_the_query() -> None:
    url = f"{URL}?AWSAccessKeyId={quote(KEY)}&Expires=1800000000&Signature=abc"
    refused(head("GET", url, {}), "InvalidRequest")
    request = rewritten(link(), b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256")
    refused(request, "AuthorizationQueryParametersError")


@pytest.mark.parametrize("text", ["Basic dXNlcjpwYXNz", "Bearer token", "", "token"])
def test_other_mechanisms(text: str) -> None:
    error = refused(head("GET", URL, {"authorization": text}), "InvalidArgument")
    assert "token" not in str(error.extra)


@pytest.mark.parametrize("place", ["header", "query"])
def test_session_tokens_are_not_ours(place: str) -> None:
    if place == "header":
        refused(signed(headers={"x-amz-security-token": "t"}), "InvalidToken")
    else:
        refused(link(f"{URL}?X-Amz-Security-Token=t"), "InvalidToken")


# When


@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_clocks_may_differ_by_15_minutes(minutes: int) -> None:
    assert check(signed(now_ms=NOW + minutes * MINUTE)).access_key == KEY


@pytest.mark.parametrize("seconds", [-901, 901])
def test_clocks_must_not_differ_more(seconds: int) -> None:
    error = refused(signed(now_ms=NOW + seconds * 1000), "RequestTimeTooSkewed")
    assert error.status == 403
    assert error.extra["MaxAllowedSkewMilliseconds"] == 900_000
    assert error.extra["RequestTime"] == stamp(NOW + seconds * 1000)


def by_date_header(date: str) -> RequestHead:
    """Sign a request that carries `date` and no x-amz-date, the long way."""
    names = "date;host;x-amz-content-sha256"
    lines = f"date:{date}\nhost:h\nx-amz-content-sha256:{EMPTY}\n"
    scope = f"{stamp(NOW)[:8]}/us-east-1/s3/aws4_request"
    canonical = canonical_request("GET", "/bucket/key", "", lines, names, EMPTY)
    key = signing_key(SECRET, stamp(NOW)[:8], "us-east-1", "s3")
    signature = key.sign(string_to_sign(stamp(NOW), scope, canonical))
    sent = {"date": date, "host": "h", "x-amz-content-sha256": EMPTY}
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return head("GET", URL, sent)


def test_date_header_stands_in_for_x_amz_date() -> None:
    assert check(by_date_header("Tue, 14 Nov 2023 22:13:20 GMT")).access_key == KEY
    assert check(by_date_header(stamp(NOW))).access_key == KEY


@pytest.mark.parametrize(
    "date", ["", "yesterday", "20231399T000000Z", "Tue, 99 Nov 2023 22:13:20 GMT"]
)
def test_a_date_that_is_none(date: str) -> None:
    refused(by_date_header(date), "AccessDenied")
    refused(signed(added={"x-amz-date": date}), "AccessDenied")


def test_scope_must_be_of_the_requests_date() -> None:
    yesterday = stamp(NOW - 24 * 60 * MINUTE)[:8]
    today = stamp(NOW)[:8]
    error = refused(
        signed(bend=lambda text: text.replace(today, yesterday)), "AuthorizationHeaderMalformed"
    )
    assert error.status == 400
    request = rewritten(link(), f"%2F{today}%2F".encode(), f"%2F{yesterday}%2F".encode())
    refused(request, "AuthorizationQueryParametersError")


def test_presigned_url_lives_from_15_minutes_before_to_its_end() -> None:
    request = link(expires_s=60)
    assert check(request, NOW - 15 * MINUTE).access_key == KEY
    assert check(request, NOW + MINUTE).access_key == KEY
    error = refused(request, "AccessDenied", NOW + MINUTE + 1)
    assert (error.message, error.extra["X-Amz-Expires"]) == ("Request has expired", "60")
    error = refused(request, "AccessDenied", NOW - 15 * MINUTE - 1)
    assert error.message == "Request is not valid yet"


def test_presigned_url_of_seven_days() -> None:
    week = 604_800
    assert check(link(expires_s=week), NOW + week * 1000).access_key == KEY
    with pytest.raises(ValueError, match="604800"):
        link(expires_s=week + 1)


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "1e3", "soon", "+5", "9" * 40, "٣", " 5"])
def test_presigned_url_of_other_lives(expires: str) -> None:
    request = rewritten(link(), b"Expires=3600", b"Expires=" + quote(expires).encode())
    refused(request, "AuthorizationQueryParametersError")


# Which scope


def test_any_region_unless_one_is_pinned() -> None:
    for region in ("us-east-1", "eu-central-1", "auto"):
        assert check(signed(region=region)).access_key == KEY
        assert check(link(region=region), region=region).access_key == KEY
    error = refused(signed(region="auto"), "AuthorizationHeaderMalformed", region="eu-north-1")
    assert error.extra == {"Region": "eu-north-1"}
    assert "the region 'auto' is wrong; expecting 'eu-north-1'" in error.message
    error = refused(link(region="auto"), "AuthorizationQueryParametersError", region="eu-north-1")
    assert error.extra == {"Region": "eu-north-1"}


@pytest.mark.parametrize("service", ["ec2", "S3", "s3-object-lambda"])
def test_service_must_be_the_one_served(service: str) -> None:
    refused(signed(service=service), "AuthorizationHeaderMalformed")
    refused(link(service=service), "AuthorizationQueryParametersError")
    assert check(signed(service=service), service=service).access_key == KEY


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("aws4_request", "aws5_request"),
        ("/us-east-1/", "//"),
        ("/us-east-1/s3/", "/s3/"),
        (f"Credential={KEY}", "Credential="),
        ("Credential=", "Credentials="),
        ("Signature=", "Signatur="),
        ("SignedHeaders=", "SignedHeaders=;"),
        ("SignedHeaders=host", "SignedHeaders=ho st"),
        (", ", " "),
        (stamp(NOW)[:8], "2023-1114"),
        ("Credential=", "Credential=a, Credential="),
        ("Signature=", "Signature=a, Signature="),
        ("Signature=", "Signature=, X="),
    ],
)
def test_malformed_authorization(old: str, new: str) -> None:
    error = refused(
        signed(bend=lambda text: text.replace(old, new)), "AuthorizationHeaderMalformed"
    )
    assert (error.status, error.message[:38]) == (400, "The authorization header is malformed;")


@pytest.mark.parametrize("separator", [",", ", ", ",   "])
def test_fields_of_authorization_in_any_order(separator: str) -> None:
    def turn(text: str) -> str:
        mechanism, _, rest = text.partition(" ")
        fields = rest.split(", ")
        return f"{mechanism} {separator.join([fields[2], fields[0], fields[1]])}"

    assert check(signed(bend=turn)).access_key == KEY
    assert check(signed(bend=lambda text: text.replace(", ", separator))).access_key == KEY


@pytest.mark.parametrize("bend", [str.upper, lambda s: s[:-1], lambda s: s + "0", lambda s: "é"])
def test_signature_is_compared_to_the_letter(bend: Callable[[str], str]) -> None:
    def tail(text: str) -> str:
        before, name, signature = text.rpartition("Signature=")
        return before + name + bend(signature)

    refused(signed(bend=tail), "SignatureDoesNotMatch")


# What is covered


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-checksum-crc32",
        "x-amz-tagging",
        "x-amz-bypass-governance-retention",
        "x-amz-cf-id",
    ],
)
def test_unsigned_amz_headers(name: str) -> None:
    for request in (signed(added={name: "1"}), link(sent={name: "1"})):
        error = refused(request, "AccessDenied")
        assert (error.status, error.extra) == (403, {"HeadersNotSigned": name})
        assert error.message == "There were headers present in the request which were not signed"


def test_unsigned_headers_are_all_named() -> None:
    error = refused(signed(added={"x-amz-b": "", "x-amz-a": ""}), "AccessDenied")
    assert error.extra == {"HeadersNotSigned": "x-amz-a, x-amz-b"}


def test_host_must_be_signed() -> None:
    error = refused(signed(bend=lambda text: text.replace("host;", "")), "AccessDenied")
    assert error.extra == {"HeadersNotSigned": "host"}
    error = refused(rewritten(link(), b"SignedHeaders=host", b"SignedHeaders=date"), "AccessDenied")
    assert error.extra == {"HeadersNotSigned": "host"}


@pytest.mark.parametrize("name", ["content-type", "accept", "user-agent", "amz-sdk-request"])
def test_other_headers_need_no_signature(name: str) -> None:
    assert check(signed(added={name: "x"})).access_key == KEY
    assert check(link(sent={name: "x"})).access_key == KEY


@pytest.mark.parametrize(
    "name", ["authorization", "host", "x-amz-date", "x-amz-content-sha256", "x-amz-trailer"]
)
def test_what_decides_must_come_once(name: str) -> None:
    refused(signed(repeated=(name,)), "InvalidArgument")


def test_repeated_header_lines_are_signed_joined() -> None:
    headers = {"x-amz-meta-a": "1,2"}
    assert check(signed(headers=headers, repeated=("x-amz-meta-a",))).access_key == KEY


@pytest.mark.parametrize("value", ["  a   b  ", "a\tb", "Grüße", "\xff\xfe", ""])
def test_header_values_as_sent(value: str) -> None:
    assert check(signed(headers={"x-amz-meta-a": value})).access_key == KEY


@pytest.mark.parametrize("name", ["X-Amz-Expires", "X-Amz-Signature", "x"])
def test_repeated_parameters(name: str) -> None:
    request = link(f"{URL}?x=1")
    refused(rewritten(request, b"X-Amz-Date", f"{name}=1&X-Amz-Date".encode()), "InvalidArgument")


# Spellings of a target


@pytest.mark.parametrize(
    ("sent", "as_signed"),
    [
        ("/bucket/a%20b", "/bucket/a%20b"),
        ("/bucket/%c3%a9", "/bucket/%C3%A9"),
        ("/bucket/%61", "/bucket/a"),
        ("/bucket/a!b*c'(d)", "/bucket/a%21b%2Ac%27%28d%29"),
        ("/bucket/a+b", "/bucket/a%2Bb"),
        ("/bucket/a%2Fb", "/bucket/a/b"),
        ("/bucket/a%2Fb", "/bucket/a%2Fb"),
        ("/bucket//a/./b/../c", "/bucket//a/./b/../c"),
        ("/", "/"),
    ],
)
def test_paths_that_mean_the_same(sent: str, as_signed: str) -> None:
    request = signed(f"http://127.0.0.1:9000{as_signed}")
    assert check(head("GET", sent, request.headers)).access_key == KEY


@pytest.mark.parametrize(
    ("sent", "as_signed"),
    [
        ("/bucket/a%2520b", "/bucket/a%20b"),
        ("/bucket/a%20b", "/bucket/a%2520b"),
        ("/bucket/a b", "/bucket/a+b"),
        ("/bucket/a%252Fb", "/bucket/a%2Fb"),
        ("/bucket/a", "/bucket//a"),
        ("/bucket/b", "/bucket/a/../b"),
    ],
)
def test_paths_that_do_not(sent: str, as_signed: str) -> None:
    request = signed(f"http://127.0.0.1:9000{as_signed}")
    refused(head("GET", sent, request.headers), "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("sent", "as_signed"),
    [
        ("b=2&a=1", "a=1&b=2"),
        ("acl", "acl="),
        ("acl=", "acl="),
        ("prefix=a/b", "prefix=a%2Fb"),
        ("prefix=a+b", "prefix=a%20b"),
        ("prefix=%e2%82%ac", "prefix=%E2%82%AC"),
        ("a-b=1&a=2", "a=2&a-b=1"),
        ("&&a=1&", "a=1"),
        ("t=a=b", "t=a%3Db"),
    ],
)
def test_queries_that_mean_the_same(sent: str, as_signed: str) -> None:
    request = signed(f"{URL}?{as_signed}")
    assert check(head("GET", f"{URL}?{sent}", request.headers)).access_key == KEY


@pytest.mark.parametrize(
    ("sent", "as_signed"),
    [("prefix=a+b", "prefix=a%2Bb"), ("prefix=%2541", "prefix=A"), ("acl=&x", "acl"), ("", "acl")],
)
def test_queries_that_do_not(sent: str, as_signed: str) -> None:
    request = signed(f"{URL}?{as_signed}")
    refused(head("GET", f"{URL}?{sent}", request.headers), "SignatureDoesNotMatch")


def test_a_path_with_line_ends_is_not_taken_as_it_stands() -> None:
    """A line end separates what is signed, so it stands for itself only when encoded."""
    made = signed("http://127.0.0.1:9000/a%0Ab")
    assert check(RequestHead("GET", b"/a%0Ab", b"", made.headers)).access_key == KEY
    assert check(RequestHead("GET", b"/a\nb", b"", made.headers)).access_key == KEY
    names = "host;x-amz-content-sha256;x-amz-date"
    lines = canonical_headers(made.headers, names.split(";"))
    scope = f"{stamp(NOW)[:8]}/us-east-1/s3/aws4_request"
    canonical = canonical_request("GET", "/a\nb", "", lines, names, EMPTY)
    key = signing_key(SECRET, stamp(NOW)[:8], "us-east-1", "s3")
    signature = key.sign(string_to_sign(stamp(NOW), scope, canonical))
    before = made.headers["authorization"].rpartition("=")[0]
    bent = {**made.headers, "authorization": f"{before}={signature}"}
    refused(RequestHead("GET", b"/a\nb", b"", bent), "SignatureDoesNotMatch")
