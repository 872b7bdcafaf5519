"""The manifest: which files a database consists of, as of one moment.

Owns: the manifest as a value and as bytes. Does not own: how a new one replaces the last, or the
protocols its numbers serve.

Layout: u16 BE version | flatbuffer. There is no checksum and no identifier, so damage shows only
where it breaks the frame, a number's range or one of the rules below. Version 2 is written;
version 1 is read.

    table ManifestV2 {
       0 manifest_id: u64 (unused)            1 external_dbs: [ExternalDb]
       2 initialized: bool                    3 writer_epoch: u64
       4 compactor_epoch: u64                 5 replay_after_wal_id: u64
       6 wal_id_last_seen: u64                7 last_compacted_l0_sst_view_id: Ulid
       8 ssts: [CompactedSsTableV2], req      9 l0: [CompactedSsTableView], req
      10 compacted: [SortedRunV2], req       11 last_l0_clock_tick: i64
      12 checkpoints: [Checkpoint], req      13 last_l0_seq: u64
      14 recent_snapshot_min_seq: u64        15 sequence_tracker: [ubyte]
      16 segments: [Segment]                 17 segment_extractor_name: string }
    table ManifestV1 {
       0..6 as above                          7 l0_last_compacted: Ulid
       8 l0: [CompactedSsTable], req          9 compacted: [SortedRun], req
      10 last_l0_clock_tick: i64             11 checkpoints: [Checkpoint], req
      12 last_l0_seq: u64                    13 wal_object_store_uri: string
      14 recent_snapshot_min_seq: u64        15 sequence_tracker: [ubyte] }
    table ExternalDb { 0 path: string, req                 1 source_checkpoint_id: Uuid, req
                       2 final_checkpoint_id: Uuid         3 sst_ids: [Ulid], req }
    table Checkpoint { 0 id: Uuid, req     1 manifest_id: u64     2 expire_time_s: u32 (0: never)
                       3 create_time_s: u32     4, 5 metadata: union (nobody writes it)
                       6 name: string }
    table Segment    { 0 prefix: [ubyte], req    1 last_compacted_l0_sst_view_id: Ulid
                       2 l0: [CompactedSsTableView], req    3 compacted: [SortedRunV2], req }

Invariants:
1. Every view names a file of `ssts`, and no file is there twice. Run ids fall within a tree.
   Segments rise by prefix, and no prefix begins with another.
2. Fields that this file does not list are noted in `unknown_fields`; a manifest that has any is
   read and never written, since to write it would erase them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cenote.errors import DataError, FormatVersionError, InvalidError, UnsupportedError
from cenote.lsm.format.flatbuffer import FlatReader, FlatTable, FlatView, finish
from cenote.lsm.format.ids import ulid_table, uuid_table, view_ulid, view_uuid
from cenote.lsm.format.tracker import EMPTY_TRACKER
from cenote.lsm.format.tree import (
    EMPTY_TREE,
    SstHandle,
    Tree,
    handle_table,
    run_table,
    view_handle,
    view_handle_v1,
    view_run,
    view_run_v1,
    view_sst_view,
    view_table,
)

__all__ = [
    "CLOCK_TICK_MIN",
    "Checkpoint",
    "ExternalDb",
    "Manifest",
    "Segment",
    "check_manifest",
    "decode_manifest",
    "encode_manifest",
]

_VERSION: Final = 2
CLOCK_TICK_MIN: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class ExternalDb:
    """Files of a clone that still lie under the root of another database."""

    path: str
    source_checkpoint: str
    final_checkpoint: str | None
    sst_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A manifest that is kept. Times are whole seconds since the epoch; None never expires."""

    id: str
    manifest_id: int
    create_time_s: int
    expire_time_s: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """The tree of all keys with one prefix."""

    prefix: bytes
    tree: Tree


