"""Which versions of a key outlive a compaction.

Owns: the rule, as a function on the versions of a key. Does not own: where they come from.

The rule, from the newest version to the oldest: a value whose time is over becomes a tombstone, an
operand whose time is over goes; versions above `seq_min` stay, since a snapshot may see any of
them; of the others, all snapshots see the same, so one is enough: the first that is no operand,
with the operands above it. Older ones go. At the bottom of the tree tombstones that nothing lies
below go as well.

With an operator, operands that all snapshots see become one: with the value below them a value,
with nothing below them an operand. They are merged only with what expires at the same time, since
what is merged has one expiry. Without an operator they stay as they are.

Invariants:
1. For every reader at a sequence number of `seq_min` or above, and any time not before `now_ms`,
   what is seen of the key is the same before and after.
2. Rows come out in the order of a table, and no row has a number that it did not have.
3. An exception of the operator or the filter leaves as it is.

Why time is the database's last clock tick, unless the compactor lives with the writer or was asked
to rewrite: a machine whose clock is ahead would end values early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Final, Protocol

from cenote.errors import DataError, InvalidError
from cenote.lsm.entry import MERGE, PUT, TOMBSTONE, Entry, Row
from cenote.lsm.merge import MergeOperator

__all__ = ["KEEP", "REMOVE", "CompactionFilter", "Retention", "Verdict"]


class Verdict(Enum):
    """What becomes of a value: it stays, or is deleted."""

    KEEP = "keep"
    REMOVE = "remove"


KEEP: Final = Verdict.KEEP
REMOVE: Final = Verdict.REMOVE


class CompactionFilter(Protocol):
    """Decides on values while they are compacted.

    It is asked about a key's value when no snapshot can see an older one, each time the value is
    compacted; about others it is not asked. It runs in the compactor's thread, and must be quick.
    """

    @property
    def name(self) -> str:
        """What to call the filter in messages."""
        ...

    def decide(self, entry: Entry) -> Verdict | bytes:
        """Return KEEP, REMOVE (as if the key had been deleted), or another value."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """The rule's parameters. `bottom`: nothing older lies below the compaction's output."""

    seq_min: int
    now_ms: int
    bottom: bool
    operator: MergeOperator | None = None
    filter: CompactionFilter | None = None

    def retain(self, rows: Sequence[Row]) -> list[Row]:
        """Return what is left of rows in a table's order, every version of each key among them.

        Raises DataError for rows out of order, InvalidError for what a callback returned, and what
        a callback raises. Cost: 0.2 us a row.
        """
        kept: list[Row] = []
        append = kept.append
        plain = self.filter is None
        at, count = 0, len(rows)
        while at < count:
            row = rows[at]
            key = row[0]
            end = at + 1
            if end == count or rows[end][0] != key:
                if plain and row[3] == PUT and row[5] is None:
                    append(row)
                else:
                    kept += self.versions((row,))
            else:
                while end < count and rows[end][0] == key:
                    end += 1
                kept += self.versions(rows[at:end])
            at = end
        return kept

    def versions(self, versions: Sequence[Row]) -> list[Row]:
        """Return what is left of the versions of one key, newest first."""
        kept: list[Row] = []
        seen = 0  # how many of them are above `seq_min`
        last = None
        enough = False
        for row in versions:
            key, _, seq, kind, create_ts, expire_ts = row
            if last is not None and seq >= last:
                if seq == last:
                    continue  # the same write, from two files
                raise DataError(
                    "a newer version of a key lies below an older one", kind="row_order"
                )
            last = seq
            if enough:
                continue
            if expire_ts is not None and expire_ts <= self.now_ms:
                if kind == MERGE:
                    continue
                kind = TOMBSTONE
                row = (key, b"", seq, kind, create_ts, None)
            kept.append(row)
            if seq > self.seq_min:
                seen += 1
            else:
                enough = kind != MERGE
        if len(kept) > seen:
            kept[seen:] = self._settle(kept[seen:])
        if self.bottom:
            while kept and kept[-1][3] == TOMBSTONE:
                kept.pop()
        return kept

    def _settle(self, rows: list[Row]) -> list[Row]:
        """Return what is left of the versions that no snapshot tells apart."""
        first = rows[0]
        if first[3] == MERGE:
            return rows if self.operator is None else _fold(rows, self.operator, self.bottom)
        if first[3] == PUT and self.filter is not None:
            return [_filtered(first, self.filter)]
        return rows


def _fold(rows: list[Row], operator: MergeOperator, bottom: bool) -> list[Row]:
    """Merge operands, newest first, with each other and what is below them."""
    base = rows.pop() if rows[-1][3] != MERGE else None
    folded: list[Row] = []  # oldest first
    groups = [list(group) for _, group in groupby(reversed(rows), lambda row: row[5])]
    if base is None and not bottom:
        folded += [_merged(operator, None, groups.pop(0), MERGE)]
    elif base is None or base[3] == TOMBSTONE:
        folded += [_merged(operator, None, groups.pop(0), PUT)]
    elif base[5] == groups[0][0][5]:
        folded += [_merged(operator, base, groups.pop(0), PUT)]
    else:
        folded += [base]
    folded += [_merged(operator, None, group, MERGE) for group in groups]
    return folded[::-1]


def _merged(operator: MergeOperator, base: Row | None, operands: list[Row], kind: int) -> Row:
    """Return the row that operands, oldest first, and the value below them make."""
    newest = operands[-1]
    if kind == MERGE and len(operands) == 1:
        return newest
    value = operator.merge(
        newest[0], None if base is None else base[1], [row[1] for row in operands]
    )
    if not isinstance(value, bytes):
        raise InvalidError(
            f"the merge operator returned {type(value).__name__}, not bytes", kind="merge_operator"
        )
    times = [row[4] for row in (*operands, *(() if base is None else (base,)))]
    create_ts = max([time for time in times if time is not None], default=None)
    return newest[0], value, newest[2], kind, create_ts, newest[5]


def _filtered(row: Row, decide: CompactionFilter) -> Row:
    key, _, seq, kind, create_ts, expire_ts = row
    verdict = decide.decide(Entry(*row))
    if verdict is KEEP:
        return row
    if verdict is REMOVE:
        return key, b"", seq, TOMBSTONE, create_ts, None
    if isinstance(verdict, bytes):
        return key, verdict, seq, kind, create_ts, expire_ts
    raise InvalidError(
        f"the compaction filter {decide.name} returned {type(verdict).__name__}",
        kind="compaction_filter",
    )
