"""The operations and their members as Markdown, for people who want to know what is there.

Owns: the text; the operations of the service that are not here, with reasons.
Does not own: the facts of those that are (`ops`, `shapes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cenote.dynamo.ops import OPERATIONS
from cenote.dynamo.shapes import PASSED, REFUSED, SHAPES

__all__ = ["ABSENT", "coverage", "members_of"]

_GROUPS: Final = {
    "PartiQL": "BatchExecuteStatement ExecuteStatement ExecuteTransaction",
    "backups: copy the directory": (
        "CreateBackup DeleteBackup DescribeBackup DescribeContinuousBackups ListBackups "
        "RestoreTableFromBackup RestoreTableToPointInTime UpdateContinuousBackups"
    ),
    "export and import": (
        "DescribeExport DescribeImport ExportTableToPointInTime ImportTable ListExports "
        "ListImports CancelBulkOperation DescribeBulkOperation ListBulkOperations "
        "StartBulkPutItems"
    ),
    "one place, no replicas": (
        "CreateGlobalTable DescribeGlobalTable DescribeGlobalTableSettings "
        "DescribeTableReplicaAutoScaling ListGlobalTables UpdateGlobalTable "
        "UpdateGlobalTableSettings UpdateTableReplicaAutoScaling"
    ),
    "no streams": (
        "DescribeKinesisStreamingDestination DisableKinesisStreamingDestination "
        "EnableKinesisStreamingDestination UpdateKinesisStreamingDestination"
    ),
    "policies are on buckets only": "DeleteResourcePolicy GetResourcePolicy PutResourcePolicy",
    "no account with limits, insights or endpoints": (
        "DescribeContributorInsights DescribeEndpoints DescribeLimits ListContributorInsights "
        "UpdateContributorInsights"
    ),
    "no vectors": "SearchVectors",
}
ABSENT: Final[Mapping[str, str]] = {
    name: reason for reason, names in _GROUPS.items() for name in names.split()
}
"""The operations of the service that are refused (UnknownOperationException), with the reason."""


def members_of(operation: str) -> Iterator[tuple[str, str]]:
    """Yield each member of an operation's input, by path, and what becomes of it."""
    yield from _members(operation, SHAPES[operation], "")


def _members(operation: str, shape: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape, list):
        yield from _members(operation, shape[0], path)
    elif isinstance(shape, Mapping):
        for name, each in shape.items():
            under = f"{path}.{name}".removeprefix(".") if name != "*" else path
            if name != "*":
                yield under, _fate(operation, each, under)
            yield from _members(operation, each, under)


def _fate(operation: str, shape: Any, path: str) -> str:
    reason = PASSED.get(path) or PASSED.get(f"{operation}.{path}")
    if reason is not None:
        return f"passed over: {reason}"
    if path in REFUSED:
        return "refused when true"
    if any(f"{path}.{name}" in REFUSED for name in shape if isinstance(shape, Mapping)):
        return "by its members"
    return "refused" if shape == "any" else "read"


def coverage() -> str:
    """Return Markdown: operations and members, then the operations that are refused."""
    lines = ["| operation | members that are read |", "|---|---|"]
    others = []
    for name in OPERATIONS:
        found = list(members_of(name))
        read = [path for path, fate in found if fate == "read" and "." not in path]
        lines.append(f"| {name} | {', '.join(read)} |")
        others += [(name, path, fate) for path, fate in found if fate != "read"]
    lines += ["", "These members are not read. All others inside those above are.", ""]
    lines += ["| operation | member | becomes of it |", "|---|---|---|"]
    lines += [f"| {name} | `{path}` | {fate} |" for name, path, fate in others]
    lines += ["", "| why | operations refused with UnknownOperationException |", "|---|---|"]
    lines += [f"| {why} | {', '.join(sorted(names.split()))} |" for why, names in _GROUPS.items()]
    return "\n".join(lines) + "\n"
