"""A compaction whose merge another process does.

Owns: starting that process, what it tells, going on without it where it cannot help.
Does not own: the merge (`run`, in `child`), claims and commits, which stay in this process.

A merge in plain Python holds the interpreter's lock: reads and writes beside it become many times
slower. Compiled kernels let go of it, and need none of this.

Invariants:
1. It is to its caller what a `CompactionRun` is: the same steps, context, outputs and errors.
2. What cannot be sent to another process, or opened there, is merged here: slower, never not.
3. No process is left behind: it ends with its compaction, and with this process.
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cenote.errors import Error, UnavailableError
from cenote.lsm.compact import child
from cenote.lsm.compact.run import CompactionRun, Work
from cenote.lsm.format import OutputSst, TieredContext

__all__ = ["LocalRunner", "ProcessRunner", "RemoteRun", "Run", "Runner"]

_PATIENCE_SECONDS: Final = 0.05
_PROGRAM: Final = "from cenote.lsm.compact.child import main; main()"


class Run(Protocol):
    """A compaction that is being done; see `CompactionRun`."""

    @property
    def context(self) -> TieredContext: ...

    @property
    def bytes_read(self) -> int: ...

    def step(self) -> bool: ...

    def outputs(self) -> tuple[OutputSst, ...]: ...

    def abandon(self) -> None: ...


class Runner(Protocol):
    """Begins runs."""

    def begin(self, work: Work, context: TieredContext | None, compaction: str) -> Run:
        """Begin one, or go on with one from its context."""
        ...


class LocalRunner:
    """Has them done in this process."""

    def begin(self, work: Work, context: TieredContext | None, compaction: str) -> Run:
        """Return a run of this process."""
        return CompactionRun(work, context)


@dataclass(slots=True)
class ProcessRunner:
    """Has each done by a process of its own, which opens the store by `uri`."""

    uri: str
    root: str
    refused: str | None = None

    def begin(self, work: Work, context: TieredContext | None, compaction: str) -> Run:
        """Return a run of another process."""
        return RemoteRun(self, work, context, compaction)


class RemoteRun:
    """A compaction in another process. Not thread-safe."""

    def __init__(
        self, runner: ProcessRunner, work: Work, context: TieredContext | None, compaction: str
    ) -> None:
        self._runner = runner
        self._work = work
        self._context = context
        self._compaction = compaction
        self._process: subprocess.Popen[bytes] | None = None
        self._local: CompactionRun | None = None
        self._done = False
        self._bytes_read = 0

    @property
    def context(self) -> TieredContext:
        """What is finished; nothing at all before the process told its plan."""
        if self._local is not None:
            return self._local.context
        return self._context or TieredContext((), self._work.retention.seq_min)

    @property
    def bytes_read(self) -> int:
        """How many bytes of the inputs were read."""
        return self._bytes_read if self._local is None else self._local.bytes_read

    def outputs(self) -> tuple[OutputSst, ...]:
        """Return the files, rising by key. Requires: the last step returned False."""
        return tuple(each for part in self.context.subcompactions for each in part.outputs)

    def step(self) -> bool:
        """Wait a moment for what the process tells. Returns whether there is more to do.

        Raises as `CompactionRun.step`; the next step starts another process, which goes on.
        """
        if self._local is not None:
            return self._local.step()
        if self._done:
            return False
        process = self._process or self._start()
        if process is None or process.stdout is None:
            return self._go_on_here()
        if not select.select([process.stdout], [], [], _PATIENCE_SECONDS)[0]:
            return True
        try:
            told, *values = child.receive(process.stdout)
        except (EOFError, pickle.UnpicklingError, AttributeError, ImportError, TypeError) as error:
            self.abandon()
            raise UnavailableError("a merging process ended early", kind="process") from error
        return self._hear(told, values)

    def _hear(self, told: str, values: list[Any]) -> bool:
        if told == child.PROGRESS:
            self._context = values[0]
            return True
        self.abandon()
        if told == child.DONE:
            self._context, self._bytes_read = values
            self._done = True
            return False
        if told == child.REFUSED:
            self._runner.refused = values[0]
            return self._go_on_here()
        raise values[0]

    def _go_on_here(self) -> bool:
        self._local = CompactionRun(self._work, self._context)
        return self._local.step()

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Start the process and give it the order. None: it cannot be."""
        if self._runner.refused is not None:
            return None
        work = self._work
        order = child.Order(
            uri=self._runner.uri,
            root=self._runner.root,
            compaction=self._compaction,
            sources=work.sources,
            retention=work.retention,
            layout=work.layout,
            sst_size=work.sst_size,
            subcompactions=work.subcompactions,
            chunk=work.chunk,
            window=work.window,
            ahead=work.ahead,
            context=self._context,
        )
        # The interpreter's hash of bytes is then the files' own, which is much faster than ours.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        process = None
        try:
            pickle.dumps(order)
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            self._process = process
            if process.stdin is not None:
                child.send(process.stdin, order)
        except (pickle.PicklingError, AttributeError, TypeError, OSError) as error:
            self._runner.refused = f"{type(error).__name__}: {error}"
            self.abandon()
            return None
        return process

    def abandon(self) -> None:
        """End the process; drop the file that is not finished. Harmless when repeated."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                try:
                    if stream is not None:
                        stream.close()
                except OSError:
                    continue  # what was not sent yet is nobody's
        if self._local is not None:
            try:
                self._local.abandon()
            except Error:
                return  # an upload that nobody finishes is nobody's object
