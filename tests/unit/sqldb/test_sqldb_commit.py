"""Commits from many threads or an event loop share syncs, and a refusing disk loses nothing."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from acts import get, keys, patterned, put, putting, stage
from disks import FailingSync

from cenote.base import failpoint
from cenote.errors import ClosedError, Error, UnavailableError
from cenote.ports import BucketRecord, IndexTxn, ObjectRecord
from cenote.sqldb import BucketFile, Directory, bucketfile


def counting(key: str) -> object:
    """A change that reads a number out of a record and writes the next: lost updates show."""

    def change(txn: IndexTxn) -> int:
        record = txn.object(key)
        number = 1 if record is None else record.modified_ms + 1
        txn.put_object(ObjectRecord(key, 0, "e", number))
        return number

    return change


@pytest.mark.parametrize("how", ["commit", "submit"])
def test_changes_from_many_threads_are_serial(bucket: BucketFile, how: str) -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        for _ in range(20):
            if how == "commit":
                number = bucket.index.commit(counting("n"))  # type: ignore[arg-type]
            else:
                done = threading.Event()
                box: list[int] = []

                def note(
                    result: int | None, error: BaseException | None, box=box, done=done
                ) -> None:
                    box.append(result or 0)
                    done.set()

                bucket.index.submit(counting("n"), note)  # type: ignore[arg-type]
                assert done.wait(30)
                number = box[0]
            with lock:
                seen.append(number)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 641))
    groups, changes = bucket.index.groups()
    assert changes >= 640
    assert groups < changes, "nobody shared a sync"


def test_event_loop_drives_and_is_called_back_on(directory: Directory) -> None:
    bucket = directory.create(BucketRecord("looped", 1))
    numbers: list[int] = []
    threads: set[int] = set()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        directory.use_scheduler(loop.call_soon_threadsafe)
        whole = loop.create_future()

        def note(number: int | None, error: BaseException | None) -> None:
            threads.add(threading.get_ident())
            numbers.append(number or 0)
            if len(numbers) == 500:
                whole.set_result(None)

        def waiting_thread() -> None:
            for _ in range(50):
                bucket.index.commit(counting("other"))  # type: ignore[arg-type]

        helper = threading.Thread(target=waiting_thread)
        helper.start()
        for _ in range(500):
            bucket.index.submit(counting("n"), note)  # type: ignore[arg-type]
        await asyncio.wait_for(whole, 30)
        await asyncio.to_thread(helper.join)
        await asyncio.to_thread(bucket.maintain)
        directory.use_scheduler(None)

    asyncio.run(main())
    assert numbers == list(range(1, 501))
    assert threads == {threading.get_ident()}
    assert bucket.index.commit(counting("other")) == 51  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["commit.begun", "commit.applied", "commit.before_sync"])
@pytest.mark.parametrize(("action", "kind"), [("error", "io"), ("full", "disk_full")])
def test_refused_commit_changes_nothing_and_service_recovers(
    bucket: BucketFile, directory: Directory, place: str, action: str, kind: str
) -> None:
    put(bucket, "before", b"1")
    with failpoint.armed(place, action):
        for _ in range(3):
            with pytest.raises(UnavailableError) as caught:
                put(bucket, "refused", b"2")
            assert caught.value.kind == kind
    assert keys(bucket) == ["before"]
    directory.maintain()  # takes back the space kept for deleting, as the housekeeper does
    put(bucket, "after", b"3")
    assert keys(bucket) == ["after", "before"]


def test_one_that_does_not_fit_fails_alone(bucket: BucketFile) -> None:
    with bucket._pool.reading() as reader:
        pages = reader.one("PRAGMA page_count")[0]
    bucket._queue.run_alone(lambda c: c.execute(f"PRAGMA max_page_count={pages + 20}").fetchall())
    held, done = threading.Event(), threading.Event()
    results: dict[str, BaseException | None] = {}

    def noting(key: str) -> object:
        def note(result: int | None, error: BaseException | None) -> None:
            results[key] = error
            if len(results) == 4:
                done.set()

        return note

    large = bucket.bodies
    large.inline_max = 1 << 20
    holding = threading.Thread(target=lambda: bucket.index.commit(lambda txn: held.wait(10)))
    holding.start()
    for key, size in (("a", 10), ("b", 250_000), ("c", 10), ("d", 10)):
        bucket.index.submit(putting(key, stage(bucket, b"x" * size)), noting(key))  # type: ignore
    held.set()
    holding.join()
    assert done.wait(10)
    assert {k: e and e.kind for k, e in results.items()} == {  # type: ignore[attr-defined]
        "a": None, "b": "disk_full", "c": None, "d": None,
    }  # fmt: skip
    assert keys(bucket) == ["a", "c", "d"]
    bucket._queue.run_alone(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchall())
    put(bucket, "b", b"x" * 250_000)


def test_failing_fsync_of_the_log(failing_vfs: None, tmp_path: Path) -> None:
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.create(BucketRecord("syncs", 1))
        put(bucket, "before", b"1")
        FailingSync.failing = True
        for _ in range(2):
            with pytest.raises(UnavailableError) as caught:
                put(bucket, "refused", b"2")
            assert caught.value.kind == "io"
        assert get(bucket, "before") == b"1"
        assert keys(bucket) == ["before"]
        FailingSync.failing = False
        put(bucket, "after", b"3")
        assert keys(bucket) == ["after", "before"]
        assert bucket.check(deep=True) == []


def test_failing_fsync_of_a_pack(bucket: BucketFile) -> None:
    put(bucket, "before", patterned(100_000, 1))
    with failpoint.armed("pack.before_sync", "error"), pytest.raises(UnavailableError) as caught:
        put(bucket, "refused", patterned(100_000, 2))
    assert caught.value.kind == "io"
    put(bucket, "after", patterned(100_000, 3))
    names = [path.name for path in bucket.path.with_name("first.packs").iterdir()]
    assert len(names) == 2, "the pack whose sync failed takes no more"
    assert get(bucket, "before") == patterned(100_000, 1)


@pytest.mark.parametrize("place", ["pack.create", "pack.created", "pack.write", "reclaim.punch"])
def test_refusing_disk_under_packs(bucket: BucketFile, directory: Directory, place: str) -> None:
    if place != "reclaim.punch":
        with failpoint.armed(place, "full"):
            with pytest.raises(UnavailableError) as caught:
                put(bucket, "k", b"x" * 100_000)
            assert caught.value.kind == "disk_full"
    put(bucket, "k", b"x" * 100_000)
    bucket.index.commit(lambda txn: txn.delete_object("k"))
    with failpoint.armed("reclaim.punch", "error"), pytest.raises(Error):
        directory.maintain()
    assert bucket.check() == []
    directory.maintain()


def test_log_stays_bounded_without_background(bucket: BucketFile) -> None:
    for number in range(40):
        put(bucket, f"{number}", patterned(32_000, number))
        for again in range(3):
            put(bucket, f"{again}", patterned(32_000, again))
    assert bucket.path.with_name(bucket.path.name + "-wal").stat().st_size < 12 << 20


def test_log_stays_bounded_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucketfile, "LOG_SOME", (1 << 20) // 8192)
    monkeypatch.setattr(bucketfile, "LOG_MAX", (8 << 20) // 8192)
    with Directory(tmp_path) as directory:
        bucket = directory.create(BucketRecord("loaded", 1, inline_max=1 << 20))
        log = bucket.path.with_name(bucket.path.name + "-wal")
        data = patterned(250_000, 1)
        longest = 0
        for number in range(200):
            put(bucket, str(number % 10), data)
            longest = max(longest, log.stat().st_size)
        assert longest < 32 << 20


def test_close_finishes_what_is_queued(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    bucket = directory.create(BucketRecord("closing", 1))
    done: list[object] = []
    for _ in range(100):
        bucket.index.submit(counting("n"), lambda result, error: done.append(result))  # type: ignore
    directory.close()
    assert done == list(range(1, 101))
    with pytest.raises(ClosedError):
        bucket.index.commit(lambda txn: None)


def test_a_change_a_thread_waits_for_never_runs_on_the_loop(directory: Directory) -> None:
    """A long change is committed by a worker thread: the loop must not run it for that thread."""
    bucket = directory.create(BucketRecord("shared", 1))
    waited_for: set[int] = set()
    submitted: set[int] = set()
    numbers: list[int] = []

    def noting(threads: set[int]) -> object:
        def change(txn: IndexTxn) -> int:
            threads.add(threading.get_ident())
            return counting("n")(txn)  # type: ignore[operator]

        return change

    async def main() -> None:
        loop = asyncio.get_running_loop()
        directory.use_scheduler(loop.call_soon_threadsafe)
        left = 60
        ended = loop.create_future()

        def done(result: int | None, error: BaseException | None) -> None:
            nonlocal left
            assert error is None
            numbers.append(result or 0)
            left -= 1
            if left:
                bucket.index.submit(noting(submitted), done)  # type: ignore[arg-type]
            else:
                ended.set_result(None)

        def work() -> list[int]:
            change = noting(waited_for)
            return [bucket.index.commit(change) for _ in range(20)]  # type: ignore[arg-type]

        workers = [loop.run_in_executor(None, work) for _ in range(4)]
        bucket.index.submit(noting(submitted), done)  # type: ignore[arg-type]
        for found in await asyncio.gather(*workers):
            numbers.extend(found)
        await ended
        await asyncio.to_thread(directory.use_scheduler, None)

    asyncio.run(main())
    assert sorted(numbers) == list(range(1, 141))
    assert threading.get_ident() not in waited_for
    assert submitted
