"""A world in which one thread runs at a time, and chance, by a seed, says which.

Owns: virtual time, tasks and whose turn it is, machines and their deaths, the trace.
Does not own: what takes time (a store's requests, sleeping), or what the tasks do.

Every task has a thread of its own, but runs only while it holds the turn. It gives the turn away
where it would wait: in `pause` for a span of virtual time, in `block` until it is woken. Whoever
gives it away picks the next: the task, or the event, that wants to go on earliest; of several, by
chance. Between two such points a task is never interrupted, so a run is a function of its seed.

A machine is what dies as one: all of its tasks. Each unwinds from where it stood by `Crash`, which
no `except Exception` catches, and from then on reaches nothing outside: what a dying task asks of
a store does not happen.

Invariants:
1. At most one task runs. Virtual time never goes back.
2. The same seed and the same tasks make the same trace: nothing here looks at real time, at ids of
   objects, or at the order of a set.
3. When no task can go on, the world says so at once (`Stuck`), instead of hanging.

Why threads, and not generators: the engine is plain code that calls a store and blocks; the
simulation must run that code, not a version of it.
"""

from __future__ import annotations

import _thread
import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from cenote.errors import Error
from cenote.testing.sim.dice import Dice

__all__ = ["Crash", "LawBroken", "Machine", "Stuck", "Task", "World", "current_task"]

_STEPS_MAX: Final = 200_000

_here = threading.local()


class Crash(BaseException):
    """The machine died under this task. Not an Exception: nothing may survive it."""


class LawBroken(Error, AssertionError):
    """What must never be, is."""

    default_kind = "law_broken"


class Stuck(LawBroken):
    """No task can go on, or none comes to an end."""

    default_kind = "stuck"


def current_task() -> Task | None:
    """Return the task this thread is, None outside of a world."""
    task: Task | None = getattr(_here, "task", None)
    return task


@contextmanager
def _outside() -> Iterator[None]:
    """Be no task for the length of a block: what is made here gets real locks."""
    task = current_task()
    _here.task = None
    try:
        yield
    finally:
        _here.task = task


