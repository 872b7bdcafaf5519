"""A process that moves money in a database on our server, one write after the other, for ever.

    python teller.py URI

It tells what it does, a line each: `open MAX`, `try N`, `ack N`, `fenced`. Everything the database
holds is a function of the last write, so that whoever looks at it can tell to the byte whether
it is whole: see `expected`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from cenote.errors import ClosedError, UnavailableError
from cenote.lsm import CompactorSettings, Db, DbSettings, GcSettings, WriteBatch

ACCOUNTS = 5
WINDOW = 40
BANK_SUM = 1000
SETTINGS = DbSettings(
    l0_sst_size=4_000,
    wal_files_max=12,
    block_size=1024,
    filter_rows_min=0,
    codec="zlib",
    compactor=CompactorSettings(sources_min=2, sst_size=8_000, checkpoint_lifetime_ms=2_000),
    gc=GcSettings(interval_ms=500, age_min_ms=1_000),
)


class Add:
    """Merges whole numbers."""

    name = "add"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b"%d" % (int(existing or b"0") + sum(map(int, operands)))


def move(number: int) -> tuple[int, int, int]:
    """Return what write `number` moves: from which account, to which, how much."""
    source = number % ACCOUNTS
    return source, (source + 1 + number % (ACCOUNTS - 1)) % ACCOUNTS, number % 23


def balances(number: int) -> list[int]:
    held = [BANK_SUM // ACCOUNTS] * ACCOUNTS
    for each in range(1, number + 1):
        source, target, amount = move(each)
        held[source] -= amount
        held[target] += amount
    return held


def expected(number: int) -> dict[bytes, bytes]:
    """Return what the database holds after write `number`: accounts, a window of the journal."""
    if number < 0:
        return {}
    state = {b"account/%d" % n: b"%d" % sum_ for n, sum_ in enumerate(balances(number))}
    for each in range(max(1, number - WINDOW + 1), number + 1):
        state[b"journal/%06d" % each] = b"%d %d %d" % move(each)
    state[b"writes"] = b"%d" % number
    return state


def last_write(state: dict[bytes, bytes]) -> int:
    """Return the number of the last write, -1 for an empty database.

    Raises AssertionError unless the state is exactly what it is after that write.
    """
    number = int(state.get(b"writes", b"-1"))
    wanted = expected(number)
    wrong = {
        key: (state.get(key), wanted.get(key))
        for key in sorted({*state, *wanted})
        if state.get(key) != wanted.get(key)
    }
    assert not wrong, f"after write {number}, found and wanted: {wrong}"
    return number


def batch_of(number: int, held: list[int]) -> WriteBatch:
    batch = WriteBatch()
    if number == 0:
        for account, sum_ in enumerate(held):
            batch.put(b"account/%d" % account, b"%d" % sum_)
        return batch.merge(b"writes", b"0")
    source, target, amount = move(number)
    for account in (source, target):
        batch.put(b"account/%d" % account, b"%d" % held[account])
    batch.put(b"journal/%06d" % number, b"%d %d %d" % (source, target, amount))
    if number > WINDOW:
        batch.delete(b"journal/%06d" % (number - WINDOW))
    return batch.merge(b"writes", b"1")


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def patiently(call) -> object:
    """Do it, again while the server is away: what was written stays and is tried again."""
    while True:
        try:
            return call()
        except UnavailableError:
            time.sleep(0.05)


def main(uri: str) -> None:
    db = patiently(lambda: Db.open(uri, settings=SETTINGS, merge_operator=Add()))
    number = last_write(dict(patiently(lambda: list(db.scan()))))
    tell(f"open {number}")
    held = balances(max(number, 0))
    while True:
        number += 1
        source, target, amount = move(number)
        if number:
            held[source] -= amount
            held[target] += amount
        tell(f"try {number}")
        before = db.status().last_seq
        while True:
            batch = batch_of(number, held)
            try:
                db.write(batch, durable=number % 3 == 0)
                break
            except UnavailableError:
                if db.status().last_seq > before:
                    break  # it was taken, and is tried again
                time.sleep(0.05)
        if number % 3 == 0:
            patiently(db.flush)
            tell(f"ack {number}")
        if number % 20 == 0:
            last_write(dict(patiently(lambda: list(db.scan()))))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ClosedError as error:
        tell(error.reason)
