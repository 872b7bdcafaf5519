"""One thread that tends the buckets of a directory in the background.

Owns: when `BucketFile.tend` is called: soon after a bucket asks, again while there is more to do.

Invariants:
1. The thread starts with the first bucket that asks, and sleeps when none does.
2. A fault in one bucket is logged and tried again later; it never ends the thread.
"""

from __future__ import annotations

import logging
import threading
from typing import Final, Protocol

from cenote.errors import ClosedError, Error, NotFoundError

__all__ = ["Housekeeper"]

_SOON_S: Final = 0.05
_LATER_S: Final = 1.0

log = logging.getLogger("cenote.sqldb")


class Tended(Protocol):
    """What the housekeeper looks after."""

    name: str

    def tend(self) -> bool: ...


class Housekeeper:
    """The thread. Thread-safe."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._asked: dict[Tended, None] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, bucket: Tended) -> None:
        """Have a bucket tended soon. Cheap; called by committing threads."""
        with self._wake:
            if self._closed:
                return
            self._asked[bucket] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="cenote-housekeeper", daemon=True
                )
                self._thread.start()
            self._wake.notify()

    def forget(self, bucket: Tended) -> None:
        """Do not begin to tend a bucket any more."""
        with self._wake:
            self._asked.pop(bucket, None)

    def close(self) -> None:
        """End the thread after the bucket it is at. Harmless when repeated."""
        with self._wake:
            self._closed = True
            self._asked.clear()
            self._wake.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        again: dict[Tended, None] = {}
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._closed or self._asked, _LATER_S if again else None
                )
                # What asks at the same time is done in one go.
                if self._wake.wait_for(lambda: self._closed, _SOON_S):
                    return
                due = {**self._asked, **again}
                self._asked.clear()
            again = {bucket: None for bucket in due if self._tend(bucket)}

    def _tend(self, bucket: Tended) -> bool:
        if self._closed:
            return False
        try:
            return bucket.tend()
        except (ClosedError, NotFoundError):
            return False
        except Error as error:
            log.warning("tending bucket %s: %s", bucket.name, error)
            return True
        except Exception:  # the supervisor of this thread
            log.exception("tending bucket %s", bucket.name)
            return False
