"""The sequence tracker samples once a minute, thins itself, and looks both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cenote.lsm.format import decode_tracker
from cenote.lsm.tracker import SAMPLES_MAX, STEP_SECONDS, Tracker

START_MS = 1_700_000_000_000


def test_one_sample_a_minute() -> None:
    tracker = Tracker()
    for n in range(600):
        tracker.note(n + 1, START_MS + n * 1000)
    samples = decode_tracker(tracker.encoded(600))
    assert [seq for seq, _ in samples] == [1, 61, 121, 181, 241, 301, 361, 421, 481, 541]
    assert all(second == START_MS // 1000 + seq - 1 for seq, second in samples)
    assert tracker.next_ms == START_MS + 600_000


def test_only_what_is_in_table_files_is_encoded() -> None:
    tracker = Tracker()
    for n in range(5):
        tracker.note(n * 10 + 1, START_MS + n * 60_000)
    assert [seq for seq, _ in decode_tracker(tracker.encoded(21))] == [1, 11, 21]
    assert decode_tracker(tracker.encoded(0)) == []


def test_it_goes_on_from_what_was_encoded_and_never_goes_back() -> None:
    tracker = Tracker()
    tracker.note(5, START_MS)
    again = Tracker(tracker.encoded(5))
    again.note(6, START_MS + 59_000)
    again.note(5, START_MS + 90_000)
    again.note(7, START_MS + 61_000)
    again.note(8, START_MS - 1_000_000)
    seconds = START_MS // 1000
    assert decode_tracker(again.encoded(99)) == [(5, seconds), (7, seconds + 61)]


def test_too_many_are_thinned_to_twice_the_step() -> None:
    tracker = Tracker()
    for n in range(SAMPLES_MAX + 1):
        tracker.note(n + 1, START_MS + n * STEP_SECONDS * 1000)
    assert len(tracker) == SAMPLES_MAX // 2 + 1
    last = decode_tracker(tracker.encoded(10**9))[-1][1]
    tracker.note(10**6, (last + STEP_SECONDS) * 1000)
    assert len(tracker) == SAMPLES_MAX // 2 + 1
    assert Tracker(tracker.encoded(10**9)).next_ms == tracker.next_ms


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(60, 300)), max_size=40), st.data())
def test_look_ups_agree_with_the_samples(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    tracker = Tracker()
    samples: list[tuple[int, int]] = []
    seq, second = 0, 1000
    for more, later in steps:
        seq, second = seq + more, second + later
        tracker.note(seq, second * 1000)
        samples.append((seq, second))
    wanted = data.draw(st.integers(0, seq + 5))
    before = [each for each in samples if each[0] <= wanted]
    after = [each for each in samples if each[0] >= wanted]
    assert tracker.second_of(wanted) == (before[-1][1] if before else None)
    assert tracker.second_of(wanted, later=True) == (after[0][1] if after else None)
    moment = data.draw(st.integers(0, second + 5))
    before = [each for each in samples if each[1] <= moment]
    after = [each for each in samples if each[1] >= moment]
    assert tracker.seq_of(moment) == (before[-1][0] if before else None)
    assert tracker.seq_of(moment, later=True) == (after[0][0] if after else None)
