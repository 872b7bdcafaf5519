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
_is_stamp = re.compile(r"([0-9]{8})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII).fullmatch


@lru_cache(maxsize=256)
def read_stamp(text: str) -> int | None:
    """Read a stamp, or return None."""
    match = _is_stamp(text)
    if match is None:
        return None
    date, hour, minute, second = match.groups()
    day = _day(date)
    if day is None or hour > "23" or minute > "59" or second > "59":
        return None
    return ((day * 24 + int(hour)) * 60 + int(minute)) * 60_000 + int(second) * 1000


# All requests of a day share it.
@lru_cache(maxsize=64)
def _day(date: str) -> int | None:
    """Return the days from the epoch to a date, yyyymmdd, or None when there is no such day."""
    try:
        moment = datetime(int(date[:4]), int(date[4:6]), int(date[6:]), tzinfo=UTC)
    except ValueError:
        return None
    return (moment - _EPOCH).days


@lru_cache(maxsize=256)
def stamp(time_ms: int) -> str:
    """Write a time; parts of a second are dropped."""
    return (_EPOCH + timedelta(seconds=time_ms // 1000)).strftime("%Y%m%dT%H%M%SZ")
