"""What a database's own files cannot say of it: where its log is, and who merges.

Owns: two small objects beside the database, when they are written, what they are compared with.
Does not own: the files of the database, which say nothing of these objects.

    ROOT/cenote/guard.json   {"version": 1, "wal_store": ID or null, "merge_operator": NAME or null}
    ROOT/cenote/wal.json     {"version": 1, "id": ID}; in the store of a separate log only

A database whose log is in a store of its own cannot be told from one whose log is empty. Opened
without that store it would look sound and lack what was acknowledged. So a store that holds a log
apart gets an identity, the database notes it, and both must agree at every later open, or nothing
is done. The name of a merge operator is noted at the first merge: another one would read other
values out of the same operands.

Invariants:
1. Nothing of a database changes before its guard was compared.
2. A note is never replaced by a different one: to change what was noted is for a person, who
   deletes the object.

Why not in the manifest: programs that know fewer fields would drop it with their next change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from cenote.base import Rand
from cenote.errors import (
    AlreadyExistsError,
    DataError,
    FormatVersionError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from cenote.lsm.format import Manifest, mint_uuid
from cenote.lsm.place import Place
from cenote.objstore import ObjectStore

__all__ = ["Guard"]

_GUARD: Final = "cenote/guard.json"
_WAL: Final = "cenote/wal.json"
_VERSION: Final = 1
_TRIES_MAX: Final = 20


class _Notes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = _VERSION
    wal_store: str | None = None
    merge_operator: str | None = None


class _WalId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    version: int = _VERSION


T = TypeVar("T", _Notes, _WalId)


@dataclass(slots=True)
class Guard:
    """The guard of the database at `place`. Call `check` before anything else."""

    place: Place
    rand: Rand
    _notes: _Notes | None = None

    def check(self, manifest: Manifest | None, operator: str | None) -> None:
        """Compare what was noted with how the database is opened; note the log's store.

        `manifest` is the latest, None for a new database; `operator` the merge operator's name.
        Raises InvalidError (kinds "wal_store", "merge_operator"), DataError. Cost: one request,
        and two or more for a log apart.
        """
        self._notes = notes = self._read()
        noted = notes.wal_store if notes is not None else None
        if not self.place.has_wal_store:
            if noted is not None:
                raise InvalidError(
                    "the log of this database is in a store of its own",
                    kind="wal_store",
                    hint="open it with wal=, naming the store it was made with",
                )
        else:
            self._check_wal_store(noted, manifest)
        if operator is not None and notes is not None and notes.merge_operator is not None:
            self._check_operator(notes.merge_operator, operator)

    def compare(self, operator: str | None) -> None:
        """As `check`, for who only reads: nothing is noted. Raises InvalidError, DataError."""
        self._notes = notes = self._read()
        noted = None if notes is None else notes.wal_store
        found = self._wal_id() if self.place.has_wal_store and noted is not None else None
        if noted != found:
            raise InvalidError(
                "the log of this database is in another store",
                kind="wal_store",
                hint="open it with wal=, naming the store it was made with",
            )
        if operator is not None and notes is not None and notes.merge_operator is not None:
            self._check_operator(notes.merge_operator, operator)

    def check_operator(self, operator: str) -> None:
        """Compare the merge operator's name with what was noted, and nothing else.

        For who merges and never writes to the log. Raises InvalidError(kind="merge_operator").
        Cost: one request.
        """
        self._notes = self._read()
        if self._notes is not None and self._notes.merge_operator is not None:
            self._check_operator(self._notes.merge_operator, operator)

    @property
    def operator(self) -> str | None:
        """The merge operator's name that was noted; None when none was, or before `check`."""
        return None if self._notes is None else self._notes.merge_operator

    def _check_operator(self, noted: str, operator: str) -> None:
        if noted != operator:
            raise InvalidError(
                f"this database merges with {noted!r}, not with {operator!r}",
                kind="merge_operator",
                hint="open it with the operator it was written with",
            )

    def _check_wal_store(self, noted: str | None, manifest: Manifest | None) -> None:
        found = self._wal_id()
        if noted is not None:
            if found != noted:
                raise InvalidError(
                    "the store given for the log is not the one this database's log is in",
                    kind="wal_store",
                    hint="open it with the store it was made with",
                )
            return
        if manifest is not None and self._has_log():
            raise InvalidError(
                "the log of this database is in its own store",
                kind="wal_store",
                hint="open it without wal=",
            )
        self._note(wal_store=found or self._make_wal_id())

    def _has_log(self) -> bool:
        """Tell whether the database's own store has log files with rows. Cost: a listing."""
        store = self.place.store
        return any(meta.size for meta in store.list(self.place.path("wal")))

    def note_operator(self, operator: str) -> None:
        """Note the operator's name before its first operand is written.

        Raises InvalidError(kind="merge_operator") when another was noted meanwhile. Cost: no
        request when it is known to be noted.
        """
        if self._notes is None or self._notes.merge_operator is None:
            self._note(merge_operator=operator)

    def _note(self, *, wal_store: str | None = None, merge_operator: str | None = None) -> None:
        path = self.place.path(_GUARD)
        for _ in range(_TRIES_MAX):
            try:
                found = self.place.store.get(path)
            except NotFoundError:
                found = None
            notes = _Notes() if found is None else _decode(found.data, _Notes)
            if notes.merge_operator is not None and merge_operator is not None:
                self._check_operator(notes.merge_operator, merge_operator)
            if notes.wal_store is not None and wal_store not in (None, notes.wal_store):
                raise InvalidError("another store was noted for the log", kind="wal_store")
            wanted = msgspec.structs.replace(
                notes,
                wal_store=wal_store or notes.wal_store,
                merge_operator=merge_operator or notes.merge_operator,
            )
            if found is not None and wanted == notes:
                self._notes = notes
                return
            data = msgspec.json.encode(wanted)
            try:
                if found is None:
                    self.place.store.put_if_absent(path, data)
                else:
                    self.place.store.put_if_match(path, data, found.meta.etag)
            except (AlreadyExistsError, PreconditionError):
                continue  # somebody else, or our own write whose reply was lost: look
            self._notes = wanted
            return
        raise UnavailableError(f"others changed {path} {_TRIES_MAX} times", kind="contended")

    def _read(self) -> _Notes | None:
        try:
            data = self.place.store.get(self.place.path(_GUARD)).data
        except NotFoundError:
            return None
        return _decode(data, _Notes)

    def _wal_id(self) -> str | None:
        try:
            data = self.place.wal_store.get(self.place.path(_WAL)).data
        except NotFoundError:
            return None
        return _decode(data, _WalId).id

    def _make_wal_id(self) -> str:
        made = _WalId(mint_uuid(self.rand))
        store: ObjectStore = self.place.wal_store
        try:
            store.put_if_absent(self.place.path(_WAL), msgspec.json.encode(made))
        except AlreadyExistsError:
            found = self._wal_id()
            if found is None:
                raise
            return found
        return made.id


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"a guard of the database cannot be read: {error}", kind="guard") from error
    if found.version != _VERSION:
        raise FormatVersionError(f"guards of version {found.version} are not known")
    return found
