"""`cenote db manifest`: the versions of a database."""

from __future__ import annotations

import click
import msgspec

from cenote.base import SystemRand
from cenote.cli.db.documents import manifest_document, table_size
from cenote.cli.db.folder import file_document, list_files, time_text
from cenote.cli.db.notation import to_text
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import Target, json_option, open_target, target_options
from cenote.errors import NotFoundError
from cenote.lsm import Bound, BoundKind, ManifestStore, Place
from cenote.lsm import format as files

__all__ = ["command", "load_manifest", "no_database"]


@click.group("manifest")
def command() -> None:
    """Look at manifests, the versions of a database."""


@command.command("list")
@target_options
@json_option
def list_(target: Target, as_json: bool) -> None:
    """List the manifests there are, the oldest first."""
    with open_target(target) as place, Sheet() as sheet:
        number = 0
        for file_id, meta in list_files(place, files.FileKind.MANIFEST):
            number += 1
            if as_json:
                sheet.json(file_document(file_id, meta))
            else:
                sheet.line(f"{time_text(meta.modified_ms)} {meta.size:>12}  {file_id}")
        if not number:
            raise no_database(place)


@command.command("show")
@target_options
@click.option("--number", type=click.IntRange(min=1), help="That one, instead of the latest.")
@click.option("--json", "as_json", is_flag=True, help="All of it, as one JSON object.")
def show(target: Target, number: int | None, as_json: bool) -> None:
    """Print what a manifest says."""
    with open_target(target) as place:
        number, manifest = load_manifest(place, number)
    if as_json:
        document = manifest_document(number, manifest)
        click.echo(msgspec.json.format(msgspec.json.encode(document)))
        return
    with Sheet() as sheet:
        _print(sheet, number, manifest)


def load_manifest(place: Place, number: int | None = None) -> tuple[int, files.Manifest]:
    """Return the latest manifest and its number, or that `number`.

    Raises NotFoundError (kind "no_database", or "no_such_key" for a number), DataError.
    """
    manifests = ManifestStore(place.store, place.root, rand=SystemRand())
    if number is not None:
        return number, manifests.read(number)
    latest = manifests.load()
    if latest is None:
        raise no_database(place)
    return latest.number, latest.value


def no_database(place: Place) -> NotFoundError:
    """Make the error of a place where no database is."""
    return NotFoundError(f"there is no database at {place.name}", kind="no_database")


def _print(sheet: Sheet, number: int, manifest: files.Manifest) -> None:
    after, seen = manifest.replay_after_wal_id, manifest.wal_id_last_seen
    seq, snapshots = manifest.last_l0_seq, manifest.recent_snapshot_min_seq
    facts = [
        ("manifest", f"{number}, format {manifest.version}"),
        ("epochs", f"writer {manifest.writer_epoch}, compactor {manifest.compactor_epoch}"),
        ("log", f"replay after {after}, last seen {seen}"),
        ("sequence", f"up to {seq} in tables, snapshots from {snapshots}"),
    ]
    if not manifest.initialized:
        facts.append(("state", "a clone that is not finished"))
    if manifest.segment_extractor is not None:
        facts.append(("extractor", manifest.segment_extractor))
    facts += [("unknown field", name) for name in manifest.unknown_fields]
    for name, value in facts:
        sheet.line(f"{name:<14} {value}")
    handles = {handle.id: handle for handle in manifest.ssts}
    _print_tree(sheet, manifest.tree, handles, "")
    for segment in manifest.segments:
        _print_tree(sheet, segment.tree, handles, f" of segment {to_text(segment.prefix)}")
    for checkpoint in manifest.checkpoints:
        until = checkpoint.expire_time_s
        ends = "for ever" if until is None else f"until {time_text(until * 1000)}"
        label = f" {checkpoint.name!r}" if checkpoint.name else ""
        sheet.line(f"checkpoint     {checkpoint.id}{label} of {checkpoint.manifest_id}, {ends}")
    for external in manifest.external_dbs:
        sheet.line(f"tables of      {external.path}: {len(external.sst_ids)}")


def _print_tree(
    sheet: Sheet, tree: files.Tree, handles: dict[str, files.SstHandle], name: str
) -> None:
    if tree.l0:
        sheet.line(f"level 0{name}, the newest first")
        for view in tree.l0:
            sheet.line(_view_line(view, handles))
    for run in tree.runs:
        sheet.line(f"run {run.id}{name}")
        for view in run.views:
            sheet.line(_view_line(view, handles))


def _view_line(view: files.SstView, handles: dict[str, files.SstHandle]) -> str:
    info = handles[view.sst_id].info
    first = to_text(info.first_entry or b"")
    last = "?" if info.last_entry is None else to_text(info.last_entry)
    line = f"  {view.sst_id} {table_size(info):>12}  {first} .. {last}"
    if view.visible is not None:
        start, end = view.visible.start, view.visible.end
        line += f"  seen{_bound_text(start, 'from')}{_bound_text(end, 'to')}"
    return line


def _bound_text(bound: Bound, word: str) -> str:
    if bound.kind is BoundKind.UNBOUNDED:
        return ""
    end = "" if bound.kind is BoundKind.INCLUDED else " (excluded)"
    return f" {word} {to_text(bound.key)}{end}"
