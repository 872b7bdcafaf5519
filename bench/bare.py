"""The bare loop: the rows of small objects committed to SQLite in groups, and nothing else.

    python -m bench.bare FOLDER SECONDS GROUP SIZE

The same schema, page size, columns and sync as the server's; no HTTP, no signature, no hashing,
the values of the rows made beforehand. Prints its rate and CPU as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import apsw

import cenote

BUCKET = "bare"


def template(root: Path, size: int) -> tuple[object, ...]:
    """Store one object as the server would, and return its row."""
    with cenote.Store(root) as store:
        store.create_bucket(BUCKET)
        store.put_object(BUCKET, "a", os.urandom(size), content_type="application/octet-stream")
    connection = apsw.Connection(str(root / f"{BUCKET}.sqlite3"))
    (row,) = connection.execute("SELECT * FROM object").fetchall()
    connection.close()
    return tuple(row)


def run(folder: Path, seconds: float, group: int, size: int) -> dict[str, float]:
    """Commit groups of new objects for some seconds."""
    root = folder / f"bare-{time.monotonic_ns()}"
    _, *rest = template(root, size)
    body_at = 3  # where among `rest` the body's id stands
    connection = apsw.Connection(str(root / f"{BUCKET}.sqlite3"))
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -8192)
    value = os.urandom(size)
    execute = connection.execute
    put_body = "INSERT INTO body VALUES(?,?,?)"
    put_object = f"INSERT OR REPLACE INTO object VALUES({','.join('?' * (len(rest) + 1))})"
    ((start,),) = execute("SELECT max(id) + 1 FROM body").fetchall()
    number = 0
    began, cpu = time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - began) < seconds:
        execute("BEGIN IMMEDIATE")
        for _ in range(group):
            rest[body_at] = start + number
            execute(put_body, (start + number, size, value))
            execute(put_object, (f"r{number:09}", *rest))
            number += 1
        execute("COMMIT")
    used = time.process_time() - cpu
    connection.close()
    return {"rate": number / spent, "cpu_us": used / number * 1e6}


if __name__ == "__main__":
    where, how_long, many, large = sys.argv[1:]
    print(json.dumps(run(Path(where), float(how_long), int(many), int(large))))
