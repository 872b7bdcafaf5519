"""/health, /ready and /metrics, out of the way of buckets.

A GET or HEAD without a signature, of exactly one of these paths and with no query, is answered
here, unless unsigned requests are allowed and a bucket of that name exists: then the bucket is
meant. The same under /_cenote/, which is never a bucket: names of buckets have no underscore.

/health: the process answers. /ready: the store takes requests (503 while it stops, and while the
process that writes starts).
/metrics: counts by operation and status; it names no bucket and no key.
"""

from __future__ import annotations

from typing import Final

from cenote.base import Registry
from cenote.s3 import RequestHead

__all__ = ["PROBES", "is_probe", "probe_answer"]

PROBES: Final = {
    b"/health": "health",
    b"/ready": "ready",
    b"/metrics": "metrics",
    b"/_cenote/health": "health",
    b"/_cenote/ready": "ready",
    b"/_cenote/metrics": "metrics",
}


def is_probe(head: RequestHead) -> bool:
    """Tell whether the request has a probe's form: path, method, no query, no signature."""
    return (
        head.path in PROBES
        and head.method in ("GET", "HEAD")
        and not head.query
        and "authorization" not in head.headers
    )


def probe_answer(name: str, ready: bool, metrics: Registry | str) -> tuple[int, str, bytes]:
    """Return status, content type and body. `metrics` may be told already."""
    if name == "metrics":
        text = metrics if isinstance(metrics, str) else metrics.exposition()
        return 200, Registry.content_type, text.encode("utf-8")
    if name == "ready" and not ready:
        return 503, "text/plain", b"not ready\n"
    return 200, "text/plain", b"ok\n"
