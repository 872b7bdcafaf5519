"""What clients were told, and what they were not told: the measure of a store after a crash.

Every key has one writer, so at any time its object is the last acknowledged one, or the one whose
request was under way when the answer was lost. Nothing else may be found, and no mixture.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from cenote.testing import Reply

Piece = tuple[int, int]  # seed and size of a run of bytes


@dataclass(frozen=True)
class Value:
    """An object: runs of bytes that can be made again, and a label kept in its metadata.

    `multipart`: each run was a part, and the ETag is that of a multipart upload.
    """

    pieces: tuple[Piece, ...]
    label: str
    multipart: bool = False

    def parts(self) -> list[bytes]:
        return [random.Random(seed).randbytes(size) for seed, size in self.pieces]

    def body(self) -> bytes:
        return b"".join(self.parts())

    def etag(self) -> str:
        if not self.multipart:
            return etag(self.body())
        digests = b"".join(hashlib.md5(part).digest() for part in self.parts())
        return f'"{hashlib.md5(digests).hexdigest()}-{len(self.pieces)}"'

    def headers(self) -> list[tuple[str, str]]:
        return [("x-amz-meta-label", self.label)]

    def mismatch(self, reply: Reply) -> str | None:
        """Return how the object found differs from this one, or None."""
        if reply.status != 200:
            return f"status {reply.status} {reply.code}"
        if reply.headers.get("x-amz-meta-label") != self.label:
            return f"label {reply.headers.get('x-amz-meta-label')} and not {self.label}"
        if reply.etag != self.etag():
            return f"ETag {reply.etag} and not {self.etag()}"
        if reply.body != self.body():
            return f"{len(reply.body)} other bytes than the {sum(s for _, s in self.pieces)} put"
        return None


@dataclass
class Upload:
    """A multipart upload: parts acknowledged, parts in doubt, and whether its end is in doubt."""

    key: str
    parts: dict[int, Piece] = field(default_factory=dict)
    doubts: dict[int, Piece] = field(default_factory=dict)
    ending: bool = False


class Side(Enum):
    """A bucket beside the main one that holds nothing, or is not there."""

    ABSENT = "absent"
    EMPTY = "empty"


class Ledger:
    """All keys, uploads and side buckets. Thread-safe as long as each key has one writer."""

    def __init__(self) -> None:
        self.settled: dict[str, Value | None] = {}
        self.doubts: dict[str, list[Value | None]] = {}
        self.uploads: dict[str, Upload] = {}
        self.sides: dict[str, list[Side | Value]] = {}  # what each may be: one, or two in doubt
        self.acknowledged = 0
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, key: str, after: Value | None) -> Iterator[Attempt]:
        """Begin to make `key` be `after`. Unless settled inside, it stays in doubt."""
        attempt = Attempt()
        doubts = self.doubts.setdefault(key, [])
        doubts.append(after)
        yield attempt
        if attempt.acknowledged:
            self.settled[key] = after
            doubts.clear()
            with self._lock:
                self.acknowledged += 1
        elif attempt.acknowledged is False:
            doubts.pop()
        if not doubts:
            del self.doubts[key]

    @contextmanager
    def side(self, name: str, after: Side | Value) -> Iterator[Attempt]:
        """Begin to make a side bucket be `after`: there, gone, or holding one object."""
        attempt = Attempt()
        before = self.sides[name]
        self.sides[name] = [*before, after]
        yield attempt
        if attempt.acknowledged is not None:
            self.sides[name] = [after] if attempt.acknowledged else before

    def judge_side(self, name: str, bucket: Reply, found: Reply) -> str | None:
        """Compare a side bucket and the object in it with what they may be; settle it."""
        for state in self.sides[name]:
            if state is Side.ABSENT:
                fits = bucket.status == 404
            elif state is Side.EMPTY:
                fits = bucket.status == 200 and found.status == 404
            else:
                fits = state.mismatch(found) is None
            if fits:
                self.sides[name] = [state]
                return None
        return f"{name}: {bucket.status}, {found.status} and not {self.sides[name]}"

    def allowed(self, key: str) -> list[Value | None]:
        """Return what may be found at `key`."""
        return [self.settled.get(key), *self.doubts.get(key, [])]

    def judge(self, key: str, reply: Reply) -> str | None:
        """Compare what a GET found with what may be there; settle it, or return what is wrong."""
        wrong = []
        for value in self.allowed(key):
            mismatch = (
                (None if reply.status == 404 else "there, and deleted")
                if value is None
                else value.mismatch(reply)
            )
            if mismatch is None:
                self.settled[key] = value
                self.doubts.pop(key, None)
                return None
            wrong.append(mismatch)
        return f"{key}: " + "; ".join(wrong)

    def keys(self) -> list[str]:
        return sorted({*self.settled, *self.doubts})

    def present(self) -> list[str]:
        """Return the keys that must be listed, once all doubts are settled."""
        return sorted(key for key, value in self.settled.items() if value is not None)


class Attempt:
    """An operation under way: None until its answer is known."""

    def __init__(self) -> None:
        self.acknowledged: bool | None = None

    def settle(self, reply: Reply) -> Reply:
        """Take the answer: done, refused before anything changed, or (5xx) still in doubt."""
        if reply.status < 300 and reply.code is None:
            self.acknowledged = True
        elif reply.status < 500 and reply.status >= 300:
            self.acknowledged = False
        return reply


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'
