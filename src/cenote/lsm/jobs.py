"""Work that goes on behind a database's calls, and the threads that do it.

Owns: which job is next in its lane, one thread a lane, waiting, backing off, stopping.
Does not own: what the jobs do.

A lane is a queue of its own: a flush never waits for a compaction. A job runs when it is due, or
when it is woken; within a lane jobs run one after the other. Without `start` nothing runs but by
`step`, in the thread that calls it: that is how a simulation decides what happens next.

Invariants:
1. A job never runs twice at the same time.
2. An UnavailableError puts its job off, longer each time; any other error goes to `on_error`, and
   the job is left out from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cenote.base import Clock
from cenote.errors import UnavailableError

__all__ = ["COMPACT", "FLUSH", "Job", "Jobs"]

FLUSH: Final = "flush"
COMPACT: Final = "compact"

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 10.0


class Job(Protocol):
    """Something that is done now and then."""

    @property
    def name(self) -> str:
        """What to call it when it is woken, and in messages. Unique."""
        ...

    def due(self, now: float) -> float | None:
        """Return when it wants to run, on the monotonic clock; None: when it is woken."""
        ...

    def run(self) -> bool:
        """Do some of it. Returns True when there is more to do at once."""
        ...


@dataclass(slots=True)
class _Place:
    """A job in its lane."""

    job: Job
    woken: bool = False
    waits_until: float = 0.0
    wait: float = 0.0
    failed: bool = False
    running: bool = False


@dataclass(slots=True)
class _Lane:
    name: str
    places: list[_Place] = field(default_factory=list)
    thread: threading.Thread | None = None


class Jobs:
    """The jobs of one database."""

    def __init__(
        self, clock: Clock, on_error: Callable[[Job, BaseException], None], name: str = "cenote"
    ) -> None:
        self._clock = clock
        self._on_error = on_error
        self._name = name
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._started = False
        self._stopping = False

    def add(self, job: Job, lane: str = FLUSH) -> None:
        """Take a job in."""
        with self._changed:
            self._lanes.setdefault(lane, _Lane(lane)).places.append(_Place(job))
            if self._started:
                self._begin(self._lanes[lane])
            self._changed.notify_all()

    def start(self) -> None:
        """Let threads do the jobs from now on, one a lane."""
        with self._changed:
            self._started = True
            for lane in self._lanes.values():
                self._begin(lane)

    def _begin(self, lane: _Lane) -> None:
        if lane.thread is None:
            lane.thread = threading.Thread(
                target=self._serve, args=(lane,), name=f"{self._name}-{lane.name}", daemon=True
            )
            lane.thread.start()

    def wake(self, name: str) -> None:
        """Have the job `name` run as soon as its lane is free, also one that was put off."""
        with self._changed:
            for lane in self._lanes.values():
                for place in lane.places:
                    if place.job.name == name:
                        place.woken = True
                        place.waits_until = 0.0
            self._changed.notify_all()

    def step(self, name: str | None = None) -> bool:
        """Run one job in this thread: the one named, or the first that is due.

        Returns whether one ran and did something. For when no threads were started.
        """
        with self._changed:
            place = None
            for lane in self._lanes.values():
                if name is None:
                    place = place or self._next(lane)[0]
                else:
                    for each in lane.places:
                        if each.job.name == name and not each.failed and not each.running:
                            place = each
            if place is None:
                return False
            place.running = True
        return self._run(place)

    @property
    def names(self) -> list[str]:
        """The names of the jobs that have not failed."""
        with self._changed:
            return [p.job.name for e in self._lanes.values() for p in e.places if not p.failed]

    def stop(self, timeout: float | None = None) -> bool:
        """Have the threads end after the jobs they are at, and wait for them.

        `timeout` in seconds, for all. Returns whether they have ended. Called from a job, it waits
        for the other lanes only. Harmless when repeated.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            threads = [lane.thread for lane in self._lanes.values() if lane.thread is not None]
        ended = True
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout)
                ended = ended and not thread.is_alive()
        return ended

    def _next(self, lane: _Lane) -> tuple[_Place | None, float | None]:
        """Return the job that is due, or when the next one is (None: when it is woken)."""
        now = self._clock.monotonic()
        earliest: float | None = None
        for place in lane.places:
            if place.failed or place.running:
                continue
            when = now if place.woken else place.job.due(now)
            if when is None:
                continue
            when = max(when, place.waits_until)
            if when <= now:
                return place, now
            earliest = when if earliest is None else min(earliest, when)
        return None, earliest

    def _serve(self, lane: _Lane) -> None:
        while True:
            with self._changed:
                place, when = self._next(lane)
                while place is None and not self._stopping:
                    wait = None if when is None else max(when - self._clock.monotonic(), 0.0)
                    self._changed.wait(wait)
                    place, when = self._next(lane)
                if self._stopping or place is None:
                    return
                place.running = True
            self._run(place)

    def _run(self, place: _Place) -> bool:
        place.woken = False
        more = False
        try:
            more = place.job.run()
        except UnavailableError:
            place.wait = min(place.wait * 2 or _FIRST_WAIT, _LONGEST_WAIT)
            place.waits_until = self._clock.monotonic() + place.wait
            place.woken = True
        except BaseException as error:
            # Whatever it was, the owner must learn of it: a thread's end is seen by nobody.
            place.failed = True
            self._on_error(place.job, error)
            if not isinstance(error, Exception):
                raise
        else:
            place.wait = 0.0
            place.woken = place.woken or more
        finally:
            with self._changed:
                place.running = False
                self._changed.notify_all()
        return more
