"""Where a body's bytes are: its runs, resolved down to pack regions and inline values.

Owns: reading a body's layout. A joined body is a rope: its extents name other bodies, which own
the regions. So every region has exactly one owner, however often its bytes are used.

Invariants:
1. The tree is two deep: joining a joined body takes its runs, not itself.
2. `Run.body` is the owner: reclaim may touch a region only when no lease holds its owner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from cenote.errors import DataError
from cenote.sqldb.rows import unsigned

__all__ = ["Run", "load_runs"]


class Run(Struct, frozen=True):
    """`size` bytes owned by body `body`: at `offset` of pack `pack`, or with pack 0 its value."""

    body: int
    pack: int
    offset: int
    size: int
    crc: int = 0


_RUNS = """
SELECT e.offset, e.pack, e.size, e.crc, f.pack, f.offset, f.size, f.crc
FROM extent e LEFT JOIN extent f ON e.pack = 0 AND f.body = e.offset
WHERE e.body = ? ORDER BY e.seq, f.seq
"""


def load_runs(rows: Callable[[str, tuple[Any, ...]], list[Any]], body: int) -> tuple[Run, ...]:
    """Return the runs of a body in order; the empty body has none.

    Raises DataError when there is no such body. Cost: 5 us, and 1 us a run.
    """
    if body == 0:
        return ()
    found = rows(_RUNS, (body,))
    if not found:
        whole = rows("SELECT size FROM body WHERE id=? AND value IS NOT NULL", (body,))
        if not whole:
            raise DataError(f"body {body} is missing", kind="missing_body", body=body)
        return (Run(body, 0, 0, whole[0][0], 0),)
    return tuple(
        Run(body, pack, offset, size, unsigned(crc))
        if pack
        else Run(offset, 0, 0, size, 0)
        if inner_pack is None
        else Run(offset, inner_pack, inner_offset, inner_size, unsigned(inner_crc))
        for offset, pack, size, crc, inner_pack, inner_offset, inner_size, inner_crc in found
    )
