"""Fetching for a caller that blocks: what is asked for at once goes over a network at once.

Owns: the threads of one step, which live no longer than it.
Does not own: what is fetched (`plan`).

Stores in memory and on local disks are asked in the caller's thread: a thread costs 0.1 ms, and a
read there less. Only requests that wait for a network are worth one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Final

from cenote.objstore import ObjectStore

__all__ = ["Ranges", "fetch", "fetch_all"]

Ranges = tuple[str, tuple[tuple[int, int], ...]]
"""A path, and half-open byte ranges of the object there."""

_AT_ONCE: Final = 16


def fetch(store: ObjectStore, wanted: Ranges) -> Sequence[bytes]:
    """Return the bytes of each range. Raises what the store raises."""
    path, ranges = wanted
    if len(ranges) == 1:
        start, end = ranges[0]
        return (store.get_range(path, start, end),)
    return store.get_ranges(path, ranges)


def fetch_all(store: ObjectStore, wanted: Sequence[Ranges]) -> list[Sequence[bytes]]:
    """Return the bytes of each range of each object.

    Raises what the store raises: of several errors that of the first object.
    """
    if len(wanted) < 2 or not _is_remote(store):
        return [fetch(store, each) for each in wanted]
    found: list[Sequence[bytes]] = []
    for at in range(0, len(wanted), _AT_ONCE):
        found += _fetch_at_once(store, wanted[at : at + _AT_ONCE])
    return found


def _fetch_at_once(store: ObjectStore, wanted: Sequence[Ranges]) -> list[Sequence[bytes]]:
    found: dict[int, Sequence[bytes]] = {}
    errors: dict[int, BaseException] = {}

    def work(at: int) -> None:
        try:
            found[at] = fetch(store, wanted[at])
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors[at] = error

    threads = [
        threading.Thread(target=work, args=(at,), name=f"cenote-fetch-{at}", daemon=True)
        for at in range(1, len(wanted))
    ]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [found[at] for at in range(len(wanted))]


def _is_remote(store: ObjectStore) -> bool:
    """Tell whether requests go over a network, below whatever wraps the store."""
    remote = sys.modules.get("cenote.objstore.remote")  # not imported: no store is of it
    if remote is None:
        return False
    while (inner := getattr(store, "inner", None)) is not None:
        store = inner
    return isinstance(store, remote.RemoteStore)
