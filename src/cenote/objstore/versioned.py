"""Numbered versions of one value: compare-and-swap where a store only knows "if absent".

Owns: the next number, who gets it, epochs that fence, recognising one's own version after its
reply was lost.
Does not own: what the value is (a codec is given), or when old versions go.

Version N of the value is the object `FOLDER/%020dSUFFIX`. To change it is to make version N + 1, if
nobody has; so of any number of writers that read version N, one makes N + 1, and the others refresh
and decide again.

Invariants:
1. A version never changes once it is made.
2. Who acknowledges a version has made it: a refusal is a conflict only when the object there is
   surely another's. Each write carries an id for that; where a store keeps none, the bytes.
3. A fence's epoch only grows. A writer that meets a greater one than its own never writes again.

Requires of whoever deletes versions: never the latest, and none so young that a writer may still
hold it for the latest: such a writer would make a version anew in the past.

Why not replace one object by `put_if_match`: some stores have no such put, the local file system
needs a lock for it, and readers of old versions (snapshots, clones) need them to stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from cenote.base import Rand, SystemRand
from cenote.errors import (
    AlreadyExistsError,
    ClosedError,
    ConflictError,
    DataError,
    NotFoundError,
    UnavailableError,
)
from cenote.objstore.api import ObjectStore
from cenote.objstore.path import check_path
from cenote.objstore.retry import new_write_id

__all__ = ["Codec", "Fence", "Version", "Versioned"]

T = TypeVar("T")

DIGITS: Final = 20
EDITS_MAX: Final = 100


class Codec(Protocol[T]):
    """How a value becomes bytes and back. `decode` raises DataError."""

    def encode(self, value: T) -> bytes: ...

    def decode(self, data: bytes) -> T: ...


@dataclass(frozen=True, slots=True)
class Version(Generic[T]):
    """A version of the value."""

    number: int
    value: T


class Versioned(Generic[T]):
    """The versions in `folder` of `store`, whose objects' names end in `suffix`. Thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        folder: str,
        codec: Codec[T],
        *,
        suffix: str,
        rand: Rand | None = None,
    ) -> None:
        self._store = store
        self._folder = check_path(folder)
        self._codec = codec
        self._suffix = suffix
        self._rand = rand or SystemRand()

    def path(self, number: int) -> str:
        """Return where version `number` is."""
        return f"{self._folder}/{number:0{DIGITS}d}{self._suffix}"

    def numbers(self, after: int = 0) -> list[int]:
        """Return the numbers above `after`, in order. Cost: a listing."""
        start = self.path(after) if after else ""
        found = []
        for meta in self._store.list(self._folder, start_after=start):
            name = meta.path[len(self._folder) + 1 :]
            digits = name.removesuffix(self._suffix)
            if len(digits) == DIGITS and digits.isascii() and digits.isdigit():
                found.append(int(digits))
        return found

    def read(self, number: int) -> Version[T]:
        """Return a version. Raises NotFoundError, DataError."""
        path = self.path(number)
        return Version(number, self._codec.decode(self._store.get(path).data))

    def latest(self, known: Version[T] | None = None) -> Version[T] | None:
        """Return the latest version, or None if there is none.

        `known` is one that was read before: only what came after it is listed, and it is not read
        again. Cost: a listing, and a read if there is a later one.
        """
        after = 0 if known is None else known.number
        for _ in range(EDITS_MAX):
            numbers = self.numbers(after)
            if not numbers:
                return known
            try:
                return self.read(numbers[-1])
            except NotFoundError:
                continue  # it was old when it was listed, and has gone since
        raise UnavailableError(f"versions in {self._folder} go faster than they can be read")

    def create(self, number: int, value: T) -> Version[T]:
        """Make version `number`.

        Requires: number - 1 is the latest version the caller knows of (0: there is none).
        Raises ConflictError(kind="version_taken") if somebody else made it; UnavailableError,
        which says with `effect_unknown` that nobody can tell.
        """
        path = self.path(number)
        data = self._codec.encode(value)
        write_id = new_write_id(self._rand)
        try:
            self._store.put_if_absent(path, data, write_id=write_id)
        except AlreadyExistsError as error:
            raise _taken(number) from error
        except UnavailableError as error:
            if not error.effect_unknown or not self._is_ours(path, data, write_id, error):
                raise
        return Version(number, value)

    def _is_ours(self, path: str, data: bytes, write_id: str, error: UnavailableError) -> bool:
        """After a lost reply: whether our write made the object. False: it is not known."""
        try:
            meta = self._store.head(path)
            if meta.write_id is not None:
                if meta.write_id == write_id:
                    return True
            elif meta.size == len(data) and self._store.get(path).data == data:
                return False
        except (NotFoundError, UnavailableError):
            return False
        raise ConflictError(
            f"{path} was made by somebody else", kind="version_taken", path=path
        ) from error

    def update(
        self, edit: Callable[[Version[T] | None], T | None], known: Version[T] | None = None
    ) -> Version[T] | None:
        """Refresh, edit, create; again while others are first. Return the version made.

        `edit` gets the latest version (None: there is none) and returns the next value, or None to
        leave it; then the latest is returned. It may be called more than once. It begins with
        `known` without a listing, if given.
        Raises what `edit` raises; ConflictError after `EDITS_MAX` defeats; UnavailableError.
        """
        current = self.latest() if known is None else known
        for _ in range(EDITS_MAX):
            value = edit(current)
            if value is None:
                return current
            try:
                return self.create(1 if current is None else current.number + 1, value)
            except ConflictError as error:
                if error.kind != "version_taken":
                    raise
                current = self.latest(current)
        raise ConflictError(f"others changed {self._folder} {EDITS_MAX} times", kind="contended")


