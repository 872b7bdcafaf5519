"""Who does compactions: claims them, works on several by turns, says that it lives.

Owns: claims, heartbeats with progress, giving a claim up, the result of a compaction that is done.
Does not own: which compactions there are, and what becomes of a result (`coordinator`).

Invariants:
1. A compaction is worked on only while its entry names this worker; who finds another name there
   drops what it has.
2. A claim is one change of the compactions file; so are the heartbeats of all claims, and progress
   goes with them: a worker that dies loses what it did since its last heartbeat.
3. A compaction that fails is given up and left alone here for a while, longer each time: others
   may have what it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cenote.errors import ConflictError, Error, InvalidError, NotFoundError, UnavailableError
from cenote.lsm.compact.entries import claimed_by, find, put, released
from cenote.lsm.compact.job import Tools, work_for
from cenote.lsm.compact.remote import Run
from cenote.lsm.compact.spec import has_room
from cenote.lsm.format import (
    Compaction,
    Compactions,
    CompactionStatus,
    Manifest,
    OutputSst,
    TieredContext,
    TieredSpec,
)
from cenote.objstore import Version

__all__ = ["Result", "Worker"]

_SLICE_SECONDS: Final = 0.05
_WINDOWS_MAX: Final = 64
_FIRST_REST: Final = 10.0
_LONGEST_REST: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Result:
    """A compaction that came to its end here: with its files, or with an error."""

    compaction: Compaction
    outputs: tuple[OutputSst, ...] = ()
    error: BaseException | None = None


@dataclass(slots=True)
class _Attempt:
    compaction: Compaction
    run: Run


class Worker:
    """A worker. Not thread-safe.

    `by_clock`: whether values expire by this machine's clock, or by the database's last tick alone,
    which a machine whose clock is ahead cannot bring forward.
    """

    def __init__(self, tools: Tools, worker_id: str, *, by_clock: bool = False) -> None:
        self._tools = tools
        self.id = worker_id
        self.by_clock = by_clock
        self._attempts: dict[str, _Attempt] = {}
        self._turn = 0
        self._beat_at = 0.0
        self._rests: dict[str, tuple[float, float]] = {}  # until when, and how long

    @property
    def busy(self) -> bool:
        """Whether it is at work on something."""
        return bool(self._attempts)

    @property
    def working_on(self) -> frozenset[str]:
        """The ids of the compactions it works on."""
        return frozenset(self._attempts)

    def claims(self, state: Compactions) -> list[Compaction]:
        """Return the entries this worker would claim, as they would be then."""
        now = self._tools.clock.monotonic()
        wanted = [
            each
            for each in state.recent
            if each.status is CompactionStatus.SCHEDULED
            and each.worker is None
            and isinstance(each.spec, TieredSpec)
            and each.id not in self._attempts
            and self._rests.get(each.id, (0.0, 0.0))[0] <= now
        ]
        taken = [attempt.compaction for attempt in self._attempts.values()]
        for entry in wanted:
            if has_room(entry.spec, taken, self._tools.settings.concurrency):
                taken.append(entry)
        now_ms = self._tools.clock.now_ms()
        return [claimed_by(each, self.id, now_ms) for each in taken[len(self._attempts) :]]

    def claim(self) -> bool:
        """Claim what can be done, by one change of the file. Returns whether there was any."""

        def edit(current: Version[Compactions] | None) -> Compactions | None:
            if current is None:
                return None
            claimed = self.claims(current.value)
            return put(current.value, claimed) if claimed else None

        if self._tools.compactions.load() is None:
            return False
        state = self._tools.compactions.update(edit).value
        return self.take_up(state, self._tools.manifests.refresh().value)

    def take_up(self, state: Compactions, manifest: Manifest) -> bool:
        """Begin the entries that name this worker. Returns whether there were any."""
        begun = False
        for each in state.recent:
            if not self._owns(each) or each.id in self._attempts:
                continue
            try:
                run = self._begin(each, manifest)
            except (ConflictError, InvalidError):
                self.release([each.id])
                continue
            if not self._attempts:
                self._schedule_beat()
            self._attempts[each.id] = _Attempt(each, run)
            begun = True
        return begun

    def _begin(self, entry: Compaction, manifest: Manifest) -> Run:
        work = work_for(self._tools, manifest, entry, by_clock=self.by_clock)
        return self._tools.runner.begin(work, entry.context, entry.id)

    def _owns(self, entry: Compaction) -> bool:
        worker = entry.worker
        running = entry.status is CompactionStatus.RUNNING
        return running and worker is not None and worker.id == self.id

    def work(self) -> list[Result]:
        """Work for a while on one compaction; return what is at its end.

        By turns on those of level 0, and while there is none on the others.

        Raises UnavailableError when the store does not answer; then it may be repeated.
        """
        if not self._attempts:
            return []
        self._turn += 1
        urgent = [e for e in self._attempts.values() if e.compaction.spec.l0_view_ids]
        attempts = urgent or list(self._attempts.values())
        attempt = attempts[self._turn % len(attempts)]
        try:
            if self._merge(attempt):
                return []
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a callback may raise anything
            return [self._end(attempt, error)]
        return [self._end(attempt)]

    def _merge(self, attempt: _Attempt) -> bool:
        """Merge some windows. Returns whether there is more."""
        clock = self._tools.clock
        until = clock.monotonic() + _SLICE_SECONDS
        for _ in range(_WINDOWS_MAX):
            try:
                more = attempt.run.step()
            except NotFoundError:
                if attempt.compaction.context is None:
                    raise
                self._begin_anew(attempt)
                return True
            if not more:
                return False
            if clock.monotonic() >= until:
                break
        return True

    def _begin_anew(self, attempt: _Attempt) -> None:
        """Begin again without what another worker left, when that has gone."""
        compaction = replace(attempt.compaction, context=None)
        manifest = self._tools.manifests.refresh().value
        attempt.compaction = compaction
        attempt.run = self._begin(compaction, manifest)

    def _end(self, attempt: _Attempt, error: BaseException | None = None) -> Result:
        compaction = replace(attempt.compaction, context=_progress(attempt.run))
        del self._attempts[compaction.id]
        metrics = self._tools.metrics
        if error is not None:
            _quietly_abandon(attempt.run)
            _, rest = self._rests.get(compaction.id, (0.0, 0.0))
            rest = min(rest * 2 or _FIRST_REST, _LONGEST_REST)
            self._rests[compaction.id] = (self._tools.clock.monotonic() + rest, rest)
            metrics.compactions_failed += 1
            return Result(compaction, error=error)
        self._rests.pop(compaction.id, None)
        outputs = attempt.run.outputs()
        metrics.compacted_bytes_in += attempt.run.bytes_read
        metrics.compacted_bytes_out += sum(each.handle.info.data_size for each in outputs)
        return Result(compaction, outputs)

    # Saying that it lives.

    @property
    def beat_at(self) -> float | None:
        """When the next heartbeat is due, on the monotonic clock; None while nothing is done."""
        return self._beat_at if self._attempts else None

    def _schedule_beat(self) -> None:
        self._beat_at = self._tools.clock.monotonic() + self._tools.settings.heartbeat_ms / 1000

    def beat(self) -> None:
        """Say that it lives, and what it has finished, when it is time. Drops what it lost."""
        if not self._attempts or self._tools.clock.monotonic() < self._beat_at:
            return
        self._tools.compactions.refresh()
        lost: set[str] = set()

        def edit(current: Version[Compactions] | None) -> Compactions | None:
            lost.clear()
            now_ms, mine = self._tools.clock.now_ms(), []
            for compaction, attempt in self._attempts.items():
                entry = None if current is None else find(current.value, compaction)
                if entry is None or not self._owns(entry):
                    lost.add(compaction)
                else:
                    entry = claimed_by(entry, self.id, now_ms)
                    mine.append(replace(entry, context=_progress(attempt.run)))
            return put(current.value, mine) if mine and current is not None else None

        self._tools.compactions.update(edit)
        for compaction in lost:
            _quietly_abandon(self._attempts.pop(compaction).run)
        self._schedule_beat()

    # The end.

    def hand_in(self, results: Sequence[Result]) -> None:
        """Write results into the file: Compacted, or released for others where it failed.

        An entry that names another worker, or none, is left alone.
        """

        def edit(current: Version[Compactions] | None) -> Compactions | None:
            if current is None:
                return None
            changed = []
            for result in results:
                entry = find(current.value, result.compaction.id)
                if entry is None or not self._owns(entry):
                    continue
                if result.error is not None:
                    changed.append(released(replace(entry, context=result.compaction.context)))
                    continue
                entry = claimed_by(entry, self.id, self._tools.clock.now_ms())
                changed.append(
                    replace(
                        entry,
                        status=CompactionStatus.COMPACTED,
                        outputs=result.outputs,
                        context=None,
                    )
                )
            return put(current.value, changed) if changed else None

        self._tools.compactions.update(edit)

    def drop(self) -> None:
        """Drop all it has, without a word: others have the say now."""
        for attempt in self._attempts.values():
            _quietly_abandon(attempt.run)
        self._attempts.clear()

    def release(self, ids: Sequence[str] | None = None) -> None:
        """Give up claims, None: all, so that others can go on from what is finished."""
        wanted = list(self._attempts) if ids is None else ids
        contexts = {}
        for compaction in wanted:
            attempt = self._attempts.pop(compaction, None)
            if attempt is not None:
                _quietly_abandon(attempt.run)
                contexts[compaction] = _progress(attempt.run)

        def edit(current: Version[Compactions] | None) -> Compactions | None:
            if current is None:
                return None
            mine = []
            for compaction in wanted:
                entry = find(current.value, compaction)
                if entry is not None and self._owns(entry):
                    context = contexts.get(compaction, entry.context)
                    mine.append(released(replace(entry, context=context)))
            return put(current.value, mine) if mine else None

        if wanted:
            self._tools.compactions.update(edit)


def _progress(run: Run) -> TieredContext | None:
    """Return what is finished; None before there is a plan, since others take none without one."""
    return run.context if run.context.subcompactions else None


def _quietly_abandon(run: Run) -> None:
    try:
        run.abandon()
    except Error:
        return  # an upload that nobody finishes is nobody's object
