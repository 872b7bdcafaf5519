"""A writer that is idle reads on, when another process has compacted and collected its files."""

from __future__ import annotations

from cenote.base import ManualClock, SeededRand
from cenote.lsm import Collector, CompactorSettings, DbSettings, GcSettings, Place
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.db import Db
from cenote.objstore import MemoryStore

SETTINGS = DbSettings(
    block_cache_size=0,
    compactor=CompactorSettings(enabled=False, checkpoint_lifetime_ms=1000),
    gc=GcSettings(enabled=False, age_min_ms=0),
)


def test_an_idle_writer_finds_what_others_made_of_its_files() -> None:
    clock, rand = ManualClock(), SeededRand(1)
    store = MemoryStore(clock=clock)
    with Db.open(
        store, path="db", settings=SETTINGS, clock=clock, rand=rand, background=False
    ) as db:
        for number in range(3):
            db.put(b"a", b"%d" % number)
            db.put(b"k%d" % number, b"v")
            db.flush_memtable()
            clock.advance(1)
        scan = db.scan()
        assert next(scan) == (b"a", b"2")
        snapshot = db.snapshot()
        place = Place(store, "db", store)
        with Compactor.open(place, SETTINGS, clock=clock, rand=rand, background=False) as compactor:
            compactor.compact()
        clock.advance(100)
        assert Collector(place, SETTINGS.gc, clock=clock, rand=rand).collect().tables == 2
        assert db.get(b"a") == b"2"
        assert db.get_many([b"k0", b"k1", b"x"]) == [b"v", b"v", None]
        assert len(list(scan)) == 3
        assert dict(snapshot.scan()) == {b"a": b"2", b"k0": b"v", b"k1": b"v", b"k2": b"v"}
        snapshot.close()
