"""Requests to an S3 server by the engine and by the `slatedb` package: opens, commits, idling.

    python -m bench engine_requests [--idle 60] [--port 9700]

Both talk to a server of ours, whose access log is counted. Their settings are the defaults, as a
user has them. Contenders take turns; what a contender does is all that the server sees meanwhile.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cenote
from bench.engine import CONTENDERS, Worker
from bench.peers import ACCESS_KEY, BUCKET, SECRET_KEY, start_cenote
from bench.rounds import Verdicts, options, scratch, table

COMMITS = 20
SETTLE = 2.5  # seconds until the log is written


class Log:
    """The server's access log, read piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def since(self) -> Counter[str]:
        """Return the requests since the last call, by operation."""
        time.sleep(SETTLE)
        with self._path.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines()
            self._read = file.tell()
        return Counter(json.loads(line)["operation"] for line in lines)


def count(worker: Worker, log: Log, idle: float) -> dict[str, tuple[float, Counter[str]]]:
    """Return requests for each thing that is done."""
    found: dict[str, tuple[float, Counter[str]]] = {}

    def note(what: str, divisor: float = 1) -> None:
        seen = log.since()
        found[what] = (seen.total() / divisor, seen)

    log.since()
    worker.call("open", "database", 100, True)
    note("open, a new database")
    time.sleep(2)
    log.since()
    worker.call("durable", COMMITS)
    note("durable put", COMMITS)
    worker.call("put_memtable")
    note("put, and flush of the memtable")
    time.sleep(idle)
    note("a minute of nothing", (idle + SETTLE) / 60)
    worker.call("close")
    note("close")
    worker.call("open", "database", 100, True)
    note("open, an existing database")
    worker.call("close")
    log.since()
    return found


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--idle", type=float, default=60, help="seconds of doing nothing")
    args = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    with scratch(args.folder) as folder:
        root, path = folder / "store", folder / "access.log"
        with cenote.Store(root) as store:
            for name in CONTENDERS:
                store.create_bucket(f"{BUCKET}-{name}")
        os.environ |= {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT": f"http://127.0.0.1:{args.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }
        log_options = ("--access-log", "json", "--access-log-file", str(path))
        with start_cenote(root, args.port, *log_options):
            log = Log(path)
            for name, module in CONTENDERS.items():
                worker = Worker(module, f"s3://{BUCKET}-{name}", 1)
                try:
                    results[name] = count(worker, log, args.idle)
                finally:
                    worker.close()
    return report(results)


def report(results: dict[str, dict[str, Any]]) -> int:
    ours, theirs = results["cenote"], results["slatedb"]
    table(
        ["requests for", "cenote", "slatedb", "what ours are"],
        [
            [
                what,
                f"{ours[what][0]:.1f}",
                f"{theirs[what][0]:.1f}",
                ", ".join(f"{name} {number}" for name, number in ours[what][1].most_common()),
            ]
            for what in ours
        ],
    )
    verdicts = Verdicts()
    for what in ours:
        if what != "close":
            verdicts.at_most(f"requests for {what}", ours[what][0], theirs[what][0], ".1f")
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
