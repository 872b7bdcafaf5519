"""Documents from strangers: read when they are S3's, refused when they are anything else."""

import pytest

from cenote.s3 import XML_BYTES_MAX, RequestHead, S3Error, parse_input, resolve

NS = "http://s3.amazonaws.com/doc/2006-03-01/"
DELETE = resolve(RequestHead("POST", b"/b", b"delete", {}))
COMPLETE = resolve(RequestHead("POST", b"/b/k", b"uploadId=u", {}))
TAGGING = resolve(RequestHead("PUT", b"/b/k", b"tagging", {}))
ONE = "<Object><Key>k</Key></Object>"


def keys(body):
    if isinstance(body, str):
        body = body.encode()
    return [item.key for item in parse_input(DELETE, {}, body).delete.objects]


def refused(body, route=DELETE):
    with pytest.raises(S3Error) as caught:
        parse_input(route, {}, body.encode() if isinstance(body, str) else body)
    return caught.value.code


@pytest.mark.parametrize(
    "body",
    [
        f"<Delete>{ONE}</Delete>",
        f'<Delete xmlns="{NS}">{ONE}</Delete>',
        f'<Delete xmlns="{NS[:-1]}">{ONE}</Delete>',
        f'<x:Delete xmlns:x="{NS}"><x:Object><x:Key>k</x:Key></x:Object></x:Delete>',
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Delete>\n  {ONE}\n</Delete>\n',
        b"\xef\xbb\xbf<Delete><Object><Key>k</Key></Object></Delete>",
        "<Delete><Object><Key><![CDATA[k]]></Key></Object></Delete>",
        f"<!-- hi --><Delete><?pi x?>{ONE}<!-- there --></Delete>",
        "<Delete><Object><Key>&#107;</Key></Object></Delete>",
        f"<Delete><Quiet>true</Quiet>{ONE}</Delete>",
        f'<Delete xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="x">{ONE}</Delete>',
    ],
)
def test_the_ways_clients_write_one_document(body):
    assert keys(body) == ["k"]


def test_text_is_taken_as_it_is():
    body = "<Delete><Object><Key> a&amp;&lt;b&gt;&#13;&#10;ü </Key></Object></Delete>"
    assert keys(body) == [" a&<b>\r\nü "]
    many = "<Delete>" + "".join(f"<Object><Key>{i}</Key></Object>" for i in range(1000))
    assert keys(many + "</Delete>") == [str(i) for i in range(1000)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "no xml",
        "<Delete>",
        f"<Delete>{ONE}</Delete><Delete/>",
        "<Delete/>",
        f"<Erase>{ONE}</Erase>",
        f'<Delete xmlns="http://example.com/">{ONE}</Delete>',
        f"<Delete>{ONE}<Sparkle/></Delete>",
        "<Delete><Object><Key>k</Key><Key>l</Key></Object></Delete>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key><b>k</b></Key></Object></Delete>",
        f"<Delete><Quiet>maybe</Quiet>{ONE}</Delete>",
        f"<Delete><Quiet>true</Quiet><Quiet>true</Quiet>{ONE}</Delete>",
        "<Delete>" + ONE * 1001 + "</Delete>",
        "<Delete><Object><Key>\x01</Key></Object></Delete>",
        "<Delete><Object><Key>&#0;</Key></Object></Delete>",
        "<Delete><Object><Key>&nbsp;</Key></Object></Delete>",
        b"<Delete><Object><Key>\xff</Key></Object></Delete>",
        f"<Delete>{ONE}</Delete>".encode("utf-16"),
        b"<Delete>\x00</Delete>",
        "<a>" * 50_000,
        "<Delete>" + "<Object>" * 100 + "</Object>" * 100 + "</Delete>",
    ],
)
def test_malformed(body):
    assert refused(body) == "MalformedXML"


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><Delete><Object><Key>&j;</Key></Object></Delete>"
)


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        f'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete>{ONE}</Delete>',
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        "<Delete><Object><Key>&f;</Key></Object></Delete>",
        f"<!DOCTYPE Delete><Delete>{ONE}</Delete>",
        f'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1/">%p;]><Delete>{ONE}</Delete>',
    ],
)
def test_document_types_are_refused(body):
    assert refused(body) == "MalformedXML"


def test_size_is_bounded():
    body = b"<Delete>" + b" " * XML_BYTES_MAX + b"</Delete>"
    assert refused(body) == "MaxMessageLengthExceeded"


@pytest.mark.parametrize("filler", ["<Part/>\n", "<!---->x", "x&#65;", "<a b='c'/>", "<a>"])
def test_big_documents_are_refused(filler):
    # Quadratic work on any of these would run into the time limit of the test run.
    body = "<CompleteMultipartUpload>" + filler * ((XML_BYTES_MAX - 100) // len(filler))
    assert refused(body, COMPLETE) == "MalformedXML"


def test_parts():
    def part(number, etag='"e"', more=""):
        return f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>"

    def complete(*parts):
        return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>"

    body = complete(part(1), part(" 2 ", "e"), part(10000, "&quot;e&quot;"))
    parts = parse_input(COMPLETE, {}, body.encode()).multipart_upload.parts
    assert [(item.part_number, item.etag) for item in parts] == [(1, "e"), (2, "e"), (10000, "e")]
    assert refused(complete(), COMPLETE) == "MalformedXML"
    assert refused(complete("<Part><ETag>e</ETag></Part>"), COMPLETE) == "MalformedXML"
    assert refused(complete("<Part><PartNumber>1</PartNumber></Part>"), COMPLETE) == "MalformedXML"
    assert refused(complete(part("one")), COMPLETE) == "MalformedXML"
    assert refused(complete(part(0)), COMPLETE) == "InvalidArgument"
    assert refused(complete(part(10001)), COMPLETE) == "InvalidArgument"
    assert refused(complete(*[part(1)] * 10_001), COMPLETE) == "MalformedXML"
    strange = complete(part(1, more="<ChecksumSHA512>x</ChecksumSHA512>"))
    assert refused(strange, COMPLETE) == "NotImplemented"


def test_tag_sets():
    def tags(inner):
        return parse_input(TAGGING, {}, f"<Tagging>{inner}</Tagging>".encode()).tagging.tag_set

    assert tags("<TagSet/>") == []
    tag = "<Tag><Key>k</Key><Value/></Tag>"
    assert [(item.key, item.value) for item in tags(f"<TagSet>{tag}</TagSet>")] == [("k", "")]
    assert refused("<Tagging/>", TAGGING) == "MalformedXML"
    assert refused(f"<Tagging>{tag}</Tagging>", TAGGING) == "MalformedXML"
    assert refused("<Tagging><TagSet><Label/></TagSet></Tagging>", TAGGING) == "MalformedXML"
    assert refused("<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>", TAGGING)
