"""Who sent a request: the verification of AWS Signature Version 2, by header and by URL.

Owns: the string to sign of version 2, HMAC-SHA1 over it, its two clocks (a date within 15 minutes;
an expiry in seconds since the epoch).
Does not own: version 4 (`sigv4`), the choice between the two (there), what a key may do
(`cenote.server`).

    method \\n content-md5 \\n content-type \\n date or expiry \\n  x-amz-a:value \\n ...  resource

The resource is `/bucket/key`, in the spelling it is sent in, and after "?" those parameters that
choose a sub-resource or override an answer's header, decoded, in the order of their names.

Invariants:
1. Every `x-amz-*` value S3 would act on is in the string, whether it came as a header or as a
   parameter: none can be added to a URL by somebody who does not know the secret.
2. So is every parameter that an operation changing something reads. Those of listings (prefix,
   markers, counts) are not: version 2 has no place for them.
3. No value brings a line end of its own, so one string has one reading.
4. Signatures are compared in constant time.

Why it is here at all: boto3 and the AWS CLI, left as they are installed, still presign with version
2 for every endpoint that is not AWS's own, and AWS's older regions still take it. What it does not
do as well as version 4: the body and the listing parameters are not signed, and neither day nor
region narrows the key. So a server can be told to refuse it.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cenote.s3.auth import SKEW_MAX_MS, Auth, too_skewed
from cenote.s3.canonical import canonical_path
from cenote.s3.claims import UNSIGNED_PAYLOAD, Payload, plain_payload
from cenote.s3.codes import S3Error
from cenote.s3.headers import CONTROL, TOKEN
from cenote.s3.query import V2_HEADERS, brings_header, decode_query
from cenote.s3.stamps import read_stamp
from cenote.s3.times import iso_date, read_http_date
from cenote.s3.wire import RequestHead

__all__ = [
    "SIGNED_PARAMETERS",
    "V2_MECHANISM",
    "V2_TRACES",
    "authenticate_v2",
]

V2_MECHANISM: Final = "AWS "
V2_TRACES: Final = frozenset({"AWSAccessKeyId", "Signature"})
# Parameters that belong to the resource: AWS's page, and what botocore adds to it.
SIGNED_PARAMETERS: Final = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)

# What a body in aws-chunked announces itself by.
_CHUNKED: Final = ("x-amz-decoded-content-length", "x-amz-trailer")
_is_seconds = re.compile(r"[0-9]{1,11}", re.ASCII).fullmatch
_is_target = re.compile(rb"[!-~]+").fullmatch


def authenticate_v2(
    head: RequestHead,
    params: Mapping[str, str],
    *,
    keys: Callable[[str], str | None],
    now_ms: int,
    host_bucket: str | None,
) -> Auth:
    """Decide who sent a request whose header or URL is signed by version 2.

    `params` is the decoded query, in which no name comes twice; `host_bucket` the bucket that the
    Host header names, if it names one. `keys` returns the secret of an access key, or None.
    Requires: an Authorization header that starts with `V2_MECHANISM`, or any of `V2_TRACES` among
    the parameters, and not both; no single header twice.
    Ensures: the signature is that key's, and its time is within 15 minutes of `now_ms` or its
    expiry not over.
    Raises S3Error: AccessDenied, InvalidAccessKeyId, InvalidArgument, InvalidRequest, InvalidToken,
    RequestTimeTooSkewed, SignatureDoesNotMatch.
    Cost: about 10 us.
    """
    authorization = head.headers.get("authorization")
    signed = _signed_headers(head.headers, params)
    if authorization is None:
        access_key, signature = _read_url(params)
        date = params["Expires"]
        _check_expiry(date, now_ms)
    else:
        access_key, signature = _read_header(authorization)
        date = _checked_date(signed, head.headers.get("date", ""), now_ms)
    if "x-amz-security-token" in signed:
        # Only temporary credentials carry one, and none are given out.
        raise S3Error("InvalidToken")
    payload = _payload(head.headers, signed)
    secret = keys(access_key)
    if secret is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    _verify(head, signed, date, host_bucket, access_key, secret, signature)
    return Auth(access_key, payload, authorization is None)


def _read_header(authorization: str) -> tuple[str, str]:
    access_key, _, signature = authorization[len(V2_MECHANISM) :].strip().partition(":")
    if not access_key or not signature or ":" in signature:
        raise S3Error(
            "InvalidArgument",
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            ArgumentName="Authorization",
            ArgumentValue=V2_MECHANISM + access_key,  # never a signature
        )
    return access_key, signature


def _read_url(params: Mapping[str, str]) -> tuple[str, str]:
    access_key, signature = params.get("AWSAccessKeyId"), params.get("Signature")
    if not access_key or not signature or not params.get("Expires"):
        raise S3Error(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId "
            "parameters",
        )
    return access_key, signature


def _check_expiry(expires: str, now_ms: int) -> None:
    if not _is_seconds(expires):
        raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
    end_ms = int(expires) * 1000
    if now_ms > end_ms:
        raise S3Error(
            "AccessDenied",
            "Request has expired",
            Expires=iso_date(end_ms),
            ServerTime=iso_date(now_ms),
        )


def _checked_date(signed: Mapping[str, str], date: str, now_ms: int) -> str:
    """Return what stands in the date's place: nothing, when x-amz-date is among the headers."""
    text = signed.get("x-amz-date", date)
    time_ms = read_http_date(text)
    if time_ms is None:
        time_ms = read_stamp(text.strip())
    if time_ms is None or time_ms < 0:
        raise S3Error(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        )
    if abs(now_ms - time_ms) > SKEW_MAX_MS:
        raise too_skewed(text, now_ms)
    return "" if "x-amz-date" in signed else date.strip()


