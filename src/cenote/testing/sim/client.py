"""A client of a simulated writer: writes by chance, looks at what it wrote, tells the ledger.

Owns: the operations, what each may fail with, which of them is acknowledged.
Does not own: opening the database, the laws (`ledger`).

Every value that is put is new, so that states can be told apart. The accounts of the bank are only
moved between, in transactions.

A write's place in the order of all is learned where the writer gives it its number: `Watched`
stands between the database and its writer for that, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import ClosedError, TransactionConflictError, UnavailableError
from cenote.lsm import MERGE, PUT, TOMBSTONE, WriteBatch
from cenote.testing.sim.dice import Dice
from cenote.testing.sim.ledger import ACCOUNT, Branch, Change, Deed, Ledger, State
from cenote.testing.sim.world import LawBroken, current_task

if TYPE_CHECKING:
    from cenote.lsm import Db

__all__ = ["ACCOUNTS", "BANK_SUM", "Client", "Watched", "first_deposits"]

ACCOUNTS: Final = 4
BANK_SUM: Final = 400
_KEYS: Final = 12
_MERGED: Final = 3


def first_deposits() -> list[Change]:
    """Return the write that opens the bank."""
    share = str(BANK_SUM // ACCOUNTS).encode()
    return [Change(Deed.PUT, ACCOUNT + str(n).encode(), share) for n in range(ACCOUNTS)]


class Watched:
    """Tells the ledger each write of a database, in the order they are numbered.

    A task says what it is going to write by `expect`; what the writer is given must be that.
    """

    def __init__(self, db: Db, ledger: Ledger, branch: Branch) -> None:
        self._ledger = ledger
        self._branch = branch
        self._expected: dict[str, Sequence[Change]] = {}
        self._places: dict[str, int] = {}
        writer: Any = db._writer
        self._try_write, self._write_one = writer.try_write, writer.write_one
        writer.try_write, writer.write_one = self._many, self._one

    def expect(self, changes: Sequence[Change]) -> None:
        """Say what the calling task writes next."""
        self._expected[_me()] = changes
        self._places.pop(_me(), None)

    def place(self) -> int | None:
        """Return how many writes there were after the calling task's; None if it made none."""
        return self._places.get(_me())

    def _many(self, ops: Sequence[Any], **kwargs: Any) -> Any:
        return self._noted([(op[0], op[2]) for op in ops], self._try_write(ops, **kwargs))

    def _one(self, key: bytes, value: bytes, kind: int, *args: Any, **kwargs: Any) -> Any:
        return self._noted([(key, kind)], self._write_one(key, value, kind, *args, **kwargs))

    def _noted(self, given: Sequence[tuple[bytes, int]], written: Any) -> Any:
        # Back-pressure takes nothing yet; one write may pass both ways in.
        seq = written[0] if isinstance(written, tuple) else None
        if not given or seq is None or seq in self._branch.seqs[-1:]:
            return written
        expected = self._expected.pop(_me(), None)
        if expected is None:
            raise LawBroken(f"{_me()} wrote what it did not mean to")
        kinds = {Deed.PUT: PUT, Deed.DELETE: TOMBSTONE, Deed.MERGE: MERGE}
        if sorted(given) != sorted((each.key, kinds[each.deed]) for each in expected):
            raise LawBroken(f"{_me()} meant to write {expected}, the writer got {given}")
        self._places[_me()] = self._ledger.written(self._branch, seq, expected)
        return written


def _me() -> str:
    task = current_task()
    return task.name if task is not None else ""


