"""The boundary of numbered files: below it, garbage collection may have been.

Owns: reading the boundary, raising it.
Does not own: which files go (`cenote.lsm.gc`).

A collector raises the boundary to the highest number it is going to delete, and deletes then. Who
makes number N, and finds the boundary at N or above, has made a number that was there before and
is gone: it counts for nothing, and its maker begins again from the latest.

Layout: the number in ASCII digits, in `gc/KIND.boundary`; no such object is 0.

Invariants:
1. The boundary never falls.
"""

from __future__ import annotations

from cenote.base import Rand
from cenote.errors import AlreadyExistsError, NotFoundError, PreconditionError, UnavailableError
from cenote.lsm.format import FileKind, boundary_name, decode_boundary, encode_boundary
from cenote.objstore import ObjectStore

__all__ = ["Boundary"]

_TRIES_MAX = 100


class Boundary:
    """The boundary of the manifests or the compactions files of a database. Thread-safe."""

    def __init__(self, store: ObjectStore, root: str, kind: FileKind, rand: Rand) -> None:
        self._store = store
        self._rand = rand
        self._path = f"{root}/{boundary_name(kind)}" if root else boundary_name(kind)

    def read(self) -> int:
        """Return the boundary, 0 when there is none. Raises DataError. Cost: one request."""
        try:
            return decode_boundary(self._store.get(self._path).data)
        except NotFoundError:
            return 0

    def advance(self, number: int) -> int:
        """See that the boundary is at `number` or above, and return it.

        Raises DataError, UnavailableError. Repeating it does no harm.
        """
        for _ in range(_TRIES_MAX):
            write_id = self._rand.bytes(16).hex()
            try:
                found = self._store.get(self._path)
            except NotFoundError:
                found = None
            current = 0 if found is None else decode_boundary(found.data)
            if current >= number:
                return current
            data = encode_boundary(number)
            try:
                if found is None:
                    self._store.put_if_absent(self._path, data, write_id=write_id)
                else:
                    self._store.put_if_match(self._path, data, found.meta.etag, write_id=write_id)
            except (AlreadyExistsError, PreconditionError):
                continue  # another collector, or our own write whose reply was lost: look
            return number
        raise UnavailableError(f"others changed {self._path} {_TRIES_MAX} times", kind="contended")
