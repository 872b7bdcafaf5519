"""Rows of files as lines.

Owns: the columns: sequence number, kind, key, value, and times where a row has them.
"""

from __future__ import annotations

from collections.abc import Iterable

from cenote.cli.db.documents import kind_name, row_document
from cenote.cli.db.notation import Notation, write_bytes
from cenote.cli.db.sheet import Sheet
from cenote.lsm import TOMBSTONE, Row

__all__ = ["print_rows"]


def print_rows(sheet: Sheet, rows: Iterable[Row], notation: Notation, as_json: bool) -> None:
    """Write each row as a line of tab-separated columns, or of JSON."""
    for row in rows:
        if as_json:
            sheet.json(row_document(row))
            continue
        key, value, seq, kind, create_ts, expire_ts = row
        columns = [b"%d" % seq, kind_name(kind).encode(), write_bytes(key, notation)]
        if kind != TOMBSTONE:
            columns.append(write_bytes(value, notation))
        if create_ts is not None:
            columns.append(b"created=%d" % create_ts)
        if expire_ts is not None:
            columns.append(b"expires=%d" % expire_ts)
        sheet.line(b"\t".join(columns))