@dataclass(slots=True)
class Client:
    """One task that uses an open database until it has made `writes` writes or it is fenced."""

    db: Db
    ledger: Ledger
    branch: Branch
    watched: Watched
    dice: Dice
    values: count[int]
    make_checkpoint: Callable[[Db], None] | None = None

    def run(self, writes: int) -> None:
        """Use the database. Returns when done; raises ClosedError when it was fenced."""
        for _ in range(writes):
            for act in (self._write, self._look):
                try:
                    act()
                except UnavailableError:
                    continue
                except ClosedError as error:
                    self._check_closed(error)
                    raise

    def _check_closed(self, error: ClosedError) -> None:
        """A writer that was fenced says so from then on, and at once."""
        if error.reason != "fenced":
            raise LawBroken(f"the database closed itself: {error}") from error
        self.watched.expect([Change(Deed.PUT, b"late", b"late")])
        try:
            self.db.put(b"late", b"late", durable=False)
        except ClosedError:
            return
        raise LawBroken("a writer that said it was fenced takes another write") from error

    # Writing.

    def _write(self) -> None:
        draw = self.dice.below(20)
        if draw < 4:
            self._transfer()
        elif draw < 8:
            self._batch()
        elif draw < 9:
            published = self.branch.published
            self.db.flush()
            self.ledger.durable(self.branch, published)
        elif draw < 11:
            self.db.flush_memtable()
        elif draw < 12 and self.make_checkpoint is not None:
            self.make_checkpoint(self.db)
        else:
            self._single()

    def _single(self) -> None:
        change = self._change()
        durable = self.dice.chance(0.6)
        self.watched.expect([change])
        if change.deed is Deed.PUT:
            written = self.db.put(change.key, change.value, durable=durable)
        elif change.deed is Deed.DELETE:
            written = self.db.delete(change.key, durable=durable)
        else:
            written = self.db.merge(change.key, change.value, durable=durable)
        place = self.watched.place()
        if not durable and self.dice.chance(0.5):
            written.wait()
            durable = True
        if durable and place is not None:
            self.ledger.durable(self.branch, place)

    def _batch(self) -> None:
        changes = {change.key: change for change in (self._change() for _ in range(4))}
        batch = WriteBatch()
        for change in changes.values():
            if change.deed is Deed.PUT:
                batch.put(change.key, change.value)
            elif change.deed is Deed.DELETE:
                batch.delete(change.key)
            else:
                batch.merge(change.key, change.value)
        self.watched.expect(list(changes.values()))
        durable = self.dice.chance(0.7)
        self.db.write(batch, durable=durable)
        place = self.watched.place()
        if durable and place is not None:
            self.ledger.durable(self.branch, place)

    def _transfer(self) -> None:
        """Move money between two accounts, unless somebody else did meanwhile."""
        source = self.dice.below(ACCOUNTS)
        target = (source + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS
        names = [ACCOUNT + str(n).encode() for n in (source, target)]
        amount = self.dice.below(50)
        self.watched.expect([])
        isolation = self.dice.choice(("snapshot", "serializable"))
        try:
            with self.db.transaction(isolation) as transaction:  # type: ignore[arg-type]
                held = [int(transaction.get(name) or b"0") for name in names]
                after = (held[0] - amount, held[1] + amount)
                changes = []
                for name, sum_ in zip(names, after, strict=True):
                    changes.append(Change(Deed.PUT, name, str(sum_).encode()))
                    transaction.put(name, str(sum_).encode())
                self.watched.expect(changes)
        except TransactionConflictError:
            return
        place = self.watched.place()
        if place is not None:
            self.ledger.durable(self.branch, place)

    def _change(self) -> Change:
        draw = self.dice.below(10)
        value = b"%d." % next(self.values)
        if draw < 5:
            return Change(Deed.PUT, b"k%02d" % self.dice.below(_KEYS), value * 3)
        if draw < 7:
            return Change(Deed.DELETE, b"k%02d" % self.dice.below(_KEYS))
        return Change(Deed.MERGE, b"m%d" % self.dice.below(_MERGED), value)

    # Looking.

    def _look(self) -> None:
        draw = self.dice.below(10)
        low = self.branch.published
        if draw < 2:
            state = dict(self.db.scan())
            self.ledger.own_view(self.branch, state, low)
        elif draw < 3:
            pairs = list(self.db.scan(reverse=True))
            if pairs != sorted(pairs, reverse=True):
                raise LawBroken("a scan from the end is not in order")
            self.ledger.own_view(self.branch, dict(pairs), low)
        elif draw < 4:
            with self.db.snapshot() as snapshot:
                for _ in range(2):
                    seen = dict(snapshot.scan())
                    self.ledger.own_view(self.branch, seen, low)
                    self._check_gets(snapshot.get, seen)
        elif draw < 7:
            self._get(low)

    def _get(self, low: int) -> None:
        key = self.dice.choice((b"k%02d" % self.dice.below(_KEYS), b"m0", ACCOUNT + b"0"))
        found = self.db.get(key)
        if all(found != state.get(key) for state in self.branch.states[low:]):
            expected = self.branch.states[low].get(key)
            raise LawBroken(f"{key!r} is {found!r}; after {low} writes it is {expected!r}")

    def _check_gets(self, get: Callable[[bytes], bytes | None], seen: State) -> None:
        for key in (b"k%02d" % self.dice.below(_KEYS), b"m1", ACCOUNT + b"1"):
            if get(key) != seen.get(key):
                raise LawBroken(f"a snapshot's get and scan of {key!r} differ")
