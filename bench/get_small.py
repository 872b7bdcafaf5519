"""GET of 1 KiB: CPU per request and requests a second, against nginx and moto.

    python -m bench get_small [--rounds 5] [--seconds 2] [--connections 64] [--profile]

nginx serves the same bytes as static files, without a signature to check. moto keeps objects in
memory and checks no signature either.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import cenote
from bench.load import Outcome, plain, presigned, run_wrk, signed, write_heads
from bench.peers import BUCKET, start_cenote, start_moto, start_nginx
from bench.process import Process
from bench.profile import profiled
from bench.rounds import Verdicts, median, options, play, ratio, scratch, table

KEYS = 1000
SIZE = 1024
AIM_NGINX = 2.5
AIM_MOTO = 60.0


def fill(folder: Path) -> tuple[Path, Path]:
    """Make the same objects as a store and as files."""
    root, files = folder / "store", folder / "files"
    (files / BUCKET).mkdir(parents=True)
    with cenote.Store(root) as store:
        store.create_bucket(BUCKET)
        for number in range(KEYS):
            body = os.urandom(SIZE)
            store.put_object(BUCKET, f"k{number:05}", body, content_type="application/octet-stream")
            (files / BUCKET / f"k{number:05}").write_bytes(body)
    return root, files


def main() -> int:
    parser = options(__doc__)
    args = parser.parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        root, files = fill(folder)
        keys = [f"k{number:05}" for number in range(KEYS)]
        contenders: dict[str, Callable[[], Outcome]] = {}

        def add(name: str, server: Process, port: int, heads: list[bytes]) -> None:
            path = write_heads(folder / f"{len(contenders)}.heads", heads)
            contenders[name] = partial(
                run_wrk,
                server,
                port,
                path,
                seconds=args.seconds,
                connections=args.connections,
            )

        port = args.port
        server = stack.enter_context(start_cenote(root, port))
        url = [presigned("GET", port, key) for key in keys]
        header = [signed("GET", port, key) for key in keys]
        add("cenote, presigned", server, port, url)
        add("cenote, by header", server, port, header)
        if "nginx" not in args.without:
            nginx = stack.enter_context(start_nginx(files, port + 1))
            add("nginx", nginx, port + 1, [plain("GET", port + 1, key) for key in keys])
        if "moto" not in args.without:
            moto = stack.enter_context(start_moto(folder, port + 2, args.moto))
            fill_moto(moto, port + 2, folder, keys)
            add("moto", moto, port + 2, [presigned("GET", port + 2, key) for key in keys])
        if args.profile:
            profiled(server, contenders["cenote, presigned"])
            return 0
        results = play(contenders, args.rounds)
    return report(results)


def fill_moto(moto: Process, port: int, folder: Path, keys: list[str]) -> None:
    """Put the keys into moto once each."""
    body = folder / "body"
    body.write_bytes(os.urandom(SIZE))
    bucket = presigned("PUT", port, "", 0)
    puts = [presigned("PUT", port, key, SIZE) for key in keys]
    once = partial(run_wrk, moto, port, connections=1, seconds=1)
    once(write_heads(folder / "moto-bucket", [bucket]))
    path = write_heads(folder / "moto-puts", puts)
    sent = 0.0
    while sent < len(keys) * 1.2:  # wrk counts no requests, it sends for a time
        outcome = run_wrk(moto, port, path, body, seconds=4, connections=1)
        sent += outcome.rate * 4


def report(results: dict[str, list[Outcome]]) -> int:
    table(
        ["GET of 1 KiB", "CPU us", "requests/s", "best", "p50 ms", "p99 ms"],
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
    ours = results["cenote, presigned"]
    header = results["cenote, by header"]
    if "nginx" in results:
        below = [o.cpu_us for o in results["nginx"]]
        for name, runs in (("presigned", ours), ("by header", header)):
            verdicts.at_most(
                f"CPU per request over nginx's, {name}",
                ratio([o.cpu_us for o in runs], below),
                AIM_NGINX,
            )
    if "moto" in results:
        verdicts.at_least(
            "requests a second over moto's",
            ratio([o.rate for o in ours], [o.rate for o in results["moto"]]),
            AIM_MOTO,
            ".0f",
        )
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
