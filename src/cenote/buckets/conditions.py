"""Conditions of writes and reads, decided against the record at hand.

Owns: which condition holds of which object, and the error that says it does not.
Does not own: how a header spells it (`cenote.s3`).

Invariants:
1. A write's condition is decided inside the change that writes, so of N writers that all demand
   the key's absence, or one and the same ETag, exactly one gets through.
2. What AWS refuses for want of meaning is refused here too, before anything is read.

Sources: AWS, "How to prevent object overwrites with conditional writes", "How to perform
conditional deletes"; RFC 9110, 13.1 and 13.2.2. A conditional delete of an absent key is
NoSuchKey: AWS answers so, though its guide says 412 in one place.
"""

from __future__ import annotations

from cenote.buckets.model import NO_READ_CONDITIONS, Conditions, ReadConditions
from cenote.errors import NotFoundError, PreconditionError, UnsupportedError
from cenote.ports import ObjectRecord

__all__ = [
    "check_form",
    "check_read",
    "check_source",
    "check_write",
    "no_such_key",
    "same_etag",
]


def no_such_key(key: str) -> NotFoundError:
    """Make the error of an absent key."""
    return NotFoundError("the key does not exist", kind="no_such_key", key=key)


def same_etag(given: str, etag: str) -> bool:
    """Tell whether `given`, with or without quotes, is strongly equal to a stored `etag`."""
    given = given.strip()
    if len(given) >= 2 and given[0] == '"' == given[-1]:
        given = given[1:-1]
    return given == etag


def check_form(conditions: Conditions) -> None:
    """Refuse conditions that have no meaning for a write, whatever is stored.

    Raises UnsupportedError(kind="not_implemented", header=...): both conditions at once, or an
    ETag in If-None-Match.
    """
    absent, match = conditions.if_none_match, conditions.if_match
    if absent is None:
        return
    if match is not None:
        header = "If-Match,If-None-Match"
    elif absent.strip() != "*":
        header = "If-None-Match"
    else:
        return
    raise UnsupportedError(
        "this combination or value of conditions is not implemented for writes",
        kind="not_implemented",
        header=header,
    )


def check_write(conditions: Conditions, key: str, current: ObjectRecord | None) -> None:
    """Refuse a write whose condition does not hold of the key's current object.

    Raises NotFoundError(kind="no_such_key") for If-Match on an absent key;
    PreconditionError(condition="If-Match" or "If-None-Match").
    """
    if conditions.if_none_match is not None and current is not None:
        raise _failed("If-None-Match", key)
    if conditions.if_match is not None:
        if current is None:
            raise no_such_key(key)
        if conditions.if_match.strip() != "*" and not same_etag(conditions.if_match, current.etag):
            raise _failed("If-Match", key)


def check_read(conditions: ReadConditions, record: ObjectRecord) -> None:
    """Refuse a read whose conditions do not hold, in RFC 9110's order of precedence.

    Raises PreconditionError: kind "precondition_failed", or "not_modified" (context: etag,
    modified_ms) where the caller's copy is still good.
    """
    if conditions is NO_READ_CONDITIONS:
        return
    second = record.modified_ms // 1000
    if conditions.if_match is not None:
        if not _listed(conditions.if_match, record.etag, weak=False):
            raise _failed("If-Match", record.key)
    elif (
        conditions.if_unmodified_since_ms is not None
        and second > conditions.if_unmodified_since_ms // 1000
    ):
        raise _failed("If-Unmodified-Since", record.key)
    if conditions.if_none_match is not None:
        if _listed(conditions.if_none_match, record.etag, weak=True):
            raise _not_modified("If-None-Match", record)
    elif (
        conditions.if_modified_since_ms is not None
        and second <= conditions.if_modified_since_ms // 1000
    ):
        raise _not_modified("If-Modified-Since", record)


def check_source(conditions: ReadConditions, record: ObjectRecord) -> None:
    """Refuse a copy whose source's conditions do not hold: as `check_read`, but never 304.

    Raises PreconditionError(condition="x-amz-copy-source-If-...").
    """
    try:
        check_read(conditions, record)
    except PreconditionError as error:
        header = f"x-amz-copy-source-{error.context['condition']}"
        raise _failed(header, record.key) from None


def _listed(given: str, etag: str, *, weak: bool) -> bool:
    for item in given.split(","):
        tag = item.strip()
        if tag == "*":
            return True
        if tag.startswith("W/"):
            if not weak:
                continue
            tag = tag[2:]
        if same_etag(tag, etag):
            return True
    return False


def _failed(condition: str, key: str) -> PreconditionError:
    return PreconditionError(
        "at least one of the preconditions does not hold", condition=condition, key=key
    )


def _not_modified(condition: str, record: ObjectRecord) -> PreconditionError:
    return PreconditionError(
        "the object was not modified",
        kind="not_modified",
        condition=condition,
        key=record.key,
        etag=record.etag,
        modified_ms=record.modified_ms,
    )
