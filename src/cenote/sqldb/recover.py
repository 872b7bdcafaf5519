"""What a kill leaves behind in the packs, put right when a bucket is opened for writing.

Owns: pack files no row names, regions of unsealed packs no extent is in.
Does not own: `freed` rows (`reclaim` goes on with them), or SQLite's own recovery of its log.

Trusts only the index: what no commit refers to was never acknowledged. Sealed packs need no look:
a pack is sealed only when every region in it was settled.

Invariants:
1. Nothing an extent refers to is touched. A pack that a row names and that is missing, or whose
   head is damaged, is left to `check`: what lies elsewhere is served all the same.
2. Doing it twice, or being cut short, changes nothing more.
"""

from __future__ import annotations

import logging
from typing import Any

from cenote.base import failpoint
from cenote.errors import DataError
from cenote.sqldb.packs import Packs
from cenote.sqldb.pool import Pool

__all__ = ["recover_packs"]

log = logging.getLogger("cenote.sqldb")

failpoint.register("recover.orphan", "recover.punch")


def recover_packs(pool: Pool, packs: Packs, *, alone: bool = True) -> int:
    """Give back what an earlier process left unfinished; return how many bytes that was.

    Without `alone` there are processes that an earlier writer gave regions to, and leases it
    granted: such a pack takes no more bodies, and what is owed stays until no lease is in the way.
    Requires: nobody else has the bucket open for writing. Raises OSError, apsw.Error.
    Cost: one look at each pack file's name, and the extents of the few unsealed packs.
    """
    numbers = packs.numbers()
    given = 0
    with pool.reading() as reader:
        # A number still in a row must not be given to a new file: what is owed in the old one
        # would be punched out of the new.
        packs.skip_to(
            reader.one(
                "SELECT max(coalesce((SELECT max(id) FROM pack), 0),"
                " coalesce((SELECT max(pack) FROM freed), 0))"
            )[0]
        )
        rows: list[Any] = reader.execute("SELECT id, sealed FROM pack").fetchall()
        known: dict[int, int] = dict(rows)
        for number in numbers:
            if number not in known:
                failpoint.hit("recover.orphan")
                given += packs.path(number).stat().st_size
                packs.unlink(number)
            elif not known[number] and _is_sound(packs, number):
                failpoint.hit("recover.punch")
                taken: list[Any] = reader.execute(
                    "SELECT offset, size FROM extent WHERE pack=? ORDER BY offset", (number,)
                ).fetchall()
                if not alone:
                    taken += reader.execute(
                        "SELECT offset, size FROM freed WHERE pack=?", (number,)
                    ).fetchall()
                given += packs.punch_between(number, taken)
                packs.resume(number, fill=alone)
    return given


def _is_sound(packs: Packs, number: int) -> bool:
    try:
        packs.unuse(packs.use(number))
    except DataError as error:
        log.warning("%s: it takes no more bodies", error)
        return False
    return True
