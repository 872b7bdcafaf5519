"""Moving rows to table files: memtables one after the other, and the manifests that tell of it.

Owns: when a frozen memtable may go, what the manifest says of it, adopting manifests, checkpoints.
Does not own: taking rows (`intake`), the files (`flush`), the log (`wal.writer`), who calls.

Invariants:
1. A memtable is flushed when its last row is in the log, the oldest first, one at a time.
2. A manifest that holds a memtable's rows takes that memtable's place in one assignment.
3. A manifest of a later epoch ends this writer.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import ref

from cenote.base import Clock, Rand
from cenote.errors import ClosedError, Error, UnavailableError
from cenote.lsm.admission import STALL_SECONDS
from cenote.lsm.checkpoints import expiry_s
from cenote.lsm.flush import Flusher, layout_of
from cenote.lsm.format import BloomPolicy, Checkpoint, Manifest, UlidMint, encode_tracker, mint_uuid
from cenote.lsm.guard import Guard
from cenote.lsm.intake import Intake
from cenote.lsm.jobs import Jobs
from cenote.lsm.manifest.state import FlushMark, add_checkpoint, newest_l0_id
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.memtable import Memtable, let_go
from cenote.lsm.metrics import Metrics
from cenote.lsm.segments import SegmentExtractor
from cenote.lsm.settings import DbSettings
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.lsm.wal.writer import Callback, WalWriter, moment_of
from cenote.lsm.warm import admit_file
from cenote.lsm.writer_jobs import FlushJob
from cenote.objstore import Version

if TYPE_CHECKING:
    from cenote.lsm.merge import MergeOperator
    from cenote.lsm.place import Place

__all__ = ["Flushing", "Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a writer is made of."""

    place: Place
    settings: DbSettings
    manifests: ManifestStore
    guard: Guard
    tables: Tables
    clock: Clock
    rand: Rand
    metrics: Metrics
    merge_operator: MergeOperator | None = None
    segment_extractor: SegmentExtractor | None = None
    filter_policies: Sequence[BloomPolicy] | None = None


