"""Conditional headers, as far as their spelling and the time of day decide.

Owns: which dates of conditions count.
Does not own: what must hold of an object (`cenote.buckets`), or the reading of dates (`times`).
"""

from __future__ import annotations

__all__ = ["settled_date"]


def settled_date(date_ms: int | None, now_ms: int) -> int | None:
    """Return the date of If-Modified-Since if it counts, else None.

    A date that is still to come says nothing about what the client has; S3 ignores it.
    """
    return None if date_ms is None or date_ms > now_ms else date_ms
