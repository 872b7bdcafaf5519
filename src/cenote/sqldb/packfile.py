"""One pack file: many bodies in one large file, readable without the index.

Layout, all integers little-endian:

    file head, 4096 bytes
        0   8  magic "cenotepk"
        8   4  format version, 1
       12   4  zero
       16  16  id of the bucket
       32   8  number of the pack, also the file's name
       40   8  zero
       48   8  CRC64NVME of bytes 0..47
       56      zeros
    frames, each at a multiple of 4096
        0   8  magic "cenotefr"
        8   8  where the frame begins in this file
       16   8  size of the body's bytes
       24   8  CRC64NVME of the body's bytes
       32  16  id of the bucket
       48   8  number of the pack
       56   8  CRC64NVME of bytes 0..55
       64      the bytes, then zeros up to the next multiple of 4096

A frame's head is written last. Between frames there may be holes and the remains of bodies that
were never finished: a reader steps by 4096 until a head fits its own place. A pack that was
uploaded as an object does not deceive it: its heads name another place.

Owns: the format, the file's descriptor, its synced state.
Does not own: which pack a body goes to (`packs`), which regions are alive (the index).

Invariants:
1. Bytes at and behind `end` are free; a region once given out is never given out again.
2. `sync` returns only after an fdatasync that began after the call, and was successful.
3. After a failed fdatasync the file takes no more bodies: the kernel may have dropped what
   it could not write and report success the next time.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from cenote.base import crc64nvme, failpoint
from cenote.errors import DataError

__all__ = [
    "ALIGN",
    "FRAME_HEAD",
    "Frame",
    "PackFile",
    "frame_size",
    "frames",
    "punch_hole",
    "sync_folder",
]

ALIGN: Final = 4096
FRAME_HEAD: Final = 64
_FILE: Final = struct.Struct("<8sII16sQQ")
_FRAME: Final = struct.Struct("<8sQQQ16sQ")
_CRC: Final = struct.Struct("<Q")
_FILE_MAGIC: Final = b"cenotepk"
_FRAME_MAGIC: Final = b"cenotefr"
_VERSION: Final = 1
_KEEP_SIZE_PUNCH_HOLE: Final = 0x01 | 0x02
_SYNC_WRITE: Final = 2

failpoint.register("pack.create", "pack.created", "pack.write", "pack.before_sync", "pack.synced")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class Frame(Struct, frozen=True):
    """A finished body in a pack. `offset` is of its first byte, behind the frame's head."""

    offset: int
    size: int
    crc: int


def frame_size(size: int) -> int:
    """Return how many bytes of a pack a body of `size` takes."""
    return (FRAME_HEAD + size + ALIGN - 1) // ALIGN * ALIGN