class Fence(Generic[T]):
    """A writer of versions that shuts out the ones before it, by an epoch in the value.

    Not thread-safe.
    """

    def __init__(
        self,
        versions: Versioned[T],
        *,
        epoch_of: Callable[[T], int],
        with_epoch: Callable[[T, int], T],
    ) -> None:
        """Use `versions`; call `claim` before anything else."""
        self._versions = versions
        self._epoch_of = epoch_of
        self._with_epoch = with_epoch
        self._latest: Version[T] | None = None
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch that was claimed."""
        return self._epoch

    @property
    def latest(self) -> Version[T]:
        """The latest version this writer knows. Raises ClosedError before `claim`."""
        if self._latest is None:
            raise ClosedError("no epoch was claimed")
        return self._latest

    def claim(self, first: Callable[[], T]) -> Version[T]:
        """Take the next epoch; every earlier claimant is fenced from now on.

        `first` makes the value (its epoch is replaced) where there is no version yet.
        """
        epoch = 0

        def edit(current: Version[T] | None) -> T:
            nonlocal epoch
            value = first() if current is None else current.value
            epoch = 1 if current is None else self._epoch_of(value) + 1
            return self._with_epoch(value, epoch)

        made = self._versions.update(edit)
        if made is None:
            raise DataError("a claim made no version")
        self._latest, self._epoch = made, epoch
        return made

    def refresh(self) -> Version[T]:
        """Read the latest version. Raises ClosedError(reason="fenced") after a later claim."""
        latest = self._versions.latest(self.latest) or self.latest
        self._check(latest)
        self._latest = latest
        return latest

    def update(self, edit: Callable[[T], T | None]) -> Version[T]:
        """Change the value; `edit` gets the latest and returns the next, or None to leave it.

        Raises ClosedError(reason="fenced"), after which nothing was or will be written by this
        call; what `edit` raises; UnavailableError.
        """

        def guarded(current: Version[T] | None) -> T | None:
            if current is None:
                raise DataError("all versions are gone", kind="missing_version")
            self._check(current)
            self._latest = current
            value = edit(current.value)
            if value is not None and self._epoch_of(value) != self._epoch:
                raise DataError("an edit changed the epoch", kind="epoch")
            return value

        made = self._versions.update(guarded, self.latest)
        if made is None:
            raise DataError("all versions are gone", kind="missing_version")
        self._latest = made
        return made

    def _check(self, version: Version[T]) -> None:
        stored = self._epoch_of(version.value)
        if stored > self._epoch:
            raise ClosedError(
                f"another writer claimed epoch {stored}; this one's is {self._epoch}",
                reason="fenced",
                epoch=stored,
            )
        if stored < self._epoch:
            raise DataError(
                f"version {version.number} has epoch {stored}, below the claimed {self._epoch}",
                kind="epoch",
            )


def _taken(number: int) -> ConflictError:
    return ConflictError(f"version {number} was made by somebody else", kind="version_taken")
