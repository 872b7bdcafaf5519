"""Consumed capacity: what a request would have cost, in the service's units.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

from typing import Any, Final

from cenote.dynamo.request import Request

__all__ = ["consumed", "read_units", "wanted_capacity", "write_units"]

_READ_UNIT: Final = 4096
_WRITE_UNIT: Final = 1024


def wanted_capacity(request: Request) -> str:
    """Return which report of capacity a request wants. Raises DynamoError."""
    return request.choice("ReturnConsumedCapacity", ("INDEXES", "TOTAL", "NONE"), "NONE")


def read_units(size: int, *, consistent: bool) -> float:
    """Return the units to read so many bytes; at least one read is counted."""
    units = max(1, -(-size // _READ_UNIT))
    return float(units) if consistent else units / 2


def write_units(size: int) -> float:
    """Return the units to write an item of so many bytes."""
    return float(max(1, -(-size // _WRITE_UNIT)))


def consumed(wanted: str, table: str, units: float, index: str | None = None) -> dict[str, Any]:
    """Return ConsumedCapacity as a member of an answer; an empty dictionary when not wanted."""
    if wanted == "NONE":
        return {}
    found: dict[str, Any] = {"TableName": table, "CapacityUnits": units}
    if wanted == "INDEXES":
        found["Table"] = {"CapacityUnits": 0.0 if index else units}
        if index:
            found["GlobalSecondaryIndexes"] = {index: {"CapacityUnits": units}}
    return {"ConsumedCapacity": found}
