"""Every rule a stored bucket must keep, as a function anybody can call.

Owns: the comparison of index and packs with the invariants of `schema`, `txn` and `packfile`.
Does not own: repair. It reads in one snapshot and changes nothing; beside a live server it may be
run at any time.

Why one function: tests call it after everything they do, the command line offers it to people, and
both must mean the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import apsw
from msgspec import Struct

from cenote.base import crc64nvme, digest_base64, digest_of
from cenote.errors import DataError
from cenote.sqldb.faults import translate
from cenote.sqldb.packfile import FRAME_HEAD, PackFile, frame_size
from cenote.sqldb.packs import Packs
from cenote.sqldb.pool import Pool, Reader
from cenote.sqldb.rows import unsigned

__all__ = ["Finding", "check_bucket"]

_PIECE: Final = 1 << 20


class Finding(Struct, frozen=True):
    """One broken rule. `kind` is a stable code, `message` a sentence, `where` the bucket."""

    kind: str
    message: str
    where: str


# kind, sentence with the row's columns, query of offending rows.
_RULES: Final = (
    ("bucket_row", "the bucket table has {0} rows, not one",
     "SELECT count(*) FROM bucket HAVING count(*) != 1"),
    ("object_body", "object {0!r} names body {1}, which is missing",
     "SELECT key, body FROM object WHERE body != 0 AND body NOT IN (SELECT id FROM body)"),
    ("object_size", "object {0!r} has size {1}, its body {2}",
     "SELECT o.key, o.size, b.size FROM object o JOIN body b ON b.id = o.body"
     " WHERE o.size != b.size UNION ALL"
     " SELECT key, size, 0 FROM object WHERE body = 0 AND size != 0"),
    ("part_body", "part {1} of upload {0} names body {2}, which is missing",
     "SELECT upload_id, number, body FROM part"
     " WHERE body != 0 AND body NOT IN (SELECT id FROM body)"),
    ("part_size", "part {1} of upload {0} has size {2}, its body {3}",
     "SELECT p.upload_id, p.number, p.size, b.size FROM part p JOIN body b ON b.id = p.body"
     " WHERE p.size != b.size"),
    ("part_upload", "part {1} belongs to upload {0}, which is missing",
     "SELECT upload_id, number FROM part WHERE upload_id NOT IN (SELECT upload_id FROM upload)"),
    ("value_size", "the value of body {0} has {2} bytes, its row says {1}",
     "SELECT id, size, length(value) FROM body WHERE value IS NOT NULL AND length(value) != size"),
    ("body_layout", "body {0} has neither a value nor extents",
     "SELECT id FROM body WHERE value IS NULL AND id NOT IN (SELECT body FROM extent)"),
    ("body_twice", "body {0} has both a value and extents",
     "SELECT id FROM body WHERE value IS NOT NULL AND id IN (SELECT body FROM extent)"),
    ("extent_body", "an extent belongs to body {0}, which is missing",
     "SELECT DISTINCT body FROM extent WHERE body NOT IN (SELECT id FROM body)"),
    ("extent_sum", "the extents of body {0} sum up to {2} bytes, its row says {1}",
     "SELECT b.id, b.size, sum(e.size) FROM body b JOIN extent e ON e.body = b.id"
     " GROUP BY b.id HAVING sum(e.size) != b.size"),
    ("rope_leaf", "body {0} is joined from body {1}, which is missing, joined or of another size",
     "SELECT e.body, e.offset FROM extent e LEFT JOIN body b ON b.id = e.offset WHERE e.pack = 0"
     " AND (b.id IS NULL OR b.size != e.size"
     " OR EXISTS (SELECT 1 FROM extent f WHERE f.body = e.offset AND f.pack = 0))"),
    ("extent_seq", "the extents of body {0} are not numbered from 0 without gaps",
     "SELECT body FROM extent GROUP BY body HAVING min(seq) != 0 OR max(seq) != count(*) - 1"),
    ("extent_pack", "body {0} has bytes in pack {1}, which has no row",
     "SELECT body, pack FROM extent WHERE pack > 0 AND pack NOT IN (SELECT id FROM pack)"),
    ("pack_live", "pack {0} says {1} bytes live in it; {2} do",
     "SELECT p.id, p.live, coalesce(sum(e.size), 0) FROM pack p LEFT JOIN extent e"
     " ON e.pack = p.id AND e.pack > 0 GROUP BY p.id HAVING p.live != coalesce(sum(e.size), 0)"),
    ("freed_alive", "the space of body {0} in pack {1} is both freed and in use",
     "SELECT f.body, f.pack FROM freed f JOIN extent e ON e.pack = f.pack AND e.offset = f.offset"
     " WHERE f.pack > 0"),
    ("freed_value", "value {0} is owed to be deleted, and missing",
     "SELECT body FROM freed WHERE pack = 0 AND body NOT IN"
     " (SELECT id FROM body WHERE value IS NOT NULL)"),
    ("mark_body", "part marks of body {0}, which is missing",
     "SELECT DISTINCT body FROM mark WHERE body NOT IN (SELECT id FROM body)"),
    ("share_body", "a count of references of body {0}, which is missing",
     "SELECT body FROM share WHERE body NOT IN (SELECT id FROM body)"),
    ("refs", "body {0} counts {1} references; {2} exist",
     "WITH ref(body, n) AS (SELECT body, count(*) FROM (SELECT body FROM object UNION ALL"
     " SELECT body FROM part UNION ALL SELECT offset FROM extent WHERE pack = 0) GROUP BY body)"
     " SELECT b.id, coalesce(s.refs, 1), coalesce(r.n, 0) FROM body b"
     " LEFT JOIN share s ON s.body = b.id LEFT JOIN ref r ON r.body = b.id"
     " WHERE coalesce(s.refs, 1) != coalesce(r.n, 0)"
     " AND b.id NOT IN (SELECT body FROM freed WHERE pack = 0)"),
    ("freed_refs", "value {0} is owed to be deleted, and still referred to",
     "SELECT body FROM freed WHERE pack = 0 AND (body IN (SELECT body FROM object) OR body IN"
     " (SELECT body FROM part) OR body IN (SELECT offset FROM extent WHERE pack = 0))"),
    ("counter", "body {0} is not below the counter {1}",
     "SELECT max(id), (SELECT value FROM counter WHERE name = 'body') FROM body"
     " HAVING max(id) >= (SELECT value FROM counter WHERE name = 'body')"),
    ("view", "the view data has {0} rows for {1} objects",
     "SELECT * FROM (SELECT (SELECT count(*) FROM data) v, (SELECT count(*) FROM object) o)"
     " WHERE v != o"),
)  # fmt: skip


def check_bucket(pool: Pool, packs: Packs, name: str, *, deep: bool = False) -> list[Finding]:
    """Return every broken rule of a bucket; an empty list is a clean bill.

    `deep` also reads every byte and compares CRCs, MD5s and checksums.
    Cost: a scan of the index; deep, of everything.
    """
    found: list[Finding] = []
    with pool.reading() as reader:
        reader.execute("BEGIN")
        try:
            for kind, message in _findings(pool, reader, packs, deep=deep):
                found.append(Finding(kind, message, name))
        except apsw.Error as error:
            found.append(Finding("unreadable", str(translate(error, "checking")), name))
        finally:
            if reader.connection.in_transaction:
                reader.execute("ROLLBACK")
    return found


def _findings(pool: Pool, reader: Reader, packs: Packs, *, deep: bool) -> Iterator[tuple[str, str]]:
    for (line,) in reader.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            yield "integrity", f"SQLite: {line}"
    for kind, sentence, sql in _RULES:
        for row in reader.execute(sql).fetchall():
            yield kind, sentence.format(*row)
    # A pack nothing lives in may be missing: dropping a bucket moves the packs out first.
    packed: list[Any] = reader.execute(
        "SELECT DISTINCT pack FROM extent WHERE pack > 0 ORDER BY pack"
    ).fetchall()
    for (number,) in packed:
        for offset, kind, message in _pack_findings(reader, packs, number, deep=deep):
            if _stands(pool, number, offset):
                yield kind, message
    if deep:
        yield from _value_findings(reader)


def _stands(pool: Pool, pack: int, offset: int | None) -> bool:
    """Tell whether the index still has what was found damaged.

    Bytes of the snapshot that were deleted since may have been given back already; who deletes
    commits first, and then gives back.
    """
    with pool.reading() as reader:
        if offset is None:
            row = reader.one("SELECT 1 FROM extent WHERE pack=? AND pack>0 LIMIT 1", (pack,))
        else:
            row = reader.one("SELECT 1 FROM extent WHERE pack=? AND offset=?", (pack, offset))
    return row is not None


def _pack_findings(
    reader: Reader, packs: Packs, number: int, *, deep: bool
) -> Iterator[tuple[int | None, str, str]]:
    try:
        pack = packs.use(number)
    except (DataError, OSError) as error:
        yield None, "pack_file", f"pack {number}: {error}"
        return
    try:
        size = os.fstat(pack.fd).st_size
        end = 0
        rows: list[Any] = reader.execute(
            "SELECT offset, size, crc, body FROM extent WHERE pack=? ORDER BY offset", (number,)
        ).fetchall()
        for offset, length, crc, body in rows:
            if offset - FRAME_HEAD < end:
                yield (
                    offset,
                    "overlap",
                    f"body {body} overlaps another in pack {number} at {offset}",
                )
            end = offset - FRAME_HEAD + frame_size(length)
            if offset + length > size:
                yield offset, "beyond_end", f"body {body} lies behind the end of pack {number}"
            elif os.pread(pack.fd, FRAME_HEAD, offset - FRAME_HEAD) != pack.frame_head(
                offset - FRAME_HEAD, length, unsigned(crc)
            ):
                yield (
                    offset,
                    "frame_head",
                    f"the frame's head of body {body} in pack {number} is damaged",
                )
            elif deep and _crc_of(pack, offset, length) != unsigned(crc):
                yield offset, "crc", f"the bytes of body {body} in pack {number} are damaged"
    finally:
        packs.unuse(pack)


def _crc_of(pack: PackFile, offset: int, size: int) -> int:
    crc = 0
    for at in range(0, size, _PIECE):
        crc = crc64nvme(os.pread(pack.fd, min(_PIECE, size - at), offset + at), crc)
    return crc


def _value_findings(reader: Reader) -> Iterator[tuple[str, str]]:
    """Compare inline values of whole objects with their ETags and checksums."""
    rows: Iterator[Any] = reader.connection.execute(
        "SELECT o.key, o.etag, o.checksum_algorithm, o.checksum_type, o.checksum_value, b.value"
        " FROM object o JOIN body b ON b.id = o.body"
        " WHERE b.value IS NOT NULL AND o.part_count = 0 AND length(o.etag) = 32"
    )
    for key, etag, algorithm, kind, value, data in rows:
        if digest_of("MD5", data).hex() != etag:
            yield "md5", f"the bytes of object {key!r} do not have the MD5 of its ETag"
        if (
            algorithm is not None
            and kind == "FULL_OBJECT"
            and digest_base64(digest_of(algorithm, data)) != value
        ):
            yield "checksum", f"the bytes of object {key!r} do not have its {algorithm}"
