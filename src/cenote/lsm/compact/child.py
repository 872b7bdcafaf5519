"""The other end of `remote`: one compaction's merge, in a process that has nothing else to do.

Owns: what is said between the two processes, doing one order, the process's end.
Does not own: what is ordered (`remote`), the merge (`run`).

A message is a length (u32, big-endian) and a pickle: both ends are this package, of one version,
and one has started the other. The order comes in by the standard input; what is finished and how it
ended go out by the standard output.

Invariants:
1. It writes table files and nothing else. When whoever started it is gone, it ends.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any, Final

from cenote.base import SystemClock, SystemRand
from cenote.errors import DataError
from cenote.lsm.compact.retention import Retention
from cenote.lsm.compact.run import CompactionRun, Work
from cenote.lsm.compact.source import InputTable
from cenote.lsm.format import SstLayout, TieredContext, UlidMint
from cenote.lsm.place import open_place

__all__ = ["DONE", "FAILED", "PROGRESS", "REFUSED", "Order", "main", "receive", "send"]

PROGRESS: Final = "progress"
DONE: Final = "done"
FAILED: Final = "failed"
REFUSED: Final = "refused"

_MESSAGE_MAX: Final = 2**30


@dataclass(frozen=True, slots=True)
class Order:
    """One merge: `Work` without what cannot be sent, and where it had come to."""

    uri: str
    root: str
    compaction: str
    sources: tuple[tuple[InputTable, ...], ...]
    retention: Retention
    layout: SstLayout
    sst_size: int
    subcompactions: int
    chunk: int
    window: int
    ahead: bool
    context: TieredContext | None


def send(stream: IO[bytes], message: Any) -> None:
    """Write a message. Raises OSError, and what pickling raises."""
    data = pickle.dumps(message)
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a message. Raises EOFError when there is none, and what unpickling raises."""
    head = stream.read(4)
    if len(head) < 4:
        raise EOFError
    size = int.from_bytes(head, "big")
    if size > _MESSAGE_MAX:
        raise DataError("a message between two processes is too long", kind="message")
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def _run_of(order: Order) -> CompactionRun:
    place = open_place(order.uri, order.root)
    work = Work(
        store=place.store,
        sources=order.sources,
        retention=order.retention,
        layout=order.layout,
        sst_size=order.sst_size,
        new_id=UlidMint(SystemClock(), SystemRand(), above=order.compaction).mint,
        path_of=place.table,
        subcompactions=order.subcompactions,
        chunk=order.chunk,
        window=order.window,
        ahead=order.ahead,
    )
    return CompactionRun(work, order.context)


def _files(context: TieredContext) -> int:
    return sum(len(part.outputs) for part in context.subcompactions)


def serve(inward: IO[bytes], outward: IO[bytes]) -> None:
    """Do the one order that comes in."""
    try:
        run = _run_of(receive(inward))
    except Exception as error:  # noqa: BLE001 - it may have met a class or a store it cannot have
        send(outward, (REFUSED, f"{type(error).__name__}: {error}"))
        return
    threading.Thread(target=_end_with, args=(inward,), daemon=True).start()
    told = -1
    try:
        while True:
            if _files(run.context) > told:
                told = _files(run.context)
                send(outward, (PROGRESS, run.context))
            if not run.step():
                break
    except Exception as error:  # noqa: BLE001 - a callback may raise anything
        try:
            send(outward, (FAILED, error))
        except (pickle.PicklingError, TypeError, AttributeError):
            send(
                outward, (FAILED, DataError(f"{type(error).__name__}: {error}", kind="compaction"))
            )
        return
    send(outward, (DONE, run.context, run.bytes_read))


def _end_with(inward: IO[bytes]) -> None:
    """End this process, in the middle of anything, when the one that started it closes the pipe."""
    inward.read(1)
    os._exit(0)


def main() -> None:
    """Do what the standard input says."""
    with os.fdopen(os.dup(1), "wb") as outward:
        os.dup2(2, 1)  # whatever else prints, it is not a message
        serve(sys.stdin.buffer, outward)
