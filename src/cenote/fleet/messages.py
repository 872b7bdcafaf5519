"""What workers and the writer say to each other.

Owns: the messages, their bytes, their frames.
Does not own: the changes inside them (`cenote.buckets.changes`, `cenote.tables`).

A frame is 4 bytes of length, little-endian, and one message in MessagePack: an array whose first
element says which. Requests carry an id, chosen by who asks; replies come in any order.

Invariants:
1. What is decoded is one of the messages below, made of the types they name, or an error: bytes
   never choose code.
2. A frame is at most `FRAME_MAX` bytes; who sends more has lost its way and is cut off.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from cenote.base import Figure
from cenote.buckets import changes
from cenote.errors import DataError
from cenote.fleet.faults import Fault
from cenote.ports import BucketRecord, Extent
from cenote.tables import BindChange, ExpireChange, PutWithItems, TableChange

__all__ = [
    "Ask",
    "Commit",
    "Create",
    "Delete",
    "Done",
    "Failed",
    "Frames",
    "GiveBack",
    "Hello",
    "Reserve",
    "Result",
    "Tell",
    "Told",
    "Welcome",
    "decode_for_worker",
    "decode_for_writer",
    "frame_of",
]

FRAME_MAX: Final = 64 << 20
_HEAD: Final = 4


class Hello(Struct, frozen=True, array_like=True, tag=0):
    """A worker's first message."""

    pid: int


class Commit(Struct, frozen=True, array_like=True, tag=1):
    """Commit a change. The reply is its result."""

    id: int
    bucket: str
    change: changes.AnyChange | TableChange | ExpireChange | BindChange | PutWithItems


class Reserve(Struct, frozen=True, array_like=True, tag=2):
    """Give out a region for a body. The reply is [pack, offset]."""

    id: int
    bucket: str
    size: int


class GiveBack(Struct, frozen=True, array_like=True, tag=3):
    """Take a region back. No reply."""

    bucket: str
    extent: Extent
    broken: bool


class Create(Struct, frozen=True, array_like=True, tag=4):
    """Make a bucket. The reply is null."""

    id: int
    record: BucketRecord


class Delete(Struct, frozen=True, array_like=True, tag=5):
    """Delete a bucket if `decide` lets it go. The reply is null."""

    id: int
    bucket: str
    decide: changes.AnyChange


class Ask(Struct, frozen=True, array_like=True, tag=6):
    """Tell the figures of all processes together. The reply is a list of them."""

    id: int


class Told(Struct, frozen=True, array_like=True, tag=7):
    """A worker's own figures, in answer to `Tell`."""

    id: int
    figures: list[Figure]


class Welcome(Struct, frozen=True, array_like=True, tag=0):
    """The writer takes requests now."""


class Done(Struct, frozen=True, array_like=True, tag=1):
    """The result of a request, still encoded."""

    id: int
    result: Raw


class Result(Struct, frozen=True, array_like=True, tag=1):
    """`Done` as the writer makes it."""

    id: int
    result: Any


class Failed(Struct, frozen=True, array_like=True, tag=2):
    """The error of a request."""

    id: int
    fault: Fault


class Tell(Struct, frozen=True, array_like=True, tag=3):
    """Tell your figures."""

    id: int


ToWriter = Hello | Commit | Reserve | GiveBack | Create | Delete | Ask | Told
ToWorker = Welcome | Done | Failed | Tell

_encode = msgspec.msgpack.Encoder().encode
_for_writer: Final[msgspec.msgpack.Decoder[ToWriter]] = msgspec.msgpack.Decoder(ToWriter)
_for_worker: Final[msgspec.msgpack.Decoder[ToWorker]] = msgspec.msgpack.Decoder(ToWorker)
decode_for_writer = _for_writer.decode
decode_for_worker = _for_worker.decode


def frame_of(message: Struct) -> bytes:
    """Return a message as a frame. Raises TypeError or ValueError for what cannot be encoded."""
    body = _encode(message)
    return len(body).to_bytes(_HEAD, "little") + body


class Frames:
    """Cuts what comes in into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[memoryview]:
        """Take bytes in, and return the messages that are complete. Raises DataError."""
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        found = []
        at, end = 0, len(data)
        while end - at >= _HEAD:
            size = int.from_bytes(view[at : at + _HEAD], "little")
            if size > FRAME_MAX:
                raise DataError(f"a frame of {size} bytes", kind="frame")
            if end - at - _HEAD < size:
                break
            at += _HEAD
            found.append(view[at : at + size])
            at += size
        self._rest = data[at:]
        return found
