"""What a simulated run is made of: who takes part, for how long, with which settings.

Owns: drawing all that from a seed, in one place, so that a run can be told in a line.

The sizes are absurdly small: a memtable holds a few rows, a file a block or two. So a history of a
hundred writes goes through flushes, stalls, compactions and collections, which at real sizes would
take millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cenote.lsm import CompactorSettings, DbSettings, GcSettings
from cenote.testing.sim.dice import Dice
from cenote.testing.sim.store import Weather

__all__ = ["Append", "FirstByte", "Shape"]

_SKEW_MAX_MS: Final = 3_600_000


class Append:
    """The merge operator of all simulated databases: operands are appended."""

    name = "append"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return (existing or b"") + b"".join(operands)


class FirstByte:
    """The segment extractor, in runs that have one: a key's first byte."""

    name = "first-byte"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:1]


@dataclass(frozen=True, slots=True)
class Shape:
    """Who takes part in a run.

    `writers` machines open the same database, `lives` times each at most; so they fence each
    other. With `background` databases and readers have threads, otherwise a task steps their jobs.
    Each life has `clients` tasks that make `writes` writes. `skews_ms` are how far the
    clocks of machines may be off, the store's included.
    """

    weather: Weather
    settings: DbSettings
    writers: int
    lives: int
    clients: int
    writes: int
    readers: int
    views: int
    collectors: int
    compactors: int
    workers: int
    checkpoints: bool
    clone: bool
    feed: bool
    retries: bool
    background: bool
    segments: bool
    wal_apart: bool
    skew_max_ms: int

    @staticmethod
    def drawn(dice: Dice, *, small: bool = False) -> Shape:
        """Draw a run; `small`: a short one."""
        weather = Weather.drawn(dice)
        alone = dice.chance(0.6)
        return Shape(
            weather=weather,
            settings=_settings(dice, compactor=alone),
            writers=dice.choice((1, 2) if small else (1, 1, 2, 2, 3)),
            lives=dice.choice((1, 2) if small else (1, 2, 3)),
            clients=dice.choice((1, 2) if small else (1, 1, 2, 3)),
            writes=dice.choice((3, 6) if small else (5, 10, 20)),
            readers=dice.choice((0, 1) if small else (0, 1, 2)),
            views=dice.choice((2, 3) if small else (3, 6)),
            collectors=dice.choice((0, 1, 1)),
            compactors=0 if alone else dice.choice((1, 1, 2)),
            workers=0 if alone else dice.choice((0, 1, 2)),
            checkpoints=dice.chance(0.5),
            clone=dice.chance(0.3),
            feed=dice.chance(0.3),
            retries=dice.chance(0.5),
            background=dice.chance(0.7),
            segments=dice.chance(0.3),
            wal_apart=dice.chance(0.2),
            skew_max_ms=dice.choice((0, 0, 2_000, _SKEW_MAX_MS)),
        )

    def skew(self, dice: Dice) -> int:
        """Draw how far a clock is off, in milliseconds."""
        return round(dice.between(-1, 1) * self.skew_max_ms)


def _settings(dice: Dice, *, compactor: bool) -> DbSettings:
    age_min_ms = dice.choice((0, 1_000, 60_000))
    return DbSettings(
        wal_enabled=dice.chance(0.9),
        flush_interval_ms=dice.choice((50, 1_000)),
        l0_sst_size=dice.choice((200, 600, 2_000)),
        l0_max_ssts=dice.choice((4, 8)),
        unflushed_size_max=dice.choice((4_000, 100_000)),
        wal_files_max=dice.choice((3, 20)),
        block_size=1024,
        codec=dice.choice(("none", "zlib")),
        filter_rows_min=dice.choice((0, 1000)),
        block_cache_size=dice.choice((0, 4_000, 2**20)),
        cache_on_flush=dice.chance(0.5),
        compactor=CompactorSettings(
            enabled=compactor,
            sources_min=2,
            sources_max=dice.choice((2, 4)),
            sst_size=dice.choice((300, 3_000)),
            subcompactions=dice.choice((1, 3)),
            concurrency=dice.choice((1, 2)),
            trivial_move=dice.chance(0.5),
            checkpoint_lifetime_ms=dice.choice((1_000, 60_000)),
            heartbeat_ms=500,
            claim_timeout_ms=dice.choice((1_000, 10_000)),
            poll_ms=500,
        ),
        gc=GcSettings(
            enabled=dice.chance(0.5),
            interval_ms=dice.choice((500, 5_000)),
            age_min_ms=age_min_ms,
            fences=dice.chance(0.2),
        ),
    )
