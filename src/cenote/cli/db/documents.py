"""What the files of a database say, as JSON.

Owns: making the JSON objects that `cenote db` prints of manifests, tables, rows, compactions and
checkpoints. Does not own: what their fields mean, and that they stay (`shapes`).

Times in `_ms` are milliseconds since the epoch, in `_s` seconds; absent facts are null. Bytes stand
as `notation` tells: NAME, or NAME_hex when they are no UTF-8.
"""

from __future__ import annotations

from typing import Any

from cenote.cli.db.notation import bytes_field
from cenote.lsm import MERGE, TOMBSTONE, BoundKind, KeyRange, Row
from cenote.lsm import format as files

__all__ = [
    "checkpoint_document",
    "compaction_document",
    "info_document",
    "kind_name",
    "manifest_document",
    "range_document",
    "row_document",
    "table_size",
]

Document = dict[str, Any]


def kind_name(kind: int) -> str:
    """Return the word for a row's kind: put, delete or merge."""
    return {MERGE: "merge", TOMBSTONE: "delete"}.get(kind, "put")


def row_document(row: Row) -> Document:
    """Return a row of a file: key, value, seq, kind, create_ts_ms, expire_ts_ms."""
    key, value, seq, kind, create_ts, expire_ts = row
    return {
        **bytes_field("key", key),
        **bytes_field("value", value),
        "seq": seq,
        "kind": kind_name(kind),
        "create_ts_ms": create_ts,
        "expire_ts_ms": expire_ts,
    }


def range_document(span: KeyRange | None) -> Document | None:
    """Return a range of keys: start and end where it has them, and whether they are in it."""
    if span is None:
        return None
    document: Document = {}
    for name, bound in (("start", span.start), ("end", span.end)):
        if bound.kind is not BoundKind.UNBOUNDED:
            document |= bytes_field(name, bound.key)
            document[f"{name}_included"] = bound.kind is BoundKind.INCLUDED
    return document


def table_size(info: files.SstInfo) -> int:
    """Return how many bytes the sections of a table file take."""
    return max(
        info.data_size,
        info.index_offset + info.index_size,
        info.stats_offset + info.stats_size,
    )


def info_document(info: files.SstInfo) -> Document:
    """Return what a table file says of itself."""
    first, last = info.first_entry, info.last_entry
    return {
        "kind": info.kind.name.lower(),
        "codec": info.codec.name.lower(),
        **({} if first is None else bytes_field("first_entry", first)),
        **({} if last is None else bytes_field("last_entry", last)),
        "sections_size": table_size(info),
        "data_size": info.data_size,
        "filter_offset": info.filter_offset,
        "filter_size": info.filter_size,
        "filter_format": info.filter_format.name.lower(),
        "index_offset": info.index_offset,
        "index_size": info.index_size,
        "stats_offset": info.stats_offset,
        "stats_size": info.stats_size,
    }


def checkpoint_document(checkpoint: files.Checkpoint) -> Document:
    """Return a checkpoint; without expire_time_s it never expires."""
    return {
        "id": checkpoint.id,
        "name": checkpoint.name,
        "manifest_id": checkpoint.manifest_id,
        "create_time_s": checkpoint.create_time_s,
        "expire_time_s": checkpoint.expire_time_s,
    }


def _view(view: files.SstView) -> Document:
    return {"id": view.id, "sst_id": view.sst_id, "visible": range_document(view.visible)}


def _tree(tree: files.Tree) -> Document:
    return {
        "l0": [_view(view) for view in tree.l0],
        "runs": [{"id": run.id, "views": [_view(view) for view in run.views]} for run in tree.runs],
        "last_compacted": tree.last_compacted,
    }


def manifest_document(number: int, manifest: files.Manifest) -> Document:
    """Return a whole manifest."""
    tracker = manifest.sequence_tracker
    samples = files.decode_tracker(tracker) if tracker else []
    return {
        "number": number,
        "format_version": manifest.version,
        "initialized": manifest.initialized,
        "writer_epoch": manifest.writer_epoch,
        "compactor_epoch": manifest.compactor_epoch,
        "replay_after_wal_id": manifest.replay_after_wal_id,
        "wal_id_last_seen": manifest.wal_id_last_seen,
        "last_l0_seq": manifest.last_l0_seq,
        "last_l0_clock_tick_ms": (
            None
            if manifest.last_l0_clock_tick == files.CLOCK_TICK_MIN
            else manifest.last_l0_clock_tick
        ),
        "recent_snapshot_min_seq": manifest.recent_snapshot_min_seq,
        "segment_extractor": manifest.segment_extractor,
        "wal_store_uri": manifest.wal_store_uri,
        "tree": _tree(manifest.tree),
        "segments": [
            {**bytes_field("prefix", segment.prefix), "tree": _tree(segment.tree)}
            for segment in manifest.segments
        ],
        "ssts": [
            {"id": handle.id, "format_version": handle.version, **info_document(handle.info)}
            for handle in manifest.ssts
        ],
        "checkpoints": [checkpoint_document(each) for each in manifest.checkpoints],
        "external_dbs": [
            {
                "path": each.path,
                "source_checkpoint": each.source_checkpoint,
                "final_checkpoint": each.final_checkpoint,
                "sst_ids": each.sst_ids,
            }
            for each in manifest.external_dbs
        ],
        "sequence_times": [{"seq": seq, "time_s": second} for seq, second in samples],
        "unknown_fields": manifest.unknown_fields,
    }


def compaction_document(compaction: files.Compaction) -> Document:
    """Return one compaction: what it merges, where it stands, who works on it."""
    spec = compaction.spec
    worker = compaction.worker
    return {
        "id": compaction.id,
        "status": compaction.status.name.lower(),
        "kind": "tiered" if isinstance(spec, files.TieredSpec) else "drain",
        **bytes_field("segment", spec.segment),
        "l0_view_ids": spec.l0_view_ids,
        "sorted_runs": spec.sorted_runs,
        "destination": spec.destination if isinstance(spec, files.TieredSpec) else None,
        "output_ssts": [output.handle.id for output in compaction.outputs],
        "worker_id": None if worker is None else worker.id,
        "last_heartbeat_ms": None if worker is None else worker.last_heartbeat_ms,
    }
