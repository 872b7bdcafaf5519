"""The settings of a database: what may be set, within which limits, and what it means.

Owns: every setting of the engine, in one table of structs. Does not own: the objects a database is
given (merge operators, extractors, stores).

Times are in milliseconds, sizes in bytes. A field nobody knows is an error.

Why fewer than the reference implementation has: its polling intervals are gone with the polling.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from cenote.errors import InvalidError
from cenote.lsm.format import BLOCK_SIZE, BLOCK_SIZE_MAX, Codec

__all__ = ["CompactorSettings", "DbSettings", "GcSettings", "ReaderSettings", "db_settings"]

MIB = 2**20
SIZE_MAX = 2**40
AGE_MAX_MS = 2**53


def _check(settings: Struct, **limits: tuple[float, float]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:
            raise InvalidError(
                f"the setting {name} is {value}; it must lie between {low} and {high}",
                kind="invalid_setting",
                setting=name,
            )


class CompactorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How table files are merged.

    enabled: whether the writer compacts in its own process; if not, somebody else must.
    sources_min, sources_max: how many files or runs of like size one compaction takes.
    size_ratio: runs are of like size when the larger is at most so many times the smaller.
    sst_size: a merged file is closed when it has so many bytes.
    subcompactions: in how many ranges of keys one compaction may be cut.
    concurrency: how many compactions a worker does at the same time.
    trivial_move: whether files that overlap nothing are moved to a run without being read.
    process: whether files are merged in a process of their own, for where the kernels are not
        compiled: a merge in plain Python slows down whatever else this process does. Each takes a
        moment to start, opens the store by its URI, and needs operators that can be pickled.
    checkpoint_lifetime_ms: how long the inputs of a compaction stay for readers that use them.
    heartbeat_ms, claim_timeout_ms: how often a worker says it lives; when it is taken for dead.
    poll_ms: how often a stand-alone compactor or worker looks for something to do.
    """

    enabled: bool = True
    sources_min: int = 4
    sources_max: int = 8
    size_ratio: float = 4.0
    sst_size: int = 256 * MIB
    subcompactions: int = 4
    concurrency: int = 1
    trivial_move: bool = False
    process: bool = False
    checkpoint_lifetime_ms: int = 900_000
    heartbeat_ms: int = 10_000
    claim_timeout_ms: int = 30_000
    poll_ms: int = 5_000

    def __post_init__(self) -> None:
        _check(
            self,
            sources_min=(2, 1000),
            sources_max=(self.sources_min, 1000),
            size_ratio=(1.0, 1000.0),
            sst_size=(1, SIZE_MAX),
            subcompactions=(1, 64),
            concurrency=(1, 64),
            checkpoint_lifetime_ms=(1000, AGE_MAX_MS),
            heartbeat_ms=(1, AGE_MAX_MS),
            claim_timeout_ms=(self.heartbeat_ms, AGE_MAX_MS),
            poll_ms=(1, AGE_MAX_MS),
        )


class GcSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When files nobody needs are deleted.

    enabled: whether the writer collects in its own process; if not, somebody else must.
    interval_ms: the time between two collections. The first is one interval after the open.
    age_min_ms: nothing younger is deleted: what somebody writes or reads may not be listed yet.
    fences: whether empty log files are deleted too. A writer that slept through a takeover could
        take the number of one that is gone.
    """

    enabled: bool = True
    interval_ms: int = 600_000
    age_min_ms: int = 300_000
    fences: bool = False

    def __post_init__(self) -> None:
        _check(self, interval_ms=(1, AGE_MAX_MS), age_min_ms=(0, AGE_MAX_MS))


class DbSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a database writes and reads.

    wal_enabled: whether there is a log. Without one, what is written is durable when its memtable
        was flushed, and a durable put flushes it.
    flush_interval_ms: how long a write that nobody waits for may stay out of the log. A durable
        write does not wait for it.
    l0_sst_size: a memtable of so many bytes is frozen and written as a table file.
    l0_max_ssts: memtables are not flushed while level 0 of a tree has so many files.
    unflushed_size_max: writers wait while memtables hold so many bytes.
    wal_files_max: a memtable is frozen after so many log files, so that a replay is short.
    default_ttl_ms: how long a value lives when the write does not say; None: for ever.
    codec: how files are compressed: none, snappy, zlib, lz4, zstd.
    block_size: how many bytes of rows are read, checked and compressed together.
    filter_bits_per_key, filter_rows_min: the size of bloom filters (0: none), and how many rows a
        file must have to get one.
    block_cache_size: memory for blocks, indexes and filters; 0: none.
    cache_on_flush: whether a new level 0 file is put into the cache.
    part_cache_dir, part_cache_size: a folder for parts of objects on disk, and how much it holds;
        None: no such cache.
    readahead_max: how many bytes a scan asks for at once, when it has read some.
    """

    wal_enabled: bool = True
    flush_interval_ms: int = 100
    l0_sst_size: int = 64 * MIB
    l0_max_ssts: int = 8
    unflushed_size_max: int = 1024 * MIB
    wal_files_max: int = 4096
    default_ttl_ms: int | None = None
    codec: str = "none"
    block_size: int = BLOCK_SIZE
    filter_bits_per_key: int = 10
    filter_rows_min: int = 1000
    block_cache_size: int = 256 * MIB
    cache_on_flush: bool = False
    part_cache_dir: str | None = None
    part_cache_size: int = 1024 * MIB
    readahead_max: int = 4 * MIB
    compactor: CompactorSettings = field(default_factory=CompactorSettings)
    gc: GcSettings = field(default_factory=GcSettings)

    def __post_init__(self) -> None:
        _check(
            self,
            flush_interval_ms=(1, AGE_MAX_MS),
            l0_sst_size=(1, 2**32),
            l0_max_ssts=(1, 10_000),
            unflushed_size_max=(self.l0_sst_size, SIZE_MAX),
            wal_files_max=(1, 2**31),
            default_ttl_ms=(1, AGE_MAX_MS),
            block_size=(1024, BLOCK_SIZE_MAX),
            filter_bits_per_key=(0, 1024),
            filter_rows_min=(0, 2**53),
            block_cache_size=(0, SIZE_MAX),
            part_cache_size=(0, SIZE_MAX),
            readahead_max=(BLOCK_SIZE, 2**30),
        )
        if self.codec.upper() not in Codec.__members__:
            raise InvalidError(
                f"the setting codec is {self.codec!r}; it must be one of "
                + ", ".join(name.lower() for name in Codec.__members__),
                kind="invalid_setting",
                setting="codec",
            )

    @property
    def file_codec(self) -> Codec:
        """The codec as the files' number of it."""
        return Codec[self.codec.upper()]


class ReaderSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a reader follows a database.

    poll_min_ms, poll_max_ms: how often it looks for what is new: soon after something was, more
        and more seldom while nothing is.
    replay_wal: whether it reads the log too, or only what was flushed to table files.
    block_cache_size, part_cache_dir, part_cache_size, readahead_max: as a database's.
    """

    poll_min_ms: int = 1_000
    poll_max_ms: int = 60_000
    replay_wal: bool = True
    block_cache_size: int = 256 * MIB
    part_cache_dir: str | None = None
    part_cache_size: int = 1024 * MIB
    readahead_max: int = 4 * MIB

    def __post_init__(self) -> None:
        _check(
            self,
            poll_min_ms=(1, AGE_MAX_MS),
            poll_max_ms=(self.poll_min_ms, AGE_MAX_MS),
            block_cache_size=(0, SIZE_MAX),
            part_cache_size=(0, SIZE_MAX),
            readahead_max=(BLOCK_SIZE, 2**30),
        )


def db_settings(values: dict[str, Any]) -> DbSettings:
    """Return the settings from plain values, as a JSON or TOML file has them.

    Raises InvalidError for a key nobody knows, a wrong type, a value out of its limits.
    """
    try:
        return msgspec.convert(values, DbSettings)
    except msgspec.ValidationError as error:
        raise InvalidError(f"the settings are wrong: {error}", kind="invalid_setting") from error
