"""Bodies framed by botocore decode to what went in, and their checksums are found."""

from __future__ import annotations

import io

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum, CrtCrc64NvmeChecksum
from hypothesis import given
from hypothesis import strategies as st

from cenote.base import Digests
from cenote.s3 import ChunkDecoder, ChunkedPayload, body_claims, with_trailer

CHECKSUMS = {"crc32": Crc32Checksum, "crc64nvme": CrtCrc64NvmeChecksum}


@pytest.mark.parametrize("name", CHECKSUMS)
@given(
    body=st.binary(max_size=300),
    times=st.integers(1, 200),
    chunk_size=st.integers(8192, 20_000),
    feed=st.integers(1, 30_000),
)
def test_round_trip(name: str, body: bytes, times: int, chunk_size: int, feed: int) -> None:
    body *= times
    header = f"x-amz-checksum-{name}"
    wrapper = AwsChunkedWrapper(
        io.BytesIO(body),
        checksum_cls=CHECKSUMS[name],
        checksum_name=header,
        chunk_size=chunk_size,
    )
    wire = wrapper.read()
    payload = ChunkedPayload(False, True, len(body), (header,))
    claims = body_claims({"x-amz-trailer": header}, payload)
    decoder, digests = ChunkDecoder(payload), Digests(claims.algorithms)
    size = 0
    for at in range(0, len(wire), feed):
        for piece in decoder.feed(wire[at : at + feed]):
            digests.update(piece)
            assert piece == body[size : size + len(piece)]
            size += len(piece)
    trailers = decoder.finish()
    assert size == len(body)
    with_trailer(claims, trailers).verify(digests.results())
