"""What the recorder takes down."""

from __future__ import annotations

import pytest

from cenote.base import ManualClock
from cenote.testing.history import History
from cenote.testing.linearizability import Event, Get, Outcome, Put, Read


def test_times_enclose_the_call():
    clock = ManualClock()
    history = History(clock)
    clock.advance(1)
    call = history.call("k", Put("a"))
    clock.advance(2)
    call.done()
    assert history.events("k") == [Event(1, 3, Put("a"), Outcome.DONE)]


def test_an_unsettled_call_is_unknown():
    history = History(ManualClock())
    with pytest.raises(ConnectionError), history.call("k", Put("a")):
        raise ConnectionError
    assert [event.outcome for event in history.events("k")] == [Outcome.UNKNOWN]


def test_a_void_call_leaves_no_trace():
    history = History(ManualClock())
    with history.call("k", Put("a")) as call:
        call.void()
    assert history.events("k") == []


def test_settling_twice_counts_once():
    history = History(ManualClock())
    with history.call("k", Get()) as call:
        call.read(None)
    assert [event.outcome for event in history.events("k")] == [Read(None)]
    assert history.keys() == ["k"]
