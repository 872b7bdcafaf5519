"""Listings against the rule as AWS states it, written naively, over a list of keys."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cenote.buckets import ListObjects, Store, listing
from cenote.errors import InvalidError
from cenote.ports import IndexView, ObjectSummary


class Keys:
    """A view of nothing but keys, which counts the rows it gave."""

    def __init__(self, keys: set[str]) -> None:
        self.keys = sorted(keys, key=str.encode)
        self.rows = 0
        self.calls = 0

    def objects(
        self, start: str, end: str | None, limit: int, *, after: bool = False
    ) -> list[ObjectSummary]:
        first = (bisect_right if after else bisect_left)(self.keys, start)
        last = len(self.keys) if end is None else bisect_left(self.keys, end)
        found = self.keys[first : min(last, first + limit)]
        self.rows += len(found)
        self.calls += 1
        return [ObjectSummary(key, 0, "", 0) for key in found]

    def page(self, **asked: Any) -> Any:
        return listing.objects(cast(IndexView, self), ListObjects(**asked))


def folded(keys: list[str], prefix: str, delimiter: str) -> list[tuple[str, str]]:
    """Every entry of a listing as ("key" or "prefix", text), in order."""
    entries = []
    for key in keys:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            entry = ("prefix", prefix + rest.split(delimiter)[0] + delimiter)
        else:
            entry = ("key", key)
        if entry not in entries:
            entries.append(entry)
    return entries


def entries_of(page) -> list[tuple[str, str]]:
    entries = [("key", item.key) for item in page.contents]
    entries += [("prefix", text) for text in page.prefixes]
    return sorted(entries, key=lambda entry: entry[1].encode())


alphabet = st.sampled_from(["a", "b", "/", "//", "é", "z", "\U0010ffff", "\ue000", "ab"])
keys_of = st.sets(st.lists(alphabet, min_size=1, max_size=5).map("".join), max_size=30)
words = st.lists(alphabet, max_size=2).map("".join)


@given(keys_of, words, words, st.integers(1, 7))
@example({"a\U0010ffff/x", "a\U0010ffff/y", "b"}, "", "\U0010ffff/", 1)
def test_pages_by_token_tell_every_entry_once(
    keys: set[str], prefix: str, delimiter: str, size: int
):
    view = Keys(keys)
    told: list[tuple[str, str]] = []
    token = None
    while True:
        page = view.page(prefix=prefix, delimiter=delimiter, max_keys=size, token=token)
        entries = entries_of(page)
        assert len(entries) <= size
        told += entries
        assert page.truncated == (page.next_token is not None)
        if not page.truncated:
            break
        assert len(entries) == size
        token = page.next_token
    assert told == folded(view.keys, prefix, delimiter)


@given(keys_of, words, words, st.integers(1, 7))
def test_pages_by_marker_tell_every_entry_once(
    keys: set[str], prefix: str, delimiter: str, size: int
):
    view = Keys(keys)
    told: list[tuple[str, str]] = []
    marker = ""
    while True:
        page = view.page(prefix=prefix, delimiter=delimiter, max_keys=size, marker=marker)
        told += entries_of(page)
        if not page.truncated:
            break
        marker = page.next_marker
    assert told == folded(view.keys, prefix, delimiter)


@given(keys_of, words, words)
def test_start_after(keys: set[str], prefix: str, start_after: str):
    view = Keys(keys)
    page = view.page(prefix=prefix, start_after=start_after)
    assert [item.key for item in page.contents] == [
        key
        for key in view.keys
        if key.startswith(prefix) and (not start_after or key.encode() > start_after.encode())
    ]


def test_a_marker_inside_a_common_prefix_hides_it():
    view = Keys({"a", "b/1", "b/2", "c"})
    page = view.page(delimiter="/", marker="b/1")
    assert entries_of(page) == [("key", "c")]
    # start-after does not: keys of b/ are left to tell.
    page = view.page(delimiter="/", start_after="b/1")
    assert entries_of(page) == [("prefix", "b/"), ("key", "c")]


def test_max_keys_zero_is_an_empty_page():
    page = Keys({"a"}).page(max_keys=0)
    assert (page.contents, page.prefixes, page.truncated, page.next_token) == ([], [], False, None)


def test_a_page_has_at_most_1000_entries():
    page = Keys({f"{i:04}" for i in range(1500)}).page(max_keys=5000)
    assert (len(page.contents), page.truncated) == (1000, True)


@given(st.text(min_size=1, max_size=20))
@example("====")
@example("a2V5")
def test_forged_tokens_are_refused(token: str):
    with pytest.raises(InvalidError) as caught:
        Keys({"a"}).page(token=token)
    assert caught.value.kind == "invalid_argument"
    assert caught.value.context["argument"] == "continuation-token"


def test_a_changed_token_is_refused():
    token = Keys({"a", "b"}).page(max_keys=1).next_token
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        if changed.rstrip("A") == token.rstrip("A"):
            continue
        with pytest.raises(InvalidError):
            Keys({"a", "b"}).page(token=changed)


def test_an_empty_token_is_none():
    page = Keys({"a", "b"}).page(token="")
    assert [entry.key for entry in page.contents] == ["a", "b"]


def test_negative_max_keys():
    with pytest.raises(InvalidError) as caught:
        Keys(set()).page(max_keys=-1)
    assert caught.value.kind == "invalid_argument"


def test_cost_follows_entries_not_keys_skipped():
    view = Keys({f"{folder:03}/{item:04}" for folder in range(100) for item in range(1000)})
    page = view.page(delimiter="/")
    assert len(page.prefixes) == 100
    assert view.rows <= 100 * 10
    # Folders of one key each, and no folders at all, are read in long batches.
    view = Keys({f"{folder:05}/x" for folder in range(5000)})
    assert len(view.page(delimiter="/").prefixes) == 1000
    assert view.rows <= 3000
    assert view.calls <= 12
    view = Keys({f"{item:05}" for item in range(5000)})
    assert len(view.page(delimiter="/").contents) == 1000
    assert view.calls <= 10


def test_order_is_that_of_utf8_bytes(store: Store, bucket: str):
    # By UTF-16 units U+10000 would come before U+E000.
    keys = ["a", "a-b", "a/b", "a0", "é", "\ue000", "\U00010000", "Z", "~"]
    for key in keys:
        store.put_object(bucket, key, b"")
    listed = [item.key for item in store.iterate_objects(bucket)]
    assert listed == sorted(keys, key=str.encode)


def test_prefixes_are_not_patterns(store: Store, bucket: str):
    for key in ("logs/a", "LOGS/b", "log_s", "l%", "logs0"):
        store.put_object(bucket, key, b"")
    for prefix in ("logs/", "LOGS", "log_", "l%", "%", "_"):
        listed = [item.key for item in store.iterate_objects(bucket, prefix=prefix)]
        assert listed == sorted(
            k for k in ("logs/a", "LOGS/b", "log_s", "l%", "logs0") if k.startswith(prefix)
        )


def test_summaries_tell_what_a_listing_needs(store: Store, bucket: str):
    put = store.put_object(bucket, "k", b"123", storage_class="GLACIER_IR")
    (item,) = store.list_objects(bucket).contents
    assert item == ObjectSummary(
        "k", 3, put.etag, put.modified_ms, "GLACIER_IR", "CRC64NVME", "FULL_OBJECT"
    )
