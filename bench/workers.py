"""GET and PUT of 1 KiB by one process, and by several workers with a writer.

    python -m bench workers [--rounds 3] [--seconds 2] [--connections 64] [--workers 2]

What several workers gain follows the cores there are: the load generator, the workers and the
writer share them. On two cores they show what a change costs that goes by another process, and
little of what more workers are for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import cenote
from bench.load import Outcome, presigned, run_wrk, write_heads
from bench.peers import BUCKET, start_cenote
from bench.put_small import fresh_puts
from bench.rounds import median, options, play, ratio, scratch, table

SIZE = 1024
KEYS = 2000


def main() -> int:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        contenders: dict[str, Callable[[], Outcome]] = {}
        keys = [f"k{n:05}" for n in range(KEYS)]
        body = os.urandom(SIZE)
        (folder / "body").write_bytes(body)
        for number, workers in enumerate((1, args.workers)):
            root, port = folder / f"store{workers}", args.port + number
            with cenote.Store(root) as store:
                store.create_bucket(BUCKET)
                for key in keys:
                    store.put_object(BUCKET, key, body)
            server = stack.enter_context(start_cenote(root, port, "--workers", str(workers)))
            heads = write_heads(folder / f"{port}", (presigned("GET", port, key) for key in keys))
            shape = {"seconds": args.seconds, "connections": args.connections}
            contenders[f"GET, workers {workers}"] = partial(run_wrk, server, port, heads, **shape)
            contenders[f"PUT, workers {workers}"] = fresh_puts(
                folder, server, port, presigned, args.seconds, args.connections
            )
        results = play(contenders, args.rounds)
    table(
        ["1 KiB", "CPU us", "requests/s", "best", "p50 ms", "p99 ms"],
        [
            [
                name,
                f"{median(o.cpu_us for o in runs):.1f}",
                f"{median(o.rate for o in runs):,.0f}",
                f"{max(o.rate for o in runs):,.0f}",
                f"{median(o.p50_ms for o in runs):.2f}",
                f"{median(o.p99_ms for o in runs):.2f}",
            ]
            for name, runs in sorted(results.items())
        ],
    )
    rates = {name: [o.rate for o in runs] for name, runs in results.items()}
    for kind in ("GET", "PUT"):
        gain = ratio(rates[f"{kind}, workers {args.workers}"], rates[f"{kind}, workers 1"])
        print(f"{kind}: {gain:.2f} times one process")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
