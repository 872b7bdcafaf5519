"""LocalStack's own paths, for programs that wait for it.

Owns: /_localstack/health, info and init: what they answer.
Does not own: the hooks they tell of (`hooks`).

https://docs.localstack.cloud/aws/capabilities/networking/internal-endpoints/
"""

from __future__ import annotations

import json
from typing import Any, Final

from cenote import __version__
from cenote.s3 import RequestHead
from cenote.server.hooks import state_of_hooks
from cenote.server.settings import Settings

__all__ = ["is_seat_probe", "seat_answer"]

_PREFIX: Final = b"/_localstack/"
_SERVICES: Final = ("dynamodb", "s3", "sts")


def is_seat_probe(head: RequestHead) -> bool:
    """Tell whether a request is for one of these paths. No bucket's name has an underscore."""
    return head.method in ("GET", "HEAD") and head.path.startswith(_PREFIX)


def seat_answer(path: bytes, settings: Settings) -> tuple[int, bytes]:
    """Return status and JSON of the answer."""
    name = path[len(_PREFIX) :].rstrip(b"/")
    found: Any
    if name == b"health":
        found = {
            "services": dict.fromkeys(_SERVICES, "running"),
            "edition": "cenote",
            "version": __version__,
        }
    elif name == b"info":
        found = {"version": __version__, "edition": "cenote", "is_license_activated": False}
    elif name == b"init":
        state = state_of_hooks(settings)
        found = {
            "completed": {
                "BOOT": True,
                "START": True,
                "READY": state["completed"],
                "SHUTDOWN": False,
            },
            "scripts": state["scripts"],
        }
    elif name == b"init/ready":
        found = state_of_hooks(settings)
    else:
        return 404, b'{"error":"there is no such path"}'
    return 200, json.dumps(found, separators=(",", ":")).encode()
