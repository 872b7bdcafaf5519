"""Checkpoints, clones, readers and collections, ours and the `slatedb` package's, taking turns.

Each side makes them, and the other reads them, with both at work on one store.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cenote.base import ManualClock, SystemClock, SystemRand
from cenote.errors import UnavailableError
from cenote.lsm import (
    Admin,
    Bound,
    BoundKind,
    CloneSource,
    CompactorSettings,
    DbReader,
    DbSettings,
    GcSettings,
    KeyRange,
    Place,
)
from cenote.lsm.db import Db
from cenote.objstore import LocalStore

pytestmark = pytest.mark.e2e

Rows = dict[bytes, bytes]

HERE = Path(__file__).resolve().parent
AT_ONCE = GcSettings(age_min_ms=0)


class Concat:
    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(([] if existing is None else [existing]) + list(operands))


class FirstThree:
    name = "first3"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:3] if len(key) >= 3 else None


class Both:
    """A directory with databases, the package's server, and our ways to the same databases."""

    def __init__(self, folder: Path) -> None:
        self.store = LocalStore(str(folder))
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "wheel_server.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.opened: list[Any] = []

    def ask(self, *command: Any) -> Any:
        self.begin(*command)
        return self.end()

    def begin(self, *command: Any) -> None:
        """Have the package do something while we do something else."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def end(self) -> Any:
        """Wait for what was begun, and return its reply."""
        assert self.process.stdout is not None
        reply = json.loads(self.process.stdout.readline())
        if "error" in reply:
            raise AssertionError(reply["error"])
        return reply["ok"]

    def process_is_done(self) -> bool:
        """Whether what was begun has ended."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0.02)[0])

    def theirs(self, root: str, checkpoint: str | None = None, segments: bool = False) -> Any:
        """Return what the package's reader sees."""
        self.ask("reader", "once", root, checkpoint, segments)
        found = self.ask("scan", "once")
        self.ask("close", "once")
        return {bytes.fromhex(key): bytes.fromhex(value) for key, value in found.items()}

    def ours(self, root: str, checkpoint: str | None = None) -> dict[bytes, bytes]:
        """Return what our reader sees."""
        with DbReader.open(
            self.store,
            path=root,
            checkpoint=checkpoint,
            merge_operator=Concat(),
            background=False,
        ) as reader:
            return dict(reader.scan())

    def both(self, root: str, checkpoint: str | None = None) -> dict[bytes, bytes]:
        """Return what both see, which must be the same."""
        ours = self.ours(root, checkpoint)
        assert self.theirs(root, checkpoint) == ours
        return ours

    def db(self, root: str, **given: Any) -> Db:
        made = Db.open(
            self.store,
            path=root,
            merge_operator=Concat(),
            settings=DbSettings(
                compactor=CompactorSettings(enabled=False), gc=GcSettings(enabled=False)
            ),
            **given,
        )
        self.opened.append(made)
        return made

    def admin(self, root: str) -> Admin:
        return Admin(Place(self.store, root, self.store))

    def writer(
        self, name: str, root: str, rows: dict[bytes, bytes], segments: bool = False
    ) -> None:
        """Have the package write rows: half of them flushed to tables, half to the log."""
        self.ask("writer", name, root, segments)
        for at, (key, value) in enumerate(rows.items()):
            self.ask("put", name, key.hex(), value.hex())
            if at == len(rows) // 2:
                self.ask("flush_memtable", name)
        self.ask("flush", name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Both]:
    pytest.importorskip("slatedb", reason="slatedb is not installed")
    made = Both(tmp_path)
    yield made
    for db in made.opened:
        db.close()
    made.process.kill()
    made.process.communicate()


ROWS = {b"k%03d" % n: b"%d" % n for n in range(40)}


def filled(world: Both, root: str) -> Db:
    """Write `ROWS` by ourselves, half of them flushed, half in the log."""
    db = world.db(root)
    for at, (key, value) in enumerate(ROWS.items()):
        db.put(key, value, durable=False)
        if at == 20:
            db.flush_memtable()
    db.flush()
    return db


# Readers.


def test_its_reader_follows_our_writer(world: Both) -> None:
    db = filled(world, "db")
    world.ask("reader", "r", "db", None, False)
    assert len(world.ask("scan", "r")) == 40
    for n in range(12):
        db.put(b"new", b"%d" % n)
        if n % 4 == 3:
            db.flush_memtable()
        if n % 3 == 0:
            assert world.ask("wait_for", "r", b"new".hex(), (b"%d" % n).hex())
    db.merge(b"m", b"a")
    db.merge(b"m", b"b")
    db.delete(b"k001")
    db.put(b"end", b"1")
    assert world.ask("wait_for", "r", b"end".hex(), b"1".hex())
    expected = {**ROWS, b"new": b"11", b"m": b"a,b", b"end": b"1"}
    del expected[b"k001"]
    found = world.ask("scan", "r")
    assert {bytes.fromhex(k): bytes.fromhex(v) for k, v in found.items()} == expected
    world.ask("close", "r")


