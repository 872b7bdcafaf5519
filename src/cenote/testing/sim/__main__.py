"""Run simulated worlds: `python -m cenote.testing.sim --seed 7 --trace`, or `--from 0 --count 200`.

Exits with 1 when a law was broken; the failing seeds are told, each with the end of its trace.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cenote.testing.sim.simulation import simulate


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m cenote.testing.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="run one seed")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of many")
    parser.add_argument("--count", type=int, default=200, help="how many seeds (200)")
    parser.add_argument("--small", action="store_true", help="short histories")
    parser.add_argument("--trace", action="store_true", help="print the whole trace of --seed")
    parser.add_argument("--hash", action="store_true", help="print each seed's trace hash")
    parser.add_argument("--stop", action="store_true", help="end at the first broken law")
    parser.add_argument("--save", type=Path, help="write the whole trace of --seed to a file")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.count)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    broken, writes, views, steps = [], 0, 0, 0
    for seed in seeds:
        outcome = simulate(seed, small=options.small)
        writes, views, steps = writes + outcome.writes, views + outcome.views, steps + outcome.steps
        if options.hash:
            print(seed, outcome.trace_hash)
        if options.trace:
            print("\n".join(outcome.trace))
        if options.save:
            options.save.write_text("\n".join(outcome.trace), "utf-8")
        if outcome.failure is not None:
            broken.append(seed)
            print(outcome.told())
            if options.stop:
                break
    print(
        f"{len(seeds)} seeds, {steps} steps, {writes} writes, {views} views; broken: {broken or 0}"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
