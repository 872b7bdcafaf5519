"""What tests of readers share: a writer, a clock, readers, what happens to their files."""

from __future__ import annotations

from typing import Any

from gc_world import World
from writing import Concat, opened

from cenote.base import ManualClock, SeededRand
from cenote.lsm.format import Manifest, OutputSst
from cenote.lsm.gc.sweep import Collector
from cenote.lsm.manifest.state import commit_tiered
from cenote.lsm.place import Place
from cenote.lsm.reader import DbReader
from cenote.lsm.settings import GcSettings
from cenote.lsm.writer import Writer
from cenote.objstore import (
    MemoryStore,
    ObjectStore,
    ReadOnlyStore,
)


class Scene:
    """A writer, a clock, and readers of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        self.writer = self.opened()
        self.readers: list[DbReader] = []

    def opened(self, **given: Any) -> Writer:
        return opened(self.store, clock=self.clock, merge_operator=Concat(), **given)

    def reader(self, store: ObjectStore | None = None, **given: Any) -> DbReader:
        given = {"background": False, "merge_operator": Concat(), **given}
        made = DbReader.open(
            ReadOnlyStore(store or self.store), clock=self.clock, rand=SeededRand(5), **given
        )
        self.readers.append(made)
        return made

    def compact(self) -> None:
        """Put one file in the place of all, as a compactor would, and collect the old ones."""
        world = World(3, store=self.store)
        world.clock = self.clock
        reader = self.reader()
        rows = [tuple(entry) for entry in reader.scan().entries()]
        made = world.upload(rows)  # type: ignore[arg-type]

        def edit(manifest: Manifest, _: int) -> Manifest:
            return commit_tiered(manifest, world.spec(manifest), [OutputSst(made)])

        world.manifests.edit(edit)
        self.writer.refresh()

    def collect(self) -> None:
        """Delete all that nobody but a reader needs."""
        self.clock.advance(3600)
        place = Place(self.store, "db", self.store)
        Collector(place, GcSettings(age_min_ms=0), clock=self.clock, rand=SeededRand(1)).collect()