def test_our_reader_follows_its_writer(world: Both) -> None:
    world.writer("w", "db", ROWS)
    reader = DbReader.open(world.store, path="db", merge_operator=Concat(), background=False)
    assert dict(reader.scan()) == ROWS
    for n in range(12):
        world.ask("put", "w", b"new".hex(), (b"%d" % n).hex())
        world.ask("merge", "w", b"m".hex(), (b"%d" % n).hex())
        world.ask("flush" if n % 4 else "flush_memtable", "w")
        assert reader.refresh()
        assert reader.get(b"new") == b"%d" % n
        assert reader.get(b"m") == b",".join(b"%d" % each for each in range(n + 1))
    assert not reader.refresh()
    world.ask("close", "w")
    reader.refresh()
    assert reader.get(b"new") == b"11"
    reader.close()


def test_our_reader_lives_through_its_compactions_and_collections(world: Both) -> None:
    """It flushes, compacts and deletes at once what it replaced; no batch is ever seen torn."""
    world.ask("writer", "w", "db", False)
    world.ask("put", "w", b"row:".hex(), b"first".hex())
    world.ask("flush", "w")
    world.ask("close", "w")
    readers = [
        DbReader.open(world.store, path="db", merge_operator=Concat(), background=False)
        for _ in range(3)
    ]
    world.begin("busy", "db", 120)
    seen: list[int] = [0, 0, 0]
    while True:
        for at, reader in enumerate(readers):
            if at < 2:
                reader.refresh()
            try:
                rows = dict(reader.scan())
            except UnavailableError as error:
                assert error.kind == "moment_gone"
                continue
            numbers = {value for key, value in rows.items() if key.startswith(b"batch:")}
            assert len(numbers) <= 1
            number = int(max(numbers, default=b"0"))
            assert number >= seen[at]
            seen[at] = number
            assert not numbers or b"row:%06d" % number in rows
            assert reader.get(b"row:") == b"first"
        if world.process_is_done():
            break
    assert world.end() == 119
    for reader in readers:
        reader.refresh()
        assert reader.get(b"batch:3") == b"000119"
        assert len(dict(reader.scan())) == 131
        reader.close()
    admin = world.admin("db")
    assert admin.verify().problems == ()
    assert admin.manifest().value.tree.runs  # it did compact, and it did collect
    assert len(admin.manifests()) < admin.manifest().number // 2


def test_our_change_feed_reads_its_log(world: Both) -> None:
    world.writer("w", "db", ROWS)
    feed = world.admin("db").changes()
    assert [(change.key, change.value) for change in feed] == list(ROWS.items())
    world.ask("put", "w", b"more".hex(), b"1".hex())
    world.ask("flush", "w")
    assert [(change.key, change.seq) for change in feed] == [(b"more", 41)]
    world.ask("close", "w")


# Checkpoints.


def test_it_reads_our_checkpoints(world: Both) -> None:
    db = filled(world, "db")
    admin = world.admin("db")
    made = admin.checkpoints.create("friday ü", lifetime_ms=10**9)
    again = admin.checkpoints.create(source=made.id)
    assert world.ask("checkpoints", "db") == [
        [each.id, each.manifest_id, each.expire_time_s, each.create_time_s, each.name]
        for each in (made, again)
    ]
    db.put(b"k000", b"after")
    db.flush_memtable()
    db.put(b"k001", b"after")
    # Its reader of a checkpoint sees the durable log too, since our checkpoint names it.
    assert world.both("db", made.id) == world.both("db", again.id) == ROWS
    world.ask("drop_checkpoint", "db", again.id)
    assert [each.id for each in admin.checkpoints.listed()] == [made.id]
    assert world.both("db")[b"k001"] == b"after"


def test_a_checkpoint_of_ours_disturbs_not_its_writer(world: Both) -> None:
    world.writer("w", "db", ROWS)
    made = world.admin("db").checkpoints.create()
    world.ask("put", "w", b"k000".hex(), b"after".hex())
    world.ask("flush", "w")
    world.ask("flush_memtable", "w")
    world.ask("put", "w", b"k001".hex(), b"after".hex())
    world.ask("flush", "w")
    assert world.both("db", made.id) == ROWS
    expected = {**ROWS, b"k000": b"after", b"k001": b"after"}
    assert world.both("db") == expected
    world.ask("close", "w")
    world.admin("db").collect(AT_ONCE)
    assert world.both("db", made.id) == ROWS
    assert world.admin("db").verify().problems == ()


