"""GET of 64 MiB over one connection, against nginx with sendfile.

python -m bench get_large [--rounds 7] [--connections 1]
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import cenote
from bench.load import plain, presigned
from bench.peers import BUCKET, start_cenote, start_nginx
from bench.process import Process
from bench.profile import profiled
from bench.rounds import Verdicts, median, options, play, ratio, scratch, table
from bench.transfer import Transfer, get

SIZE = 64 << 20
TIMES = 8
AIM = 0.7


def fetch(server: Process, port: int, head: bytes, connections: int) -> Transfer:
    """Fetch over some connections at once; the rate is of all together."""
    if connections == 1:
        return get(server, port, head, SIZE, TIMES)
    with ThreadPoolExecutor(connections) as pool:
        parts = list(pool.map(lambda _: get(server, port, head, SIZE, TIMES), range(connections)))
    return Transfer(sum(part.rate for part in parts), median(part.cpu for part in parts))


def main() -> int:
    parser = options(__doc__, rounds=7, connections=1)
    args = parser.parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        body = os.urandom(SIZE)
        root, files, port = folder / "store", folder / "files", args.port
        (files / BUCKET).mkdir(parents=True)
        (files / BUCKET / "big").write_bytes(body)
        with cenote.Store(root) as store:
            store.create_bucket(BUCKET)
            store.put_object(BUCKET, "big", body)
        os.sync()
        server = stack.enter_context(start_cenote(root, port))
        contenders: dict[str, Callable[[], Transfer]] = {
            "cenote": partial(fetch, server, port, presigned("GET", port, "big"), args.connections)
        }
        nginx = stack.enter_context(start_nginx(files, port + 1))
        contenders["nginx, sendfile"] = partial(
            fetch, nginx, port + 1, plain("GET", port + 1, "big"), args.connections
        )
        if args.profile:
            profiled(server, contenders["cenote"])
            return 0
        results = play(contenders, args.rounds)
    table(
        ["GET of 64 MiB", "GB/s", "best", "CPU s/GB"],
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
    rates = {name: [t.rate for t in runs] for name, runs in results.items()}
    verdicts.at_least("rate over nginx's", ratio(rates["cenote"], rates["nginx, sendfile"]), AIM)
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
