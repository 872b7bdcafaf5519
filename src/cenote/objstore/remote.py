"""A store far away: S3, Google Cloud Storage or Azure, by obstore.

Owns: the translation of the contract to obstore's calls, and of its answers back.
Does not own: which store and which credentials (`open`), trying again (`retry`).

Invariants:
1. One put is one request, whatever its size: obstore would split a large one, and what is split is
   not conditional everywhere.
2. Requests are not repeated below this store, but for those of a multipart upload: whoever repeats
   must know whether the first one may have happened.
3. An ETag here is the store's word for "this very write": S3's and Azure's ETag, Google's
   generation.

Limit: names with empty segments ("a//b"), which other programs may have stored in the bucket, make
listings of their folder fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import obstore

from cenote.base import Clock, SystemClock
from cenote.errors import ClosedError, UnavailableError, UnsupportedError
from cenote.objstore.api import (
    PAGE_SIZE,
    Data,
    Fetched,
    Folder,
    MultipartWriter,
    ObjectMeta,
    ObjectStore,
    Page,
    already_exists,
    check_range,
    not_the_same,
    out_of_range,
)
from cenote.objstore.path import check_path, check_prefix, fault_of
from cenote.objstore.remote_faults import (
    BEYOND_THE_END,
    BLOB_EXISTS,
    FOREIGN,
    NO_BUCKET,
    NOT_PARTIAL,
    foreign,
    from_obstore,
    status_of,
)
from cenote.objstore.remote_upload import RemoteUpload
from cenote.objstore.spans import cut, merged

__all__ = ["RemoteStore"]

# No hyphen: Azure takes identifiers only.
WRITE_ID: Final = "cenotewriteid"
_DELETES_MAX: Final = 1000


class RemoteStore(ObjectStore):
    """Objects in a bucket or container."""

    def __init__(
        self,
        store: Any,
        name: str,
        *,
        uploads: Any = None,
        generations: bool = False,
        lists_sorted: bool = True,
        deletes_in_bulk: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Use an obstore store without a prefix that does not retry.

        `uploads` is the same store, retrying, for multipart uploads. `generations`: conditions
        are on generations, not ETags. `lists_sorted` False: the store lists in no order, so that
        listing reads all names first. `deletes_in_bulk`: one request deletes many, and absent
        ones are no error.
        """
        self._store = store
        self._uploads = uploads or store
        self._name = name
        self._generations = generations
        self._lists_sorted = lists_sorted
        self._deletes_in_bulk = deletes_in_bulk
        self._clock = clock or SystemClock()
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    # Writing.

    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        self._check(path)
        try:
            return self._put(path, data, write_id, "overwrite")
        except FOREIGN as error:
            self._fail(error, "putting", path, is_write=True)

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        self._check(path)
        try:
            return self._put(path, data, write_id, "create")
        except foreign.AlreadyExistsError as error:
            # A 409 is S3's word for two writes at once, and Azure's for an object that is there.
            if status_of(error) == 409 and BLOB_EXISTS not in str(error):
                raise _conflict(path) from error
            raise already_exists(path) from error
        except FOREIGN as error:
            self._fail(error, "putting", path, is_write=True)

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        self._check(path)
        if self._generations and not (etag.isascii() and etag.isdigit()):
            raise not_the_same(path, etag)  # no generation: the store would call it a bad request
        mode = {"version": etag} if self._generations else {"e_tag": etag}
        try:
            return self._put(path, data, write_id, mode)
        except foreign.PreconditionError as error:
            if NO_BUCKET in str(error):
                self._fail(error, "putting", path, is_write=True)
            raise not_the_same(path, etag) from error
        except foreign.AlreadyExistsError as error:  # what a 409 is taken for
            raise _conflict(path) from error
        except FOREIGN as error:
            if isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error):
                raise not_the_same(path, etag) from error
            self._fail(error, "putting", path, is_write=True)

    def copy(self, source: str, target: str) -> ObjectMeta:
        self._check(source, target)
        try:
            obstore.copy(self._store, source, target)
        except FOREIGN as error:
            self._fail(error, "copying", source, is_write=True)
        return self.head(target)

    def delete(self, path: str) -> None:
        self._check(path)
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError as error:
            if NO_BUCKET in str(error):
                self._fail(error, "deleting", path, is_write=True)
        except FOREIGN as error:
            self._fail(error, "deleting", path, is_write=True)

    def delete_many(self, paths: Sequence[str]) -> None:
        self._check(*paths)
        if not self._deletes_in_bulk:
            for path in paths:
                self.delete(path)
            return
        for at in range(0, len(paths), _DELETES_MAX):
            some = list(paths[at : at + _DELETES_MAX])
            try:
                obstore.delete(self._store, some)
            except FOREIGN as error:
                self._fail(error, "deleting", some[0], is_write=True)

    def multipart(self, path: str) -> MultipartWriter:
        self._check(path)
        return RemoteUpload(self._uploads, path, lambda: self.head(path))

    # Reading.

    def get(self, path: str) -> Fetched:
        self._check(path)
        try:
            return self._whole(path, found := obstore.get(self._store, path), found.bytes())
        except FOREIGN as error:
            self._fail(error, "getting", path)

    async def get_async(self, path: str) -> Fetched:
        self._check(path)
        try:
            found = await obstore.get_async(self._store, path)
            return self._whole(path, found, await found.bytes_async())
        except FOREIGN as error:
            self._fail(error, "getting", path)

    def get_range(self, path: str, start: int, end: int) -> bytes:
        self._check(path)
        check_range(path, start, end)
        try:
            data = obstore.get_range(self._store, path, start=start, end=end).to_bytes()
        except FOREIGN as error:
            self._explain(error, path, [(start, end)])
        self._complete(path, [(start, end)], [data])
        return data

    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        self._check(path)
        check_range(path, start, end)
        try:
            found = await obstore.get_range_async(self._store, path, start=start, end=end)
        except FOREIGN as error:
            await asyncio.to_thread(self._explain, error, path, [(start, end)])
            raise
        data = found.to_bytes()
        if len(data) != end - start:
            await asyncio.to_thread(self._complete, path, [(start, end)], [data])
        return data

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._check(path)
        if not ranges:
            return []
        spans = _spans(path, ranges)
        starts, ends = [start for start, _ in spans], [end for _, end in spans]
        try:
            found = obstore.get_ranges(self._store, path, starts=starts, ends=ends)
        except FOREIGN as error:
            self._explain(error, path, spans)
        data = [item.to_bytes() for item in found]
        self._complete(path, spans, data)
        return cut(ranges, spans, data)

    async def get_ranges_async(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._check(path)
        if not ranges:
            return []
        spans = _spans(path, ranges)
        starts, ends = [start for start, _ in spans], [end for _, end in spans]
        try:
            found = await obstore.get_ranges_async(self._store, path, starts=starts, ends=ends)
        except FOREIGN as error:
            await asyncio.to_thread(self._explain, error, path, spans)
            raise
        data = [item.to_bytes() for item in found]
        if any(len(d) != end - start for d, (start, end) in zip(data, spans, strict=True)):
            await asyncio.to_thread(self._complete, path, spans, data)
        return cut(ranges, spans, data)

    def get_tail(self, path: str, size: int) -> Fetched:
        self._check(path)
        check_range(path, 0, size)
        try:
            found = obstore.get(self._store, path, options={"range": {"suffix": size}})
            return Fetched(self._meta_of(path, found), found.bytes().to_bytes())
        except FOREIGN as error:
            if _has_no_tail(error):
                return self._tail_in_two(path, size)
            self._fail(error, "getting", path)

    async def get_tail_async(self, path: str, size: int) -> Fetched:
        self._check(path)
        check_range(path, 0, size)
        try:
            found = await obstore.get_async(self._store, path, options={"range": {"suffix": size}})
            return Fetched(self._meta_of(path, found), (await found.bytes_async()).to_bytes())
        except FOREIGN as error:
            if _has_no_tail(error):
                return await asyncio.to_thread(self._tail_in_two, path, size)
            self._fail(error, "getting", path)

    def head(self, path: str) -> ObjectMeta:
        self._check(path)
        try:
            # obstore.head leaves the attributes out.
            found = obstore.get(self._store, path, options={"head": True})
            return self._meta_of(path, found)
        except FOREIGN as error:
            self._fail(error, "heading", path)

    # Listing.

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        self._check()
        check_prefix(prefix)
        if start_after:
            check_path(start_after)
        try:
            if self._lists_sorted:
                stream = obstore.list(
                    self._store,
                    prefix or None,
                    offset=start_after or None,
                    chunk_size=limit,
                )
                entries = []
                for chunk in stream:  # one, unless the store knows no offset and begins anew
                    entries += [entry for entry in chunk if entry["path"] > start_after]
                    if len(entries) >= limit:
                        break
            else:
                chunks = obstore.list(self._store, prefix or None)
                entries = [entry for chunk in chunks for entry in chunk]
                entries.sort(key=lambda entry: entry["path"])
                entries = [entry for entry in entries if entry["path"] > start_after]
        except FOREIGN as error:
            self._fail(error, "listing", prefix)
        more = len(entries) >= limit
        entries = entries[:limit]
        self._require_order(entries, start_after)
        objects = [self._listed(e) for e in entries if fault_of(e["path"]) is None]
        return Page(objects, entries[-1]["path"] if more else None)

    def list_folder(self, prefix: str = "") -> Folder:
        self._check()
        check_prefix(prefix)
        try:
            found = obstore.list_with_delimiter(self._store, prefix or None)
        except FOREIGN as error:
            self._fail(error, "listing", prefix)
        objects = [self._listed(e) for e in found["objects"] if fault_of(e["path"]) is None]
        folders = [path for path in found["common_prefixes"] if fault_of(path) is None]
        return Folder(sorted(objects, key=lambda meta: meta.path), sorted(folders))

    def close(self) -> None:
        self._closed = True

    # Inside.

    def _check(self, *paths: str) -> None:
        if self._closed:
            raise ClosedError(f"{self._name} is closed")
        for path in paths:
            check_path(path)

    def _put(self, path: str, data: Data, write_id: str | None, mode: Any) -> ObjectMeta:
        attributes = None if write_id is None else {WRITE_ID: write_id}
        result = obstore.put(
            self._store, path, data, mode=mode, attributes=attributes, use_multipart=False
        )
        etag, version = result["e_tag"], result["version"]
        return ObjectMeta(
            path,
            len(data),
            self._word(etag, version),
            self._clock.now_ms(),  # the store does not tell; head does
            version=version,
            write_id=write_id,
        )

    def _word(self, etag: str | None, version: str | None) -> str:
        word = version if self._generations else etag
        if not word:
            raise UnsupportedError(f"{self._name} tells no ETag", kind="no_conditional_put")
        return word

    def _meta_of(self, path: str, found: Any) -> ObjectMeta:
        meta = found.meta
        return ObjectMeta(
            path,
            meta["size"],
            self._word(meta["e_tag"], meta["version"]),
            _ms(meta["last_modified"]),
            version=meta["version"],
            write_id=found.attributes.get(WRITE_ID),
        )

    def _listed(self, entry: Any) -> ObjectMeta:
        return ObjectMeta(
            entry["path"],
            entry["size"],
            self._listed_word(entry),
            _ms(entry["last_modified"]),
            version=entry["version"],
        )

    def _listed_word(self, entry: Any) -> str:
        if self._generations:
            return entry["version"] or ""
        etag = entry["e_tag"] or ""
        # Azure's listings leave the quotes out that all its other answers have.
        return f'"{etag}"' if etag and not etag.endswith('"') else etag

    def _whole(self, path: str, found: Any, data: Any) -> Fetched:
        meta = self._meta_of(path, found)
        if len(data) != meta.size:
            raise _truncated(path, len(data), meta.size)
        return Fetched(meta, data.to_bytes())

    def _tail_in_two(self, path: str, size: int) -> Fetched:
        meta = self.head(path)
        start = max(0, meta.size - size)
        data = self.get_range(path, start, meta.size) if meta.size else b""
        return Fetched(meta, data)

    def _require_order(self, entries: Sequence[Any], start_after: str) -> None:
        before = start_after
        for entry in entries:
            if entry["path"] < before:
                raise UnsupportedError(
                    f"{self._name} lists in no order: {entry['path']} after {before}",
                    kind="unordered_listing",
                )
            before = entry["path"]

    def _complete(
        self, path: str, ranges: Sequence[tuple[int, int]], data: Sequence[bytes]
    ) -> None:
        """Tell a range beyond the end from one that broke off. Raises for both."""
        for (start, end), found in zip(ranges, data, strict=True):
            if len(found) != end - start:
                size = self.head(path).size
                if end > size:
                    raise out_of_range(path, start, end, size)
                raise _truncated(path, len(found), end - start)

    def _explain(
        self, error: BaseException, path: str, ranges: Sequence[tuple[int, int]]
    ) -> NoReturn:
        if status_of(error) == 416 or BEYOND_THE_END in str(error):
            start, end = max(ranges, key=lambda span: span[1])
            raise out_of_range(path, start, end, self.head(path).size) from error
        self._fail(error, "getting", path)

    def _fail(
        self, error: BaseException, what: str, path: str, *, is_write: bool = False
    ) -> NoReturn:
        raise from_obstore(error, what, path or self._name, is_write=is_write) from error


def _conflict(path: str) -> UnavailableError:
    return UnavailableError(
        f"putting {path}: another write of it was under way", kind="conflict", path=path
    )


def _truncated(path: str, size: int, wanted: int) -> UnavailableError:
    return UnavailableError(
        f"reading {path} brought {size} of {wanted} bytes", kind="truncated", path=path
    )


def _has_no_tail(error: BaseException) -> bool:
    # Azure takes no suffix ranges; of an empty object none can be satisfied, and some answer with
    # all of it.
    return (
        isinstance(error, NotImplementedError | foreign.NotSupportedError)
        or status_of(error) == 416
        or NOT_PARTIAL in str(error)
    )


def _spans(path: str, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    # obstore joins near ranges too, but panics when the object ends before one of them.
    for start, end in ranges:
        check_range(path, start, end)
    return merged(ranges)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
