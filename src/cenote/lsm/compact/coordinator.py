"""Who decides on compactions: schedules them, takes claims back, commits what is done.

Owns: one turn of decisions, as changes of the manifest and of the compactions file; the epoch.
Does not own: doing compactions (`worker`), when a turn is due (`compactor`).

A turn: the compactions file is read, then the manifest. What is done is put into the manifest, one
change each, with a checkpoint on the manifest before it, so that whoever reads by that keeps its
files for a while. Then one change of the compactions file says it all: what is completed, what is
taken back, what is scheduled, and what the worker here claims at once.

Invariants:
1. The manifest first, the compactions file after: a collector reads them in the other order, so it
   sees new files in one of the two, always.
2. Killed between any two requests, nothing is lost or done twice: each change finds out from the
   manifest whether it was made. What is half done is scheduled again, or found to be done.
3. A later epoch in either file ends this coordinator, before it changes anything more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from cenote.errors import ConflictError, InvalidError
from cenote.lsm.compact.entries import (
    Silence,
    active,
    check_compactor_epoch,
    finish,
    is_orphan,
    put,
    released,
    trim,
)
from cenote.lsm.compact.job import Tools
from cenote.lsm.compact.policy import Scheduler
from cenote.lsm.compact.spec import Spec, check_spec, has_room, movable_views
from cenote.lsm.compact.worker import Result, Worker
from cenote.lsm.format import (
    Checkpoint,
    Compaction,
    Compactions,
    CompactionStatus,
    DrainSpec,
    Manifest,
    OutputSst,
    TieredSpec,
    UlidMint,
    mint_uuid,
)
from cenote.lsm.manifest.state import (
    add_checkpoint,
    commit_drain,
    commit_move,
    commit_tiered,
    tree_of,
)
from cenote.lsm.manifest.store import check_epochs
from cenote.objstore import Version

__all__ = ["Coordinator", "is_committed"]


_FIRST_REST: Final = 10.0
_LONGEST_REST: Final = 3600.0
_REMOTE_ROOM: Final = 8  # nobody knows how many workers there are elsewhere

_UNCLAIMED: Final = (CompactionStatus.SUBMITTED, CompactionStatus.SCHEDULED)
_Ends = dict[str, CompactionStatus]


class Coordinator:
    """The one coordinator of a database, until another claims its epoch. Not thread-safe.

    With `worker` it claims what it schedules for that worker, in the same change. While `paused` it
    schedules nothing of its own.
    """

    def __init__(
        self, tools: Tools, epoch: int, scheduler: Scheduler, worker: Worker | None = None
    ) -> None:
        self._tools = tools
        self.epoch = epoch
        self._scheduler = scheduler
        self._worker = worker
        self._mint = UlidMint(tools.clock, tools.rand)
        self._rests: dict[Spec, tuple[float, float]] = {}  # until when, and how long
        self._silence = Silence(tools.settings.claim_timeout_ms, tools.settings.heartbeat_ms)
        self.last_error: BaseException | None = None
        self.paused = False

    def turn(
        self, results: Sequence[Result] = (), *, look: bool = True, shared: bool = False
    ) -> None:
        """Decide once. `results` are of the worker here.

        `look`: read both files anew, and not only where somebody else's change is met. `shared`:
        the manifests are the writer's own, which are always new.
        Raises ClosedError(reason="fenced"), UnavailableError: then it may be repeated, with the
        same results.
        """
        tools = self._tools
        known = tools.compactions.known
        if look or known is None:
            known = tools.compactions.load()
        state = check_compactor_epoch(Compactions() if known is None else known.value, self.epoch)
        if look and not shared:
            tools.manifests.refresh()
        check_epochs(self._manifest(), compactor_epoch=self.epoch)
        ends = self._commit_all(state, results)
        self._do_at_once(state, ends)
        made = self._write(ends)
        if self._worker is not None and made is not None:
            self._worker.take_up(made, self._manifest())

    def has_work(self) -> bool:
        """Tell, by what is known here and without a request, whether a turn would begin one."""
        known = self._tools.compactions.known
        under_way = [] if known is None else active(known.value)
        return bool(self._allowed(self._manifest(), under_way))

    def foreign(self) -> list[Compaction]:
        """Return the entries, as known here, that others are to do something about."""
        known = self._tools.compactions.known
        ours = frozenset() if self._worker is None else self._worker.working_on
        return [] if known is None else [e for e in active(known.value) if e.id not in ours]

    def _manifest(self) -> Manifest:
        known = self._tools.manifests.known
        return (known or self._tools.manifests.refresh()).value

    # The compactions file.

    def _write(self, ends: _Ends) -> Compactions | None:
        """Make the turn's change of the compactions file; return its state, if there is one."""

        def edit(current: Version[Compactions] | None) -> Compactions | None:
            before = Compactions() if current is None else current.value
            after = self._decide(check_compactor_epoch(before, self.epoch), ends)
            unchanged = after == replace(before, compactor_epoch=self.epoch)
            return None if unchanged else trim(after)

        if self._tools.compactions.known is None and edit(None) is None:
            return None  # nothing to say, and no file to say it in
        return self._tools.compactions.update(edit).value

    def _decide(self, state: Compactions, ends: _Ends) -> Compactions:
        """Return the next state: pure, but for new ids and what the worker here claims."""
        manifest = self._manifest()
        ended = [each for each in active(state) if each.id in ends]
        state = put(state, [finish(each, ends[each.id]) for each in ended])
        state = put(state, self._reclaimed(state))
        state = put(state, self._checked(state, manifest))
        state = put(
            state,
            [
                Compaction(self._mint.mint(), spec, CompactionStatus.SCHEDULED)
                for spec in self._allowed(manifest, active(state))
            ],
        )
        return state if self._worker is None else put(state, self._worker.claims(state))

    def _reclaimed(self, state: Compactions) -> list[Compaction]:
        """Return the entries whose workers are silent, as others may claim them."""
        running = [each for each in state.recent if each.status is CompactionStatus.RUNNING]
        clock, ours = self._tools.clock, self._worker
        silent = self._silence.of(running, clock.monotonic(), clock.now_ms())
        found = []
        for entry in running:
            if ours is not None and entry.worker is not None and entry.worker.id == ours.id:
                lost = entry.id not in ours.working_on
            else:
                lost = is_orphan(entry, self.epoch) or entry.id in silent
            if lost:
                found.append(released(entry))
        return found

    def _checked(self, state: Compactions, manifest: Manifest) -> list[Compaction]:
        """Return the entries that nobody has claimed: scheduled, or failed by the manifest."""
        changed = []
        others = [each for each in active(state) if each.status not in _UNCLAIMED]
        for entry in [each for each in state.recent if each.status in _UNCLAIMED]:
            try:
                check_spec(manifest, others, entry.spec)
            except (ConflictError, InvalidError) as error:
                if error.kind == "compaction_in_progress":
                    continue  # its turn comes
                self.last_error = error
                changed.append(finish(entry, CompactionStatus.FAILED))
                continue
            others.append(entry)
            if entry.status is CompactionStatus.SUBMITTED and isinstance(entry.spec, TieredSpec):
                # What it says of progress was said before anybody looked at it.
                changed.append(replace(released(entry), context=None))
        return changed

    def _allowed(self, manifest: Manifest, under_way: Sequence[Compaction]) -> list[Spec]:
        """Return what the scheduler proposes and may begin, as much as there is room for."""
        if self.paused:
            return []
        now = self._tools.clock.monotonic()
        room = _REMOTE_ROOM if self._worker is None else self._tools.settings.concurrency
        allowed: list[Spec] = []
        taken = list(under_way)
        for spec in self._scheduler.propose(manifest, taken):
            if self._rests.get(spec, (0.0, 0.0))[0] > now:
                continue
            try:
                check_spec(manifest, taken, spec)
            except (ConflictError, InvalidError):
                continue
            if has_room(spec, taken, room):
                allowed.append(spec)
                taken.append(Compaction("", spec))
        return allowed

    # The manifest.

    def _commit_all(self, state: Compactions, results: Iterable[Result]) -> _Ends:
        """Put what is done into the manifest; return how each compaction ends."""
        ends: _Ends = {}
        for entry in state.recent:
            if entry.status is CompactionStatus.COMPACTED:
                ends[entry.id] = self._commit(entry, entry.outputs)
        for result in results:
            entry = result.compaction
            if result.error is None:
                ends[entry.id] = self._commit(entry, result.outputs)
            else:
                ends[entry.id] = CompactionStatus.FAILED
                self._rest(entry.spec, result.error)
        return ends

    def _commit(self, entry: Compaction, outputs: tuple[OutputSst, ...]) -> CompactionStatus:
        spec = entry.spec
        if not isinstance(spec, TieredSpec):
            return CompactionStatus.FAILED

        def edit(manifest: Manifest) -> Manifest | None:
            made = is_committed(manifest, spec, outputs)
            return None if made else commit_tiered(manifest, spec, outputs)

        return self._edit(spec, edit)

    def _do_at_once(self, state: Compactions, ends: _Ends) -> None:
        """Do the compactions that need no worker: drains, and moves where they are wanted."""
        others = [
            each for each in active(state) if each.status not in _UNCLAIMED and each.id not in ends
        ]
        for entry in state.recent:
            if entry.status in _UNCLAIMED and self._moves(entry.spec, others):
                ends[entry.id] = self._edit(entry.spec, _mover(entry.spec))
        if self._tools.settings.trivial_move:
            others = [each for each in active(state) if each.id not in ends]
            for spec in self._allowed(self._manifest(), others):
                if self._moves(spec, others):
                    self._edit(spec, _mover(spec))

    def _moves(self, spec: Spec, others: Sequence[Compaction]) -> bool:
        """Tell whether a compaction is done by changing the manifest alone."""
        if isinstance(spec, TieredSpec) and not self._tools.settings.trivial_move:
            return False
        manifest = self._manifest()
        try:
            check_spec(manifest, others, spec)
            return isinstance(spec, DrainSpec) or movable_views(manifest, spec) is not None
        except (ConflictError, InvalidError):
            return False  # `_checked` has the word on it

    def _edit(self, spec: Spec, edit: Callable[[Manifest], Manifest | None]) -> CompactionStatus:
        """Change the manifest, with a checkpoint on the one before; return how it ends."""
        tools = self._tools
        checkpoint = mint_uuid(tools.rand)

        def with_checkpoint(manifest: Manifest, number: int) -> Manifest | None:
            after = edit(manifest)
            if after is None:
                return None
            now_s = max(tools.clock.now_ms(), 0) // 1000
            until_s = now_s + -(-tools.settings.checkpoint_lifetime_ms // 1000)
            return add_checkpoint(after, Checkpoint(checkpoint, number - 1, now_s, until_s))

        try:
            tools.manifests.edit(with_checkpoint, compactor_epoch=self.epoch)
        except (ConflictError, InvalidError) as error:
            if error.kind not in ("stale_compaction", "invalid_compaction"):
                raise
            self._rest(spec, error)
            return CompactionStatus.FAILED
        self._rests.pop(spec, None)
        tools.metrics.compactions += 1
        return CompactionStatus.COMPLETED

    def _rest(self, spec: Spec, error: BaseException) -> None:
        """Note that a compaction failed, so that it is not tried again at once."""
        self.last_error = error
        _, rest = self._rests.get(spec, (0.0, 0.0))
        rest = min(rest * 2 or _FIRST_REST, _LONGEST_REST)
        self._rests[spec] = (self._tools.clock.monotonic() + rest, rest)


def is_committed(manifest: Manifest, spec: TieredSpec, outputs: Sequence[OutputSst]) -> bool:
    """Tell whether the manifest holds a compaction's output in the place of its sources."""
    tree = tree_of(manifest, spec.segment)
    if outputs:
        ids = [output.handle.id for output in outputs]
        runs = [run for run in tree.runs if run.id == spec.destination]
        return any([view.sst_id for view in run.views] == ids for run in runs)
    there = {view.id for view in tree.l0}.intersection(spec.l0_view_ids)
    return not there and not {run.id for run in tree.runs}.intersection(spec.sorted_runs)


def _mover(spec: Spec) -> Callable[[Manifest], Manifest | None]:
    """Return the edit that does a compaction without reading a file."""

    def edit(manifest: Manifest) -> Manifest:
        if isinstance(spec, DrainSpec):
            return commit_drain(manifest, spec)
        views = movable_views(manifest, spec)
        if views is None:
            raise InvalidError("its files overlap", kind="invalid_compaction")
        return commit_move(manifest, spec, views)

    return edit