class Machine:
    """What dies as one. `name` tells the incarnation too: a machine does not come back."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_dead = False
        self.tasks: list[Task] = []

    def spawn(self, name: str, main: Callable[[], None]) -> Task:
        """Begin a task on this machine."""
        task = Task(self, f"{self.name}/{name}", main)
        self.tasks.append(task)
        self.world._begin(task)
        return task

    def kill(self) -> None:
        """Die now. Raises Crash when the caller is one of the tasks that do."""
        if not self.is_dead:
            self.is_dead = True
            self.world.note(f"{self.name} dies")
            for task in self.tasks:
                self.world.wake(task)
        caller = current_task()
        if caller is not None and caller.machine is self:
            raise Crash(self.name)


class Task:
    """A thread that waits for its turn."""

    def __init__(self, machine: Machine, name: str, main: Callable[[], None]) -> None:
        self.machine = machine
        self.name = name
        self.is_done = False
        self.ticket = 0  # counts its waits, so that an outdated one in the queue is known as such
        self.waits_for = ""
        self.joiners: list[Task] = []
        self.thread: object = None  # what the task itself takes for its thread
        self._main = main
        self._turn = _thread.allocate_lock()
        self._turn.acquire()
        with _outside():
            self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    @property
    def is_doomed(self) -> bool:
        """Whether its machine has died."""
        return self.machine.is_dead

    def start(self) -> None:
        """Start the thread; it waits for its first turn."""
        with _outside():
            self._thread.start()

    def resume(self) -> None:
        """Give it the turn."""
        self._turn.release()

    def wait_for_turn(self) -> None:
        """Block until it has the turn. Raises Crash if the machine died meanwhile."""
        self._turn.acquire()
        if self.machine.is_dead:
            raise Crash(self.machine.name)

    def join(self) -> None:
        """Wait for the thread itself to end, which it does soon after its last turn."""
        self._thread.join(60)

    def _live(self) -> None:
        _here.task = self
        world = self.machine.world
        try:
            self.wait_for_turn()
            self._main()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - nobody else would see a thread's end
            world.fail(error, self.name)
        finally:
            self.is_done = True
            world._end(self)


class World:
    """The tasks, their time, and what happened.

    `clock_start_ms` is the wall time at virtual time 0.
    """

    def __init__(self, seed: int, *, steps_max: int = _STEPS_MAX) -> None:
        self.seed = seed
        self.dice = Dice(seed)
        self.now = 0.0
        self.clock_start_ms = 1_700_000_000_000
        self.steps = 0
        self.trace: list[str] = []
        self.failure: BaseException | None = None
        self.failed_in = ""
        self._digest = blake2b(digest_size=16)
        self._steps_max = steps_max
        self._queue: list[tuple[float, float, int, Task | Callable[[], None], int]] = []
        self._count = 0
        self._tasks: list[Task] = []
        self._over = _thread.allocate_lock()
        self._over.acquire()
        self._ending = False

    # Outside.

    def run(self) -> None:
        """Run until every task has ended. Raises the first error one of them ended with."""
        self._hand_over(None)
        self._over.acquire()
        for task in self._tasks:
            task.join()
        if self.failure is not None:
            raise self.failure

    @property
    def tasks(self) -> list[Task]:
        """All tasks there have been."""
        return list(self._tasks)

    @property
    def trace_hash(self) -> str:
        """A digest of all that was noted: of requests, their results, and the times of both."""
        return self._digest.hexdigest()

    # For tasks.

    def note(self, text: str) -> None:
        """Write a line into the trace, with the time and the task."""
        task = current_task()
        line = f"{self.now:12.4f} {task.name if task else '-':<16} {text}"
        self._digest.update(line.encode("utf-8", "backslashreplace"))
        self.trace.append(line)

    def pause(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass for the calling task. Raises Crash."""
        task = self._caller()
        self._push(self.now + max(seconds, 0.0), task)
        task.waits_for = "time"
        self._hand_over(task)

    def block(self, what: str, seconds: float | None = None) -> None:
        """Give the turn away until `wake`, or until `seconds` have passed. Raises Crash."""
        task = self._caller()
        task.ticket += 1
        task.waits_for = what
        if seconds is not None:
            self._push(self.now + max(seconds, 0.0), task, same_ticket=True)
        self._hand_over(task)

    def wake(self, task: Task) -> None:
        """Let a task that waits go on, now. Harmless for one that runs or has ended."""
        if not task.is_done:
            self._push(self.now, task)

    def join(self, tasks: Sequence[Task], seconds: float | None = None) -> None:
        """Give the turn away until all of `tasks` have ended, or `seconds` have passed."""
        caller = self._caller()
        deadline = None if seconds is None else self.now + seconds
        for task in tasks:
            while not task.is_done:
                left = None if deadline is None else deadline - self.now
                if left is not None and left <= 0:
                    return
                task.joiners.append(caller)
                try:
                    self.block(f"the end of {task.name}", left)
                finally:
                    task.joiners.remove(caller)

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        """Have `event` happen in `seconds`, whoever lives then. It must not pause."""
        self._count += 1
        entry = (self.now + seconds, self.dice.share(), self._count, event, 0)
        heapq.heappush(self._queue, entry)

    def fail(self, error: BaseException, where: str = "") -> None:
        """End the world for an error: every task unwinds, and `run` raises it."""
        if self.failure is None:
            self.failure, self.failed_in = error, where
            self.note(f"FAILED: {type(error).__name__}: {error}")
        self._end_all()

    # The turn.

    def _caller(self) -> Task:
        task = current_task()
        if task is None:
            raise Stuck("somebody outside of the world waits in it")
        if task.is_doomed:
            raise Crash(task.machine.name)
        return task

    def _push(self, when: float, task: Task, *, same_ticket: bool = False) -> None:
        if not same_ticket:
            task.ticket += 1
        self._count += 1
        heapq.heappush(self._queue, (when, self.dice.share(), self._count, task, task.ticket))

    def _begin(self, task: Task) -> None:
        self._tasks.append(task)
        task.start()
        self._push(self.now, task)

    def _end(self, task: Task) -> None:
        for joiner in task.joiners:
            self.wake(joiner)
        if all(each.is_done for each in self._tasks):
            self._over.release()
        else:
            self._hand_over(None)

    def _end_all(self) -> None:
        if not self._ending:
            self._ending = True
            for task in list(self._tasks):
                task.machine.is_dead = True
                self.wake(task)

    def _next(self) -> Task:
        while True:
            while self._queue:
                when, _, _, entry, ticket = heapq.heappop(self._queue)
                if isinstance(entry, Task):
                    if entry.is_done or ticket != entry.ticket:
                        continue
                    self.now = max(self.now, when)
                    entry.ticket += 1
                    return entry
                self.now = max(self.now, when)
                if not self._ending:
                    entry()
            waiting = [f"{t.name} waits for {t.waits_for}" for t in self._tasks if not t.is_done]
            self.fail(Stuck("nobody can go on: " + "; ".join(waiting)))

    def _hand_over(self, task: Task | None) -> None:
        """Pick who is next; wait until it is `task` again (None: the caller does not go on)."""
        self.steps += 1
        if self.steps == self._steps_max:
            self.fail(Stuck(f"the tasks do not end in {self._steps_max} steps"))
        chosen = self._next()
        if chosen is task:
            if task.is_doomed:
                raise Crash(task.machine.name)
            return
        chosen.resume()
        if task is not None:
            task.wait_for_turn()
