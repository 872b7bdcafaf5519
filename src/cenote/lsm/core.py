"""An open database: what both faces stand on.

Owns: opening and ending, the parts that belong to one database, what a fork does to it.
Does not own: how calls look (`db`, `async_db`), any of the parts.

Invariants:
1. There is one `Core` for each writer. A face adds waiting to it, nothing else.
2. After a fork the child's copy raises ClosedError from every call and writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakSet

from msgspec import Struct

from cenote.base import Clock, Rand
from cenote.errors import InvalidError, UnsupportedError
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.compact.policy import Scheduler
from cenote.lsm.compact.retention import CompactionFilter
from cenote.lsm.compact.setup import runner_of
from cenote.lsm.compact.spec import Spec
from cenote.lsm.format import BloomPolicy
from cenote.lsm.gc.sweep import Collector, GcJob
from cenote.lsm.head import HeadSource
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.opening import open_writer
from cenote.lsm.place import open_place
from cenote.lsm.segments import SegmentExtractor
from cenote.lsm.settings import DbSettings, db_settings
from cenote.lsm.status import Status, status_of
from cenote.lsm.transaction import Transactions
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.reader import Changes
from cenote.lsm.writer import Writer
from cenote.objstore import ObjectStore

__all__ = ["Core", "OpenOptions"]

_COLLECT: Final = "collect"


class OpenOptions(Struct, frozen=True, kw_only=True):
    """What a database is opened with; see `Db.open`."""

    path: str | None = None
    wal: str | ObjectStore | None = None
    settings: DbSettings | Mapping[str, Any] | None = None
    merge_operator: MergeOperator | None = None
    segment_extractor: SegmentExtractor | None = None
    filter_policies: Sequence[BloomPolicy] | None = None
    clock: Clock | None = None
    rand: Rand | None = None
    scheduler: Scheduler | None = None
    compaction_filter: CompactionFilter | None = None
    background: bool = True


class Core:
    """An open database. Thread-safe."""

    def __init__(self, writer: Writer, options: OpenOptions) -> None:
        self.writer = writer
        self.head = HeadSource(writer)
        self.transactions = Transactions(writer)
        settings = writer.settings
        self.compactor: Compactor | None = None
        self.collecting: GcJob | None = None
        if settings.compactor.enabled:
            self.compactor = Compactor.attach(
                writer,
                scheduler=options.scheduler,
                compaction_filter=options.compaction_filter,
            )
        if settings.gc.enabled:
            collector = Collector(
                writer.place,
                settings.gc,
                clock=writer.clock,
                rand=writer.rand,
                manifests=writer.manifests,
            )
            self.collecting = GcJob(collector, settings.gc, writer.clock)
            writer.jobs.add(self.collecting, _COLLECT)
        _watch(self)
        _OPEN.add(self)

    @classmethod
    def open(cls, where: str | ObjectStore, options: OpenOptions) -> Core:
        """Open the database at `where`. Raises as `Db.open`."""
        settings = _settings(options.settings)
        place = open_place(
            where, options.path, wal=options.wal, clock=options.clock, rand=options.rand
        )
        writer: Writer | None = None
        core: Core | None = None
        try:
            if settings.compactor.enabled:
                runner_of(place, settings.compactor)  # refused before anything is written
            writer = open_writer(
                place,
                settings,
                merge_operator=options.merge_operator,
                segment_extractor=options.segment_extractor,
                filter_policies=options.filter_policies,
                clock=options.clock,
                rand=options.rand,
                metrics=Metrics(),
                background=options.background,
            )
            core = cls(writer, options)
            return core
        finally:
            if core is None:
                if writer is not None:
                    writer.abandon()
                place.close()

    def close(self, flush: bool) -> None:
        """End the writer and close what was opened for it. Harmless when repeated."""
        try:
            self.writer.close(flush=flush)
        finally:
            try:
                if self.compactor is not None:
                    self.compactor.close()
            finally:
                self.writer.place.close()

    def compact(self, spec: Spec | None, rewrite: bool) -> None:
        """Flush what is in memory and compact it in this thread. Raises as `Db.compact`."""
        writer, compactor = self.writer, self.compactor
        writer.require_open()
        if compactor is None:
            raise UnsupportedError(
                "this database does not compact: its setting compactor.enabled is off",
                kind="no_compactor",
                hint="ask whoever compacts it, by `cenote db compact`",
            )
        if spec is None:
            if writer.l0_full:
                compactor.compact()
            writer.flush_memtable()
        compactor.compact(spec, rewrite=rewrite)

    def changes(self, after_seq: int | None, after_wal: int | None) -> Changes:
        """Return the change feed. Raises as `Changes`."""
        writer = self.writer
        files = WalFiles(writer.place.wal_store, writer.place.root)
        return Changes(files, after_seq=after_seq, after_wal=after_wal, clock=writer.clock)

    def status(self) -> Status:
        """Return how it is doing. Never raises ClosedError."""
        return status_of(self.writer, self.transactions.remembered)


def _settings(given: DbSettings | Mapping[str, Any] | None) -> DbSettings:
    if given is None:
        return DbSettings()
    if isinstance(given, DbSettings):
        return given
    if isinstance(given, Mapping):
        return db_settings(dict(given))
    raise InvalidError(
        f"settings are a DbSettings or a mapping, not {type(given).__name__}",
        kind="invalid_setting",
    )


def _watch(core: Core) -> None:
    """Have the figures that others count, and the gauges, read where they are."""
    writer, collecting = core.writer, core.collecting
    metrics, log, counts = writer.metrics, writer.log, writer.tables.cache.counts
    readers: dict[str, Callable[[], float]] = {
        "block_hits": lambda: counts.hits,
        "block_misses": lambda: counts.misses,
        "meta_misses": lambda: counts.meta_misses,
        "cache_evictions": lambda: counts.evictions,
        "l0_bytes": lambda: writer.flusher.put_bytes,
        "last_seq": lambda: writer.last_seq,
        "durable_seq": lambda: writer.durable_seq,
        "unflushed_bytes": lambda: writer.pressure().unflushed_bytes,
        "unflushed_limit_bytes": lambda: writer.settings.unflushed_size_max,
        "l0_ssts": lambda: writer.l0_count,
        "sorted_runs": lambda: sum(len(tree.runs) for tree in writer.view.manifest.trees()),
        "segments": lambda: len(writer.view.manifest.segments),
        "manifest_version": lambda: writer.manifest_version,
        "checkpoints": lambda: len(writer.view.manifest.checkpoints),
        "cache_bytes": lambda: writer.tables.cache.size,
        "snapshots": lambda: writer.pins,
    }
    if log is not None:
        readers["wal_puts"] = lambda: log.puts
        readers["wal_bytes"] = lambda: log.put_bytes
        readers["wal_repeats"] = lambda: log.repeats
    if collecting is not None:
        readers["gc_runs"] = lambda: collecting.runs
        readers["gc_deleted"] = lambda: collecting.deleted
        readers["gc_deleted_bytes"] = lambda: collecting.deleted_bytes
    for name, read in readers.items():
        metrics.read_by(name, read)


_OPEN: WeakSet[Core] = WeakSet()


def _after_fork() -> None:
    for core in list(_OPEN):
        core.writer.disown()


os.register_at_fork(after_in_child=_after_fork)
