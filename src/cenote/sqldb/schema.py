"""The schema of a bucket file: one SQLite database per bucket, meant to be read by people.

Owns: the tables, the file's identity (application_id, user_version), the steps from older versions.
Does not own: pack files (`packfile`), or how rows become records (`rows`).

Layout (version 1):
- `bucket`    one row: the bucket itself. `id` also stands in every pack file of the bucket.
- `object`    one row per key, without the bytes: listings read only this.
- `body`      one row per stored sequence of bytes. `value` holds the bytes, or is NULL: then
              `extent` says where they are.
- `share`     how many objects, parts and joined bodies refer to a body. No row means one.
- `extent`    runs of a body, by `seq`: `pack` > 0 is file `NAME.packs/<pack>.pack` at `offset`
              (of the first byte, behind the frame's head); `pack` 0 is the whole of body `offset`.
              `crc` is the run's CRC64NVME as a signed integer; NULL with pack 0.
- `mark`      where the parts of a finished multipart object lie.
- `upload`, `part`  multipart uploads under way.
- `pack`      pack files. `live` sums the sizes of the extents in it; `sealed` ones never grow.
- `freed`     space whose giving back is owed: written with the commit that dropped the last
              reference, deleted when the space is given back. `body` owned it; `pack` 0 is that
              body's value.
- `counter`   the next body id that may be given out. Ids are never used twice.
- `cell`      what is kept beside objects (the items of lock tables), by space and key. Made with
              the first cell: most buckets have none.
- view `data` the stable face for readers: key, value, size, metadata, last_modified, md5.

Invariants:
1. `page_size` and `auto_vacuum` are set before the first table and before WAL, or they do nothing.
2. A file with another application_id is never written to. One with a newer user_version is
   refused; with an older one it is migrated in one transaction.

Why bodies apart from objects: with both in one WITHOUT ROWID tree a kilobyte costs 4.6 on disk;
in one rowid table a cold listing of 1000 keys costs 76 ms instead of 1.5.
Why `share` apart from `body`: to change one column SQLite reads and writes the whole row, and the
row may be a gigabyte.
"""

from __future__ import annotations

from typing import Final

import apsw

from cenote.errors import DataError, FormatVersionError

__all__ = [
    "APPLICATION_ID",
    "CELL_TABLE",
    "PAGE_SIZE",
    "VERSION",
    "create_tables",
    "header_verdict",
    "require_version",
]

APPLICATION_ID: Final = 0x63656E6F  # "ceno"
VERSION: Final = 1
PAGE_SIZE: Final = 8192

_TABLES: Final = """
CREATE TABLE bucket(
  id BLOB NOT NULL,
  name TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  region TEXT,
  owner TEXT NOT NULL,
  inline_max INTEGER
) STRICT;

CREATE TABLE object(
  key TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  body INTEGER NOT NULL,
  storage_class TEXT NOT NULL,
  checksum_algorithm TEXT,
  checksum_type TEXT,
  checksum_value TEXT,
  content_type TEXT,
  content TEXT,
  metadata TEXT,
  tags TEXT,
  part_count INTEGER NOT NULL,
  upload_id TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE body(
  id INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  value BLOB
) STRICT;

CREATE TABLE share(
  body INTEGER PRIMARY KEY,
  refs INTEGER NOT NULL
) STRICT;

CREATE TABLE extent(
  body INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  pack INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER,
  PRIMARY KEY(body, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX extent_place ON extent(pack, offset) WHERE pack > 0;

CREATE TABLE mark(
  body INTEGER NOT NULL,
  number INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  size INTEGER NOT NULL,
  checksum TEXT,
  PRIMARY KEY(body, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE upload(
  key TEXT NOT NULL,
  upload_id TEXT NOT NULL,
  initiated_ms INTEGER NOT NULL,
  storage_class TEXT NOT NULL,
  checksum_algorithm TEXT,
  checksum_type TEXT,
  content_type TEXT,
  content TEXT,
  metadata TEXT,
  tags TEXT,
  PRIMARY KEY(key, upload_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX upload_id ON upload(upload_id);

CREATE TABLE part(
  upload_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  body INTEGER NOT NULL,
  checksum_algorithm TEXT,
  checksum_type TEXT,
  checksum_value TEXT,
  PRIMARY KEY(upload_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE pack(
  id INTEGER PRIMARY KEY,
  sealed INTEGER NOT NULL,
  live INTEGER NOT NULL
) STRICT;

CREATE TABLE freed(
  pack INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  size INTEGER NOT NULL,
  body INTEGER NOT NULL,
  PRIMARY KEY(pack, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter(
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES('body', 1);

CREATE VIEW data(key, value, size, metadata, last_modified, md5) AS
SELECT
  o.key,
  CASE WHEN o.size = 0 THEN x'' ELSE (SELECT b.value FROM body b WHERE b.id = o.body) END,
  o.size,
  coalesce(o.metadata, '{}'),
  strftime('%Y-%m-%dT%H:%M:%fZ', o.modified_ms / 1000.0, 'unixepoch'),
  CASE WHEN o.part_count = 0 AND length(o.etag) = 32 THEN o.etag END
FROM object o;
"""

CELL_TABLE: Final = """
CREATE TABLE IF NOT EXISTS cell(
  space TEXT NOT NULL,
  key BLOB NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY(space, key)
) STRICT, WITHOUT ROWID
"""

# Step N takes a file from version N to N + 1.
_STEPS: Final[dict[int, str]] = {}


def create_tables(connection: apsw.Connection) -> None:
    """Turn an empty database into a bucket file without its `bucket` row.

    Requires: nothing was written to the database yet.
    """
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    with connection:
        connection.execute(_TABLES)
        connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("PRAGMA journal_mode=WAL")


def require_version(connection: apsw.Connection, path: str, *, migrate: bool) -> None:
    """Check that a database is a bucket file this program knows, migrating an older one.

    Raises DataError for another program's file, FormatVersionError for a version that is newer,
    or older when `migrate` is not allowed.
    """
    application = connection.pragma("application_id")
    if application != APPLICATION_ID:
        raise DataError(f"{path} is not a bucket file", kind="foreign_file", path=path)
    version = int(connection.pragma("user_version"))
    if version == VERSION:
        return
    if version > VERSION or version < 1:
        raise FormatVersionError(
            f"{path} has schema version {version}; this program knows up to {VERSION}",
            hint="use a newer cenote",
            path=path,
        )
    if not migrate:
        raise FormatVersionError(
            f"{path} has the older schema version {version}",
            hint="open it once for writing to bring it up to date",
            path=path,
        )
    with connection:
        for step in range(version, VERSION):
            connection.execute(_STEPS[step])
        connection.execute(f"PRAGMA user_version={VERSION}")


def header_verdict(head: bytes) -> str | None:
    """Tell from a file's first 100 bytes why it is not a bucket file, or None if it is one.

    Source: https://www.sqlite.org/fileformat2.html, section 1.3. Opens nothing, locks nothing.
    """
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        return "not a SQLite database"
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        return "a SQLite database of another program"
    return None
