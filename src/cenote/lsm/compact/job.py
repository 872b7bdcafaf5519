"""From an entry of the compactions file and a manifest to the work to be done.

Owns: what every compaction of one process needs, resolving sources to files, the rule's parameters.
Does not own: doing it (`run`), who does it (`worker`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cenote.base import Clock, Rand
from cenote.errors import InvalidError
from cenote.lsm.compact.remote import LocalRunner, Runner
from cenote.lsm.compact.retention import CompactionFilter, Retention
from cenote.lsm.compact.run import WINDOW_SIZE, Work
from cenote.lsm.compact.source import InputTable
from cenote.lsm.format import Compaction, Manifest, SstLayout, SstView, TieredSpec, UlidMint
from cenote.lsm.manifest.state import check_tiered, tree_of
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.place import Place
from cenote.lsm.settings import CompactorSettings

__all__ = ["Tools", "work_for"]


@dataclass(frozen=True, slots=True)
class Tools:
    """What the compactions of one process share.

    `window`: bytes of a source merged at a time. `ahead`: as of `Work`. `runner`: who merges.
    """

    place: Place
    manifests: ManifestStore
    compactions: CompactionsStore
    settings: CompactorSettings
    layout: SstLayout
    clock: Clock
    rand: Rand
    operator: MergeOperator | None = None
    filter: CompactionFilter | None = None
    metrics: Metrics = field(default_factory=Metrics)
    window: int = WINDOW_SIZE
    ahead: bool = False
    runner: Runner = field(default_factory=LocalRunner)


def work_for(
    tools: Tools, manifest: Manifest, compaction: Compaction, *, by_clock: bool = False
) -> Work:
    """Return the work of a compaction, by the latest manifest.

    `by_clock`: what has expired by this machine's clock goes; else by the database's last tick.

    Raises ConflictError(kind="stale_compaction"), InvalidError(kind="invalid_compaction").
    """
    spec = compaction.spec
    if not isinstance(spec, TieredSpec):
        raise InvalidError("a drain is no work for a worker", kind="invalid_compaction")
    l0, runs = check_tiered(manifest, spec)
    tree = tree_of(manifest, spec.segment)
    oldest = spec.sorted_runs[-1] if spec.sorted_runs else None
    handles = {handle.id: handle for handle in manifest.ssts}
    paths = tools.place.tables(manifest)

    def table(view: SstView) -> InputTable:
        return InputTable(paths[view.sst_id], handles[view.sst_id], view.visible)

    return Work(
        store=tools.place.store,
        sources=(
            *((table(view),) for view in l0),
            *(tuple(table(view) for view in run.views) for run in runs),
        ),
        retention=Retention(
            seq_min=manifest.recent_snapshot_min_seq,
            now_ms=max(manifest.last_l0_clock_tick, tools.clock.now_ms() if by_clock else 0),
            bottom=not tree.runs or tree.runs[-1].id == oldest,
            operator=tools.operator,
            filter=tools.filter,
        ),
        layout=tools.layout,
        sst_size=tools.settings.sst_size,
        new_id=_mint_above(tools, compaction.id),
        path_of=tools.place.table,
        subcompactions=tools.settings.subcompactions,
        window=tools.window,
        ahead=tools.ahead,
    )


def _mint_above(tools: Tools, compaction: str) -> Callable[[], str]:
    """Return a maker of ids above that of the compaction, whatever this machine's clock says.

    Collectors leave alone what is younger than the oldest compaction under way.
    """
    return UlidMint(tools.clock, tools.rand, above=compaction).mint
