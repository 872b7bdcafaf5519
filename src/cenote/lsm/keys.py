"""Keys and ranges of keys.

Owns: bounds, ranges, the successor of a prefix, the shortest key that parts two neighbours.
Does not own: which rows lie in a range.

Invariants:
1. Keys are ordered as unsigned bytes; a key has at least one byte.
2. A `KeyRange` keeps its bounds as they were said: a file that is read and written again says the
   same. `KeyRange.span` turns it into a half-open pair, which loses nothing, since the successor
   of a key is the key with one zero byte more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cenote.errors import InvalidError
from cenote.lsm.entry import KEY_SIZE_MAX

__all__ = ["Bound", "BoundKind", "KeyRange", "check_key", "prefix_successor", "separator"]


class BoundKind(IntEnum):
    """How a range ends on one side; the numbers are those of the files."""

    UNBOUNDED = 1
    INCLUDED = 2
    EXCLUDED = 3


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range. `key` is empty when there is no bound."""

    kind: BoundKind = BoundKind.UNBOUNDED
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys between two bounds."""

    start: Bound = Bound()
    end: Bound = Bound()

    def span(self) -> tuple[bytes, bytes | None]:
        """Return the same keys as `start <= key < end`; None is no end."""
        start, end = self.start, self.end
        first = start.key + b"\0" if start.kind is BoundKind.EXCLUDED else start.key
        if end.kind is BoundKind.UNBOUNDED:
            return first, None
        return first, end.key + b"\0" if end.kind is BoundKind.INCLUDED else end.key

    def contains(self, key: bytes) -> bool:
        """Tell whether `key` lies within both bounds."""
        start, end = self.span()
        return start <= key and (end is None or key < end)


def check_key(key: bytes) -> bytes:
    """Return `key` when it can be stored. Raises InvalidError for an empty or a huge one."""
    if not key:
        raise InvalidError("a key must have at least one byte", kind="empty_key")
    if len(key) > KEY_SIZE_MAX:
        raise InvalidError("a key is longer than 4 GiB", kind="key_too_long", size=len(key))
    return key


def prefix_successor(prefix: bytes) -> bytes | None:
    """Return the least key above every key that starts with `prefix`; None if there is none."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes((cut[-1] + 1,)) if cut else None


def separator(before: bytes, after: bytes) -> bytes:
    """Return the shortest prefix of `after` that is above `before`; `after` if they are equal.

    Requires: `before` <= `after`.
    """
    if before == after:
        return after
    shared = 0
    for a, b in zip(before, after, strict=False):
        if a != b:
            break
        shared += 1
    return after[: shared + 1]
