"""PUT of 1 KiB, signed and durable: requests a second against a bare SQLite loop and moto.

    python -m bench put_small [--rounds 5] [--seconds 2] [--connections 64] [--profile]

Every request makes a new object. The bare loop commits the same rows to the same schema, synced,
in groups as large as the number of connections, in a process that does nothing else. moto keeps
objects in memory and checks no signature.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from itertools import count
from pathlib import Path

import cenote
from bench.load import Outcome, presigned, run_wrk, signed, write_heads
from bench.peers import BUCKET, start_cenote, start_moto
from bench.process import Process
from bench.profile import profiled
from bench.rounds import Verdicts, median, options, play, ratio, scratch, table

SIZE = 1024
RATE_MAX = 50_000  # requests a second there are keys for; then keys are written again
AIM_BARE = 0.5
AIM_MOTO = 40.0

Head = Callable[[str, int, str, int], bytes]


def fresh_puts(
    folder: Path, server: Process, port: int, head: Head, seconds: float, connections: int
) -> Callable[[], Outcome]:
    """Return a contender that puts new keys in every round."""
    body = folder / "body"
    rounds: Iterator[int] = count()

    def run() -> Outcome:
        prefix = f"{head.__name__[:1]}{next(rounds)}"
        number = round(RATE_MAX * seconds)
        path = folder / f"{port}-{prefix}.heads"
        write_heads(path, (head("PUT", port, f"{prefix}-{n:07}", SIZE) for n in range(number)))
        outcome = run_wrk(server, port, path, body, seconds=seconds, connections=connections)
        path.unlink()
        return outcome

    return run


def bare(folder: Path, seconds: float, group: int) -> Outcome:
    """Run the bare loop in a process of its own."""
    argv = [sys.executable, "-m", "bench.bare", str(folder), str(seconds), str(group), str(SIZE)]
    seen = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return Outcome(seen["rate"], seen["cpu_us"], 0, 0)


def main() -> int:
    args = options(__doc__).parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        root, port = folder / "store", args.port
        with cenote.Store(root) as store:
            store.create_bucket(BUCKET)
        payload = os.urandom(SIZE)
        (folder / "body").write_bytes(payload)
        digest = sha256(payload).hexdigest()

        def by_header(method: str, port: int, key: str, length: int) -> bytes:
            return signed(method, port, key, length, digest, content_type="binary/octet-stream")

        server = stack.enter_context(start_cenote(root, port))
        shape = (args.seconds, args.connections)
        contenders: dict[str, Callable[[], Outcome]] = {
            "cenote, presigned": fresh_puts(folder, server, port, presigned, *shape),
            "cenote, by header": fresh_puts(folder, server, port, by_header, *shape),
            "bare loop": lambda: bare(folder, args.seconds, args.connections),
        }
        if "moto" not in args.without:
            moto = stack.enter_context(start_moto(folder, port + 2, args.moto))
            contenders["moto"] = fresh_puts(folder, moto, port + 2, presigned, *shape)
            make_bucket(folder, moto, port + 2)
        if args.profile:
            profiled(server, contenders["cenote, presigned"])
            return 0
        results = play(contenders, args.rounds)
    return report(results)


def make_bucket(folder: Path, moto: Process, port: int) -> None:
    head = presigned("PUT", port, "", 0)
    run_wrk(moto, port, write_heads(folder / "bucket", [head]), seconds=1, connections=1)


def report(results: dict[str, list[Outcome]]) -> int:
    table(
        ["durable PUT of 1 KiB", "CPU us", "requests/s", "best", "p50 ms", "p99 ms"],
        [
            [
                name,
                f"{median(o.cpu_us for o in runs):.1f}",
                f"{median(o.rate for o in runs):,.0f}",
                f"{max(o.rate for o in runs):,.0f}",
                f"{median(o.p50_ms for o in runs):.2f}",
                f"{median(o.p99_ms for o in runs):.2f}",
            ]
            for name, runs in results.items()
        ],
    )
    verdicts = Verdicts()
    rates = {name: [o.rate for o in runs] for name, runs in results.items()}
    for way in ("presigned", "by header"):
        verdicts.at_least(
            f"requests a second over the bare loop's, {way}",
            ratio(rates[f"cenote, {way}"], rates["bare loop"]),
            AIM_BARE,
        )
    if "moto" in rates:
        verdicts.at_least(
            "requests a second over moto's",
            ratio(rates["cenote, presigned"], rates["moto"]),
            AIM_MOTO,
            ".0f",
        )
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
