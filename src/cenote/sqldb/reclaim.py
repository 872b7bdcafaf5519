"""Giving space back to the file system after deletes.

Owns: the steps, each small and safe to be cut short:
1. `freed` rows no lease is in the way of: punch their frames out of the packs, or delete the
   inline values, then delete the rows in one commit.
2. Full packs nobody is writing to: seal them.
3. Sealed packs in which nothing lives: forget them in a commit, then unlink the file.
4. Sealed packs of which less than a quarter lives: copy what lives to a new place, point the
   extents there in a commit that checks that they still stand where they did.

Does not own: which leases are open (`pins`), or free pages inside SQLite (`bucketfile`).

Invariants:
1. Nothing is punched or unlinked before the commit that dropped its last reference is durable,
   nor while a lease that may have seen it is open.
2. A step cut short anywhere is done again: punching twice does no harm, space is never given out
   again, and a file without a row is unlinked at the next opening.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import apsw

from cenote.base import crc64nvme, failpoint
from cenote.errors import ChecksumError, Error
from cenote.sqldb.bodies import SqliteBodies
from cenote.sqldb.commit import CommitQueue
from cenote.sqldb.doubts import Doubts
from cenote.sqldb.faults import translate
from cenote.sqldb.packfile import FRAME_HEAD
from cenote.sqldb.packs import Packs
from cenote.sqldb.pins import Pins
from cenote.sqldb.pool import Pool
from cenote.sqldb.rows import unsigned
from cenote.sqldb.runs import Run
from cenote.sqldb.txn import Txn

__all__ = ["Reclaim"]

_BATCH: Final = 1000
_MOVE_MAX: Final = 64 << 20
_COPY_PIECE: Final = 1 << 20

failpoint.register(
    "reclaim.punched",
    "reclaim.settled",
    "reclaim.before_unlink",
    "reclaim.copied",
    "reclaim.moved",
)


class Reclaim:
    """One bucket's giving back. One thread at a time."""

    def __init__(
        self,
        pool: Pool,
        packs: Packs,
        pins: Pins,
        doubts: Doubts,
        bodies: SqliteBodies,
        queue: CommitQueue,
    ) -> None:
        self._pool = pool
        self._packs = packs
        self._pins = pins
        self._doubts = doubts
        self._bodies = bodies
        self._queue = queue

    def step(self) -> bool:
        """Do a bounded piece of what is owed; tell whether to come again soon.

        Raises UnavailableError when the disk refuses: what is owed stays owed.
        Cost: at most 1000 regions, and 64 MiB of moved bytes.
        """
        try:
            more = self._give_back()
            self._seal()
            self._unlink_dead()
            return self._move_one() or more
        except (OSError, apsw.Error) as error:
            raise translate(error, "giving space back") from error

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        with self._pool.reading() as reader:
            return reader.execute(sql, bindings).fetchall()

    def _give_back(self) -> bool:
        at = (-1, -1)
        blocked = False
        while True:
            rows = self._rows(
                "SELECT body, pack, offset, size FROM freed WHERE (pack, offset)>(?,?)"
                " ORDER BY pack, offset LIMIT ?",
                (*at, _BATCH),
            )
            epoch = self._pins.stamp()
            ready = [Run(*row) for row in rows if self._pins.is_free(epoch, row[0])]
            blocked = blocked or len(ready) < len(rows)
            if ready:
                break
            if len(rows) < _BATCH:
                return blocked
            at = (rows[-1][1], rows[-1][2])
        for run in ready:
            if run.pack:
                self._packs.punch(run.pack, run.offset, run.size)
        failpoint.hit("reclaim.punched")
        self._queue.commit_own(lambda txn: txn.settle_freed(ready))
        failpoint.hit("reclaim.settled")
        return True

    def _seal(self) -> None:
        for number in self._packs.take_filled():
            self._queue.commit_own(_sealing(number))

    def _unlink_dead(self) -> None:
        for number, sealed in self._rows(
            "SELECT id, sealed FROM pack WHERE live=0"
            " AND NOT EXISTS(SELECT 1 FROM freed WHERE freed.pack=pack.id)"
        ):
            if not sealed and self._packs.path(number).exists():
                continue
            if not self._packs.is_used(number) and self._queue.commit_own(_forgetting(number)):
                failpoint.hit("reclaim.before_unlink")
                self._packs.unlink(number)

    def _move_one(self) -> bool:
        """Move what lives out of one mostly dead pack; tell whether there was one."""
        for number, live in self._rows(
            "SELECT id, live FROM pack WHERE sealed AND live>0 AND live<?"
            " AND NOT EXISTS(SELECT 1 FROM freed WHERE freed.pack=pack.id) ORDER BY live",
            (self._packs.pack_size // 4,),
        ):
            path = self._packs.path(number)
            if live * 4 >= path.stat().st_size or self._packs.is_used(number):
                continue
            self._move(number)
            return True
        return False

    def _move(self, number: int) -> None:
        rows: list[tuple[int, int, int, int, int]] = self._rows(
            "SELECT body, pack, offset, size, crc FROM extent WHERE pack=? ORDER BY offset",
            (number,),
        )
        moved: list[tuple[Run, int, int]] = []
        size = 0
        try:
            for body, pack, offset, length, crc in rows:
                run = Run(body, pack, offset, length, unsigned(crc))
                if moved and size + run.size > _MOVE_MAX:
                    break
                moved.append((run, *self._copy(run)))
                size += run.size
            failpoint.hit("reclaim.copied")
            stands = self._queue.commit_own(lambda txn: [txn.move_run(*place) for place in moved])
        except BaseException:
            for run, target, place in moved:
                with suppress(OSError, apsw.Error, Error):  # then it waits, and is tried again
                    self._doubts.give_back(target, place, run.size)
            raise
        self._bodies.forget_layouts()
        failpoint.hit("reclaim.moved")
        for (run, target, place), stood in zip(moved, stands, strict=True):
            if stood:
                self._packs.settled(target)
            else:
                self._drop(target, place, run.size)

    def _copy(self, run: Run) -> tuple[int, int]:
        """Copy a run to a new, synced frame, checking it; return the pack and where its bytes are.

        Raises ChecksumError for damaged bytes: they stay where they are.
        """
        source = self._packs.use(run.pack)
        target, start = self._packs.reserve(run.size)
        offset = start + FRAME_HEAD
        done = False
        try:
            crc = at = 0
            while at < run.size:
                want = min(_COPY_PIECE, run.size - at)
                piece = os.pread(source.fd, want, run.offset + at)
                if len(piece) != want:
                    break
                crc = crc64nvme(piece, crc)
                target.write_at(piece, offset + at)
                at += want
            if crc != run.crc or at != run.size:
                raise ChecksumError(
                    f"body {run.body} in pack {run.pack} is damaged", body=run.body, pack=run.pack
                )
            target.finish_frame(start, run.size, crc)
            target.sync()
            done = True
        finally:
            self._packs.unuse(source)
            self._packs.unuse(target)
            if not done:
                self._drop(target.number, offset, run.size)
        return target.number, offset

    def _drop(self, pack: int, offset: int, size: int) -> None:
        self._packs.punch(pack, offset, size)
        self._packs.settled(pack)


def _sealing(number: int) -> Callable[[Txn], None]:
    return lambda txn: txn.seal_pack(number)


def _forgetting(number: int) -> Callable[[Txn], bool]:
    return lambda txn: txn.forget_pack(number)
