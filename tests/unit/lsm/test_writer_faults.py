"""The writer when the store fails, loses replies, is full, or the program stops."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import writing
from writing import ROOT, Concat, Forgetful, contents, faulty, get, op, opened, put

from cenote.base.failpoint import armed, registered
from cenote.errors import ClosedError, UnavailableError
from cenote.lsm import flush
from cenote.lsm.format import decode_wal, wal_name
from cenote.objstore import AroundStore, Call, Fault, FaultyStore, MemoryStore, ObjectStore

BOTH = pytest.mark.parametrize("make", [MemoryStore, Forgetful])


class Full(AroundStore):
    """A store that takes nothing while `full` is set."""

    full = False

    def _around(self, call: Call, run: Callable[[], Any]) -> Any:
        if self.full and call.is_write and not call.op.startswith("delete"):
            raise UnavailableError("no space is left", kind="disk_full")
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Any]) -> Any:
        return await run()


def wal_numbers(store: ObjectStore) -> list[int]:
    return [int(meta.path[-24:-4]) for meta in store.list(f"{ROOT}/wal")]


# Lost replies.


@BOTH
def test_a_lost_reply_and_its_repetition_do_not_fence_us(make: type[MemoryStore]) -> None:
    """SlateDB hazard: a timeout and a retry of a conditional put fenced the writer itself."""
    store = make()
    with faulty(store, Fault.AFTER, "/wal/0000000000000000000" + "2") as wrapped:
        writer = opened(wrapped)
        written = writer.write([op(b"a", b"1")])
        with pytest.raises(UnavailableError) as failed:
            writer.commit(written.seq)
        assert failed.value.effect_unknown
        assert writer.durable_seq == 0
        put(writer, b"b", b"2")  # repeats the file in doubt, and makes the next
        assert writer.durable_seq == 2
    assert wal_numbers(store) == [1, 2, 3]
    assert contents(store) == {b"a": b"1", b"b": b"2"}


@BOTH
def test_a_put_that_never_arrived_is_put_again(make: type[MemoryStore]) -> None:
    store = make()
    with faulty(store, Fault.BEFORE, "/wal/0000000000000000000" + "2", times=2) as wrapped:
        writer = opened(wrapped)
        for n in range(2):
            with pytest.raises(UnavailableError) as failed:
                put(writer, b"%d" % n, b"")
            assert failed.value.effect_unknown  # it stays, and may become durable
        told: list[Any] = []
        writer.when_durable(1, told.append)
        writer.when_durable(2, told.append)
        writer.flush_wal()
        assert told == [None, None]
    rows = [decode_wal(store.get(f"{ROOT}/{wal_name(n)}").data) for n in (2, 3)]
    assert [[row[0] for row in each] for each in rows] == [[b"0"], [b"1"]]


def test_a_failed_put_is_told_to_who_waits_for_it() -> None:
    store = MemoryStore()
    with faulty(store, Fault.AFTER, "/wal/0000000000000000000" + "2") as wrapped:
        writer = opened(wrapped)
        told: list[Any] = []
        seq = writer.write([op(b"a")]).seq
        writer.when_durable(seq, told.append)
        with pytest.raises(UnavailableError):
            writer.flush_wal()
        assert isinstance(told[0], UnavailableError)
        writer.when_durable(seq, told.append)
        writer.close()
        assert told[1] is None


@BOTH
def test_a_takeover_while_a_put_is_in_doubt(make: type[MemoryStore]) -> None:
    """Whether the file arrived or not, the new writer decides; the old one is told the truth."""
    for fault in (Fault.BEFORE, Fault.AFTER):
        store = make()
        with faulty(store, fault, "/wal/0000000000000000000" + "2") as wrapped:
            old = opened(wrapped)
            with pytest.raises(UnavailableError):
                put(old, b"a", b"1")
            new = opened(store, seed=2)
            assert get(new, b"a") == (b"1" if fault is Fault.AFTER else None)
            try:
                old.flush_wal()
                durable = True
            except ClosedError as error:
                assert error.reason == "fenced"
                durable = False
            assert not durable or get(new, b"a") == b"1"
            with pytest.raises(ClosedError):
                put(old, b"b", b"2")


@BOTH
@pytest.mark.parametrize("part", ["/manifest/", "/wal/", "/gc/", "/cenote/"])
@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_an_open_that_failed_is_repeated(make: type[MemoryStore], part: str, fault: Fault) -> None:
    for times in (1, 2, 3):
        store = make()
        writer = opened(store)
        put(writer, b"a", b"1")
        with faulty(store, fault, part, times=times) as wrapped:
            for seed in range(2, 8):
                try:
                    writer = opened(wrapped, seed=seed)
                    break
                except UnavailableError:
                    continue
            else:
                pytest.fail("it never opened")
            assert get(writer, b"a") == b"1"
            put(writer, b"b", b"2")
        assert contents(store) == {b"a": b"1", b"b": b"2"}


@BOTH
@pytest.mark.parametrize("part", ["/manifest/", "/compacted/", "/gc/"])
@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_a_flush_that_failed_is_repeated(make: type[MemoryStore], part: str, fault: Fault) -> None:
    store = make()
    left = 0

    def plan(call: Call) -> Fault | None:
        nonlocal left
        if left and part in call.path:
            left -= 1
            return fault
        return None

    writer = opened(FaultyStore(store, plan), merge_operator=Concat())
    put(writer, b"a", b"1")
    writing.merge(writer, b"m", b"x")
    left = 1
    with suppress(UnavailableError):  # unless the store's own recognised what it had made
        writer.flush_memtable()
    assert left == 0
    assert get(writer, b"m") == b"x"
    writer.flush_memtable()
    put(writer, b"b", b"2")
    writer.flush_memtable()
    assert len(writer.view.manifest.tree.l0) == 2
    assert len(list(store.list(f"{ROOT}/compacted"))) == 2
    expected = {b"a": b"1", b"b": b"2", b"m": b"x"}
    assert contents(store, merge_operator=Concat()) == expected


# A full store.


def test_a_full_store_is_an_error_that_passes() -> None:
    store = Full(MemoryStore())
    writer = opened(store)
    put(writer, b"a", b"1")
    store.full = True
    with pytest.raises(UnavailableError) as failed:
        put(writer, b"b", b"2")
    assert failed.value.kind == "disk_full"
    with pytest.raises(UnavailableError):
        writer.flush_memtable()
    assert get(writer, b"b") == b"2"
    assert writer.closed_reason is None
    store.full = False
    writer.flush_memtable()
    assert contents(store) == {b"a": b"1", b"b": b"2"}


def test_a_full_store_without_a_log() -> None:
    store = Full(MemoryStore())
    writer = opened(store, wal_enabled=False)
    store.full = True
    with pytest.raises(UnavailableError):
        put(writer, b"b", b"2")
    store.full = False
    writer.flush_wal()
    assert contents(store) == {b"b": b"2"}


def test_a_close_on_a_full_store_fails_and_loses_only_what_was_not_durable() -> None:
    store = Full(MemoryStore())
    writer = opened(store)
    put(writer, b"a", b"1")
    put(writer, b"b", b"2", durable=False)
    store.full = True
    with pytest.raises(UnavailableError):
        writer.close()
    assert writer.closed_reason is not None
    store.full = False
    assert contents(store) == {b"a": b"1"}


# Crashes.

POINTS = [name for name in registered() if name.startswith("lsm.")]


def test_there_are_fail_points() -> None:
    assert len(POINTS) >= 10


@pytest.mark.parametrize("wal_enabled", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_a_restart_after_every_fail_point(point: str, wal_enabled: bool) -> None:
    """The program stops at a place, for the first time or later, and starts anew."""
    for passing in (1, 2, 3):
        store = MemoryStore()
        acked: dict[bytes, bytes] = {}
        begun: dict[bytes, bytes] = {}
        for life in range(4):
            try:
                with armed(point, f"error@{passing}"):
                    writer = opened(store, seed=life + 1, wal_enabled=wal_enabled, l0_max_ssts=99)
                    for key, value in acked.items():
                        assert get(writer, key) == value
                    for n in range(4):
                        key = b"%d:%d" % (life, n)
                        begun[key] = b"value"
                        writer.commit(writer.write([op(key, b"value"), op(key + b"'")]).seq)
                        acked[key] = b"value"
                        if n % 2:
                            writer.flush_memtable()
            except OSError:
                continue
        found = contents(store, seed=99)
        assert acked.items() <= found.items()
        assert {key.rstrip(b"'") for key in found} <= set(begun)
        assert all((key + b"'" in found) == (key in found) for key in begun), "a torn batch"


def test_an_interrupted_put_is_finished_by_the_same_writer() -> None:
    for point in ("lsm.wal.before_put", "lsm.wal.after_put"):
        store = MemoryStore()
        writer = opened(store)
        with armed(point, "error"), pytest.raises(OSError):
            put(writer, b"a", b"1")
        put(writer, b"b", b"2")
        assert contents(store, seed=2) == {b"a": b"1", b"b": b"2"}


def test_a_write_that_a_signal_breaks_off_is_not_half_there() -> None:
    """At every place of its way: all of the batch is there, in memory and in the log, or none."""

    class Stop(BaseException):
        pass

    for place in range(1, 80):
        store = MemoryStore()
        writer = opened(store)
        put(writer, b"k1", b"old")
        left = place

        def trace(frame: Any, event: str, argument: Any) -> Any:
            nonlocal left
            if "/lsm/" not in frame.f_code.co_filename:
                return None
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            # At these lines the interpreter looks for no signals.
            passed = line.startswith(("with ", "try:"))
            if event == "line" and frame.f_code.co_name in WATCHED and not passed:
                left -= 1
                if not left:
                    sys.settrace(None)
                    raise Stop
            return trace

        batch = [op(b"k1", b"1"), op(b"k2", b"2"), op(b"k3", b"3")]
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            writer.write(batch)
            writer.flush_wal()
        except Stop:
            pass
        finally:
            sys.settrace(before)
        put(writer, b"after", b"")
        seen = [get(writer, key) for key in (b"k1", b"k2", b"k3")]
        assert seen in ([b"old", None, None], [b"1", b"2", b"3"]), place
        found = contents(store, seed=2)
        assert [found.get(key) for key in (b"k1", b"k2", b"k3")] == seen, place


WATCHED = ("try_write", "insert_rows", "kept", "_next", "_put_all", "_put")


def test_large_files_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """SlateDB hazard: a level 0 file above what a store takes in one put could not be written."""
    monkeypatch.setattr(flush, "_ONE_PUT_MAX", 1000)
    monkeypatch.setattr(flush, "_PIECE", 300)
    store = MemoryStore()
    writer = opened(store)
    expected = {b"%03d" % n: b"x" * 50 for n in range(100)}
    for key, value in expected.items():
        put(writer, key, value, durable=False)
    writer.flush_memtable()
    assert contents(store) == expected
