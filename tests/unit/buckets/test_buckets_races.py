"""Of many writers that race under one condition, exactly one wins."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cenote.base import failpoint
from cenote.buckets import (
    ABSENT,
    Conditions,
    CopyObject,
    CreateUpload,
    PutObject,
    PutPart,
    Store,
    objects,
)
from cenote.errors import Error

LARGE = bytes(range(256)) * 256  # 64 KiB: packed

Attempt = Callable[[], object]
Round = Callable[[Store, int, int], Attempt]  # store, round, writer


def before(store: Store, round_number: int) -> str:
    """The ETag of the object all writers of a round want to replace."""
    return store.put_object("arena", f"k{round_number}", f"{round_number}".encode()).etag


def put_absent(store: Store, number: int, writer: int) -> Attempt:
    body = f"{writer}".encode() if writer % 2 else LARGE + bytes([writer])
    return lambda: store.put_object("arena", f"k{number}", body, if_none_match="*")


def put_match(store: Store, number: int, writer: int) -> Attempt:
    etag = store.head_object("arena", f"k{number}").etag
    body = f"by {writer}".encode()
    return lambda: store.put_object("arena", f"k{number}", body, if_match=etag)


def delete_match(store: Store, number: int, writer: int) -> Attempt:
    etag = store.head_object("arena", f"k{number}").etag
    return lambda: store.delete_object("arena", f"k{number}", if_match=etag)


def complete_with(store: Store, number: int, writer: int, **condition: str) -> Attempt:
    key = f"k{number}"
    upload = store.create_multipart_upload("arena", CreateUpload(key)).upload_id
    part = store.upload_part("arena", PutPart(key, upload, 1), f"part of {writer}".encode())
    return lambda: store.complete_multipart_upload("arena", key, upload, [part], **condition)


def complete_absent(store: Store, number: int, writer: int) -> Attempt:
    return complete_with(store, number, writer, if_none_match="*")


def complete_match(store: Store, number: int, writer: int) -> Attempt:
    return complete_with(
        store, number, writer, if_match=store.head_object("arena", f"k{number}").etag
    )


def copy_with(store: Store, number: int, writer: int, conditions: Conditions) -> Attempt:
    source = ("arena", "elsewhere")[writer % 2]
    store.put_object(source, f"source{writer}", f"by {writer}".encode())
    request = CopyObject(f"k{number}", f"source{writer}", conditions=conditions)
    return lambda: store.copy_object(source, "arena", request)


def copy_absent(store: Store, number: int, writer: int) -> Attempt:
    return copy_with(store, number, writer, ABSENT)


def copy_match(store: Store, number: int, writer: int) -> Attempt:
    etag = store.head_object("arena", f"k{number}").etag
    return copy_with(store, number, writer, Conditions(if_match=etag))


CREATING = [put_absent, complete_absent, copy_absent]
REPLACING = [put_match, delete_match, complete_match, copy_match]


def race(folder: Path, make: Round, writers: int, rounds: int) -> None:
    with Store(folder) as store, ThreadPoolExecutor(writers) as threads:
        store.create_bucket("arena")
        store.create_bucket("elsewhere")
        for number in range(rounds):
            if make in REPLACING:
                before(store, number)
            attempts = [make(store, number, writer) for writer in range(writers)]
            start = threading.Barrier(writers)

            def run(attempt: Attempt, start: threading.Barrier = start) -> str:
                start.wait()
                try:
                    attempt()
                except Error as error:
                    return error.kind
                return "won"

            outcomes = list(threads.map(run, attempts))
            assert outcomes.count("won") == 1, outcomes
            lost = {"no_such_key"} if make is delete_match else {"precondition_failed"}
            assert set(outcomes) <= lost | {"won"}
        assert store.check(deep=True) == []


@pytest.mark.parametrize("make", CREATING + REPLACING, ids=lambda make: make.__name__)
def test_exactly_one_wins(tmp_path: Path, make: Round):
    race(tmp_path, make, writers=8, rounds=5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("make", CREATING + REPLACING, ids=lambda make: make.__name__)
def test_exactly_one_wins_of_many(tmp_path: Path, make: Round):
    race(tmp_path, make, writers=32, rounds=200)


def test_completing_and_aborting_one_upload(tmp_path: Path):
    with Store(tmp_path) as store, ThreadPoolExecutor(8) as threads:
        store.create_bucket("arena")
        for number in range(10):
            key = f"k{number}"
            upload = store.create_multipart_upload("arena", CreateUpload(key)).upload_id
            part = store.upload_part("arena", PutPart(key, upload, 1), LARGE)

            def end(index: int, key: str = key, upload: str = upload, named: object = part) -> str:
                try:
                    if index % 2:
                        store.abort_multipart_upload("arena", key, upload)
                        return "aborted"
                    store.complete_multipart_upload("arena", key, upload, [named])
                    return "completed"
                except Error as error:
                    return error.kind

            outcomes = list(threads.map(end, range(8)))
            if "completed" in outcomes:
                # Whoever completes, completes; who aborts finds nothing.
                assert set(outcomes) == {"completed", "no_such_upload"}
                assert outcomes.count("completed") == 4
                assert store.read_object("arena", key) == LARGE
            else:
                assert sorted(outcomes) == ["aborted"] + ["no_such_upload"] * 7
        assert store.check(deep=True) == []


def test_a_bucket_that_goes_takes_every_writer_along(tmp_path: Path):
    with Store(tmp_path) as store, ThreadPoolExecutor(8) as threads:
        for number in range(5):
            name = f"bucket-{number}"
            store.create_bucket(name)

            def write(index: int, name: str = name) -> str:
                try:
                    if index == 3:
                        store.delete_bucket(name)
                        return "deleted"
                    body = LARGE if index % 2 else b"x"
                    store.put_object(name, f"k{index}", body)
                    return "put"
                except Error as error:
                    return error.kind

            outcomes = list(threads.map(write, range(8)))
            assert set(outcomes) <= {
                "put",
                "deleted",
                "no_such_bucket",
                "bucket_not_empty",
                "closed",
            }
            # Either all that was acknowledged is there, or nothing ever was.
            if "deleted" in outcomes:
                assert "put" not in outcomes
                assert not store.has_bucket(name)
            else:
                keys = [item.key for item in store.iterate_objects(name)]
                assert len(keys) == outcomes.count("put")
        assert store.check(deep=True) == []


def test_copies_of_a_source_that_keeps_changing(tmp_path: Path):
    bodies = [bytes([i]) * (100 + 70_000 * (i % 2)) for i in range(8)]
    with Store(tmp_path) as store, ThreadPoolExecutor(4) as threads:
        for name in ("arena", "elsewhere"):
            store.create_bucket(name)
        store.put_object("arena", "source", bodies[0])
        stop = threading.Event()

        def rewrite() -> None:
            while not stop.is_set():
                for body in bodies:
                    store.put_object("arena", "source", body)

        def copy(index: int) -> None:
            target = ("arena", "elsewhere")[index % 2]
            request = CopyObject("copy", "source", checksum_algorithm="SHA1")
            for _ in range(10):
                try:
                    etag = store.copy_object("arena", target, request).etag
                except Error as error:
                    assert error.kind == "conditional_conflict"
                    continue
                assert etag

        writer = threads.submit(rewrite)
        try:
            list(threads.map(copy, range(2)))
        finally:
            stop.set()
            writer.result()
        for name in ("arena", "elsewhere"):
            if list(store.iterate_objects(name, prefix="copy")):
                assert store.read_object(name, "copy") in bodies
        assert store.check(deep=True) == []


def test_nobody_loses_to_a_write_that_was_undone(tmp_path: Path):
    # Two creations of one key in one group, whose sync fails: neither was first.
    calls: queue.SimpleQueue[tuple[Callable[..., None], tuple[object, ...]]] = queue.SimpleQueue()
    answers: dict[str, Exception | None] = {}
    with Store(tmp_path, scheduler=lambda call, *args: calls.put((call, args))) as store:
        store.create_bucket("arena")
        bucket = store.bucket("arena")
        for name in ("first", "second"):
            writer = bucket.bodies.writer(1, ("CRC64NVME",))
            writer.write(b"x")
            request = PutObject(key="k", conditions=ABSENT)
            bucket.index.submit(
                objects.put(request, writer.finish(), 1),
                lambda result, error, name=name: answers.update({name: error}),
            )
        with failpoint.armed("commit.before_sync", "error"):
            while len(answers) < 2:
                call, args = calls.get(timeout=10)
                call(*args)
        assert {getattr(error, "kind", None) for error in answers.values()} == {"io"}
        assert not list(store.iterate_objects("arena"))
        bucket.index.commit(lambda txn: None)
