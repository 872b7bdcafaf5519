"""Rounds: every contender once, then again, so that what disturbs one disturbs all.

Ratios are taken within each round and their median is told: figures of one round were measured
within seconds of each other, those of different rounds were not.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Verdicts", "median", "options", "play", "ratio", "scratch", "table"]

T = TypeVar("T")


def options(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Return a parser with what all benchmarks take; `defaults` change what they are."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of one measurement")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--port", type=int, default=9700, help="the first of a few ports to use")
    parser.add_argument("--folder", type=Path, default=None, help="where data lies meanwhile")
    parser.add_argument("--without", action="append", default=[], help="leave a contender out")
    parser.add_argument("--moto", default="moto_server", help="the moto_server to run")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.set_defaults(**defaults)
    return parser


@contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """Make an empty folder, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="cenote-bench-", dir=folder) as name:
        yield Path(name)


def play(
    contenders: Mapping[str, Callable[[], T]], rounds: int, *, warm: bool = True
) -> dict[str, list[T]]:
    """Run every contender once a round, in turn; with `warm` once more before, for nothing."""
    results: dict[str, list[T]] = {name: [] for name in contenders}
    if warm:
        for run in contenders.values():
            run()
    for _ in range(rounds):
        for name, run in contenders.items():
            results[name].append(run())
    return results


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the rounds' ratios."""
    return median(a / b for a, b in zip(above, below, strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns: the first to the left, the others to the right."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(cells))


class Verdicts:
    """The comparisons a benchmark is run for; `code` is 1 when one of them missed its aim."""

    def __init__(self) -> None:
        self.code = 0
        print()

    def at_most(self, what: str, value: float, limit: float, form: str = ".2f") -> None:
        self._tell(what, value, limit, value <= limit, "at most", form)

    def at_least(self, what: str, value: float, limit: float, form: str = ".2f") -> None:
        self._tell(what, value, limit, value >= limit, "at least", form)

    def _tell(
        self, what: str, value: float, limit: float, reached: bool, words: str, form: str
    ) -> None:
        if not reached:
            self.code = 1
        mark = "reached" if reached else "MISSED"
        print(f"{what}: {value:{form}} (aim: {words} {limit:g}) {mark}")
