"""A file system that forgets, when the power is cut, what nobody synced.

Run as a program: `powercut.py ROOT MOUNT SEED [keep]`. It shows ROOT (what is on the disk) at
MOUNT, with everything written since the last fsync in memory.

- SIGUSR1 cuts the power: bytes not fsync'ed are lost, and so are names (creates, renames,
  removals) in directories not fsync'ed since. With `keep`, a random part of the lost bytes
  reaches the disk all the same, sector by sector, as a drive's cache may write them in any order.
- SIGUSR2 makes every fsync fail with EIO, or work again. A failed fsync drops what it was to
  write, as Linux does: a second fsync that succeeds has not saved it.

Invariants:
1. What a reader sees through MOUNT before a cut is what was written, synced or not.
2. Punching a hole reaches the disk at once: the order least kind to whoever punches too early.
3. A name is kept when its own directory was synced; syncing the file alone does not keep it.

Why not LazyFS: it keeps names whatever happens, and needs a build.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import mfusepy as fuse

SECTOR = 512
KEEP_SIZE, PUNCH_HOLE = 1, 2


class Image:
    """A file as its users see it, and the ranges of it the disk has not got."""

    def __init__(self, path: str) -> None:
        self.data = bytearray(Path(path).read_bytes())
        self.dirty: list[tuple[int, int]] = []
        self.links = 1

    def write(self, data: bytes, offset: int) -> None:
        self.resize(max(len(self.data), offset + len(data)))
        self.data[offset : offset + len(data)] = data
        if self.dirty and self.dirty[-1][1] == offset:
            self.dirty[-1] = (self.dirty[-1][0], offset + len(data))
        else:
            self.dirty.append((offset, offset + len(data)))

    def resize(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def sync(self, path: str) -> None:
        with open(path, "r+b") as file:
            for start, end in self.dirty:
                os.pwrite(file.fileno(), self.data[start:end], start)
            os.ftruncate(file.fileno(), len(self.data))
        self.dirty.clear()

    def sync_some(self, path: str, rng: random.Random) -> None:
        """Write a random part of what is dirty: what a dying drive may have done by itself."""
        with open(path, "r+b") as file:
            for start, end in self.dirty:
                for sector in range(start - start % SECTOR, end, SECTOR):
                    low, high = max(start, sector), min(end, sector + SECTOR, len(self.data))
                    if low < high and rng.random() < 0.5:
                        os.pwrite(file.fileno(), self.data[low:high], low)


class PowerCut(fuse.Operations):
    """The operations. Paths are as the mount shows them; `_real` leads to the disk."""

    use_ns = True

    def __init__(self, root: str, rng: random.Random, keep: bool) -> None:
        self._root = root
        self._rng = rng
        self._keep = keep
        self._images: dict[str, Image] = {}
        self._undo: list[tuple[str, Callable[[], None], Callable[[], None]]] = []
        self._attic = tempfile.mkdtemp(prefix="attic-", dir=os.path.dirname(root))
        self._removed = 0
        self._failing = False

    def cut(self, *_signal: object) -> None:
        """Lose what is not synced."""
        if self._keep:
            for path, image in self._images.items():
                image.sync_some(self._real(path), self._rng)
        self._images.clear()
        for _, undo, _ in reversed(self._undo):
            with contextlib.suppress(FileNotFoundError):
                undo()
        self._undo.clear()

    def toggle(self, *_signal: object) -> None:
        """Let syncs fail, or work again."""
        self._failing = not self._failing

    # Names

    def create(self, path: str, mode: int, fi: object = None) -> int:
        real = self._real(path)
        os.close(os.open(real, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode))
        self._owe(path, lambda: os.unlink(real))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        real = self._real(path)
        os.mkdir(real, mode)
        self._owe(path, lambda: shutil.rmtree(real))
        return 0

    def rmdir(self, path: str) -> int:
        real = self._real(path)
        os.rmdir(real)
        self._owe(path, lambda: os.mkdir(real))
        return 0

    def unlink(self, path: str) -> int:
        real, kept = self._real(path), self._stow(path)
        self._owe(path, lambda: os.rename(kept, real), lambda: os.unlink(kept))
        return 0

    def rename(self, old: str, new: str) -> int:
        before, after = self._real(old), self._real(new)
        kept = self._stow(new) if os.path.isfile(after) else None
        os.rename(before, after)
        for path in [p for p in self._images if p == old or p.startswith(old + "/")]:
            self._images[new + path[len(old) :]] = self._images.pop(path)

        # The new name and the end of the old one are kept by their own directories' syncs.
        limbo = f"{self._attic}/renamed-{self._removed}"

        def lose_new() -> None:
            os.rename(after, limbo)
            if kept:
                os.rename(kept, after)

        def restore_old() -> None:
            if os.path.exists(limbo):
                os.rename(limbo, before)
            elif os.path.isfile(after):
                os.link(after, before)

        self._removed += 1
        self._owe(old, restore_old)
        self._owe(new, lose_new, lambda: os.unlink(kept) if kept else None)
        return 0

    def link(self, target: str, source: str) -> int:
        real = self._real(target)
        os.link(self._real(source), real)
        if source in self._images:
            self._images[target] = self._images[source]
        self._owe(target, lambda: os.unlink(real))
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._fail_if_told()
        done = [keep for directory, _, keep in self._undo if directory == path]
        self._undo = [entry for entry in self._undo if entry[0] != path]
        for keep in done:
            keep()
        return 0

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path))]

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        try:
            found = os.lstat(self._real(path))
        except OSError as error:
            raise fuse.FuseOSError(error.errno or errno.EIO) from error
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
        shown = {name: getattr(found, name) for name in names}
        for name in ("st_atime", "st_mtime", "st_ctime"):
            shown[name] = getattr(found, name + "_ns")
        if path in self._images:
            shown["st_size"] = len(self._images[path].data)
        return shown

    # Bytes

    def open(self, path: str, flags: int) -> int:
        if not os.path.exists(self._real(path)):
            raise fuse.FuseOSError(errno.ENOENT)
        if flags & os.O_TRUNC:
            self._image(path).resize(0)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if path in self._images:
            return bytes(self._images[path].data[offset : offset + size])
        with open(self._real(path), "rb") as file:
            return os.pread(file.fileno(), size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._image(path).write(data, offset)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._image(path).resize(length)
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        image = self._image(path)
        if mode & PUNCH_HOLE:
            end = min(offset + size, len(image.data))
            image.data[offset:end] = bytes(max(0, end - offset))
            on_disk = os.path.getsize(self._real(path))
            with open(self._real(path), "r+b") as file:
                os.pwrite(file.fileno(), bytes(max(0, min(end, on_disk) - offset)), offset)
        elif not mode & KEEP_SIZE:
            image.resize(max(len(image.data), offset + size))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        image = self._images.get(path)
        if self._failing and image is not None:
            image.dirty.clear()
        self._fail_if_told()
        if image is not None:
            image.sync(self._real(path))
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._root)
        return {n: getattr(found, n) for n in dir(found) if n.startswith("f_") and n != "f_fsid"}

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._real(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: object = None) -> int:
        return 0

    # Bookkeeping

    def _real(self, path: str) -> str:
        return self._root + path

    def _image(self, path: str) -> Image:
        if path not in self._images:
            self._images[path] = Image(self._real(path))
        return self._images[path]

    def _stow(self, path: str) -> str:
        """Move a file out of sight until its removal is certain."""
        self._removed += 1
        kept = f"{self._attic}/{self._removed}"
        self._images.pop(path, None)
        os.rename(self._real(path), kept)
        return kept

    def _owe(
        self, path: str, undo: Callable[[], None], keep: Callable[[], object] = lambda: None
    ) -> None:
        def settle() -> None:
            with contextlib.suppress(FileNotFoundError):
                keep()

        self._undo.append((os.path.dirname(path), undo, settle))

    def _fail_if_told(self) -> None:
        if self._failing:
            raise fuse.FuseOSError(errno.EIO)


def main() -> None:
    """Mount and serve until unmounted."""
    root, mount, seed = sys.argv[1:4]
    disk = PowerCut(os.path.realpath(root), random.Random(int(seed)), "keep" in sys.argv[4:])
    signal.signal(signal.SIGUSR1, disk.cut)
    signal.signal(signal.SIGUSR2, disk.toggle)
    fuse.FUSE(
        disk,
        mount,
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        big_writes=True,
    )


if __name__ == "__main__":
    main()
