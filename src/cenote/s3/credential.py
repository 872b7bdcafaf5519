"""What a signed request claims about its signer: key, scope, signed headers, signature.

Owns: the reading of an `Authorization` header and of a presigned URL's parameters, and the errors
for both when they are malformed.
Does not own: whether any of it is true (`sigv4`).

Invariants:
1. Scope and signed header names are plain ASCII words, so they can stand in a string to sign.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
and sigv4-query-string-auth.html beside it; the words are those S3 answers with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from cenote.s3.auth import unsupported
from cenote.s3.canonical import ALGORITHM
from cenote.s3.codes import S3Error

__all__ = [
    "EXPIRES_MAX_S",
    "QUERY_NAMES",
    "Credential",
    "Presigned",
    "read_authorization",
    "read_credential",
    "read_presigned",
]

EXPIRES_MAX_S: Final = 604_800
QUERY_NAMES: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)

_EXPECTED: Final = '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'
_CACHED_MAX: Final = 1024  # characters of a header worth remembering
# What clients send beside what they sign; the hash of the body stands in the signature by itself.
_NEED_NO_SIGNATURE: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "range",
        "user-agent",
        "x-amz-content-sha256",
    }
)
_is_date = re.compile(r"[0-9]{8}", re.ASCII).fullmatch
_is_word = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII).fullmatch
_are_names = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+)*").fullmatch
_is_number = re.compile(r"[0-9]{1,12}", re.ASCII).fullmatch


class Credential(Struct, frozen=True):
    """Who signed, for what scope, over which headers.

    `scope`: date/region/service/aws4_request. `signed_names`: the list as it was sent, lower case.
    `covered`: headers among which no unsigned one can matter; empty when "host" was not signed.
    """

    access_key: str
    date: str
    region: str
    scope: str
    signed_names: str
    names: tuple[str, ...]
    name_set: frozenset[str]
    covered: frozenset[str]


class Presigned(Struct, frozen=True):
    """A presigned URL's claims. `timestamp`: yyyymmddThhmmssZ; `expires_s`: seconds after it."""

    credential: Credential
    timestamp: str
    expires_s: int


class _Malformed(Exception):
    """What is wrong with a credential, and elements to add to the answer."""

    def __init__(self, what: str, **extra: Any) -> None:
        super().__init__(what)
        self.what = what
        self.extra = extra


def _credential(text: str, names: str, region: str | None, service: str) -> Credential:
    fields = text.rsplit("/", 4)  # an access key may hold slashes
    if len(fields) != 5 or not fields[0]:
        raise _Malformed(f"the Credential is mal-formed; expecting {_EXPECTED}.")
    access_key, date, claimed_region, claimed_service, terminator = fields
    if terminator != "aws4_request":
        raise _Malformed(f'incorrect terminal "{terminator}". This endpoint uses "aws4_request".')
    if claimed_service != service:
        raise _Malformed(
            f'incorrect service "{claimed_service}". This endpoint belongs to "{service}".'
        )
    if not _is_date(date):
        raise _Malformed(
            f'incorrect date format "{date}". This date in the credential must be in the format '
            '"yyyyMMdd".'
        )
    if not _is_word(claimed_region):
        raise _Malformed(f"the Credential is mal-formed; expecting {_EXPECTED}.")
    if region is not None and claimed_region != region:
        raise _Malformed(
            f"the region '{claimed_region}' is wrong; expecting '{region}'", Region=region
        )
    names = names.lower()
    if not _are_names(names):
        raise _Malformed("SignedHeaders is mal-formed.")
    split = tuple(names.split(";"))
    name_set = frozenset(split)
    scope = f"{date}/{claimed_region}/{service}/aws4_request"
    covered = name_set | _NEED_NO_SIGNATURE if "host" in name_set else frozenset()
    return Credential(access_key, date, claimed_region, scope, names, split, name_set, covered)


def _header_fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for piece in text.split(","):
        name, equals, value = piece.strip().partition("=")
        if not equals or name in fields or name not in ("Credential", "SignedHeaders", "Signature"):
            raise _Malformed(f'the authorization component "{piece.strip()}" is malformed.')
        fields[name] = value
    return fields


