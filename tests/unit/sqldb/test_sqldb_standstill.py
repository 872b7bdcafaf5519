"""Nothing waits for ever: commits, upkeep, dropping and closing beside one another."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from acts import delete, get, keys, patterned, put, putting, stage

from cenote.errors import ClosedError, Error, NotFoundError, UnavailableError
from cenote.ports import BucketRecord, IndexTxn
from cenote.sqldb import BucketFile, Directory

pytestmark = pytest.mark.timeout(60)


def on_a_loop(directory: Directory, body: Callable[[asyncio.AbstractEventLoop], object]) -> None:
    """Run the coroutine function `body` on a loop that drives the directory's commits."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        directory.use_scheduler(loop.call_soon_threadsafe)
        await body(loop)  # type: ignore[misc]
        await asyncio.to_thread(directory.use_scheduler, None)

    asyncio.run(main())


def test_upkeep_that_asks_while_a_thread_leads(
    directory: Directory, bucket: BucketFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside an event loop, a waiting thread's commit and upkeep that comes just before it."""
    queue = bucket._queue
    take, tending = queue._take, []

    def take_after_upkeep_asked() -> object:
        if not tending and threading.current_thread().name == "leader":
            work = lambda: queue.run_alone(lambda connection: None)  # noqa: E731
            tending.append(threading.Thread(target=work))
            tending[0].start()
            while not queue._alone:
                time.sleep(0.001)
        return take()

    monkeypatch.setattr(queue, "_take", take_after_upkeep_asked)

    async def body(loop: asyncio.AbstractEventLoop) -> None:
        leader = threading.Thread(target=put, args=(bucket, "k", b"1"), name="leader", daemon=True)
        leader.start()
        await asyncio.to_thread(leader.join, 20)
        assert not leader.is_alive()
        await asyncio.to_thread(tending[0].join, 20)

    on_a_loop(directory, body)
    assert keys(bucket) == ["k"]


def test_drop_waits_for_the_loop_while_the_loop_asks_for_another_bucket(
    directory: Directory,
) -> None:
    bucket = directory.create(BucketRecord("dropped", 1))
    other = directory.create(BucketRecord("other", 1))
    directory._open.pop("other").close()
    del other

    async def body(loop: asyncio.AbstractEventLoop) -> None:
        answers: list[object] = []
        bucket.index.submit(lambda txn: "done", lambda result, error: answers.append(result))
        dropping = threading.Thread(target=directory.drop, args=("dropped",), daemon=True)
        dropping.start()
        time.sleep(0.1)  # on the loop: what was submitted cannot go on meanwhile
        assert keys(directory.open("other")) == []
        for name in ("absent", "dropped"):
            with pytest.raises(NotFoundError):
                directory.open(name)
        await asyncio.to_thread(dropping.join, 20)
        assert not dropping.is_alive()
        assert answers == ["done"]

    on_a_loop(directory, body)
    directory.create(BucketRecord("dropped", 2))


def test_making_a_bucket_that_is_being_dropped_waits_for_its_end(directory: Directory) -> None:
    bucket = directory.create(BucketRecord("again", 1))
    put(bucket, "old", b"1")
    held, go = threading.Event(), threading.Event()

    def hold(txn: IndexTxn) -> None:
        held.set()
        go.wait(20)

    threads = [
        threading.Thread(target=lambda: bucket.index.commit(hold)),
        threading.Thread(target=lambda: directory.drop("again")),
        threading.Thread(target=lambda: directory.create(BucketRecord("again", 2))),
    ]
    threads[0].start()
    held.wait(20)
    for thread in threads[1:]:
        thread.start()
        time.sleep(0.05)
    go.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert keys(directory.open("again")) == []


class Stopped(BaseException):
    """What a signal handler may raise anywhere, as Ctrl-C does."""


def test_interrupted_change_leaves_the_bucket_usable(bucket: BucketFile) -> None:
    body = stage(bucket, patterned(300_000, 1))

    def change(txn: IndexTxn) -> None:
        putting("k", body)(txn)
        raise Stopped

    with pytest.raises(Stopped):
        bucket.index.commit(change)
    bucket.bodies.discard(body)
    put(bucket, "after", b"1")
    assert keys(bucket) == ["after"]


@pytest.mark.parametrize("place", ["_seal", "finish_group"])
def test_interrupt_while_others_are_led(
    bucket: BucketFile, directory: Directory, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A leader that is interrupted answers for all: nobody waits, and what is stored is whole."""
    put(bucket, "first", patterned(300_000, 0))
    owner = bucket._queue if place == "_seal" else bucket._queue._writer[1].__class__
    real = getattr(owner, place)
    calls: list[int] = []

    def interrupted(*arguments: object) -> object:
        result = real(*arguments)
        calls.append(1)
        if len(calls) == 1:
            raise Stopped
        return result

    monkeypatch.setattr(owner, place, interrupted)
    body = stage(bucket, patterned(300_000, 1))
    with pytest.raises(Stopped):
        bucket.index.commit(putting("k", body))
    bucket.bodies.discard(body)
    assert get(bucket, "k") in (None, patterned(300_000, 1))
    put(bucket, "after", patterned(300_000, 2))
    directory.maintain()
    assert get(bucket, "k") in (None, patterned(300_000, 1))
    assert bucket.check(deep=True) == []


def test_everything_at_once(tmp_path: Path) -> None:
    """Threads commit, submit, tend, rest, drop and make; then the directory is closed."""
    seed = random.randrange(1 << 30)
    errors: list[BaseException] = []
    stop = threading.Event()
    directory = Directory(tmp_path, awake_max=2, pack_size=1 << 20)
    names = ["one", "two", "three"]

    def work(number: int) -> None:
        rng = random.Random(seed + number)
        while not stop.is_set():
            name = rng.choice(names)
            try:
                act(directory, name, rng)
            except (ClosedError, NotFoundError):
                continue
            except Error as error:
                if error.kind not in ("bucket_exists", "closed"):
                    errors.append(error)
            except BaseException as error:  # noqa: BLE001 - told by the test
                errors.append(error)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    directory.close()
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), f"seed {seed}"
    assert errors == [], f"seed {seed}"
    with Directory(tmp_path, pack_size=1 << 20) as again:
        for name in again.names():
            again.open(name).maintain()
            assert again.open(name).check(deep=True) == [], f"seed {seed}"


def act(directory: Directory, name: str, rng: random.Random) -> None:
    chance = rng.random()
    key = str(rng.randrange(5))
    data = patterned(rng.choice([10, 5000, 60_000, 300_000]), rng.randrange(99))
    if chance < 0.03:
        directory.drop(name)
    elif chance < 0.15:
        directory.create(BucketRecord(name, 1))
    elif chance < 0.2:
        directory.open(name).rest()
    elif chance < 0.25:
        directory.open(name).tend()
    elif chance < 0.5:
        bucket = directory.open(name)
        body = stage(bucket, data)
        done = threading.Event()

        def note(result: object, error: BaseException | None) -> None:
            if error is not None:
                bucket.bodies.discard(body)
            done.set()

        try:
            bucket.index.submit(putting(key, body), note)
        except Error:
            bucket.bodies.discard(body)
            raise
        assert done.wait(30), "nobody answered"
    elif chance < 0.75:
        bucket = directory.open(name)
        body = stage(bucket, data)
        try:
            bucket.index.commit(putting(key, body))
        except Error:
            bucket.bodies.discard(body)
            raise
    elif chance < 0.85:
        delete(directory.open(name), key)
    else:
        with suppress(UnavailableError):
            get(directory.open(name), key)
