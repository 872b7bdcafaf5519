"""A multipart upload by obstore: pieces go to a thread that sends them while more are made.

Owns: the thread, and what waits for it.

Invariants:
1. At most `WAITING_MAX` pieces wait; then `write` blocks.
2. An upload that is aborted, or whose sending failed, is ended at the store: no parts stay there
   unseen. (A process that dies leaves them; the bucket's own rule for unfinished uploads removes
   them.)
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import obstore

from cenote.errors import ClosedError
from cenote.objstore.api import Data, MultipartWriter, ObjectMeta
from cenote.objstore.remote_faults import from_obstore

__all__ = ["RemoteUpload"]

PART_SIZE: Final = 8 << 20
WAITING_MAX: Final = 4
CONCURRENCY: Final = 4


class _Aborted(Exception):
    """Raised into obstore, so that it ends the upload."""


class RemoteUpload(MultipartWriter):
    """Sends pieces of `PART_SIZE` to `path` of an obstore store."""

    def __init__(self, store: Any, path: str, head: Callable[[], ObjectMeta]) -> None:
        self._store = store
        self._path = path
        self._head = head
        self._buffer = bytearray()
        self._pieces: queue.Queue[bytes | _Aborted | None] = queue.Queue(WAITING_MAX)
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._sending_over = False
        self._ended = False

    def write(self, data: Data) -> None:
        self._require_open()
        self._buffer += data
        while len(self._buffer) >= PART_SIZE:
            piece = bytes(self._buffer[:PART_SIZE])
            del self._buffer[:PART_SIZE]
            self._hand_over(piece)

    def finish(self) -> ObjectMeta:
        self._require_open()
        if self._thread is None:
            self._ended = True
            try:
                obstore.put(self._store, self._path, bytes(self._buffer), use_multipart=False)
            except Exception as error:
                raise self._told(error) from error
            return self._head()
        if self._buffer:
            self._hand_over(bytes(self._buffer))
        self._hand_over(None)
        self._ended = True
        self._thread.join()
        if self._failure is not None:
            raise self._told(self._failure) from self._failure
        return self._head()

    def abort(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._buffer.clear()
        if self._thread is not None:
            self._offer(_Aborted())
            self._thread.join()

    def _hand_over(self, piece: bytes | None) -> None:
        if self._thread is None:
            name = "cenote-upload"
            self._thread = threading.Thread(target=self._send, name=name, daemon=True)
            self._thread.start()
        self._offer(piece)
        if self._failure is not None:
            self._ended = True
            self._thread.join()
            raise self._told(self._failure) from self._failure

    def _offer(self, piece: bytes | _Aborted | None) -> None:
        while not self._sending_over:
            try:
                self._pieces.put(piece, timeout=0.2)
                return
            except queue.Full:
                continue  # look again whether anybody still takes pieces

    def _send(self) -> None:
        try:
            obstore.put(
                self._store,
                self._path,
                self._taken(),
                use_multipart=True,
                chunk_size=PART_SIZE,
                max_concurrency=CONCURRENCY,
            )
        except BaseException as error:  # noqa: BLE001 - raised by the writing thread
            self._failure = error
        finally:
            self._sending_over = True

    def _taken(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, _Aborted):
                raise piece
            yield piece

    def _told(self, error: BaseException) -> BaseException:
        return from_obstore(error, "uploading", self._path, is_write=True)

    def _require_open(self) -> None:
        if self._ended:
            raise ClosedError(f"the upload of {self._path} has ended")
