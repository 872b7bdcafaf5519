"""The contract of an object store: what every store here does, and what it promises.

Owns: `ObjectStore`, its values and its errors.
Does not own: any store.

Objects are whole and immutable: a write replaces an object or makes one, and nobody sees half of
it. A store is thread-safe; its calls block, but for the fetches that have an `_async` twin.

Errors, the same in every store:
- NotFoundError(kind "no_such_key"): there is no object at the path.
- AlreadyExistsError(kind "already_exists"): `put_if_absent` met an object.
- PreconditionError(kind "precondition_failed"): `put_if_match` met another object, or none.
- InvalidError(kind "invalid_path", "invalid_range", "path_conflict"): change the call.
  "path_conflict" is of stores that are folders: an object stands where a folder must, or the
  reverse.
- UnavailableError: try later. With `effect_unknown` a write may have happened, or may yet; without
  it nothing happened and nothing will. Kinds "disk_full", "io", "timeout", "truncated", "conflict"
  among others; ThrottledError when the store asked to slow down.
- UnsupportedError: the store does not do this; nothing was changed.
- DeniedError, ClosedError.

Invariants:
1. Writes are atomic and durable when they return; whoever reads or lists afterwards, sees them.
2. Of any number of `put_if_absent` on a path with no object, or of `put_if_match` with one ETag,
   exactly one succeeds. (Deleting a path begins its history anew.)
3. An ETag is compared for equality only. It changes when the bytes change.
4. There are no default implementations that call other methods but `list`, so that a wrapper that
   forgets a method does not compile instead of going round itself.

Why `write_id`: the reply to a conditional put can be lost after it succeeded, and then its repeat
is refused as if somebody else had been first. A store keeps the id with the object, so that the
writer can recognise its own work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from cenote.errors import AlreadyExistsError, InvalidError, NotFoundError, PreconditionError

__all__ = [
    "PAGE_SIZE",
    "Data",
    "Fetched",
    "Folder",
    "MultipartWriter",
    "ObjectMeta",
    "ObjectStore",
    "Page",
    "already_exists",
    "check_range",
    "no_such_key",
    "not_the_same",
    "out_of_range",
]

PAGE_SIZE: Final = 1000

Data = bytes | bytearray | memoryview


class ObjectMeta(Struct, frozen=True):
    """An object without its bytes.

    `size` in bytes; `modified_ms` since the Unix epoch, to the precision the store has. `version`
    is the store's own name of this write, where it has one. `write_id` is what the writer gave;
    listings, and stores that cannot keep it, have None. Listings of `gs://` have no `etag` ("").
    """

    path: str
    size: int
    etag: str
    modified_ms: int
    version: str | None = None
    write_id: str | None = None


class Fetched(Struct, frozen=True):
    """Bytes of an object, and the object they are of (`meta.size` is the whole object's)."""

    meta: ObjectMeta
    data: bytes


class Page(Struct, frozen=True):
    """A piece of a listing. `next` is the `start_after` of the next one; None at the end."""

    objects: Sequence[ObjectMeta]
    next: str | None


class Folder(Struct, frozen=True):
    """One level of a listing: the objects in it, and the paths of the folders, both sorted."""

    objects: Sequence[ObjectMeta]
    folders: Sequence[str]


class MultipartWriter(ABC):
    """Takes an object in pieces. Not thread-safe. A context manager that aborts unless finished."""

    @abstractmethod
    def write(self, data: Data) -> None:
        """Append bytes. May block until earlier ones are sent."""

    @abstractmethod
    def finish(self) -> ObjectMeta:
        """Make the object, replacing any other at the path. Atomic."""

    @abstractmethod
    def abort(self) -> None:
        """Give up: no object is made. Harmless after `finish`, and when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


class ObjectStore(ABC):
    """A place for objects. Thread-safe. A context manager that closes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call the store in a message: its URI without secrets."""

    # Writing.

    @abstractmethod
    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        """Make the object at `path`, or replace it."""

    @abstractmethod
    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        """Make the object at `path`. Raises AlreadyExistsError if there is one."""

    @abstractmethod
    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        """Replace the object at `path` if its ETag is `etag`. Raises PreconditionError if not."""

    @abstractmethod
    def copy(self, source: str, target: str) -> ObjectMeta:
        """Make `target` the same bytes as `source`. Raises NotFoundError for the source."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """See that there is no object at `path`. There need not have been one."""

    @abstractmethod
    def delete_many(self, paths: Sequence[str]) -> None:
        """Delete many. Not atomic: when it raises, some may be gone."""

    @abstractmethod
    def multipart(self, path: str) -> MultipartWriter:
        """Begin an object that comes in pieces, of any size. Nothing is seen before `finish`."""

    # Reading.

    @abstractmethod
    def get(self, path: str) -> Fetched:
        """Fetch the object. Raises NotFoundError. Memory: its size."""

    @abstractmethod
    def get_range(self, path: str, start: int, end: int) -> bytes:
        """Fetch exactly the bytes start <= i < end.

        Requires: 0 <= start < end <= the size. Raises InvalidError(kind="invalid_range"),
        NotFoundError.
        """

    @abstractmethod
    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Fetch many ranges, each as `get_range` does. Remote stores join near ones."""

    @abstractmethod
    def get_tail(self, path: str, size: int) -> Fetched:
        """Fetch the last `size` bytes, or all if there are fewer: one request, size unknown.

        Requires: size > 0.
        """

    @abstractmethod
    async def get_async(self, path: str) -> Fetched:
        """As `get`, without blocking the event loop on a network."""

    @abstractmethod
    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        """As `get_range`, without blocking the event loop on a network."""

    @abstractmethod
    async def get_ranges_async(
        self, path: str, ranges: Sequence[tuple[int, int]]
    ) -> Sequence[bytes]:
        """As `get_ranges`, without blocking the event loop on a network."""

    @abstractmethod
    async def get_tail_async(self, path: str, size: int) -> Fetched:
        """As `get_tail`, without blocking the event loop on a network."""

    @abstractmethod
    def head(self, path: str) -> ObjectMeta:
        """Return the object's meta. Raises NotFoundError."""

    # Listing.

    @abstractmethod
    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        """Return up to `limit` of the objects below the folder `prefix`, in order of their paths.

        `prefix` "a" lists "a/b", neither "a" nor "ab". Only paths above `start_after` (a whole
        path) are listed. What other programs stored under names that are no paths is left out.
        """

    @abstractmethod
    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level: the objects right in the folder `prefix`, and the folders there."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectMeta]:
        """Yield the objects below the folder `prefix`, in order, a page at a time.

        What is written or deleted meanwhile may be seen or not; all else is, once.
        """
        position: str | None = start_after
        while position is not None:
            page = self.list_page(prefix, start_after=position)
            yield from page.objects
            position = page.next

    # The end.

    @abstractmethod
    def close(self) -> None:
        """Give up descriptors and locks. Harmless when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_range(path: str, start: int, end: int, size: int | None = None) -> None:
    """Refuse a range that is empty, turned round, or (when `size` is known) beyond the end.

    Raises InvalidError(kind="invalid_range").
    """
    if not 0 <= start < end:
        raise InvalidError(
            f"the range {start}:{end} holds no bytes", kind="invalid_range", path=path
        )
    if size is not None and end > size:
        raise out_of_range(path, start, end, size)


def out_of_range(path: str, start: int, end: int, size: int) -> InvalidError:
    """Make the error of a range beyond the object's end."""
    return InvalidError(
        f"the range {start}:{end} of {path} reaches beyond its {size} bytes",
        kind="invalid_range",
        path=path,
        size=size,
    )


def no_such_key(path: str) -> NotFoundError:
    """Make the error of an absent object."""
    return NotFoundError(f"there is no object {path}", kind="no_such_key", path=path)


def already_exists(path: str) -> AlreadyExistsError:
    """Make the error of `put_if_absent` on a path that has an object."""
    return AlreadyExistsError(f"there is an object {path} already", path=path)


def not_the_same(path: str, etag: str) -> PreconditionError:
    """Make the error of `put_if_match` on a path whose object is another, or absent."""
    return PreconditionError(f"the object {path} is not {etag} any more", path=path, etag=etag)
