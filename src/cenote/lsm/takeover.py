"""Becoming the writer of a database: the claim, the fence, what is to be replayed.

Owns: the order of the requests, and why nothing acknowledged is lost between two writers.
Does not own: replaying, or the manifest's edits.

    1 read the latest manifest        a listing, and a read when there is one
    2 compare the guard               one read
    3 list the log                    one listing; not for a new database
    4 claim the next epoch            one put, one read of the boundary
    5 fence the log                   one put, at the first number that is free
    6 look whether somebody came      one listing
      after us

The old writer may go on until step 5: files it makes meanwhile take the number we want, then the
log is listed again, and the epoch looked at. From step 4 on it cannot flush, so the manifest that
was claimed is the one to replay from. The claim names the compactor's epoch too, where the writer
compacts.

Invariants:
1. Nothing is written before the guard was compared and the log is known to be whole.
2. When `take_over` returns, no earlier writer's put can succeed: neither a manifest nor a log file.
3. The numbers of the files to replay have no gap: a missing one is a DataError, not the log's end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cenote.base import Rand, failpoint
from cenote.errors import (
    AlreadyExistsError,
    DataError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from cenote.lsm.format import FENCE, Manifest
from cenote.lsm.manifest.state import new_manifest
from cenote.lsm.manifest.store import ManifestStore, check_epochs, claim_writer
from cenote.lsm.place import Place
from cenote.lsm.wal.files import WalFiles
from cenote.objstore import ObjectMeta, Version

__all__ = ["Takeover", "take_over"]

_TRIES_MAX: Final = 1000

failpoint.register("lsm.open.before_claim", "lsm.open.after_claim", "lsm.open.after_fence")


@dataclass(frozen=True, slots=True)
class Takeover:
    """What the new writer has: its manifest, the fence's number, the log files with rows."""

    manifest: Version[Manifest]
    fence: int
    files: tuple[int, ...]


def take_over(
    manifests: ManifestStore,
    wal: WalFiles,
    *,
    check: Callable[[Manifest | None], None],
    extractor: str | None,
    compactor: bool,
    place: Place,
    rand: Rand,
) -> Takeover:
    """Become the writer.

    `check` compares the guard with the latest manifest, None for a new database. `extractor` is
    the name of the segment extractor. A place that is doubted has to show first that it refuses to
    make what is there.
    Raises ClosedError(reason="fenced") when somebody else took over meanwhile, InvalidError,
    DataError, UnsupportedError, UnavailableError. Cost: see the module.
    """
    found = manifests.load()
    check(None if found is None else found.value)
    listed: list[tuple[int, ObjectMeta]] = []
    if found is not None:
        _check_extractor(found.value, extractor)
        _check_wal_store(found.value, place)
        listed = wal.listed(max(found.value.replay_after_wal_id - 1, 0))
        _check_present(found.value, listed, wal)
    failpoint.hit("lsm.open.before_claim")
    claimed = claim_writer(
        manifests,
        compactor=compactor,
        first=lambda: new_manifest(extractor),
        absent=found is None,
        wal_apart=place.has_wal_store,
    )
    failpoint.hit("lsm.open.after_claim")
    if place.doubted:
        manifests.prove()
    _check_extractor(claimed.value, extractor)
    after = claimed.value.replay_after_wal_id
    epoch = claimed.value.writer_epoch

    def prove() -> None:
        check_epochs(manifests.refresh().value, epoch)

    try:
        fence, listed = _fence(wal, after, listed, rand, prove)
    except DataError:
        prove()  # a later writer may have flushed, and its collector deleted, the files we miss
        raise
    failpoint.hit("lsm.open.after_fence")
    if place.doubted and place.has_wal_store:
        _prove(wal, fence, rand)
    latest = manifests.refresh()
    check_epochs(latest.value, epoch)
    files = tuple(number for number, meta in listed if meta.size)
    return Takeover(latest, fence, files)


def _check_extractor(manifest: Manifest, extractor: str | None) -> None:
    if manifest.segment_extractor != extractor:
        raise InvalidError(
            f"the database's segments are made by {manifest.segment_extractor!r}, "
            f"not by {extractor!r}",
            kind="segment_extractor",
            hint="open it with the extractor it was made with",
        )


def _check_wal_store(manifest: Manifest, place: Place) -> None:
    if manifest.wal_store_uri is not None and not place.has_wal_store:
        raise InvalidError(
            f"the log of this database is in {manifest.wal_store_uri}",
            kind="wal_store",
            hint="pass wal=, naming that store",
        )


def _check_present(manifest: Manifest, listed: list[tuple[int, ObjectMeta]], wal: WalFiles) -> None:
    """Refuse a database whose log must have files and has none: they are in another store.

    The file a replay starts after is never collected, since the one that fences needs its number.
    A clone has no log of its own until it is first written to.
    """
    seen = max(manifest.replay_after_wal_id, manifest.wal_id_last_seen)
    if seen and not listed and not manifest.external_dbs and manifest.writer_epoch:
        raise InvalidError(
            f"the manifest tells of {seen} log files, and there is none",
            kind="wal_store",
            hint="its log may be in a store of its own: pass wal=. If the log was lost, put an "
            f"empty object at {wal.path(seen)}",
        )


def _fence(
    wal: WalFiles,
    after: int,
    listed: list[tuple[int, ObjectMeta]],
    rand: Rand,
    prove: Callable[[], None],
) -> tuple[int, list[tuple[int, ObjectMeta]]]:
    """Take the first free number above `after`; return it and the files between.

    `prove` raises when somebody else claimed after us. It is asked after each new listing: one that
    shows a later writer's fence comes after his claim, so we never fence him in his turn.
    """
    write_id = rand.bytes(16).hex()
    listed = [each for each in listed if each[0] > after]
    for _ in range(_TRIES_MAX):
        number = _end(after, listed)
        try:
            wal.put_fence(number, write_id)
            return number, listed
        except AlreadyExistsError:
            pass
        except UnavailableError as error:
            if not error.effect_unknown:
                raise
        if _is_our_fence(wal, number, write_id):
            return number, listed
        listed += [each for each in wal.listed(number - 1) if each[0] >= number]
        prove()
    raise UnavailableError(
        f"another writer made {_TRIES_MAX} log files while this one opened", kind="contended"
    )


def _end(after: int, listed: list[tuple[int, ObjectMeta]]) -> int:
    """Return the number after the last file. Raises DataError when one is missing before it."""
    for place, (number, _) in enumerate(listed, after + 1):
        if number != place:
            raise DataError(
                f"log file {place} is missing, and later ones are there", kind="wal_gap"
            )
    return after + len(listed) + 1


def _is_our_fence(wal: WalFiles, number: int, write_id: str) -> bool:
    """Tell whether the file that stands at `number` is the fence we put.

    A store that keeps no ids cannot tell: then it is taken for another's, and we fence once more.
    """
    try:
        return wal.is_ours(number, FENCE, write_id) is True
    except NotFoundError:
        return False


def _prove(wal: WalFiles, fence: int, rand: Rand) -> None:
    try:
        wal.put_fence(fence, rand.bytes(16).hex())
    except AlreadyExistsError:
        return
    raise UnsupportedError(
        "the log's store replaced an object by a put that must not replace",
        kind="no_conditional_put",
        hint="name a table for it: ?conditional_put=dynamo:TABLE",
    )
