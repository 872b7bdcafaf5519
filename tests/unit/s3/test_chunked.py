"""The aws-chunked decoder: what it takes, what it refuses, and that cuts do not matter.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
sigv4-streaming-trailers.html. Where a page is silent, the codes are those AWS was seen to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.s3 import ChunkDecoder, ChunkedPayload, S3Error, SigningKey, encode_chunks

BIG = bytes(range(256)) * 32  # 8192 bytes, the least a chunk before the last may hold
TAIL = b"the tail"
BODY = BIG + BIG + TAIL
CHECKSUM = ("x-amz-checksum-crc32", "AAAAAA==")
KEY = SigningKey(b"k" * 32)
FORMS = ["unsigned", "signed", "signed trailer"]


def payload_of(form: str, length: int = len(BODY)) -> ChunkedPayload:
    trailer = form != "signed"
    announced = (CHECKSUM[0],) if trailer else ()
    if form == "unsigned":
        return ChunkedPayload(False, True, length, announced)
    scope = "20130524/us-east-1/s3/aws4_request"
    return ChunkedPayload(
        True, trailer, length, announced, "0" * 64, KEY, "20130524T000000Z", scope
    )


def wire_of(form: str, *chunks: bytes) -> bytes:
    pieces = chunks or (BIG, BIG, TAIL)
    payload = payload_of(form, sum(map(len, pieces)))
    return b"".join(encode_chunks(payload, pieces, [] if form == "signed" else [CHECKSUM]))


def decode(payload: ChunkedPayload, wire: bytes, cuts: list[int] | None = None):
    decoder = ChunkDecoder(payload)
    edges = [0, *sorted(cuts or []), len(wire)]
    out = []
    for start, end in pairwise(edges):
        out += decoder.feed(wire[start:end])
    trailers = decoder.finish()
    return b"".join(out), trailers


def outcome(payload: ChunkedPayload, wire: bytes, cuts: list[int]):
    try:
        return decode(payload, wire, cuts)
    except S3Error as error:
        return error.code


def refused(payload: ChunkedPayload, wire: bytes, code: str) -> S3Error:
    """Feed at once and byte by byte: the same error both times."""
    with pytest.raises(S3Error) as caught:
        decode(payload, wire)
    assert caught.value.code == code, caught.value
    assert outcome(payload, wire, list(range(len(wire)))) == code
    return caught.value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "chunks", [(BIG, BIG, TAIL), (TAIL,), (BIG,), (BODY,), (BODY, BIG)], ids=len
)
def test_round_trip(form: str, chunks: tuple[bytes, ...]) -> None:
    wire = wire_of(form, *chunks)
    payload = payload_of(form, sum(map(len, chunks)))
    trailers = {} if form == "signed" else dict([CHECKSUM])
    whole = b"".join(chunks)
    assert decode(payload, wire) == (whole, trailers)
    assert decode(payload, wire, list(range(len(wire)))) == (whole, trailers)


@pytest.mark.parametrize("form", FORMS)
def test_empty_body(form: str) -> None:
    payload = payload_of(form, 0)
    wire = b"".join(encode_chunks(payload, [], [] if form == "signed" else [CHECKSUM]))
    assert decode(payload, wire)[0] == b""


@pytest.mark.parametrize("form", FORMS)
@given(cuts=st.lists(st.integers(0, len(BODY) + 300), max_size=12))
def test_cuts_do_not_matter(form: str, cuts: list[int]) -> None:
    assert decode(payload_of(form), wire_of(form), cuts)[0] == BODY


@given(
    form=st.sampled_from(FORMS),
    at=st.integers(0, 1000),
    byte=st.integers(0, 255),
    end=st.booleans(),
    cuts=st.lists(st.integers(0, len(BODY) + 300), max_size=4),
)
def test_one_wrong_byte_is_one_answer_however_cut(
    form: str, at: int, byte: int, end: bool, cuts: list[int]
) -> None:
    wire = bytearray(wire_of(form))
    wire[-at if end else at] = byte
    payload = payload_of(form)
    whole = outcome(payload, bytes(wire), [])
    assert outcome(payload, bytes(wire), cuts) == whole
    if form != "unsigned" and bytes(wire) != wire_of(form):
        # Case of a chunk's size, or of a trailer's name, is all that is free.
        assert isinstance(whole, str) or bytes(wire).lower() == wire_of(form)


@given(st.sampled_from(FORMS), st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_nothing_but_s3error_comes_out(form: str, wire: bytes, cuts: list[int]) -> None:
    assert outcome(payload_of(form, 10), wire, []) == outcome(payload_of(form, 10), wire, cuts)


@pytest.mark.parametrize("form", FORMS)
def test_every_truncation_is_incomplete(form: str) -> None:
    wire = wire_of(form, TAIL)
    for end in range(len(wire)):
        assert outcome(payload_of(form, len(TAIL)), wire[:end], []) == "IncompleteBody", end


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("extra", [b"x", b"\r\n", b"0\r\n\r\n", b"\0" * 100])
def test_bytes_behind_the_end(form: str, extra: bytes) -> None:
    refused(payload_of(form), wire_of(form) + extra, "IncompleteBody")


@pytest.mark.parametrize(
    "size",
    ["", "g", "-8", "+8", "0x8", " 8", "8 ", "8;", "8;x=y", "8.0", "1" * 17, "F" * 16, "٨", "8\t"],
)
@pytest.mark.parametrize("form", FORMS)
def test_sizes_that_are_none(form: str, size: str) -> None:
    wire = wire_of(form, TAIL).replace(b"8", size.encode(), 1)
    refused(payload_of(form, len(TAIL)), wire, "IncompleteBody")


@pytest.mark.parametrize("size", [b"0008", b"0000000000000008"])
@pytest.mark.parametrize("form", FORMS)
def test_sizes_with_leading_zeros(form: str, size: bytes) -> None:
    wire = wire_of(form, TAIL).replace(b"8", size, 1)
    assert decode(payload_of(form, len(TAIL)), wire)[0] == TAIL


def test_sizes_in_capitals() -> None:
    data = b"0123456789"
    for size in (b"a", b"A"):
        wire = size + b"\r\n" + data + b"\r\n0\r\n\r\n"
        assert decode(ChunkedPayload(False, True, 10), wire) == (data, {})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"8\r\n", b"8\n"),
        (b"tail\r\n", b"tail\n"),
        (b"tail\r\n", b"tail"),
        (b"tail\r\n", b"tail\r\r"),
        (b"tail\r\n", b"tail\n\r"),
        (b"tail\r\n", b"tail \r\n"),
        (b"8\r\n", b"7\r\n"),
        (b"8\r\n", b"8\r\n\r\n"),
        (b"0\r\n", b"00000000000000000\r\n"),
        (b"0\r\n", b""),
        (b"8\r\n", b"8" + b";" * 5000 + b"\r\n"),
        (b"8\r\n", b"8" * 5000),
    ],
)
def test_broken_framing(old: bytes, new: bytes) -> None:
    wire = wire_of("unsigned", TAIL)
    assert old in wire
    refused(payload_of("unsigned", len(TAIL)), wire.replace(old, new, 1), "IncompleteBody")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [0, len(BODY) - 1, len(BODY) + 1, 1 << 62])
def test_decoded_length_must_be_true(form: str, length: int) -> None:
    refused(payload_of(form, length), wire_of(form), "IncompleteBody")


@pytest.mark.parametrize("form", FORMS)
def test_no_more_than_the_decoded_length_comes_out(form: str) -> None:
    decoder = ChunkDecoder(payload_of(form, len(BIG)))
    out = []
    with pytest.raises(S3Error):
        for byte in wire_of(form):
            out += decoder.feed(bytes([byte]))
    assert b"".join(out) == BIG


@pytest.mark.parametrize("form", ["unsigned", "signed"])
def test_chunks_before_the_last_hold_8_kib(form: str) -> None:
    good = wire_of(form, TAIL)
    header_end = good.index(b"\r\n") + 2
    wire = good[: header_end + len(TAIL) + 2] + good  # two small chunks, were it let through
    error = refused(payload_of(form, 2 * len(TAIL)), wire, "InvalidChunkSizeError")
    assert error.status == 403
    assert error.extra == {"Chunk": 2, "BadChunkSize": len(TAIL)}


def bend_signature(wire: bytes, number: int, mark: bytes = b"signature=") -> bytes:
    at = -1
    for _ in range(number + 1):
        at = wire.index(mark, at + 1)
    at += len(mark)
    return wire[:at] + (b"f" if wire[at : at + 1] == b"0" else b"0") + wire[at + 1 :]


@pytest.mark.parametrize("form", ["signed", "signed trailer"])
@pytest.mark.parametrize("number", range(4), ids=["first", "middle", "last", "empty"])
def test_each_chunks_signature(form: str, number: int) -> None:
    wire = bend_signature(wire_of(form), number)
    error = refused(payload_of(form), wire, "SignatureDoesNotMatch")
    assert error.status == 403


@pytest.mark.parametrize("number", range(3))
def test_each_chunks_bytes(number: int) -> None:
    wire = bytearray(wire_of("signed"))
    at = 0
    for _ in range(number + 1):
        at = wire.index(b"chunk-signature=", at + 1)
    wire[wire.index(b"\r\n", at) + 2] ^= 1
    refused(payload_of("signed"), bytes(wire), "SignatureDoesNotMatch")


def test_chunks_cannot_change_places() -> None:
    wire = wire_of("signed", BIG, BIG[::-1], TAIL)
    size = wire.index(b"\r\n") + 2 + len(BIG) + 2
    one, two = wire[:size], wire[size:]
    assert one[-2:] == b"\r\n"
    length = 2 * len(BIG) + len(TAIL)
    second, rest = two[: len(one)], two[len(one) :]
    refused(payload_of("signed", length), second + one + rest, "SignatureDoesNotMatch")


def test_signatures_hold_for_one_seed_and_key() -> None:
    good = payload_of("signed")
    for change in (
        {"seed_signature": "1" * 64},
        {"timestamp": "20130525T000000Z"},
        {"scope": "20130524/eu-west-1/s3/aws4_request"},
        {"signing_key": SigningKey(b"other")},
    ):
        bent = msgspec.structs.replace(good, **change)
        refused(bent, wire_of("signed"), "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "bend",
    [
        lambda w: w.replace(b";chunk-signature=", b";chunk-signature", 1),
        lambda w: w.replace(b";chunk-signature=", b"; chunk-signature=", 1),
        lambda w: w.replace(b"chunk-signature", b"Chunk-Signature", 1),
        lambda w: w.replace(b"chunk-signature=", b"x=1;chunk-signature=", 1),
        lambda w: w.replace(b"\r\n", b"0\r\n", 1),
        lambda w: b"8\r\n" + w[w.index(b"\r\n") + 2 :],
    ],
)
def test_chunk_headers_of_signed_chunks(bend: Callable[[bytes], bytes]) -> None:
    refused(payload_of("signed", len(TAIL)), bend(wire_of("signed", TAIL)), "IncompleteBody")


LINE = b"x-amz-checksum-crc32:AAAAAA==\r\n"
TRAILERS = {
    "absent": b"",
    "another": b"x-amz-checksum-crc32c:AAAAAA==\r\n",
    "twice": LINE + LINE,
    "one more": LINE + b"x-amz-meta-a:1\r\n",
    "no colon": b"x-amz-checksum-crc32AAAAAA==\r\n",
    "no name": b":AAAAAA==\r\n",
    "a space in the name": b"x amz:1\r\n",
    "folded": LINE + b" AAAA\r\n",
    "a NUL": b"x-amz-checksum-crc32:\0\r\n",
    "too much": LINE * 200,
}


@pytest.mark.parametrize("name", TRAILERS)
def test_unsigned_trailers(name: str) -> None:
    wire = b"8\r\nthe tail\r\n0\r\n" + TRAILERS[name] + b"\r\n"
    refused(payload_of("unsigned", len(TAIL)), wire, "MalformedTrailerError")


@pytest.mark.parametrize("name", [n for n in TRAILERS if n not in ("no colon", "no name")])
def test_signed_trailers(name: str) -> None:
    wire = wire_of("signed trailer", TAIL).replace(LINE, TRAILERS[name])
    refused(payload_of("signed trailer", len(TAIL)), wire, "MalformedTrailerError")


def test_a_trailer_line_without_end() -> None:
    wire = b"8\r\nthe tail\r\n0\r\nx-amz-checksum-crc32:" + b"A" * 100_000
    refused(payload_of("unsigned", len(TAIL)), wire, "IncompleteBody")


@pytest.mark.parametrize("form", FORMS)
def test_a_trailer_nobody_announced(form: str) -> None:
    payload = payload_of(form, len(TAIL))
    payload = ChunkedPayload(
        payload.signed,
        payload.trailer,
        len(TAIL),
        (),
        payload.seed_signature,
        payload.signing_key,
        payload.timestamp,
        payload.scope,
    )
    wire = wire_of(form, TAIL)
    if form == "signed":
        wire = wire[:-2] + LINE + b"\r\n"
    refused(payload, wire, "MalformedTrailerError")


def test_an_announced_trailer_may_be_none_at_all() -> None:
    wire = b"8\r\nthe tail\r\n0\r\n\r\n"
    assert decode(ChunkedPayload(False, True, 8), wire) == (TAIL, {})


def test_trailer_signature_is_checked() -> None:
    wire = bend_signature(wire_of("signed trailer"), 0, b"trailer-signature:")
    refused(payload_of("signed trailer"), wire, "SignatureDoesNotMatch")


def test_trailer_value_is_covered() -> None:
    wire = wire_of("signed trailer").replace(b"AAAAAA==", b"AAAAAQ==")
    refused(payload_of("signed trailer"), wire, "SignatureDoesNotMatch")


def test_trailer_signature_cannot_be_emptied() -> None:
    wire = wire_of("signed trailer")
    at = wire.index(b"trailer-signature:") + len(b"trailer-signature:")
    refused(payload_of("signed trailer"), wire[:at] + b"\r\n\r\n", "SignatureDoesNotMatch")


def test_trailer_signature_cannot_be_left_out_or_moved() -> None:
    wire = wire_of("signed trailer")
    at = wire.index(b"x-amz-trailer-signature")
    signature = wire[at:-2]
    left_out = wire[:at] + b"\r\n"
    moved = wire[: at - len(LINE)] + signature + LINE + b"\r\n"
    for bent in (left_out, moved):
        refused(payload_of("signed trailer"), bent, "MalformedTrailerError")


def test_trailer_names_and_values_are_trimmed_and_lower_case() -> None:
    wire = b"8\r\nthe tail\r\n0\r\nX-Amz-Checksum-CRC32 :  AAAAAA== \r\n\r\n"
    payload = payload_of("unsigned", len(TAIL))
    assert decode(payload, wire) == (TAIL, dict([CHECKSUM]))


def test_whole_pieces_are_not_copied() -> None:
    decoder = ChunkDecoder(payload_of("unsigned", len(BIG)))
    decoder.feed(b"2000\r\n")
    (piece,) = decoder.feed(BIG)
    assert piece is BIG


def test_finish_before_the_end() -> None:
    for form in FORMS:
        with pytest.raises(S3Error, match="terminated unexpectedly"):
            ChunkDecoder(payload_of(form, 0)).finish()
