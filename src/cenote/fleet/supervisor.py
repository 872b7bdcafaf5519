"""The parent of a family of processes: starts them, starts them again, ends them in order.

Owns: forking, signals, who died and when to start it again, the order of the end.
Does not own: what the children do.

Order: the writer, and when it is ready the workers, and when all are ready the service is. At the
end: SIGTERM to the workers, which drain; then the writer's lifeline, a pipe, is cut, and it closes
the directory. The writer ignores SIGTERM and SIGINT, for service managers and terminals send those
to all processes at once.

Invariants:
1. No child outlives this process: the kernel kills them (PR_SET_PDEATHSIG).
2. A child that ends unasked is started again, at once when it had lived, later and later when not.
3. Until all are ready for the first time a child's failure is the service's.

Why fork and not a fresh interpreter: a worker is there in milliseconds, shares the pages of the
code, and inherits sockets, the lock and shared memory without a word. This process must have one
thread and no event loop.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from cenote.base import Clock
from cenote.errors import UnavailableError
from cenote.fleet.faults import Fault, fault_of

__all__ = ["Child", "Supervisor"]

_log = logging.getLogger("cenote.fleet")
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_LIVED_S: Final = 5.0
_AGAIN_S: Final = 0.05
_AGAIN_MAX_S: Final = 5.0
_START_S: Final = 60.0
_WRITER_END_S: Final = 60.0


class Child:
    """What is handed to a child: how it says that it is ready, and when it is to end."""

    def __init__(self, index: int, status: int, lifeline: int) -> None:
        self.index = index
        self.lifeline = lifeline
        self._status = status

    def ready(self) -> None:
        """Tell the supervisor that this process serves."""
        self.report(None)

    def report(self, fault: Fault | None) -> None:
        """Tell the supervisor how the start went."""
        line = msgspec.json.encode(_Report(self.index, fault)) + b"\n"
        os.write(self._status, line)  # below PIPE_BUF: whole


class _Report(Struct):
    index: int
    fault: Fault | None


class _Post:
    """One place in the family, and who has it."""

    def __init__(self, index: int, name: str, work: Callable[[Child], None]) -> None:
        self.index = index
        self.name = name
        self.work = work
        self.pid = 0
        self.since = 0.0
        self.due: float | None = None
        self.failures = 0
        self.ready = False


class Supervisor:
    """Runs `writer` once and `worker` `count` times, each in a process of its own."""

    def __init__(
        self,
        writer: Callable[[Child], None],
        worker: Callable[[Child], None],
        count: int,
        clock: Clock,
        *,
        stop_timeout: float,
        restarting_writer: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._stop_timeout = stop_timeout
        self._restarting_writer = restarting_writer
        self._writer = _Post(0, "writer", writer)
        self._workers = [_Post(n, f"worker {n}", worker) for n in range(1, count + 1)]
        self._stopping = False
        self._serving = False
        self._rest = b""
        self._fault: Fault | None = None
        self._selector = selectors.DefaultSelector()
        self._status_in, self._status_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._lifeline_in, self._lifeline_out = os.pipe2(os.O_CLOEXEC)
        self._wake_in, self._wake_out = socket.socketpair()

    def run(self, started: Callable[[], None], stopping: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT. Must be called by the main thread.

        `started` is called when all serve, `stopping` when the end begins.
        Raises what a child could not start for.
        """
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._selector.register(self._status_in, selectors.EVENT_READ)
        before = {number: signal.signal(number, _noted) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        try:
            self._start_all()
            if not self._stopping and self._fault is None:
                self._serving = True
                started()
                while not self._stopping:
                    self._wait(self._next_due())
                    self._start_due()
            stopping()
        finally:
            self._end()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._close()
        if self._fault is not None:
            raise self._fault.error()

    # Starting.

    def _start_all(self) -> None:
        for posts in ([self._writer], self._workers):
            deadline = self._clock.monotonic() + _START_S
            for post in posts:
                self._fork(post)
            while not self._stopping and self._fault is None:
                if all(post.ready for post in posts):
                    break
                ended = [post.name for post in posts if not post.pid]
                if ended or self._clock.monotonic() > deadline:
                    error = UnavailableError(f"{', '.join(ended) or 'a process'} did not start")
                    self._fault = fault_of(error)
                self._wait(1.0)

    def _next_due(self) -> float | None:
        dues = [post.due for post in self._posts() if post.due is not None]
        return max(min(dues) - self._clock.monotonic(), 0.0) if dues else None

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for post in self._posts():
            if post.due is not None and post.due <= now and not self._stopping:
                post.due = None
                if post is self._writer:
                    self._restarting_writer()
                self._fork(post)

    def _posts(self) -> list[_Post]:
        return [self._writer, *self._workers]

    def _fork(self, post: _Post) -> None:
        gc.collect()
        gc.freeze()  # else a collection in the child copies every page it looks at
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self._be(post, parent, blocked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        post.pid = pid
        post.since = self._clock.monotonic()
        post.ready = False

    def _be(self, post: _Post, parent: int, blocked: Iterable[int]) -> NoReturn:
        """Be the child; never return."""
        status = 1
        child = Child(post.index, self._status_out, self._lifeline_in)
        try:
            _die_with(parent)
            _be_called(f"cenote-{post.name}")
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if post is self._writer:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.close(self._lifeline_out)
            os.close(self._status_in)
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            post.work(child)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the supervisor of this process
            child.report(fault_of(error))
            _log.error("%s: %s", post.name, error)
        finally:
            logging.shutdown()
            os._exit(status)

    # Waiting.

    def _wait(self, timeout: float | None) -> None:
        """Wait for something to happen, and take it in."""
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._wake_in:
                numbers = self._wake_in.recv(4096)
                if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                    self._stopping = True
                self._reap()
            else:
                self._read_reports()

    def _read_reports(self) -> None:
        lines = (self._rest + os.read(self._status_in, 65536)).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            report = msgspec.json.decode(line, type=_Report)
            post = self._posts()[report.index]
            if report.fault is None:
                post.ready = True
                post.failures = 0
            elif self._fault is None and not self._serving:
                self._fault = report.fault

    def _reap(self) -> None:
        for post in self._posts():
            if not post.pid:
                continue
            pid, status = os.waitpid(post.pid, os.WNOHANG)
            if pid:
                self._note_end(post, status)

    def _note_end(self, post: _Post, status: int) -> None:
        now = self._clock.monotonic()
        pid, post.pid = post.pid, 0
        post.failures = 0 if now - post.since > _LIVED_S else post.failures + 1
        delay = min(_AGAIN_S * 2**post.failures, _AGAIN_MAX_S) if post.failures > 1 else 0.0
        post.due = now + delay
        if not self._stopping:
            code = os.waitstatus_to_exitcode(status)
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            _log.error("%s (process %d) %s; it is started again", post.name, pid, how)

    # The end.

    def _end(self) -> None:
        self._stopping = True
        for post in self._workers:
            if post.pid:
                os.kill(post.pid, signal.SIGTERM)
        self._wait_for(self._workers, self._stop_timeout)
        os.close(self._lifeline_out)
        self._wait_for([self._writer], _WRITER_END_S)

    def _wait_for(self, posts: list[_Post], patience: float) -> None:
        deadline = self._clock.monotonic() + patience
        while any(post.pid for post in posts):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                for post in posts:
                    if post.pid:
                        _log.error("%s (process %d) does not end: killed", post.name, post.pid)
                        os.kill(post.pid, signal.SIGKILL)
                deadline = float("inf")
            self._wait(min(max(left, 0.01), 1.0))
            self._reap()

    def _close(self) -> None:
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        for fd in (self._status_in, self._status_out, self._lifeline_in):
            os.close(fd)


def _noted(number: int, frame: object) -> None:
    """A signal came; its number is in the wakeup socket."""


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _be_called(name: str) -> None:
    """Tell operators which process this is, in ps and top (prctl(2): 15 bytes)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.replace(" ", "-").encode()[:15], 0, 0, 0)
