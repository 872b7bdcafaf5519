"""Run `cenote serve` as a process of its own, and end it as an operator or a power cut would.

Owns: the process, its log, what the machine tells of it.
Does not own: the directory it serves, which outlives it.

Invariant: a process started here has ended when its `ServerProcess` is left as a context manager.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cenote.base import Clock, SystemClock
from cenote.testing.wireclient import Endpoint

__all__ = ["ServerProcess"]

ACCESS_KEY = "AKIDTESTING0000000001"
SECRET_KEY = "testing/secret+key=0000000000000000000000"
POLL = 0.01


class ServerProcess:
    """A server of `data`, on a free port of the loopback. `scratch` takes its log and ready file.

    `flags` go behind `cenote serve DIR`; `environment` is laid over the caller's, of which
    nothing that begins with CENOTE_ or AWS_ is handed on.
    """

    def __init__(
        self,
        data: Path,
        scratch: Path,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.data = data
        self.log = scratch / "server.log"
        self._ready = scratch / "ready"
        self._flags = list(flags)
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CENOTE_", "AWS_"))
        } | dict(environment or {})
        self._clock = clock or SystemClock()
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens. Raises RuntimeError when it was not started."""
        if self._endpoint is None:
            raise RuntimeError("the server was not started")
        return self._endpoint

    @property
    def pid(self) -> int:
        """The process's id. Raises RuntimeError when it does not run."""
        return self._running().pid

    def start(self, limit: float = 30.0) -> Endpoint:
        """Start the server and return where it listens, once it is ready.

        Raises RuntimeError with the end of its log when it is not ready in `limit` seconds.
        """
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cenote", "serve", str(self.data), "--port", "0"]
        command += ["--ready-file", str(self._ready)]
        command += ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY, *self._flags]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment
            )
        deadline = self._clock.monotonic() + limit
        while not (self._ready.exists() and self._ready.read_text().endswith("\n")):
            if self._process.poll() is not None or self._clock.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"cenote serve did not start:\n{self.log_end()}")
            self._clock.sleep(POLL)
        address = self._ready.read_text().split()[0].partition("://")[2].rstrip("/")
        host, _, port = address.rpartition(":")
        self._endpoint = Endpoint(host.strip("[]"), int(port), ACCESS_KEY, SECRET_KEY)
        return self._endpoint

    def kill(self) -> None:
        """End it at once, as `kill -9` does, and see its children end. Harmless when repeated."""
        if self._process is None:
            return
        children = self.children() if self.is_alive() else []
        self._process.kill()
        self._process.wait()
        while any(_runs(child) for child in children):
            self._clock.sleep(POLL)

    def stop(self, limit: float = 30.0, signal_number: int = signal.SIGTERM) -> int:
        """Ask it to end and return its exit status.

        Raises subprocess.TimeoutExpired when it still runs after `limit` seconds.
        """
        process = self._running()
        process.send_signal(signal_number)
        return process.wait(limit)

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[int]:
        """Return the ids of the processes it started (Linux)."""
        return [int(pid) for pid in _read(f"{self.pid}/task/{self.pid}/children").split()]

    def memory(self) -> int:
        """Return its and its children's resident sets in bytes (Linux)."""
        sizes = [
            int(line.split()[1])
            for pid in (self.pid, *self.children())
            for line in _read(f"{pid}/status").splitlines()
            if line.startswith("VmRSS:")
        ]
        return sum(sizes) * 1024

    def open_files(self) -> int:
        """Return how many file descriptors it holds (Linux)."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def log_end(self, size: int = 4000) -> str:
        """Return the end of its log."""
        return self.log.read_bytes()[-size:].decode("utf-8", "replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("the server does not run")
        return self._process

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _read(name: str) -> str:
    """Return what /proc tells; nothing of a process that has gone."""
    try:
        return Path("/proc", name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _runs(pid: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    state = _read(f"{pid}/stat").rpartition(")")[2].split()
    return bool(state) and state[0] not in ("Z", "X")
