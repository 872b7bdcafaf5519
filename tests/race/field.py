"""Thirty-two connections that fire together, and the contests they fire in.

A contest prepares a key and returns one request per writer, all with the same condition, of which
exactly one can hold.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from cenote.testing import Endpoint, Reply, WireClient

BUCKET = "/race-bucket"
BIG = 96 << 10  # bytes: beyond what is kept inline


@dataclass(frozen=True)
class Shot:
    """One writer's request, and what the object is if it wins (None: gone)."""

    method: str
    data: bytes
    outcome: bytes | None


class Field:
    """The writers' connections. `volley` lets them send at once and collects the replies."""

    def __init__(self, endpoint: Endpoint, writers: int, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.writers = writers
        self.rounds_long = 200
        self.clients = [WireClient(endpoint, timeout=60.0) for _ in range(writers)]
        assert self.one("PUT", BUCKET).status in (200, 409)
        for big in (False, True):
            for writer in range(writers):
                body = self.body(writer, "source", big)
                assert self.one("PUT", self.source(writer, big), body=body).status == 200

    def body(self, writer: int, label: str, big: bool) -> bytes:
        text = f"{label} of writer {writer}\n".encode()
        return text * (BIG // len(text) + 1) if big else text

    def source(self, writer: int, big: bool) -> str:
        return f"{BUCKET}/source-{writer}-{big:d}"

    def one(self, method: str, path: str, headers=(), body: bytes = b"") -> Reply:
        return self.clients[0].request(method, path, headers, body)

    def shot(self, writer: int, method: str, path: str, headers=(), body: bytes = b"") -> bytes:
        return self.clients[writer].head(method, path, headers, body) + body

    def volley(self, requests: list[tuple[str, bytes]]) -> list[Reply]:
        """Send request i on connection i, interleaved in one of three ways; read all replies."""
        order = list(range(len(requests)))
        self.rng.shuffle(order)
        cut = self.rng.choice([0, 1, None])
        if cut is None:  # the heads first, and every body only when all heads are in
            held = [request.index(b"\r\n\r\n") + 4 for _, request in requests]
        else:  # all but the last byte first; or nothing held back
            held = [len(request) - cut for _, request in requests]
        for i in order:
            self.clients[i].send(requests[i][1][: held[i]])
        self.rng.shuffle(order)
        for i in order:
            if rest := requests[i][1][held[i] :]:
                self.clients[i].send(rest)
        return [self.clients[i].reply(method) for i, (method, _) in enumerate(requests)]

    def close(self) -> None:
        for client in self.clients:
            client.close()


Guard = tuple[str, str]
Contest = Callable[[Field, str, Guard, bool], list[Shot]]


def put(field: Field, path: str, guard: Guard, big: bool) -> list[Shot]:
    return [
        Shot("PUT", field.shot(w, "PUT", path, [guard], body), body)
        for w, body in ((w, field.body(w, path, big)) for w in range(field.writers))
    ]


def copy(field: Field, path: str, guard: Guard, big: bool) -> list[Shot]:
    return [
        Shot(
            "PUT",
            field.shot(w, "PUT", path, [guard, ("x-amz-copy-source", field.source(w, big))]),
            field.body(w, "source", big),
        )
        for w in range(field.writers)
    ]


def complete(field: Field, path: str, guard: Guard, big: bool) -> list[Shot]:
    """Every writer has an upload of its own, with one part, to the same key."""
    begun = field.volley(
        [("POST", field.shot(w, "POST", path + "?uploads")) for w in range(field.writers)]
    )
    uploads = [re.findall(r"<UploadId>(.+?)</UploadId>", r.body.decode())[0] for r in begun]
    bodies = [field.body(w, path, big) for w in range(field.writers)]
    parts = field.volley(
        [
            ("PUT", field.shot(w, "PUT", f"{path}?partNumber=1&uploadId={u}", body=bodies[w]))
            for w, u in enumerate(uploads)
        ]
    )
    shots = []
    for w, (upload, part) in enumerate(zip(uploads, parts, strict=True)):
        text = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{part.etag}</ETag></Part></CompleteMultipartUpload>"
        )
        data = field.shot(w, "POST", f"{path}?uploadId={upload}", [guard], text.encode())
        shots.append(Shot("POST", data, bodies[w]))
    return shots


def delete(field: Field, path: str, guard: Guard, big: bool) -> list[Shot]:
    return [
        Shot("DELETE", field.shot(w, "DELETE", path, [guard]), None) for w in range(field.writers)
    ]


def mixed(field: Field, path: str, guard: Guard, big: bool) -> list[Shot]:
    """Puts, copies and completions of the same key against each other."""
    kinds = [contest(field, path, guard, big) for contest in (put, copy, complete)]
    return [kinds[w % 3][w] for w in range(field.writers)]


ABSENT: list[tuple[str, Contest]] = [
    ("PutObject", put),
    ("CopyObject", copy),
    ("CompleteMultipartUpload", complete),
    ("Put, Copy and Complete", mixed),
]
PRESENT: list[tuple[str, Contest]] = [*ABSENT, ("DeleteObject", delete)]
