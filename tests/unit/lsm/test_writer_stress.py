"""Threads, jobs and a store that fails now and then: nothing acknowledged is lost."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from writing import contents, op, opened

from cenote.base import SeededRand, SystemClock
from cenote.errors import UnavailableError
from cenote.objstore import FaultyStore, MemoryStore, Odds


@pytest.mark.parametrize("wal_enabled", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_acknowledged_is_lost(seed: int, wal_enabled: bool) -> None:
    store = MemoryStore()
    acked: dict[bytes, bytes] = {}
    begun: dict[bytes, set[bytes]] = {}
    for life in range(3):
        odds = Odds(SeededRand(100 * seed + life), before=0.04, after=0.04)
        faulty = FaultyStore(store, odds)
        for attempt in range(200):
            try:
                writer = opened(
                    faulty,
                    seed=1000 * life + attempt,
                    background=True,
                    clock=SystemClock(),
                    wal_enabled=wal_enabled,
                    flush_interval_ms=1,
                    l0_sst_size=2000,
                    l0_max_ssts=10_000,
                )
                break
            except UnavailableError:
                continue
        else:
            pytest.fail(f"seed {seed}: it never opened")

        def work(number: int, life: int = life) -> None:
            for n in range(60 if wal_enabled else 20):
                key, value = b"%d:%02d" % (number, n % 5), b"%d:%d" % (life, n)
                begun.setdefault(key, set()).add(value)
                with suppress(UnavailableError):
                    seq = writer.write([op(key, value), op(key + b"'", value)]).seq  # noqa: B023
                    writer.commit(seq)  # noqa: B023
                    acked[key] = value

        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), f"seed {seed}: a thread hangs"
        with suppress(UnavailableError):
            writer.close()
        found = contents(store, seed=77, wal_enabled=wal_enabled)
        for key, value in acked.items():
            assert found[key] == found[key + b"'"], f"seed {seed}: a torn batch"
            # A later write of the same key may have become durable unacknowledged.
            later = [int(part) for part in found[key].split(b":")]
            assert later >= [int(part) for part in value.split(b":")], f"seed {seed}"
            assert found[key] in begun[key]
