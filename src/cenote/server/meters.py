"""What the server counts.

Labels are operations, statuses and codes: closed sets, never names of buckets or keys.
"""

from __future__ import annotations

from collections.abc import Callable

from cenote.base import Registry
from cenote.server.diskspace import disk_bytes
from cenote.sqldb import Directory

__all__ = ["Meters", "watch_directory"]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


def watch_directory(registry: Registry, directory: Directory, root: str) -> None:
    """Add what is told of a directory and its commits."""
    registry.gauge(
        "cenote_commit_groups",
        "Commits made durable since the start.",
        lambda: directory.groups()[0],
    )
    registry.gauge(
        "cenote_commit_changes", "Changes that shared those commits.", lambda: directory.groups()[1]
    )
    registry.gauge("cenote_buckets", "Buckets in the directory.", lambda: len(directory.names()))
    registry.gauge("cenote_disk_bytes", "Bytes the directory takes.", lambda: disk_bytes(root))


class Meters:
    """The server's metrics. Counted on the loop."""

    def __init__(self) -> None:
        self.registry = registry = Registry()
        self.in_flight = 0
        self._requests = registry.counter(
            "cenote_requests_total", "Requests answered.", ("operation", "status")
        )
        self._seconds = registry.histogram(
            "cenote_request_seconds",
            "From the head of a request to the last byte of its answer.",
            _SECONDS,
            ("operation",),
        )
        self._received = registry.counter("cenote_received_bytes_total", "Bytes of request bodies.")
        self._sent = registry.counter("cenote_sent_bytes_total", "Bytes of answered bodies.")
        self.unreadable = registry.counter(
            "cenote_unreadable_total", "Connections refused, or requests not understood.", ("code",)
        )
        registry.gauge("cenote_in_flight", "Requests under way.", lambda: self.in_flight)
        self._labels: dict[tuple[str, int], tuple[str, str]] = {}

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value lives elsewhere."""
        self.registry.gauge(name, help, read)

    def request(
        self, operation: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Count one request that is over."""
        self.in_flight -= 1
        labels = self._labels.get((operation, status))
        if labels is None:
            labels = self._labels[operation, status] = (operation, str(status))
        self._requests.add(1, labels)
        self._seconds.observe(seconds, (operation,))
        if received:
            self._received.add(received)
        if sent:
            self._sent.add(sent)
