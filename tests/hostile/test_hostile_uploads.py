"""Multipart uploads that are completed wrongly, twice, by another's key, or while they change.

Sources: API_CompleteMultipartUpload.html, API_UploadPart.html, API_UploadPartCopy.html,
API_ListParts.html of the S3 API reference.
"""

from __future__ import annotations

import hashlib
import re

import pytest
from lab import Lab


def begin(lab: Lab, path: str) -> str:
    reply = lab.send(lab.forge.request("POST", path + "?uploads"), "POST")
    assert reply.status == 200, reply.body
    found = re.search(rb"<UploadId>([^<]+)</UploadId>", reply.body)
    assert found is not None
    return found[1].decode()


def part(lab: Lab, path: str, upload: str, number: int, body: bytes) -> str:
    query = f"?partNumber={number}&uploadId={upload}"
    reply = lab.send(lab.forge.request("PUT", path + query, body=body), "PUT")
    assert reply.status == 200, reply.body
    return reply.etag


def completion(*parts: tuple[object, str]) -> bytes:
    inner = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts)
    return f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()


SMALL = hashlib.md5(b"small").hexdigest()
BADXML = (400, "MalformedXML")
NO_ETAG = completion((1, "")).replace(b"<ETag></ETag>", b"")
BAD_NUMBER = ("InvalidArgument", "InvalidPart", "MalformedXML")
COMPLETIONS = [
    ("no XML", b"parts", *BADXML),
    ("nothing", b"", 400, ("MalformedXML", "InvalidRequest", "MissingRequestBodyError")),
    ("no parts", completion(), *BADXML),
    ("a part without ETag", NO_ETAG, 400, ("MalformedXML", "InvalidPart")),
    ("a part of words", completion(("one", SMALL)), 400, ("MalformedXML", "InvalidArgument")),
    ("part 0", completion((0, SMALL)), 400, BAD_NUMBER),
    ("part -1", completion((-1, SMALL)), 400, BAD_NUMBER),
    ("part 10001", completion((10001, SMALL)), 400, ("InvalidArgument", "InvalidPart")),
    ("a part of 10,000 digits", completion(("9" * 10_000, SMALL)), 400, BAD_NUMBER),
    ("a part that is not there", completion((3, SMALL)), 400, "InvalidPart"),
    ("a wrong ETag", completion((1, "0" * 32)), 400, "InvalidPart"),
    ("an empty ETag", completion((1, "")), 400, ("InvalidPart", "MalformedXML")),
    ("descending", completion((2, SMALL), (1, SMALL)), 400, "InvalidPartOrder"),
    ("a part twice", completion((1, SMALL), (1, SMALL)), 400, ("InvalidPartOrder", "InvalidPart")),
    ("a small part first", completion((1, SMALL), (2, SMALL)), 400, "EntityTooSmall"),
    ("10,001 parts", completion(*((i, SMALL) for i in range(1, 10_002))), 400, BAD_NUMBER),
    ("an entity bomb", b'<!DOCTYPE d [<!ENTITY a "1">]><CompleteMultipartUpload/>', *BADXML),
]  # fmt: skip


@pytest.fixture(scope="module")
def upload(lab: Lab):
    """A multipart upload with two small parts, which no completion below may finish."""
    path = lab.fresh
    found = begin(lab, path)
    for number in (1, 2):
        part(lab, path, found, number, b"small")
    return path, found


@pytest.mark.parametrize(
    ("body", "status", "code"), [c[1:] for c in COMPLETIONS], ids=[c[0] for c in COMPLETIONS]
)
def test_completions(lab: Lab, upload, body: bytes, status: int, code: str | tuple[str, ...]):
    path, upload_id = upload
    data = lab.forge.request("POST", f"{path}?uploadId={upload_id}", body=body)
    reply = lab.send(data, "POST")
    assert reply.status == status, (reply.status, reply.body[:300])
    assert reply.code in (code if isinstance(code, tuple) else (code,))
    assert lab.get(path).status == 404
    assert lab.get(f"{path}?uploadId={upload_id}").body.count(b"<Part>") == 2


@pytest.mark.parametrize(
    "query",
    ["max-parts=-1", "max-parts=abc", "part-number-marker=-1", "part-number-marker=x"],
)
def test_part_lists(lab: Lab, upload, query: str):
    path, upload_id = upload
    reply = lab.get(f"{path}?uploadId={upload_id}&{query}")
    assert reply.status == 400
    assert reply.code in ("InvalidArgument", "InvalidRequest")


