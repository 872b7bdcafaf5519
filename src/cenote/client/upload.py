"""Uploads of any size: one PUT for the small, parallel parts for the large.

Owns: choosing parts, sending several at once, giving up cleanly.

Invariants:
1. Memory is bounded: at most `threads` + 1 parts are held.
2. An upload that fails, or is interrupted, is aborted: no parts are left behind to be paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import BinaryIO

from cenote.client.client import Client
from cenote.errors import Error, InvalidError

__all__ = ["part_size_for", "upload"]

PART_SIZE = 16 << 20
PARTS_MAX = 10_000
THREADS = 4

Part = tuple[int, str, str]


def part_size_for(size: int | None) -> int:
    """Return the size of parts for `size` bytes (None: unknown): 16 MiB, more past 156 GiB."""
    if size is None:
        return PART_SIZE
    return max(PART_SIZE, -(-size // PARTS_MAX))


def upload(
    client: Client,
    bucket: str,
    key: str,
    source: BinaryIO,
    *,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    threads: int = THREADS,
    sent: Callable[[int], None] | None = None,
) -> None:
    """Store everything `source` gives, from where it stands to its end.

    `size` (bytes, when known) chooses the size of parts. `sent` is told the bytes of each request
    that was taken. Raises: what the client raises; InvalidError when an unannounced stream is
    longer than 10000 parts.
    """
    part_size = part_size_for(size)
    first = _read(source, part_size)
    if len(first) < part_size:
        client.put_object(bucket, key, first, headers)
        if sent is not None:
            sent(len(first))
        return
    upload_id = client.create_upload(bucket, key, headers)
    try:
        parts = _send_parts(client, (bucket, key, upload_id), source, first, threads, sent)
        client.complete_upload(bucket, key, upload_id, sorted(parts))
    except BaseException:
        with suppress(Error):
            client.abort_upload(bucket, key, upload_id)
        raise


def _read(source: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end: a pipe gives what it has."""
    parts = []
    while size > 0 and (data := source.read(size)):
        parts.append(data)
        size -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _send_parts(
    client: Client,
    where: tuple[str, str, str],
    source: BinaryIO,
    first: bytes,
    threads: int,
    sent: Callable[[int], None] | None,
) -> list[Part]:
    bucket, key, upload_id = where
    done: list[Part] = []
    running: dict[Future[Part], int] = {}

    def settle(minimum: int) -> None:
        while len(running) > minimum:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                size = running.pop(future)
                done.append(future.result())
                if sent is not None:
                    sent(size)

    part_size = len(first)
    with ThreadPoolExecutor(threads, "upload") as pool:
        data, number = first, 1
        try:
            while data:
                if number > PARTS_MAX:
                    raise InvalidError(f"the stream is longer than {PARTS_MAX} parts")
                future = pool.submit(client.upload_part, bucket, key, upload_id, number, data)
                running[future] = len(data)
                settle(threads - 1)
                data, number = _read(source, part_size), number + 1
            settle(0)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return done
