"""One bucket's bytes: writers for what comes in, leases for what is read.

Owns: which writer a size gets, the way from a key to a lease, staged bodies nobody wants.
Does not own: writing (`writers`), reading (`leases`), giving back (`reclaim`).

Invariants:
1. Every staged body is settled once: taken by a commit, or discarded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol

import apsw

from cenote.errors import Error
from cenote.ports import BodyLease, BodyWriter, Extent, ObjectRecord, StagedBody
from cenote.sqldb.doubts import Doubts
from cenote.sqldb.faults import translate
from cenote.sqldb.leases import MemoryLease, RunsLease
from cenote.sqldb.packfile import FRAME_HEAD
from cenote.sqldb.packs import Packs
from cenote.sqldb.pool import Pool
from cenote.sqldb.rows import valued_object_of
from cenote.sqldb.runs import Run
from cenote.sqldb.txn import EAGER_MAX, SPOOL
from cenote.sqldb.view import OBJECT_VALUE, View
from cenote.sqldb.writers import InlineWriter, PackWriter, SpoolWriter, stage_inline

__all__ = ["INLINE_LIMIT", "SqliteBodies"]

# SQLite's limit for a row is 1,000,000,000 bytes.
INLINE_LIMIT: Final = 1_000_000_000 - 4096
_KEPT_RUNS: Final = 65_536


class LeasePins(Protocol):
    """What leases need: `pins.Pins`, or `leasefile.ForeignPins` in a process that only reads."""

    def enter(self) -> Any: ...

    def narrow(self, pin: Any, owners: Iterable[int]) -> None: ...

    def leave(self, pin: Any) -> None: ...

    def moves(self, pin: Any) -> int: ...

    def moved(self) -> None: ...


class SqliteBodies:
    """`Bodies` of one bucket file. Thread-safe. Spool files are numbered from `spool_base` on."""

    _guarded = True  # the writer knows of the leases, and waits for them

    def __init__(
        self,
        pool: Pool,
        packs: Packs,
        pins: LeasePins,
        name: str,
        spool_folder: Path,
        inline_max: int,
        spool_base: int = 0,
        doubts: Doubts | None = None,
    ) -> None:
        """`doubts` is the writer's; a process that only borrows regions has none."""
        self._pool = pool
        self._packs = packs
        self._doubts = doubts
        self._pins = pins
        self._name = name
        self._spool_folder = spool_folder
        self.inline_max = inline_max
        self._lock = threading.Lock()
        self._spooled = spool_base
        self._runs: dict[int, tuple[Run, ...]] = {}
        self._runs_kept = 0
        self._moves = 0

    # In.

    def writer(self, size: int, algorithms: Sequence[str] = ()) -> BodyWriter:
        """Open a writer for a body of exactly `size` bytes. See `ports.Bodies`."""
        if size > min(self.inline_max, INLINE_LIMIT):
            return PackWriter(size, algorithms, self._packs, self._give_back)
        if size <= EAGER_MAX:
            return InlineWriter(size, algorithms)
        with self._lock:
            self._spooled += 1
            number = self._spooled
        return SpoolWriter(size, algorithms, number, self._spool_path(number))

    def stage(self, data: bytes, algorithms: Sequence[str] = ()) -> StagedBody:
        """Stage a body that is at hand. See `ports.Bodies`."""
        if len(data) <= min(EAGER_MAX, self.inline_max):
            return stage_inline(data, algorithms)
        writer = self.writer(len(data), algorithms)
        try:
            writer.write(data)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    def reserve(self, size: int) -> Extent:
        """Give out a region for a body that another process writes, synced, before it is committed.

        Raises UnavailableError. What is reserved is taken by a commit, or given back, once.
        """
        try:
            pack, start = self._packs.reserve(size)
        except OSError as error:
            raise translate(error, "making a pack file") from error
        self._packs.unuse(pack)
        return Extent(pack.number, start + FRAME_HEAD, size, 0)

    def give_back(self, extent: Extent, *, broken: bool = False) -> None:
        """Give back what `reserve` gave out. `broken`: the disk refused to sync the pack."""
        if broken:
            self._packs.fill(extent.pack)
        self._give_back(extent)

    def discard(self, staged: StagedBody) -> None:
        """Give back a staged body whose commit was refused, or will not come."""
        for extent in staged.extents:
            self._give_back(extent)

    def taken(self, staged: StagedBody) -> None:
        """Note that a staged body is part of a durable commit."""
        for extent in staged.extents:
            if extent.pack == SPOOL:
                with suppress(OSError):  # what stays is cleared at the next opening
                    self._spool_path(extent.offset).unlink(missing_ok=True)
            else:
                self._packs.settled(extent.pack)

    def open_spool(self, number: int) -> IO[bytes]:
        """Open a finished spool file for reading."""
        return self._spool_path(number).open("rb")

    def _give_back(self, extent: Extent) -> None:
        if extent.pack == SPOOL:
            with suppress(OSError):  # what stays is cleared at the next opening
                self._spool_path(extent.offset).unlink(missing_ok=True)
        elif self._doubts is not None:
            with suppress(OSError, apsw.Error, Error):  # it waits, and tending tries again
                self._doubts.give_back(extent.pack, extent.offset, extent.size)
        else:
            try:
                self._packs.punch(extent.pack, extent.offset, extent.size)
            finally:
                self._packs.settled(extent.pack)

    def _spool_path(self, number: int) -> Path:
        return self._spool_folder / f"{self._name}.{number}.spool"

    # Out.

    def lease(self, key: str) -> tuple[ObjectRecord, BodyLease] | None:
        """Look up the object at `key` and hold its body. See `ports.Bodies`."""
        pins = self._pins
        try:
            pin = pins.enter()
        except OSError as error:
            raise translate(error, f"reading bucket {self._name}") from error
        try:
            found = self._look_up(key, pins.moves(pin))
            if found is None:
                pins.leave(pin)
                return None
            record, runs = found
            if isinstance(runs, bytes):
                pins.leave(pin)
                return record, MemoryLease(runs)
            pins.narrow(pin, {run.body for run in runs})
        except OSError as error:
            pins.leave(pin)
            raise translate(error, f"reading bucket {self._name}") from error
        except BaseException:
            pins.leave(pin)
            raise
        return record, RunsLease(
            runs,
            self._packs,
            self._pool,
            lambda: pins.leave(pin),
            None if self._guarded else self._stands,
        )

    def _stands(self, run: Run) -> bool:
        with self._pool.reading() as reader:
            place = (run.pack, run.offset)
            return reader.one("SELECT 1 FROM extent WHERE pack=? AND offset=?", place) is not None

    def _look_up(self, key: str, moves: int) -> tuple[ObjectRecord, bytes | tuple[Run, ...]] | None:
        with self._pool.reading() as reader:
            try:
                reader.execute("BEGIN")
                rows = reader.execute(OBJECT_VALUE, (EAGER_MAX, key)).fetchall()
                if not rows:
                    return None
                record, value = valued_object_of(key, rows[0])
                if value is not None:
                    return record, value
                runs = self._kept(record.body, moves)
                if runs is None:
                    runs = View(reader.execute, self._name).runs(record.body)
                    self._keep(record.body, runs, moves)
                return record, runs
            except apsw.Error as error:
                raise translate(error, f"reading bucket {self._name}") from error
            finally:
                if reader.connection.in_transaction:
                    reader.execute("ROLLBACK")

    def _kept(self, body: int, moves: int) -> tuple[Run, ...] | None:
        with self._lock:
            if moves != self._moves:
                self._moves = moves
                self._runs.clear()
                self._runs_kept = 0
            return self._runs.get(body)

    def _keep(self, body: int, runs: tuple[Run, ...], moves: int) -> None:
        """Remember a long layout: a ranged read of a body of 10,000 parts must not read it anew."""
        if len(runs) < 8 or not self._guarded:
            return
        with self._lock:
            if moves != self._moves or body in self._runs:
                return
            while self._runs and self._runs_kept + len(runs) > _KEPT_RUNS:
                self._runs_kept -= len(self._runs.pop(next(iter(self._runs))))
            self._runs[body] = runs
            self._runs_kept += len(runs)

    def forget_layouts(self) -> None:
        """Drop what is remembered of layouts: bytes were moved, and the move is committed."""
        self._pins.moved()
