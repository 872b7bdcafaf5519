"""What a body may be given as, and staging it with flat memory.

Owns: turning bytes, files and iterables into pieces and a size known beforehand.
Does not own: where the bytes go (`cenote.ports.Bodies`).

A body's size must be known before its first byte is written: a file that can seek tells it, an
iterable or a pipe is first spooled to a temporary file.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

from cenote.buckets.limits import PUT_SIZE_MAX, check_size
from cenote.errors import InvalidError
from cenote.ports import Bodies, StagedBody

__all__ = ["BodySource", "stage"]

PIECE_SIZE: Final = 1 << 20
SPOOL_MEMORY: Final = 4 << 20

Piece = bytes | bytearray | memoryview
BodySource = Piece | IO[bytes] | Iterable[bytes]


def stage(
    bodies: Bodies, source: BodySource, algorithms: Sequence[str], *, size: int | None = None
) -> StagedBody:
    """Write a body and return it staged: durable, or small enough to travel in a commit.

    `size` is the number of bytes, for a source that cannot tell; more or fewer are refused.
    Cost: memory for a few MiB, whatever the size.
    Raises InvalidError: kind "entity_too_large", "incomplete_body".
    """
    with _measured(source, size) as (pieces, known):
        check_size(known)
        writer = bodies.writer(known, algorithms)
        try:
            for piece in pieces:
                writer.write(piece)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise


@contextmanager
def _measured(source: BodySource, size: int | None) -> Iterator[tuple[Iterable[Piece], int]]:
    if isinstance(source, bytes | bytearray | memoryview):
        length = source.nbytes if isinstance(source, memoryview) else len(source)
        yield (source,), length if size is None else size
        return
    pieces = _pieces(source)
    if size is None:
        size = _remaining(source)
    if size is not None:
        yield pieces, size
        return
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY) as spool:
        total = 0
        for piece in pieces:
            total += len(piece)
            if total > PUT_SIZE_MAX:
                check_size(total)
            spool.write(piece)
        spool.seek(0)
        yield _pieces(spool), total


def _pieces(source: IO[bytes] | Iterable[bytes]) -> Iterator[Piece]:
    read = getattr(source, "read", None)
    pieces = iter(source) if read is None else iter(lambda: read(PIECE_SIZE), b"")
    for piece in pieces:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise InvalidError(
                f"a body is made of bytes, not {type(piece).__name__}",
                kind="invalid_argument",
                argument="body",
                hint="encode text, or open the file in binary mode",
            )
        if piece:
            yield piece


def _remaining(source: object) -> int | None:
    """Return how many bytes a seekable file still has, or None."""
    if not (hasattr(source, "seek") and hasattr(source, "tell") and hasattr(source, "read")):
        return None
    try:
        here: int = source.tell()
        end: int = source.seek(0, io.SEEK_END)
        source.seek(here)
    except (OSError, io.UnsupportedOperation):
        return None
    return end - here
