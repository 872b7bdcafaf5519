"""How a database is doing, as one value.

Owns: the value. Does not own: the figures over time (`metrics`).
"""

from __future__ import annotations

from msgspec import Struct

from cenote.lsm.pressure import Pressure
from cenote.lsm.writer import Writer

__all__ = ["Status", "status_of"]


class Status(Struct, frozen=True, kw_only=True):
    """How a database is doing.

    last_seq, durable_seq: the newest write, and the newest that is durable with all before it.
    closed_reason: "clean", "fenced" or "failed" when it has ended, else None.
    writer_epoch, compactor_epoch: what this process claimed.
    manifest_version: the number of the manifest that is read from.
    pressure: what waits to be flushed, and whether writers wait.
    l0_ssts, sorted_runs, segments: how many table files are in level 0 (of the tree that has
        most), how many runs and segments there are.
    stored_bytes: what the rows in all table files take, those shared with a parent included.
    checkpoints: how many the manifest holds.
    pins: how many scans, snapshots and transactions keep old versions.
    transaction_keys: how many keys are remembered for open transactions.
    failed_jobs: what background work has ended with an error, and the error.
    """

    last_seq: int
    durable_seq: int
    closed_reason: str | None
    writer_epoch: int
    compactor_epoch: int
    manifest_version: int
    pressure: Pressure
    l0_ssts: int
    sorted_runs: int
    segments: int
    stored_bytes: int
    checkpoints: int
    pins: int
    transaction_keys: int
    failed_jobs: dict[str, str]


def status_of(writer: Writer, transaction_keys: int) -> Status:
    """Return how a writer is doing. Never raises ClosedError."""
    manifest = writer.view.manifest
    trees = list(manifest.trees())
    return Status(
        last_seq=writer.last_seq,
        durable_seq=writer.durable_seq,
        closed_reason=writer.closed_reason,
        writer_epoch=writer.epoch,
        compactor_epoch=writer.compactor_epoch,
        manifest_version=writer.manifest_version,
        pressure=writer.pressure(),
        l0_ssts=max(len(tree.l0) for tree in trees),
        sorted_runs=sum(len(tree.runs) for tree in trees),
        segments=len(manifest.segments),
        stored_bytes=sum(handle.info.data_size for handle in manifest.ssts),
        checkpoints=len(manifest.checkpoints),
        pins=writer.pins,
        transaction_keys=transaction_keys,
        failed_jobs={name: str(error) for name, error in writer.job_errors.items()},
    )
