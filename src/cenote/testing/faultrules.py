"""Rules that make a server fail on purpose: which request, and how.

Owns: the rules, which requests they meet, counting.
Does not own: failing (`interposed`).

Invariants:
1. A request meets at most one rule: the first that matches and is not used up. All rules that
   match count it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from cenote.errors import InvalidError

__all__ = ["FaultKind", "FaultRule", "FaultRules", "Seen"]


class FaultKind(Enum):
    """How a request fails.

    STATUS: it is answered with an error, and nothing was done. DELAY: it is done later. RESET: the
    connection is cut while the request comes in, and nothing was done. TRUNCATE: the answer is cut
    in the middle of its body. LOST_REPLY: it was done, and the connection is cut before the answer.
    """

    STATUS = "status"
    DELAY = "delay"
    RESET = "reset"
    TRUNCATE = "truncate"
    LOST_REPLY = "lost_reply"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule goes by: the operation's name, the HTTP method, bucket and key, or the table."""

    operation: str
    method: str
    bucket: str
    key: str


@dataclass(slots=True)
class FaultRule:
    """One rule. It meets requests number `on` to `on + times - 1` of those that match."""

    kind: FaultKind
    operation: str | None = None
    method: str | None = None
    bucket: str | None = None
    key: str | None = None
    on: int = 1
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    seconds: float = 0.0
    matched: int = field(default=0, init=False)
    met: int = field(default=0, init=False)

    def matches(self, seen: Seen) -> bool:
        """Tell whether the rule is about such a request. Bucket and key may have wildcards."""
        return (
            self.operation in (None, seen.operation)
            and self.method in (None, seen.method)
            and (self.bucket is None or fnmatchcase(seen.bucket, self.bucket))
            and (self.key is None or fnmatchcase(seen.key, self.key))
        )


class FaultRules:
    """The rules of a server. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> FaultRule:
        """Add a rule, and return it: `met` tells how often it has met a request.

        Raises InvalidError for a rule that could never meet one.
        """
        if rule.on < 1 or rule.times < 1:
            raise InvalidError("a rule counts from 1, and meets one request at least")
        if rule.kind is FaultKind.STATUS and not 400 <= rule.status <= 599:
            raise InvalidError(f"{rule.status} is not the status of an error")
        with self._lock:
            self._rules.append(rule)
        return rule

    def status(self, status: int = 503, code: str = "SlowDown", **where: str | int) -> FaultRule:
        """Answer with an error; nothing is done. `where` are the fields of `FaultRule`."""
        return self.add(FaultRule(FaultKind.STATUS, status=status, code=code, **where))  # type: ignore[arg-type]

    def delay(self, seconds: float, **where: str | int) -> FaultRule:
        """Do what is asked later."""
        return self.add(FaultRule(FaultKind.DELAY, seconds=seconds, **where))  # type: ignore[arg-type]

    def reset(self, **where: str | int) -> FaultRule:
        """Cut the connection while the request comes in; nothing is done."""
        return self.add(FaultRule(FaultKind.RESET, **where))  # type: ignore[arg-type]

    def truncate(self, **where: str | int) -> FaultRule:
        """Cut the answer in the middle of its body."""
        return self.add(FaultRule(FaultKind.TRUNCATE, **where))  # type: ignore[arg-type]

    def lose_reply(self, **where: str | int) -> FaultRule:
        """Do what is asked, and cut the connection before the answer."""
        return self.add(FaultRule(FaultKind.LOST_REPLY, **where))  # type: ignore[arg-type]

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules = []

    def __bool__(self) -> bool:
        return bool(self._rules)

    def meet(self, seen: Seen) -> FaultRule | None:
        """Count a request, and return the rule it meets."""
        found: FaultRule | None = None
        with self._lock:
            for rule in self._rules:
                if not rule.matches(seen):
                    continue
                rule.matched += 1
                if found is None and rule.on <= rule.matched < rule.on + rule.times:
                    rule.met += 1
                    found = rule
        return found