def test_an_upload_is_bound_to_its_key(lab: Lab, upload):
    """One who knows an upload's id must not use it under another key."""
    _, upload_id = upload
    other = lab.fresh
    data = lab.forge.request("PUT", f"{other}?partNumber=1&uploadId={upload_id}", body=b"x")
    assert lab.send(data, "PUT").code == "NoSuchUpload"
    body = completion((1, SMALL))
    data = lab.forge.request("POST", f"{other}?uploadId={upload_id}", body=body)
    assert lab.send(data, "POST").code == "NoSuchUpload"
    assert lab.get(f"{other}?uploadId={upload_id}", "DELETE").status == 404
    assert lab.get(f"{other}?uploadId={upload_id}").code == "NoSuchUpload"


def test_a_part_copied_from_beyond(lab: Lab, upload):
    path, upload_id = upload
    for value in ("bytes=5-2", "bytes=0-99999999", "bytes=5-", "bytes=-5", "0-5", "bytes=a-b"):
        lines = [("x-amz-copy-source", lab.seed), ("x-amz-copy-source-range", value)]
        data = lab.forge.request("PUT", f"{path}?partNumber=3&uploadId={upload_id}", lines)
        reply = lab.send(data, "PUT")
        assert reply.status in (400, 416), (value, reply.status)
        assert reply.code in ("InvalidArgument", "InvalidRequest", "InvalidRange")


def test_a_zero_byte_part_may_be_the_whole(lab: Lab):
    path = lab.fresh
    upload_id = begin(lab, path)
    etag = part(lab, path, upload_id, 1, b"")
    data = lab.forge.request("POST", f"{path}?uploadId={upload_id}", body=completion((1, etag)))
    assert lab.send(data, "POST").status == 200
    assert lab.get(path).body == b""


def test_completing_and_aborting_race(lab: Lab):
    """Either the object is there, or the upload is gone: never half."""
    for _ in range(8):
        path = lab.fresh
        upload_id = begin(lab, path)
        etag = part(lab, path, upload_id, 1, b"raced")
        target = f"{path}?uploadId={upload_id}"
        complete = lab.forge.request("POST", target, body=completion((1, etag)))
        with lab.client() as one, lab.client() as two:
            one.send(complete[:-1])
            two.send(lab.forge.request("DELETE", target))
            one.send(complete[-1:])
            won, aborted = one.reply("POST"), two.reply("DELETE")
        assert won.status in (200, 404)
        assert aborted.status in (204, 404)
        assert lab.get(path).status == (200 if won.status == 200 else 404)
        assert lab.get(target).status == 404


def test_two_completions_race(lab: Lab):
    """Both are told of the same object: to complete again is to ask again."""
    for _ in range(8):
        path = lab.fresh
        upload_id = begin(lab, path)
        etag = part(lab, path, upload_id, 1, b"raced")
        target = f"{path}?uploadId={upload_id}"
        complete = lab.forge.request("POST", target, body=completion((1, etag)))
        with lab.client() as one, lab.client() as two:
            one.send(complete[:-1])
            two.send(complete)
            one.send(complete[-1:])
            replies = [one.reply("POST"), two.reply("POST")]
        assert {(r.status, r.code) for r in replies} <= {(200, None), (404, "NoSuchUpload")}
        assert any(reply.status == 200 for reply in replies)
        assert lab.get(path).body == b"raced"


def test_a_part_uploaded_while_completing(lab: Lab):
    """The completion names the old part: it takes that one, or refuses; it never mixes."""
    for number in range(8):
        path = lab.fresh
        upload_id = begin(lab, path)
        etag = part(lab, path, upload_id, 1, b"old" * 50_000)
        target = f"{path}?uploadId={upload_id}"
        complete = lab.forge.request("POST", target, body=completion((1, etag)))
        again = f"{path}?partNumber=1&uploadId={upload_id}"
        body = b"new" * (50_000 if number % 2 else 1)
        upload = lab.forge.request("PUT", again, body=body)
        with lab.client() as one, lab.client() as two:
            one.send(complete[:-1])
            two.send(upload[:-1])
            one.send(complete[-1:])
            two.send(upload[-1:])
            completed, uploaded = one.reply("POST"), two.reply("PUT")
        assert (uploaded.status, uploaded.code) in ((200, None), (404, "NoSuchUpload"))
        if completed.status == 200 and completed.code is None:
            assert lab.get(path).body == b"old" * 50_000
        else:
            assert (completed.status, completed.code) == (400, "InvalidPart")
            assert lab.get(path).status == 404
