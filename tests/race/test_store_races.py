"""The same races in one process: 32 threads on a `cenote.Store`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cenote.buckets import CompletedPart, Conditions, CopyObject, CreateUpload, PutPart, Store
from cenote.errors import Error

WRITERS = 32
BUCKET = "race-bucket"
BIG = 96 << 10

Attempt = Callable[[], object]


class Arena:
    """A store, and threads that start each round together."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.create_bucket(BUCKET)
        for writer in range(WRITERS):
            store.put_object(BUCKET, f"source-{writer}", self.body(writer, False))

    def body(self, writer: int, big: bool) -> bytes:
        text = f"writer {writer}\n".encode()
        return text * (BIG // len(text)) if big else text

    def race(self, attempts: list[Attempt]) -> list[str | None]:
        """Run all at once; return None for each that won, the error's kind for each that lost."""
        barrier = threading.Barrier(len(attempts))
        outcomes: list[str | None] = [None] * len(attempts)
        faults: list[BaseException] = []

        def run(index: int) -> None:
            barrier.wait()
            try:
                attempts[index]()
            except Error as error:
                outcomes[index] = error.kind
            except BaseException as error:  # noqa: BLE001 - raised again below
                faults.append(error)

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(attempts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]
        return outcomes

    def put(self, key: str, big: bool, guard: dict[str, str]) -> list[Attempt]:
        return [
            lambda w=w: self.store.put_object(BUCKET, key, self.body(w, big), **guard)
            for w in range(WRITERS)
        ]

    def copy(self, key: str, big: bool, guard: dict[str, str]) -> list[Attempt]:
        return [
            lambda w=w: self.store.copy_object(
                BUCKET,
                BUCKET,
                CopyObject(key=key, source_key=f"source-{w}", conditions=Conditions(**guard)),
            )
            for w in range(WRITERS)
        ]

    def complete(self, key: str, big: bool, guard: dict[str, str]) -> list[Attempt]:
        parts: list[tuple[str, str]] = [("", "")] * WRITERS

        def prepare(writer: int) -> None:
            upload = self.store.create_multipart_upload(BUCKET, CreateUpload(key=key)).upload_id
            request = PutPart(key=key, upload_id=upload, number=1)
            part = self.store.upload_part(BUCKET, request, self.body(writer, big))
            parts[writer] = (upload, part.etag)

        # Together, so that they share commits.
        assert set(self.race([lambda w=w: prepare(w) for w in range(WRITERS)])) == {None}
        return [
            lambda u=upload, e=etag: self.store.complete_multipart_upload(
                BUCKET, key, u, [CompletedPart(1, e)], **guard
            )
            for upload, etag in parts
        ]

    def delete(self, key: str, big: bool, guard: dict[str, str]) -> list[Attempt]:
        return [lambda: self.store.delete_object(BUCKET, key, **guard)] * WRITERS


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    root: Path = tmp_path_factory.mktemp("store-races")
    with Store(root / "data") as store:
        yield Arena(store)
        assert store.check(deep=True) == []


CONTESTS = [
    ("put", False),
    ("put", True),
    ("copy", False),
    ("copy", True),
    ("complete", False),
    ("complete", True),
    ("delete", True),
]
IDS = [f"{name}-{'if-match' if present else 'if-none-match'}" for name, present in CONTESTS]


def rounds(arena: Arena, name: str, present: bool, count: int) -> None:
    for number in range(count):
        key = f"{name}-{present:d}-{count}-{number}"
        big = number % 4 == 3 and name != "copy"
        guard = {"if_none_match": "*"}
        if present:
            guard = {"if_match": arena.store.put_object(BUCKET, key, b"before").etag}
        outcomes = arena.race(getattr(arena, name)(key, big, guard))
        won = [w for w, kind in enumerate(outcomes) if kind is None]
        assert len(won) == 1, (key, won, set(outcomes))
        if name == "delete":
            assert set(outcomes) <= {None, "no_such_key", "precondition_failed"}
            continue
        assert set(outcomes) <= {None, "precondition_failed", "conditional_conflict"}
        assert arena.store.read_object(BUCKET, key) == arena.body(won[0], big)


@pytest.mark.parametrize(("name", "present"), CONTESTS, ids=IDS)
def test_one_winner(arena: Arena, name: str, present: bool):
    rounds(arena, name, present, 4)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "present"), CONTESTS, ids=IDS)
def test_one_winner_200_rounds(arena: Arena, name: str, present: bool):
    rounds(arena, name, present, 200)
