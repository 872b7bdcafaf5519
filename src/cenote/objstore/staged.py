"""A file written aside, on its way to a name; and the lock that guards names.

Owns: `.cenote/staged/` and `.cenote/lock` below a root, the order of writing, syncing and naming.
Does not own: which name is given under which condition (`local`).

Invariants:
1. Bytes are synced before they get a name, and the folder before the write is acknowledged.
2. The modified time of a staged file has nanoseconds drawn at random, so that no two writes have
   the same inode, time and size, though an inode number is used again in the same tick.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from cenote.base import Clock, Rand, failpoint
from cenote.errors import ClosedError, UnsupportedError
from cenote.objstore.api import Data
from cenote.objstore.faults import from_os
from cenote.objstore.path import OWN_FOLDER

__all__ = ["Staged", "etag_of", "is_plain", "locked", "sweep", "sync_folder"]

ABANDONED_AFTER_MS: Final = 24 * 3600 * 1000
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)

failpoint.register("local.written", "local.synced", "local.named", "local.folder_synced")


def etag_of(status: os.stat_result) -> str:
    """Return a file's ETag."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def is_plain(status: os.stat_result) -> bool:
    """Tell whether it is a plain file."""
    return status.st_mode & 0o170000 == 0o100000


class Staged:
    """Bytes below `root` that will be, or replace, the object at `path`."""

    def __init__(self, root: str, path: str, clock: Clock, rand: Rand) -> None:
        """Open the file aside. Raises UnavailableError, DeniedError."""
        self.path = path
        self.file = f"{root}/{path}"
        self._clock = clock
        self._rand = rand
        self._aside = f"{root}/{OWN_FOLDER}/staged/{rand.bytes(12).hex()}"
        self._fd = -1
        try:
            self._fd = _open_making(self._aside, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise from_os(error, "writing", path) from error

    def append(self, data: Data) -> None:
        """Write more bytes. Raises UnavailableError, ClosedError."""
        self._require_open()
        rest = memoryview(data).cast("B")
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise from_os(error, "writing", self.path) from error

    def settle(self, *, exact: bool = False) -> os.stat_result:
        """Sync the bytes and return the file's status, which it will keep.

        Raises UnsupportedError when `exact` and the file system keeps no nanoseconds.
        """
        self._require_open()
        below = int.from_bytes(self._rand.bytes(8), "big") % 1_000_000
        modified_ns = self._clock.now_ms() * 1_000_000 + below
        try:
            failpoint.hit("local.written")
            os.utime(self._fd, ns=(modified_ns, modified_ns))
            os.fsync(self._fd)
            failpoint.hit("local.synced")
            status = os.fstat(self._fd)
        except OSError as error:
            raise from_os(error, "syncing", self.path) from error
        if exact and status.st_mtime_ns != modified_ns:
            raise UnsupportedError(
                "the file system keeps no nanoseconds of a file's time, so that two writes cannot "
                "be told apart",
                kind="no_conditional_put",
                path=self.path,
            )
        return status

    def replace(self) -> None:
        """Take the name, whoever has it. Requires: settled, and the lock is held.

        The name is not durable before `sync_name`, which needs no lock.
        """
        try:
            try:
                os.rename(self._aside, self.file)
            except FileNotFoundError:
                _make_folders(os.path.dirname(self.file))
                os.rename(self._aside, self.file)
        except OSError as error:
            raise from_os(error, "naming", self.path) from error

    def link(self) -> bool:
        """Take the name if it is free, and tell whether it was. Requires: settled.

        Not durable before `sync_name`.
        """
        try:
            try:
                os.link(self._aside, self.file)
            except FileNotFoundError:
                _make_folders(os.path.dirname(self.file))
                os.link(self._aside, self.file)
        except FileExistsError:
            if os.path.isdir(self.file):
                raise from_os(OSError(errno.EISDIR, ""), "naming", self.path) from None
            return False
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise UnsupportedError(
                    f"the file system makes no hard links, so that {self.path} cannot be made "
                    "only if it is absent",
                    kind="no_conditional_put",
                    path=self.path,
                ) from error
            raise from_os(error, "naming", self.path) from error
        return True

    def sync_name(self) -> None:
        """Make the name durable. Raises UnavailableError(effect_unknown=True)."""
        try:
            failpoint.hit("local.named")
            sync_folder(os.path.dirname(self.file))
            failpoint.hit("local.folder_synced")
        except OSError as error:
            raise from_os(error, "syncing", self.path, effect_unknown=True) from error

    def drop(self) -> None:
        """Remove what stands aside. Harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with suppress(OSError):  # what stays is swept one day
                os.unlink(self._aside)

    def _require_open(self) -> None:
        if self._fd < 0:
            raise ClosedError(f"the upload of {self.path} has ended")


@contextmanager
def locked(root: str, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of the names below `root`. Not reentrant. Raises UnavailableError."""
    file = f"{root}/{OWN_FOLDER}/lock"
    try:
        fd = _open_making(file, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise from_os(error, "locking", file) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        except OSError as error:
            raise from_os(error, "locking", file) from error
        yield
    finally:
        os.close(fd)


def sweep(root: str, now_ms: int) -> None:
    """Remove what writers that died a day ago left aside."""
    with suppress(OSError), os.scandir(f"{root}/{OWN_FOLDER}/staged") as entries:
        for entry in entries:
            if entry.stat().st_mtime_ns // 1_000_000 < now_ms - ABANDONED_AFTER_MS:
                os.unlink(entry.path)


def sync_folder(folder: str) -> None:
    """Sync the names in a folder. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_making(file: str, flags: int) -> int:
    try:
        return os.open(file, flags | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        _make_folders(os.path.dirname(file))
        return os.open(file, flags | os.O_CLOEXEC, 0o666)


def _make_folders(folder: str) -> None:
    """Make the folder and those it is in, each synced into the one above it."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(path)
        sync_folder(os.path.dirname(path))
