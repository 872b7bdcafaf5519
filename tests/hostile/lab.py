"""The bench of every hostile test: a bucket under attack, and attacks with their lawful answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from forge import Forge

from cenote.testing import Endpoint, Reply, WireClient

_numbers = itertools.count()


@dataclass(repr=False)
class Lab:
    """A bucket with one object in it, and the means to attack them."""

    endpoint: Endpoint
    forge: Forge
    bucket: str
    stored: bytes

    @property
    def seed(self) -> str:
        """The path of the object that is there."""
        return f"/{self.bucket}/seed"

    @property
    def fresh(self) -> str:
        """The path of a key that nothing is at."""
        return f"/{self.bucket}/fresh-{next(_numbers)}"

    def client(self) -> WireClient:
        return WireClient(self.endpoint)

    def send(self, data: bytes, method: str = "GET") -> Reply:
        """Send bytes on a connection of their own and return the reply."""
        with self.client() as client:
            client.send(data)
            return client.reply(method)

    def get(self, path: str, method: str = "GET") -> Reply:
        """Read honestly."""
        with self.client() as client:
            return client.request(method, path)


@dataclass(frozen=True)
class Case:
    """An attack and what S3 answers: a status, or several where it is not documented which."""

    name: str
    attack: Callable[[Lab], bytes]
    status: int | tuple[int, ...]
    code: str | tuple[str, ...] | None = None
    method: str = "GET"

    def fits(self, reply: Reply) -> bool:
        statuses = self.status if isinstance(self.status, tuple) else (self.status,)
        codes = self.code if isinstance(self.code, tuple) else (self.code,)
        return reply.status in statuses and (self.code is None or reply.code in codes)


def named(cases: list[Case]) -> pytest.MarkDecorator:
    """Parametrise a test by cases, under their names."""
    assert len({case.name for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)
