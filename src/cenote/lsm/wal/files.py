"""The files of a log, by number.

Owns: their names, reading and making one.
Does not own: their layout (`format.wal`), which number is next, what a file that is there means.

Invariants:
1. A file is made once and never changed: whoever meets AlreadyExistsError lost its number.
"""

from __future__ import annotations

from typing import Final

from cenote.lsm.entry import Row
from cenote.lsm.format import FENCE, FileKind, decode_wal, parse_name, wal_name
from cenote.objstore import ObjectMeta, ObjectStore

__all__ = ["WalFiles"]

_FOLDER: Final = "wal"


class WalFiles:
    """The log files of the database at `root` in `store`. Thread-safe."""

    def __init__(self, store: ObjectStore, root: str) -> None:
        self.store = store
        self._base = f"{root}/" if root else ""

    def path(self, number: int) -> str:
        """Return where file `number` is."""
        return self._base + wal_name(number)

    def listed(self, after: int = 0) -> list[tuple[int, ObjectMeta]]:
        """Return the files above number `after`, in order. Cost: a listing."""
        start = self.path(after) if after else ""
        found = []
        for meta in self.store.list(self._base + _FOLDER, start_after=start):
            name = parse_name(meta.path[len(self._base) :])
            if name is not None and name.kind is FileKind.WAL and isinstance(name.id, int):
                found.append((name.id, meta))
        return found

    def numbers(self, after: int = 0) -> list[int]:
        """Return the numbers above `after`, in order. Cost: a listing."""
        return [number for number, _ in self.listed(after)]

    def read(self, number: int) -> list[Row]:
        """Return the rows of a file, none for a fence. Raises NotFoundError, DataError."""
        return decode_wal(self.store.get(self.path(number)).data)

    def put(self, number: int, data: bytes, write_id: str) -> ObjectMeta:
        """Make file `number`.

        Raises AlreadyExistsError when there is one, whoever made it; UnavailableError, with
        `effect_unknown` when it may have been made: then ask `is_ours`, or repeat and ask.
        """
        return self.store.put_if_absent(self.path(number), data, write_id=write_id)

    def put_fence(self, number: int, write_id: str) -> ObjectMeta:
        """Make file `number` an empty one. Raises as `put`."""
        return self.put(number, FENCE, write_id)

    def is_ours(self, number: int, data: bytes, write_id: str) -> bool | None:
        """Tell whether the write `write_id` of `data` made the file that is there.

        None: nobody can tell, since the store keeps no ids and the bytes are the same.
        Raises NotFoundError when there is no file.
        """
        meta = self.store.head(self.path(number))
        if meta.write_id is not None:
            return meta.write_id == write_id
        if meta.size != len(data) or self.store.get(self.path(number)).data != data:
            return False
        return None
