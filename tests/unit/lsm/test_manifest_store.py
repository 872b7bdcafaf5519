"""Numbered stores: one winner a number, epochs that fence, a boundary that is believed."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from cenote.base import SeededRand
from cenote.errors import ClosedError, UnavailableError, UnsupportedError
from cenote.lsm import ManifestStore
from cenote.lsm.format import Manifest, encode_manifest, manifest_name
from cenote.lsm.manifest.state import new_manifest
from cenote.lsm.manifest.store import claim_writer
from cenote.objstore import (
    Data,
    Fault,
    FaultyStore,
    MemoryStore,
    ObjectMeta,
    ObjectStore,
    RecordingStore,
    scripted,
)


def manifests(store: ObjectStore, seed: int = 1) -> ManifestStore:
    return ManifestStore(store, "db", rand=SeededRand(seed))


def seen(manifest: Manifest, _number: int) -> Manifest:
    return replace(manifest, wal_id_last_seen=manifest.wal_id_last_seen + 1)


def test_a_new_database_is_claimed_with_one_manifest() -> None:
    store = RecordingStore(MemoryStore())
    made = claim_writer(manifests(store), compactor=True, first=new_manifest)
    assert made.number == 1
    assert (made.value.writer_epoch, made.value.compactor_epoch) == (1, 1)
    assert [request.op for request in store.requests].count("put_if_absent") == 1


def test_a_later_claim_fences_the_earlier_one() -> None:
    store = MemoryStore()
    one, two = manifests(store), manifests(store, 2)
    claim_writer(one, compactor=False, first=new_manifest)
    claim_writer(two, compactor=False, first=new_manifest)
    before = two.refresh()
    with pytest.raises(ClosedError) as fenced:
        one.edit(seen, writer_epoch=1)
    assert fenced.value.reason == "fenced"
    assert two.refresh() == before
    assert two.edit(seen, writer_epoch=2).number == 3


def test_racing_edits_all_count() -> None:
    store = MemoryStore()
    claim_writer(manifests(store), compactor=False, first=new_manifest)

    def edits(seed: int) -> None:
        mine = manifests(store, seed)
        for _ in range(20):
            mine.edit(seen)

    threads = [threading.Thread(target=edits, args=(seed,)) for seed in range(2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latest = manifests(store).refresh()
    assert (latest.number, latest.value.wal_id_last_seen) == (81, 80)


def test_a_number_that_a_collector_passed_does_not_count() -> None:
    """A writer that slept while others went on and their manifests were collected."""
    store = MemoryStore()
    slow, quick = manifests(store), manifests(store, 2)
    claim_writer(slow, compactor=False, first=new_manifest)
    for _ in range(4):
        quick.edit(seen)
    quick.boundary.advance(4)
    for number in range(1, 5):
        store.delete(f"db/{manifest_name(number)}")
    made = slow.edit(seen)
    assert (made.number, made.value.wal_id_last_seen) == (6, 5)


def test_the_boundary_never_falls() -> None:
    boundary = manifests(MemoryStore()).boundary
    assert boundary.read() == 0
    assert boundary.advance(7) == 7
    assert boundary.advance(3) == 7
    assert boundary.read() == 7


def test_a_lost_reply_does_not_make_a_change_twice() -> None:
    inner = MemoryStore()
    claim_writer(manifests(inner), compactor=False, first=new_manifest)
    store = FaultyStore(inner, scripted([Fault.AFTER], ops=["put_if_absent"]))
    assert manifests(store).edit(seen).value.wal_id_last_seen == 1
    assert manifests(inner).refresh().number == 2


def test_an_edit_whose_effect_nobody_knows_says_so() -> None:
    inner = MemoryStore()
    claim_writer(manifests(inner), compactor=False, first=new_manifest)
    store = FaultyStore(inner, scripted([Fault.AFTER, Fault.BEFORE], ops=["put_if_absent", "head"]))
    with pytest.raises(UnavailableError) as failed:
        manifests(store).edit(seen)
    assert failed.value.effect_unknown


def test_watchers_see_each_later_version_once() -> None:
    store = MemoryStore()
    one = manifests(store)
    numbers: list[int] = []
    one.watch(lambda version: numbers.append(version.number))
    claim_writer(one, compactor=False, first=new_manifest)
    one.edit(seen)
    manifests(store, 2).edit(seen)
    one.refresh()
    one.refresh()
    assert numbers == [1, 2, 3]


class Careless(MemoryStore):
    """A store that takes every conditional put, as some do."""

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self.put(path, data, write_id=write_id)


def test_a_store_that_does_not_refuse_is_found_out_and_unharmed() -> None:
    inner = Careless()
    mine = manifests(inner)
    made = claim_writer(mine, compactor=False, first=new_manifest)
    with pytest.raises(UnsupportedError) as refused:
        mine.prove()
    assert refused.value.kind == "no_conditional_put"
    assert inner.get(f"db/{manifest_name(1)}").data == encode_manifest(made.value)

    honest = manifests(MemoryStore())
    claim_writer(honest, compactor=False, first=new_manifest)
    honest.prove()
