"""Bodies of XML that are wrong, too large, or meant to make the parser work for ever.

Sources: API_DeleteObjects.html, API_CompleteMultipartUpload.html, API_CreateBucket.html,
API_PutObjectTagging.html; CVE lessons: entity expansion, external entities, unbounded bodies.
"""

from __future__ import annotations

import pytest
from forge import md5
from lab import Case, Lab, named

MALFORMED = (400, "MalformedXML")
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE d ['
    + '<!ENTITY a0 "lol">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    + "]><Delete><Object><Key>&a9;</Key></Object></Delete>"
)
OUTSIDE = (
    '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<Delete><Object><Key>&x;</Key></Object></Delete>"
)


def keys(*names: str) -> str:
    return "".join(f"<Object><Key>{name}</Key></Object>" for name in names)


def delete(text: str | bytes, *, digest: bool = True):
    """Return an attack: DeleteObjects with `text` for a body."""
    body = text.encode() if isinstance(text, str) else text

    def attack(lab: Lab) -> bytes:
        lines = [("content-md5", md5(body))] if digest else []
        return lab.forge.request("POST", f"/{lab.bucket}?delete", lines, body)

    return attack


WHOLE = f"<Delete>{keys('seed-not')}</Delete>"

CASES = [
    Case("nothing", delete(b""), 400, ("MalformedXML", "MissingRequestBodyError")),
    Case("no XML", delete("delete everything"), *MALFORMED),
    Case("JSON", delete('{"Delete": []}'), *MALFORMED),
    Case("half a document", delete(WHOLE[:-9]), *MALFORMED),
    Case("crossed tags", delete("<Delete><Object><Key>a</Object></Key></Delete>"), *MALFORMED),
    Case("two roots", delete(WHOLE + WHOLE), *MALFORMED),
    Case("another root", delete(f"<Remove>{keys('a')}</Remove>"), *MALFORMED),
    Case("entity expansion", delete(BOMB), *MALFORMED),
    Case("an external entity", delete(OUTSIDE), *MALFORMED),
    Case("a plain DOCTYPE", delete("<!DOCTYPE Delete>" + WHOLE), *MALFORMED),
    Case(
        "an unknown entity",
        delete("<Delete><Object><Key>&nbsp;</Key></Object></Delete>"),
        *MALFORMED,
    ),
    Case(
        "an external parameter entity",
        delete('<!DOCTYPE d [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>' + WHOLE),
        *MALFORMED,
    ),
    Case("no key in an object", delete("<Delete><Object></Object></Delete>"), *MALFORMED),
    Case("no object", delete("<Delete></Delete>"), *MALFORMED),
    Case("1001 keys", delete(f"<Delete>{keys(*map(str, range(1001)))}</Delete>"), *MALFORMED),
    Case("an unknown element", delete(f"<Delete><Evil/>{keys('a')}</Delete>"), (200, 400)),
    Case(
        "two keys in an object",
        delete("<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>"),
        *MALFORMED,
    ),
    Case(
        "a wrong namespace", delete('<Delete xmlns="urn:x">' + keys("a") + "</Delete>"), (200, 400)
    ),
    Case("a NUL", delete(WHOLE.replace("seed-not", "\0")), *MALFORMED),
    Case("a control character", delete(WHOLE.replace("seed-not", "\x01")), *MALFORMED),
    Case("a reference to NUL", delete(WHOLE.replace("seed-not", "&#0;")), *MALFORMED),
    Case("invalid UTF-8", delete(WHOLE.encode().replace(b"seed-not", b"\xff\xfe")), *MALFORMED),
    Case("half a surrogate", delete(WHOLE.replace("seed-not", "&#xD800;")), *MALFORMED),
    Case("nested 100,000 deep", delete("<Delete>" + "<a>" * 100_000), *MALFORMED),
    Case(
        "nested deep and closed",
        delete("<Delete>" + "<a>" * 9999 + "</a>" * 9999 + "</Delete>"),
        400,
    ),
    Case(
        "100,000 attributes",
        delete("<Delete " + "".join(f'a{i}="" ' for i in range(100_000)) + "/>"),
        400,
    ),
    Case("no digest", delete(WHOLE, digest=False), 400, "InvalidRequest"),
    Case(
        "a body of 8 MiB",
        delete("<Delete>" + " " * (8 << 20) + keys("a") + "</Delete>"),
        400,
        ("MalformedXML", "MaxMessageLengthExceeded", "EntityTooLarge"),
    ),
    Case(
        "a key of 1025 bytes",
        delete(f"<Delete>{keys('k' * 1025)}</Delete>"),
        (200, 400),
    ),
    Case("an empty key", delete(f"<Delete>{keys('')}</Delete>"), (200, 400)),
]


@named(CASES)
def test_delete_objects(lab: Lab, case: Case):
    with lab.client() as client:
        client.send(case.attack(lab))
        reply = client.reply("POST")
    assert case.fits(reply), (reply.status, reply.code, reply.body[:300])
    assert b"root:" not in reply.body
    assert lab.get(lab.seed).status == 200


def test_a_key_too_long_does_not_stop_its_neighbours(lab: Lab):
    path = lab.fresh
    lab.send(lab.forge.request("PUT", path, body=b"x"), "PUT")
    name = path.rpartition("/")[2]
    reply = lab.send(delete(f"<Delete>{keys('k' * 1025, name)}</Delete>")(lab), "POST")
    if reply.status == 200:
        assert b"<Code>KeyTooLongError</Code>" in reply.body
        assert lab.get(path).status == 404


