"""From a frozen memtable to files of level 0.

Owns: which versions go into the files, one file a segment, the order of ids, the change of the
manifest.
Does not own: when a memtable is frozen, that its rows are in the log (the caller sees to that),
the file's bytes (`format.sst`).

Invariants:
1. Ids are minted when the files are about to be put, in the order of the memtables; a memtable is
   finished before the next one is begun. So no file in the manifest has a later id than one that
   is still to come, and a collector that goes by the ids' times keeps what is on its way.
2. A flush that was interrupted anywhere is repeated with the same files, under the same ids.
3. The manifest changes once for all files of a memtable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cenote.base import failpoint
from cenote.lsm.entry import MERGE, Row
from cenote.lsm.format import (
    BloomPolicy,
    Manifest,
    SstBuilder,
    SstHandle,
    SstLayout,
    UlidMint,
    fits_kernels,
)
from cenote.lsm.manifest.state import FlushMark, L0Addition, add_l0
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.memtable import Chain, Memtable
from cenote.lsm.place import Place
from cenote.lsm.segments import SegmentExtractor, split_rows
from cenote.lsm.settings import DbSettings
from cenote.objstore import Version

__all__ = ["Flusher", "layout_of", "needed_chains", "needed_rows"]

# Stores take this much in one request, and more only in pieces.
_ONE_PUT_MAX: Final = 256 * 2**20
_PIECE: Final = 16 * 2**20

failpoint.register("lsm.flush.before_put", "lsm.flush.after_put", "lsm.flush.after_manifest")


def layout_of(settings: DbSettings, policies: Sequence[BloomPolicy] | None) -> SstLayout:
    """Return how table files are to be written; `policies` replaces the settings' filter."""
    filters: tuple[BloomPolicy, ...] = ()
    if policies is not None:
        filters = tuple(policies)
    elif settings.filter_bits_per_key:
        filters = (BloomPolicy(settings.filter_bits_per_key),)
    return SstLayout(settings.block_size, settings.file_codec, filters, settings.filter_rows_min)


def needed_rows(memtable: Memtable, keep_from: int) -> list[Row]:
    """Return the rows of a memtable without the versions nobody at `keep_from` or later reads."""
    rows = memtable.rows()
    if len(rows) == len(memtable):
        return rows
    found: list[Row] = []
    settled: bytes | None = None
    for row in rows:
        if row[0] == settled:
            continue
        found.append(row)
        settled = row[0] if row[2] <= keep_from and row[3] != MERGE else None
    return found


def needed_chains(memtable: Memtable, keep_from: int) -> dict[bytes, Chain]:
    """Return the chains of a memtable without the versions nobody at `keep_from` or later reads."""
    chains = memtable.chains
    if len(chains) == memtable.count:
        return chains
    return {
        key: chain if chain[5] is None else _needed(chain, keep_from)
        for key, chain in chains.items()
    }


def _needed(chain: Chain, keep_from: int) -> Chain:
    above: list[Chain] = []
    while (older := chain[5]) is not None and (chain[0] > keep_from or chain[1] == MERGE):
        above.append(chain)
        chain = older
    if older is None:
        return above[0] if above else chain
    found: Chain = (*chain[:5], None)
    for each in reversed(above):
        found = (*each[:5], found)
    return found


@dataclass(slots=True)
class _File:
    """A file to be put. `data` is None when it was."""

    addition: L0Addition
    data: bytes | None = field(repr=False)


class Flusher:
    """Writes memtables to level 0, one after the other. Not thread-safe."""

    def __init__(
        self,
        place: Place,
        manifests: ManifestStore,
        *,
        writer_epoch: int,
        layout: SstLayout,
        extractor: SegmentExtractor | None,
        mint: UlidMint,
    ) -> None:
        self._place = place
        self._manifests = manifests
        self._writer_epoch = writer_epoch
        self._layout = layout
        self._extractor = extractor
        self._mint = mint
        self.put_bytes = 0
        self.admit: Callable[[SstHandle, bytes], None] | None = None  # told of each file put
        self._begun: tuple[Memtable, list[_File]] | None = None

    def flush(self, memtable: Memtable, keep_from: int, mark: FlushMark) -> Version[Manifest]:
        """Write the rows of a frozen memtable, and set the manifest's marks.

        Requires: its rows are in the log up to the last. Raises ClosedError(reason="fenced"),
        UnavailableError: then it is repeated, with this memtable first.
        """
        if self._begun is None or self._begun[0] is not memtable:
            self._begun = (memtable, self._encode(memtable, keep_from))
        files = self._begun[1]
        for file in files:
            if file.data is not None:
                failpoint.hit("lsm.flush.before_put")
                self._put(self._place.table(file.addition.handle.id), file.data)
                self.put_bytes += len(file.data)
                if self.admit is not None:
                    self.admit(file.addition.handle, file.data)
                file.data = None
        failpoint.hit("lsm.flush.after_put")
        additions = [file.addition for file in files]

        def edit(manifest: Manifest, _: int) -> Manifest | None:
            if manifest.last_l0_seq >= mark.last_l0_seq:
                return None  # by this very change, whose reply was lost
            return add_l0(manifest, additions, mark)

        made = self._manifests.edit(edit, writer_epoch=self._writer_epoch)
        failpoint.hit("lsm.flush.after_manifest")
        self._begun = None
        return made

    def _encode(self, memtable: Memtable, keep_from: int) -> list[_File]:
        if self._extractor is None and len(memtable) and fits_kernels(self._layout):
            builder = SstBuilder(self._layout)
            builder.add_chains(needed_chains(memtable, keep_from))  # the kernels sort as well
            return [self._file(builder, b"")]
        files = []
        for segment, rows in split_rows(self._extractor, needed_rows(memtable, keep_from)):
            builder = SstBuilder(self._layout)
            builder.add(rows)
            files.append(self._file(builder, segment))
        return files

    def _file(self, builder: SstBuilder, segment: bytes) -> _File:
        built = builder.finish()
        data = b"".join(builder.take())
        handle = SstHandle(self._mint.mint(), built.info, built.version)
        return _File(L0Addition(handle, segment), data)

    def _put(self, path: str, data: bytes) -> None:
        store = self._place.store
        if len(data) <= _ONE_PUT_MAX:
            store.put(path, data)
            return
        view = memoryview(data)
        with store.multipart(path) as writer:
            for start in range(0, len(data), _PIECE):
                writer.write(view[start : start + _PIECE])
            writer.finish()
