"""The head of a PutObject's answer, written directly, is what the table of operations gives."""

from __future__ import annotations

import pytest

from cenote.buckets import WriteResult
from cenote.ports import Checksum
from cenote.s3 import OPS, render_output, structs
from cenote.server.handlers.mapping import checksum_members
from cenote.server.handlers.writing import stored_lines

CHECKSUMS = [
    Checksum("CRC32", "FULL_OBJECT", "AAAAAA=="),
    Checksum("CRC32C", "FULL_OBJECT", "AAAAAA=="),
    Checksum("CRC64NVME", "FULL_OBJECT", "AAAAAAAAAAA="),
    Checksum("SHA1", "FULL_OBJECT", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    Checksum("SHA256", "FULL_OBJECT", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    None,
]


@pytest.mark.parametrize("checksum", CHECKSUMS, ids=lambda c: c.algorithm if c else "none")
def test_lines_are_those_of_the_table(checksum: Checksum | None) -> None:
    etag = "d41d8cd98f00b204e9800998ecf8427e"
    output = structs.PutObjectOutput(etag=etag, **checksum_members(checksum))
    expected = {(n.lower(), v) for n, v in render_output(OPS["PutObject"], output).headers}
    result = WriteResult(key="k", etag=etag, size=0, modified_ms=0, checksum=checksum)
    lines = stored_lines(result)
    assert lines.endswith("\r\n")
    found = {tuple(line.split(": ", 1)) for line in lines.split("\r\n")[:-1]}
    assert found == expected | {("content-length", "0")}
