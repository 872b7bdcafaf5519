"""ListObjectsV2 of 1000 keys in a bucket of a million, against SQLite by hand.

    python -m bench listing [--keys 1000000] [--rounds 5] [--profile]

By hand: the columns a listing tells, of the same 1000 keys, read with one statement. With a
delimiter, folders hold 10, 1000 and 100,000 keys: a page of as many folders must cost the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import apsw

import cenote
from bench.load import presigned
from bench.peers import BUCKET, start_cenote
from bench.process import Process
from bench.profile import profiled
from bench.rounds import Verdicts, median, options, play, scratch, table
from bench.transfer import request

TIMES = 20
PAGE = 1000
AIM_LAST = 1.5
AIM_HAND = 10.0
AIM_SKIPPED = 2.0
FOLDERS = {"few": 10, "some": 1000, "many": 100_000}  # keys in a folder
SHOWN = 8  # folders on a page


def keys(number: int) -> Iterator[str]:
    """Yield the keys: one flat million, and folders of three sizes beside it."""
    for n in range(number):
        yield f"flat/{n:09}"
    for name, size in FOLDERS.items():
        for folder in range(SHOWN):
            for n in range(size):
                yield f"{name}/{folder:02}/{n:07}"


def fill(root: Path, number: int) -> None:
    """Make the bucket: one object by the front door, the others as copies of its row."""
    with cenote.Store(root) as store:
        store.create_bucket(BUCKET)
        store.put_object(BUCKET, "a", b"", content_type="application/octet-stream")
    connection = apsw.Connection(str(root / f"{BUCKET}.sqlite3"))
    connection.pragma("synchronous", "OFF")
    (row,) = connection.execute("SELECT * FROM object").fetchall()
    statement = f"INSERT INTO object VALUES({','.join('?' * len(row))})"
    with connection:
        connection.executemany(statement, ((key, *row[1:]) for key in sorted(keys(number))))
        connection.execute("DELETE FROM object WHERE key='a'")
    connection.close()


def by_hand(path: Path, start: str) -> Callable[[], float]:
    """Return a contender that reads a page's rows with SQLite; seconds each."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    statement = (
        "SELECT key, size, etag, modified_ms, storage_class, checksum_algorithm, checksum_type"
        f" FROM object WHERE key>? ORDER BY key LIMIT {PAGE + 1}"
    )

    def run() -> float:
        began = time.perf_counter()
        for _ in range(TIMES):
            if len(connection.execute(statement, (start,)).fetchall()) < PAGE:
                raise RuntimeError("too few rows")
        return (time.perf_counter() - began) / TIMES

    return run


def by_server(server: Process, port: int, query: str, count: int) -> Callable[[], float]:
    """Return a contender that asks for a page; seconds of the server's CPU and of the clock."""
    head = presigned("GET", port, f"?list-type=2&{query}")
    found = b"<KeyCount>%d</KeyCount>" % count

    def run() -> float:
        seconds = []
        for _ in range(TIMES):
            began = time.perf_counter()
            answer = request(port, head)
            seconds.append(time.perf_counter() - began)
            if found not in answer:
                raise RuntimeError(answer[:2000].decode("latin-1"))
        server.require_alive()
        return median(seconds)

    return run


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    args = parser.parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        root, port = folder / "store", args.port
        fill(root, args.keys)
        server = stack.enter_context(start_cenote(root, port))
        last = f"flat/{args.keys - PAGE - 1:09}"
        after = quote(last, safe="")
        file = root / f"{BUCKET}.sqlite3"
        contenders: dict[str, Callable[[], float]] = {
            "first page": by_server(server, port, "prefix=flat%2F", PAGE),
            "last page": by_server(server, port, f"prefix=flat%2F&start-after={after}", PAGE),
            "first page, by hand": by_hand(file, "flat/"),
            "last page, by hand": by_hand(file, last),
        }
        for name, size in FOLDERS.items():
            contenders[f"{SHOWN} folders of {size}"] = by_server(
                server, port, f"prefix={name}%2F&delimiter=%2F", SHOWN
            )
        if args.profile:
            profiled(server, contenders["first page"])
            return 0
        results = play(contenders, args.rounds)
    return report({name: min(runs) for name, runs in results.items()})


def report(best: dict[str, float]) -> int:
    """Compare the best of the rounds: a page takes milliseconds, so some round was undisturbed."""
    table(
        ["a page of a million keys", "ms"],
        [[name, f"{seconds * 1000:.2f}"] for name, seconds in best.items()],
    )
    verdicts = Verdicts()
    verdicts.at_most("last page over first", best["last page"] / best["first page"], AIM_LAST)
    verdicts.at_most(
        "last page over by hand", best["last page"] / best["last page, by hand"], AIM_HAND
    )
    few, _, many = (best[f"{SHOWN} folders of {size}"] for size in FOLDERS.values())
    verdicts.at_most("folders of 100,000 keys over folders of 10", many / few, AIM_SKIPPED)
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
