"""The engine: an embedded database whose only disk is an object store, in SlateDB's files."""

from cenote.lsm.admin import Admin
from cenote.lsm.async_db import AsyncDb, AsyncTransaction
from cenote.lsm.async_scan import AsyncScan
from cenote.lsm.batch import WriteBatch
from cenote.lsm.checkpoints import Checkpoints
from cenote.lsm.clone import CloneSource, clone, detach
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.compact.policy import Scheduler, SizeTiered
from cenote.lsm.compact.retention import CompactionFilter, Verdict
from cenote.lsm.compact.service import CompactionWorker
from cenote.lsm.db import Db, Transaction
from cenote.lsm.db_scan import Scan
from cenote.lsm.entry import MERGE, PUT, TOMBSTONE, Entry, Row, row_order
from cenote.lsm.format import BloomPolicy, Checkpoint, DrainSpec, TieredSpec
from cenote.lsm.gc.sweep import Collected, Collector
from cenote.lsm.guard import Guard
from cenote.lsm.keys import Bound, BoundKind, KeyRange, check_key, prefix_successor
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import NEVER
from cenote.lsm.place import Place, open_place
from cenote.lsm.pressure import Pressure
from cenote.lsm.reader import AsyncDbReader, DbReader
from cenote.lsm.segments import SegmentExtractor
from cenote.lsm.settings import (
    CompactorSettings,
    DbSettings,
    GcSettings,
    ReaderSettings,
    db_settings,
)
from cenote.lsm.snapshot import AsyncSnapshot, Snapshot
from cenote.lsm.status import Status
from cenote.lsm.verify import Problem, Report, verify
from cenote.lsm.verify_table import TableFacts, check_table
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.reader import AsyncChanges, Change, Changes
from cenote.lsm.written import AsyncWritten, Written

__all__ = [
    "MERGE",
    "NEVER",
    "PUT",
    "TOMBSTONE",
    "Admin",
    "AsyncChanges",
    "AsyncDb",
    "AsyncDbReader",
    "AsyncScan",
    "AsyncSnapshot",
    "AsyncTransaction",
    "AsyncWritten",
    "BloomPolicy",
    "Bound",
    "BoundKind",
    "Change",
    "Changes",
    "Checkpoint",
    "Checkpoints",
    "CloneSource",
    "Collected",
    "Collector",
    "CompactionFilter",
    "CompactionWorker",
    "CompactionsStore",
    "Compactor",
    "CompactorSettings",
    "Db",
    "DbReader",
    "DbSettings",
    "DrainSpec",
    "Entry",
    "GcSettings",
    "Guard",
    "KeyRange",
    "ManifestStore",
    "MergeOperator",
    "Metrics",
    "Place",
    "Pressure",
    "Problem",
    "ReaderSettings",
    "Report",
    "Row",
    "Scan",
    "Scheduler",
    "SegmentExtractor",
    "SizeTiered",
    "Snapshot",
    "Status",
    "TableFacts",
    "TieredSpec",
    "Transaction",
    "Verdict",
    "WalFiles",
    "WriteBatch",
    "Written",
    "check_key",
    "check_table",
    "clone",
    "db_settings",
    "detach",
    "open_place",
    "prefix_successor",
    "row_order",
    "verify",
]
