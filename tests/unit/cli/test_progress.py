"""The meter: quiet where nobody looks, patient, and gone when done."""

from __future__ import annotations

import io

import pytest

from cenote.base import ManualClock
from cenote.cli.progress import Meter, size_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_long_copy() -> None:
    clock, stream = ManualClock(), Terminal()
    meter = Meter(stream=stream, clock=clock)
    meter.expect(4 << 20)
    meter.advance(1 << 20)
    assert stream.getvalue() == ""
    clock.advance(2)
    meter.advance(1 << 20)
    assert "2.0 MiB of 4.0 MiB (50 %)  1.0 MiB/s" in stream.getvalue()
    meter.close()
    assert stream.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Terminal(), True)])
def test_nobody_else_does(stream: io.StringIO, quiet: bool) -> None:
    clock = ManualClock()
    meter = Meter(stream=stream, clock=clock, quiet=quiet)
    clock.advance(9)
    meter.advance(1 << 20)
    meter.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
