"""A bucket's pack files: which one takes the next body, and which are open.

Owns: giving out regions, the open descriptors, making and unlinking the files.
Does not own: the file format (`packfile`), when space is given back (`reclaim`).

Bodies below `BIG` share the first lane, so that their syncs are shared too; bigger ones spread over
the others, so that a short sync does not wait for a long one. One above `OWN_PACK` gets a file of
its own, which is unlinked with it.

Invariants:
1. A region has one writer. `pending` counts it from `reserve` to `settled`.
2. A descriptor is open while `uses` is above 0, and for a while after.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Final

from cenote.base import failpoint
from cenote.errors import ClosedError, DataError, NotFoundError
from cenote.sqldb.packfile import ALIGN, FRAME_HEAD, PackFile, frame_size, punch_hole, sync_folder
from cenote.sqldb.syncers import Syncers

__all__ = ["Packs"]

PACK_SIZE: Final = 1 << 30
OWN_PACK: Final = 256 << 20
BIG: Final = 4 << 20
LANES: Final = 4
_IDLE_MAX: Final = 32
_HANDS: Final = 2  # threads that write what others go on hashing
_PACK_NAME: Final = re.compile(r"[0-9]{8}\.pack")

failpoint.register("pack.unlink", "reclaim.punch")


class Packs:
    """The pack files in `folder`. Thread-safe."""

    def __init__(
        self, folder: Path, bucket: bytes, *, read_only: bool, pack_size: int = PACK_SIZE
    ) -> None:
        self.folder = folder
        self.bucket = bucket
        self.read_only = read_only
        self.pack_size = pack_size
        self.hands = Syncers(_HANDS, "cenote-pack")
        self.punches = True  # until the file system says it cannot
        self._lock = threading.Lock()
        self._files: dict[int, PackFile] = {}
        self._lanes: list[PackFile | None] = [None] * LANES
        self._filled: list[PackFile] = []
        self._highest = max(self.numbers(), default=0)
        self._idle_max = _IDLE_MAX
        self._folder_is_durable = False
        self._closed = False
        self._dropped = False

    def numbers(self) -> list[int]:
        """Return the numbers of the pack files on disk."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name[:8]) for name in names if _PACK_NAME.fullmatch(name))

    def path(self, number: int) -> Path:
        """Return where a pack's file is."""
        return self.folder / f"{number:08d}.pack"

    # Writing.

    def reserve(self, size: int) -> tuple[PackFile, int]:
        """Give out the region for a body of `size` bytes: its pack, in use, and the frame's start.

        Raises OSError when a new pack cannot be made.
        """
        length = frame_size(size)
        with self._lock:
            self._require_open()
            if size > min(OWN_PACK, self.pack_size // 2):
                pack = self._create()
                pack.full = True
                self._filled.append(pack)
            else:
                pack = self._lane(size, length)
            start = pack.end
            pack.end += length
            pack.pending += 1
            pack.uses += 1
            return pack, start

    def _lane(self, size: int, length: int) -> PackFile:
        index = 0
        if size >= BIG:
            # An idle open pack, else a lane without one, else the least busy.
            index = min(
                range(1, LANES),
                key=lambda i: (0, 1) if (lane := self._lanes[i]) is None else (lane.uses, 0),
            )
        pack = self._lanes[index]
        if pack is not None and (pack.full or pack.end + length > self.pack_size):
            pack.full = True
            self._filled.append(pack)
            pack = None
        if pack is None:
            pack = self._lanes[index] = self._create()
        return pack

    def _create(self) -> PackFile:
        if not self._folder_is_durable:  # it may be there from a try that was not synced
            self.folder.mkdir(exist_ok=True)
            sync_folder(self.folder.parent)
            self._folder_is_durable = True
        number = self._highest + 1
        pack = PackFile.create(self.path(number), number, self.bucket)
        self._highest = number
        self._files[number] = pack
        return pack

    def skip_to(self, number: int) -> None:
        """Give new packs numbers above this one: rows may name packs whose files are gone."""
        with self._lock:
            self._highest = max(self._highest, number)

    def resume(self, number: int, *, fill: bool = True) -> None:
        """Go on filling a pack an earlier process began, at its end, or only see to its sealing."""
        pack = self.use(number)
        with self._lock:
            pack.uses -= 1
            free = [i for i in range(LANES) if self._lanes[i] is None]
            if not fill or pack.end * 2 > self.pack_size or not free:
                pack.full = True
                self._filled.append(pack)
            else:
                self._lanes[free[0]] = pack

    def fill(self, number: int) -> None:
        """Give out no more of a pack."""
        with self._lock:
            pack = self._files.get(number)
            if pack is not None:
                pack.full = True

    def settled(self, number: int) -> None:
        """Note that a region given out is now referred to by a commit, or given back."""
        with self._lock:
            pack = self._files.get(number)
            if pack is not None:
                pack.pending -= 1

    def take_filled(self) -> list[int]:
        """Return the packs that take no more bodies and may be sealed, each once."""
        with self._lock:
            for index, lane in enumerate(self._lanes):
                if lane is not None and lane.full:
                    self._filled.append(lane)
                    self._lanes[index] = None
            ready = [pack for pack in self._filled if not pack.pending]
            self._filled = [pack for pack in self._filled if pack.pending]
            return [pack.number for pack in ready]

    # Reading.

    def use(self, number: int) -> PackFile:
        """Return an open pack; `unuse` it afterwards. Raises DataError when it is missing."""
        with self._lock:
            self._require_open()
            pack = self._files.get(number)
            if pack is None:
                try:
                    pack = PackFile.open(
                        self.path(number), number, self.bucket, writable=not self.read_only
                    )
                except FileNotFoundError as error:
                    raise DataError(
                        f"pack file {self.path(number)} is missing", kind="missing_pack"
                    ) from error
                self._files[number] = pack
            pack.uses += 1
            return pack

    def unuse(self, pack: PackFile) -> None:
        """Give a pack back."""
        with self._lock:
            pack.uses -= 1
            if not pack.uses and (self._closed or self._files.get(pack.number) is not pack):
                pack.close()
            elif len(self._files) > self._idle_max:
                self._close_idle(len(self._files) - self._idle_max)

    def _close_idle(self, count: int) -> None:
        # Called with the lock held. Lanes and packs to be sealed stay: they carry state.
        kept = {pack.number for pack in (*self._lanes, *self._filled) if pack is not None}
        for number, pack in list(self._files.items()):
            if count <= 0:
                return
            if not pack.uses and not pack.pending and number not in kept:
                del self._files[number]
                pack.close()
                count -= 1

    # Giving back.

    def punch(self, number: int, offset: int, size: int) -> None:
        """Give the frame of a body's bytes at `offset` back to the file system.

        When the file is gone so is the frame: a drop that was cut short moves the packs first. One
        whose head is damaged is left as it is.
        """
        try:
            pack = self.use(number)
        except DataError:
            return
        try:
            failpoint.hit("reclaim.punch")
            if not punch_hole(pack.fd, offset - FRAME_HEAD, frame_size(size)):
                self.punches = False
        finally:
            self.unuse(pack)

    def punch_between(self, number: int, taken: list[tuple[int, int]]) -> int:
        """Give back all of a pack but the frames (offset, size) in `taken`; return the bytes."""
        pack = self.use(number)
        given = 0
        try:
            at = ALIGN
            for offset, size in [*sorted(taken), (pack.end + FRAME_HEAD, 0)]:
                start = offset - FRAME_HEAD
                if start > at:
                    punch_hole(pack.fd, at, start - at)
                    given += start - at
                at = max(at, start + frame_size(size))
        finally:
            self.unuse(pack)
        return given

    def is_used(self, number: int) -> bool:
        """Tell whether somebody reads, writes or may still be given space in a pack."""
        with self._lock:
            pack = self._files.get(number)
            return pack is not None and (
                pack.uses > 0 or pack.pending > 0 or pack in self._lanes or pack in self._filled
            )

    def unlink(self, number: int) -> None:
        """Remove a pack's file. Requires: no row of the index names it."""
        with self._lock:
            failpoint.hit("pack.unlink")
            pack = self._files.pop(number, None)
            if pack is not None and not pack.uses:  # else `unuse` closes it: a check may be reading
                pack.close()
            self.path(number).unlink(missing_ok=True)

    def retire(self) -> None:
        """Close every descriptor as soon as nobody needs it; who still asks is served."""
        self._idle_max = 0
        self.rest()

    def rest(self) -> None:
        """Close the descriptors and end the threads nobody needs."""
        with self._lock:
            self._close_idle(len(self._files))
            hands, self.hands = self.hands, Syncers(_HANDS, "cenote-pack")
        hands.close()

    def close(self, *, dropped: bool = False) -> None:
        """Close what is idle now, and the rest when it is given back. `dropped`: see `Pool`."""
        with self._lock:
            self._dropped = dropped
            self._closed = True
            for pack in self._files.values():
                if not pack.uses:
                    pack.close()
        self.hands.close()

    def _require_open(self) -> None:
        if self._dropped:
            raise NotFoundError(f"packs in {self.folder} were deleted", kind="no_such_bucket")
        if self._closed:
            raise ClosedError(f"packs in {self.folder} are closed")
