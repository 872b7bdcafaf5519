"""What tests of the writer share: opening one without threads, looking into a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cenote.base import ManualClock, SeededRand
from cenote.lsm import MERGE, PUT, TOMBSTONE, CompactorSettings, DbSettings, Place, open_place
from cenote.lsm.opening import open_writer
from cenote.lsm.options import Reading
from cenote.lsm.plan import run
from cenote.lsm.writer import Writer
from cenote.objstore import Fault, FaultyStore, MemoryStore, ObjectStore

ROOT = "db"
QUIET = CompactorSettings(enabled=False)


class Concat:
    """Operands joined by commas."""

    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(([] if existing is None else [existing]) + list(operands))


class FirstThree:
    """The first three bytes of a key."""

    name = "first3"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:3] if len(key) >= 3 else None


class Forgetful(MemoryStore):
    """A store that keeps no write ids."""

    def put_if_absent(self, path: str, data: Any, *, write_id: str | None = None) -> Any:
        return super().put_if_absent(path, data)


def opened(store: ObjectStore, *, wal: ObjectStore | None = None, **given: Any) -> Writer:
    """Open a writer without threads; settings are given by their names."""
    parts = {
        name: given.pop(name)
        for name in ("merge_operator", "segment_extractor", "filter_policies", "background")
        if name in given
    }
    clock = given.pop("clock", None) or ManualClock()
    rand = given.pop("rand", None) or SeededRand(given.pop("seed", 1))
    settings = DbSettings(**{"compactor": QUIET, **given})
    place: Place = open_place(store, ROOT, wal=wal)
    return open_writer(place, settings, clock=clock, rand=rand, **{"background": False, **parts})


def op(key: bytes, value: bytes = b"", kind: int = PUT) -> Any:
    return (key, value, kind, None, None)


def put(writer: Writer, key: bytes, value: bytes, *, durable: bool = True) -> int:
    """Put a row, and wait until it is durable."""
    written = writer.write([op(key, value)])
    if durable:
        writer.commit(written.seq)
    return written.seq


def delete(writer: Writer, key: bytes) -> None:
    writer.commit(writer.write([op(key, b"", TOMBSTONE)]).seq)


def merge(writer: Writer, key: bytes, operand: bytes) -> None:
    writer.commit(writer.write([op(key, operand, MERGE)]).seq)


def get(writer: Writer, key: bytes, seq_max: int | None = None) -> bytes | None:
    """Return what the writer's view says of a key."""
    reading = Reading(seq_max=seq_max, now_ms=writer.clock.now_ms, operator=writer.merge_operator)
    row = run(writer.place.store, writer.view.get_plan(key, reading))
    return None if row is None else row[1]


def contents(store: ObjectStore, **given: Any) -> dict[bytes, bytes]:
    """Open the database anew, and return all that is in it."""
    from cenote.lsm import KeyRange

    writer = opened(store, **given)
    reading = Reading(now_ms=writer.clock.now_ms, operator=writer.merge_operator)
    scan = writer.view.scan(KeyRange(), reading)
    found: dict[bytes, bytes] = {}
    while rows := run(writer.place.store, scan.next_batch()):
        found.update((row[0], row[1]) for row in rows)
    writer.close()
    return found


def snapshot(store: ObjectStore) -> dict[str, bytes]:
    """Return every object of a store."""
    return {meta.path: store.get(meta.path).data for meta in store.list("")}


@contextmanager
def faulty(
    store: ObjectStore, fault: Fault, part: str, times: int = 1, op: str | None = None
) -> Iterator[FaultyStore]:
    """A store whose next `times` requests with `part` in their path meet a fault."""
    left = times

    def plan(call: Any) -> Fault | None:
        nonlocal left
        if left and part in call.path and (op is None or call.op == op):
            left -= 1
            return fault
        return None

    yield FaultyStore(store, plan, clock=ManualClock())
