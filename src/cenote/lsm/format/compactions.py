"""The compactions file: which compactions are asked for, under way, or just done.

Owns: the state of compactions as a value and as bytes. Does not own: who may change what when.

Layout: u16 BE version (2 is written, 1 is read) | flatbuffer. No checksum, as with the manifest.

    table CompactionsV1 { 0 compactor_epoch: u64   1 recent_compactions: [Compaction], req }
    table Compaction    { 0 id: Ulid, req   1, 2 spec: union CompactionSpec   3 status
                          4 output_ssts: [CompactedSsTable]   5 worker: WorkerSpec
                          6, 7 context: union { 1 TieredCompactionContext } }
    enum CompactionStatus : byte { Submitted = 0, Running = 1, Completed = 2, Failed = 3,
                                   Compacted = 4, Scheduled = 5 }
    union CompactionSpec { 1 TieredCompactionSpec, 2 DrainSegmentSpec }
    table TieredCompactionSpec { 0 ssts: [Ulid] (version 1: file ids)   1 sorted_runs: [u32]
                                 2 l0_view_ids: [Ulid]   3 segment: [ubyte]   4 destination: u32 }
    table DrainSegmentSpec     { 0 segment: [ubyte], req   1 l0_view_ids: [Ulid]
                                 2 sorted_runs: [u32] }
    table WorkerSpec           { 0 worker_id: string   1 last_heartbeat_ms: u64 }
    table Subcompaction        { 0 range: BytesRange, req   1 output_ssts: [CompactedSsTable] }
    table TieredCompactionContext { 0 subcompactions: [Subcompaction]   1 retention_min_seq: u64 }

`output_ssts` counts once the work is done (Compacted, Completed, Failed); before, progress is in
the context. Both files are `CompactedSsTable`s of version 1, see `tree`.

Invariants:
1. A union member that is not listed is damage or news: FormatVersionError.
2. Fields that are not listed are noted, and forbid writing, as with the manifest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cenote.errors import FormatVersionError, InvalidError, UnsupportedError
from cenote.lsm.format.flatbuffer import FlatReader, FlatTable, FlatView, finish
from cenote.lsm.format.ids import ulid_table, view_ulid
from cenote.lsm.format.info import view_enum
from cenote.lsm.format.ranges import range_table, view_range
from cenote.lsm.format.tree import SstHandle, handle_table_v1, view_handle_v1
from cenote.lsm.keys import KeyRange

__all__ = [
    "Compaction",
    "CompactionStatus",
    "Compactions",
    "DrainSpec",
    "OutputSst",
    "Subcompaction",
    "TieredContext",
    "TieredSpec",
    "Worker",
    "decode_compactions",
    "encode_compactions",
]

_VERSION: Final = 2


class CompactionStatus(IntEnum):
    """Where a compaction stands; the numbers are those of the files."""

    SUBMITTED = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    COMPACTED = 4
    SCHEDULED = 5


@dataclass(frozen=True, slots=True)
class TieredSpec:
    """Merge level 0 views (newest first) and runs into run `destination` of a segment's tree.

    The empty segment is the root tree.
    """

    l0_view_ids: tuple[str, ...]
    sorted_runs: tuple[int, ...]
    destination: int
    segment: bytes = b""


@dataclass(frozen=True, slots=True)
class DrainSpec:
    """Remove views and runs of a segment."""

    segment: bytes
    l0_view_ids: tuple[str, ...]
    sorted_runs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutputSst:
    """A file that a compaction made, and what is seen of it; None: all."""

    handle: SstHandle
    visible: KeyRange | None = None


@dataclass(frozen=True, slots=True)
class Subcompaction:
    """One range of a compaction's keys, and the files made of it so far."""

    range: KeyRange
    outputs: tuple[OutputSst, ...] = ()


@dataclass(frozen=True, slots=True)
class TieredContext:
    """The progress of a tiered compaction."""

    subcompactions: tuple[Subcompaction, ...] = ()
    retention_min_seq: int = 0


@dataclass(frozen=True, slots=True)
class Worker:
    """Who works on a compaction, and when it last said so. No id: nobody yet."""

    id: str | None
    last_heartbeat_ms: int = 0


@dataclass(frozen=True, slots=True)
class Compaction:
    """One compaction."""

    id: str
    spec: TieredSpec | DrainSpec
    status: CompactionStatus = CompactionStatus.SUBMITTED
    outputs: tuple[OutputSst, ...] = ()
    worker: Worker | None = None
    context: TieredContext | None = None


@dataclass(frozen=True, slots=True)
class Compactions:
    """The state of all compactions. `version` is that of the bytes it was read from."""

    compactor_epoch: int = 0
    recent: tuple[Compaction, ...] = ()
    version: int = _VERSION
    unknown_fields: tuple[str, ...] = ()


