"""Writes that happen together.

Owns: collecting them, and making one row per key of them.
Does not own: when they happen, or their sequence number (`cenote.lsm.writer`).

All rows of a batch get one sequence number, so there is one row per key in the end: a later put or
delete replaces what came before, merges add up (on a put or a delete of the same batch they are
worked out at once).

Invariants:
1. A batch is written once: the second time would be a mistake that nobody sees.
2. What is folded shares one time of expiry: which of two should hold, nobody could tell.

Why operations are plain tuples: there are as many of them as rows, and the garbage collector looks
at instances of any other class again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from cenote.errors import InvalidError
from cenote.lsm.entry import KEY_SIZE_MAX, MERGE, PUT, TOMBSTONE, VALUE_SIZE_MAX
from cenote.lsm.merge import MergeOperator
from cenote.lsm.options import Ttl, as_key, as_value

__all__ = ["Op", "WriteBatch", "fold_chain", "no_merge_operator"]

Op = tuple[bytes, bytes, int, Ttl, "int | None"]
"""One write before it has a number and a time: key, value, kind, ttl_ms, expire_at_ms."""


class WriteBatch:
    """Writes that happen together, or not at all. Used once. Not thread-safe.

    `len` is the number of keys.

    >>> batch = WriteBatch().put(b"a", b"1").delete(b"b").put(b"a", b"2")
    >>> len(batch)
    2
    """

    __slots__ = ("_chains", "_ops", "_used")

    def __init__(self) -> None:
        self._ops: dict[bytes, Op] = {}
        self._chains: dict[bytes, list[Op]] = {}  # of keys whose merges have something below
        self._used = False

    def __len__(self) -> int:
        return len(self._ops)

    def __repr__(self) -> str:
        return f"<WriteBatch of {len(self._ops)}{', written' if self._used else ''}>"

    def put(
        self, key: bytes, value: bytes, *, ttl_ms: Ttl = None, expire_at_ms: int | None = None
    ) -> Self:
        """Add a put. Raises InvalidError when the batch was written already."""
        if (
            type(key) is not bytes
            or type(value) is not bytes
            or not 0 < len(key) <= KEY_SIZE_MAX
            or len(value) > VALUE_SIZE_MAX
        ):
            key, value = as_key(key), as_value(value)
        if self._used:
            raise _used()
        self._ops[key] = (key, value, PUT, ttl_ms, expire_at_ms)
        if self._chains:
            self._chains.pop(key, None)
        return self

    def delete(self, key: bytes) -> Self:
        """Add a delete."""
        if self._used:
            raise _used()
        key = as_key(key)
        self._ops[key] = (key, b"", TOMBSTONE, None, None)
        self._chains.pop(key, None)
        return self

    def merge(
        self, key: bytes, operand: bytes, *, ttl_ms: Ttl = None, expire_at_ms: int | None = None
    ) -> Self:
        """Add an operand for the database's merge operator."""
        if self._used:
            raise _used()
        key = as_key(key)
        op = (key, as_value(operand), MERGE, ttl_ms, expire_at_ms)
        earlier = self._ops.setdefault(key, op)
        if earlier is not op:
            self._chains.setdefault(key, [earlier]).append(op)
        return self

    def take(self, operator: MergeOperator | None) -> Sequence[Op]:
        """Give the writes away, one per key; from then on the batch counts as written.

        Raises InvalidError (kinds "batch_used", "no_merge_operator", "mixed_expiry"), and what the
        operator raises; then it does not.
        """
        if self._used:
            raise _used()
        ops = self._ops
        if self._chains:
            folded = {key: fold_chain(chain, operator) for key, chain in self._chains.items()}
            ops = ops | folded
        self._used = True
        return list(ops.values())

    def give_back(self) -> None:
        """Let it be written after all: the write it was taken for did not happen."""
        self._used = False


def fold_chain(chain: Sequence[Op], operator: MergeOperator | None) -> Op:
    """Return one operation for a put, delete or merge of a key and the merges that follow.

    Raises InvalidError (kinds "no_merge_operator", "mixed_expiry"), and what the operator raises.
    """
    first = chain[0]
    if len(chain) == 1:
        return first
    if operator is None:
        raise no_merge_operator()
    key, existing, kind, _, _ = first
    if len({op[3:] for op in chain if op[2] != TOMBSTONE}) > 1:
        raise InvalidError(
            "writes of one key in one batch are folded, and must expire together",
            kind="mixed_expiry",
            key=key,
        )
    below = existing if kind == PUT else None
    operands = [op[1] for op in (chain if kind == MERGE else chain[1:])]
    _, _, _, ttl_ms, expire_at_ms = chain[-1]
    value = operator.merge(key, below, operands)
    return key, value, MERGE if kind == MERGE else PUT, ttl_ms, expire_at_ms


def no_merge_operator() -> InvalidError:
    """Make the error of a merge in a database that was opened without an operator."""
    return InvalidError(
        "the database was opened without a merge operator",
        kind="no_merge_operator",
        hint="pass merge_operator= to open",
    )


def _used() -> InvalidError:
    return InvalidError("the batch was written already: make a new one", kind="batch_used")
