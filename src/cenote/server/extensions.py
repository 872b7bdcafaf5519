"""What this server understands beyond S3, by headers of its own.

Owns: the headers' names, reading them. Does not own: what they do (`cenote.tables.together`).

- `x-cenote-transact-items`, of PutObject: TransactItems of a TransactWriteItems, as JSON in base64,
  on tables that live in the object's bucket. The object is stored and the items are changed in one
  commit, or neither: 412 PreconditionFailed when a condition does not hold.

Invariants:
1. An extension that was not signed is refused: it would let whoever is in between change what a
   request does.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from cenote.s3 import S3Error
from cenote.server.call import Call

__all__ = ["TRANSACT_ITEMS", "transact_items"]

TRANSACT_ITEMS: Final = "x-cenote-transact-items"

_SIGNED: Final = re.compile(r"SignedHeaders=([^,\s]+)")


def transact_items(call: Call) -> bytes | None:
    """Return the actions that a PutObject is to happen with, None for none.

    Raises S3Error: AccessDenied when the header was not signed, InvalidArgument when it is not
    base64.
    """
    value = call.exchange.head.headers.get(TRANSACT_ITEMS)
    if value is None:
        return None
    if TRANSACT_ITEMS not in _signed_names(call):
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=TRANSACT_ITEMS,
        )
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise S3Error(
            "InvalidArgument",
            "The header must be JSON in base64.",
            ArgumentName=TRANSACT_ITEMS,
        ) from error


def _signed_names(call: Call) -> list[str]:
    """Return the names of the headers that a version 4 signature covers."""
    route = call.route
    found = _SIGNED.search(call.exchange.head.headers.get("authorization", ""))
    if found is not None:
        return found[1].split(";")
    if route is not None and call.auth is not None and call.auth.presigned:
        return route.params.get("X-Amz-SignedHeaders", "").split(";")
    return []