@dataclass(frozen=True, slots=True)
class Manifest:
    """A database's state. The defaults are those of a new database.

    `wal_store_uri` is of version 1 only. `version` is that of the bytes it was read from.
    """

    initialized: bool = True
    writer_epoch: int = 0
    compactor_epoch: int = 0
    replay_after_wal_id: int = 0
    wal_id_last_seen: int = 0
    last_l0_clock_tick: int = CLOCK_TICK_MIN
    last_l0_seq: int = 0
    recent_snapshot_min_seq: int = 0
    sequence_tracker: bytes | None = EMPTY_TRACKER
    tree: Tree = EMPTY_TREE
    segments: tuple[Segment, ...] = ()
    segment_extractor: str | None = None
    ssts: tuple[SstHandle, ...] = ()
    external_dbs: tuple[ExternalDb, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    wal_store_uri: str | None = None
    version: int = _VERSION
    unknown_fields: tuple[str, ...] = ()

    def trees(self) -> Iterator[Tree]:
        """Yield the root tree and those of the segments."""
        yield self.tree
        for segment in self.segments:
            yield segment.tree


def check_manifest(manifest: Manifest) -> None:
    """Check invariant 1. Raises DataError."""
    ids = {handle.id for handle in manifest.ssts}
    if len(ids) != len(manifest.ssts):
        raise DataError("a manifest lists a file twice", kind="manifest")
    for tree in manifest.trees():
        for view in tree.views():
            if view.sst_id not in ids:
                raise DataError(
                    "a manifest has a view of a file that it does not list",
                    kind="manifest",
                    sst=view.sst_id,
                )
        if any(a.id <= b.id for a, b in pairwise(tree.runs)):
            raise DataError("the sorted runs of a manifest do not fall", kind="manifest")
    for one, next_one in pairwise(manifest.segments):
        if one.prefix >= next_one.prefix or next_one.prefix.startswith(one.prefix):
            raise DataError("the segments of a manifest overlap", kind="manifest")


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the version 2 bytes of a manifest.

    Raises UnsupportedError when it has fields that nobody here knows, or a separate log store,
    which version 2 cannot tell of; DataError when it breaks invariant 1; InvalidError when a
    number or an id does not fit its field.
    """
    if manifest.unknown_fields:
        raise UnsupportedError(
            "the manifest has fields of a newer program, which writing it would erase",
            kind="unknown_fields",
            fields=manifest.unknown_fields,
        )
    if manifest.wal_store_uri is not None:
        raise UnsupportedError(
            "the manifest tells where the log is, which version 2 cannot",
            kind="wal_store_uri",
            hint="open the database with that log store and clear the field",
        )
    check_manifest(manifest)
    try:
        return _VERSION.to_bytes(2, "big") + finish(_manifest_table(manifest))
    except struct.error as fault:
        raise InvalidError(f"a number of a manifest is out of range: {fault}") from fault


def _manifest_table(m: Manifest) -> FlatTable:
    table = FlatTable().u8(2, m.initialized).u64(3, m.writer_epoch).u64(4, m.compactor_epoch)
    table.u64(5, m.replay_after_wal_id).u64(6, m.wal_id_last_seen).i64(11, m.last_l0_clock_tick)
    table.u64(13, m.last_l0_seq).u64(14, m.recent_snapshot_min_seq)
    if m.external_dbs:
        table.tables(1, [_external_table(each) for each in m.external_dbs])
    table.tables(8, [handle_table(handle) for handle in m.ssts])
    _put_tree(table, m.tree, 7, 9, 10)
    table.tables(12, [_checkpoint_table(each) for each in m.checkpoints])
    table.blob(15, m.sequence_tracker).text(17, m.segment_extractor)
    segments = [
        _put_tree(FlatTable().blob(0, segment.prefix), segment.tree, 1, 2, 3)
        for segment in m.segments
    ]
    return table.tables(16, segments)


def _put_tree(table: FlatTable, tree: Tree, last: int, l0: int, runs: int) -> FlatTable:
    """Set the three fields of a tree, whose numbers are given."""
    table.table(last, None if tree.last_compacted is None else ulid_table(tree.last_compacted))
    table.tables(l0, [view_table(view) for view in tree.l0])
    return table.tables(runs, [run_table(run) for run in tree.runs])


def _external_table(external: ExternalDb) -> FlatTable:
    final = external.final_checkpoint
    table = FlatTable().text(0, external.path).table(1, uuid_table(external.source_checkpoint))
    table.table(2, None if final is None else uuid_table(final))
    return table.tables(3, [ulid_table(sst_id) for sst_id in external.sst_ids])


def _checkpoint_table(checkpoint: Checkpoint) -> FlatTable:
    table = FlatTable().table(0, uuid_table(checkpoint.id)).u64(1, checkpoint.manifest_id)
    table.u32(2, checkpoint.expire_time_s or 0).u32(3, checkpoint.create_time_s)
    return table.text(6, checkpoint.name)


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest of bytes of either version. Raises DataError, FormatVersionError."""
    version = int.from_bytes(data[:2], "big")
    if len(data) >= 2 and version not in (1, 2):
        raise FormatVersionError(f"manifests of version {version} are not known", version=version)
    reader = FlatReader(data[2:])
    root = reader.root()
    manifest = _view_v2(root, reader) if version == 2 else _view_v1(root, reader)
    check_manifest(manifest)
    return manifest


def _view_v2(root: FlatView, reader: FlatReader) -> Manifest:
    root.known("ManifestV2", 18)
    return Manifest(
        initialized=root.boolean(2),
        writer_epoch=root.u64(3),
        compactor_epoch=root.u64(4),
        replay_after_wal_id=root.u64(5),
        wal_id_last_seen=root.u64(6),
        last_l0_clock_tick=root.i64(11),
        last_l0_seq=root.u64(13),
        recent_snapshot_min_seq=root.u64(14),
        sequence_tracker=root.optional_blob(15),
        tree=_view_tree(root, 7, 9, 10),
        segments=tuple([_view_segment(each) for each in root.optional_tables(16) or ()]),
        segment_extractor=root.optional_text(17),
        ssts=tuple([view_handle(each) for each in root.tables(8)]),
        external_dbs=tuple([_view_external(each) for each in root.optional_tables(1) or ()]),
        checkpoints=tuple([_view_checkpoint(each) for each in root.tables(12)]),
        unknown_fields=tuple(reader.unknown),  # complete: all tables were seen by now
    )


def _view_v1(root: FlatView, reader: FlatReader) -> Manifest:
    root.known("ManifestV1", 16)
    l0 = [view_handle_v1(each) for each in root.tables(8)]
    runs = [view_run_v1(each) for each in root.tables(9)]
    handles = {handle.id: handle for handle, _ in l0}
    for _, below in runs:
        handles.update((handle.id, handle) for handle in below)
    last = root.optional_table(7)
    tree = Tree(
        tuple(view for _, view in l0),
        tuple(run for run, _ in runs),
        None if last is None else view_ulid(last),
    )
    return Manifest(
        initialized=root.boolean(2),
        writer_epoch=root.u64(3),
        compactor_epoch=root.u64(4),
        replay_after_wal_id=root.u64(5),
        wal_id_last_seen=root.u64(6),
        last_l0_clock_tick=root.i64(10),
        last_l0_seq=root.u64(12),
        recent_snapshot_min_seq=root.u64(14),
        sequence_tracker=root.optional_blob(15),
        tree=tree,
        ssts=tuple(handles.values()),
        external_dbs=tuple([_view_external(each) for each in root.optional_tables(1) or ()]),
        checkpoints=tuple([_view_checkpoint(each) for each in root.tables(11)]),
        wal_store_uri=root.optional_text(13),
        version=1,
        unknown_fields=tuple(reader.unknown),
    )


def _view_tree(view: FlatView, last: int, l0: int, runs: int) -> Tree:
    """Return the tree in three fields, whose numbers are given."""
    found = view.optional_table(last)
    return Tree(
        tuple([view_sst_view(each) for each in view.tables(l0)]),
        tuple([view_run(each) for each in view.tables(runs)]),
        None if found is None else view_ulid(found),
    )


def _view_segment(view: FlatView) -> Segment:
    view.known("Segment", 4)
    return Segment(view.blob(0), _view_tree(view, 1, 2, 3))


def _view_external(view: FlatView) -> ExternalDb:
    view.known("ExternalDb", 4)
    final = view.optional_table(2)
    return ExternalDb(
        path=view.text(0),
        source_checkpoint=view_uuid(view.table(1)),
        final_checkpoint=None if final is None else view_uuid(final),
        sst_ids=tuple([view_ulid(each) for each in view.tables(3)]),
    )


def _view_checkpoint(view: FlatView) -> Checkpoint:
    view.known("Checkpoint", 7).unsupported("Checkpoint", 4, 5)
    return Checkpoint(
        id=view_uuid(view.table(0)),
        manifest_id=view.u64(1),
        create_time_s=view.u32(3),
        expire_time_s=view.u32(2) or None,
        name=view.optional_text(6),
    )
