"""What a test of a store needs: a raw client, a history of calls, and a judge of histories."""

from cenote.testing.faultrules import FaultKind, FaultRule, FaultRules
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
from cenote.testing.localserver import LocalServer
from cenote.testing.process import ServerProcess
from cenote.testing.requestlog import RequestLog
from cenote.testing.shiftedclock import ShiftedClock
from cenote.testing.wireclient import ConnectionLost, Endpoint, Reply, WireClient, raw_head

__all__ = [
    "Call",
    "ConnectionLost",
    "Create",
    "Delete",
    "DeleteIf",
    "Endpoint",
    "Event",
    "FaultKind",
    "FaultRule",
    "FaultRules",
    "Get",
    "History",
    "LocalServer",
    "Operation",
    "Outcome",
    "Put",
    "Read",
    "Reply",
    "RequestLog",
    "ServerProcess",
    "ShiftedClock",
    "Swap",
    "Verdict",
    "WireClient",
    "check",
    "raw_head",
]