def test_delete_objects_stays_in_its_bucket(lab: Lab):
    """A key of `../other/key` is a name like any other (CVE-2026-58372 and its kin)."""
    other = "hostile-neighbour"
    assert lab.get(f"/{other}", "PUT").status == 200
    assert lab.send(lab.forge.request("PUT", f"/{other}/kept", body=b"x"), "PUT").status == 200
    evil = [f"../{other}/kept", f"/../{other}/kept", f"a/../../{other}/kept", f"..\\{other}\\kept"]
    reply = lab.send(delete(f"<Delete>{keys(*evil)}</Delete>")(lab), "POST")
    assert reply.status == 200
    assert lab.get(f"/{other}/kept").body == b"x"


@pytest.mark.parametrize("count", [1, 1000])
def test_as_many_keys_as_allowed(lab: Lab, count: int):
    names = [f"absent-{i}" for i in range(count)]
    reply = lab.send(delete(f"<Delete>{keys(*names)}</Delete>")(lab), "POST")
    assert reply.status == 200
    assert reply.body.count(b"<Deleted>") == count


def test_duplicate_keys(lab: Lab):
    reply = lab.send(delete(f"<Delete>{keys('dup', 'dup')}</Delete>")(lab), "POST")
    assert reply.status == 200


def test_quiet_tells_only_errors(lab: Lab):
    reply = lab.send(delete(f"<Delete><Quiet>true</Quiet>{keys('a')}</Delete>")(lab), "POST")
    assert reply.status == 200
    assert b"<Deleted>" not in reply.body


@pytest.mark.parametrize("form", ["bom", "utf-16", "cdata", "comment", "escaped", "prefixed"])
def test_lawful_forms_of_xml(lab: Lab, form: str):
    path = lab.fresh
    name = path.rpartition("/")[2]
    lab.send(lab.forge.request("PUT", path, body=b"x"), "PUT")
    text = f"<Delete>{keys(name)}</Delete>"
    body = {
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "utf-16": ('<?xml version="1.0" encoding="UTF-16"?>' + text).encode("utf-16"),
        "cdata": text.replace(name, f"<![CDATA[{name}]]>").encode(),
        "comment": text.replace("<Object>", "<!-- a --><Object>").encode(),
        "escaped": text.replace(name, "".join(f"&#{ord(c)};" for c in name)).encode(),
        "prefixed": text.replace("<", "<s:")
        .replace("<s:/", "</s:")
        .replace("<s:Delete>", '<s:Delete xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/">')
        .encode(),
    }[form]
    reply = lab.send(delete(body)(lab), "POST")
    assert reply.status in (200, 400)
    assert lab.get(path).status == (404 if reply.status == 200 else 200)
    if form in ("cdata", "comment", "escaped"):
        assert reply.status == 200, reply.body


def test_a_wrong_digest_of_the_list(lab: Lab):
    body = WHOLE.encode()
    lines = [("content-md5", md5(b"other"))]
    reply = lab.send(lab.forge.request("POST", f"/{lab.bucket}?delete", lines, body), "POST")
    assert (reply.status, reply.code) == (400, "BadDigest")


OTHERS = [
    Case(
        "CreateBucket: no XML",
        lambda lab: lab.forge.request("PUT", "/hostile-new-1", body=b"<Create"),
        *MALFORMED,
    ),
    Case(
        "CreateBucket: a bomb",
        lambda lab: lab.forge.request("PUT", "/hostile-new-1", body=BOMB.encode()),
        *MALFORMED,
    ),
    Case(
        "CreateBucket: another document",
        lambda lab: lab.forge.request("PUT", "/hostile-new-1", body=WHOLE.encode()),
        *MALFORMED,
    ),
    Case(
        "Tagging: no XML",
        lambda lab: tag_document(lab, b"tags"),
        *MALFORMED,
    ),
    Case(
        "Tagging: a bomb",
        lambda lab: tag_document(lab, BOMB.encode()),
        *MALFORMED,
    ),
    Case(
        "Tagging: a tag without a key",
        lambda lab: tagging(lab, "<Tag><Value>v</Value></Tag>"),
        *MALFORMED,
    ),
    Case(
        "Tagging: eleven tags",
        lambda lab: tagging(lab, "".join(tag(f"k{i}", "v") for i in range(11))),
        400,
        ("BadRequest", "InvalidTag"),
    ),
    Case("Tagging: a key of 129", lambda lab: tagging(lab, tag("k" * 129, "v")), 400, "InvalidTag"),
    Case(
        "Tagging: a value of 257", lambda lab: tagging(lab, tag("k", "v" * 257)), 400, "InvalidTag"
    ),
    Case("Tagging: a key twice", lambda lab: tagging(lab, tag("k", "a") * 2), 400, "InvalidTag"),
    Case(
        "Tagging: an empty key",
        lambda lab: tagging(lab, tag("", "v")),
        400,
        ("InvalidTag", "MalformedXML"),
    ),
    Case("Tagging: aws:", lambda lab: tagging(lab, tag("aws:x", "v")), 400, "InvalidTag"),
]


def tag(key: str, value: str) -> str:
    return f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"


def tagging(lab: Lab, text: str) -> bytes:
    return tag_document(lab, f"<Tagging><TagSet>{text}</TagSet></Tagging>".encode())


def tag_document(lab: Lab, body: bytes) -> bytes:
    return lab.forge.request("PUT", f"{lab.seed}?tagging", [("content-md5", md5(body))], body)


@named(OTHERS)
def test_other_documents(lab: Lab, case: Case):
    reply = lab.send(case.attack(lab), "PUT")
    assert case.fits(reply), (reply.status, reply.code, reply.body[:300])
    assert lab.get("/hostile-new-1", "HEAD").status == 404