class Flushing(Intake):
    """An intake whose memtables go to level 0. Thread-safe."""

    background: bool
    jobs: Jobs

    def __init__(self, parts: Parts, manifest: Version[Manifest]) -> None:
        super().__init__(
            parts.settings,
            manifest.value,
            guard=parts.guard,
            tables=parts.tables,
            merge_operator=parts.merge_operator,
            segment_extractor=parts.segment_extractor,
            clock=parts.clock,
            metrics=parts.metrics,
        )
        self.place = parts.place
        self.manifests = parts.manifests
        self.rand = parts.rand
        self.epoch = manifest.value.writer_epoch
        self.compactor_epoch = manifest.value.compactor_epoch
        self.layout = layout_of(parts.settings, parts.filter_policies)
        self.mint = UlidMint(parts.clock, parts.rand)
        newest = newest_l0_id(manifest.value)
        if newest is not None:
            self.mint.raise_to(newest)  # collectors tell what is on its way by the order of ids
        self.flusher = Flusher(
            parts.place,
            parts.manifests,
            writer_epoch=self.epoch,
            layout=self.layout,
            extractor=parts.segment_extractor,
            mint=self.mint,
        )
        if parts.settings.cache_on_flush:
            self.flusher.admit = lambda handle, data: admit_file(
                self.tables.open(handle, self.place.table(handle.id)), data
            )
        self._adopted = manifest.number
        self._wal: WalWriter | None = None  # the log, also when no rows go into it
        self._waiting: list[tuple[int, Callback]] = []  # for a flush, where there is no log
        self._flush_turn = threading.RLock()

    def _shut(self, error: ClosedError) -> None:
        """Fail every call from now on. Done elsewhere."""
        raise NotImplementedError

    def require_open(self) -> None:
        """Raise ClosedError when the writer is closed, fenced or failed."""
        if self.error is not None:
            raise self.error.with_traceback(None)  # one error, raised many times

    @property
    def manifest_version(self) -> int:
        """The number of the manifest that is read from."""
        return self._adopted

    def flush_memtable(self) -> None:
        """Write all that is in memory before the call to level 0.

        Waits while level 0 is full and a compactor works here. Raises as `commit`, and
        UnavailableError(kind="l0_full").
        """
        self.require_open()
        self._flush_up_to(self._freeze_now(), waits=True)

    def _flush_up_to(self, seq: int, *, waits: bool = False, full: bool = False) -> None:
        while self.frozen_count and self.view.memtables[-1].last_seq <= seq:
            self.flush_frozen(waits=waits, full=full)

    def flush_frozen(self, *, waits: bool = False, full: bool = False) -> bool:
        """Write the oldest frozen memtable to level 0; tell whether there was one.

        Leaves it when level 0 is full: raises UnavailableError(kind="l0_full"), after waiting for
        the compactor here if `waits`; with `full` it is written all the same. Raises as `commit`.
        """
        with self._flush_turn:
            memtables = self.view.memtables
            if len(memtables) < 2:
                return False
            if self.l0_full and not full:
                self._make_room(waits)
            chains, gone = memtables[-1].chains, ref(memtables[-1])
            try:
                self._flush(memtables[-1])
            except ClosedError as error:
                self._shut(error)
                raise
            except Error as error:
                self._note_flush_error(error)
                raise
            self._flush_error = None
            self.metrics.memtables_flushed += 1
            del memtables
            if gone() is None:  # no read holds it
                let_go(chains)
            return True

    def _flush(self, memtable: Memtable) -> None:
        wal, known = self._wal, self.view.manifest
        replay_after, seen = known.replay_after_wal_id, known.wal_id_last_seen
        if wal is not None:
            wal.commit(memtable.last_seq)
            replay_after = wal.last_file_up_to(memtable.last_seq) or replay_after
            seen = wal.next_number - 1
        with self._lock:
            keep_from = min(self._pin_min, memtable.last_seq)
            samples = self.tracker.samples(memtable.last_seq)
        mark = FlushMark(
            replay_after_wal_id=replay_after,
            wal_id_last_seen=seen,
            last_l0_clock_tick=max(memtable.last_tick, known.last_l0_clock_tick),
            last_l0_seq=memtable.last_seq,
            recent_snapshot_min_seq=keep_from,
            sequence_tracker=encode_tracker(samples),
        )
        before = moment_of(self.clock)
        made = self.flusher.flush(memtable, keep_from, mark)
        self.adopt(made)
        if wal is not None:
            wal.proved(before)
            wal.forget_up_to(replay_after)

    def _make_room(self, waits: bool) -> None:
        """See that level 0 takes another file. Raises UnavailableError(kind="l0_full")."""
        self.refresh()
        if waits and self.background and self.settings.compactor.enabled:
            with self._changed:
                self._changed.wait_for(
                    lambda: not self.l0_full or self.error is not None, STALL_SECONDS
                )
            self.require_open()
        if self.l0_full:
            raise UnavailableError(
                f"level 0 holds {self.settings.l0_max_ssts} files or more",
                kind="l0_full",
                hint="compact it, or raise l0_max_ssts",
            )

    # The manifest.

    def adopt(self, version: Version[Manifest]) -> None:
        """Read from this manifest from now on, if it is newer than the one that is read from.

        Memtables whose rows it has in table files are let go. A later writer's ends this one.
        """
        manifest = version.value
        if manifest.writer_epoch > self.epoch:
            self._shut(_fenced(manifest.writer_epoch, self.epoch))
            return
        if version.number <= self._adopted:
            return
        forest = self.tables.forest(manifest)
        with self._lock:
            if version.number <= self._adopted:
                return
            self._adopted = version.number
            active, *frozen = self.view.memtables
            kept = [each for each in frozen if each.last_seq > manifest.last_l0_seq]
            self.view = View(self.tables, manifest, (active, *kept), forest=forest)
            self._flushed_seq = max(self._flushed_seq, manifest.last_l0_seq)
            self._frozen_bytes = sum(each.size for each in kept)
            told = self._press()
            durable = [each for each in self._waiting if each[0] <= self._flushed_seq]
            self._waiting = [each for each in self._waiting if each[0] > self._flushed_seq]
            self._changed.notify_all()
        for relieved in told:
            relieved(None)
        for _, callback in durable:
            callback(None)
        if kept:
            self.jobs.wake(FlushJob.name)

    def refresh(self) -> Version[Manifest]:
        """Look for a newer manifest, and read from it. Raises ClosedError, UnavailableError."""
        latest = self.manifests.refresh()
        self.adopt(latest)
        self.require_open()
        return latest

    def checkpoint(self, name: str | None = None, lifetime_ms: int | None = None) -> Checkpoint:
        """Keep the database as it is now, for `lifetime_ms` or until it is deleted.

        All that was written before the call is flushed first and is in it. Raises as
        `flush_memtable`; InvalidError(kind="invalid_lifetime").
        """
        self.require_open()
        expiry_s(self.clock.now_ms(), lifetime_ms)  # refused before anything is flushed
        self._flush_up_to(self._freeze_now(), full=True)
        now_ms = self.clock.now_ms()
        expires = expiry_s(now_ms, lifetime_ms)
        made = Checkpoint(mint_uuid(self.rand), 0, now_ms // 1000, expires, name)

        def edit(manifest: Manifest, number: int) -> Manifest | None:
            nonlocal made
            if any(each.id == made.id for each in manifest.checkpoints):
                return None  # by this very change, whose reply was lost
            made = replace(made, manifest_id=number)
            return add_checkpoint(manifest, made)

        try:
            self.adopt(self.manifests.edit(edit, writer_epoch=self.epoch))
        except ClosedError as error:
            self._shut(error)
            raise
        return made


def _fenced(stored: int, ours: int) -> ClosedError:
    return ClosedError(
        f"another writer claimed epoch {stored}; this one's is {ours}",
        reason="fenced",
        hint="whoever opened the database last is its writer",
        epoch=stored,
    )
