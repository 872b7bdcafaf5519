"""Segments: keys parted by their prefixes, each part with a tree of its own.

Owns: the extractor's contract, the check of what it returns, parting rows.
Does not own: the trees, or the name in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from cenote.errors import InvalidError
from cenote.lsm.entry import Row

__all__ = ["SegmentExtractor", "extractor_name", "segment_of", "split_rows"]


class SegmentExtractor(Protocol):
    """Says which part of a key names its segment.

    The prefixes it makes are prefix-free: none begins with another. Pure, and called in any
    thread. `name` tells one extractor from another; a database keeps the one it was made with.
    """

    @property
    def name(self) -> str:
        """What to call the extractor in the database's files."""
        ...

    def prefix_of(self, key: bytes) -> bytes | None:
        """Return the prefix of `key`; None for a key that has none."""
        ...


def extractor_name(extractor: SegmentExtractor | None) -> str | None:
    """Return what an extractor is called, None without one.

    Raises InvalidError(kind="segment_extractor") for what is no extractor.
    """
    if extractor is None:
        return None
    name = getattr(extractor, "name", None)
    if not isinstance(name, str) or not callable(getattr(extractor, "prefix_of", None)):
        raise InvalidError(
            f"{type(extractor).__name__} is no segment extractor",
            kind="segment_extractor",
            hint="give it a name, a str, and prefix_of(key)",
        )
    return name


def segment_of(extractor: SegmentExtractor, key: bytes) -> bytes:
    """Return the segment of a key. Raises InvalidError (kind "no_segment"), what it raises."""
    prefix = extractor.prefix_of(key)
    if not prefix or not key.startswith(prefix):
        raise InvalidError(
            f"the extractor {extractor.name!r} finds no segment in the key",
            kind="no_segment",
            key=key[:64],
        )
    return prefix


def split_rows(
    extractor: SegmentExtractor | None, rows: Sequence[Row]
) -> Iterator[tuple[bytes, Sequence[Row]]]:
    """Yield each segment and its rows; without an extractor, the root and all rows.

    Requires: rows in the order of their keys. Raises as `segment_of`; InvalidError when a prefix
    begins with another.
    """
    if extractor is None:
        if rows:
            yield b"", rows
        return
    start = 0
    prefix: bytes | None = None
    for at, row in enumerate(rows):
        key = row[0]
        if prefix is not None and key.startswith(prefix):
            if segment_of(extractor, key) != prefix:
                raise _not_free(extractor, prefix)
            continue
        if prefix is not None:
            yield prefix, rows[start:at]
        start, before, prefix = at, prefix, segment_of(extractor, key)
        if before is not None and before.startswith(prefix):
            raise _not_free(extractor, prefix)
    if prefix is not None:
        yield prefix, rows[start:]


def _not_free(extractor: SegmentExtractor, prefix: bytes) -> InvalidError:
    return InvalidError(
        f"the extractor {extractor.name!r} makes prefixes that begin with one another",
        kind="segment_overlap",
        prefix=prefix[:64],
    )
