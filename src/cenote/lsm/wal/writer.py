"""Writing the log: rows that wait, one file at a time, who is told when they are durable.

Owns: the rows not yet in a file, the number of the next file, group commit, telling our own file
from a fence after a lost reply.
Does not own: sequence numbers, the memtable, when nobody waits (a job of `cenote.lsm.writer`).

Whoever waits for a row takes the turn (`wal.turns`), and puts all rows there are as one file, in
his own thread. So a lone writer pays one put and no hand-over between threads, and of many writers
one puts for all that came while the put before was under way.

Invariants:
1. One put at a time: file N + 1 is not begun before file N is known to be made.
2. A file whose put may have happened is kept as it is, number and bytes, and put again before
   anything else, until it is known. Its rows are never sent under another number.
3. Another's object under our number means that we were fenced: everything fails from then on.
4. A file counts only while nobody claimed a later epoch: when the last proof of that is older than
   `PROOF_SECONDS` by either clock (one stands still while a machine sleeps, the other may be set),
   the epoch is looked at after the put and before anybody is told. A writer that slept through a
   takeover, and through the collection of the fence meant for it, learns of it so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cenote.base import Clock, Rand, failpoint
from cenote.errors import AlreadyExistsError, ClosedError, Error, NotFoundError, UnavailableError
from cenote.lsm.entry import Row
from cenote.lsm.format import SEQ_MAX, Codec, encode_wal_file
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.turns import Turns

__all__ = ["PROOF_SECONDS", "Callback", "Moment", "WalWriter", "moment_of"]

PROOF_SECONDS: Final = 60.0

failpoint.register("lsm.wal.before_put", "lsm.wal.after_put")

Callback = Callable[["Error | None"], None]
Moment = tuple[float, float]
"""Seconds by the monotonic clock, and by the wall clock."""


def moment_of(clock: Clock) -> Moment:
    """Return what both clocks say."""
    return clock.monotonic(), clock.now_ms() / 1000


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A file that is being put: all that is needed to put it again."""

    number: int
    data: bytes
    write_id: str
    last_seq: int


