"""The manifests of a database, and its compactions files: numbered, made once, latest counts.

Owns: finding the latest, changing it by compare-and-swap, epochs that fence, the boundary check.
Does not own: the bytes (`format`), the edits (`manifest.state`, `cenote.lsm.compact`), which old
numbers go (`cenote.lsm.gc`).

Invariants:
1. An edit is made on the latest version or not at all; it may be called more than once, and it may
   meet its own result (when the reply to the write that made it was lost), so it must see for
   itself whether it is done.
2. A number that a collector has been past is never taken for made, whatever the store said.
3. Who was fenced gets ClosedError(reason="fenced") and has changed nothing.
4. `known` only moves forward, and watchers see the versions in the order of their numbers.

Why a listing finds the latest, and not a look at the next number: when N + 1 is absent, it may
have been made and collected long ago, and a reader that went by that would stand still for ever.
One listing after N is one request and certain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Generic, TypeVar

from cenote.base import Rand
from cenote.errors import (
    ClosedError,
    ConflictError,
    DataError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from cenote.lsm.format import (
    Compactions,
    FileKind,
    Manifest,
    decode_compactions,
    decode_manifest,
    encode_compactions,
    encode_manifest,
)
from cenote.lsm.manifest.boundary import Boundary
from cenote.objstore import Codec, ObjectStore, Version, Versioned

__all__ = ["CompactionsStore", "ManifestStore", "NumberedStore", "claim_writer"]

T = TypeVar("T")

_TRIES_MAX: Final = 100


class _ManifestCodec:
    def encode(self, value: Manifest) -> bytes:
        return encode_manifest(value)

    def decode(self, data: bytes) -> Manifest:
        return decode_manifest(data)


class _CompactionsCodec:
    def encode(self, value: Compactions) -> bytes:
        return encode_compactions(value)

    def decode(self, data: bytes) -> Compactions:
        return decode_compactions(data)


class NumberedStore(Generic[T]):
    """Versions of one value, the latest of which counts. Thread-safe.

    Changes from one process are made one after the other, so that they do not conflict.
    """

    def __init__(
        self, store: ObjectStore, root: str, kind: FileKind, codec: Codec[T], rand: Rand
    ) -> None:
        folder = f"{root}/{kind.value}" if root else kind.value
        self._versions = Versioned(store, folder, codec, suffix=f".{kind.value}", rand=rand)
        self._lock = threading.RLock()
        self._known: Version[T] | None = None
        self._watchers: list[Callable[[Version[T]], None]] = []
        self.boundary = Boundary(store, root, kind, rand)

    @property
    def known(self) -> Version[T] | None:
        """The latest version that was read or made here; None before any was."""
        return self._known

    def watch(self, watcher: Callable[[Version[T]], None]) -> None:
        """Have `watcher` called with each later version that is read or made here.

        It runs in the thread that found the version, before that thread goes on, and must not
        call this store.
        """
        with self._lock:
            self._watchers.append(watcher)

    def path(self, number: int) -> str:
        """Return where version `number` is."""
        return self._versions.path(number)

    def numbers(self, after: int = 0) -> list[int]:
        """Return the numbers above `after`, in order. Cost: a listing."""
        return self._versions.numbers(after)

    def read(self, number: int) -> T:
        """Return the value of a version. Raises NotFoundError, DataError."""
        return self._versions.read(number).value

    def load(self) -> Version[T] | None:
        """Return the latest version, None when there is none. Cost: a listing, and a read if new.

        Raises DataError, UnavailableError.
        """
        with self._lock:
            latest = self._versions.latest(self._known)
            if latest is not None:
                self._learn(latest)
            return self._known

    def _absent(self) -> NotFoundError:
        return NotFoundError(
            f"there is no database: nothing is at {self.path(1)}", kind="no_database"
        )

    def refresh(self) -> Version[T]:
        """Return the latest version. Cost as `load`. Raises NotFoundError when there is none."""
        latest = self.load()
        if latest is None:
            raise self._absent()
        return latest

    def update(
        self, edit: Callable[[Version[T] | None], T | None], *, absent: bool = False
    ) -> Version[T]:
        """Make the next version by an edit of the latest.

        `edit` returns the next value, or None to leave it as it is. It begins with what is known
        here, without a request; with `absent`, that is that there is none yet. Returns the version
        made, or the latest.
        Raises what `edit` raises; UnavailableError, whose `effect_unknown` tells that the change
        may have been made; NotFoundError when there is none and `edit` makes none.
        """
        with self._lock:
            current = self._known
            if current is None and not absent:
                current = self.load()
            for _ in range(_TRIES_MAX):
                value = edit(current)
                if value is None:
                    if current is None:
                        raise self._absent()
                    return current
                number = 1 if current is None else current.number + 1
                try:
                    made = self._versions.create(number, value)
                except ConflictError as error:
                    if error.kind != "version_taken":
                        raise
                    current = self.load()
                    continue
                if self._reused(number):
                    current = self.load()
                    continue
                self._learn(made)
                return made
            raise ConflictError(f"others were first {_TRIES_MAX} times", kind="contended")

    def prove(self) -> None:
        """Find out whether the store refuses to make what is there, by the latest version known.

        Its own bytes are put once more, so that a store that does not refuse does no harm.
        Raises UnsupportedError when it took them: compare-and-swap is not safe there. Requires: a
        version is known. Cost: one request, and no object that was not there.
        """
        with self._lock:
            known = self._known
            if known is None:
                raise self._absent()
            try:
                self._versions.create(known.number, known.value)
            except ConflictError:
                return
        raise UnsupportedError(
            f"{self.path(known.number)} was replaced by a put that must not replace",
            kind="no_conditional_put",
            hint="name a table for it: ?conditional_put=dynamo:TABLE",
        )

    def _reused(self, number: int) -> bool:
        """Tell whether `number`, which was just made, had been there before and was collected."""
        try:
            return self.boundary.read() >= number
        except UnavailableError as error:
            raise UnavailableError(
                f"version {number} was made, and whether it counts could not be found out",
                kind=error.kind,
                effect_unknown=True,
            ) from error

    def _learn(self, version: Version[T]) -> None:
        known = self._known
        if known is not None and version.number < known.number:
            raise DataError(
                f"version {known.number} was the latest, and is gone", kind="missing_version"
            )
        self._known = version
        if known is None or version.number > known.number:
            for watcher in self._watchers:
                watcher(version)


class ManifestStore(NumberedStore[Manifest]):
    """The manifests of the database at `root`."""

    def __init__(self, store: ObjectStore, root: str, *, rand: Rand) -> None:
        super().__init__(store, root, FileKind.MANIFEST, _ManifestCodec(), rand)

    def edit(
        self,
        edit: Callable[[Manifest, int], Manifest | None],
        *,
        writer_epoch: int | None = None,
        compactor_epoch: int | None = None,
    ) -> Version[Manifest]:
        """Change the manifest as `update`, while nobody claimed a later epoch than those given.

        `edit` gets the latest manifest and the number the next one would have.
        Raises ClosedError(reason="fenced"); NotFoundError when there is no database.
        """

        def guarded(current: Version[Manifest] | None) -> Manifest | None:
            if current is None:
                raise NotFoundError(f"there is no database at {self.path(1)}", kind="no_database")
            check_epochs(current.value, writer_epoch, compactor_epoch)
            return edit(current.value, current.number + 1)

        return self.update(guarded)


class CompactionsStore(NumberedStore[Compactions]):
    """The compactions files of the database at `root`."""

    def __init__(self, store: ObjectStore, root: str, *, rand: Rand) -> None:
        super().__init__(store, root, FileKind.COMPACTIONS, _CompactionsCodec(), rand)


def check_epochs(
    manifest: Manifest, writer_epoch: int | None = None, compactor_epoch: int | None = None
) -> None:
    """Raise ClosedError(reason="fenced") when a later epoch was claimed than one given.

    Raises DataError when an earlier one is stored, which no writer does.
    """
    for name, ours, stored in (
        ("writer", writer_epoch, manifest.writer_epoch),
        ("compactor", compactor_epoch, manifest.compactor_epoch),
    ):
        if ours is None or ours == stored:
            continue
        if stored > ours:
            raise ClosedError(
                f"another {name} claimed epoch {stored}; this one's is {ours}",
                reason="fenced",
                epoch=stored,
            )
        raise DataError(f"the {name}'s epoch fell from {ours} to {stored}", kind="epoch")


def claim_writer(
    manifests: ManifestStore,
    *,
    compactor: bool,
    first: Callable[[], Manifest],
    absent: bool = False,
    wal_apart: bool = False,
) -> Version[Manifest]:
    """Take the writer's next epoch, and with `compactor` the compactor's, in one change.

    `first` makes the manifest where there is none; `absent` tells that there was none a moment ago,
    and saves to look. `wal_apart`: the log's own store is at hand, so that a manifest of version 1
    that tells where it is need not any more. Every earlier writer is fenced from its next manifest
    on; its log must be fenced too. Raises UnavailableError(kind="not_initialized") for a clone that
    is still being made, UnsupportedError for a manifest that must not be written.
    """

    def edit(current: Version[Manifest] | None) -> Manifest:
        manifest = first() if current is None else current.value
        if not manifest.initialized:
            raise UnavailableError(
                "the database is a clone that is not finished",
                kind="not_initialized",
                hint="finish it by repeating the clone",
            )
        return replace(
            manifest,
            writer_epoch=manifest.writer_epoch + 1,
            compactor_epoch=manifest.compactor_epoch + (1 if compactor else 0),
            wal_store_uri=None if wal_apart else manifest.wal_store_uri,
        )

    return manifests.update(edit, absent=absent)
