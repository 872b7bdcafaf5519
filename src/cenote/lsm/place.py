"""Where a database lives: a store, a root in it, and the store of its log.

Owns: a database's URI taken apart, the paths of its files, whose table files a clone reads.
Does not own: the stores (`cenote.objstore`), the names below a root (`format.names`).

A URI names a store and the root in it; roots are paths in the whole store, since a clone names its
parent by such a path:

- `s3://BUCKET/A/B`, `gs://`, `az://`: the bucket, root `A/B`;
- `file:///DIR/NAME`: the folder DIR, root NAME;
- `sqlite://DIR/BUCKET?prefix=P`: the bucket file, root P;
- `memory://`: a new store, root `db`.

With `path` the URI names the store alone, all of it, and `path` is the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cenote.base import Clock, Rand
from cenote.errors import InvalidError
from cenote.lsm.format import Manifest, table_name
from cenote.objstore import ObjectStore, check_path, open_store, split_uri

__all__ = ["Place", "open_place"]

_MEMORY_ROOT: Final = "db"
_REMOTE: Final = ("s3://", "gs://", "az://")


@dataclass(frozen=True, slots=True)
class Place:
    """A database's root in a store. `wal_store` is `store` unless the log has one of its own.

    `owned` are the stores to close with the database: those that a URI opened. `doubted`: whether
    the store is a remote one of which nobody has shown that it honours put-if-absent. `uri` is
    that of the store alone, where another process can open it by one.
    """

    store: ObjectStore
    root: str
    wal_store: ObjectStore
    owned: tuple[ObjectStore, ...] = ()
    doubted: bool = False
    uri: str | None = None

    @property
    def name(self) -> str:
        """What to call the database in a message."""
        return f"{self.store.name}/{self.root}" if self.root else self.store.name

    @property
    def is_remote(self) -> bool:
        """Whether a request goes over a network, by what the URI says."""
        return self.uri is not None and self.uri.startswith(_REMOTE)

    @property
    def has_wal_store(self) -> bool:
        """Whether the log has a store of its own."""
        return self.wal_store is not self.store

    def path(self, name: str) -> str:
        """Return the path of a file by its name below the root."""
        return f"{self.root}/{name}" if self.root else name

    def table(self, sst_id: str) -> str:
        """Return the path of a table file of the database's own. Raises DataError for a bad id."""
        return self.path(table_name(sst_id))

    def tables(self, manifest: Manifest) -> dict[str, str]:
        """Return the path of each table file of a manifest by its id, those of parents too."""
        parents = self.parent_tables(manifest)
        return {
            handle.id: parents.get(handle.id) or self.table(handle.id) for handle in manifest.ssts
        }

    def parent_tables(self, manifest: Manifest) -> dict[str, str]:
        """Return the path of each table file that lies below another database, by its id."""
        return {
            sst_id: f"{external.path}/{table_name(sst_id)}" if external.path else table_name(sst_id)
            for external in manifest.external_dbs
            for sst_id in external.sst_ids
        }

    def close(self) -> None:
        """Close the stores that were opened for it. Harmless when repeated."""
        for store in self.owned:
            store.close()


def open_place(
    where: str | ObjectStore,
    path: str | None = None,
    *,
    wal: str | ObjectStore | None = None,
    read_only: bool = False,
    clock: Clock | None = None,
    rand: Rand | None = None,
) -> Place:
    """Return the place of a database.

    `where` is a URI or a store, `path` the root in it (see the module), `wal` a store or a URI of
    one for the log, below the same root. `read_only` opens stores that refuse to write; a store
    that is given is used as it is. What a URI opens is the place's to close.
    Raises InvalidError (kinds "invalid_uri", "invalid_path"), and what opening a store raises.
    """
    owned: list[ObjectStore] = []

    def opened(uri: str) -> ObjectStore:
        # Not probed here: the writer does so with a manifest of its own, see `ManifestStore.prove`.
        store = open_store(uri, read_only=read_only, clock=clock, rand=rand)
        owned.append(store)
        return store

    uri = ""
    try:
        if isinstance(where, str):
            uri, root = (where, path) if path is not None else split_uri(where)
            store = opened(uri)
            if path is None and uri == "memory://":
                root = _MEMORY_ROOT
        else:
            store, root = where, _MEMORY_ROOT if path is None else path
        if wal is None:
            wal_store = store
        elif isinstance(wal, str):
            wal_store = opened(wal)
        else:
            wal_store = wal
        if wal is not None and wal_store is store:
            raise InvalidError("the log's store is the database's own", kind="invalid_uri")
        doubted = any(each.startswith(_REMOTE) for each in (where, wal) if isinstance(each, str))
        root = check_path(root) if root else ""
        shared = uri if isinstance(where, str) and uri != "memory://" else None
        return Place(store, root, wal_store, tuple(owned), doubted and not read_only, shared)
    except BaseException:
        for store in owned:
            store.close()
        raise
