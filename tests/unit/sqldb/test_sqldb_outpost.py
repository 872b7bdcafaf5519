"""A directory read by processes beside its writer: leases told by file locks, and SQLite's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acts import put

from cenote.errors import ConflictError, NotFoundError, UnavailableError
from cenote.ports import BucketRecord, Extent
from cenote.sqldb import Directory, Outposts, Tenure
from cenote.sqldb.generations import Generations
from cenote.sqldb.leasefile import ForeignPins, LeaseFile


class Direct:
    """`Owner` in the same process: what a line to a writer does, without the line."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def commit(self, bucket: str, change: Any) -> Any:
        return self.directory.open(bucket).index.commit(change)

    def submit(self, bucket: str, change: Any, done: Any) -> None:
        self.directory.open(bucket).index.submit(change, done)

    def reserve(self, bucket: str, size: int) -> tuple[int, int]:
        extent = self.directory.open(bucket).bodies.reserve(size)
        return extent.pack, extent.offset

    def give_back(self, bucket: str, extent: Extent, *, broken: bool) -> None:
        self.directory.open(bucket).bodies.give_back(extent, broken=broken)

    def create(self, record: BucketRecord) -> None:
        self.directory.create(record)

    def delete(self, bucket: str, decide: Any) -> None:
        self.directory.delete(bucket, decide)


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Directory]:
    tenure = Tenure(tmp_path / "data", create=True)
    with Directory(tenure.root, tenure=tenure, background=False) as directory:
        directory.create(BucketRecord("first", 1))
        yield directory
    tenure.release()


@pytest.fixture
def outposts(owned: Directory) -> Iterator[Outposts]:
    tenure = owned._tenure
    assert tenure is not None
    found = Outposts(owned.root, Direct(owned), tenure.generations, spool_base=1 << 40)
    yield found
    found.close()


def close_bucket(txn: Any) -> None:
    txn.close_bucket()


def blocks(directory: Directory) -> int:
    return sum(p.stat().st_blocks * 512 for p in directory.root.glob("*.packs/*.pack"))


# Leases.


@pytest.fixture
def both(tmp_path: Path) -> tuple[ForeignPins, LeaseFile]:
    return ForeignPins(tmp_path / "leases"), LeaseFile(tmp_path / "leases")


def test_a_lease_holds_its_bodies_until_it_ends(both: tuple[ForeignPins, LeaseFile]):
    pins, file = both
    pin = pins.enter()
    pins.narrow(pin, {5, 6, 9})
    file.advance()
    assert [file.is_free(owner) for owner in range(4, 11)] == [
        True,
        False,
        False,
        True,
        True,
        False,
        True,
    ]
    pins.leave(pin)
    pins.leave(pin)
    assert all(file.is_free(owner) for owner in range(4, 11))


def test_a_lease_that_is_looking_holds_everything_but_no_later_one_does(
    both: tuple[ForeignPins, LeaseFile],
):
    pins, file = both
    early = pins.enter()
    file.advance()
    late = pins.enter()
    assert not file.is_free(7)
    pins.leave(early)
    assert file.is_free(7)  # `late` began after what was freed before
    file.advance()
    assert not file.is_free(7)
    pins.leave(late)
    assert file.is_free(7)


def test_a_lease_as_old_as_all_epochs_is_not_taken_for_a_new_one(
    both: tuple[ForeignPins, LeaseFile],
):
    pins, file = both
    pin = pins.enter()
    for _ in range(600):
        file.advance()
        assert not file.is_free(1)
    pins.leave(pin)
    file.advance()
    assert file.is_free(1)


def test_a_lease_of_very_many_bodies_holds_them_all(both: tuple[ForeignPins, LeaseFile]):
    pins, file = both
    pin = pins.enter()
    pins.narrow(pin, set(range(1000, 30_000, 3)))
    file.advance()
    assert not any(file.is_free(owner) for owner in range(1000, 29_998, 300))
    assert file.is_free(999)
    pins.leave(pin)
    assert file.is_free(1000)


