"""A commit whose sync failed may come back after a kill: then it is whole, and nothing is torn."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from acts import delete, get, keys, patterned, put, putting, stage
from disks import killed, refusing

from cenote.errors import Error, PreconditionError, UnavailableError
from cenote.ports import BucketRecord, IndexTxn, StagedBody
from cenote.sqldb import BucketFile, Directory

pytestmark = pytest.mark.usefixtures("failing_vfs")
BIG = 300_000


def try_to_put(bucket: BucketFile, key: str, staged: StagedBody) -> UnavailableError:
    """Commit as the server does: a body whose commit failed is discarded."""
    with pytest.raises(UnavailableError) as caught:
        bucket.index.commit(putting(key, staged))
    bucket.bodies.discard(staged)
    assert caught.value.effect_unknown
    return caught.value


def alone(bucket: BucketFile) -> None:
    """Leave no connection to the file but the writer's, and something in the log."""
    bucket.rest()
    put(bucket, "zero", b"")
    bucket._pool.rest()


def blocks(root: Path) -> int:
    return sum(path.stat().st_blocks for path in root.rglob("*.pack"))


@pytest.mark.parametrize("rested", [False, True])
@pytest.mark.parametrize("key", ["new", "old"])
def test_killed_before_the_log_was_mended(tmp_path: Path, key: str, rested: bool) -> None:
    with Directory(tmp_path / "live", create=True, background=False) as directory:
        bucket = directory.create(BucketRecord("syncs", 1))
        put(bucket, "old", patterned(BIG, 1))
        staged = stage(bucket, patterned(BIG, 2))
        if rested:
            alone(bucket)
        with refusing():
            try_to_put(bucket, key, staged)
            bucket.rest()
            with pytest.raises(UnavailableError):
                directory.maintain()
            root = killed(tmp_path / "live", tmp_path / "killed")
    with Directory(root, background=False) as directory:
        again = directory.open("syncs")
        assert again.check(deep=True) == []
        assert get(again, "old") in (patterned(BIG, 1), patterned(BIG, 2))
        assert get(again, "new") in (None, patterned(BIG, 2))
        directory.maintain()
        assert again.check(deep=True) == []


@pytest.mark.parametrize("rested", [False, True])
def test_space_is_given_back_once_the_log_is_mended(tmp_path: Path, rested: bool) -> None:
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.create(BucketRecord("syncs", 1))
        put(bucket, "old", patterned(BIG, 1))
        before = blocks(tmp_path)
        staged = [stage(bucket, patterned(BIG, n)) for n in (2, 3)]
        if rested:
            alone(bucket)
        with refusing():
            for body in staged:
                try_to_put(bucket, "new", body)
                if rested:
                    bucket.rest()
        assert "new" not in keys(bucket), "what failed must not come back by itself"
        directory.maintain()
        assert "new" not in keys(bucket)
        assert blocks(tmp_path) == before
        assert bucket._packs.use(1).pending == 0
        assert bucket.check(deep=True) == []


def test_next_writer_does_not_meet_what_failed(tmp_path: Path) -> None:
    """A conditional write that failed is not refused, tried again, for its own effect."""
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.create(BucketRecord("syncs", 1))
        put(bucket, "old", b"1")
        alone(bucket)

        def create_once(txn: IndexTxn) -> None:
            if txn.object("once") is not None:
                raise PreconditionError("it is there")
            putting("once", body)(txn)

        body = stage(bucket, patterned(BIG, 1))
        with refusing():
            for _ in range(3):
                with pytest.raises(UnavailableError):
                    bucket.index.commit(create_once)
        bucket.index.commit(create_once)
        assert get(bucket, "once") == patterned(BIG, 1)
        assert bucket.check(deep=True) == []


def test_group_of_many_when_the_sync_fails(tmp_path: Path) -> None:
    """Each change of a failed group is tried alone; none finds its own body there already."""
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.create(BucketRecord("syncs", 1))
        alone(bucket)
        go, entered = threading.Event(), threading.Event()

        def hold(txn: IndexTxn) -> None:
            entered.set()
            go.wait(10)

        faults: list[BaseException | None] = []
        done = threading.Event()

        def note(result: object, error: BaseException | None) -> None:
            faults.append(error)
            if len(faults) == 4:
                done.set()

        holder = threading.Thread(target=lambda: bucket.index.commit(hold))
        holder.start()
        entered.wait(10)
        bodies = [stage(bucket, patterned(BIG, n)) for n in range(4)]
        for number, body in enumerate(bodies):
            bucket.index.submit(putting(str(number), body), note)
        with refusing():
            go.set()
            holder.join()
            assert done.wait(20)
            assert all(isinstance(error, UnavailableError) for error in faults)
            for body in bodies:
                bucket.bodies.discard(body)
        put(bucket, "after", patterned(BIG, 9))
        assert keys(bucket) == ["after", "zero"]
        directory.maintain()
        assert bucket.check(deep=True) == []


def test_move_whose_commit_failed(tmp_path: Path) -> None:
    """Reclaim's copies stay as long as a commit that points at them may come back."""
    size = 1 << 20
    with Directory(tmp_path / "live", create=True, background=False, pack_size=size) as directory:
        bucket = directory.create(BucketRecord("syncs", 1))
        for number in range(8):
            put(bucket, str(number), patterned(250_000, number))
        directory.maintain()
        for number in range(8):
            if number % 4:
                delete(bucket, str(number))
        bucket._reclaim._give_back()
        bucket._reclaim._seal()
        with refusing():
            with pytest.raises((Error, OSError)):
                bucket._reclaim._move_one()
            root = killed(tmp_path / "live", tmp_path / "killed")
        directory.maintain()
        assert bucket.check(deep=True) == []
    with Directory(root, background=False, pack_size=size) as directory:
        again = directory.open("syncs")
        assert again.check(deep=True) == []
        for number in (0, 4):
            assert get(again, str(number)) == patterned(250_000, number)
