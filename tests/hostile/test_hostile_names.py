"""Names of buckets and keys that mean something else to a file system, a parser or a terminal.

Sources: bucketnamingrules.html, object-keys.html of the S3 user guide; ErrorResponses.html.
"""

from __future__ import annotations

import dataclasses
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import quote, unquote_plus

import pytest
from lab import Case, Lab, named

from cenote.testing import ServerProcess

INVALID = (400, "InvalidBucketName")


def make(name: str):
    """Return an attack: CreateBucket of the raw path segment `name`."""
    return lambda lab: lab.forge.request("PUT", f"/{name}")


BUCKETS = [
    Case("2 characters", make("ab"), *INVALID),
    Case("64 characters", make("a" * 64), *INVALID),
    Case("an address", make("192.168.5.4"), *INVALID),
    Case("punycode", make("xn--bucket"), *INVALID),
    Case("an alias", make("bucket-s3alias"), *INVALID),
    Case("a directory bucket", make("bucket--use1-az4--x-s3"), *INVALID),
    Case("an object lambda", make("bucket--ol-s3"), *INVALID),
    Case("sthree-", make("sthree-bucket"), *INVALID),
    Case("amzn-s3-demo-", make("amzn-s3-demo-bucket"), *INVALID),
    Case("a table bucket", make("bucket--table-s3"), *INVALID),
    Case("an access point", make("bucket.mrap"), *INVALID),
    Case("capitals", make("Bucket-One"), *INVALID),
    Case("an underscore", make("bucket_one"), *INVALID),
    Case("two dots", make("buck..et"), *INVALID),
    Case("a dot and a hyphen", make("buck.-et"), (200, 400)),
    Case("a hyphen first", make("-bucket"), *INVALID),
    Case("a hyphen last", make("bucket-"), *INVALID),
    Case("a dot first", make(".bucket"), *INVALID),
    Case("a dot last", make("bucket."), *INVALID),
    Case("our own folder", make(".cenote"), *INVALID),
    Case("the parent", make(".."), *INVALID),
    Case("the parent, encoded", make("%2e%2e"), *INVALID),
    Case("a path, encoded", make("..%2F..%2Fetc"), *INVALID),
    Case("an absolute path", make("%2Fetc%2Fpasswd"), *INVALID),
    Case("a backslash", make("a%5C..%5Cb"), *INVALID),
    Case("a NUL", make("bucket%00"), 400, ("InvalidBucketName", "InvalidURI")),
    Case("a line end", make("bucket%0d%0aX-Evil:%201"), *INVALID),
    Case("a space", make("bucket%20one"), *INVALID),
    Case("an emoji", make("%F0%9F%98%80bucket"), *INVALID),
    Case("invalid UTF-8", make("bucket%FF"), 400, ("InvalidBucketName", "InvalidURI")),
    Case("a per cent sign", make("bucket%25"), *INVALID),
    Case("half an escape", make("bucket%2"), 400, ("InvalidBucketName", "InvalidURI")),
    Case("an escape of nothing", make("bucket%zz"), 400, ("InvalidBucketName", "InvalidURI")),
    Case("SQL", make("a'%3B%20DROP%20TABLE%20object%3B--"), *INVALID),
    Case("4096 characters", make("a" * 4096), 400, ("InvalidBucketName", "InvalidURI")),
]


@named(BUCKETS)
def test_bucket_names(lab: Lab, victim: ServerProcess, case: Case):
    before = files_above(victim.data)
    reply = lab.send(case.attack(lab), "PUT")
    assert case.fits(reply), (reply.status, reply.code)
    assert b"x-evil" not in b"".join(f"{n}:{v}".encode() for n, v in reply.headers.items()).lower()
    assert files_above(victim.data) == before


def files_above(data: Path) -> set[str]:
    """Return what lies around the served directory: nothing may ever appear there."""
    return set(os.listdir(data.parent))


