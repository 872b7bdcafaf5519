"""`cenote db compactions`."""

from __future__ import annotations

import click

from cenote.cli.db.documents import compaction_document
from cenote.cli.db.notation import to_text
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import Target, json_option, open_target, target_options
from cenote.lsm import Admin
from cenote.lsm import format as files

__all__ = ["command"]


@click.command("compactions")
@target_options
@click.option("--number", type=click.IntRange(min=1), help="As of that file, not the latest.")
@json_option
def command(target: Target, number: int | None, as_json: bool) -> None:
    """List compactions that are asked for, under way or just done."""
    with open_target(target) as place, Sheet() as sheet:
        admin = Admin(place)
        admin.manifest()
        found = admin.compactions(number)
        for each in () if found is None else found.value.recent:
            if as_json:
                sheet.json(compaction_document(each))
            else:
                sheet.line(_line(each))


def _line(compaction: files.Compaction) -> str:
    spec = compaction.spec
    sources = f"{len(spec.l0_view_ids)} of level 0"
    if spec.sorted_runs:
        sources += " and runs " + ", ".join(map(str, spec.sorted_runs))
    made = f"into run {spec.destination}" if isinstance(spec, files.TieredSpec) else "dropped"
    where = f" of segment {to_text(spec.segment)}" if spec.segment else ""
    worker = compaction.worker
    who = f" by {worker.id}" if worker is not None and worker.id else ""
    return f"{compaction.id}  {compaction.status.name.lower():<9}  {sources}{where} {made}{who}"