class WalWriter:
    """The log of one writer. Thread-safe.

    `rows` is what waits, oldest first; who appends holds `lock`, which guards nothing else here.
    `durable_seq` only grows. `error` is why the log takes nothing any more.
    """

    def __init__(
        self,
        files: WalFiles,
        *,
        next_number: int,
        durable_seq: int,
        lock: threading.Lock,
        codec: Codec,
        clock: Clock,
        rand: Rand,
        prove: Callable[[], object],
        proved: Moment,
    ) -> None:
        """Begin at `next_number`.

        `prove` raises ClosedError when a later epoch was claimed; nobody had at the moment
        `proved`.
        """
        self._files = files
        self._lock = lock
        self._codec = codec
        self._clock = clock
        self._rand = rand
        self._prove = prove
        self._turns = Turns()
        self._waiting_lock = threading.Lock()
        self._waiting: list[tuple[int, Callback]] = []
        self._doubt: _Attempt | None = None
        self._failure: tuple[int, int, Error] | None = None  # how many, up to which seq, the last
        self._failures = 0
        self._proved = proved
        self.puts = self.put_bytes = self.repeats = 0  # of files, since the beginning
        self.rows: list[Row] = []
        self.next_number = next_number
        self.durable_seq = durable_seq
        self.error: ClosedError | None = None
        self.written: deque[tuple[int, int]] = deque()  # (number, last seq) of files, oldest first

    def commit(self, seq: int) -> None:
        """Return when every row up to `seq` is durable, putting what is needed.

        Requires: rows up to `seq` were appended. Raises ClosedError; UnavailableError with
        `effect_unknown`: the rows stay, are seen, and are put again with the next commit.
        """
        while self.durable_seq < seq:
            if self.error is not None:
                raise self.error.with_traceback(None)
            failures = self._failures
            if self._turns.take(seq):
                self._put_in_turn(seq)
                return
            failure = self._failure
            if failure is not None and failure[0] > failures and failure[1] >= seq:
                raise failure[2]  # somebody tried for us

    def _put_in_turn(self, seq: int) -> None:
        """Put what is needed for `seq`, and end the turn."""
        started = self._clock.monotonic()
        failed = -1
        try:
            if self.error is not None:
                raise self.error.with_traceback(None)
            if self.durable_seq < seq:
                failed = SEQ_MAX  # unless it ends well, everybody looks what became of him
                self._put_all()
                failed = -1
        except UnavailableError:
            failure = self._failure
            failed = -1 if failure is None else failure[1]
            raise
        finally:
            self._turns.end(max(self.durable_seq, failed), self._clock.monotonic() - started)

    def when_durable(self, seq: int, callback: Callback) -> None:
        """Have `callback` called once: with None when `seq` is durable, or with an error.

        It is called in whatever thread finds out, maybe in this one before the return, and must
        not block. This starts no put: see `commit`.
        """
        with self._waiting_lock:
            error = self.error
            if self.durable_seq < seq and error is None:
                self._waiting.append((seq, callback))
                return
        callback(error if self.durable_seq < seq else None)

    @property
    def pending(self) -> bool:
        """Whether anything waits for a put."""
        return bool(self.rows) or self._doubt is not None

    def proved(self, moment: Moment) -> None:
        """Note that nobody had claimed a later epoch at some moment."""
        self._proved = max(self._proved, moment)

    def fail(self, error: ClosedError) -> None:
        """Take nothing any more, and tell everybody who waits. The first error stays."""
        with self._waiting_lock:
            if self.error is None:
                self.error = error
            told, self._waiting = self._waiting, []
        for _, callback in told:
            callback(error)

    def last_file_up_to(self, seq: int) -> int | None:
        """Return the last file that has no rows above `seq`; None when no file since is so."""
        found = None
        # A copy, made in one step: a commit in another thread adds to it meanwhile.
        for number, last_seq in self.written.copy():
            if last_seq > seq:
                break
            found = number
        return found

    def forget_up_to(self, number: int) -> None:
        """Forget files up to `number`: table files hold their rows."""
        while self.written and self.written[0][0] <= number:
            self.written.popleft()

    def _put_all(self) -> None:
        """Put the doubtful file, and then what waits. Requires: the turn."""
        while True:
            repeated = self._doubt is not None
            attempt = self._doubt or self._next()
            if attempt is None:
                return
            self.repeats += repeated
            try:
                self._put(attempt)
            except Error as error:
                raise self._failed(attempt, error) from error
            self._doubt = None
            self._acknowledge(attempt)
            if not repeated:
                return

    def _next(self) -> _Attempt | None:
        """Return the next file, of all rows that wait, which is in doubt from now on.

        None when no rows wait.
        """
        rows: list[Row] = []
        try:
            with self._lock:
                rows, self.rows = self.rows, []
            if not rows:
                return None
            data = encode_wal_file(rows, self._codec)
            write_id = self._rand.bytes(16).hex()
            self._doubt = attempt = _Attempt(self.next_number, data, write_id, rows[-1][2])
            return attempt
        except BaseException:  # a signal, too: no row may get lost
            if rows and self._doubt is None:
                with self._lock:
                    if self.rows is not rows:
                        self.rows[:0] = rows
            raise

    def _put(self, attempt: _Attempt) -> None:
        failpoint.hit("lsm.wal.before_put")
        try:
            self._files.put(attempt.number, attempt.data, attempt.write_id)
        except AlreadyExistsError as error:
            self._require_ours(attempt, error)
        failpoint.hit("lsm.wal.after_put")
        self.puts += 1
        self.put_bytes += len(attempt.data)
        now = moment_of(self._clock)
        if max(now[0] - self._proved[0], now[1] - self._proved[1]) > PROOF_SECONDS:
            self._prove()
            self._proved = now

    def _require_ours(self, attempt: _Attempt, error: AlreadyExistsError) -> None:
        """Raise ClosedError(reason="fenced") unless the file that is there was put by us."""
        number = attempt.number
        try:
            ours = self._files.is_ours(number, attempt.data, attempt.write_id)
        except NotFoundError as gone:
            raise UnavailableError(
                f"log file {number} was there and is gone", kind="io", effect_unknown=True
            ) from gone
        if ours is None:
            # Our bytes, and a store that keeps no ids. No other writer has our rows under this
            # number, unless it took our epoch's place and read them from us.
            self._prove()
        elif not ours:
            raise ClosedError(
                f"another writer took log file {number}",
                reason="fenced",
                hint="whoever opened the database last is its writer",
                number=number,
            ) from error

    def _failed(self, attempt: _Attempt, error: Error) -> Error:
        """Note a failed put, tell who waits for it, and return the error to raise."""
        if isinstance(error, ClosedError):
            self.fail(error)
            return error
        if isinstance(error, UnavailableError) and not error.effect_unknown:
            error = UnavailableError(
                f"{error.message}; the write is kept, and tried again with the next",
                kind=error.kind,
                effect_unknown=True,
                **error.context,
            )
        self._failures += 1
        self._failure = (self._failures, attempt.last_seq, error)
        with self._waiting_lock:
            told = [each for each in self._waiting if each[0] <= attempt.last_seq]
            self._waiting = [each for each in self._waiting if each[0] > attempt.last_seq]
        for _, callback in told:
            callback(error)
        return error

    def _acknowledge(self, attempt: _Attempt) -> None:
        self.next_number = attempt.number + 1
        self.written.append((attempt.number, attempt.last_seq))
        with self._waiting_lock:
            self.durable_seq = attempt.last_seq
            if not self._waiting:
                return
            told = [each for each in self._waiting if each[0] <= attempt.last_seq]
            self._waiting = [each for each in self._waiting if each[0] > attempt.last_seq]
        for _, callback in told:
            callback(None)