def test_a_killed_reader_holds_nothing(tmp_path: Path):
    script = (
        "import sys, pathlib; from cenote.sqldb.leasefile import ForeignPins as F;"
        f"pins = F(pathlib.Path({str(tmp_path / 'leases')!r})); pin = pins.enter();"
        "pins.narrow(pin, [3]); print('held', flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"held\n"
        file = LeaseFile(tmp_path / "leases")
        file.advance()
        assert not file.is_free(3)
        reader.kill()
    assert file.is_free(3)


# Outposts.


@pytest.mark.parametrize("size", [0, 100, 40_000, 300_000])
def test_what_is_written_there_is_read_here_and_the_other_way_round(
    owned: Directory, outposts: Outposts, size: int
):
    body = os.urandom(size)
    put(owned.open("first"), "from the owner", body)
    put(outposts.open("first"), "from the outpost", body)
    for bucket in (owned.open("first"), outposts.open("first")):
        for key in ("from the owner", "from the outpost"):
            found = bucket.bodies.lease(key)
            assert found is not None
            with found[1] as lease:
                assert b"".join(lease.chunks(0, size)) == body
    assert owned.open("first").check(deep=True) == []


def test_a_large_inline_body_is_handed_over_by_a_spool_file(owned: Directory, outposts: Outposts):
    owned.create(BucketRecord("inline", 1, inline_max=10 << 20))
    body = os.urandom(1 << 20)
    put(outposts.open("inline"), "k", body)
    found = owned.open("inline").bodies.lease("k")
    assert found is not None
    with found[1] as lease:
        assert b"".join(lease.chunks(0, len(body))) == body
    assert not list((owned.root / ".cenote" / "spool").iterdir())


def test_space_waits_for_a_lease_of_another_process(owned: Directory, outposts: Outposts):
    bucket, body = owned.open("first"), os.urandom(1 << 20)
    put(bucket, "k", body)
    found = outposts.open("first").bodies.lease("k")
    assert found is not None
    bucket.index.commit(lambda txn: txn.delete_object("k"))
    bucket.maintain()
    assert blocks(owned) > 1 << 20
    with found[1] as lease:
        assert b"".join(lease.chunks(0, len(body))) == body
    bucket.maintain()
    assert blocks(owned) < 1 << 20


def test_a_deleted_bucket_is_not_found_though_it_was_open(owned: Directory, outposts: Outposts):
    for number in range(3):
        outposts.create(BucketRecord("again", number))
        put(outposts.open("again"), "k", b"%d" % number)
        handle = outposts.open("again")
        record = handle.index.object_value("k", 10)
        assert record is not None
        assert record[1] == b"%d" % number
        outposts.delete("again", close_bucket)
        with pytest.raises(NotFoundError):
            outposts.open("again")
    assert outposts.names() == ["first"]


def test_a_bucket_whose_name_has_the_same_hash_keeps_its_handle(
    owned: Directory, outposts: Outposts
):
    handle = outposts.open("first")
    assert owned._tenure is not None
    generations = owned._tenure.generations
    slot = generations.slot("first")
    other = next(n for n in (f"b{i}" for i in range(10**6)) if generations.slot(n) == slot)
    generations.begin(other)
    with pytest.raises(UnavailableError):
        outposts.open("first")  # it may be opened or not: later
    generations.end(other)
    assert outposts.open("first") is handle
    generations.begin("first")
    with pytest.raises(NotFoundError):
        outposts.open("first")
    generations.end("first")


def test_a_generation_is_odd_as_long_as_any_of_its_names_is_changing():
    generations = Generations()
    slot = generations.slot("a")
    values = [generations.at(slot)]
    for step in (generations.begin, generations.begin, generations.end, generations.end):
        step("a")
        values.append(generations.at(slot))
    assert [value % 2 for value in values] == [0, 1, 1, 1, 0]
    assert len(set(values)) == 5
    generations.begin("a")
    generations.settle()  # by the next writer: this one was killed
    assert generations.at(slot) % 2 == 0
    assert generations.at(slot) not in values


# The directory.


def test_a_tenure_keeps_others_out_as_long_as_any_of_the_family_lives(tmp_path: Path):
    tenure = Tenure(tmp_path, create=True)
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    child = subprocess.Popen(waiting, stdin=subprocess.PIPE, pass_fds=[tenure._fd])
    with child:
        tenure.release()
        with pytest.raises(ConflictError):
            Directory(tmp_path)
        child.kill()
    Directory(tmp_path).close()


def foreign_look(path: Path) -> str:
    """Return the last key, as another program's SQLite finds it."""
    script = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
        "print(*connection.execute('SELECT max(key) FROM data').fetchone()); connection.close()"
    )
    return subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    ).stdout


def test_listing_does_not_cost_sqlite_its_locks(tmp_path: Path):
    """Else another program's SQLite, when it ends, removes the log that is being written."""
    with Directory(tmp_path, create=True, background=False) as directory:
        bucket = directory.create(BucketRecord("first", 1))
        put(bucket, "one", b"1")
        assert directory.names() == ["first"]
        path = tmp_path / "first.sqlite3"
        assert foreign_look(path) == "one\n"
        assert path.with_name("first.sqlite3-wal").exists()
        put(bucket, "two", b"2")
        assert foreign_look(path) == "two\n"


def test_space_is_given_back_after_the_first_delete(tmp_path: Path):
    with Directory(tmp_path, create=True) as directory:
        bucket = directory.create(BucketRecord("first", 1))
        put(bucket, "k", os.urandom(1 << 20))
        asked: list[object] = []
        bucket._wants_tending = asked.append
        bucket.index.commit(lambda txn: txn.delete_object("k"))
        assert asked == [bucket]
