"""The compactions file: how it changes, as functions from one state to the next.

Owns: putting entries in, taking finished ones out, claims and their end.
Does not own: storing the state, what the entries ask for.

    Submitted -> Scheduled -> Running (claimed by a worker) -> Compacted -> Completed
                     ^-----------'  released, or reclaimed                 \\> Failed

Invariants:
1. A finished entry never becomes active again. Only the claimant changes a claimed entry, but for
   reclaiming it when it has been silent too long.
2. Beside active entries the latest finished one stays: the collector of garbage goes by its age.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from cenote.errors import ClosedError
from cenote.lsm.compact.spec import ACTIVE
from cenote.lsm.format import Compaction, Compactions, CompactionStatus, Worker

__all__ = [
    "Silence",
    "active",
    "check_compactor_epoch",
    "claimed_by",
    "find",
    "finish",
    "is_orphan",
    "local_worker_id",
    "put",
    "released",
    "trim",
]

_LOCAL: Final = re.compile(r"epoch-(\d+)-")


def active(state: Compactions) -> list[Compaction]:
    """Return the entries that are not finished."""
    return [each for each in state.recent if each.status in ACTIVE]


def find(state: Compactions, compaction: str) -> Compaction | None:
    """Return an entry by its id."""
    return next((each for each in state.recent if each.id == compaction), None)


def put(state: Compactions, entries: Iterable[Compaction]) -> Compactions:
    """Return the state with entries added, or in place of those of the same ids."""
    found = {each.id: each for each in state.recent}
    found.update((each.id, each) for each in entries)
    return replace(state, recent=tuple(found[key] for key in sorted(found)))


def trim(state: Compactions) -> Compactions:
    """Return the state without finished entries but the latest."""
    finished = [each.id for each in state.recent if each.status not in ACTIVE]
    latest = max(finished, default=None)
    return replace(
        state,
        recent=tuple(each for each in state.recent if each.status in ACTIVE or each.id == latest),
    )


def finish(entry: Compaction, status: CompactionStatus) -> Compaction:
    """Return a finished entry."""
    return replace(entry, status=status, context=None)


def released(entry: Compaction) -> Compaction:
    """Return an entry that may be claimed; its progress stays."""
    return replace(entry, status=CompactionStatus.SCHEDULED, worker=None)


def claimed_by(entry: Compaction, worker: str, now_ms: int) -> Compaction:
    """Return an entry that `worker` says it works on."""
    return replace(entry, status=CompactionStatus.RUNNING, worker=Worker(worker, max(now_ms, 0)))


def local_worker_id(epoch: int, name: str) -> str:
    """Return the id of a worker that lives and dies with the coordinator of `epoch`."""
    return f"epoch-{epoch}-{name}"


def is_orphan(entry: Compaction, epoch: int) -> bool:
    """Tell whether a running entry's worker is surely gone.

    It has none, or one that lived with a coordinator before that of `epoch`.
    """
    worker = entry.worker
    if worker is None or worker.id is None:
        return True
    local = _LOCAL.match(worker.id)
    return local is not None and int(local[1]) < epoch


class Silence:
    """Tells whose heartbeats have stopped, by one's own clock: those of others may be wrong.

    A worker is taken for dead when its heartbeat stood still for `timeout_ms` while it was watched.
    One that looks as old at first sight is watched for one and a half of its `heartbeat_ms` only.
    Not thread-safe.
    """

    def __init__(self, timeout_ms: int, heartbeat_ms: int) -> None:
        self._timeout = timeout_ms
        self._glance = min(heartbeat_ms * 3 // 2, timeout_ms)
        self._heard: dict[str, tuple[Worker | None, float]] = {}  # and since when

    def of(self, entries: Iterable[Compaction], now: float, now_ms: int) -> set[str]:
        """Return the ids of the running entries whose workers are silent.

        Requires: all running entries are given each time; `now` is of the monotonic clock.
        """
        heard, self._heard = self._heard, {}
        silent = set()
        for entry in entries:
            worker, since = heard.get(entry.id, (None, now))
            if worker != entry.worker:
                since = now
            self._heard[entry.id] = (entry.worker, since)
            age_ms = 0 if entry.worker is None else now_ms - entry.worker.last_heartbeat_ms
            limit = self._glance if age_ms > self._timeout else self._timeout
            if (now - since) * 1000 >= limit:
                silent.add(entry.id)
        return silent


def check_compactor_epoch(state: Compactions, epoch: int) -> Compactions:
    """Return the state under `epoch`. Raises ClosedError(reason="fenced") under a later one."""
    if state.compactor_epoch > epoch:
        raise ClosedError(
            f"another compactor claimed epoch {state.compactor_epoch}; this one's is {epoch}",
            reason="fenced",
            epoch=state.compactor_epoch,
        )
    return replace(state, compactor_epoch=epoch)
