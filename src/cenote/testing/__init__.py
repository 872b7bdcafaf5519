"""What a test of a store needs: a raw client, a history of calls, and a judge of histories."""

from cenote.testing.history import Call, History
from cenote.testing.linearizability import (
    Create,
    Delete,
    DeleteIf,
    Event,
    Get,
    Operation,
    Outcome,
    Put,
    Read,
    Swap,
    Verdict,
    check,
)

__all__ = [
    "Call",
    "Create",
    "Delete",
    "DeleteIf",
    "Event",
    "Get",
    "History",
    "Operation",
    "Outcome",
    "Put",
    "Read",
    "Swap",
    "Verdict",
    "check",
]
