"""Where the time goes: py-spy watches a server while it is under load.

py-spy stops the process for microseconds a hundred times a second and reads its stack; nothing in
the server is switched on for it. It is not a dependency: `pip install py-spy`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.process import Process

__all__ = ["profiled"]

_ROWS = 40


def profiled(server: Process, run: Callable[[], object], *, seconds: int = 6) -> None:
    """Call `run` again and again for some seconds, and print the server's functions by time.

    "own" is time in the function itself with what it calls in C; "all" with all it calls. 100 %
    is the time the interpreter was busy in any thread.
    """
    beside = Path(sys.executable).with_name("py-spy")
    binary = str(beside) if beside.exists() else shutil.which("py-spy")
    if binary is None:
        raise SystemExit("py-spy is not there: pip install py-spy")
    run()
    with tempfile.NamedTemporaryFile(suffix=".txt") as raw:
        argv = [binary, "record", "--pid", str(server.pid), "--format", "raw", "--rate", "400"]
        argv += ["--duration", str(seconds), "--output", raw.name, "--threads"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as spy:
            while spy.poll() is None:
                run()
        if spy.returncode:
            raise SystemExit("py-spy failed: it needs to be root, or ptrace to be allowed")
        report(Path(raw.name).read_text("utf-8"))


def report(raw: str) -> None:
    """Print the functions of "frame;frame;frame count" lines by their own time."""
    own: Counter[str] = Counter()
    everything: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    total = 0
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] or frame for frame in stack.split(";")]
        # The line within a function does not matter here.
        number = int(count)
        total += number
        threads[frames[0]] += number
        own[frames[-1]] += number
        for frame in set(frames):
            everything[frame] += number
    print(f"{'own %':>6} {'all %':>6}  function")
    for frame, number in own.most_common(_ROWS):
        print(f"{number / total:6.1%} {everything[frame] / total:6.1%}  {frame}")
    print()
    for frame, number in everything.most_common(_ROWS):
        print(f"{own[frame] / total:6.1%} {number / total:6.1%}  {frame}")
    print()
    for thread, number in threads.most_common(8):
        print(f"{number / total:6.1%}  {thread}")
