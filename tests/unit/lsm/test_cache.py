"""The block cache: its budget, what goes first, who shares what."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.lsm.cache import META, BlockCache


def test_what_is_kept_is_found_until_it_is_dropped() -> None:
    cache = BlockCache(100)
    shelf = cache.shelf("a")
    cache.keep(shelf, 0, b"block", 5)
    cache.keep(shelf, META, "meta", 7)
    assert shelf[0].value == b"block"
    assert (cache.size, cache.meta_size, len(cache)) == (12, 7, 2)
    cache.keep(shelf, 0, b"other", 9)
    assert shelf[0].value == b"other"
    assert cache.size == 16
    cache.drop(shelf, 0)
    assert 0 not in shelf
    assert cache.size == 7
    cache.forget("a")
    assert (cache.size, len(cache), len(shelf)) == (0, 0, 0)


def test_what_is_larger_than_the_budget_is_not_kept() -> None:
    cache = BlockCache(10)
    shelf = cache.shelf("a")
    cache.keep(shelf, 0, "small", 10)
    cache.keep(shelf, 1, "large", 11)
    assert list(shelf) == [0]


def test_what_is_used_outlives_what_is_not() -> None:
    cache = BlockCache(40)
    shelf = cache.shelf("a")
    for number in range(4):
        cache.keep(shelf, number, number, 10)
    shelf[0].used = True
    cache.keep(shelf, 4, 4, 10)
    assert sorted(shelf) == [0, 2, 3, 4]
    assert cache.counts.evictions == 1


def test_blocks_go_before_indexes() -> None:
    cache = BlockCache(40)
    shelf = cache.shelf("a")
    cache.keep(shelf, META, "index", 20)
    for number in range(5):
        cache.keep(shelf, number, number, 10)
    assert sorted(shelf) == [META, 3, 4]


def test_indexes_do_not_take_all_of_the_room() -> None:
    cache = BlockCache(40)
    block = cache.shelf("a")
    cache.keep(block, 0, 0, 10)
    for name in "bcdef":
        cache.keep(cache.shelf(name), META, name, 10)
    assert 0 in block
    assert cache.size == 40


def test_tables_of_one_file_share_a_shelf_while_anybody_has_it() -> None:
    cache = BlockCache(100)
    shelf = cache.shelf("a")
    assert cache.shelf("a") is shelf
    cache.keep(shelf, 0, "kept", 1)
    del shelf
    gc.collect()
    assert cache.shelf("a")[0].value == "kept"


def test_forgetting_does_not_pile_up_what_is_dead() -> None:
    cache = BlockCache(10**6)
    for turn in range(20_000):
        shelf = cache.shelf("a")
        cache.keep(shelf, turn % 3, turn, 1)
    assert len(cache._blocks) < 5000
    for turn in range(20_000):
        cache.keep(cache.shelf(f"{turn}"), 0, turn, 1)
        cache.forget(f"{turn}")
    assert len(cache._blocks) < 5000
    assert cache.size == 3


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 60),
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(-1, 5),
            st.integers(0, 30),
            st.sampled_from(("keep", "keep", "keep", "use", "drop", "forget", "clear")),
        )
    ),
)
def test_the_budget_is_kept(budget: int, steps: list[tuple[str, int, int, str]]) -> None:
    cache = BlockCache(budget)
    shelves = {name: cache.shelf(name) for name in "abc"}
    for name, number, size, what in steps:
        shelf = shelves[name]
        if what == "keep":
            before = shelf.get(number)
            cache.keep(shelf, number, (name, number), size)
            if size <= budget:
                assert shelf[number].size == size
            else:
                assert shelf.get(number) is before
        elif what == "use" and number in shelf:
            shelf[number].used = True
        elif what == "drop":
            cache.drop(shelf, number)
        elif what == "forget":
            cache.forget(name)
        elif what == "clear":
            cache.clear()
        held = [each for shelf in shelves.values() for each in shelf.values()]
        assert cache.size == sum(each.size for each in held) <= budget
        assert cache.meta_size == sum(each.size for each in held if each.number == META)
        assert len(cache) == len(held)
        for name, shelf in shelves.items():
            assert all(each.value == (name, at) for at, each in shelf.items())


def test_threads_may_share_it() -> None:
    cache = BlockCache(500)

    def work(seed: int) -> None:
        for turn in range(3000):
            shelf = cache.shelf(f"{(turn * seed) % 5}")
            number = (turn * 7 + seed) % 11
            held = shelf.get(number)
            if held is None:
                cache.keep(shelf, number, number, 10)
            else:
                held.used = True
                assert held.value in (number, None)
            assert cache.size <= 500

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, (1, 2, 3)))
