"""The rule of conflicts, as a decision about keys; and against a model that looks at everything."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from cenote.errors import TransactionConflictError
from cenote.lsm.txn import Footprint, Recent, Span


def begun(recent: Recent, seq: int, *, serializable: bool = False) -> Footprint:
    recent.watch()
    recent.begin(seq)
    return Footprint(seq, serializable=serializable)


def conflicts(recent: Recent, footprint: Footprint) -> bool:
    try:
        recent.check(footprint)
    except TransactionConflictError as error:
        assert error.context["key"]
        return True
    return False


def test_who_writes_what_another_wrote_since_is_refused() -> None:
    recent = Recent()
    footprint = begun(recent, 5)
    footprint.write(b"a")
    assert not conflicts(recent, footprint)
    recent.note(6, [b"b"])
    assert not conflicts(recent, footprint)
    recent.note(7, [b"a"])
    assert conflicts(recent, footprint)
    footprint.unmark_write([b"a"])
    assert not conflicts(recent, footprint)
    footprint.write(b"a")
    assert conflicts(recent, footprint)


def test_reads_count_when_serializable_or_marked() -> None:
    recent = Recent()
    lax, strict = begun(recent, 1), begun(recent, 1, serializable=True)
    for each in (lax, strict):
        each.read(b"r")
        each.write(b"w")
    recent.note(2, [b"r"])
    assert not conflicts(recent, lax)
    assert conflicts(recent, strict)
    lax.mark_read([b"r"])
    assert conflicts(recent, lax)


def test_who_writes_nothing_has_no_conflict() -> None:
    recent = Recent()
    footprint = begun(recent, 1, serializable=True)
    footprint.read(b"r")
    footprint.scan(lambda: [(b"", None)])
    recent.note(2, [b"r"])
    assert not conflicts(recent, footprint)


@pytest.mark.parametrize(
    ("spans", "key", "refused"),
    [
        ([(b"b", b"d")], b"a", False),
        ([(b"b", b"d")], b"b", True),
        ([(b"b", b"d")], b"c\xff", True),
        ([(b"b", b"d")], b"d", False),
        ([(b"b", None)], b"\xff\xff", True),
        ([(b"b", b"b")], b"b", False),
        ([(b"", b"c"), (b"b", b"z")], b"y", True),
        ([(b"b", None), (b"c", b"d")], b"e", True),
        ([(b"f", b"g"), (b"a", b"b")], b"c", False),
        ([(b"a", b"z"), (b"c", b"d")], b"x", True),
    ],
)
def test_a_scanned_range_takes_no_new_rows(spans: list[Span], key: bytes, refused: bool) -> None:
    recent = Recent()
    footprint = begun(recent, 1, serializable=True)
    footprint.write(b"w")
    for span in spans:
        footprint.scan(lambda span=span: [span])  # type: ignore[misc]
    recent.note(2, [key])
    assert conflicts(recent, footprint) is refused


def test_what_was_written_is_forgotten_with_the_oldest_transaction() -> None:
    recent = Recent()
    first = begun(recent, 0)
    recent.note(1, [b"a", b"b"])
    second = begun(recent, 1)
    recent.note(2, [b"b", b"c"])
    third = begun(recent, 2)
    assert len(recent) == 3
    recent.end(second.began)
    assert len(recent) == 3
    recent.end(first.began)
    assert len(recent) == 0
    assert recent.watching
    recent.note(3, [b"d"])
    recent.end(third.began)
    assert len(recent) == 0
    assert not recent.watching


def test_nothing_is_forgotten_while_one_begins() -> None:
    recent = Recent()
    first = begun(recent, 0)
    recent.watch()
    recent.note(1, [b"a"])
    recent.end(first.began)
    assert recent.watching
    recent.begin(0)
    footprint = Footprint(0, serializable=False)
    footprint.write(b"a")
    assert conflicts(recent, footprint)


class Model:
    """All writes there ever were, and a rule that looks at each."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, bytes]] = []

    def refuses(self, footprint: Footprint, spans: Iterable[Span]) -> bool:
        if not footprint.writes:
            return False
        for seq, key in self.writes:
            if seq <= footprint.began:
                continue
            if key in footprint.writes - footprint.unmarked or key in footprint.reads:
                return True
            if any(low <= key and (high is None or key < high) for low, high in spans):
                return True
        return False


@pytest.mark.parametrize("seed", range(30))
def test_the_rule_against_the_model(seed: int) -> None:
    rand = random.Random(seed)
    keys = [b"%d" % number for number in range(12)]
    recent, model = Recent(), Model()
    opened: list[tuple[Footprint, list[Span]]] = []
    seq = verdicts = 0
    for _ in range(400):
        action = rand.random()
        if action < 0.2:
            opened.append((begun(recent, seq, serializable=rand.random() < 0.5), []))
        elif action < 0.5:
            seq += 1
            written = rand.sample(keys, rand.randint(1, 3))
            if recent.watching:
                recent.note(seq, written)
            model.writes += [(seq, key) for key in written]
        elif opened:
            footprint, spans = rand.choice(opened)
            key = rand.choice(keys)
            what = rand.randrange(6)
            if what == 0:
                footprint.read(key)
            elif what == 1:
                footprint.write(key)
            elif what == 2:
                footprint.mark_read([key])
            elif what == 3:
                footprint.unmark_write([key])
            elif what == 4 and footprint.tracks_reads:
                low, high = sorted((key, rand.choice(keys)))
                span = (low, None if rand.random() < 0.2 else high)
                footprint.scan(lambda span=span: [span])  # type: ignore[misc]
                spans.append(span)
            else:
                assert conflicts(recent, footprint) is model.refuses(footprint, spans), seed
                verdicts += 1
                recent.end(footprint.began)
                opened.remove((footprint, spans))
    assert verdicts > 20
    for footprint, _ in opened:
        recent.end(footprint.began)
    assert len(recent) == 0
