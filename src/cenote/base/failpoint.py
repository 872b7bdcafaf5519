"""Named places where a test may stop, fail or slow the program.

Owns: the armed places, and what happens at one.
Does not own: the places. A module names its own with `register` and passes them with `hit`.

`CENOTE_FAILPOINTS="commit.before_sync=kill@3,pack.write=error"` arms them for a whole process;
`arm` does so inside one. Actions: `kill` (SIGKILL to ourselves), `error` (OSError EIO), `full`
(OSError ENOSPC), `sleep(SECONDS)`; `@N` waits for the N-th passing, otherwise every one counts.

Invariants:
1. With nothing armed, `hit` is one look at an empty dictionary.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cenote.base.clock import SystemClock
from cenote.errors import InvalidError

__all__ = ["arm", "armed", "disarm", "hit", "register", "registered"]

_ACTION = re.compile(r"(kill|error|full|sleep\((\d+(?:\.\d+)?)\))(?:@([1-9]\d*))?")

_lock = threading.Lock()
_known: set[str] = set()
_armed: dict[str, str] = {}
_passed: dict[str, int] = {}


def register(*names: str) -> None:
    """Make names known, so that tests can walk all of them."""
    _known.update(names)


def registered() -> tuple[str, ...]:
    """Return every name made known so far, in order."""
    return tuple(sorted(_known))


def arm(name: str, action: str) -> None:
    """Let `action` happen when `name` is passed.

    Raises InvalidError for an action not understood. A name may be armed before it is known.
    """
    if not _ACTION.fullmatch(action):
        raise InvalidError(f"failpoint {name}: action {action!r} is not understood")
    with _lock:
        _passed[name] = 0
        _armed[name] = action


def disarm(name: str | None = None) -> None:
    """Disarm one name, or all."""
    with _lock:
        if name is None:
            _armed.clear()
        else:
            _armed.pop(name, None)


@contextmanager
def armed(name: str, action: str) -> Iterator[None]:
    """Arm a name for the length of a block."""
    arm(name, action)
    try:
        yield
    finally:
        disarm(name)


def hit(name: str) -> None:
    """Pass a place. Raises OSError when armed to; does nothing when not armed."""
    if _armed:
        _fire(name)


def _fire(name: str) -> None:
    with _lock:
        action = _armed.get(name)
        if action is None:
            return
        _passed[name] += 1
        count = _passed[name]
    match = _ACTION.fullmatch(action)
    if match is None or (match[3] is not None and int(match[3]) != count):
        return
    what = match[1]
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "error":
        raise OSError(errno.EIO, f"failpoint {name}")
    elif what == "full":
        raise OSError(errno.ENOSPC, f"failpoint {name}")
    else:
        SystemClock().sleep(float(match[2]))


def _arm_from_environment(text: str) -> None:
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = item.partition("=")
        arm(name.strip(), action.strip())


_arm_from_environment(os.environ.get("CENOTE_FAILPOINTS", ""))
