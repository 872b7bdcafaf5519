"""`cenote.Db` beside embedded databases on a local disk: lmdb, rocksdict, SQLite.

    python -m bench engine_beside [--rounds 3] [--rows 30000] [--without lmdb] [--folder /dev/shm]

Nobody is held to a ratio here: these own a disk, and an engine on an object store does not. Rows
are loaded in batches of 1000 and made durable at the end, keys of 16 bytes in no order and values
of 100 bytes; then rows are got in no order, by one thread and by 64, and all of them scanned. Each
contender is called the way its own documentation shows. A contender that is not installed is left
out. With a folder in memory the disk is left out, too.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import cenote
from bench.rounds import median, options, scratch

BATCH = 1000
THREADS = 64
Row = tuple[bytes, bytes]


class Calls(NamedTuple):
    """An open database: how a batch is written, a row got, all are scanned, and it is made safe."""

    write: Callable[[list[Row]], object]
    settle: Callable[[], object]
    get: Callable[[bytes], bytes | None]
    scan: Callable[[], int]


@contextmanager
def ours(folder: Path) -> Iterator[Calls]:
    with cenote.Db.open(f"file://{folder}") as db:

        def write(rows: list[Row]) -> None:
            batch = cenote.WriteBatch()
            for key, value in rows:
                batch.put(key, value)
            db.write(batch, durable=False)

        yield Calls(write, db.flush_memtable, db.get, lambda: sum(1 for _ in db.scan()))


@contextmanager
def sqlite(folder: Path) -> Iterator[Calls]:
    folder.mkdir()
    db = sqlite3.connect(folder / "db", isolation_level=None, check_same_thread=False)
    readers = threading.local()
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")  # synced at the checkpoint, as the others at the end
    db.execute("create table t (k blob primary key, v blob) without rowid")

    def write(rows: list[Row]) -> None:
        db.execute("begin")
        db.executemany("insert or replace into t values (?, ?)", rows)
        db.execute("commit")

    def get(key: bytes) -> bytes | None:
        mine = getattr(readers, "db", None)
        if mine is None:
            mine = readers.db = sqlite3.connect(folder / "db", isolation_level=None)
        row = mine.execute("select v from t where k = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def scan() -> int:
        return sum(1 for _ in db.execute("select k, v from t order by k"))

    def settle() -> None:
        db.execute("pragma wal_checkpoint(truncate)").fetchall()

    yield Calls(write, settle, get, scan)
    db.close()


@contextmanager
def lmdb(folder: Path) -> Iterator[Calls]:
    import lmdb as package

    db: Any = package.open(str(folder), map_size=1 << 32, sync=False)

    def write(rows: list[Row]) -> None:
        with db.begin(write=True) as change:
            for key, value in rows:
                change.put(key, value)

    def get(key: bytes) -> bytes | None:
        with db.begin() as view:
            found: bytes | None = view.get(key)
            return found

    def scan() -> int:
        with db.begin() as view:
            return sum(1 for _ in view.cursor())

    yield Calls(write, lambda: db.sync(True), get, scan)
    db.close()


@contextmanager
def rocksdict(folder: Path) -> Iterator[Calls]:
    import rocksdict as package

    db: Any = package.Rdict(str(folder), package.Options(raw_mode=True))

    def write(rows: list[Row]) -> None:
        batch = package.WriteBatch(raw_mode=True)
        for key, value in rows:
            batch.put(key, value)
        db.write(batch)

    yield Calls(write, db.flush, db.get, lambda: sum(1 for _ in db.items()))
    db.close()


CONTENDERS = {"cenote": ours, "sqlite": sqlite, "lmdb": lmdb, "rocksdict": rocksdict}


def measure(calls: Calls, rows: list[Row], gets: list[bytes]) -> tuple[float, ...]:
    """Return microseconds a row: loaded, got, got by many threads, scanned."""
    began = time.perf_counter()
    for at in range(0, len(rows), BATCH):
        calls.write(rows[at : at + BATCH])
    calls.settle()
    loaded = time.perf_counter()
    for key in gets:
        if calls.get(key) is None:
            raise SystemExit("a row is missing")
    got = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        shares = [gets[number::THREADS] for number in range(THREADS)]
        if not all(pool.map(lambda share: all(map(calls.get, share)), shares)):
            raise SystemExit("a row is missing")
    shared = time.perf_counter()
    if calls.scan() != len(rows):
        raise SystemExit("a scan is not whole")
    scanned = time.perf_counter()
    return (
        (loaded - began) / len(rows) * 1e6,
        (got - loaded) / len(gets) * 1e6,
        (shared - got) / len(gets) * 1e6,
        (scanned - shared) / len(rows) * 1e6,
    )


def main() -> int:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--rows", type=int, default=30_000)
    args = parser.parse_args()
    rand = random.Random(1)
    keys = [rand.randbytes(16) for _ in range(args.rows)]
    rows = [(key, rand.randbytes(100)) for key in keys]
    gets = rand.sample(keys, min(len(keys), 10_000))
    names = [name for name in CONTENDERS if name not in args.without]
    names = [name for name in names if name in ("cenote", "sqlite") or find_spec(name)]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    numbers = count()
    with scratch(args.folder) as folder:
        for _ in range(args.rounds):
            for name in names:
                with CONTENDERS[name](folder / f"{name}-{next(numbers)}") as calls:
                    found[name].append(measure(calls, rows, gets))
    print(f"{'us a row':12}{'load':>8}{'get':>8}{'get x64':>8}{'scan':>8}")
    for name, rounds in found.items():
        told = "".join(f"{median(list(each)):8.2f}" for each in zip(*rounds, strict=True))
        print(f"{name:12}{told}")
    return 0
