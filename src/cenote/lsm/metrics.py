"""What a database counts.

Owns: every figure's name and meaning, in one table; counting them.
Does not own: serving them (`cenote.base.metrics` has the text format).

Invariants:
1. A figure that is not in the table cannot be counted: it is an AttributeError.
2. Counting is one addition to an attribute, so that it may stand on the path of a get. Between
   threads of an interpreter without a global lock a count may be lost; nothing else depends on it.

Why not the counters of `cenote.base.metrics`: theirs is a dictionary update, which a get from the
memtable would feel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, get_args, get_type_hints

from msgspec import Struct, field

from cenote.base import Figure, exposition_of

__all__ = ["COUNTERS", "GAUGES", "Metrics"]

PREFIX: Final = "cenote_db_"

GAUGES: Final[dict[str, str]] = {
    "last_seq": "the sequence number of the newest write",
    "durable_seq": "the sequence number up to which all is durable",
    "unflushed_bytes": "bytes in memtables",
    "unflushed_limit_bytes": "bytes in memtables at which writes wait",
    "l0_ssts": "table files in level 0, in the segment that has most",
    "sorted_runs": "sorted runs, over all segments",
    "segments": "segments",
    "manifest_version": "the number of the manifest that is known",
    "manifest_bytes": "bytes of the manifest that is known",
    "checkpoints": "checkpoints the manifest holds",
    "cache_bytes": "bytes in the block cache",
    "snapshots": "snapshots, scans and transactions that hold old versions",
}


class Metrics(Struct):
    """The figures of one database: `metrics.gets += 1`, and `figures()` for all of them.

    What stands beside a counter is its meaning, as it is published.
    """

    gets: Annotated[int, "keys that were looked for"] = 0
    gets_fetched: Annotated[
        int, "keys for which something had to be looked for outside the memory's indexes"
    ] = 0
    scans: Annotated[int, "scans that were begun"] = 0
    writes: Annotated[int, "puts, deletes, merges and batches that were written"] = 0
    wal_puts: Annotated[int, "log files that were put"] = 0
    wal_bytes: Annotated[int, "bytes of the log files that were put"] = 0
    wal_repeats: Annotated[
        int, "puts of log files that were repeated, since nobody knew whether they had worked"
    ] = 0
    memtables_flushed: Annotated[int, "memtables that were written as table files"] = 0
    l0_bytes: Annotated[int, "bytes of the table files that memtables were written as"] = 0
    stalls: Annotated[int, "writes that had to wait for memory to be flushed"] = 0
    stall_ms: Annotated[int, "milliseconds that writes waited for memory to be flushed"] = 0
    block_hits: Annotated[int, "blocks that were found in the cache"] = 0
    cache_evictions: Annotated[int, "blocks, indexes and filters that made room in the cache"] = 0
    block_misses: Annotated[int, "blocks that were not in the cache"] = 0
    meta_misses: Annotated[int, "indexes and filters that were not in the cache"] = 0
    compactions: Annotated[int, "compactions that were finished"] = 0
    compactions_failed: Annotated[int, "compactions that failed"] = 0
    compacted_bytes_in: Annotated[int, "bytes of the table files that were compacted"] = 0
    compacted_bytes_out: Annotated[int, "bytes of the table files that compactions wrote"] = 0
    gc_runs: Annotated[int, "collections of files nobody needs"] = 0
    gc_deleted: Annotated[int, "files that were deleted since nobody needs them"] = 0
    gc_deleted_bytes: Annotated[int, "bytes of files that were deleted since nobody needs them"] = 0
    transactions: Annotated[int, "transactions that were begun"] = 0
    transactions_committed: Annotated[int, "transactions that were committed"] = 0
    transaction_conflicts: Annotated[int, "transactions that were refused for a conflict"] = 0

    readers: dict[str, Callable[[], float]] = field(default_factory=dict)

    def read_by(self, name: str, read: Callable[[], float]) -> None:
        """Have `name` read by `read`: a gauge, or a counter that somebody else counts.

        Raises KeyError for a figure that is not in the tables.
        """
        if name not in GAUGES and name not in COUNTERS:
            raise KeyError(name)
        self.readers[name] = read

    def value(self, name: str) -> float:
        """Return what one figure stands at. Raises AttributeError for an unknown one."""
        read = self.readers.get(name)
        return float(read() if read is not None else getattr(self, name))

    def figures(self) -> list[Figure]:
        """Return every figure, in the order of the tables, but for gauges nobody reads."""
        made = [
            Figure(f"{PREFIX}{name}_total", text, "counter", (), (), [((), [self.value(name)])])
            for name, text in COUNTERS.items()
        ]
        for name, text in GAUGES.items():
            if (read := self.readers.get(name)) is not None:
                made.append(Figure(PREFIX + name, text, "gauge", (), (), [((), [read()])]))
        return made

    def exposition(self) -> str:
        """Return every figure in Prometheus's text format."""
        return exposition_of(self.figures())


def _meaning(hint: object) -> str:
    text: str = get_args(hint)[1]
    return text


COUNTERS: Final[dict[str, str]] = {
    name: _meaning(hint)
    for name, hint in get_type_hints(Metrics, include_extras=True).items()
    if name != "readers"
}
"""Every counter and its meaning."""
