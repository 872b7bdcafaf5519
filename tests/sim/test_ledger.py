"""The laws find what breaks them, and let pass what does not."""

from __future__ import annotations

import pytest

from cenote.testing.sim import Change, Deed, LawBroken, Ledger


def put(key: bytes, value: bytes) -> Change:
    return Change(Deed.PUT, key, value)


def three_writes() -> Ledger:
    ledger = Ledger()
    branch = ledger.opened(1, {})
    ledger.written(branch, 1, [put(b"a", b"1"), put(b"b", b"1")])
    ledger.written(branch, 2, [Change(Deed.DELETE, b"a")])
    ledger.written(branch, 3, [Change(Deed.MERGE, b"b", b"2"), put(b"c", b"3")])
    return ledger


def test_any_first_part_from_the_acknowledged_on_may_survive() -> None:
    for state, n in (({b"b": b"1"}, 2), ({b"b": b"12", b"c": b"3"}, 3)):
        ledger = three_writes()
        old = ledger.tip
        ledger.durable(old, 2)
        branch = ledger.opened(2, state)
        assert (branch.offset, old.cut) == (n, n)
        ledger.durable(old, 2)  # an answer that was under way
        if n == 2:
            with pytest.raises(LawBroken, match=r"write 3 .* was acknowledged"):
                ledger.durable(old, 3)


@pytest.mark.parametrize(
    "state",
    [
        {b"a": b"1", b"b": b"1"},  # an acknowledged delete is lost
        {},  # everything is
        {b"b": b"12"},  # a torn batch
        {b"b": b"1", b"c": b"3"},  # the other half
        {b"a": b"1", b"b": b"12", b"c": b"3"},  # a deleted key came back
        {b"b": b"122", b"c": b"3"},  # a merge happened twice
    ],
)
def test_what_a_writer_must_not_find(state: dict[bytes, bytes]) -> None:
    ledger = three_writes()
    ledger.durable(ledger.tip, 2)
    with pytest.raises(LawBroken):
        ledger.opened(2, state)


def test_readers_never_go_back_and_see_what_stays() -> None:
    ledger = three_writes()
    ledger.reader_view("r", {b"a": b"1", b"b": b"1"}, 0)
    ledger.reader_view("r", {b"b": b"1"}, 1)
    with pytest.raises(LawBroken, match="it is that after write 1"):
        ledger.reader_view("r", {b"a": b"1", b"b": b"1"}, 0)
    ledger.reader_view("other", {b"a": b"1", b"b": b"1"}, 0)
    with pytest.raises(LawBroken):
        ledger.opened(2, {b"a": b"1", b"b": b"1"})  # "r" saw more than that


def test_readers_see_what_was_acknowledged() -> None:
    ledger = three_writes()
    ledger.durable(ledger.tip, 2)
    with pytest.raises(LawBroken):
        ledger.reader_view("r", {b"a": b"1", b"b": b"1"}, ledger.acknowledged)


def test_a_writer_that_was_fenced_while_it_opened_counts_for_nothing() -> None:
    ledger = three_writes()
    ledger.opened(3, {b"b": b"1"})
    late = ledger.opened(2, {b"b": b"1"})
    n = ledger.written(late, 3, [put(b"x", b"1")])
    ledger.own_view(late, {b"b": b"1", b"x": b"1"}, n)
    with pytest.raises(LawBroken):
        ledger.durable(late, n)


def test_a_checkpoint_never_changes() -> None:
    ledger = three_writes()
    ledger.checkpoint_view("c", {b"b": b"1"}, 0)
    with pytest.raises(LawBroken, match="checkpoint c changed"):
        ledger.checkpoint_view("c", {b"b": b"12", b"c": b"3"}, 0)


def test_the_bank_keeps_its_sum() -> None:
    ledger = Ledger({b"bank/0": b"10", b"bank/1": b"20"}, bank_sum=30)
    branch = ledger.opened(1, {b"bank/0": b"10", b"bank/1": b"20"})
    ledger.written(branch, 1, [put(b"bank/0", b"5"), put(b"bank/1", b"25")])
    with pytest.raises(LawBroken, match="35 in the bank"):
        ledger.reader_view("auditor", {b"bank/0": b"10", b"bank/1": b"25"}, 0)
