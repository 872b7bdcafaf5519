"""What a caller may say with one operation.

Owns: the sentinels, the checks of what is passed in, when a row expires, how a read reads.
Does not own: settings of a whole database (`cenote.lsm.settings`).

Invariants:
1. Keys and values are bytes. Text is refused with a message that says what to do: encoded by
   whoever knows the encoding, or it would be guessed here.
2. Times are milliseconds; a row whose `expire_ts` is not above the clock is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from cenote.errors import InvalidError
from cenote.lsm.entry import KEY_SIZE_MAX

if TYPE_CHECKING:
    from cenote.lsm.merge import MergeOperator

__all__ = [
    "NEVER",
    "READAHEAD_MAX",
    "READAHEAD_MIN",
    "Isolation",
    "Never",
    "Reading",
    "Ttl",
    "as_bound",
    "as_key",
    "as_value",
    "expiry_of",
]

Isolation = Literal["snapshot", "serializable"]
"""What a transaction conflicts with: writes of what it wrote, or of what it read as well."""

# A signed 64-bit number of milliseconds holds it all.
TIME_MAX: Final = 2**63 - 1


class Never(Enum):
    """The type of `NEVER`."""

    NEVER = "never"

    def __repr__(self) -> str:
        return "cenote.NEVER"


NEVER: Final = Never.NEVER
"""As `ttl_ms`: the row does not expire, whatever the database's default is."""

Ttl = int | Never | None
"""Milliseconds a row lives; None is the database's default."""


# A scan's fetches double from the one to the other: a few rows cost one small request, many rows
# few large ones.
READAHEAD_MIN: Final = 16 * 1024
READAHEAD_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """How a read reads. One value serves any number of reads.

    now_ms: tells the time that rows expire by; asked only when a row has an expiry.
    seq_max: rows above this sequence number are not seen; None: the newest of each key.
    operator: what merges operands; without one, a read that meets an operand is an InvalidError.
    cache_blocks: whether blocks that had to be fetched are kept.
    readahead: how many bytes a scan asks for at once when it has read some, per run of tables.
    """

    now_ms: Callable[[], int]
    seq_max: int | None = None
    operator: MergeOperator | None = None
    cache_blocks: bool = True
    readahead: int = READAHEAD_MAX


def as_key(key: object) -> bytes:
    """Return a key as bytes. Raises TypeError, InvalidError (empty, or above 4 GiB)."""
    if type(key) is not bytes:
        key = _as_bytes(key, "key")
    if not key:
        raise InvalidError("a key must have at least one byte", kind="empty_key")
    if len(key) > KEY_SIZE_MAX:
        raise InvalidError("a key is longer than 4 GiB", kind="key_too_long", size=len(key))
    return key


def as_value(value: object) -> bytes:
    """Return a value as bytes. Raises TypeError, InvalidError (above 4 GiB)."""
    if type(value) is not bytes:
        value = _as_bytes(value, "value")
    if len(value) > KEY_SIZE_MAX:
        raise InvalidError("a value is longer than 4 GiB", kind="value_too_long", size=len(value))
    return value


def as_bound(key: object, name: str) -> bytes | None:
    """Return one end of a range as bytes; None is no end. An empty one is allowed."""
    return None if key is None else key if type(key) is bytes else _as_bytes(key, name)


def _as_bytes(data: object, what: str) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    hint = ": encode it, as in text.encode()" if isinstance(data, str) else ""
    raise TypeError(f"a {what} is bytes, not {type(data).__name__}{hint}")


def expiry_of(
    ttl_ms: Ttl, expire_at_ms: int | None, default_ms: int | None, now_ms: int
) -> int | None:
    """Return when a row written at `now_ms` expires; None is never.

    Raises InvalidError(kind="invalid_ttl") for a time that is not positive, for both ways at once,
    or for a time beyond what a row can hold.
    """
    if expire_at_ms is not None:
        if ttl_ms is not None:
            raise InvalidError("say ttl_ms or expire_at_ms, not both", kind="invalid_ttl")
        _check_time(expire_at_ms, "expire_at_ms")
        return expire_at_ms
    if ttl_ms is None:
        return None if default_ms is None else now_ms + default_ms
    if isinstance(ttl_ms, Never):
        return None
    _check_time(ttl_ms, "ttl_ms")
    return min(now_ms + ttl_ms, TIME_MAX)


def _check_time(value: int, name: str) -> None:
    if type(value) is not int:
        raise TypeError(f"{name} is a whole number of milliseconds, not {type(value).__name__}")
    if not 0 < value <= TIME_MAX:
        raise InvalidError(f"{name} must be 1 to 2**63 - 1, not {value}", kind="invalid_ttl")
