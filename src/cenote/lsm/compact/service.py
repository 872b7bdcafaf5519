"""A compaction worker in a process of its own.

Owns: when to look for something to claim, handing results in, the end.
Does not own: the work (`worker`), what is scheduled and committed (`coordinator`, elsewhere).

Any number of them may run, on any machine, beside any coordinator, one of the reference
implementation's included: all they change is entries of the compactions file that they claimed.

Invariants:
1. It writes table files and the compactions file, and never a manifest.
2. What it cannot hand in, since the claim was taken back meanwhile, it drops.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ClosedError, UnavailableError
from cenote.lsm.compact.setup import make_tools
from cenote.lsm.compact.worker import Result, Worker
from cenote.lsm.format import BloomPolicy, UlidMint
from cenote.lsm.jobs import COMPACT, Job, Jobs
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.settings import DbSettings

if TYPE_CHECKING:
    from cenote.lsm.compact.retention import CompactionFilter
    from cenote.lsm.place import Place

__all__ = ["CompactionWorker"]


class CompactionWorker:
    """A worker on its own. Thread-safe. A job named "compact-worker"."""

    name: Final = "compact-worker"

    def __init__(self, place: Place, worker: Worker, clock: Clock, poll_ms: int) -> None:
        """See `open`."""
        self._place = place
        self._worker = worker
        self._clock = clock
        self._poll = poll_ms / 1000
        self._look_at: float | None = None
        self._results: list[Result] = []
        self._lock = threading.Lock()
        self._jobs: Jobs | None = None
        self.last_error: BaseException | None = None
        self.closed = False

    @classmethod
    def open(
        cls,
        place: Place,
        settings: DbSettings | None = None,
        *,
        merge_operator: MergeOperator | None = None,
        filter_policies: Sequence[BloomPolicy] | None = None,
        compaction_filter: CompactionFilter | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
        metrics: Metrics | None = None,
        background: bool = True,
    ) -> CompactionWorker:
        """Work for whoever coordinates the compactions of the database at `place`.

        The place is closed with it. Without `background` it is stepped by `run`.
        Raises as `Compactor.open`. Cost: three requests.
        """
        clock, rand = clock or SystemClock(), rand or SystemRand()
        settings = settings or DbSettings()
        tools = make_tools(
            place,
            settings,
            merge_operator=merge_operator,
            filter_policies=filter_policies,
            compaction_filter=compaction_filter,
            clock=clock,
            rand=rand,
            metrics=metrics or Metrics(),
            background=background,
        )
        worker = Worker(tools, UlidMint(clock, rand).mint())
        made = cls(place, worker, clock, settings.compactor.poll_ms)
        if background:
            made._jobs = Jobs(clock, made._failed, "cenote-worker")
            made._jobs.add(made, COMPACT)
            made._jobs.start()
        return made

    @property
    def id(self) -> str:
        """What it is called in the compactions file."""
        return self._worker.id

    @property
    def busy(self) -> bool:
        """Whether something is being compacted here."""
        return self._worker.busy or bool(self._results)

    def due(self, now: float) -> float | None:
        """Return when it wants to run."""
        if self.closed:
            return None
        return now if self.busy or self._look_at is None else self._look_at

    def run(self) -> bool:
        """Do a slice. Returns whether there is more to do at once. Raises UnavailableError."""
        with self._lock:
            if self.closed:
                return False
            self._worker.beat()
            self._results += self._worker.work()
            if self._results:
                self._worker.hand_in(self._results)
                failed = [each.error for each in self._results if each.error is not None]
                self.last_error = failed[-1] if failed else self.last_error
                self._results = []
            now = self._clock.monotonic()
            if not self._worker.busy or self._look_at is None or self._look_at <= now:
                self._worker.claim()
                self._look_at = now + self._poll
            return self.busy

    def _failed(self, job: Job, error: BaseException) -> None:
        self.last_error = error

    def close(self) -> None:
        """Stop; what is under way is given up, so that others can go on. Harmless when repeated."""
        if self._jobs is not None:
            self._jobs.stop()
        with self._lock:
            if self.closed:
                return
            self.closed = True
            try:
                if self._worker.busy:
                    self._worker.release()
            except (UnavailableError, ClosedError):
                pass  # the claims run out by themselves
            finally:
                self._place.close()

    def __enter__(self) -> CompactionWorker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
