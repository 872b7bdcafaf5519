"""What it costs to have a server: idle memory, time to the first stored object, import time.

    python -m bench footprint [--rounds 5]

The time to the first object runs from the start of the process to the answer of a PUT into a
bucket made by the request before it. The time to import is that of `cenote --version`, without
what the interpreter takes to start and end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.load import presigned
from bench.peers import ACCESS_KEY, SECRET_KEY
from bench.process import Process, require_free, wait_for_port
from bench.rounds import Verdicts, median, options, play, scratch, table
from bench.transfer import request

AIM_MEMORY = 60.0
AIM_START = 0.7
AIM_IMPORT = 0.1


def first_object(folder: Path, port: int, runs: Iterator[int]) -> float:
    """Start a server on a new directory and store an object; seconds."""
    root = folder / f"start-{next(runs)}"
    argv = [sys.executable, "-m", "cenote", "serve", str(root), "--port", str(port)]
    argv += ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
    require_free(port)
    began = time.perf_counter()
    with Process(argv, folder / "log") as server:
        wait_for_port(server, port)
        for key, body in (("", b""), ("first", b"x" * 1024)):
            answer = request(port, presigned("PUT", port, key, len(body)), body)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode("latin-1"))
        return time.perf_counter() - began


def idle_memory(folder: Path, port: int, runs: Iterator[int]) -> float:
    """Start a server, let it settle, and return its resident memory in MB."""
    root = folder / f"idle-{next(runs)}"
    argv = [sys.executable, "-m", "cenote", "serve", str(root), "--port", str(port)]
    argv += ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
    require_free(port)
    with Process(argv, folder / "log") as server:
        wait_for_port(server, port)
        time.sleep(0.5)
        return server.rss_mb()


def run_python(*arguments: str) -> float:
    began, used = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    now = os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return min(cpu, time.perf_counter() - began) if cpu else time.perf_counter() - began


def main() -> int:
    args = options(__doc__).parse_args()
    runs = count()
    with scratch(args.folder) as folder:
        results = play(
            {
                "first object, s": lambda: first_object(folder, args.port, runs),
                "idle memory, MB": lambda: idle_memory(folder, args.port, runs),
                "python -c pass, s": lambda: run_python("-c", "pass"),
                "cenote --version, s": lambda: run_python("-m", "cenote", "--version"),
                "cenote serve --help, s": lambda: run_python("-m", "cenote", "serve", "--help"),
            },
            args.rounds,
        )
    table(
        ["", "median", "best"],
        [[name, f"{median(seen):.3f}", f"{min(seen):.3f}"] for name, seen in results.items()],
    )
    verdicts = Verdicts()
    verdicts.at_most("idle memory, MB", median(results["idle memory, MB"]), AIM_MEMORY, ".1f")
    verdicts.at_most("first object, s", median(results["first object, s"]), AIM_START)
    imported = [
        ours - bare
        for ours, bare in zip(
            results["cenote --version, s"], results["python -c pass, s"], strict=True
        )
    ]
    verdicts.at_most("import of the command line, s", median(imported), AIM_IMPORT, ".3f")
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
