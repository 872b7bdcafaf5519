"""A writer that never stops: batches, flushes, compactions and collections, until it is killed.

    python live_writer.py URI

Each batch writes its number to twenty keys. What is durable is acknowledged by a line on stdout.
"""

from __future__ import annotations

import random
import sys

import cenote
from cenote.lsm import CompactorSettings, DbSettings, GcSettings

SETTINGS = DbSettings(
    l0_sst_size=20_000,
    unflushed_size_max=10_000_000,
    l0_max_ssts=30,
    compactor=CompactorSettings(
        sources_min=2, sources_max=4, sst_size=60_000, checkpoint_lifetime_ms=1000
    ),
    gc=GcSettings(interval_ms=30, age_min_ms=0),
)


def main(uri: str) -> None:
    with cenote.Db.open(uri, settings=SETTINGS) as db:
        number = int(db.get(b"batch:00", b"0"))
        chance = random.Random(number)
        while True:
            number += 1
            batch = cenote.WriteBatch()
            for key in range(20):
                batch.put(b"batch:%02d" % key, b"%08d" % number)
            for _ in range(5):
                batch.put(b"row:%06d" % chance.randrange(3000), b"x" * chance.randrange(300))
            durable = number % 3 == 0
            db.write(batch, durable=durable)
            if durable:
                print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
