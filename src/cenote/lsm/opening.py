"""Opening a database to write: take it over, replay its log, begin.

Owns: the order of these, and what is replayed.
Does not own: the takeover's requests (`takeover`), the writer.

Rows up to the manifest's `last_l0_seq` are in table files already, and are passed over. When what
is replayed fills a memtable, it is flushed at once, so that a long log needs no more memory than a
short one.

Invariants:
1. The first new sequence number is above every one in the log and in table files, the next log
   file's number above the fence's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cenote.base import Clock, Rand, SystemClock, SystemRand, failpoint
from cenote.errors import DataError, NotFoundError
from cenote.lsm.cache import BlockCache
from cenote.lsm.entry import Row
from cenote.lsm.flushing import Parts
from cenote.lsm.format import BloomPolicy
from cenote.lsm.guard import Guard
from cenote.lsm.manifest.store import ManifestStore, check_epochs
from cenote.lsm.merge import MergeOperator, operator_name
from cenote.lsm.metrics import Metrics
from cenote.lsm.parts import through_folder
from cenote.lsm.segments import SegmentExtractor, extractor_name
from cenote.lsm.settings import DbSettings
from cenote.lsm.tables import Tables
from cenote.lsm.takeover import take_over
from cenote.lsm.wal.ahead import read_ahead
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.writer import moment_of
from cenote.lsm.writer import Writer

if TYPE_CHECKING:
    from cenote.lsm.place import Place

__all__ = ["open_writer"]

failpoint.register("lsm.open.replayed_file", "lsm.open.replayed")


def open_writer(
    place: Place,
    settings: DbSettings | None = None,
    *,
    merge_operator: MergeOperator | None = None,
    segment_extractor: SegmentExtractor | None = None,
    filter_policies: Sequence[BloomPolicy] | None = None,
    clock: Clock | None = None,
    rand: Rand | None = None,
    metrics: Metrics | None = None,
    tables: Tables | None = None,
    background: bool = True,
) -> Writer:
    """Become the writer of the database at `place`, which is made when there is none.

    `tables` are those to read by, made of the settings when not given. With `background` threads
    do what is to be done when nobody asks; without, the caller steps `jobs`.
    Ensures: everything that was durable is seen, and no earlier writer can write.
    Raises as `take_over`. Cost: as there, and a request for each log file to replay.
    """
    settings = settings or DbSettings()
    clock, rand = clock or SystemClock(), rand or SystemRand()
    metrics = metrics or Metrics()
    manifests = ManifestStore(place.store, place.root, rand=rand)
    files = WalFiles(place.wal_store, place.root)
    guard = Guard(place, rand)
    operator, extractor = operator_name(merge_operator), extractor_name(segment_extractor)
    before = moment_of(clock)
    taken = take_over(
        manifests,
        files,
        check=lambda manifest: guard.check(manifest, operator),
        extractor=extractor,
        compactor=settings.compactor.enabled,
        place=place,
        rand=rand,
    )
    if tables is None:
        cache = BlockCache(settings.block_cache_size)
        store = through_folder(place.store, settings.part_cache_dir, settings.part_cache_size)
        tables = Tables(store, place, cache, settings, metrics, filter_policies=filter_policies)
    parts = Parts(
        place=place,
        settings=settings,
        manifests=manifests,
        guard=guard,
        tables=tables,
        clock=clock,
        rand=rand,
        metrics=metrics,
        merge_operator=merge_operator,
        segment_extractor=segment_extractor,
        filter_policies=filter_policies,
    )
    writer = Writer(parts, taken.manifest, background=background)
    try:
        writer.begin_log(files, taken.fence + 1, before)
        _replay(writer, files, taken.files)
        writer.replayed(taken.fence)
    except BaseException:
        writer.abandon()
        raise
    manifests.watch(writer.adopt)
    if background:
        writer.jobs.start()
    return writer


def _replay(writer: Writer, files: WalFiles, numbers: Sequence[int]) -> None:
    def read(number: int) -> list[Row]:
        try:
            return files.read(number)
        except NotFoundError as error:
            # A later writer may have flushed it, and its collector deleted it.
            check_epochs(writer.manifests.refresh().value, writer.epoch)
            raise DataError(
                f"log file {number} is missing, and was listed", kind="wal_gap", number=number
            ) from error

    found: Iterator[list[Row]] = map(read, numbers)
    if writer.background:
        found = read_ahead(read, numbers)
    for number, rows in zip(numbers, found, strict=True):
        failpoint.hit("lsm.open.replayed_file")
        writer.replay(number, rows)
    failpoint.hit("lsm.open.replayed")
