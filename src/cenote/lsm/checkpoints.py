"""Checkpoints: manifests that are kept, with all they need, for somebody who reads them.

Owns: making, refreshing, dropping and finding checkpoints from outside of a writer.
Does not own: the edits of a manifest (`manifest.state`), the flush a writer does before its own.

A checkpoint made here holds all that is durable, the log included: the manifest that introduces it
names the last log file there is (`wal_id_last_seen`), so that collectors keep the log up to there,
readers replay it, and clones copy it. A writer at work is not disturbed: its own marks only grow.

Invariants:
1. A checkpoint of the latest state names the manifest that introduces it; one of another checkpoint
   names that one's manifest, and only while it is there.
2. An edit that finds its checkpoint made does not make it again (its reply was lost).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cenote.base import Clock, Rand
from cenote.errors import ConflictError, InvalidError, NotFoundError
from cenote.lsm.format import Checkpoint, Manifest, mint_uuid
from cenote.lsm.guard import Guard
from cenote.lsm.manifest.state import add_checkpoint, drop_checkpoints, refresh_checkpoint
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.wal.files import WalFiles

__all__ = ["Checkpoints", "checkpoint_edit", "expiry_s", "find_checkpoint", "log_end"]

_SECOND_MAX: Final = 2**32 - 1


def expiry_s(now_ms: int, lifetime_ms: int | None) -> int | None:
    """Return when a checkpoint made now expires, in seconds; None is never.

    Raises InvalidError(kind="invalid_lifetime").
    """
    if lifetime_ms is None:
        return None
    if lifetime_ms <= 0:
        raise InvalidError("a checkpoint lives for a positive time", kind="invalid_lifetime")
    return min(-(-(now_ms + lifetime_ms) // 1000), _SECOND_MAX)


def find_checkpoint(manifest: Manifest, checkpoint: str) -> Checkpoint:
    """Return a checkpoint by its id, or by its name where one alone has it.

    Raises NotFoundError(kind="no_such_checkpoint"), ConflictError(kind="ambiguous_checkpoint").
    """
    named = [each for each in manifest.checkpoints if each.name == checkpoint]
    for each in manifest.checkpoints:
        if each.id == checkpoint.lower():
            return each
    if not named:
        raise NotFoundError(
            f"there is no checkpoint {checkpoint}", kind="no_such_checkpoint", id=checkpoint
        )
    if len(named) > 1:
        raise ConflictError(
            f"{len(named)} checkpoints are named {checkpoint!r}: name one by its id",
            kind="ambiguous_checkpoint",
        )
    return named[0]


def checkpoint_edit(
    made: Checkpoint, *, source: str | None = None, wal_end: int = 0
) -> Callable[[Manifest, int], Manifest | None]:
    """Return the edit, for `ManifestStore.edit`, that adds a checkpoint.

    Its manifest is that of the checkpoint `source`, or the one the edit makes, which then names
    log files up to `wal_end`.
    """

    def edit(manifest: Manifest, number: int) -> Manifest | None:
        if any(each.id == made.id for each in manifest.checkpoints):
            return None
        if source is not None:
            number = find_checkpoint(manifest, source).manifest_id
        elif not manifest.initialized:
            raise InvalidError("the database is a clone that is not finished", kind="no_database")
        else:
            seen = max(manifest.wal_id_last_seen, wal_end)
            manifest = replace(manifest, wal_id_last_seen=seen)
        return add_checkpoint(manifest, replace(made, manifest_id=number))

    return edit


def log_end(wal: WalFiles, after: int) -> int:
    """Return the number of the last log file above `after` before which none is missing."""
    for number in wal.numbers(after):
        if number != after + 1:
            break
        after = number
    return after


class Checkpoints:
    """The checkpoints of the database at `place`. Thread-safe."""

    def __init__(
        self, place: Place, *, clock: Clock, rand: Rand, manifests: ManifestStore | None = None
    ) -> None:
        self._place = place
        self._clock = clock
        self._rand = rand
        self._manifests = manifests or ManifestStore(place.store, place.root, rand=rand)

    def listed(self) -> tuple[Checkpoint, ...]:
        """Return all checkpoints, the expired ones too until a collector drops them."""
        return self._manifests.refresh().value.checkpoints

    def create(
        self,
        name: str | None = None,
        *,
        lifetime_ms: int | None = None,
        source: str | None = None,
    ) -> Checkpoint:
        """Keep all that is durable now, or what the checkpoint `source` keeps.

        Without `lifetime_ms` it is kept until it is deleted. Atomic: one new manifest.
        Raises NotFoundError(kind "no_database", "no_such_checkpoint"), InvalidError,
        UnavailableError.
        """
        now_ms = self._clock.now_ms()
        made = Checkpoint(
            id=mint_uuid(self._rand),
            manifest_id=0,
            create_time_s=now_ms // 1000,
            expire_time_s=expiry_s(now_ms, lifetime_ms),
            name=name,
        )
        latest = self._manifests.refresh()
        end = 0
        if source is None:
            Guard(self._place, self._rand).check(latest.value, None)
            wal = WalFiles(self._place.wal_store, self._place.root)
            end = log_end(wal, latest.value.replay_after_wal_id)
        version = self._manifests.edit(checkpoint_edit(made, source=source, wal_end=end))
        return find_checkpoint(version.value, made.id)

    def refresh(self, checkpoint: str, lifetime_ms: int | None) -> Checkpoint:
        """Let a checkpoint (an id or a name) live for so long from now, None: for ever.

        Raises NotFoundError(kind="no_such_checkpoint").
        """
        expires = expiry_s(self._clock.now_ms(), lifetime_ms)

        def edit(manifest: Manifest, _: int) -> Manifest | None:
            found = find_checkpoint(manifest, checkpoint)
            if found.expire_time_s == expires:
                return None
            return refresh_checkpoint(manifest, found.id, expires)

        self._manifests.refresh()
        return find_checkpoint(self._manifests.edit(edit).value, checkpoint)

    def delete(self, checkpoint: str) -> None:
        """Drop a checkpoint (an id or a name). What it kept goes with the next collection.

        Raises NotFoundError(kind="no_such_checkpoint").
        """
        found = find_checkpoint(self._manifests.refresh().value, checkpoint)

        def edit(manifest: Manifest, _: int) -> Manifest | None:
            if all(each.id != found.id for each in manifest.checkpoints):
                return None
            return drop_checkpoints(manifest, [found.id])

        self._manifests.edit(edit)