def test_we_read_its_checkpoints(world: Both) -> None:
    world.writer("w", "db", ROWS)
    world.ask("flush_memtable", "w")
    made = world.ask("checkpoint", "db", "monday", None, None)
    world.ask("put", "w", b"k000".hex(), b"after".hex())
    world.ask("flush_memtable", "w")
    assert world.both("db", made) == world.ours("db", "monday") == ROWS
    world.ask("close", "w")
    world.admin("db").collect(AT_ONCE)
    assert world.both("db", made) == ROWS


# Clones.


def test_it_uses_our_clone(world: Both) -> None:
    db = filled(world, "db")
    world.admin("child").clone_of(CloneSource("db"))
    assert world.both("child") == ROWS
    told = world.ask("manifest", "child")
    assert told["initialized"]
    assert [each[0] for each in told["external"]] == ["db"]
    world.ask("writer", "w", "child", False)
    world.ask("put", "w", b"own".hex(), b"1".hex())
    world.ask("flush_memtable", "w")
    world.ask("close", "w")
    assert world.both("child") == {**ROWS, b"own": b"1"}
    world.ask("clone", "child", [["db", None, None, None]])  # to repeat it finds all done
    world.ask("collect", "db")
    world.ask("collect", "child")
    db.close()
    assert world.both("child") == {**ROWS, b"own": b"1"}
    world.ask("clone", "grandchild", [["child", None, None, None]])
    assert world.both("grandchild") == {**ROWS, b"own": b"1"}


def test_we_use_its_clone(world: Both) -> None:
    world.writer("w", "db", ROWS)
    world.ask("flush_memtable", "w")
    world.ask("clone", "child", [["db", None, None, None]])
    world.admin("child").clone_of(CloneSource("db"))  # to repeat it finds all done
    db = world.db("child")
    assert dict(db.scan()) == ROWS
    db.put(b"own", b"1")
    db.flush_memtable()
    assert world.both("child") == {**ROWS, b"own": b"1"}
    world.admin("grandchild").clone_of(CloneSource("child"))
    assert world.both("grandchild") == {**ROWS, b"own": b"1"}
    world.ask("close", "w")
    for root in ("db", "child", "grandchild"):
        world.admin(root).collect(AT_ONCE)
        assert world.admin(root).verify().problems == ()
    assert world.both("grandchild") == {**ROWS, b"own": b"1"}


def test_it_finishes_a_clone_we_began(world: Both) -> None:
    """Manifest 1 is the same work for both."""
    db = filled(world, "db")
    made = world.admin("child").clone_of(CloneSource("db"))
    second = world.store.get(f"child/manifest/{made.number:020d}.manifest")
    world.store.delete(second.meta.path)
    for meta in list(world.store.list("child/wal")):
        world.store.delete(meta.path)
    assert not world.ask("manifest", "child")["initialized"]
    world.ask("clone", "child", [["db", None, None, None]])
    assert world.both("child") == ROWS
    db.close()


LOW = KeyRange(Bound(), Bound(BoundKind.EXCLUDED, b"k020"))
HIGH = KeyRange(Bound(BoundKind.INCLUDED, b"k020"), Bound())


def test_it_reads_our_parts_and_unions(world: Both) -> None:
    """Of a database with rows in its log, which it refuses to take a part of itself."""
    db = filled(world, "db")
    db.put(b"k010", b"late")
    expected = {**ROWS, b"k010": b"late"}
    world.admin("low").clone_of(CloneSource("db", None, LOW))
    world.admin("high").clone_of(CloneSource("db", None, HIGH))
    assert world.both("low") == {k: v for k, v in expected.items() if k < b"k020"}
    assert world.both("high") == {k: v for k, v in expected.items() if k >= b"k020"}
    world.admin("union").clone_of(CloneSource("low"), CloneSource("high"))
    assert world.both("union") == expected
    world.ask("writer", "w", "union", False)
    world.ask("put", "w", b"own".hex(), b"1".hex())
    world.ask("flush_memtable", "w")
    world.ask("close", "w")
    assert world.both("union") == {**expected, b"own": b"1"}
    db.close()


