"""Reads through views find in the package's databases what the package found there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import model
from cenote.lsm import KeyRange
from cenote.lsm.cache import BlockCache
from cenote.lsm.format import decode_wal, wal_name
from cenote.lsm.memtable import Memtable
from cenote.lsm.options import Reading
from cenote.lsm.place import Place
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.objstore import LocalStore

NAMES = sorted(path.stem for path in (Path(__file__).parent / "golden").glob("*.zip"))


class Concat:
    """Operands joined by commas, as `wheel.Concat` does."""

    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: list[bytes]) -> bytes:
        return b",".join(operands if existing is None else [existing, *operands])


# The reference scans ignore expiry, and some rows expire soon after they were written.
READING = Reading(now_ms=lambda: 0, operator=Concat())


def open_view(base: Path, name: str, budget: int) -> View:
    """Open the database in a folder `name` of `base`, its log included."""
    root = base / name
    manifest = model.last_manifest(root)
    externals = tuple(
        replace(each, path=str(Path(name).parent / Path(each.path).name).removeprefix("./"))
        for each in manifest.external_dbs
    )
    memtable = Memtable()
    number = manifest.replay_after_wal_id + 1
    while (path := root / wal_name(number)).exists():
        rows = [row for row in decode_wal(path.read_bytes()) if row[2] > manifest.last_l0_seq]
        memtable.insert_rows(rows, keep_from=0)
        number += 1
    store = LocalStore(base)
    tables = Tables(store, Place(store, name, store), BlockCache(budget))
    return View(tables, replace(manifest, external_dbs=externals), (memtable,))


def check_views(base: Path, expected: dict[str, dict[str, str]], budget: int) -> None:
    for name, hexed in expected.items():
        view = open_view(base.parent, f"{base.name}/{name}".rstrip("/"), budget)
        wanted = {bytes.fromhex(key): bytes.fromhex(value) for key, value in hexed.items()}
        run = view.tables.run
        for reverse in (False, True):
            scan = view.scan(KeyRange(), READING, reverse=reverse)
            found = []
            while rows := run(scan.next_batch()):
                found += [row[:2] for row in rows]
            assert found == sorted(wanted.items(), reverse=reverse), name
        keys = [*list(wanted)[:: 1 + len(wanted) // 300], b"absent", b"key:0000005"]
        for key in keys:
            row = run(view.get_plan(key, READING))
            assert (row and row[1]) == wanted.get(key), (name, key)
        rows = run(view.get_many_plan(keys, READING))
        assert [row and row[1] for row in rows] == [wanted.get(key) for key in keys]
        assert view.tables.cache.size <= budget
        view.tables.store.close()


@pytest.mark.parametrize("budget", [0, 30_000, 2**24])
@pytest.mark.parametrize("name", NAMES)
def test_golden_databases_read_as_the_package_reads_them(
    golden: Callable[[str], Path], name: str, budget: int
) -> None:
    root = golden(name)
    check_views(root, json.loads((root / "expected.json").read_text()), budget)


def test_new_databases_read_as_the_package_reads_them(
    run_wheel: Callable[..., str], tmp_path: Path
) -> None:
    run_wheel("write", tmp_path, "400")
    for root in sorted(tmp_path.iterdir()):
        check_views(root, json.loads((root / "expected.json").read_text()), 2**24)
