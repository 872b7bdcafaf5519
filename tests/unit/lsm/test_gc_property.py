"""Random histories: what anybody needs is never deleted, and everything else finally is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from gc_world import World

from cenote.base import ManualClock
from cenote.errors import NotFoundError
from cenote.lsm.format import (
    Checkpoint,
    Compaction,
    CompactionStatus,
    Manifest,
    OutputSst,
    SstHandle,
    UlidMint,
)
from cenote.lsm.gc.mark import SKEW_MAX_MS, used_tables
from cenote.lsm.manifest.state import commit_tiered, drop_checkpoints, newest_l0_id
from cenote.lsm.manifest.store import ManifestStore

DAY_MS = 86_400_000


class History:
    """A writer, a compactor, collectors with clocks of their own, and those who hold on to things.

    The writer's and the workers' clocks are off by days; that of whoever names a compaction by
    less than what collectors allow for.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World(seed)
        self.checkpoints: list[Checkpoint] = []
        self.flushing: list[SstHandle] = []
        self.running: tuple[Compaction, list[SstHandle]] | None = None
        self.finished: list[Compaction] = []
        self.orphans: list[str] = []
        self.asleep: list[Callable[[], None]] = []
        self.take_over()

    def skewed(self, most_ms: int) -> ManualClock:
        offset = self.chance.randint(-most_ms, most_ms)
        return ManualClock(self.world.clock.now_ms() + offset)

    def take_over(self) -> None:
        """Another writer, on another machine: what the last one had in hand is lost."""
        world = self.world
        self.orphans += [handle.id for handle in self.flushing]
        self.flushing = []
        self.writer_clock = self.skewed(3 * DAY_MS)
        self.mint = UlidMint(self.writer_clock, world.rand)
        newest = newest_l0_id(world.manifest)
        if newest is not None:
            self.mint.raise_to(newest)
        world.fence()

    def wait(self) -> None:
        ms = self.chance.choice([10, 1000, 60_000, 400_000, 4_000_000])
        self.world.wait(ms)
        self.writer_clock.advance(ms / 1000)

    def upload(self) -> None:
        if len(self.flushing) < 3:
            self.world.write(b"k%d" % self.chance.randrange(100))
            self.flushing.append(self.world.upload(ulid=self.mint.mint()))

    def add(self) -> None:
        if self.flushing:
            self.world.seq += 1
            self.world.add(self.flushing.pop(0))

    def write(self) -> None:
        self.world.write(b"w")

    def begin(self) -> None:
        if self.running is not None or not self.world.manifest.tree.l0:
            return
        clock = self.skewed(SKEW_MAX_MS - 1000)
        compaction = self.world.compaction(CompactionStatus.RUNNING, clock.now_ms())
        self.running = compaction, []
        self.state()

    def output(self) -> None:
        if self.running is not None and not self.running[1]:
            mint = UlidMint(self.skewed(3 * DAY_MS), self.world.rand)
            self.running[1].append(self.world.upload(ulid=mint.mint()))

    def commit(self) -> None:
        if self.running is None or not self.running[1]:
            return
        compaction, outputs = self.running
        made = [OutputSst(each) for each in outputs]

        def edit(manifest: Manifest, _: int) -> Manifest:
            return commit_tiered(manifest, compaction.spec, made)  # type: ignore[arg-type]

        self.world.manifests.edit(edit)
        self.finish(CompactionStatus.COMPLETED)

    def fail(self) -> None:
        if self.running is not None:
            self.orphans += [handle.id for handle in self.running[1]]
            self.finish(CompactionStatus.FAILED)

    def finish(self, status: CompactionStatus) -> None:
        if self.running is not None:
            self.finished = [replace(self.running[0], status=status)]
            self.running = None
            self.state()

    def state(self) -> None:
        running = () if self.running is None else (self.running[0],)
        self.world.state_compactions(*self.finished, *running)

    def hold(self) -> None:
        lifetime = self.chance.choice([None, 600, 10_000])
        self.checkpoints.append(self.world.checkpoint(lifetime))

    def let_go(self) -> None:
        if self.checkpoints:
            gone = self.checkpoints.pop(self.chance.randrange(len(self.checkpoints)))
            self.world.manifests.edit(lambda m, _: drop_checkpoints(m, [gone.id]))

    def collect(self) -> None:
        self.world.collector(clock=self.skewed(30 * DAY_MS)).collect()

    def look_and_sleep(self) -> None:
        """A collector that decides now, and deletes when all is different."""
        collector = self.world.collector(clock=self.skewed(30 * DAY_MS))
        delete = collector._delete
        collector._delete = lambda marked: self.asleep.append(  # type: ignore[method-assign]
            lambda: delete(marked)
        )
        collector.collect()

    def wake(self) -> None:
        if self.asleep:
            self.asleep.pop(self.chance.randrange(len(self.asleep)))()

    STEPS = (
        *(wait, wait, wait, upload, upload, upload, add, add, add, write, begin, begin),
        *(output, output, commit, commit, fail, hold, let_go, collect, collect, take_over),
        *(look_and_sleep, wake),
    )

    def step(self) -> None:
        self.chance.choice(self.STEPS)(self)

    def check(self) -> None:
        """Everything that somebody needs is there."""
        world = self.world
        latest = ManifestStore(world.store, "db", rand=world.rand).refresh()
        for checkpoint in latest.value.checkpoints:
            kept = world.manifests.read(checkpoint.manifest_id)
            for sst_id in used_tables(kept):
                assert world.has_table(sst_id)
        now_s = world.clock.now_ms() // 1000
        alive = {each.id for each in latest.value.checkpoints}
        for checkpoint in self.checkpoints:
            if checkpoint.expire_time_s is None or checkpoint.expire_time_s > now_s:
                assert checkpoint.id in alive
        needed = used_tables(latest.value) | {handle.id for handle in self.flushing}
        if self.running is not None:
            needed |= {handle.id for handle in self.running[1]}
        for sst_id in needed:
            assert world.has_table(sst_id)
        for number in range(latest.value.replay_after_wal_id + 1, world.next_wal):
            assert world.has_wal(number)

    def check_end(self) -> None:
        """Nothing is left but what somebody needs."""
        world = self.world
        self.checkpoints = []
        while self.asleep:
            self.wake()
            self.check()
        self.fail()
        everything = [each.id for each in world.manifest.checkpoints]
        world.manifests.edit(lambda m, _: drop_checkpoints(m, everything))
        while self.flushing:
            self.add()
        self.writer_clock = ManualClock(world.clock.now_ms() + 40 * DAY_MS)
        self.mint = UlidMint(self.writer_clock, world.rand)
        self.mint.raise_to(newest_l0_id(world.manifest) or self.mint.mint())
        self.upload()
        self.add()
        world.wait(50 * DAY_MS)
        world.collect()
        latest = world.manifests.refresh()
        left = {meta.path.split("/")[-1][:-4] for meta in world.store.list("db/compacted")}
        assert left == used_tables(latest.value)
        assert world.manifests.numbers() == [latest.number]
        data = [number for number, meta in world.wal.listed() if meta.size]
        assert all(number >= latest.value.replay_after_wal_id for number in data)
        assert len(list(world.store.list("db/compactions"))) <= 1


def run(seed: int, steps: int) -> None:
    history = History(seed)
    try:
        for _ in range(steps):
            history.step()
            history.check()
        history.check_end()
    except (AssertionError, NotFoundError) as error:
        raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_is_needed_goes_and_all_else_does(seed: int) -> None:
    run(seed, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_nothing_that_is_needed_goes_in_long_histories(seed: int) -> None:
    run(seed, 200)
