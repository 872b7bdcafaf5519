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
from cenote.testing.process import ServerProcess
from cenote.testing.wireclient import ConnectionLost, Endpoint, Reply, WireClient, raw_head

__all__ = [
    "Call",
    "ConnectionLost",
    "Create",
    "Delete",
    "DeleteIf",
    "Endpoint",
    "Event",
    "Get",
    "History",
    "Operation",
    "Outcome",
    "Put",
    "Read",
    "Reply",
    "ServerProcess",
    "Swap",
    "Verdict",
    "WireClient",
    "check",
    "raw_head",
]
