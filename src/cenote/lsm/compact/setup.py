"""Becoming a compactor, or asking for one: what each way of it begins with.

Owns: the tools of a process of its own, claiming the epoch, submitting a compaction.
Does not own: compacting (`compactor`, `service`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cenote.base import Clock, Rand
from cenote.errors import InvalidError, NotFoundError, UnavailableError
from cenote.lsm.compact.entries import active, find, put
from cenote.lsm.compact.job import Tools
from cenote.lsm.compact.remote import LocalRunner, ProcessRunner, Runner
from cenote.lsm.compact.spec import ACTIVE, Spec, check_spec
from cenote.lsm.flush import layout_of
from cenote.lsm.format import BloomPolicy, Compaction, Compactions, Manifest, UlidMint
from cenote.lsm.guard import Guard
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore
from cenote.lsm.merge import MergeOperator, operator_name
from cenote.lsm.metrics import Metrics
from cenote.lsm.settings import CompactorSettings, DbSettings
from cenote.objstore import Version

if TYPE_CHECKING:
    from cenote.lsm.compact.retention import CompactionFilter
    from cenote.lsm.place import Place

__all__ = ["claim_compactor", "make_tools", "runner_of", "submit"]


def make_tools(
    place: Place,
    settings: DbSettings,
    *,
    merge_operator: MergeOperator | None,
    filter_policies: Sequence[BloomPolicy] | None,
    compaction_filter: CompactionFilter | None,
    clock: Clock,
    rand: Rand,
    metrics: Metrics,
    background: bool,
) -> Tools:
    """Return what compactions need in a process of their own. Raises as `Compactor.open`."""
    manifests = ManifestStore(place.store, place.root, rand=rand)
    manifests.refresh()
    name = operator_name(merge_operator)
    if name is not None:
        Guard(place, rand).check_operator(name)
    return Tools(
        place=place,
        manifests=manifests,
        compactions=CompactionsStore(place.store, place.root, rand=rand),
        settings=settings.compactor,
        layout=layout_of(settings, filter_policies),
        clock=clock,
        rand=rand,
        operator=merge_operator,
        filter=compaction_filter,
        metrics=metrics,
        runner=runner_of(place, settings.compactor),
        ahead=background and place.is_remote,
    )


def runner_of(place: Place, settings: CompactorSettings) -> Runner:
    """Return who merges. Raises InvalidError(kind="process") when no other process could."""
    if not settings.process:
        return LocalRunner()
    if place.uri is None:
        raise InvalidError(
            "the setting compactor.process needs a store that another process can open by its URI",
            kind="process",
            hint="open the database by a URI, or leave the setting off",
        )
    return ProcessRunner(place.uri, place.root)


def claim_compactor(manifests: ManifestStore) -> Version[Manifest]:
    """Take the compactor's next epoch; every earlier compactor is fenced.

    Raises NotFoundError when there is no database, UnavailableError(kind="not_initialized").
    """

    def edit(current: Version[Manifest] | None) -> Manifest:
        if current is None:
            raise NotFoundError("there is no database", kind="no_database")
        if not current.value.initialized:
            raise UnavailableError(
                "the database is a clone that is not finished",
                kind="not_initialized",
                hint="finish it by repeating the clone",
            )
        return replace(current.value, compactor_epoch=current.value.compactor_epoch + 1)

    return manifests.update(edit)


def submit(
    manifests: ManifestStore, compactions: CompactionsStore, spec: Spec, mint: UlidMint
) -> str:
    """Ask whoever compacts the database for a compaction; return its id.

    Raises as `Compactor.submit`. Cost: two listings, and one change of the compactions file.
    """
    compactions.load()
    manifest = manifests.refresh().value
    made = Compaction(mint.mint(), spec)

    def edit(current: Version[Compactions] | None) -> Compactions | None:
        state = Compactions() if current is None else current.value
        others = [each for each in active(state) if each.id != made.id]
        check_spec(manifest, others, spec)
        entry = find(state, made.id)
        return None if entry is not None and entry.status in ACTIVE else put(state, [made])

    compactions.update(edit)
    return made.id
