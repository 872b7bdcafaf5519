"""`cenote db info`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from cenote.base import SystemRand
from cenote.cli.db.documents import compaction_document, table_size
from cenote.cli.db.folder import list_files
from cenote.cli.db.manifest import load_manifest
from cenote.cli.db.where import Target, open_target, target_options
from cenote.lsm import CompactionsStore, Place
from cenote.lsm import format as files

__all__ = ["command"]


@click.command("info")
@target_options
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(target: Target, as_json: bool) -> None:
    """Tell what a database consists of."""
    with open_target(target, reads_log=True) as place:
        facts = _facts(place)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(facts)))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, list):
            value = ", ".join(f"{each['id']} {each['status']}" for each in value) or "none"
        click.echo(f"{name:<{width}}  {value}")


def _facts(place: Place) -> dict[str, Any]:
    number, manifest = load_manifest(place)
    log = log_size = fences = 0
    first = last = None
    for file_id, meta in list_files(place, files.FileKind.WAL):
        first = file_id if first is None else first
        last = file_id
        log += 1
        log_size += meta.size
        fences += not meta.size
    to_replay = 0 if last is None else max(0, int(last) - manifest.replay_after_wal_id)
    compactions = CompactionsStore(place.store, place.root, rand=SystemRand()).load()
    trees = list(manifest.trees())
    return {
        "name": place.name,
        "manifest": number,
        "manifest_format": manifest.version,
        "initialized": manifest.initialized,
        "writer_epoch": manifest.writer_epoch,
        "compactor_epoch": manifest.compactor_epoch,
        "last_l0_seq": manifest.last_l0_seq,
        "segments": len(manifest.segments),
        "l0": sum(len(tree.l0) for tree in trees),
        "runs": sum(len(tree.runs) for tree in trees),
        "tables": len(manifest.ssts),
        "tables_size": sum(table_size(handle.info) for handle in manifest.ssts),
        "tables_of_other_databases": sum(len(each.sst_ids) for each in manifest.external_dbs),
        "log_files": log,
        "log_size": log_size,
        "log_fences": fences,
        "log_first": first,
        "log_last": last,
        "log_to_replay": to_replay,
        "checkpoints": len(manifest.checkpoints),
        "compactions": (
            [] if compactions is None else list(map(compaction_document, compactions.value.recent))
        ),
    }