def encode_compactions(compactions: Compactions) -> bytes:
    """Return the bytes of the state.

    Raises UnsupportedError when it has fields that nobody here knows, InvalidError when a number
    does not fit its field.
    """
    if compactions.unknown_fields:
        raise UnsupportedError(
            "the compactions have fields of a newer program, which writing them would erase",
            kind="unknown_fields",
            fields=compactions.unknown_fields,
        )
    table = FlatTable().u64(0, compactions.compactor_epoch)
    table.tables(1, [_compaction_table(each) for each in compactions.recent])
    try:
        return _VERSION.to_bytes(2, "big") + finish(table)
    except struct.error as fault:
        raise InvalidError(f"a number of a compaction is out of range: {fault}") from fault


def _compaction_table(compaction: Compaction) -> FlatTable:
    table = FlatTable().table(0, ulid_table(compaction.id)).u8(3, compaction.status)
    spec = compaction.spec
    view_ids = [ulid_table(view_id) for view_id in spec.l0_view_ids]
    match spec:
        case TieredSpec():
            body = FlatTable().u32s(1, spec.sorted_runs).tables(2, view_ids)
            body.blob(3, spec.segment or None).u32(4, spec.destination)
            table.u8(1, 1).table(2, body)
        case DrainSpec():
            body = FlatTable().blob(0, spec.segment).tables(1, view_ids)
            table.u8(1, 2).table(2, body.u32s(2, spec.sorted_runs))
    if compaction.outputs:
        table.tables(4, _output_tables(compaction.outputs))
    if compaction.worker is not None:
        worker = FlatTable().text(0, compaction.worker.id)
        table.table(5, worker.u64(1, compaction.worker.last_heartbeat_ms))
    if compaction.context is not None:
        parts = [
            FlatTable().table(0, range_table(each.range)).tables(1, _output_tables(each.outputs))
            for each in compaction.context.subcompactions
        ]
        context = FlatTable().tables(0, parts).u64(1, compaction.context.retention_min_seq)
        table.u8(6, 1).table(7, context)
    return table


def _output_tables(outputs: tuple[OutputSst, ...]) -> list[FlatTable]:
    return [handle_table_v1(output.handle, output.visible) for output in outputs]


def decode_compactions(data: bytes) -> Compactions:
    """Return the state of some bytes, of either version. Raises DataError, FormatVersionError."""
    version = int.from_bytes(data[:2], "big")
    if len(data) >= 2 and version not in (1, 2):
        raise FormatVersionError(
            f"compactions files of version {version} are not known", version=version
        )
    reader = FlatReader(data[2:])
    root = reader.root().known("Compactions", 2)
    recent = tuple([_view_compaction(each) for each in root.tables(1)])
    return Compactions(root.u64(0), recent, version, tuple(reader.unknown))


def _view_compaction(view: FlatView) -> Compaction:
    view.known("Compaction", 8)
    worker = view.optional_table(5)
    if worker is not None:
        worker.known("WorkerSpec", 2)
    return Compaction(
        id=view_ulid(view.table(0)),
        spec=_view_spec(view.u8(1), view.table(2)),
        status=view_enum(CompactionStatus, view.u8(3)),
        outputs=_view_outputs(view, 4),
        worker=None if worker is None else Worker(worker.optional_text(0), worker.u64(1)),
        context=_view_context(view),
    )


def _view_spec(member: int, view: FlatView) -> TieredSpec | DrainSpec:
    if member == 1:
        view.known("TieredCompactionSpec", 5)
        old = view.optional_tables(0) or []
        # In version 1 a view's id is its file's.
        ids = [view_ulid(each) for each in view.optional_tables(2) or old]
        segment = view.optional_blob(3) or b""
        return TieredSpec(tuple(ids), view.u32s(1), view.u32(4), segment)
    if member == 2:
        view.known("DrainSegmentSpec", 3)
        ids = [view_ulid(each) for each in view.optional_tables(1) or ()]
        return DrainSpec(view.blob(0), tuple(ids), view.u32s(2))
    raise FormatVersionError(f"compactions of kind {member} are not known", member=member)


def _view_context(view: FlatView) -> TieredContext | None:
    member = view.u8(6)
    if not member:
        return None
    if member != 1:
        raise FormatVersionError(f"compaction contexts of kind {member} are not known")
    context = view.table(7).known("TieredCompactionContext", 2)
    parts = [
        Subcompaction(view_range(each.known("Subcompaction", 2).table(0)), _view_outputs(each, 1))
        for each in context.optional_tables(0) or ()
    ]
    return TieredContext(tuple(parts), context.u64(1))


def _view_outputs(view: FlatView, number: int) -> tuple[OutputSst, ...]:
    found = [view_handle_v1(each) for each in view.optional_tables(number) or ()]
    return tuple(OutputSst(handle, seen.visible) for handle, seen in found)
