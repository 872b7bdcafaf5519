"""Jobs: what runs when, by steps and by threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from cenote.base import ManualClock, SystemClock
from cenote.errors import DataError, UnavailableError
from cenote.lsm.jobs import COMPACT, FLUSH, Job, Jobs


class Once:
    """A job that runs when woken, or every `every` seconds."""

    def __init__(self, name: str, do: Callable[[], bool], every: float | None = None) -> None:
        self.name = name
        self.do = do
        self.every = every
        self.next = 0.0

    def due(self, now: float) -> float | None:
        return None if self.every is None else self.next

    def run(self) -> bool:
        self.next += self.every or 0.0
        return self.do()


def ignore(_job: Job, _error: BaseException) -> None:
    raise AssertionError("no error was expected")


def test_nothing_runs_but_by_steps() -> None:
    ran: list[str] = []
    clock = ManualClock()
    jobs = Jobs(clock, ignore)
    jobs.add(Once("tick", lambda: bool(ran.append("tick")), every=10.0))
    jobs.add(Once("woken", lambda: bool(ran.append("woken"))))
    assert not jobs.step()
    assert ran == ["tick"]
    jobs.step()
    assert ran == ["tick"]
    jobs.wake("woken")
    jobs.step()
    assert ran == ["tick", "woken"]
    clock.advance(10)
    jobs.step()
    assert ran == ["tick", "woken", "tick"]


def test_a_job_with_more_to_do_runs_again() -> None:
    left = [3]

    def some() -> bool:
        left[0] -= 1
        return left[0] > 0

    jobs = Jobs(ManualClock(), ignore)
    jobs.add(Once("some", some))
    jobs.wake("some")
    while jobs.step():
        pass
    assert left == [0]


def test_an_unavailable_store_puts_a_job_off_longer_each_time() -> None:
    clock = ManualClock()
    tries: list[float] = []

    def fail() -> bool:
        tries.append(clock.monotonic())
        raise UnavailableError("try later")

    jobs = Jobs(clock, ignore)
    jobs.add(Once("flush", fail))
    jobs.wake("flush")
    for _ in range(1000):
        jobs.step()
        clock.advance(0.05)
    waits = [round(b - a, 3) for a, b in itertools.pairwise(tries)]
    assert waits == sorted(waits)
    assert waits[-1] > 5
    before = len(tries)
    jobs.wake("flush")
    jobs.step()
    assert len(tries) == before + 1


def test_any_other_error_is_told_and_the_job_left_out() -> None:
    told: list[str] = []

    def fail() -> bool:
        raise DataError("broken")

    jobs = Jobs(ManualClock(), lambda job, error: told.append(f"{job.name}: {error}"))
    jobs.add(Once("bad", fail))
    jobs.wake("bad")
    jobs.step()
    jobs.wake("bad")
    jobs.step()
    assert told == ["bad: broken"]
    assert jobs.names == []


def test_a_lane_does_not_wait_for_another() -> None:
    begun, go, flushed = threading.Event(), threading.Event(), threading.Event()

    def compact() -> bool:
        begun.set()
        return not go.wait(30)

    jobs = Jobs(SystemClock(), ignore)
    jobs.add(Once("compact", compact), COMPACT)
    jobs.add(Once("flush", lambda: bool(flushed.set())), FLUSH)
    jobs.start()
    jobs.wake("compact")
    assert begun.wait(30)
    jobs.wake("flush")
    assert flushed.wait(30)
    assert not jobs.stop(timeout=0.01)
    go.set()
    assert jobs.stop(timeout=30)
