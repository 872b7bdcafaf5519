"""The index and the filters of a table file, as reads hold them.

Owns: which blocks may hold a key or a range, what the filters say.
Does not own: their layout in a file (`format.index`, `format.filter`).

Invariants:
1. A key or range that is hidden is not in the file. The reverse may not hold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cenote.lsm.format import Bloom, key_hash
from cenote.lsm.keys import prefix_successor

__all__ = ["NO_EXTRACTORS", "Meta", "PrefixOf", "hash_of"]

PrefixOf = Callable[[bytes], "bytes | None"]
NO_EXTRACTORS: Final[Mapping[str, PrefixOf]] = MappingProxyType({})

_META_ENTRY_SIZE: Final = 96  # what a block takes in a decoded index, besides its key

_hashed: tuple[bytes, int] = (b"", 0)


def hash_of(key: bytes) -> int:
    """Return a key's hash, which the tables of one read ask for one after the other."""
    global _hashed
    known, number = _hashed
    if known is not key:
        number = key_hash(key)
        _hashed = (key, number)
    return number


class Meta:
    """The index and the filters of a file.

    Block i lies at offsets[i]..offsets[i + 1]; its keys are not below first_keys[i], nor above
    first_keys[i + 1]. `bloom` is a filter over whole keys, or None; `bits` and `probes` are what it
    is made of. `prefixes` is a filter over prefixes, and what makes a key's prefix, or None.
    """

    __slots__ = ("bits", "bloom", "first_keys", "offsets", "prefixes", "probes", "size")

    def __init__(
        self,
        first_keys: tuple[bytes, ...],
        offsets: tuple[int, ...],
        filters: Mapping[str, Bloom],
        extractors: Mapping[str, PrefixOf],
    ) -> None:
        self.first_keys = first_keys
        self.offsets = offsets
        whole = [filters[name] for name in filters if not name.endswith(":wh=0")]
        self.bloom = whole[0] if whole else None
        self.bits: bytes | None = whole[0].bits if whole else None
        self.probes = whole[0].probes if whole else 0
        self.prefixes: tuple[Bloom, PrefixOf] | None = None
        for name, bloom in filters.items():
            extractor = extractors.get(name.removesuffix(":wh=0"))
            if extractor is not None:
                self.prefixes = (bloom, extractor)
        self.size = sum(map(len, first_keys)) + _META_ENTRY_SIZE * len(offsets)
        self.size += sum(len(bloom.bits) + 200 for bloom in filters.values())

    def blocks(self, start: bytes, end: bytes | None) -> range:
        """Return the blocks that may hold keys with `start` <= key < `end`."""
        first_keys = self.first_keys
        stop = len(first_keys) if end is None else bisect_left(first_keys, end)
        return range(max(bisect_left(first_keys, start) - 1, 0), stop)

    def hides(self, key: bytes) -> bool:
        """Tell whether a filter says that the key is not there."""
        if self.bloom is not None:
            return not self.bloom.may_contain(hash_of(key))
        if self.prefixes is None:
            return False
        bloom, prefix_of = self.prefixes
        prefix = prefix_of(key)
        return prefix is not None and not bloom.may_contain(key_hash(prefix))

    def hides_range(self, start: bytes, end: bytes | None) -> bool:
        """Tell whether a filter says that no key of a range is there, which share a prefix."""
        if self.prefixes is None or end is None:
            return False
        bloom, prefix_of = self.prefixes
        prefix = prefix_of(start)
        if not prefix or not start.startswith(prefix):
            return False
        stop = prefix_successor(prefix)
        if stop is not None and end > stop:
            return False
        return not bloom.may_contain(key_hash(prefix))