@pytest.mark.parametrize("name", ["abc", "a" * 63, "a-b.c-d", "123", "con", "nul", "aux"])
def test_lawful_bucket_names(lab: Lab, name: str):
    assert lab.get(f"/{name}", "PUT").status == 200
    assert lab.get(f"/{name}", "HEAD").status == 200
    assert lab.get(f"/{name}", "DELETE").status == 204


@pytest.mark.parametrize("name", ["health", "ready", "metrics"])
def test_buckets_named_like_our_own_pages(lab: Lab, name: str):
    """The server's pages and the buckets of the same name do not shadow each other."""
    assert lab.get(f"/{name}", "PUT").status == 200
    assert lab.send(lab.forge.request("PUT", f"/{name}/k", body=b"mine"), "PUT").status == 200
    assert lab.get(f"/{name}/k").body == b"mine"
    listing = lab.get(f"/{name}?list-type=2")
    assert b"<Key>k</Key>" in listing.body
    plain = lab.get(f"/{name}")
    assert b"ListBucketResult" in plain.body
    assert lab.get(f"/{name}/k", "DELETE").status == 204
    assert lab.get(f"/{name}", "DELETE").status == 204


KEYS = {
    "dot": ".",
    "dots": "..",
    "up": "../x",
    "inside up": "a/../b",
    "far up": "../../../../../../etc/passwd",
    "slash first": "/a",
    "two slashes": "a//b",
    "slashes": "///",
    "slash last": "a/",
    "below": "a/b/c",
    "backslash": "a\\b",
    "windows up": "..\\..\\x",
    "line ends": "a\r\nb",
    "tab": "a\tb",
    "question": "a?b",
    "hash": "a#b",
    "plus": "a+b",
    "space": "a b",
    "space first": " a",
    "space last": "a ",
    "per cent": "100%",
    "per cent twice": "%2525",
    "escape": "%2F",
    "ampersand": "a&b=c",
    "angle": "<script>alert(1)</script>",
    "quote": "a\"b'c",
    "cdata end": "]]>",
    "entity": "&amp;&lol;",
    "emoji": "😀",
    "flags": "🇩🇪🏳️‍🌈",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "byte order mark": "\ufeffa",
    "last character": "\U0010ffff",
    "not a character": "\uffff",
    "device": "con",
    "device file": "nul.txt",
    "database": "hostile-bucket.sqlite3",
    "journal": "hostile-bucket.sqlite3-wal",
    "own folder": ".cenote/lock",
    "segment of 255": "s" * 255 + "/x",
    "segment of 256": "s" * 256 + "/x",
    "1024 bytes": "k" * 1024,
    "1024 bytes of three": "€" * 341 + "k",
    "a name of SQL": "x' OR '1'='1",
    "glob": "*?[a-z]",
    "like": "100%_",
    "number": "007",
    "null word": "NULL",
}


@pytest.mark.parametrize("name", KEYS)
def test_lawful_keys(lab: Lab, victim: ServerProcess, name: str):
    """Each is stored, read, listed, copied and deleted under exactly its own name."""
    key = KEYS[name]
    before = files_above(victim.data)
    path = f"/{lab.bucket}/{quote(key, safe='')}"
    body = key.encode()
    assert lab.send(lab.forge.request("PUT", path, body=body), "PUT").status == 200
    try:
        assert lab.get(path).body == body
        prefix = quote(key, safe="")
        listing = lab.get(f"/{lab.bucket}?list-type=2&encoding-type=url&max-keys=1&prefix={prefix}")
        found = listing.body.partition(b"<Key>")[2].partition(b"</Key>")[0].decode()
        assert unquote_plus(found) == key
        source = [("x-amz-copy-source", f"/{lab.bucket}/{quote(key, safe='')}")]
        copy = lab.fresh
        assert lab.send(lab.forge.request("PUT", copy, source), "PUT").status == 200
        assert lab.get(copy).body == body
    finally:
        assert lab.get(path, "DELETE").status == 204
    assert lab.get(path).status == 404
    assert files_above(victim.data) == before


