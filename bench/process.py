"""A process under measurement: started, watched through /proc, stopped.

CPU time is what the kernel charged to it and its children, user and system: unlike the clock it
does not grow when others use the machine.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Process", "require_free", "wait_for_port"]

_TICK = os.sysconf("SC_CLK_TCK")


class Process:
    """A child process. A context manager: it is ended at the end."""

    def __init__(self, argv: Sequence[str], log: Path, *, cwd: Path | None = None) -> None:
        self._log = log.open("ab")
        self._child = subprocess.Popen(argv, stdout=self._log, stderr=self._log, cwd=cwd)
        self.pid = self._child.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pids(self) -> list[int]:
        """Return the process and all below it."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):  # a thread that ended meanwhile
                    found += map(int, task.read_text().split())
        return found

    def cpu_s(self) -> float:
        """Return the seconds of CPU used so far."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICK

    def rss_mb(self) -> float:
        """Return resident memory in MB (10^6 bytes)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def require_alive(self) -> None:
        """Raise RuntimeError with the log when the process has ended."""
        if self._child.poll() is not None:
            raise RuntimeError(Path(self._log.name).read_text("utf-8", "replace"))

    def stop(self) -> None:
        """End the process, kindly at first."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(20)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._log.close()


def require_free(port: int) -> None:
    """Raise SystemExit when somebody listens on the port: it would be measured instead."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return
    raise SystemExit(f"port {port} is taken: choose others with --port")


def wait_for_port(process: Process, port: int, *, seconds: float = 30) -> None:
    """Return when the process takes connections. Raises RuntimeError when it ends instead."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        process.require_alive()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"nothing listens on port {port}")
