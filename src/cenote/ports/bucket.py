"""The bucket port: one open bucket, and the directory it is found in."""

from __future__ import annotations

from typing import Protocol

from cenote.ports.bodies import Bodies
from cenote.ports.index import Change, Index
from cenote.ports.records import BucketRecord

__all__ = ["Bucket", "Buckets"]


class Bucket(Protocol):
    """An open bucket. Whoever opened it closes it."""

    @property
    def name(self) -> str: ...

    @property
    def index(self) -> Index: ...

    @property
    def bodies(self) -> Bodies: ...


class Buckets(Protocol):
    """A directory of buckets. Thread-safe."""

    def names(self) -> list[str]:
        """Return the names of all buckets, sorted."""
        ...

    def open(self, name: str) -> Bucket:
        """Return the open bucket. Raises NotFoundError(kind="no_such_bucket")."""
        ...

    def create(self, record: BucketRecord) -> Bucket:
        """Make a bucket and return it open.

        Atomic: it exists whole, or not at all. Durable when it returns.
        Raises InvalidError(kind="invalid_bucket_name"), AlreadyExistsError(kind="bucket_exists").
        """
        ...

    def delete(self, name: str, decide: Change[None]) -> None:
        """Remove a bucket and all its files, if `decide` lets it go by calling `close_bucket`.

        Durable when it returns: nobody finds the bucket any more, in whatever process.
        Raises NotFoundError(kind="no_such_bucket"), and what `decide` raises.
        """
        ...

    def close(self) -> None:
        """Finish what is under way and close every bucket. Harmless when repeated."""
        ...
