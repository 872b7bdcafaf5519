"""Request headers that are no member of an operation: ignored, checked, or refused.

Owns: what becomes of every `x-amz-*` header the operation at hand does not read, of conditions on
operations without them, and of headers sent twice; the text form of headers with characters HTTP
does not carry.
Does not own: headers an operation reads (its struct), or the signature's (`sigv4`).

Invariants:
1. A header that would change what is stored, or who may read it, in a way not done here is
   refused with 501 NotImplemented and its name; it is never dropped.
2. A header that has meaning for other operations only, and that S3 ignores here too, is ignored.
3. No header value rendered here contains a control character.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonRequestHeaders.html
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

from cenote.s3.codes import S3Error

__all__ = [
    "CONTROL",
    "META_PREFIX",
    "TOKEN",
    "check_amz_header",
    "check_condition_header",
    "check_repeated",
    "header_text",
    "is_condition",
    "is_ignored",
    "metadata_text",
    "metadata_value",
]

META_PREFIX = "x-amz-meta-"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What a header's name may consist of (RFC 9110, 5.6.2).
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Rule = Callable[[str, str], None]


def _ignore(_name: str, _text: str) -> None:
    return None


def _only(*accepted: str, known: tuple[str, ...] = ()) -> Rule:
    """Make a rule: `accepted` values pass, `known` ones are not implemented, others are none."""

    def check(name: str, text: str) -> None:
        if text in accepted:
            return
        if text in known:
            raise S3Error("NotImplemented", f"{name}: {text} is not implemented", Header=name)
        raise S3Error(
            "InvalidArgument",
            f"The value of {name} is not valid",
            ArgumentName=name,
            ArgumentValue=text,
        )

    return check


_FALSE = ("false", "False", "FALSE", "")
_TRUE = ("true", "True", "TRUE")

_RULES: dict[str, Rule] = {
    # Without ACLs every object is its owner's alone, which is what these two values ask for.
    "x-amz-acl": _only(
        "private",
        "bucket-owner-full-control",
        "",
        known=(
            "public-read",
            "public-read-write",
            "authenticated-read",
            "aws-exec-read",
            "bucket-owner-read",
            "log-delivery-write",
        ),
    ),
    "x-amz-object-ownership": _only(
        "BucketOwnerEnforced", known=("BucketOwnerPreferred", "ObjectWriter")
    ),
    "x-amz-bucket-object-lock-enabled": _only(*_FALSE, known=_TRUE),
    "x-amz-bucket-namespace": _only("global", known=("account-regional",)),
    # No bucket here makes the requester pay, so agreeing to pay changes nothing.
    "x-amz-request-payer": _only("requester"),
    # Without object lock there is nothing to bypass.
    "x-amz-bypass-governance-retention": _only(*_FALSE, *_TRUE),
    # There are no annotations to copy or to leave behind.
    "x-amz-object-annotation-directive": _only("COPY", "EXCLUDE"),
}

_IGNORED = (
    # The signature's and the framing's, read elsewhere.
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-region-set",
    "x-amz-security-token",
    "x-amz-trailer",
    # What clients and proxies say of themselves.
    "x-amz-api-version",
    "x-amz-cf-id",
    "x-amz-id-2",
    "x-amz-request-id",
    "x-amz-target",
    "x-amz-user-agent",
    # Members of other operations that S3 ignores where it does not read them.
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-mode",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-expected-bucket-owner",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-source-expected-bucket-owner",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-website-redirect-location",
)
_RULES.update(dict.fromkeys(_IGNORED, _ignore))
_IGNORED_PREFIXES = ("x-amz-sdk-",)

# On an operation that changes something, these ask for it to be done in part or not at all.
_CONDITIONS = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-range"}
)

# Lines that HTTP or S3 lets come several times: one value is a list, or the values are joined.
_MANY = frozenset(
    {
        "cache-control",
        "content-encoding",
        "content-language",
        "if-match",
        "if-none-match",
        "x-amz-object-attributes",
        "x-amz-optional-object-attributes",
        "x-amz-user-agent",
    }
)


def check_amz_header(name: str, text: str) -> None:
    """Judge an `x-amz-*` header the operation does not read.

    Raises S3Error: NotImplemented when it asks for what is not done here, InvalidArgument when its
    value is none S3 knows.
    """
    rule = _RULES.get(name)
    if rule is not None:
        rule(name, text)
    elif not name.startswith(_IGNORED_PREFIXES):
        raise S3Error(
            "NotImplemented",
            f"A header you provided implies functionality that is not implemented: {name}",
            Header=name,
        )


def is_ignored(name: str) -> bool:
    """Tell whether `check_amz_header` lets an `x-amz-*` header pass whatever its value."""
    rule = _RULES.get(name)
    return name.startswith(_IGNORED_PREFIXES) if rule is None else rule is _ignore


def is_condition(name: str) -> bool:
    """Tell whether a header asks for less than the whole of an operation."""
    return name in _CONDITIONS


def check_condition_header(name: str) -> None:
    """Refuse a condition on a changing operation that does not read it. Raises S3Error."""
    if name in _CONDITIONS:
        raise S3Error("NotImplemented", Header=name)


def check_repeated(repeated: frozenset[str], read: frozenset[str]) -> None:
    """Refuse headers that came twice and mean one thing; `read` are those the operation reads.

    Raises S3Error InvalidArgument.
    """
    for name in sorted(repeated):
        if name in _MANY or name.startswith(META_PREFIX):
            continue
        if name in read or name.startswith("x-amz-") or name in ("range", "content-md5"):
            raise S3Error(
                "InvalidArgument",
                f"The header {name} was given more than once",
                ArgumentName=name,
            )


def metadata_value(text: str) -> str:
    """Return user metadata from a header's latin-1 text: UTF-8 where the bytes are UTF-8."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def metadata_text(value: str) -> str:
    """Return the header text of user metadata: as it is in ASCII, else as RFC 2047 has it.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if value.isascii() and value.isprintable():
        return value
    return f"=?UTF-8?B?{b64encode(value.encode('utf-8', 'replace')).decode('ascii')}?="


def header_text(value: str) -> str:
    """Return `value` fit for a header line: control characters become spaces.

    Characters beyond latin-1 come from a program, not over HTTP: they are written as RFC 2047 has
    them.
    """
    if value.isascii() and value.isprintable():
        return value
    clean = CONTROL.sub(" ", value)
    try:
        clean.encode("latin-1")
    except UnicodeEncodeError:
        return metadata_text(clean)
    return clean
