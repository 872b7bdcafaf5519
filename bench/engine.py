"""The engine against the `slatedb` package, both called from Python, row by row.

    python -m bench engine [--rounds 3] [--rows 200000] [--only get] [--without directory] [--alone]

Each contender is a process of its own; they take turns. `memory` and `directory` are two places to
keep a database. Ratios are ours over theirs, of time (or memory) for the same work: the median of
the rounds' ratios. Beside it stands the ratio of CPU time, which suffers less when others use the
machine. With `--alone` the package's engine is measured without its binding as well,
where that can be done. The aims are those of docs/reference/engine-speed.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rounds import Verdicts, median, options, ratio, scratch, table

CONTENDERS = {"cenote": "engine_cenote", "slatedb": "engine_wheel"}
# What a program does before its first operation, told in milliseconds by the clock and of CPU.
START = """
from time import perf_counter, process_time
began, cpu = perf_counter(), process_time()
import asyncio
{imports}
async def main():
    db = await {opened}
    await {closed}
asyncio.run(main())
print((perf_counter() - began) * 1e3, (process_time() - cpu) * 1e3)
"""
STARTS = {
    "cenote": ("import cenote", "cenote.AsyncDb.open('memory://')", "db.close()"),
    "slatedb": (
        "import slatedb.uniffi as s",
        "s.DbBuilder('db', s.ObjectStore.resolve('memory:///')).build()",
        "db.shutdown()",
    ),
}
ALONE = {"its engine alone": "engine_alone"}
ALONE_CALLS = ("batch", "scan", "compact")


@dataclass(frozen=True)
class Step:
    """A row of the table: what is called in each round, and the aim for the ratio."""

    what: str
    call: tuple[Any, ...]
    aim: float | None
    unit: str = "us"


@dataclass(frozen=True)
class Phase:
    """Calls that are made once, then steps. `once`: each step in one round only."""

    calls: tuple[tuple[Any, ...], ...]
    steps: tuple[Step, ...]
    once: bool = False


def phases(rows: int, disk: bool) -> list[Phase]:
    """Return what is measured, in order."""
    return [
        Phase(
            (("open", "fresh"), ("put", 2000), ("batch", 2000, 1000)),
            (
                Step("put, one caller", ("put", 3000), 1 / 30),
                Step("put, 64 tasks", ("put_tasks", 6400), 1 / 25),
                Step("batch of 100, a row", ("batch", 10_000, 100), 1 / 25),
                Step("batch of 1000, a row", ("batch", 10_000, 1000), 1 / 25),
                Step("transaction: get, put", ("transaction", 1000), 1 / 15),
                Step("put and flush", ("put_flush", 100), 0.8 if disk else 0.5),
            ),
        ),
        Phase(
            (("open", "full"), ("fill", 50_000), ("get", 1000, 50_000)),
            (
                Step("get from memory", ("get", 3000, 50_000), 1 / 40),
                Step("get from memory, 64 tasks", ("get_tasks", 6400, 50_000), 1 / 40),
                Step("miss in memory", ("miss", 3000, 50_000), 1 / 40),
            ),
        ),
        Phase(
            (("open", "slow", 100),),
            (Step("durable put, interval 100 ms", ("durable", 5), 1.0),),
        ),
        Phase(
            (("open", "quick", 1), ("durable", 10)),
            (
                Step("durable put, interval 1 ms", ("durable", 100), 0.7),
                Step("durable put, 64 tasks, 1 ms", ("durable_tasks", 1280), 0.35),
            ),
        ),
        Phase(
            (("open", "files"),),
            (Step("load in batches of 1000, flushed, a row", ("load", 3), 1 / 12),),
            once=True,
        ),
        Phase(
            (("get", rows // 4, rows), ("miss", 1000, rows), ("scan",)),
            (
                Step("get, 3 files of level 0", ("get", 3000, rows), 1 / 10),
                Step("miss, 3 files of level 0", ("miss", 3000, rows), 1 / 12),
                Step("scan, 3 files, its best way, a row", ("scan",), 1 / 8),
            ),
        ),
        Phase((), (Step("compaction of the 3, a row", ("compact",), 0.5),), once=True),
        Phase(
            (("open", "files"), ("get", rows // 4, rows), ("miss", 1000, rows), ("scan",)),
            (
                Step("get, one sorted run", ("get", 3000, rows), 1 / 12),
                Step("get, 64 tasks, one sorted run", ("get_tasks", 6400, rows), 1 / 12),
                Step("miss, one sorted run", ("miss", 3000, rows), 1 / 12),
                Step("scan, one run, its best way, a row", ("scan",), 1 / 15),
                Step("scan row by row, a row", ("scan_rows", 20_000), 1 / 100),
                Step("seek and 100 rows", ("seek", 200), 1 / 12),
                Step("get, first touch", ("first_touch", 300), 1 / 5),
            ),
        ),
    ]


class Worker:
    """A contender's process."""

    def __init__(self, module: str, place: str, rows: int) -> None:
        argv = [sys.executable, "-m", "bench.engine_worker", module, place, str(rows)]
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def call(self, *words: Any) -> Any:
        """Have a method called and return what it returned."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(words) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"a contender ended while it should {words}")
        return json.loads(line)

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextmanager
def workers(place: Path | None, rows: int, alone: bool) -> Iterator[dict[str, Worker]]:
    """Start every contender."""
    with ExitStack() as stack:
        crew = {}
        for name, module in (CONTENDERS | (ALONE if alone else {})).items():
            where = "memory"
            if place is not None:
                (place / module).mkdir(parents=True)
                where = str(place / module)
            crew[name] = Worker(module, where, rows)
            stack.callback(crew[name].close)
        yield crew


Results = dict[tuple[str, ...], dict[str, list[float]]]
CPU = "cpu"


def measure(args: Any, kind: str, place: Path | None, aims: dict[Any, float]) -> Results:
    """Run all phases at one place."""
    results: Results = {}
    with workers(place, args.rows, args.alone) as crew:
        for phase in phases(args.rows, place is not None):
            before = {name: worker.call("rss") for name, worker in crew.items()}
            for worker in crew.values():
                for call in phase.calls:
                    worker.call(*call)
            for step in phase.steps:
                if not phase.once and args.only and args.only not in step.what:
                    continue
                called = {
                    name: worker
                    for name, worker in crew.items()
                    if name in CONTENDERS or phase.once or step.call[0] in ALONE_CALLS
                }
                seen: dict[str, list[float]] = {name: [] for name in called}
                cpu: dict[str, list[float]] = {name: [] for name in called}
                for _ in range(1 if phase.once else args.rounds):
                    for name, worker in called.items():
                        by_clock, of_cpu = worker.call(*step.call)
                        seen[name].append(by_clock)
                        cpu[name].append(of_cpu)
                results[kind, step.what] = seen
                results[CPU, kind, step.what] = cpu
                if step.aim is not None:
                    aims[kind, step.what] = step.aim
                tell(kind, step.what, seen)
            if phase.once and phase.steps[0].call[0] == "load":
                added = {n: [w.call("rss")[0] - before[n][0]] for n, w in crew.items()}
                results[kind, "memory after the load, MB"] = added
                if place is not None:
                    aims[kind, "memory after the load, MB"] = 0.6
        peaks = {name: [worker.call("rss")[1]] for name, worker in crew.items()}
        results[kind, "memory at the peak, MB"] = peaks
        aims[kind, "memory at the peak, MB"] = 1.0
    return results


def start_up(rounds: int) -> Results:
    """Import, open and close in a new process."""
    seen: dict[str, list[float]] = {name: [] for name in STARTS}
    cpu: dict[str, list[float]] = {name: [] for name in STARTS}
    for turn in range(rounds + 1):
        for name, (imports, opened, closed) in STARTS.items():
            code = START.format(imports=imports, opened=opened, closed=closed)
            done = subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True
            )
            if turn:  # the first fills the page cache
                by_clock, of_cpu = map(float, done.stdout.split())
                seen[name].append(by_clock)
                cpu[name].append(of_cpu)
    what = "import, open, close, ms"
    return {("start", what): seen, (CPU, "start", what): cpu}


def tell(kind: str, what: str, seen: dict[str, list[float]]) -> None:
    """Print a row as soon as there is one, on standard error."""
    cells = [f"{name} {median(values):.2f}" for name, values in seen.items()]
    print(f"{time.strftime('%H:%M:%S')} {kind}: {what}: {', '.join(cells)}", file=sys.stderr)


def main() -> int:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--alone", action="store_true", help="also their engine without binding")
    parser.add_argument("--only", default="", help="steps whose name has this in it")
    args = parser.parse_args()
    results: Results = {}
    aims: dict[Any, float] = {}
    results |= start_up(args.rounds)
    aims["start", "import, open, close, ms"] = 1 / 3
    with scratch(args.folder) as folder:
        for kind, place in (("memory", None), ("directory", folder / "engines")):
            if kind not in args.without:
                results |= measure(args, kind, place, aims)
    return report(results, aims)


def told(share: float) -> str:
    """Return a ratio as it is read best."""
    if share <= 0:
        return "0"
    return f"{share:.2f}" if share > 0.3 else f"1/{1 / share:.0f}"


def report(results: Results, aims: dict[Any, float]) -> int:
    """Print the table and compare with the aims."""
    lines = []
    for name, seen in results.items():
        if name[0] == CPU:
            continue
        ours, theirs = seen["cenote"], seen["slatedb"]
        line = [": ".join(name), f"{median(ours):.2f}", f"{median(theirs):.2f}"]
        line.append(told(ratio(ours, theirs)))
        cpu = results.get((CPU, *name))
        line.append(told(ratio(cpu["cenote"], cpu["slatedb"])) if cpu else "")
        for other in ALONE:
            alone = seen.get(other)
            line += [f"{median(alone):.2f}", told(ratio(ours, alone))] if alone else ["", ""]
        lines.append(line)
    head = ["us, unless it says otherwise", "cenote", "slatedb", "ratio", "of CPU", *ALONE, "ratio"]
    table(head, lines)
    verdicts = Verdicts()
    for (kind, what), aim in aims.items():
        seen = results[kind, what]
        verdicts.at_most(f"{kind}: {what}", ratio(seen["cenote"], seen["slatedb"]), aim, ".4f")
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
