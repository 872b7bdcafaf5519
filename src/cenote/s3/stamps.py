"""SigV4's time stamps: yyyymmddThhmmssZ, always UTC.

Owns: reading and writing them.
Does not own: HTTP's and XML's dates (`times`), or the clock: a time comes in as an argument.

Invariants:
1. Times are milliseconds since the Unix epoch; what is no stamp is read as None.

Source: https://docs.aws.amazon.com/general/latest/gr/sigv4-date-handling.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["read_stamp", "stamp"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_is_stamp = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII
).fullmatch


@lru_cache(maxsize=256)
def read_stamp(text: str) -> int | None:
    """Read a stamp, or return None."""
    match = _is_stamp(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=256)
def stamp(time_ms: int) -> str:
    """Write a time; parts of a second are dropped."""
    return (_EPOCH + timedelta(seconds=time_ms // 1000)).strftime("%Y%m%dT%H%M%SZ")