def _signed_headers(headers: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are in the string, those sent as parameters among them.

    Raises S3Error InvalidArgument for a parameter that is not fit for a header, or contradicts one.
    """
    signed = {
        name: value.strip()
        for name, value in headers.items()
        if name[:6] == "x-amz-" or name in V2_HEADERS
    }
    for name, text in params.items():
        if not brings_header(name, params):
            continue
        lowered = name.lower()
        value = text.strip().encode("utf-8").decode("latin-1")
        fits = TOKEN.fullmatch(name) and not CONTROL.search(text)
        if not fits or signed.get(lowered, value) != value:
            raise S3Error(
                "InvalidArgument",
                f"The value of {name} is not valid, or not the same as the header's",
                ArgumentName=name,
                ArgumentValue=text,
            )
        signed[lowered] = value
    return signed


def _payload(headers: Mapping[str, str], signed: Mapping[str, str]) -> Payload:
    """Return the body's form: plain, and under its SHA-256 when the signer sent one.

    Raises S3Error: InvalidRequest for aws-chunked, whose chunks version 2 cannot sign.
    """
    codings = headers.get("content-encoding", "").lower().split(",")
    payload = plain_payload(signed.get("x-amz-content-sha256", UNSIGNED_PAYLOAD))
    if (
        payload is None
        or any(coding.strip() == "aws-chunked" for coding in codings)
        or any(name in signed for name in _CHUNKED)
    ):
        raise S3Error(
            "InvalidRequest",
            "A body in aws-chunked needs a request signed with AWS4-HMAC-SHA256.",
        )
    return payload


def _verify(
    head: RequestHead,
    signed: Mapping[str, str],
    date: str,
    host_bucket: str | None,
    access_key: str,
    secret: str,
    signature: str,
) -> None:
    """Compare the signature with those the request may have.

    Raises S3Error: SignatureDoesNotMatch, with the string in its plainest spelling.
    """
    amz = sorted(name for name in signed if name not in V2_HEADERS)
    lines = (
        head.method,
        signed.get("content-md5", ""),
        signed.get("content-type", ""),
        date,
        *(f"{name}:{signed[name]}" for name in amz),
        "",
    )
    start = "\n".join(lines)
    key = secret.encode("utf-8")
    shown: bytes | None = None
    for resource in _resources(head, host_bucket):
        message = (start + resource).encode("latin-1")
        shown = shown or message
        expected = b64encode(hmac.digest(key, message, "sha1")).decode("ascii")
        if signature.isascii() and hmac.compare_digest(expected, signature):
            return
    message = shown or start.encode("latin-1")
    raise S3Error(
        "SignatureDoesNotMatch",
        AWSAccessKeyId=access_key,
        StringToSign=message.decode("latin-1"),
        SignatureProvided=signature,
        StringToSignBytes=message.hex(" "),
    )


def _resources(head: RequestHead, host_bucket: str | None) -> Iterator[str]:
    """Yield the spellings of the resource, all of the same bucket, key and parameters.

    The one sent comes first. Clients also sign a bucket with the slash they do not send (botocore),
    a path encoded otherwise than they send it, and `name=` without its empty value.
    """
    start = "" if host_bucket is None else f"/{host_bucket}"
    canonical = canonical_path(head.path)
    paths = [head.path.decode("latin-1")] if _is_target(head.path) else []
    if canonical not in paths:
        paths.append(canonical)
    if host_bucket is None and "/" not in canonical[1:] and canonical != "/":
        paths += [f"{path}/" for path in paths]
    bare, full = _parameters(head.query)
    for path in paths:
        yield f"{start}{path}{full}"
        if bare != full:
            yield f"{start}{path}{bare}"


def _parameters(raw: bytes) -> tuple[str, str]:
    """Return the signed parameters, with "?" if there are any: empty values bare, and as sent."""
    if not raw:
        return "", ""
    with_equals = {piece.partition(b"=")[0] for piece in raw.split(b"&") if b"=" in piece}
    bare, full = [], []
    for name, text in sorted(decode_query(raw)):
        if name in SIGNED_PARAMETERS:
            value = f"{name}={text.encode('utf-8').decode('latin-1')}" if text else name
            bare.append(value)
            full.append(f"{name}=" if not text and name.encode() in with_equals else value)
    mark = "?" if bare else ""
    return mark + "&".join(bare), mark + "&".join(full)
