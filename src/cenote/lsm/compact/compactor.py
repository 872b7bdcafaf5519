"""A compactor: in the writer's process, or on its own.

Owns: when to look for work, slices of it as a job, compactions on request, the end.
Does not own: what is decided (`coordinator`) and done (`worker`).

In the writer's process it shares the writer's manifests, and the writer's changes wake it: while
nothing is written, it asks the store for nothing. It looks into the compactions file when there is
something to compact, or when it is woken and has not looked for a while; so what other processes
submit waits for the writer's next flush. On its own it looks every `poll_ms`.

Invariants:
1. It is a job of one lane, and each run of it is short: a slice of merging, or one turn.
2. Who claimed the epoch last is the compactor; an earlier one ends itself, and its database, where
   there is one, goes on. That one's compactor comes back when nobody else compacts (`comeback`).
3. A failed compaction changes nothing but its own entry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ClosedError, Error, UnavailableError
from cenote.lsm.compact.comeback import Comeback
from cenote.lsm.compact.coordinator import Coordinator
from cenote.lsm.compact.entries import active, find, local_worker_id
from cenote.lsm.compact.job import Tools
from cenote.lsm.compact.policy import Scheduler, SizeTiered, full_spec
from cenote.lsm.compact.setup import claim_compactor, make_tools, runner_of, submit
from cenote.lsm.compact.spec import Spec
from cenote.lsm.compact.worker import Result, Worker
from cenote.lsm.format import (
    BloomPolicy,
    Compaction,
    CompactionStatus,
    Manifest,
    UlidMint,
)
from cenote.lsm.jobs import COMPACT, Job, Jobs
from cenote.lsm.manifest.store import CompactionsStore
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.settings import DbSettings
from cenote.objstore import Version

if TYPE_CHECKING:
    from cenote.lsm.compact.retention import CompactionFilter
    from cenote.lsm.place import Place
    from cenote.lsm.writer import Writer

__all__ = ["Compactor"]


class Compactor:
    """A compactor. Thread-safe. A job named "compact"."""

    name: Final = "compact"

    def __init__(
        self,
        tools: Tools,
        epoch: int,
        *,
        scheduler: Scheduler | None = None,
        works: bool = True,
        polls: bool = True,
    ) -> None:
        """See `attach` and `open`. `works`: whether it does compactions itself; `polls`: looks."""
        self._tools = tools
        settings = tools.settings
        self._mint = UlidMint(tools.clock, tools.rand)
        self._works = works
        self._scheduler = scheduler or SizeTiered(
            settings.sources_min, settings.sources_max, settings.size_ratio
        )
        self._polls = polls
        self._begin(epoch)
        self._poll = settings.poll_ms / 1000
        self._looked_at: float | None = None
        self._lock = threading.RLock()
        self._manual = threading.Lock()  # taken before `_lock`
        self._wake: Callable[[], None] = lambda: None
        self._jobs: Jobs | None = None
        self._place: Place | None = None
        self._comeback: Comeback | None = None
        self.error: BaseException | None = None
        self.closed = False

    def _begin(self, epoch: int) -> None:
        worker_id = local_worker_id(epoch, self._mint.mint())
        # In the writer's process the clock is the one that rows' times come from.
        by_clock = not self._polls
        self._worker = Worker(self._tools, worker_id, by_clock=by_clock) if self._works else None
        self._coordinator = Coordinator(self._tools, epoch, self._scheduler, self._worker)
        self._results: list[Result] = []

    @classmethod
    def attach(
        cls,
        writer: Writer,
        *,
        scheduler: Scheduler | None = None,
        compaction_filter: CompactionFilter | None = None,
    ) -> Compactor:
        """Return the compactor of a writer, which claimed its epoch, among the writer's jobs."""
        tools = Tools(
            place=writer.place,
            manifests=writer.manifests,
            compactions=CompactionsStore(writer.place.store, writer.place.root, rand=writer.rand),
            settings=writer.settings.compactor,
            layout=writer.layout,
            clock=writer.clock,
            rand=writer.rand,
            operator=writer.merge_operator,
            filter=compaction_filter,
            metrics=writer.metrics,
            runner=runner_of(writer.place, writer.settings.compactor),
            ahead=writer.background and writer.place.is_remote,
        )
        made = cls(tools, writer.compactor_epoch, scheduler=scheduler, polls=False)
        made._comeback = Comeback(tools, writer)
        writer.jobs.add(made, COMPACT)
        made._wake = lambda: writer.jobs.wake(cls.name)
        writer.manifests.watch(made.notify)
        if made._coordinator.has_work():
            made._wake()
        return made

    @classmethod
    def open(
        cls,
        place: Place,
        settings: DbSettings | None = None,
        *,
        merge_operator: MergeOperator | None = None,
        filter_policies: Sequence[BloomPolicy] | None = None,
        compaction_filter: CompactionFilter | None = None,
        scheduler: Scheduler | None = None,
        works: bool = True,
        clock: Clock | None = None,
        rand: Rand | None = None,
        metrics: Metrics | None = None,
        background: bool = True,
    ) -> Compactor:
        """Become the compactor of the database at `place`; every earlier one is fenced.

        `works`: whether it does what it schedules; if not, workers must. The place is closed with
        it. Without `background` it is stepped by `run`.
        Raises NotFoundError when there is no database, InvalidError(kind="merge_operator") when
        another operator is noted, UnavailableError. Cost: five requests.
        """
        tools = make_tools(
            place,
            settings or DbSettings(),
            merge_operator=merge_operator,
            filter_policies=filter_policies,
            compaction_filter=compaction_filter,
            clock=clock or SystemClock(),
            rand=rand or SystemRand(),
            metrics=metrics or Metrics(),
            background=background,
        )
        epoch = claim_compactor(tools.manifests).value.compactor_epoch
        if place.doubted:
            tools.manifests.prove()
        made = cls(tools, epoch, scheduler=scheduler, works=works)
        made._place = place
        if background:
            jobs = made._jobs = Jobs(tools.clock, made._failed, "cenote-compactor")
            made._wake = lambda: jobs.wake(cls.name)
            jobs.add(made, COMPACT)
            jobs.start()
        return made

    @property
    def epoch(self) -> int:
        """The epoch it claimed."""
        return self._coordinator.epoch

    @property
    def busy(self) -> bool:
        """Whether something is being compacted here."""
        return bool(self._results) or (self._worker is not None and self._worker.busy)

    @property
    def last_error(self) -> BaseException | None:
        """Why the last compaction that failed did, or why the compactor ended."""
        return self.error or self._coordinator.last_error

    def notify(self, version: Version[Manifest] | None = None) -> None:
        """Have it look whether there is something to do. Never blocks."""
        if not self.closed:
            self._wake()

    # As a job.

    def due(self, now: float) -> float | None:
        """Return when it wants to run."""
        if self.closed:
            return None
        if self.error is not None:
            return None if self._comeback is None else self._comeback.due(now)
        if self.busy or (self._polls and self._looked_at is None):
            return now
        if self._looked_at is not None and (self._polls or self._coordinator.foreign()):
            return self._looked_at + self._poll
        return None

    def run(self) -> bool:
        """Do a slice. Returns whether there is more to do at once. Raises UnavailableError."""
        with self._lock:
            if self.closed:
                return False
            if self.error is not None:
                return self._come_back()
            try:
                return self._slice()
            except ClosedError as error:
                if error.reason != "fenced":
                    raise
                return False

    def _come_back(self) -> bool:
        """Take the epoch back, when it is time; see `Comeback`."""
        try:
            epoch = None if self._comeback is None else self._comeback.claim()
        except ClosedError:  # the writer's days are over, too
            self._comeback = epoch = None
        if epoch is None:
            return False
        self._begin(epoch)
        self.error = None
        return True

    def _slice(self, *, force: bool = False) -> bool:
        """Do a slice; with `force` a turn in any case. Ends the compactor when it is fenced."""
        try:
            return self._do_slice(force)
        except ClosedError as error:
            if error.reason == "fenced":
                self._failed(self, error)
                if self._worker is not None:
                    self._worker.drop()
            raise

    def _do_slice(self, force: bool) -> bool:
        worker = self._worker
        if worker is not None:
            worker.beat()
            self._results += worker.work()
            if worker.busy and not self._results and not force:
                return True
        now = self._tools.clock.monotonic()
        look = (
            force or self._polls or self._looked_at is None or now >= self._looked_at + self._poll
        )
        if force or self._results or self._coordinator.has_work() or (look and self._may_look()):
            self._coordinator.turn(self._results, look=look, shared=not self._polls)
            self._results = []
            if look:
                self._looked_at = now
        return self.busy

    def _may_look(self) -> bool:
        """Tell whether to look for what others ask for, when nothing is to be done here.

        In the writer's process only after something was compacted: before, there is no file.
        """
        return self._polls or self._looked_at is not None

    def _failed(self, job: Job, error: BaseException) -> None:
        self.error = error

    # On request.

    def submit(self, spec: Spec) -> str:
        """Ask for a compaction; return its id. It is done when its turn comes.

        Raises InvalidError(kind="invalid_compaction"), ConflictError (kinds "stale_compaction",
        "compaction_in_progress"): then nothing was asked for.
        """
        with self._lock:
            self._require_open()
            made = submit(self._tools.manifests, self._tools.compactions, spec, self._mint)
        self.notify()
        return made

    def compact(self, spec: Spec | None = None, *, rewrite: bool = False) -> None:
        """Do a compaction now, in this thread; None: merge each tree into one run.

        `rewrite`: also trees that are one run, so that what has expired, by this machine's clock,
        goes.
        Raises as `submit`, what failed it, ClosedError, UnavailableError.
        """
        with self._manual:
            self._coordinator.paused = True
            worker = self._worker
            if worker is not None:
                worker.by_clock = worker.by_clock or rewrite
            try:
                if spec is not None:
                    self._wait_for(self.submit(spec))
                else:
                    self._compact_all(rewrite)
            finally:
                self._coordinator.paused = False
                if worker is not None:
                    worker.by_clock = not self._polls
        self.notify()

    def _compact_all(self, rewrite: bool) -> None:
        self._drive(lambda: not self._under_way(None))
        manifest = self._tools.manifests.refresh().value
        for segment in (b"", *(each.prefix for each in manifest.segments)):
            with self._lock:
                manifest = self._tools.manifests.refresh().value
                whole = full_spec(manifest, segment, self._under_way(None), rewrite=rewrite)
                made = None if whole is None else self.submit(whole)
            if made is not None:
                self._wait_for(made)

    def _under_way(self, compaction: str | None) -> list[Compaction]:
        known = self._tools.compactions.known
        found = [] if known is None else active(known.value)
        return [each for each in found if compaction is None or each.id == compaction]

    def _wait_for(self, compaction: str) -> None:
        self._drive(lambda: not self._under_way(compaction))
        known = self._tools.compactions.known
        entry = None if known is None else find(known.value, compaction)
        if entry is not None and entry.status is CompactionStatus.FAILED:
            raise self._coordinator.last_error or Error(
                f"the compaction {compaction} failed", kind="compaction_failed"
            )

    def _drive(self, reached: Callable[[], bool]) -> None:
        """Run slices in this thread until `reached`."""
        turned = False
        while True:
            with self._lock:
                self._require_open()
                if turned and reached():
                    return
                busy = self._slice(force=not turned or not self.busy)
                turned = True
                if reached():
                    return
            if not busy:
                self._tools.clock.sleep(self._poll)  # somebody else's work

    def _require_open(self) -> None:
        if self.error is not None:
            raise ClosedError(
                f"the compactor has ended: {self.error}",
                reason="fenced" if isinstance(self.error, ClosedError) else "failed",
            ) from self.error
        if self.closed:
            raise ClosedError("the compactor is closed")

    # The end.

    def close(self) -> None:
        """Stop; what is under way is given up, so that others can go on. Harmless when repeated.

        Requires: the jobs it is one of are stopped, where they are not its own.
        """
        if self._jobs is not None:
            self._jobs.stop()
        with self._lock:
            if self.closed:
                return
            self.closed = True
            worker = self._worker
            try:
                if worker is not None and worker.busy and self.error is None:
                    worker.release()
            except (UnavailableError, ClosedError):
                pass  # the claims run out by themselves
            finally:
                if self._place is not None:
                    self._place.close()

    def __enter__(self) -> Compactor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
