"""A process that holds one contender of `engine` and does what it is told, line by line.

    python -m bench.engine_worker MODULE PLACE ROWS

Each line of standard input is a JSON list: a method of the module's `Engine`, and its arguments.
The answer is a JSON line: what it returned. `rss` is answered here.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
from pathlib import Path
from typing import Any


def memory() -> list[float]:
    """Return resident memory now and at its peak, in MB."""
    found = {}
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(rest.split()[0]) * 1024 / 1e6
    return [found["VmRSS"], found["VmHWM"]]


async def serve(engine: Any) -> None:
    """Carry out one line after the other."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *arguments = json.loads(line)
        if name == "rss":
            gc.collect()
            answer: Any = memory()
        else:
            gc.collect()
            answer = await getattr(engine, name)(*arguments)
        print(json.dumps(answer), flush=True)
    await engine.close()


def main() -> None:
    module, place, rows = sys.argv[1:]
    engine = importlib.import_module(f"bench.{module}").Engine(
        None if place == "memory" else place, int(rows)
    )
    asyncio.run(serve(engine))


if __name__ == "__main__":
    main()
