"""Writes that happen together.

Owns: collecting them, and making one row per key of them.
Does not own: when they happen, or their sequence number (`cenote.lsm.writer`).

All rows of a batch get one sequence number, so there is one row per key in the end: a later put or
delete replaces what came before, merges add up (on a put or a delete of the same batch they are
worked out at once).

Invariants:
1. A batch is written once: the second time would be a mistake that nobody sees.
2. What is folded shares one time of expiry: which of two should hold, nobody could tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from cenote.errors import InvalidError
from cenote.lsm.entry import MERGE, PUT, TOMBSTONE
from cenote.lsm.merge import MergeOperator
from cenote.lsm.options import Ttl, as_key, as_value

__all__ = ["Op", "WriteBatch", "fold_ops"]


class Op(NamedTuple):
    """One write: what is said of it, before it has a sequence number and a time."""

    key: bytes
    value: bytes
    kind: int = PUT
    ttl_ms: Ttl = None
    expire_at_ms: int | None = None


class WriteBatch:
    """Writes that happen together, or not at all. Used once. Not thread-safe.

    >>> batch = WriteBatch().put(b"a", b"1").delete(b"b")
    >>> len(batch)
    2
    """

    __slots__ = ("_ops", "_used")

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._used = False

    def __len__(self) -> int:
        return len(self._ops)

    def __repr__(self) -> str:
        return f"<WriteBatch of {len(self._ops)}{', written' if self._used else ''}>"

    def put(
        self, key: bytes, value: bytes, *, ttl_ms: Ttl = None, expire_at_ms: int | None = None
    ) -> Self:
        """Add a put. Raises InvalidError when the batch was written already."""
        return self._add(Op(as_key(key), as_value(value), PUT, ttl_ms, expire_at_ms))

    def delete(self, key: bytes) -> Self:
        """Add a delete."""
        return self._add(Op(as_key(key), b"", TOMBSTONE))

    def merge(
        self, key: bytes, operand: bytes, *, ttl_ms: Ttl = None, expire_at_ms: int | None = None
    ) -> Self:
        """Add an operand for the database's merge operator."""
        return self._add(Op(as_key(key), as_value(operand), MERGE, ttl_ms, expire_at_ms))

    def _add(self, op: Op) -> Self:
        if self._used:
            raise _used()
        self._ops.append(op)
        return self

    def take(self) -> Sequence[Op]:
        """Give the writes away, once. Raises InvalidError(kind="batch_used")."""
        if self._used:
            raise _used()
        self._used = True
        return self._ops

    def give_back(self) -> None:
        """Let it be written after all: the write it was taken for did not happen."""
        self._used = False


def fold_ops(ops: Sequence[Op], operator: MergeOperator | None) -> Sequence[Op]:
    """Return the same writes with one per key, in the order the keys came first.

    Raises InvalidError (kind "no_merge_operator", "mixed_expiry"), and what the operator raises.
    """
    merges = any(op[2] == MERGE for op in ops)
    if merges and operator is None:
        raise no_merge_operator()
    if not merges or operator is None:
        latest = {op[0]: op for op in ops}
        return ops if len(latest) == len(ops) else list(latest.values())
    pending: dict[bytes, list[Op]] = {}
    for op in ops:
        earlier = pending.get(op.key)
        if earlier is None or op.kind != MERGE:
            pending[op.key] = [op]
        else:
            earlier.append(op)
    return [chain[0] if len(chain) == 1 else _folded(chain, operator) for chain in pending.values()]


def _folded(chain: Sequence[Op], operator: MergeOperator) -> Op:
    base = chain[0] if chain[0].kind != MERGE else None
    operands = chain[1:] if base is not None else chain
    said = {(op.ttl_ms, op.expire_at_ms) for op in chain if op.kind != TOMBSTONE}
    if len(said) > 1:
        raise InvalidError(
            "writes of one key in one batch are folded, and must expire together",
            kind="mixed_expiry",
            key=chain[0].key,
        )
    existing = base.value if base is not None and base.kind == PUT else None
    key = chain[0].key
    value = operator.merge(key, existing, [op.value for op in operands])
    last = chain[-1]
    return Op(key, value, MERGE if base is None else PUT, last.ttl_ms, last.expire_at_ms)


def no_merge_operator() -> InvalidError:
    """Make the error of a merge in a database that was opened without an operator."""
    return InvalidError(
        "the database was opened without a merge operator",
        kind="no_merge_operator",
        hint="pass merge_operator= to open",
    )


def _used() -> InvalidError:
    return InvalidError("the batch was written already: make a new one", kind="batch_used")
