"""Buckets by host name: `bucket.domain` for the domains the server was given."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Hosts"]


class Hosts:
    """Tells which bucket a Host header names, if any."""

    def __init__(self, domains: Iterable[str]) -> None:
        # The longest first, so that of two nested domains the nearer one decides.
        self._domains = sorted((d.lower() for d in domains), key=len, reverse=True)

    def bucket_of(self, host: str) -> str | None:
        """Return the bucket in front of a domain, or None for path style.

        The port, a trailing dot and the case of the host do not matter. Whether the text may name
        a bucket is for others to say.
        """
        if not self._domains:
            return None
        name = host.lower()
        if not name.endswith("]"):
            name = name.partition(":")[0] if name.count(":") == 1 else name
        name = name.removesuffix(".")
        for domain in self._domains:
            if name == domain:
                return None
            if name.endswith("." + domain):
                return name[: -len(domain) - 1] or None
        return None
