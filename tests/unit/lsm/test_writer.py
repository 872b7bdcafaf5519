"""The writer: what is written is seen, durable when it says so, and there after a reopen."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import writing
from writing import ROOT, Concat, FirstThree, contents, get, op, opened, put

from cenote.base import ManualClock
from cenote.errors import ClosedError, InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE
from cenote.lsm.format import decode_manifest, decode_wal, open_sst
from cenote.lsm.options import NEVER
from cenote.lsm.plan import Pending
from cenote.objstore import MemoryStore, RecordingStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def wal_files(store: MemoryStore) -> dict[int, bytes]:
    return {int(meta.path[-24:-4]): store.get(meta.path).data for meta in store.list(f"{ROOT}/wal")}


def last_manifest(store: MemoryStore) -> Any:
    return decode_manifest(store.get(list(store.list(f"{ROOT}/manifest"))[-1].path).data)


def test_a_new_database_has_one_manifest_and_one_fence(store: MemoryStore) -> None:
    writer = opened(store)
    assert [meta.path for meta in store.list("")] == [
        f"{ROOT}/manifest/{1:020d}.manifest",
        f"{ROOT}/wal/{1:020d}.sst",
    ]
    assert wal_files(store) == {1: b""}
    manifest = last_manifest(store)
    assert (manifest.initialized, manifest.writer_epoch, manifest.compactor_epoch) == (True, 1, 0)
    writer.close()


def test_what_was_committed_is_there_after_a_reopen(store: MemoryStore) -> None:
    writer = opened(store)
    assert put(writer, b"a", b"1") == 1
    assert put(writer, b"b", b"2") == 2
    assert (get(writer, b"a"), get(writer, b"b"), get(writer, b"c")) == (b"1", b"2", None)
    writing.delete(writer, b"a")
    # Nobody closes the first one: the process was killed.
    again = opened(store)
    assert (get(again, b"a"), get(again, b"b")) == (None, b"2")
    assert again.last_seq == again.durable_seq == 3
    assert put(again, b"c", b"3") == 4


def test_what_was_not_committed_is_seen_and_may_be_lost(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"a", b"1")
    put(writer, b"b", b"2", durable=False)
    assert (get(writer, b"b"), writer.last_seq, writer.durable_seq) == (b"2", 2, 1)
    assert contents(store) == {b"a": b"1"}


def test_a_close_makes_everything_durable(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"a", b"1", durable=False)
    writer.close()
    writer.close()
    assert contents(store) == {b"a": b"1"}
    for call in (lambda: put(writer, b"b", b""), writer.flush_wal, writer.flush_memtable):
        with pytest.raises(ClosedError) as failed:
            call()
        assert failed.value.reason == "clean"


def test_a_batch_has_one_number_and_is_in_one_file(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"zero", b"0", durable=False)
    written = writer.write([op(b"b", b"1"), op(b"a", b"2"), op(b"c", b"", TOMBSTONE)])
    writer.commit(written.seq)
    rows = decode_wal(wal_files(store)[2])
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (b"zero", 1, PUT),
        (b"b", 2, PUT),
        (b"a", 2, PUT),
        (b"c", 2, TOMBSTONE),
    ]


def test_an_empty_batch_takes_no_number(store: MemoryStore) -> None:
    writer = opened(store)
    assert writer.write([]).seq == 0
    assert put(writer, b"a", b"1") == 1


def test_a_check_that_fails_leaves_everything_as_it_was(store: MemoryStore) -> None:
    writer = opened(store)

    def check() -> None:
        raise InvalidError("no")

    with pytest.raises(InvalidError):
        writer.write([op(b"a", b"1")], check=check)
    assert (get(writer, b"a"), writer.last_seq) == (None, 0)


def test_a_number_may_be_given_if_it_is_above_all(store: MemoryStore) -> None:
    writer = opened(store)
    assert writer.write([op(b"a", b"1")], seq=100).seq == 100
    for seq in (100, 5, 2**64):
        with pytest.raises(InvalidError):
            writer.write([op(b"a", b"2")], seq=seq)
    assert put(writer, b"b", b"2") == 101
    writer.close()
    assert opened(store).last_seq == 101


def test_keys_noted_for_transactions(store: MemoryStore) -> None:
    writer = opened(store)
    noted: list[tuple[int, list[bytes]]] = []
    writer.noting = lambda seq, ops: noted.append((seq, [each[0] for each in ops]))
    put(writer, b"a", b"1")
    assert not isinstance(writer.write_one(b"b", b"2", PUT), Pending)
    assert noted == [(1, [b"a"]), (2, [b"b"])]


def test_time_never_goes_back(store: MemoryStore) -> None:
    clock = ManualClock()
    writer = opened(store, clock=clock)
    first = writer.write([op(b"a")]).created_ms
    clock.advance(-1000)
    assert writer.write([op(b"b")]).created_ms == first
    written = writer.write_one(b"c", b"", PUT)
    assert not isinstance(written, Pending)
    assert written[1] == first
    writer.close()
    writer = opened(store, clock=clock)
    assert writer.write([op(b"d")]).created_ms == first
    writer.flush_memtable()
    writer.close()
    assert opened(store, clock=clock).write([op(b"e")]).created_ms == first


def test_rows_expire_as_their_write_says_or_the_setting(store: MemoryStore) -> None:
    clock = ManualClock()
    writer = opened(store, clock=clock, default_ttl_ms=5000)
    now = clock.now_ms()
    writer.write(
        [
            (b"default", b"", PUT, None, None),
            (b"after", b"", PUT, 7, None),
            (b"at", b"", PUT, None, now + 9),
            (b"never", b"", PUT, NEVER, None),
            (b"gone", b"", TOMBSTONE, None, None),
        ]  # type: ignore[arg-type]
    )
    writer.write_one(b"one", b"", PUT)
    writer.write_one(b"one at", b"", PUT, None, now + 9)
    writer.write_one(b"one gone", b"", TOMBSTONE)
    expiries = {row[0]: row[5] for row in writer.view.memtables[0].rows()}
    assert expiries == {
        b"default": now + 5000,
        b"after": now + 7,
        b"at": now + 9,
        b"never": None,
        b"gone": None,
        b"one": now + 5000,
        b"one at": now + 9,
        b"one gone": None,
    }


def test_a_flush_moves_rows_to_level_0_and_the_log_behind_it(store: MemoryStore) -> None:
    writer = opened(store)
    for n in range(10):
        put(writer, b"k%d" % n, b"%d" % n, durable=n % 2 == 0)
    writer.flush_memtable()
    assert writer.frozen_count == 0
    assert [get(writer, b"k%d" % n) for n in range(10)] == [b"%d" % n for n in range(10)]
    manifest = last_manifest(store)
    assert (manifest.last_l0_seq, len(manifest.tree.l0)) == (10, 1)
    assert manifest.replay_after_wal_id == max(wal_files(store))
    sst = open_sst(store.get(f"{ROOT}/compacted/{manifest.tree.l0[0].sst_id}.sst").data)
    assert sst.check() == 10
    put(writer, b"k3", b"new")
    writer.flush_memtable()
    manifest = last_manifest(store)
    ids = [view.sst_id for view in manifest.tree.l0]
    assert ids == sorted(ids, reverse=True)
    assert get(writer, b"k3") == b"new"
    store_reads = RecordingStore(store)
    again = opened(store_reads)
    assert [r.path for r in store_reads.requests if r.op == "get" and "/wal/" in r.path] == []
    assert get(again, b"k3") == b"new"


def test_a_log_file_with_rows_of_two_memtables_is_replayed(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"a", b"1", durable=False)
    writer._freeze_now()
    put(writer, b"b", b"2")  # one log file for both
    writer.flush_memtable()
    put(writer, b"c", b"3")
    assert contents(store) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_a_flush_that_covers_half_a_file_does_not_pass_over_it(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"a", b"1", durable=False)
    writer._freeze_now()
    put(writer, b"b", b"2")
    assert writer.flush_frozen()
    manifest = last_manifest(store)
    assert (manifest.last_l0_seq, manifest.replay_after_wal_id) == (1, 1)
    assert contents(store) == {b"a": b"1", b"b": b"2"}


def test_a_full_memtable_is_frozen_and_flushed_by_the_job(store: MemoryStore) -> None:
    writer = opened(store, l0_sst_size=1000, l0_max_ssts=100)
    for n in range(30):
        put(writer, b"%03d" % n, b"x" * 100)
    assert writer.frozen_count > 1
    while writer.jobs.step("flush"):
        pass
    assert writer.frozen_count == 0
    assert len(writer.view.manifest.tree.l0) > 1
    assert all(get(writer, b"%03d" % n) for n in range(30))


def test_a_memtable_is_frozen_after_so_many_log_files(store: MemoryStore) -> None:
    writer = opened(store, wal_files_max=4)
    for n in range(4):
        put(writer, b"%d" % n, b"")
    assert writer.frozen_count == 1
    assert writer.jobs.step("flush")
    assert len(contents(store)) == 4


def test_a_long_log_is_replayed_into_several_files(store: MemoryStore) -> None:
    writer = opened(store)
    for n in range(20):
        put(writer, b"%03d" % n, b"x" * 100)
    again = opened(store, l0_sst_size=500)
    assert len(again.view.manifest.tree.l0) >= 4
    assert again.pressure().unflushed_bytes < 1000
    assert all(get(again, b"%03d" % n) for n in range(20))
    assert again.view.manifest.replay_after_wal_id > 10
    put(again, b"more", b"")
    assert len(contents(store)) == 21


def test_what_a_pin_holds_stays_through_a_flush(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"k", b"old")
    pinned = writer.pin()
    put(writer, b"k", b"new")
    put(writer, b"k", b"newer")
    assert (get(writer, b"k", pinned), get(writer, b"k")) == (b"old", b"newer")
    writer.flush_memtable()
    assert last_manifest(store).recent_snapshot_min_seq == pinned
    assert (get(writer, b"k", pinned), get(writer, b"k")) == (b"old", b"newer")
    writer.unpin(pinned)
    put(writer, b"l", b"")
    writer.flush_memtable()
    assert last_manifest(store).recent_snapshot_min_seq == writer.last_seq
    assert writer.pins == 0


def test_versions_nobody_reads_are_not_flushed(store: MemoryStore) -> None:
    writer = opened(store)
    for n in range(10):
        put(writer, b"k", b"%d" % n)
    writer.flush_memtable()
    manifest = last_manifest(store)
    sst = open_sst(store.get(f"{ROOT}/compacted/{manifest.tree.l0[0].sst_id}.sst").data)
    assert [(row[0], row[1]) for row in sst.rows()] == [(b"k", b"9")]


def test_the_newest_durable_version_is_there_until_a_newer_is_durable(store: MemoryStore) -> None:
    writer = opened(store)
    put(writer, b"k", b"durable")
    for n in range(5):
        put(writer, b"k", b"%d" % n, durable=False)
        assert get(writer, b"k", writer.durable_seq) == b"durable"
    writer.flush_wal()
    assert get(writer, b"k", writer.durable_seq) == b"4"


def test_operands_are_kept_and_folded_over_all_layers(store: MemoryStore) -> None:
    writer = opened(store, merge_operator=Concat())
    put(writer, b"k", b"base")
    for n in range(3):
        writing.merge(writer, b"k", b"%d" % n)
    writer.flush_memtable()
    writing.merge(writer, b"k", b"3")
    writer.write_one(b"k", b"4", MERGE)
    assert get(writer, b"k") == b"base,0,1,2,3,4"
    writer.close()
    assert contents(store, merge_operator=Concat()) == {b"k": b"base,0,1,2,3,4"}


def test_a_merge_without_an_operator_is_refused(store: MemoryStore) -> None:
    writer = opened(store)
    with pytest.raises(InvalidError):
        writer.write([op(b"a", b"1", MERGE)])
    assert writer.last_seq == 0


def test_each_segment_has_its_files(store: MemoryStore) -> None:
    writer = opened(store, segment_extractor=FirstThree())
    writer.write([op(b"bbb1", b"1"), op(b"aaa1", b"2"), op(b"aaa2", b"3")])
    writer.flush_memtable()
    manifest = last_manifest(store)
    assert manifest.segment_extractor == "first3"
    assert [(each.prefix, len(each.tree.l0)) for each in manifest.segments] == [
        (b"aaa", 1),
        (b"bbb", 1),
    ]
    assert manifest.tree.l0 == ()
    for bad in (b"a", b"aa"):
        with pytest.raises(InvalidError):
            put(writer, bad, b"")
    with pytest.raises(InvalidError):
        writer.write_one(b"a", b"", PUT)
    put(writer, b"aaa1", b"new")
    writer.close()
    before = writing.snapshot(store)
    with pytest.raises(InvalidError) as failed:
        opened(store)
    assert failed.value.kind == "segment_extractor"
    assert writing.snapshot(store) == before
    assert contents(store, segment_extractor=FirstThree()) == {
        b"aaa1": b"new",
        b"aaa2": b"3",
        b"bbb1": b"1",
    }


def test_a_database_without_segments_takes_no_extractor(store: MemoryStore) -> None:
    opened(store).close()
    with pytest.raises(InvalidError):
        opened(store, segment_extractor=FirstThree())


@pytest.mark.parametrize("codec", ["none", "snappy", "zlib", "lz4", "zstd"])
def test_every_codec(store: MemoryStore, codec: str) -> None:
    writer = opened(store, codec=codec)
    expected = {b"%d" % n: b"value" * n for n in range(100)}
    for key, value in expected.items():
        put(writer, key, value, durable=False)
    writer.flush_memtable()
    put(writer, b"late", b"row")
    assert contents(store) == {**expected, b"late": b"row"}


def test_without_a_log_a_commit_flushes_the_memtable(store: MemoryStore) -> None:
    """SlateDB hazard: without a log, to wait for a durable write never returned."""
    writer = opened(store, wal_enabled=False)
    told: list[Any] = []
    written = writer.write([op(b"a", b"1")])
    writer.when_durable(written.seq, told.append)
    assert (writer.durable_seq, told) == (0, [])
    writer.commit(written.seq)
    assert (writer.durable_seq, told) == (1, [None])
    assert set(wal_files(store)) == {1}
    put(writer, b"b", b"2", durable=False)
    writer.close()
    assert set(wal_files(store)) == {1}
    assert contents(store, wal_enabled=False) == {b"a": b"1", b"b": b"2"}
    assert contents(store) == {b"a": b"1", b"b": b"2"}


def test_a_log_is_replayed_by_a_writer_without_one(store: MemoryStore) -> None:
    put(opened(store), b"a", b"1")
    writer = opened(store, wal_enabled=False)
    assert get(writer, b"a") == b"1"
    assert writer.durable_seq == 1
    put(writer, b"b", b"2")
    writer.flush_memtable()
    assert last_manifest(store).last_l0_seq == 2
    put(opened(store), b"c", b"3")
    assert contents(store) == {b"a": b"1", b"b": b"2", b"c": b"3"}


@pytest.mark.parametrize("lifetime_ms", [0, -1])
def test_a_checkpoint_that_would_be_over_at_once_is_refused(lifetime_ms: int) -> None:
    store = RecordingStore(MemoryStore())
    writer = opened(store)
    put(writer, b"k", b"v")
    before = len(store.requests)
    with pytest.raises(InvalidError) as caught:
        writer.checkpoint("never", lifetime_ms)
    assert caught.value.kind == "invalid_lifetime"
    assert len(store.requests) == before  # nothing was flushed for it


def test_a_checkpoint_holds_what_was_durable(store: MemoryStore) -> None:
    """SlateDB hazard: a checkpoint lacked what was durable in the log alone."""
    clock = ManualClock()
    writer = opened(store, clock=clock)
    put(writer, b"a", b"1")
    made = writer.checkpoint("friday", 5500)
    lasting = writer.checkpoint()
    manifest = last_manifest(store)
    assert [each.id for each in manifest.checkpoints] == [made.id, lasting.id]
    assert (made.name, made.expire_time_s) == ("friday", made.create_time_s + 6)
    assert lasting.expire_time_s is None
    pinned = decode_manifest(store.get(f"{ROOT}/manifest/{made.manifest_id:020d}.manifest").data)
    assert pinned.last_l0_seq == 1
    assert pinned.checkpoints == (made,)


def test_many_threads_share_their_puts(store: MemoryStore) -> None:
    writer = opened(store)
    early: list[int] = []

    def work(number: int) -> None:
        for n in range(50):
            seq = put(writer, b"%d:%d" % (number, n), b"")
            if writer.durable_seq < seq:
                early.append(seq)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not early
    files = wal_files(store)
    assert sorted(files) == list(range(1, len(files) + 1))
    seqs = [row[2] for number in sorted(files) for row in decode_wal(files[number])]
    assert seqs == list(range(1, 401))
    assert len(contents(store)) == 400


def test_threads_do_the_work_behind_the_calls(store: MemoryStore) -> None:
    from cenote.base import SystemClock

    writer = opened(
        store, background=True, clock=SystemClock(), flush_interval_ms=1, l0_sst_size=2000
    )
    durable = threading.Event()
    for n in range(100):
        last = writer.write([op(b"%03d" % n, b"x" * 50)]).seq
    writer.when_durable(last, lambda error: durable.set())
    assert durable.wait(30)  # nobody asked for it
    pause = threading.Event()
    for _ in range(3000):
        if not writer.frozen_count:
            break
        pause.wait(0.01)
    writer.close()
    assert len(last_manifest(store).tree.l0) >= 1
    assert len(contents(store)) == 100
    assert not [each for each in threading.enumerate() if each.name.startswith("cenote")]


def test_the_log_job_flushes_after_the_interval_and_then_sleeps(store: MemoryStore) -> None:
    clock = ManualClock()
    writer = opened(store, clock=clock, flush_interval_ms=100)
    put(writer, b"a", b"1", durable=False)
    assert not writer.jobs.step() and writer.durable_seq == 0
    clock.advance(0.05)
    assert not writer.jobs.step() and writer.durable_seq == 0
    clock.advance(0.06)
    writer.jobs.step()
    assert writer.durable_seq == 1
    for _ in range(20):
        clock.advance(0.2)
        writer.jobs.step()
    assert writer.log_asleep
    requests = RecordingStore(store)
    clock.advance(1000)
    assert not writer.jobs.step()
    put(writer, b"b", b"2", durable=False)
    writer.jobs.step()
    clock.advance(0.2)
    writer.jobs.step()
    assert writer.durable_seq == 2
    assert requests.requests == []


def test_a_long_log_is_read_ahead_in_order(store: MemoryStore) -> None:
    writer = opened(store)
    for n in range(50):
        put(writer, b"%d" % (n % 7), b"%d" % n)
    again = opened(store, background=True)
    assert [get(again, b"%d" % (n % 7)) for n in range(43, 50)] == [
        b"%d" % n for n in range(43, 50)
    ]
    assert again.last_seq == 50
    again.close()
