"""A database with one object damaged: the right answer, or an error that says so.

Each object of a small database is cut off at every byte, has bits turned over, and is taken away;
then the database is read whole, by a reader and by a writer. What cannot be noticed, whatever a
reader does, is said here and nowhere else: see `unnoticeable`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.errors import DataError, Error, InvalidError, NotFoundError, UnsupportedError
from cenote.lsm import CompactorSettings, Db, DbReader, DbSettings, GcSettings, Place, verify
from cenote.objstore import MemoryStore

SETTINGS = DbSettings(
    block_size=1024,
    filter_rows_min=0,
    codec="zlib",
    compactor=CompactorSettings(sources_min=2),
    gc=GcSettings(enabled=False),
)

Objects = dict[str, bytes]


class Append:
    name = "append"

    def merge(self, key: bytes, existing: bytes | None, operands: list[bytes]) -> bytes:
        return (existing or b"") + b"".join(operands)


def store_of(objects: Objects) -> MemoryStore:
    store = MemoryStore(clock=ManualClock())
    for path, data in objects.items():
        store.put(path, data)
    return store


def opened(store: MemoryStore) -> Db:
    return Db.open(
        store,
        path="db",
        settings=SETTINGS,
        merge_operator=Append(),
        clock=ManualClock(),
        rand=SeededRand(2),
        background=False,
    )


@pytest.fixture(scope="module")
def database() -> tuple[Objects, dict[bytes, bytes]]:
    """A run of two files merged, a level 0 file, and log files that nobody has flushed."""
    store = MemoryStore(clock=ManualClock())
    db = opened(store)
    for number in range(30):
        db.put(b"k%02d" % number, b"value %d" % (number * 7919) * 3, durable=False)
    db.flush_memtable()
    for number in range(0, 30, 3):
        db.delete(b"k%02d" % number, durable=False)
    db.merge(b"m", b"one,")
    db.flush_memtable()
    db.compact()
    db.checkpoint("kept")
    db.put(b"k00", b"again")
    db.merge(b"m", b"two,")
    db.flush_memtable()
    db.put(b"k01", b"newest")
    db.merge(b"m", b"three")
    db.delete(b"k02")
    state = dict(db.scan())
    db.close()
    objects = {meta.path: store.get(meta.path).data for meta in store.list()}
    return objects, state


def read_by_reader(store: MemoryStore) -> dict[bytes, bytes]:
    with DbReader.open(
        store,
        path="db",
        merge_operator=Append(),
        clock=ManualClock(),
        rand=SeededRand(3),
        background=False,
    ) as reader:
        found = dict(reader.scan())
        backwards = dict(reader.scan(reverse=True))
        assert found == backwards
        assert {key: reader.get(key) for key in found} == found
        assert reader.get(b"k02") == found.get(b"k02")
        return found


def read_by_writer(store: MemoryStore) -> dict[bytes, bytes]:
    with opened(store) as db:
        found = dict(db.scan())
        assert {key: db.get(key) for key in found} == found
        db.compact()
        assert dict(db.scan()) == found
        return found


def kind_of(path: str) -> str:
    return path.split("/")[1]


def unnoticeable(objects: Objects, path: str, data: bytes | None) -> bool:
    """Whether the format leaves nobody a way to see this damage.

    Manifests and compactions files have no checksum: a bit in one of their numbers is another
    number, an epoch among them. A log file of no
    bytes is a fence, and one that is absent at the end of the log was never written.
    """
    if kind_of(path) in ("manifest", "compactions"):
        return data is not None and len(data) == len(objects[path])
    if kind_of(path) == "wal":
        last = max(each for each in objects if kind_of(each) == "wal" and objects[each])
        return data == b"" or (data is None and path >= last)
    return False


def check(objects: Objects, expected: dict[bytes, bytes], path: str, data: bytes | None) -> bool:
    """Read the damaged database both ways; return whether the damage was noticed by both."""
    damaged = {each: kept for each, kept in objects.items() if each != path}
    if data is not None:
        damaged[path] = data
    noticed = 0
    for read in (read_by_reader, read_by_writer):
        try:
            found = read(store_of(damaged))
        except (DataError, NotFoundError, UnsupportedError, InvalidError):
            noticed += 1
            continue
        except (AssertionError, Error):
            if unnoticeable(objects, path, data):
                continue
            raise
        if not unnoticeable(objects, path, data):
            assert found == expected, f"{read.__name__} is wrong about {path}"
    return noticed == 2


def truncations(data: bytes, step: int, rng: random.Random) -> Iterator[bytes]:
    for size in range(rng.randrange(step), len(data), step):
        yield data[:size]


def flips(data: bytes, step: int, rng: random.Random) -> Iterator[bytes]:
    for at in range(rng.randrange(step), len(data), step):
        turned = bytearray(data)
        turned[at] ^= 1 << rng.randrange(8)
        yield bytes(turned)


def damage_all(database: tuple[Objects, dict[bytes, bytes]], step: int, seed: int) -> None:
    objects, expected = database
    rng = random.Random(seed)
    for path, data in sorted(objects.items()):
        every = step if len(data) > step else 1
        for damaged in [*truncations(data, every, rng), *flips(data, every, rng)]:
            try:
                check(objects, expected, path, damaged)
            except BaseException as error:
                where = next(
                    (i for i, (a, b) in enumerate(zip(data, damaged, strict=False)) if a != b), None
                )
                error.add_note(
                    f"seed {seed}: {path}, {len(data)} bytes, now {len(damaged)}, other at {where}"
                )
                raise


def test_the_whole_database_is_right(database: tuple[Objects, dict[bytes, bytes]]) -> None:
    objects, expected = database
    assert {kind_of(path) for path in objects} == {
        "cenote",
        "compacted",
        "compactions",
        "manifest",
        "wal",
    }
    assert len(expected) > 20
    assert expected[b"m"] == b"one,two,three"
    assert read_by_reader(store_of(objects)) == expected
    assert read_by_writer(store_of(objects)) == expected
    assert verify(Place(store := store_of(objects), "db", store)).is_sound


def test_damage(database: tuple[Objects, dict[bytes, bytes]]) -> None:
    damage_all(database, 61, random.randrange(1 << 30))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damage_everywhere(database: tuple[Objects, dict[bytes, bytes]]) -> None:
    damage_all(database, 1, random.randrange(1 << 30))


def test_an_absent_object(database: tuple[Objects, dict[bytes, bytes]]) -> None:
    objects, expected = database
    for path in objects:
        check(objects, expected, path, None)


def test_what_is_read_and_damaged_is_noticed(
    database: tuple[Objects, dict[bytes, bytes]],
) -> None:
    """Every table that is in use, and the log that is to be replayed: half of each is missing."""
    objects, expected = database
    place = Place(store := store_of(objects), "db", store)
    assert verify(place).is_sound
    used = 0
    for path, data in objects.items():
        if kind_of(path) in ("compacted", "wal") and data:
            damaged = {**objects, path: data[: len(data) // 2]}
            report = verify(Place(store := store_of(damaged), "db", store))
            noticed = check(objects, expected, path, data[: len(data) // 2])
            assert not (noticed and report.is_sound), path
            used += noticed
    assert used >= 3
