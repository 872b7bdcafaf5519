"""What the package left behind, in every version: read, found sound, cloned, collected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cenote.base import SeededRand, SystemClock
from cenote.lsm import (
    CloneSource,
    Collector,
    DbReader,
    GcSettings,
    ManifestStore,
    Place,
    clone,
    detach,
    verify,
)
from cenote.objstore import LocalStore

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.zip"))

Rows = dict[bytes, bytes]


class Concat:
    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(([] if existing is None else [existing]) + list(operands))


def databases(folder: Path) -> Iterator[tuple[Place, Rows]]:
    """Yield each database, and what the package found in it."""
    store = LocalStore(str(folder))
    expected = json.loads((folder / "db/expected.json").read_text())
    for name, rows in expected.items():
        root = f"db/{name}" if name else "db"
        wanted = {bytes.fromhex(key): bytes.fromhex(value) for key, value in rows.items()}
        manifest = ManifestStore(store, root, rand=SeededRand(1)).refresh().value
        for external in manifest.external_dbs:  # it was written below another folder
            old = folder / external.path
            if not old.exists():
                shutil.copytree(folder / "db" / Path(external.path).name, old)
        yield Place(store, root, store), wanted


def contents(place: Place) -> Rows:
    with DbReader.open(place, merge_operator=Concat(), background=False) as reader:
        return dict(reader.scan())


@pytest.mark.parametrize("name", NAMES)
def test_every_state_is_read_cloned_and_collected(
    golden: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Nothing of it is written but by who is asked to."""
    shutil.copytree(golden(name), tmp_path / "db")
    found = list(databases(tmp_path))
    assert found
    for place, expected in found:
        assert contents(place) == expected
        assert verify(place).problems == ()
    clock, rand = SystemClock(), SeededRand(1)
    for place, expected in found:
        clone(
            Place(place.store, "made", place.store),
            [CloneSource(place.root)],
            clock=clock,
            rand=rand,
        )
        made = Place(place.store, "made", place.store)
        assert contents(made) == expected
        settings = GcSettings(age_min_ms=0)
        Collector(place, settings, clock=clock, rand=rand).collect()
        assert contents(place) == contents(made) == expected
        detach(made, rand=rand)
        Collector(made, settings, clock=clock, rand=rand).collect()
        assert contents(made) == expected
        assert verify(made).problems == ()
        shutil.rmtree(tmp_path / "made")
