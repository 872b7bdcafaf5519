"""Dates on the wire: HTTP's and XML's, to and from milliseconds since the Unix epoch.

Owns: the formats RFC 9110 section 5.6.7 makes a recipient read (IMF-fixdate, RFC 850, asctime), ISO
8601 as S3 and its clients write it, and seconds since the epoch.
Does not own: what is done with a date that is none: readers return None.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = ["http_date", "iso_date", "read_http_date", "read_iso_date"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_IMF = re.compile(
    r"(?:[A-Za-z]{3}, )?(?P<day>\d{1,2}) (?P<month>[A-Za-z]{3}) (?P<year>\d{4}) "
    r"(?P<clock>\d\d:\d\d:\d\d) (?P<zone>GMT|UTC|[+-]\d{4})",
    re.ASCII,
)
_RFC850 = re.compile(
    r"[A-Za-z]{6,9}, (?P<day>\d\d)-(?P<month>[A-Za-z]{3})-(?P<year>\d\d) "
    r"(?P<clock>\d\d:\d\d:\d\d) GMT",
    re.ASCII,
)
_ASCTIME = re.compile(
    r"[A-Za-z]{3} (?P<month>[A-Za-z]{3}) (?P<day>[ \d]\d) (?P<clock>\d\d:\d\d:\d\d) "
    r"(?P<year>\d{4})",
    re.ASCII,
)
_ISO = re.compile(
    r"(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d)(?:\.(?P<part>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_SECONDS = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)


# Answers name the same minutes over and over: the hot part is the seconds.
@lru_cache(maxsize=4096)
def _minute(minute: int) -> tuple[str, str]:
    """Return (ISO date, HTTP date) of a minute since the epoch, up to its seconds."""
    when = _EPOCH + timedelta(minutes=minute)
    clock = f"{when.hour:02}:{when.minute:02}:"
    day = f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04}"
    return f"{when.year:04}-{when.month:02}-{when.day:02}T{clock}", f"{day} {clock}"


def iso_date(ms: int) -> str:
    """Write 2015-10-21T07:28:00.000Z: whole seconds, as S3 does. Requires a year 1 to 9999."""
    return f"{_minute(ms // 60_000)[0]}{ms // 1000 % 60:02}.000Z"


def http_date(ms: int) -> str:
    """Write Wed, 21 Oct 2015 07:28:00 GMT (RFC 9110, 5.6.7). Requires a year 1 to 9999."""
    return f"{_minute(ms // 60_000)[1]}{ms // 1000 % 60:02} GMT"


def read_http_date(text: str) -> int | None:
    """Read a date in any of RFC 9110's three forms; None if it is none of them."""
    for form in (_IMF, _RFC850, _ASCTIME):
        match = form.fullmatch(text.strip())
        if match is not None:
            return _read_http(match.groupdict())
    return None


def _read_http(found: dict[str, str | None]) -> int | None:
    month = (found["month"] or "").capitalize()
    if month not in _MONTHS:
        return None
    year = int(found["year"] or 0)
    if year < 100:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = (int(part) for part in (found["clock"] or "").split(":"))
    return _instant(
        (year, _MONTHS.index(month) + 1, int(found["day"] or 0), hour, minute, second),
        found.get("zone"),
    )


def read_iso_date(text: str) -> int | None:
    """Read ISO 8601 (basic or extended, or a date alone), an HTTP date, or epoch seconds.

    A time without a zone is UTC. None if it is no date.
    """
    match = _ISO.fullmatch(text.strip())
    if match is not None:
        found = match.groupdict()
        clock = [int(found[name] or 0) for name in ("year", "month", "day")]
        clock += [int(found[name] or 0) for name in ("hour", "minute", "second")]
        value = _instant(
            (clock[0], clock[1], clock[2], clock[3], clock[4], clock[5]), found["zone"]
        )
        if value is not None:
            return value + int((found["part"] or "0").ljust(3, "0")[:3])
    if _SECONDS.fullmatch(text):
        return int(float(text) * 1000)
    return read_http_date(text)


def _instant(fields: tuple[int, int, int, int, int, int], zone: str | None) -> int | None:
    year, month, day, hour, minute, second = fields
    try:
        # A leap second is read as the second before it: days here have 86,400 of them.
        when = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    if second > 60:
        return None
    ms = (when - _EPOCH) // timedelta(milliseconds=1)
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        ms -= (minutes if zone[0] == "+" else -minutes) * 60_000
    return ms
