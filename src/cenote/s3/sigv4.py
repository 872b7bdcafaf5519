"""Who sent a request: the verification of AWS Signature Version 4, by header and by URL.

Owns: the decision, from a request's head alone, whose request it is and how its body is claimed.
Does not own: signature version 2, to which it hands what is signed so (`sigv2`); what a key may do
(`cenote.server`); the body itself (`chunked`, `checksums`).

Invariants:
1. What is verified is what was sent: the raw target and header values. Nothing that S3 would act
   on (a query parameter, an `x-amz-*` header, the body's form) lies outside the signature.
2. Signatures are compared in constant time.
3. A request with any trace of credentials is either proven or refused, never taken as anonymous.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html and the
pages below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final

from cenote.s3.auth import SKEW_MAX_MS, Auth, too_skewed, unsupported
from cenote.s3.canonical import (
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    string_to_sign,
)
from cenote.s3.claims import (
    UNSIGNED_PAYLOAD,
    ChunkedPayload,
    Payload,
    anonymous_payload,
    chunk_form,
    decoded_length,
    plain_payload,
    trailer_names,
)
from cenote.s3.codes import S3Error
from cenote.s3.credential import (
    QUERY_NAMES,
    Credential,
    Presigned,
    read_authorization,
    read_presigned,
)
from cenote.s3.keyring import SigningKey, signing_key
from cenote.s3.query import read_query, split_signature
from cenote.s3.sigv2 import V2_MECHANISM, V2_TRACES, authenticate_v2
from cenote.s3.stamps import read_stamp, stamp
from cenote.s3.times import iso_date, read_http_date
from cenote.s3.wire import RequestHead

__all__ = ["authenticate", "authenticate_whole"]

_is_target = re.compile(rb"[!-~]+").fullmatch  # no line ends, which separate what is signed
_SIGNATURE: Final = "X-Amz-Signature"
_QUERY_TRACES: Final = frozenset({*QUERY_NAMES, "X-Amz-Security-Token"})
_SINGLE: Final = frozenset(
    {
        "authorization",
        "date",
        "host",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
        "x-amz-trailer",
    }
)


def authenticate(
    head: RequestHead,
    params: Mapping[str, str],
    *,
    keys: Callable[[str], str | None],
    now_ms: int,
    region: str | None = None,
    service: str = "s3",
    host_bucket: str | None = None,
    signature_v2: bool = False,
) -> Auth:
    """Decide who sent a request.

    `params` is the decoded query (`Route.params`), in which no name comes twice; `keys` returns
    the secret of an access key, or None; `region` None accepts any in the scope. `host_bucket` is
    the bucket that the Host header names, if any; `signature_v2` takes version 2 as well.
    Ensures: with an access key, the signature over head, query and body claim is that key's, is
    within 15 minutes of `now_ms` or, presigned, not expired. Without one, no credentials came.
    Raises S3Error: AccessDenied, AuthorizationHeaderMalformed, AuthorizationQueryParametersError,
    InvalidAccessKeyId, InvalidArgument, InvalidRequest, InvalidToken, MissingContentLength,
    NotImplemented, RequestTimeTooSkewed, SignatureDoesNotMatch.
    Cost: about 5 us, by version 2 the double.
    """
    headers = head.headers
    if head.repeated and not _SINGLE.isdisjoint(head.repeated):
        name = min(_SINGLE & head.repeated)
        raise S3Error(
            "InvalidArgument", f"The header {name} must be sent only once.", ArgumentName=name
        )
    authorization = headers.get("authorization")
    in_query = bool(params) and not _QUERY_TRACES.isdisjoint(params)
    v2 = bool(params) and not in_query and not V2_TRACES.isdisjoint(params)
    if authorization is None and not v2:
        if in_query:
            return _presigned(head, params, keys, now_ms, region, service)
        return Auth(None, anonymous_payload(headers))
    if authorization is not None and (in_query or v2):
        raise S3Error(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature "
            "query string parameter or the Authorization header should be specified",
            ArgumentName="Authorization",
        )
    if authorization is None or authorization.startswith(V2_MECHANISM):
        if not signature_v2:
            raise unsupported()
        return authenticate_v2(head, params, keys=keys, now_ms=now_ms, host_bucket=host_bucket)
    return _by_header(head, authorization, keys, now_ms, region, service)


def _by_header(
    head: RequestHead,
    authorization: str,
    keys: Callable[[str], str | None],
    now_ms: int,
    region: str | None,
    service: str,
) -> Auth:
    headers = head.headers
    credential, signature = read_authorization(authorization, region, service)
    claim = headers.get("x-amz-content-sha256")
    if claim is None:
        raise S3Error(
            "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    payload: Payload | None = plain_payload(claim)
    timestamp = _header_time(headers, credential, now_ms)
    key = _key(headers, credential, keys, service)
    if not credential.covered.issuperset(headers):
        _check_signed(headers, credential)
    query = canonical_query(head.query)
    _verify(head, credential, key, timestamp, query, claim, signature)
    if payload is None:
        payload = _chunked(headers, claim, credential, key, timestamp, signature)
    return Auth(credential.access_key, payload)


def authenticate_whole(
    head: RequestHead,
    body_sha256: str,
    *,
    keys: Callable[[str], str | None],
    now_ms: int,
    region: str | None = None,
    service: str,
) -> str | None:
    """Decide who sent a request of a service that is not S3, whose body is at hand.

    Its hash is part of what is signed, whether the request states it or not. Returns the access
    key; None when no credentials came. Raises S3Error, as `authenticate` does by header.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
    """
    headers = head.headers
    authorization = headers.get("authorization")
    if authorization is None:
        return None
    repeated = _SINGLE & head.repeated
    if repeated:
        name = min(repeated)
        raise S3Error("InvalidArgument", f"The header {name} must be sent only once.")
    credential, signature = read_authorization(authorization, region, service)
    claim = headers.get("x-amz-content-sha256", body_sha256)
    if claim != body_sha256:
        raise S3Error("XAmzContentSHA256Mismatch")
    timestamp = _header_time(headers, credential, now_ms)
    key = _key(headers, credential, keys, service)
    if not credential.covered.issuperset(headers):
        _check_signed(headers, credential)
    _verify(head, credential, key, timestamp, canonical_query(head.query), claim, signature)
    return credential.access_key


def _header_time(headers: Mapping[str, str], credential: Credential, now_ms: int) -> str:
    """Return the request's time stamp, checked against the clock and the scope's date."""
    text = headers.get("x-amz-date")
    if text is not None:
        time_ms = read_stamp(text)
    else:
        text = headers.get("date", "")
        time_ms = read_http_date(text)
        if time_ms is None:
            time_ms = read_stamp(text)
    if time_ms is None:
        raise S3Error(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        )
    if abs(now_ms - time_ms) > SKEW_MAX_MS:
        raise too_skewed(text, now_ms)
    timestamp = stamp(time_ms)
    if timestamp[:8] != credential.date:
        raise S3Error(
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; Invalid credential date "
            f'"{credential.date}". This date is not the same as X-Amz-Date: "{timestamp[:8]}".',
        )
    return timestamp


def _presigned(
    head: RequestHead,
    params: Mapping[str, str],
    keys: Callable[[str], str | None],
    now_ms: int,
    region: str | None,
    service: str,
) -> Auth:
    headers = head.headers
    claims, query, start_ms, end_ms = _asked(head.query, params, region, service)
    credential = claims.credential
    if not start_ms <= now_ms <= end_ms:
        raise _outside(claims, start_ms, end_ms, now_ms)
    claim = _presigned_claim(headers, params, credential)
    payload = plain_payload(claim)
    if payload is None:
        raise S3Error("InvalidRequest", "A presigned URL cannot be used with an aws-chunked body.")
    if "X-Amz-Security-Token" in params:
        raise S3Error("InvalidToken")
    key = _key(headers, credential, keys, service)
    if not credential.covered.issuperset(headers):
        _check_signed(headers, credential)
    signature = params[_SIGNATURE]
    _verify(head, credential, key, claims.timestamp, query, claim, signature)
    return Auth(credential.access_key, payload, True)


# What a presigned URL claims, its canonical query without the signature, and the first and the
# last millisecond it is good for.
_Asked = tuple[Presigned, str, int, int]


def _asked(raw: bytes, params: Mapping[str, str], region: str | None, service: str) -> _Asked:
    before, signature = split_signature(raw)
    if signature:
        remembered = _remembered(before, region, service)
        if remembered is not None:
            return remembered
    claims = read_presigned(params, region, service)
    return (claims, canonical_query(raw, _SIGNATURE), *_window(claims))


@lru_cache(maxsize=256)
def _remembered(before: bytes, region: str | None, service: str) -> _Asked | None:
    """Read what stands before a signature; None when the whole must be read to say what it is."""
    try:
        params = read_query(before)
        if _SIGNATURE in params:
            return None
        claims = read_presigned({**params, _SIGNATURE: "0"}, region, service)
        return (claims, canonical_query(before), *_window(claims))
    except S3Error:
        return None


def _window(claims: Presigned) -> tuple[int, int]:
    """Return the first and the last millisecond in which a presigned URL is good.

    Raises S3Error AuthorizationQueryParametersError for no date, or one unlike its scope's.
    """
    timestamp = claims.timestamp
    time_ms = read_stamp(timestamp)
    if time_ms is None:
        raise S3Error(
            "AuthorizationQueryParametersError",
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        )
    if timestamp[:8] != claims.credential.date:
        raise S3Error(
            "AuthorizationQueryParametersError",
            f'Invalid credential date "{claims.credential.date}". This date is not the same as '
            f'X-Amz-Date: "{timestamp[:8]}".',
        )
    return time_ms - SKEW_MAX_MS, time_ms + claims.expires_s * 1000


def _outside(claims: Presigned, start_ms: int, end_ms: int, now_ms: int) -> S3Error:
    """Make the refusal of a presigned URL before its time, or after it."""
    if now_ms < start_ms:
        return S3Error("AccessDenied", "Request is not valid yet", ServerTime=iso_date(now_ms))
    extra: dict[str, Any] = {
        "X-Amz-Expires": str(claims.expires_s),
        "Expires": iso_date(end_ms),
        "ServerTime": iso_date(now_ms),
    }
    return S3Error("AccessDenied", "Request has expired", **extra)


def _presigned_claim(
    headers: Mapping[str, str], params: Mapping[str, str], credential: Credential
) -> str:
    """Return the body claim a presigned signature covers: parameter, signed header, or none.

    A header that nobody signed must not change how the body is read.
    """
    in_query = params.get("X-Amz-Content-Sha256")
    in_header = headers.get("x-amz-content-sha256")
    if in_header is None or in_header == in_query:
        return in_query or UNSIGNED_PAYLOAD
    if "x-amz-content-sha256" not in credential.name_set:
        if in_header == UNSIGNED_PAYLOAD and in_query is None:
            return UNSIGNED_PAYLOAD
        raise _not_signed(["x-amz-content-sha256"])
    if in_query is not None:
        raise S3Error(
            "InvalidArgument",
            "x-amz-content-sha256 and X-Amz-Content-Sha256 must be the same.",
            ArgumentName="x-amz-content-sha256",
            ArgumentValue=in_header,
        )
    return in_header


def _key(
    headers: Mapping[str, str],
    credential: Credential,
    keys: Callable[[str], str | None],
    service: str,
) -> SigningKey:
    if "x-amz-security-token" in headers:
        # Only temporary credentials carry one, and none are given out.
        raise S3Error("InvalidToken")
    secret = keys(credential.access_key)
    if secret is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=credential.access_key)
    return signing_key(secret, credential.date, credential.region, service)


def _check_signed(headers: Mapping[str, str], credential: Credential) -> None:
    """Refuse headers S3 would act on that the signature does not cover.

    x-amz-content-sha256 may stand outside the list, as on AWS: its value is signed by itself.
    """
    names = credential.name_set
    missing = [name for name in headers if name[:6] == "x-amz-" and name not in names]
    if missing and missing != ["x-amz-content-sha256"]:
        raise _not_signed([name for name in missing if name != "x-amz-content-sha256"])
    if "host" not in names:
        raise _not_signed(["host"])


def _not_signed(names: list[str]) -> S3Error:
    return S3Error(
        "AccessDenied",
        "There were headers present in the request which were not signed",
        HeadersNotSigned=", ".join(sorted(names)),
    )


def _verify(
    head: RequestHead,
    credential: Credential,
    key: SigningKey,
    timestamp: str,
    query: str,
    claim: str,
    signature: str,
) -> None:
    """Compare the signature with the one the request should have.

    Raises S3Error: SignatureDoesNotMatch, with both forms that were hashed.
    """
    names = credential.signed_names
    lines = canonical_headers(head.headers, credential.names)
    path = canonical_path(head.path)
    canonical = canonical_request(head.method, path, query, lines, names, claim)
    signed = string_to_sign(timestamp, credential.scope, canonical)
    if signature.isascii() and compare_digest(key.sign(signed), signature):
        return
    # Some clients sign a path as they send it (%2F for a slash within a key). It decodes to the
    # same key, so a signature over that spelling proves the same.
    raw_path = head.path.decode("latin-1")
    if raw_path != path and _is_target(head.path):
        other = canonical_request(head.method, raw_path, query, lines, names, claim)
        expected = key.sign(string_to_sign(timestamp, credential.scope, other))
        if signature.isascii() and compare_digest(expected, signature):
            return
    raise S3Error(
        "SignatureDoesNotMatch",
        AWSAccessKeyId=credential.access_key,
        StringToSign=signed.decode("latin-1"),
        SignatureProvided=signature,
        StringToSignBytes=signed.hex(" "),
        CanonicalRequest=canonical.decode("latin-1"),
        CanonicalRequestBytes=canonical.hex(" "),
    )


def _chunked(
    headers: Mapping[str, str],
    claim: str,
    credential: Credential,
    key: SigningKey,
    timestamp: str,
    signature: str,
) -> ChunkedPayload:
    signed, trailer = chunk_form(claim)
    announced = trailer_names(headers)
    if announced and not trailer:
        raise S3Error(
            "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"
        )
    length = decoded_length(headers)
    if not signed:
        return ChunkedPayload(False, trailer, length, announced)
    return ChunkedPayload(
        True, trailer, length, announced, signature, key, timestamp, credential.scope
    )
