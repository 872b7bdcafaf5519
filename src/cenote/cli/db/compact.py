"""`cenote db compact`."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from cenote.base import SystemClock
from cenote.cli.db.callbacks import operator_option
from cenote.cli.db.settings import settings_option
from cenote.cli.db.where import Target, target_options
from cenote.lsm import CompactionWorker, Compactor, DbSettings, open_place

__all__ = ["command"]

LOOK_SECONDS = 0.2


@click.command("compact")
@target_options
@click.option("--full", is_flag=True, help="Merge each tree into one run, not only what is due.")
@click.option("--rewrite", is_flag=True, help="With --full: also a tree that is one run already.")
@click.option("--watch", is_flag=True, help="Stay, and compact what comes, until interrupted.")
@click.option("--worker", is_flag=True, help="Only do what another compactor schedules.")
@click.option("--schedule-only", is_flag=True, help="With --watch: leave the work to workers.")
@settings_option
@operator_option
def command(
    target: Target,
    full: bool,
    rewrite: bool,
    watch: bool,
    worker: bool,
    schedule_only: bool,
    settings: DbSettings,
    operator: Any,
) -> None:
    """Merge table files.

    What is due by the settings, once; the database may be open for writing. The command becomes
    the database's compactor: the one in a writer's process, or another, ends itself, so that a
    writer whose compactions go on elsewhere is opened with compactor.enabled=false. With --worker
    it does not: any number of workers may run beside one compactor.
    """
    if worker and (full or schedule_only):
        raise click.UsageError("--worker goes with neither --full nor --schedule-only")
    if rewrite and not full:
        raise click.UsageError("--rewrite goes with --full")
    if schedule_only and (full or not watch):
        raise click.UsageError("--schedule-only goes with --watch alone")
    place = open_place(target.uri, target.path, wal=target.wal)
    try:
        if worker:
            _work(
                CompactionWorker.open(place, settings, merge_operator=operator, background=watch),
                watch,
            )
            return
        compactor = Compactor.open(
            place, settings, merge_operator=operator, works=not schedule_only, background=watch
        )
        with compactor:
            if full:
                compactor.compact(rewrite=rewrite)
            if watch:
                _wait(lambda: compactor.error)
            elif not full:
                while compactor.run():
                    pass
                _raise(compactor.last_error)
    finally:
        place.close()


def _work(worker: CompactionWorker, watch: bool) -> None:
    with worker:
        if watch:
            _wait(lambda: None)
        while worker.run():
            pass
        _raise(worker.last_error)


def _wait(ended: Callable[[], BaseException | None]) -> None:
    """Wait until interrupted, or terminated; raise what ended the work."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    clock = SystemClock()
    while True:
        _raise(ended())
        clock.sleep(LOOK_SECONDS)


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error