class PackFile:
    """An open pack. Thread-safe."""

    def __init__(self, path: Path, number: int, bucket: bytes, fd: int, end: int) -> None:
        self.path = path
        self.number = number
        self.bucket = bucket
        self.fd = fd
        self.end = end
        self.pending = 0  # regions given out, neither referred to nor given back yet
        self.uses = 0  # leases and writers that need `fd`
        self.full = False
        self._lock = threading.Condition()
        self._failed: OSError | None = None
        self._syncing = False
        self._started = 0
        self._finished = 0

    @classmethod
    def create(cls, path: Path, number: int, bucket: bytes) -> PackFile:
        """Make the file and its head durable. Raises OSError, leaving no file."""
        failpoint.hit("pack.create")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            head = _FILE.pack(_FILE_MAGIC, _VERSION, 0, bucket, number, 0)
            os.pwrite(fd, (head + _CRC.pack(crc64nvme(head))).ljust(ALIGN, b"\0"), 0)
            os.fsync(fd)
            failpoint.hit("pack.created")
            sync_folder(path.parent)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return cls(path, number, bucket, fd, ALIGN)

    @classmethod
    def open(cls, path: Path, number: int, bucket: bytes, *, writable: bool) -> PackFile:
        """Open an existing pack. Raises OSError, or DataError if it is not this bucket's."""
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            if _read_file_head(fd, path) != (bucket, number):
                raise DataError(f"{path} is a pack of another bucket or number", path=str(path))
            end = os.fstat(fd).st_size
        except BaseException:
            os.close(fd)
            raise
        return cls(path, number, bucket, fd, (end + ALIGN - 1) // ALIGN * ALIGN)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data`. Raises OSError."""
        failpoint.hit("pack.write")
        done = os.pwrite(self.fd, data, offset)
        while done < len(data):
            done += os.pwrite(self.fd, memoryview(data)[done:], offset + done)

    def write_all_at(self, pieces: Sequence[bytes], offset: int) -> None:
        """Write pieces one behind the other, at most 1024 of them. Raises OSError."""
        failpoint.hit("pack.write")
        done = os.pwritev(self.fd, pieces, offset)
        for piece in pieces:
            if done < len(piece):
                self.write_at(memoryview(piece)[done:], offset + done)
                done = len(piece)
            done -= len(piece)
            offset += len(piece)

    def start_writeback(self, offset: int, size: int) -> None:
        """Let the disk begin on these bytes now, so that `sync` waits less. A hint: may fail."""
        _libc.sync_file_range(self.fd, offset, size, _SYNC_WRITE)

    def finish_frame(self, offset: int, size: int, crc: int) -> None:
        """Write the head of the frame at `offset`: its bytes are all written."""
        self.write_at(self.frame_head(offset, size, crc), offset)

    def frame_head(self, offset: int, size: int, crc: int) -> bytes:
        """Return the head of the frame at `offset`."""
        head = _FRAME.pack(_FRAME_MAGIC, offset, size, crc, self.bucket, self.number)
        return head + _CRC.pack(crc64nvme(head))

    def sync(self) -> None:
        """Make everything written before the call durable. Raises OSError.

        Threads that call it at the same time share syncs.
        """
        with self._lock:
            need = self._started + 1
            while self._failed is None and self._finished < need and self._syncing:
                self._lock.wait()
            if self._failed is not None:
                raise OSError(self._failed.errno, f"{self.path}: an earlier sync failed")
            if self._finished >= need:
                return
            self._syncing = True
            self._started = turn = self._started + 1
        failed: OSError | None = None
        try:
            failpoint.hit("pack.before_sync")
            os.fdatasync(self.fd)
            failpoint.hit("pack.synced")
        except OSError as error:
            failed = error
            raise
        finally:
            with self._lock:
                self._syncing = False
                self._failed = failed
                self.full = self.full or failed is not None
                self._finished = turn
                self._lock.notify_all()

    def close(self) -> None:
        """Close the descriptor. Harmless when repeated."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def frames(path: Path) -> Iterator[Frame]:
    """Yield the finished bodies of a pack file, without any index.

    Bodies that were deleted may still be among them, if their space was not given back yet.
    Raises DataError if it is not a pack.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        bucket, number = _read_file_head(fd, path)
        size = os.fstat(fd).st_size
        at = ALIGN
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA) // ALIGN * ALIGN
            except OSError:
                return
            head = os.pread(fd, FRAME_HEAD, at)
            frame = _frame_of(head, at, bucket, number)
            if frame is None:
                at += ALIGN
            else:
                yield frame
                at += frame_size(frame.size)
    finally:
        os.close(fd)


def _frame_of(head: bytes, at: int, bucket: bytes, number: int) -> Frame | None:
    if len(head) != FRAME_HEAD or not head.startswith(_FRAME_MAGIC):
        return None
    if _CRC.unpack_from(head, _FRAME.size)[0] != crc64nvme(head[: _FRAME.size]):
        return None
    _, place, size, crc, owner, pack = _FRAME.unpack_from(head)
    if (place, owner, pack) != (at, bucket, number):
        return None
    return Frame(at + FRAME_HEAD, size, crc)


def _read_file_head(fd: int, path: Path) -> tuple[bytes, int]:
    head = os.pread(fd, _FILE.size + _CRC.size, 0)
    if len(head) < _FILE.size + _CRC.size or not head.startswith(_FILE_MAGIC):
        raise DataError(f"{path} is not a pack file", path=str(path))
    if _CRC.unpack_from(head, _FILE.size)[0] != crc64nvme(head[: _FILE.size]):
        raise DataError(f"the head of pack {path} is damaged", path=str(path))
    _, version, _, bucket, number, _ = _FILE.unpack_from(head)
    if version != _VERSION:
        raise DataError(f"pack {path} has format version {version}, not {_VERSION}")
    return bucket, number


def punch_hole(fd: int, offset: int, size: int) -> bool:
    """Give a region's blocks back to the file system; tell whether it can do that.

    Reading the region gives zeros afterwards. Raises nothing: a file system that cannot is no
    fault, `reclaim` then rewrites the pack.
    """
    return int(_libc.fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, offset, size)) == 0


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
