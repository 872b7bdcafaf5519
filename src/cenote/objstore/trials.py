"""Trials of a store: what the contract promises, tried alone and under a race.

Owns: the trials and their verdicts.
Does not own: which of them matter to whom (`probe`, the command `torture`).

A trial uses the paths it is given and leaves objects there; whoever asked for it removes them.
A verdict is about the store as it was reached: retries and lock tables around it included.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from cenote.errors import (
    ConflictError,
    Error,
    NotFoundError,
    PreconditionError,
    UnavailableError,
    UnsupportedError,
)
from cenote.objstore.api import ObjectMeta, ObjectStore
from cenote.objstore.versioned import Versioned

__all__ = [
    "Trial",
    "Verdict",
    "absent_race",
    "absent_twice",
    "copies_and_pieces",
    "counter",
    "listing",
    "match_race",
    "match_twice",
    "read_after_write",
    "version_counter",
]


class Verdict(Enum):
    """What came of a trial."""

    HONOURED = "honoured"
    REFUSED = "refused"  # the store says that it does not do this
    IGNORED = "ignored"  # a condition that does not hold did not stop the write
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Trial:
    """A verdict, and a sentence that says why where it is no good one."""

    verdict: Verdict
    note: str = ""


HONOURED = Trial(Verdict.HONOURED)


def absent_twice(store: ObjectStore, path: str) -> Trial:
    """Put-if-absent on a free path, then again on the same."""
    try:
        store.put_if_absent(path, b"first")
    except UnsupportedError as error:
        return Trial(Verdict.REFUSED, error.message)
    except ConflictError:
        return Trial(Verdict.BROKEN, "a free path was refused")
    return _must_refuse(store, path, b"first", lambda: store.put_if_absent(path, b"second"))


def absent_race(store: ObjectStore, path: str, racers: int) -> Trial:
    """`racers` put-if-absents on one free path at once."""
    return _race(store, path, racers, lambda data: store.put_if_absent(path, data))


def match_twice(store: ObjectStore, path: str) -> Trial:
    """Put-if-match with the right ETag, then with the old one, then on a free path."""
    old = store.put(path, b"old")
    try:
        store.put_if_match(path, b"new", old.etag)
    except UnsupportedError as error:
        return Trial(Verdict.REFUSED, error.message)
    except ConflictError:
        return Trial(Verdict.BROKEN, "the right ETag was refused")
    trial = _must_refuse(store, path, b"new", lambda: store.put_if_match(path, b"x", old.etag))
    if trial.verdict is not Verdict.HONOURED:
        return trial
    store.delete(path)
    return _must_refuse(store, path, None, lambda: store.put_if_match(path, b"x", old.etag))


def match_race(store: ObjectStore, path: str, racers: int) -> Trial:
    """`racers` put-if-matches with one ETag at once."""
    etag = store.put(path, b"start").etag
    return _race(store, path, racers, lambda data: store.put_if_match(path, data, etag))


def counter(store: ObjectStore, path: str, racers: int, steps: int) -> Trial:
    """`racers` writers that each add one `steps` times, by put-if-match: none may be lost."""
    store.put(path, b"0")

    def add(number: int) -> None:
        done = 0
        while done < steps:
            found = store.get(path)
            # The writer's number keeps equal counts from having equal bytes, and so equal ETags.
            data = b"%d %d" % (int(found.data.split()[0]) + 1, number)
            try:
                store.put_if_match(path, data, found.meta.etag)
            except PreconditionError:
                continue
            done += 1

    return _together(racers, add) or _same(
        racers * steps, int(store.get(path).data.split()[0]), "additions"
    )


def version_counter(store: ObjectStore, folder: str, racers: int, steps: int) -> Trial:
    """`racers` writers that each make `steps` versions, by put-if-absent: each its own number."""

    def add(number: int) -> None:
        versions = Versioned(store, folder, _Number(), suffix=".n")
        for _ in range(steps):
            versions.update(lambda now: 1 if now is None else now.value + 1)

    failed = _together(racers, add)
    latest = Versioned(store, folder, _Number(), suffix=".n").latest()
    return failed or _same(racers * steps, 0 if latest is None else latest.value, "versions")


def read_after_write(store: ObjectStore, path: str) -> Trial:
    """What was put is read, ranged, headed; what was replaced or deleted is not."""
    store.put(path, b"0123456789")
    meta = store.put(path, b"abcdefghij")
    seen = [
        store.get(path).data,
        store.get_range(path, 2, 5),
        *store.get_ranges(path, [(0, 1), (8, 10)]),
        store.get_tail(path, 3).data,
    ]
    if seen != [b"abcdefghij", b"cde", b"a", b"ij", b"hij"]:
        return Trial(Verdict.BROKEN, f"read {seen!r}")
    if store.head(path).etag != meta.etag:
        return Trial(Verdict.BROKEN, "head tells another ETag than put")
    store.delete(path)
    store.delete(path)
    try:
        store.get(path)
    except NotFoundError:
        return HONOURED
    return Trial(Verdict.BROKEN, "a deleted object was read")


def listing(store: ObjectStore, folder: str) -> Trial:
    """What was put is listed at once, in order, from anywhere; what was deleted is not."""
    names = [f"{folder}/{name}" for name in ("a", "a-b", "a.b", "a/b", "b/c", "z")]
    # A file system cannot have "a" and "a/b" both.
    names.remove(f"{folder}/a")
    for path in reversed(names):
        store.put(path, b"x")
    listed = [meta.path for meta in store.list(folder)]
    later = [meta.path for meta in store.list(folder, start_after=names[1])]
    level = store.list_folder(folder)
    store.delete_many(names[1:])
    left = [meta.path for meta in store.list(folder)]
    if (listed, later, left) != (sorted(names), sorted(names)[2:], names[:1]):
        return Trial(Verdict.BROKEN, f"listed {listed}, {later}, {left}")
    if list(level.folders) != [f"{folder}/a", f"{folder}/b"]:
        return Trial(Verdict.BROKEN, f"folders {level.folders}")
    return HONOURED


def copies_and_pieces(store: ObjectStore, folder: str, piece_size: int) -> Trial:
    """An object of three pieces, and its copy; an upload that is given up leaves nothing."""
    pieces = [bytes([number]) * piece_size for number in range(3)]
    with store.multipart(f"{folder}/whole") as writer:
        for piece in pieces:
            writer.write(piece)
        writer.finish()
    store.copy(f"{folder}/whole", f"{folder}/copy")
    if store.get(f"{folder}/copy").data != b"".join(pieces):
        return Trial(Verdict.BROKEN, "the copy differs")
    with store.multipart(f"{folder}/left") as writer:
        writer.write(b"never")
    try:
        store.head(f"{folder}/left")
    except NotFoundError:
        return HONOURED
    return Trial(Verdict.BROKEN, "an upload that was given up made an object")


class _Number:
    def encode(self, value: int) -> bytes:
        return b"%d" % value

    def decode(self, data: bytes) -> int:
        return int(data)


def _must_refuse(
    store: ObjectStore, path: str, before: bytes | None, put: Callable[[], ObjectMeta]
) -> Trial:
    try:
        put()
    except ConflictError:
        pass
    else:
        return Trial(Verdict.IGNORED, "a condition that does not hold did not stop the write")
    try:
        now = store.get(path).data
    except NotFoundError:
        now = None
    if now != before:
        return Trial(Verdict.BROKEN, "a refused write changed the object")
    return HONOURED


def _race(store: ObjectStore, path: str, racers: int, put: Callable[[bytes], ObjectMeta]) -> Trial:
    won: list[bytes] = []
    unsure: list[bytes] = []

    def enter(number: int) -> None:
        data = b"racer %d" % number
        try:
            put(data)
            won.append(data)
        except ConflictError:
            pass
        except UnavailableError as error:
            if error.effect_unknown:
                unsure.append(data)

    failed = _together(racers, enter)
    if failed is not None:
        return failed
    if len(won) > 1:
        return Trial(Verdict.BROKEN, f"{len(won)} winners of {racers}")
    if not won and not unsure:
        return Trial(Verdict.BROKEN, f"no winner of {racers}")
    if store.get(path).data not in (won or unsure):
        return Trial(Verdict.BROKEN, "the object is not the winner's")
    return HONOURED


def _together(racers: int, run: Callable[[int], None]) -> Trial | None:
    """Run `run(number)` in `racers` threads that start at once. None if all ended well."""
    gate = threading.Barrier(racers)

    def enter(number: int) -> None:
        gate.wait()
        run(number)

    with ThreadPoolExecutor(racers) as pool:
        errors: Sequence[BaseException | None] = [
            future.exception() for future in [pool.submit(enter, n) for n in range(racers)]
        ]
    for error in errors:
        if isinstance(error, UnsupportedError):
            return Trial(Verdict.REFUSED, error.message)
        if isinstance(error, Error):
            return Trial(Verdict.BROKEN, error.message)
        if error is not None:
            raise error
    return None


def _same(wanted: int, found: int, what: str) -> Trial:
    if wanted == found:
        return HONOURED
    return Trial(Verdict.BROKEN, f"{found} of {wanted} {what} are there")
