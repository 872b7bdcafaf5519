"""PUT of 64 MiB over one connection, against MD5 on one core and against the disk.

    python -m bench put_large [--rounds 7]

Every PUT needs the MD5 of its body, and is synced before its answer. So no server can be faster
than MD5, nor than the disk takes the same bytes written in order and synced; the slower of the two
is what the rate is compared with.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import cenote
from bench.load import presigned
from bench.peers import BUCKET, start_cenote
from bench.profile import profiled
from bench.rounds import Verdicts, median, options, play, scratch, table
from bench.transfer import Transfer, put

SIZE = 64 << 20
TIMES = 4
AIM = 0.7
_PIECE = 1 << 20


def md5(body: bytes) -> Transfer:
    """Hash the body piece by piece."""
    began, used = time.perf_counter(), time.process_time()
    for _ in range(TIMES):
        digest = hashlib.md5(usedforsecurity=False)
        for at in range(0, SIZE, _PIECE):
            digest.update(memoryview(body)[at : at + _PIECE])
        digest.digest()
    return _result(began, used)


def disk(folder: Path, body: bytes) -> Transfer:
    """Write the body to a new file in order, and sync it."""
    path = folder / "raw"
    began, used = time.perf_counter(), time.process_time()
    with path.open("wb", buffering=0) as file:
        for _ in range(TIMES):
            for at in range(0, SIZE, _PIECE):
                file.write(memoryview(body)[at : at + _PIECE])
            os.fdatasync(file.fileno())
    result = _result(began, used)
    path.unlink()
    return result


def _result(began: float, used: float) -> Transfer:
    size = SIZE * TIMES
    seconds = time.perf_counter() - began
    return Transfer(size / seconds / 1e9, (time.process_time() - used) / (size / 1e9))


def main() -> int:
    args = options(__doc__, rounds=7).parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        body = os.urandom(SIZE)
        root, port = folder / "store", args.port
        with cenote.Store(root) as store:
            store.create_bucket(BUCKET)
        server = stack.enter_context(start_cenote(root, port))
        rounds = count()

        def send() -> Transfer:
            number = next(rounds)
            # The same few keys: what is replaced gives its space back.
            heads = [presigned("PUT", port, f"big-{number % 2}-{n}", SIZE) for n in range(TIMES)]
            return put(server, port, heads, body)

        contenders: dict[str, Callable[[], Transfer]] = {
            "cenote": send,
            "MD5, one core": lambda: md5(body),
            "disk, synced": lambda: disk(folder, body),
        }
        if args.profile:
            profiled(server, send)
            return 0
        results = play(contenders, args.rounds)
    table(
        ["PUT of 64 MiB", "GB/s", "best", "CPU s/GB"],
        [
            [
                name,
                f"{median(t.rate for t in runs):.2f}",
                f"{max(t.rate for t in runs):.2f}",
                f"{median(t.cpu for t in runs):.3f}",
            ]
            for name, runs in results.items()
        ],
    )
    verdicts = Verdicts()
    over = [
        ours.rate / min(hashed.rate, written.rate)
        for ours, hashed, written in zip(
            results["cenote"], results["MD5, one core"], results["disk, synced"], strict=True
        )
    ]
    verdicts.at_least("rate over the slower of MD5 and disk", median(over), AIM)
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
