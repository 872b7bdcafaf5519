"""The files of a database as its store lists them.

Owns: listing one kind of file with sizes and times; finding databases below a folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cenote.lsm import Place
from cenote.lsm import format as files
from cenote.objstore import ObjectMeta, ObjectStore

__all__ = ["databases", "file_document", "list_files", "time_text"]


def list_files(
    place: Place, kind: files.FileKind, after: str = ""
) -> Iterator[tuple[int | str, ObjectMeta]]:
    """Yield (id, object) of the files of a kind in order, those whose name is above `after`.

    Objects whose names no file has are passed over. Cost: a request per page of a listing.
    """
    store = place.wal_store if kind is files.FileKind.WAL else place.store
    cut = len(place.path("x")) - 1
    for meta in store.list(place.path(kind.value), start_after=place.path(after) if after else ""):
        name = files.parse_name(meta.path[cut:])
        if name is not None and name.kind is kind:
            yield name.id, meta


def databases(store: ObjectStore, folder: str, depth: int) -> Iterator[str]:
    """Yield the roots of the databases at `folder` and up to `depth` levels below, in order.

    A database is what has a folder of manifests; there are none inside another.
    Cost: one listing of a level for each folder met, and one for each database.
    """
    level = store.list_folder(folder)
    base = f"{folder}/" if folder else ""
    if f"{base}{files.FileKind.MANIFEST.value}" in level.folders and _has_manifest(store, base):
        yield folder
    elif depth:
        for below in level.folders:
            yield from databases(store, below, depth - 1)


def _has_manifest(store: ObjectStore, base: str) -> bool:
    for meta in store.list_page(f"{base}{files.FileKind.MANIFEST.value}", limit=10).objects:
        if files.parse_name(meta.path[len(base) :]) is not None:
            return True
    return False


def file_document(file_id: int | str, meta: ObjectMeta) -> dict[str, object]:
    """Return a file of a listing as JSON: id, path, size, modified_ms."""
    return {
        "id": file_id,
        "path": meta.path,
        "size": meta.size,
        "modified_ms": meta.modified_ms,
    }


def time_text(milliseconds: int) -> str:
    """Return a time in UTC for people."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
