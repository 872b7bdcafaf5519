"""CompleteMultipartUpload and CopyObject of 100 MiB and of 10 GiB: no bytes move, so the same time.

    python -m bench by_reference [--rounds 5]

Parts are made by UploadPartCopy of a whole object, which moves no bytes either, so that 10 GiB are
at hand in seconds. Both objects have the same number of parts.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

import cenote
from bench.load import signed
from bench.peers import BUCKET, start_cenote
from bench.rounds import Verdicts, median, options, play, ratio, scratch, table
from bench.transfer import request

PARTS = 20
SIZES = {"100 MiB": 5 << 20, "10 GiB": 512 << 20}  # of one part
AIM = 1.5
UNSIGNED = "UNSIGNED-PAYLOAD"


class Client:
    """Requests to one server, signed by header; each on its own connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, method: str, key: str, body: bytes = b"", **headers: str) -> str:
        head = signed(method, self._port, key, len(body), UNSIGNED, **headers)
        answer = request(self._port, head, body)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:2000].decode("latin-1"))
        return answer.decode("latin-1")

    def begin(self, key: str) -> str:
        """Begin an upload and return its id."""
        return _first(r"<UploadId>(.*?)</UploadId>", self("POST", f"{key}?uploads="))


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(text)
    return found[1]


def upload(client: Client, key: str, part_size: int) -> tuple[str, bytes]:
    """Upload all parts; return the upload's id and the document that completes it."""
    upload_id = client.begin(key)
    etags = []
    for number in range(1, PARTS + 1):
        target = f"{key}?partNumber={number}&uploadId={upload_id}"
        answer = client("PUT", target, x_amz_copy_source=f"/{BUCKET}/seed-{part_size}")
        etags.append(_first(r"<ETag>(?:&quot;|\")?([0-9a-f]{32})", answer))
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    return upload_id, document.encode()


def main() -> int:
    args = options(__doc__, rounds=9).parse_args()
    with scratch(args.folder) as folder, ExitStack() as stack:
        root, port = folder / "store", args.port
        with cenote.Store(root) as store:
            store.create_bucket(BUCKET)
            piece = os.urandom(1 << 20)
            for size in SIZES.values():
                pieces = (piece for _ in range(size >> 20))
                store.put_object(BUCKET, f"seed-{size}", pieces, size=size)
        stack.enter_context(start_cenote(root, port))
        client = Client(port)
        uploads = count()

        def complete(part_size: int) -> Callable[[], float]:
            def run() -> float:
                key = f"whole-{part_size}-{next(uploads)}"
                upload_id, document = upload(client, key, part_size)
                began = time.perf_counter()
                client("POST", f"{key}?uploadId={upload_id}", document)
                return time.perf_counter() - began

            return run

        def copy(part_size: int) -> Callable[[], float]:
            def run() -> float:
                began = time.perf_counter()
                client(
                    "PUT",
                    f"copy-{next(uploads)}",
                    x_amz_copy_source=f"/{BUCKET}/whole-{part_size}-{first[part_size]}",
                )
                return time.perf_counter() - began

            return run

        first = {size: at for at, size in enumerate(SIZES.values())}
        contenders = {f"complete {name}": complete(size) for name, size in SIZES.items()}
        results = play(contenders, args.rounds)
        results |= play({f"copy {name}": copy(size) for name, size in SIZES.items()}, args.rounds)
    table(
        [f"{PARTS} parts", "ms", "best"],
        [
            [name, f"{median(runs) * 1000:.2f}", f"{min(runs) * 1000:.2f}"]
            for name, runs in results.items()
        ],
    )
    verdicts = Verdicts()
    for what in ("complete", "copy"):
        verdicts.at_most(
            f"{what}: 10 GiB over 100 MiB",
            ratio(results[f"{what} 10 GiB"], results[f"{what} 100 MiB"]),
            AIM,
        )
    return verdicts.code


if __name__ == "__main__":
    raise SystemExit(main())