@lru_cache(maxsize=256)
def _header_credential(text: str, region: str | None, service: str) -> Credential:
    """Read all of an Authorization header that stays the same from request to request."""
    fields = _header_fields(text)
    if "Signature" in fields:
        raise _Malformed('the authorization component "Signature" is malformed.')
    for name in ("Credential", "SignedHeaders"):
        if not fields.get(name):
            raise _Malformed(f"missing {name}.")
    return _credential(fields["Credential"], fields["SignedHeaders"], region, service)


def read_authorization(text: str, region: str | None, service: str) -> tuple[Credential, str]:
    """Return the credential and the signature of an `Authorization` header.

    Raises S3Error: InvalidRequest for SigV4A, InvalidArgument for another mechanism,
    AuthorizationHeaderMalformed for the rest (with Region, when that is what is wrong).
    """
    mechanism, space, rest = text.partition(" ")
    if mechanism != ALGORITHM or not space:
        raise _unsupported(mechanism, text)
    try:
        before, found, signature = rest.rpartition("Signature=")
        if found and before.endswith((",", ", ")) and "," not in signature:
            before = before.rstrip(", ")
        else:  # an order nobody sends; the slow way around
            fields = _header_fields(rest)
            signature = fields.pop("Signature", "")
            before = ",".join(f"{name}={value}" for name, value in fields.items())
        if not signature:
            raise _Malformed("missing Signature.")
        read = _header_credential if len(before) <= _CACHED_MAX else _header_credential.__wrapped__
        return read(before, region, service), signature
    except _Malformed as error:
        raise S3Error(
            "AuthorizationHeaderMalformed",
            f"The authorization header is malformed; {error.what}",
            **error.extra,
        ) from None


def _unsupported(mechanism: str, text: str) -> S3Error:
    if mechanism == "AWS" or mechanism.startswith("AWS4-"):
        return unsupported()
    return S3Error(
        "InvalidArgument",
        "Unsupported Authorization Type",
        ArgumentName="Authorization",
        ArgumentValue=mechanism if " " in text else "",  # never a bare token
    )


_query_credential = lru_cache(maxsize=256)(_credential)


def read_presigned(params: Mapping[str, str], region: str | None, service: str) -> Presigned:
    """Return the claims of a presigned URL, which its X-Amz-Signature is to prove.

    Raises S3Error: AuthorizationQueryParametersError (with Region, when that is what is wrong).
    """
    algorithm, text, signature, timestamp, names, expires = map(params.get, QUERY_NAMES)
    if not (algorithm and text and signature and timestamp and names and expires):
        raise _query_error(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, "
            "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
            "X-Amz-Expires parameters."
        )
    if algorithm != ALGORITHM:
        raise _query_error(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    expires_s = _expires_s(expires)
    return Presigned(read_credential(text, names, region, service), timestamp, expires_s)


def read_credential(text: str, names: str, region: str | None, service: str) -> Credential:
    """Return what a presigned URL's X-Amz-Credential and X-Amz-SignedHeaders say.

    Raises S3Error: AuthorizationQueryParametersError (with Region, when that is what is wrong).
    """
    read = (
        _query_credential
        if len(text) + len(names) <= _CACHED_MAX
        else _query_credential.__wrapped__
    )
    try:
        return read(text, names, region, service)
    except _Malformed as error:
        raise _query_error(
            f"Error parsing the X-Amz-Credential parameter; {error.what}", **error.extra
        ) from None


def _expires_s(text: str) -> int:
    if not _is_number(text):
        if _is_number(text[1:]) and text[0] == "-":
            raise _query_error("X-Amz-Expires must be non-negative")
        raise _query_error("X-Amz-Expires should be a number")
    expires_s = int(text)
    if expires_s > EXPIRES_MAX_S:
        raise _query_error(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
            f"must be less than {EXPIRES_MAX_S} seconds"
        )
    if expires_s == 0:
        raise _query_error("X-Amz-Expires must be at least 1 second")
    return expires_s


def _query_error(message: str, **extra: Any) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", message, **extra)
