"""What a bucket and a key may be called.

Source: AWS, "General purpose bucket naming rules" and "Naming Amazon S3 objects".
"""

from __future__ import annotations

import re
from typing import Final

from cenote.errors import InvalidError

__all__ = ["KEY_SIZE_MAX", "check_bucket_name", "check_key", "key_after_prefix"]

KEY_SIZE_MAX: Final = 1024  # bytes of UTF-8

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "-an")
_LAST_CHARACTER: Final = 0x10FFFF


def check_bucket_name(name: str) -> str:
    """Return `name` if it may name a bucket.

    Raises InvalidError(kind="invalid_bucket_name"). What passes is also a safe file name: no
    separator, no leading dot, no upper case that some file system would fold.
    """
    if not _NAME.fullmatch(name):
        reason = "takes 3 to 63 of a-z, 0-9, '.' and '-', a letter or digit at each end"
    elif ".." in name:
        reason = "must not hold two adjacent periods"
    elif _IP_ADDRESS.fullmatch(name):
        reason = "must not look like an IP address"
    elif name.startswith(_RESERVED_PREFIXES):
        reason = f"must not start with {', '.join(_RESERVED_PREFIXES)}"
    elif name.endswith(_RESERVED_SUFFIXES):
        reason = f"must not end with {', '.join(_RESERVED_SUFFIXES)}"
    else:
        return name
    raise InvalidError(
        f"{name!r} cannot name a bucket: a name {reason}", kind="invalid_bucket_name", bucket=name
    )


def check_key(key: str) -> str:
    """Return `key` if it may name an object: 1 to 1024 bytes of UTF-8, no NUL.

    Raises InvalidError: kind "key_too_long" (context: size, size_max), else "invalid_argument".
    """
    if not key:
        raise InvalidError("a key must not be empty", kind="invalid_argument", argument="key")
    if key.isascii():
        size = len(key)
    else:
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise InvalidError(
                "a key must be valid Unicode", kind="invalid_argument", argument="key"
            ) from error
    if size > KEY_SIZE_MAX:
        raise InvalidError(
            f"a key must not be longer than {KEY_SIZE_MAX} bytes",
            kind="key_too_long",
            size=size,
            size_max=KEY_SIZE_MAX,
        )
    if "\0" in key:
        raise InvalidError("a key must not hold NUL", kind="invalid_argument", argument="key")
    return key


def key_after_prefix(prefix: str) -> str | None:
    """Return the least string above all that start with `prefix`; None if there is none.

    Least in the order of UTF-8 bytes, which is that of code points; surrogates are not text.
    """
    for end in range(len(prefix), 0, -1):
        last = ord(prefix[end - 1])
        if last < _LAST_CHARACTER:
            following = 0xE000 if last == 0xD7FF else last + 1
            return prefix[: end - 1] + chr(following)
    return None