def test_we_read_its_parts_and_unions(world: Both) -> None:
    world.writer("w", "db", ROWS)
    world.ask("flush_memtable", "w")
    world.ask("close", "w")
    world.ask("clone", "low", [["db", None, None, b"k020".hex()]])
    world.ask("clone", "high", [["db", None, b"k020".hex(), None]])
    assert world.both("low") == {k: v for k, v in ROWS.items() if k < b"k020"}
    world.ask("clone", "union", [["low", None, None, None], ["high", None, None, None]])
    assert world.both("union") == ROWS
    for root in ("low", "high", "union"):
        assert world.admin(root).verify().problems == ()
    world.admin("again").clone_of(CloneSource("low"), CloneSource("high"))
    assert world.both("again") == ROWS
    db = world.db("union")
    db.put(b"own", b"1")
    db.flush_memtable()
    assert world.both("union") == {**ROWS, b"own": b"1"}


def test_segments_are_read_both_ways(world: Both) -> None:
    rows = {prefix + b"%02d" % n: b"%d" % n for prefix in (b"bbb", b"aaa") for n in range(10)}
    world.writer("w", "theirs", rows, segments=True)
    assert world.ours("theirs") == rows
    assert world.theirs("theirs", segments=True) == rows
    world.ask("close", "w")
    with Db.open(
        world.store, path="ours", segment_extractor=FirstThree(), merge_operator=Concat()
    ) as db:
        for key, value in rows.items():
            db.put(key, value, durable=False)
        db.flush_memtable()
        db.put(b"ccc", b"new")
        rows = {**rows, b"ccc": b"new"}
        assert world.ours("ours") == rows
        assert world.theirs("ours", segments=True) == rows
        world.admin("part").clone_of(
            CloneSource("ours", None, KeyRange(Bound(), Bound(BoundKind.EXCLUDED, b"bbb05")))
        )
        part = {k: v for k, v in rows.items() if k < b"bbb05"}
        assert world.ours("part") == part
        assert world.theirs("part", segments=True) == part


# Collections.


@pytest.mark.parametrize("collector", ["ours", "theirs"])
def test_either_collects_what_both_wrote(world: Both, collector: str) -> None:
    db = filled(world, "db")
    made = world.admin("db").checkpoints.create("kept")
    admin = world.admin("db")
    for turn in range(3):
        for key in list(ROWS)[::3]:
            db.put(key, b"turn %d" % turn, durable=False)
        db.flush_memtable()
    manifest = admin.manifest().value
    expected = world.both("db")
    db.close()
    with Db.open(
        world.store,
        path="db",
        merge_operator=Concat(),
        settings=DbSettings(gc=GcSettings(enabled=False)),
    ) as compacting:
        compacting.compact()
    assert admin.manifest().value.tree.l0 != manifest.tree.l0
    world.ask("writer", "w", "db", False)
    world.ask("put", "w", b"more".hex(), b"1".hex())
    world.ask("flush_memtable", "w")
    world.ask("close", "w")
    expected[b"more"] = b"1"
    before = len(list(world.store.list("db")))
    if collector == "ours":
        assert admin.collect(AT_ONCE).count > 0
    else:
        world.ask("collect", "db")
    assert len(list(world.store.list("db"))) < before
    assert world.both("db") == expected
    assert world.both("db", made.id) == ROWS
    assert admin.verify().problems == ()


def test_neither_takes_a_fence_away(world: Both) -> None:
    """Both are fenced by files that no collection deletes."""
    world.writer("w", "db", ROWS)
    db = world.db("db")  # takes over
    for n in range(3):
        db.put(b"k%03d" % n, b"after")
        db.flush_memtable()
    world.admin("db").collect(AT_ONCE)
    world.ask("collect", "db")
    with pytest.raises(AssertionError, match=r"(?i)fenced|closed"):
        for _ in range(3):
            world.ask("put", "w", b"k000".hex(), b"lost".hex())
            world.ask("flush", "w")
    assert world.both("db")[b"k000"] == b"after"


# Times.


def test_times_of_sequence_numbers_agree(world: Both) -> None:
    clock = ManualClock(SystemClock().now_ms() - 10**7)
    db = world.db("db", clock=clock, rand=SystemRand(), background=False)
    for n in range(200):
        db.put(b"k%d" % n, b"v", durable=False)
        clock.advance(7 + n % 31)
    db.flush_memtable()
    admin = world.admin("db")
    seqs = list(range(0, 210, 3))
    first = clock.now_ms() // 1000 - 5000
    seconds = list(range(first, first + 5200, 97))
    for later in (False, True):
        ours: list[Any] = [admin.second_of(seq, later=later) for seq in seqs]
        assert world.ask("seconds", "db", seqs, later) == ours
        assert any(each is not None for each in ours)
        ours = [admin.seq_of(second, later=later) for second in seconds]
        assert world.ask("seqs", "db", seconds, later) == ours
        assert any(each is not None for each in ours)
