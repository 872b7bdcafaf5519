"""Whatever bytes come, routing and parsing give an input or an S3Error, and never anything else."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.s3 import OPS, RequestHead, S3Error, parse_input, render_error, resolve
from cenote.s3.shapes import Header, Query, places

METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", ""])
WIRE = sorted(
    {m.place.wire for op in OPS.values() for m in places(op.input) if isinstance(m.place, Query)}
    | {word for op in OPS.values() for word, _ in op.query}
)
HEADER = sorted(
    {
        m.place.wire.lower()
        for op in OPS.values()
        for m in places(op.input)
        if isinstance(m.place, Header)
    }
    | {"x-amz-meta-a", "x-amz-acl", "x-amz-copy-source", "x-amz-unknown", "host"}
)
VALUES = st.one_of(
    st.sampled_from(["", "0", "1", "2", "-1", "true", "null", "url", "a/b", "bytes=0-1", "%00",
                     "COPY", "CRC32", "STANDARD", "9" * 30, "Sun, 06 Nov 1994 08:49:37 GMT",
                     "99999-13-45T99:99:99Z", "Sun, 99 Nov 0000 99:99:99 GMT"]),
    st.text(st.characters(max_codepoint=255), max_size=30),
)  # fmt: skip
RAW = st.binary(max_size=40)
QUERY = st.one_of(
    RAW,
    st.lists(st.tuples(st.sampled_from(WIRE), RAW), max_size=4).map(
        lambda pairs: b"&".join(name.encode() + b"=" + value for name, value in pairs)
    ),
    st.lists(st.sampled_from(WIRE), max_size=3).map(lambda words: "&".join(words).encode()),
)
PATH = st.one_of(RAW, RAW.map(lambda raw: b"/" + raw), RAW.map(lambda raw: b"/bucket/" + raw),
                 st.sampled_from([b"/", b"/b", b"/b/k"]))  # fmt: skip
NAMES = st.sampled_from(["Delete", "Object", "Key", "Quiet", "CompleteMultipartUpload", "Part",
                         "PartNumber", "ETag", "Tagging", "TagSet", "Tag", "Value", "Size",
                         "CreateBucketConfiguration", "LastModifiedTime"])  # fmt: skip
TREE = st.recursive(
    st.text(max_size=8).map(lambda text: text.replace("<", "&lt;")),
    lambda inner: st.tuples(NAMES, st.lists(inner, max_size=4)).map(
        lambda pair: f"<{pair[0]}>{''.join(pair[1])}</{pair[0]}>"
    ),
    max_leaves=12,
)
BODY = st.one_of(RAW, TREE.map(lambda text: text.encode("utf-8", "replace")))


@settings(deadline=None, print_blob=True)
@given(
    method=METHODS,
    path=PATH,
    query=QUERY,
    headers=st.dictionaries(st.sampled_from(HEADER), VALUES, max_size=5),
    repeated=st.frozensets(st.sampled_from(HEADER), max_size=2),
    host_bucket=st.one_of(st.none(), st.text(max_size=8)),
    body=BODY,
)
def test_only_s3_errors_come_out(method, path, query, headers, repeated, host_bucket, body):
    head = RequestHead(method, path, query, headers, repeated)
    try:
        route = resolve(head, host_bucket)
        read = parse_input(route, headers, body)
    except S3Error as error:
        assert 300 <= error.status < 600
        assert render_error(error, "r", "h").startswith(b"<?xml")
        return
    assert isinstance(read, route.op.input)
    assert route.bucket not in (".", "..") and "/" not in (route.bucket or "")
    if route.key is not None:
        assert 1 <= len(route.key.encode()) <= 1024
        assert "\x00" not in route.key


@settings(deadline=None, print_blob=True)
@given(op=st.sampled_from([op for op in OPS.values() if op.implemented]), data=st.data())
def test_requests_of_every_operation_are_read_or_refused(op, data):
    path = {"service": b"/", "bucket": b"/b", "object": b"/b/k"}[op.target]
    words = [name if value is None else f"{name}={value}" for name, value in op.query]
    members = places(op.input)
    for member in members:
        if isinstance(member.place, Query) and data.draw(st.booleans()):
            value = data.draw(st.sampled_from(["", "1", "x", "null", "%41", "-5"]))
            if all(not word.startswith(member.place.wire) for word in words):
                words.append(f"{member.place.wire}={value}")
    headers = {
        member.place.wire.lower(): data.draw(VALUES)
        for member in members
        if isinstance(member.place, Header) and data.draw(st.booleans())
    }
    if op.header:
        headers[op.header] = data.draw(VALUES)
    elif op.method == "PUT":
        headers.pop("x-amz-copy-source", None)
    route = resolve(RequestHead(op.method, path, "&".join(words).encode(), headers))
    assert route.op is op
    try:
        read = parse_input(route, headers, data.draw(BODY))
    except S3Error:
        return
    assert isinstance(read, msgspec.Struct)