def test_names_that_look_alike_are_apart(lab: Lab):
    """No normalisation: composed and decomposed, case, slashes."""
    names = ["\u00e9", "e\u0301", "E\u0301", "a/b", "a//b", "a/b/", "A/b", "a%2Fb"]
    for name in names:
        path = f"/{lab.bucket}/alike/{quote(name)}"
        assert lab.send(lab.forge.request("PUT", path, body=name.encode()), "PUT").status == 200
    for name in names:
        assert lab.get(f"/{lab.bucket}/alike/{quote(name)}").body == name.encode()


def test_a_key_and_a_key_below_it(lab: Lab):
    for key in ("nest", "nest/", "nest/in", "nest/in/deep"):
        path = f"/{lab.bucket}/{key}"
        assert lab.send(lab.forge.request("PUT", path, body=key.encode()), "PUT").status == 200
    for key in ("nest", "nest/", "nest/in", "nest/in/deep"):
        assert lab.get(f"/{lab.bucket}/{key}").body == key.encode()


BAD_KEYS = [
    Case(
        "1025 bytes",
        lambda lab: lab.forge.request("PUT", f"/{lab.bucket}/{'k' * 1025}", body=b"x"),
        400,
        "KeyTooLongError",
    ),
    Case(
        "1026 bytes of three",
        lambda lab: lab.forge.request("PUT", f"/{lab.bucket}/{'%E2%82%AC' * 342}", body=b"x"),
        400,
        "KeyTooLongError",
    ),
    Case(
        "invalid UTF-8",
        lambda lab: lab.forge.request("PUT", f"/{lab.bucket}/a%FFb", body=b"x"),
        400,
        "InvalidURI",
    ),
    Case(
        "an overlong slash",
        lambda lab: lab.forge.request("PUT", f"/{lab.bucket}/..%C0%AF", body=b"x"),
        400,
        "InvalidURI",
    ),
    Case(
        "half a surrogate",
        lambda lab: lab.forge.request("PUT", f"/{lab.bucket}/%ED%A0%80", body=b"x"),
        400,
        "InvalidURI",
    ),
    Case(
        "half an escape",
        lambda lab: lab.forge.request("PUT", f"/{lab.bucket}/a%2", body=b"x"),
        (400, 403),
    ),
]


@named(BAD_KEYS)
def test_keys_that_cannot_be(lab: Lab, case: Case):
    reply = lab.send(case.attack(lab), "PUT")
    assert case.fits(reply), (reply.status, reply.code)


@pytest.mark.parametrize("key", ["%00", "a%00b", "a%01b", "%7F", "a%1Fb"])
def test_keys_that_xml_cannot_carry(lab: Lab, key: str):
    """Refused, or stored and listable: with encoding-type=url, and without breaking the XML."""
    path = f"/{lab.bucket}/odd/{key}"
    reply = lab.send(lab.forge.request("PUT", path, body=b"odd"), "PUT")
    if reply.status != 200:
        assert (reply.status, reply.code) == (400, "InvalidURI")
        return
    assert lab.get(path).body == b"odd"
    listing = lab.get(f"/{lab.bucket}?list-type=2&encoding-type=url&prefix=odd/")
    assert listing.status == 200
    ET.fromstring(listing.body)
    plain = lab.get(f"/{lab.bucket}?list-type=2&prefix=odd/")
    assert plain.status == 200
    assert lab.get(path, "DELETE").status == 204


HOSTS = [
    "hostile-bucket.localhost.",
    "hostile-bucket..localhost",
    "../hostile-bucket",
    "[::1]",
    "localhost:99999",
    "localhost:abc",
    "a" * 300,
    "host\\evil",
    "",
]


@pytest.mark.parametrize("host", HOSTS)
def test_odd_hosts_do_not_pick_a_bucket(lab: Lab, host: str):
    forge = dataclasses.replace(lab.forge, host=host)
    reply = lab.send(forge.request("GET", lab.seed))
    assert reply.status in (200, 400, 403, 404)
    if reply.status == 200:
        assert reply.body == lab.stored
