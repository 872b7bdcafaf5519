"""The engine: an embedded database whose only disk is an object store, in SlateDB's files."""

from cenote.lsm.checkpoints import Checkpoints
from cenote.lsm.clone import CloneSource, clone, detach
from cenote.lsm.entry import MERGE, PUT, TOMBSTONE, Entry, Row, row_order
from cenote.lsm.gc.sweep import Collected, Collector
from cenote.lsm.keys import Bound, BoundKind, KeyRange, check_key, prefix_successor
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore
from cenote.lsm.place import Place, open_place
from cenote.lsm.reader import AsyncDbReader, DbReader
from cenote.lsm.settings import (
    CompactorSettings,
    DbSettings,
    GcSettings,
    ReaderSettings,
    db_settings,
)
from cenote.lsm.wal.files import WalFiles

__all__ = [
    "MERGE",
    "PUT",
    "TOMBSTONE",
    "AsyncDbReader",
    "Bound",
    "BoundKind",
    "Checkpoints",
    "CloneSource",
    "Collected",
    "Collector",
    "CompactionsStore",
    "CompactorSettings",
    "DbReader",
    "DbSettings",
    "Entry",
    "GcSettings",
    "KeyRange",
    "ManifestStore",
    "Place",
    "ReaderSettings",
    "Row",
    "WalFiles",
    "check_key",
    "clone",
    "db_settings",
    "detach",
    "open_place",
    "prefix_successor",
    "row_order",
]
