"""The short way of a plain GET says what the table's renderer says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cenote.ports import Checksum, Content, ObjectRecord
from cenote.s3 import OPS, render_output, structs
from cenote.server.handlers.mapping import checksum_members
from cenote.server.handlers.reading import _members, plain_lines

checksums = st.sampled_from(
    [
        None,
        Checksum("CRC32", "FULL_OBJECT", "AAAAAA=="),
        Checksum("CRC64NVME", "FULL_OBJECT", "AAAAAAAAAAA="),
        Checksum("SHA256", "COMPOSITE", "A" * 43 + "=-3"),
    ]
)
records = st.builds(
    ObjectRecord,
    key=st.just("k"),
    size=st.integers(0, 1 << 40),
    etag=st.sampled_from(["d41d8cd98f00b204e9800998ecf8427e", "0" * 32 + "-7"]),
    modified_ms=st.integers(0, 4_000_000_000_000),
    content=st.builds(
        Content,
        content_type=st.none() | st.text(max_size=20).filter(lambda t: "\r" not in t),
        cache_control=st.none() | st.just("no-cache"),
    ),
    metadata=st.dictionaries(st.just("a"), st.just("b")),
    tags=st.just(()) | st.just((("a", "b"),)),
    checksum=checksums,
    storage_class=st.sampled_from(["STANDARD", "STANDARD_IA"]),
)


@given(records, st.booleans())
def test_both_ways_say_the_same(record: ObjectRecord, with_checksum: bool):
    lines = plain_lines(record, with_checksum)
    told_more = record.metadata or record.tags or record.storage_class != "STANDARD"
    if lines is None or told_more or record.content.cache_control:
        assert lines is None
        return
    members = {**_members(record), "content_length": record.size}
    if with_checksum:
        members |= checksum_members(record.checksum)
    rendered = render_output(OPS["GetObject"], structs.GetObjectOutput(**members))
    said = {tuple(line.split(": ", 1)) for line in lines.splitlines()}
    assert said == {(name.lower(), value) for name, value in rendered.headers}
