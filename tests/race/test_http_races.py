"""Of 32 writers whose condition can hold for one, exactly one wins; and the object is the winner's.

Source: conditional-writes.html and conditional-deletes.html of the S3 user guide: the first write
to finish wins, the others get 412 (or 409, or 404 where the key has gone).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from field import ABSENT, BUCKET, PRESENT, Contest, Field

from cenote.testing import Endpoint

WRITERS = 32
LOSERS = {(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")}


@pytest.fixture(scope="module", params=["arena", "family"])
def field(request: pytest.FixtureRequest) -> Iterator[Field]:
    """The writers' connections, to one process and to several."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    made = Field(endpoint, WRITERS, random.randrange(1 << 32))
    made.rounds_long = 200 if request.param == "arena" else 50
    yield made
    made.close()


def one_round(field: Field, contest: Contest, path: str, present: bool, big: bool) -> None:
    guard = ("if-none-match", "*")
    if present:
        seeded = field.one("PUT", path, body=b"the object before")
        assert seeded.status == 200
        guard = ("if-match", seeded.etag)
    shots = contest(field, path, guard, big)
    replies = field.volley([(shot.method, shot.data) for shot in shots])
    won = [w for w, reply in enumerate(replies) if reply.status < 300 and reply.code is None]
    lost = {(reply.status, reply.code) for w, reply in enumerate(replies) if w not in won}
    told = f"seed {field.seed}: winners {won}, losers {lost}"
    assert len(won) == 1, told
    allowed = LOSERS | ({(404, "NoSuchKey")} if shots[won[0]].outcome is None else set())
    assert lost <= allowed, told
    found = field.one("GET", path)
    if shots[won[0]].outcome is None:
        assert found.status == 404, told
    else:
        assert (found.status, found.body) == (200, shots[won[0]].outcome), told


def rounds(field: Field, contest: Contest, label: str, present: bool, count: int) -> None:
    for number in range(count):
        path = f"{BUCKET}/{label.replace(' ', '-')}-{present:d}-{number}"
        one_round(field, contest, path, present, big=number % 4 == 3)


@pytest.mark.parametrize(("name", "contest"), ABSENT)
def test_if_none_match(field: Field, name: str, contest: Contest):
    rounds(field, contest, name, False, 4)


@pytest.mark.parametrize(("name", "contest"), PRESENT)
def test_if_match(field: Field, name: str, contest: Contest):
    rounds(field, contest, name, True, 4)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "contest"), ABSENT)
def test_if_none_match_long(field: Field, name: str, contest: Contest):
    rounds(field, contest, "long " + name, False, field.rounds_long)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "contest"), PRESENT)
def test_if_match_long(field: Field, name: str, contest: Contest):
    rounds(field, contest, "long " + name, True, field.rounds_long)


def test_delete_objects_with_etags(field: Field):
    """Each DeleteObjects names the ETag it means to delete; one of them deletes it."""
    for number in range(4):
        path = f"{BUCKET}/many-{number}"
        etag = field.one("PUT", path, body=b"x").etag.strip('"')
        body = (
            f"<Delete><Object><Key>many-{number}</Key><ETag>{etag}</ETag></Object></Delete>"
        ).encode()
        headers = [("x-amz-checksum-sha256", _sha256(body))]
        shots = [
            ("POST", field.shot(w, "POST", BUCKET + "?delete", headers, body))
            for w in range(field.writers)
        ]
        replies = field.volley(shots)
        assert {reply.status for reply in replies} == {200}
        won = [w for w, reply in enumerate(replies) if b"<Deleted>" in reply.body]
        assert len(won) == 1, f"seed {field.seed}: winners {won}"
        assert field.one("HEAD", path).status == 404


def _sha256(body: bytes) -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_one_bucket_of_many_created(field: Field):
    """Creating one bucket from 32 connections makes one, and no answer is a fault."""
    for number in range(3):
        path = f"/race-new-{number}"
        replies = field.volley([("PUT", field.shot(w, "PUT", path)) for w in range(field.writers)])
        assert {reply.status for reply in replies} <= {200, 409}
        assert any(reply.status == 200 for reply in replies)
        assert field.one("PUT", path + "/k", body=b"x").status == 200
        shots = [("DELETE", field.shot(w, "DELETE", path)) for w in range(field.writers)]
        assert {(r.status, r.code) for r in field.volley(shots)} == {(409, "BucketNotEmpty")}
        assert field.one("DELETE", path + "/k").status == 204
        replies = field.volley(
            [("DELETE", field.shot(w, "DELETE", path)) for w in range(field.writers)]
        )
        assert sorted(reply.status for reply in replies)[:2] == [204, 404]


def test_a_bucket_deleted_while_it_is_written_to(field: Field):
    """Either the bucket goes and the object with it was never acknowledged, or it stays.

    A worker beside the writer may have to say 503, that is "try again", while the bucket goes.
    """
    for number in range(8):
        bucket = f"/race-gone-{number}"
        assert field.one("PUT", bucket).status == 200
        shots = [
            ("DELETE", field.shot(w, "DELETE", bucket))
            if w % 2
            else ("PUT", field.shot(w, "PUT", f"{bucket}/k{w}", body=field.body(w, "", w % 4 == 0)))
            for w in range(field.writers)
        ]
        replies = field.volley(shots)
        gone = [w for w, reply in enumerate(replies) if w % 2 and reply.status == 204]
        kept = [w for w, reply in enumerate(replies) if not w % 2 and reply.status == 200]
        assert {r.status for r in replies} <= {200, 204, 404, 409, 503}, f"seed {field.seed}"
        assert len(gone) <= 1
        if gone:
            assert not kept, f"seed {field.seed}: {kept} acknowledged and lost"
        for writer in kept:
            found = field.one("GET", f"{bucket}/k{writer}").body
            assert found == field.body(writer, "", writer % 4 == 0)
