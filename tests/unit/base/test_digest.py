"""Digests against published check values and the AWS C runtime."""

from __future__ import annotations

import base64
import hashlib

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from cenote.base.digest import (
    CHECKSUM_ALGORITHMS,
    CRC_ALGORITHMS,
    Digests,
    crc64nvme,
    crc_combine,
    digest_base64,
    digest_from_base64,
    digest_of,
)

ORACLES = {
    "CRC32": lambda data: crt.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: crt.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: crt.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
    "MD5": lambda data: hashlib.md5(data).digest(),
}


# "Check" values of the catalogue of parametrised CRC algorithms, over the digits 1 to 9.
@pytest.mark.parametrize(
    ("algorithm", "check"),
    [("CRC32", "cbf43926"), ("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")],
)
def test_catalogue_check_values(algorithm: str, check: str) -> None:
    assert digest_of(algorithm, b"123456789").hex() == check


@pytest.mark.parametrize("algorithm", ORACLES)
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 300_000])
def test_any_buffer_in_any_pieces_gives_the_oracle_value(algorithm: str, size: int) -> None:
    data = bytes(i * 31 % 251 for i in range(size))
    expected = ORACLES[algorithm](data)
    for form in (bytes, bytearray, memoryview):
        digests = Digests([algorithm])
        for start in range(0, size, 70_001):
            digests.update(form(data[start : start + 70_001]))  # type: ignore[operator]
        assert digests.digest(algorithm) == expected
        assert digests.results() == {algorithm: expected}


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_all_algorithms_at_once(pieces: list[bytes]) -> None:
    digests = Digests(["MD5", *CHECKSUM_ALGORITHMS])
    for piece in pieces:
        digests.update(piece)
    whole = b"".join(pieces)
    assert digests.results() == {name: oracle(whole) for name, oracle in ORACLES.items()}


def test_crc64nvme_goes_on_from_a_value() -> None:
    assert crc64nvme(b"56789", crc64nvme(b"1234")) == 0xAE8B14860A799888


@pytest.mark.parametrize("algorithm", CRC_ALGORITHMS)
@given(a=st.binary(max_size=300), b=st.binary(max_size=300))
def test_combine_equals_the_crc_of_the_whole(algorithm: str, a: bytes, b: bytes) -> None:
    crc = ORACLES[algorithm]
    assert crc_combine(algorithm, crc(a), crc(b), len(b)) == crc(a + b)


@given(
    a=st.integers(0, 2**64 - 1),
    b=st.integers(0, 2**64 - 1),
    size=st.integers(1, 5 * 2**40),  # the C runtime returns 0 for an empty second part
)
def test_combine_of_huge_parts_agrees_with_the_c_runtime(a: int, b: int, size: int) -> None:
    wide = crc_combine("CRC64NVME", a.to_bytes(8, "big"), b.to_bytes(8, "big"), size)
    assert int.from_bytes(wide, "big") == crt.combine_crc64nvme(a, b, size)
    a, b = a & 0xFFFFFFFF, b & 0xFFFFFFFF
    for name, oracle in (("CRC32", crt.combine_crc32), ("CRC32C", crt.combine_crc32c)):
        joined = crc_combine(name, a.to_bytes(4, "big"), b.to_bytes(4, "big"), size)
        assert int.from_bytes(joined, "big") == oracle(a, b, size)


@given(st.binary(min_size=8, max_size=8))
def test_text_form_round_trip(digest: bytes) -> None:
    text = digest_base64(digest)
    assert text == base64.b64encode(digest).decode()
    assert digest_from_base64("CRC64NVME", text) == digest


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "AAAAAA", "AAAAAA=", "AAAAAA==\n", " AAAAAA==", "AAAA!A==", "AAAAAB==", "é" * 8],
)
def test_malformed_text_forms_are_none(text: str) -> None:
    assert digest_from_base64("CRC32", text) is None


def test_well_formed_text_of_another_length_is_none() -> None:
    assert digest_from_base64("CRC32", base64.b64encode(bytes(8)).decode()) is None
    assert digest_from_base64("CRC32", base64.b64encode(bytes(4)).decode()) == bytes(4)
