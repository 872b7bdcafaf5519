"""Whole engines over a store that misbehaves: by every seed, no law is broken.

The slow test runs 200 long histories; the nightly one, `pytest tests/sim -m nightly`, 10,000 or as
many as `CENOTE_SIM_SEEDS` says, from `CENOTE_SIM_FIRST` on. A failure tells its seed, and how to
run it alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cenote.testing.sim import LawBroken, simulate

# A machine that dies may do so inside of a finalizer, which has nobody to tell.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

QUICK = 200
CHUNKS = 8
SLOW = 200
NIGHTLY = int(os.environ.get("CENOTE_SIM_SEEDS", "10000"))
FIRST = int(os.environ.get("CENOTE_SIM_FIRST", "0"))


# What must have happened in any 25 runs, or they show little.
MARKS = (
    " fenced",
    " dies",
    " is lost",
    " -> already_exists",
    " put_if_absent db/compactions/",
    " delete_many db/compacted/",
    " delete_many db/manifest/",
    " delete_many db/wal/",
)


def run_all(seeds: range, *, small: bool) -> None:
    writes = views = 0
    missing = set(MARKS)
    for seed in seeds:
        outcome = simulate(seed, small=small)
        if outcome.failure is not None:
            raise LawBroken(outcome.told())
        writes, views = writes + outcome.writes, views + outcome.views
        missing -= {mark for mark in missing if any(mark in line for line in outcome.trace)}
    assert writes > 100
    assert views > 100
    assert not missing


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_short_histories(chunk: int) -> None:
    run_all(range(chunk, QUICK, CHUNKS), small=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_long_histories(chunk: int) -> None:
    run_all(range(FIRST + chunk, FIRST + SLOW, CHUNKS), small=False)


@pytest.mark.nightly
@pytest.mark.timeout(12 * 3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_very_many_histories(chunk: int) -> None:
    run_all(range(FIRST + chunk, FIRST + NIGHTLY, CHUNKS), small=False)


def test_the_same_seed_is_the_same_trace_in_any_process() -> None:
    """Also where sets and dictionaries of bytes are in another order."""
    hashes = set()
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-m", "cenote.testing.sim", "--count", "6", "--small", "--hash"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(run.stdout)
    assert len(hashes) == 1
