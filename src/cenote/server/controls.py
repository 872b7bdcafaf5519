"""Controls for tests: forget everything, keep a state, bring one back.

Owns: the paths below /_cenote/ that do so, and who may ask.
Does not own: the states (`cenote.sqldb.snapshots`).

- `POST /_cenote/reset`: every bucket and table is gone.
- `GET /_cenote/snapshots`: the names of the states that are kept.
- `POST /_cenote/snapshots/NAME`, `.../NAME/load`, `DELETE /_cenote/snapshots/NAME`.

They are there only with the setting `controls`, and for requests with the header
`x-cenote-control`. They are not signed: what may reach the port may forget all there is.

Why the header: a page in a browser can post to any address, but not with a header of its choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from cenote.buckets import Store
from cenote.errors import Error, InvalidError, NotFoundError
from cenote.s3 import RequestHead
from cenote.server.call import PENDING, Call
from cenote.server.response import header_lines
from cenote.sqldb import Snapshots

__all__ = ["CONTROL", "Controls", "is_control"]

CONTROL: Final = "x-cenote-control"
_RESET: Final = b"/_cenote/reset"
_SNAPSHOTS: Final = b"/_cenote/snapshots"


def is_control(head: RequestHead) -> bool:
    """Tell whether a request is for a control, by its path."""
    return head.path == _RESET or head.path.startswith(_SNAPSHOTS)


class Controls:
    """The controls of a server that is one process. Runs on the loop."""

    def __init__(self, store: Store) -> None:
        self._snapshots = Snapshots(store.directory)

    def begin(self, call: Call) -> object:
        """Take a request whose path is one of these."""
        head = call.exchange.head
        if CONTROL not in head.headers:
            return _reply(call, 403, {"error": f"the header {CONTROL} is missing"})
        step = self._step(head)
        if step is None:
            return _reply(call, 405, {"error": "there is no such control"})

        def run() -> object:
            try:
                return 200, step()
            except NotFoundError as error:
                return 404, {"error": error.message}
            except InvalidError as error:
                return 400, {"error": error.message}
            except Error as error:
                return 500, {"error": error.message}

        return call.run(run, lambda answer: _reply(call, *answer))  # type: ignore[misc]

    def _step(self, head: RequestHead) -> Callable[[], object] | None:
        method, path = head.method, head.path
        if path == _RESET:
            return self._snapshots.reset if method == "POST" else None
        name, slash, verb = path[len(_SNAPSHOTS) :].decode("latin-1").lstrip("/").partition("/")
        if not name:
            return self._snapshots.names if method == "GET" else None
        if method == "POST" and not slash:
            return lambda: self._snapshots.save(name)
        if method == "POST" and verb == "load":
            return lambda: self._snapshots.load(name)
        if method == "DELETE" and not slash:
            return lambda: self._snapshots.delete(name)
        return None


def _reply(call: Call, status: int, found: object) -> object:
    body = json.dumps(found).encode()
    lines = header_lines([("content-type", "application/json"), ("content-length", str(len(body)))])
    call.exchange.reply(status, lines, body)
    return PENDING
