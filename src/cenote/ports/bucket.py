"""The bucket port: one open bucket, its index and its bodies together."""

from __future__ import annotations

from typing import Protocol

from cenote.ports.bodies import Bodies
from cenote.ports.index import Index

__all__ = ["Bucket"]


class Bucket(Protocol):
    """An open bucket. Whoever opened it closes it."""

    @property
    def name(self) -> str: ...

    @property
    def index(self) -> Index: ...

    @property
    def bodies(self) -> Bodies: ...
