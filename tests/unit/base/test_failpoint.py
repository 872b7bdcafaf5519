"""Armed places act when passed, at the turn asked for, and nowhere else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from cenote.base import failpoint
from cenote.errors import InvalidError


@pytest.mark.parametrize(("action", "code"), [("error", errno.EIO), ("full", errno.ENOSPC)])
def test_errors_are_raised_while_armed(action: str, code: int) -> None:
    failpoint.hit("some.place")
    with failpoint.armed("some.place", action):
        failpoint.hit("other.place")
        with pytest.raises(OSError) as caught:
            failpoint.hit("some.place")
        assert caught.value.errno == code
    failpoint.hit("some.place")


def test_turn_is_counted_from_arming() -> None:
    with failpoint.armed("some.place", "error@3"):
        failpoint.hit("some.place")
        failpoint.hit("some.place")
        with pytest.raises(OSError):
            failpoint.hit("some.place")
        failpoint.hit("some.place")


@pytest.mark.parametrize("action", ["", "die", "error@0", "sleep()", "sleep(x)", "kill@"])
def test_unknown_actions_are_refused(action: str) -> None:
    with pytest.raises(InvalidError):
        failpoint.arm("some.place", action)
    failpoint.hit("some.place")


def test_environment_arms_a_process() -> None:
    code = "from cenote.base import failpoint\nfailpoint.hit('a')\nfailpoint.hit('b')\nprint('on')"
    environment = {**os.environ, "CENOTE_FAILPOINTS": "x=error, a=sleep(0.01),b=kill"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert run.returncode == -signal.SIGKILL
    assert run.stdout == b""


def test_names_of_the_backend_are_known() -> None:
    import cenote.sqldb  # noqa: F401

    assert {"commit.before_sync", "pack.synced", "drop.moved"} <= set(failpoint.registered())
