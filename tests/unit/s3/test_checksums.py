"""What a head claims of its body, and the comparison.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html;
digests by hashlib, zlib and the AWS C runtime.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from cenote.s3 import (
    BodyClaims,
    ChunkedPayload,
    S3Error,
    SignedPayload,
    UnsignedPayload,
    body_claims,
    with_trailer,
)

BODY = b"cenote"
DIGESTS = {
    "MD5": hashlib.md5(BODY).digest(),
    "CRC32": zlib.crc32(BODY).to_bytes(4, "big"),
    "CRC32C": crt.crc32c(BODY).to_bytes(4, "big"),
    "CRC64NVME": crt.crc64nvme(BODY).to_bytes(8, "big"),
    "SHA1": hashlib.sha1(BODY).digest(),
    "SHA256": hashlib.sha256(BODY).digest(),
}
FIVE = [name for name in DIGESTS if name != "MD5"]
TRAILING = ChunkedPayload(False, True, len(BODY))


def text(name: str) -> str:
    return b64encode(DIGESTS[name]).decode()


def claims(payload=UnsignedPayload(), **headers: str) -> BodyClaims:  # noqa: B008 - a value
    return body_claims({name.replace("_", "-"): v for name, v in headers.items()}, payload)


def refused(code: str, payload=UnsignedPayload(), **headers: str) -> S3Error:  # noqa: B008
    with pytest.raises(S3Error) as caught:
        claims(payload, **headers)
    assert (caught.value.code, caught.value.status) == (code, 501 if code[0] == "N" else 400)
    return caught.value


def test_no_claims() -> None:
    made = claims(content_type="text/plain", x_amz_checksum_mode="ENABLED")
    assert made == BodyClaims()
    assert made.algorithms == ()
    made.verify({})


@pytest.mark.parametrize("name", FIVE)
def test_checksum_in_a_header(name: str) -> None:
    made = claims(**{f"x_amz_checksum_{name.lower()}": text(name)})
    assert (made.algorithm, made.digest, made.algorithms) == (name, DIGESTS[name], (name,))
    made.verify(DIGESTS)
    with pytest.raises(S3Error, match=f"The {name} you specified did not match") as caught:
        made.verify({**DIGESTS, name: bytes(len(DIGESTS[name]))})
    assert (caught.value.code, caught.value.status) == ("BadDigest", 400)


@pytest.mark.parametrize("name", FIVE)
def test_checksum_in_the_trailer(name: str) -> None:
    header = f"x-amz-checksum-{name.lower()}"
    made = claims(TRAILING, x_amz_trailer=header, x_amz_sdk_checksum_algorithm=name)
    assert (made.algorithm, made.digest, made.in_trailer) == (name, None, True)
    whole = with_trailer(made, {header: text(name)})
    assert whole.digest == DIGESTS[name]
    whole.verify(DIGESTS)
    with pytest.raises(S3Error) as caught:
        whole.verify({**DIGESTS, name: b""})
    assert caught.value.code == "BadDigest"
    with pytest.raises(S3Error) as caught:
        with_trailer(made, {header: "nonsense"})
    assert caught.value.code == "InvalidRequest"
    assert caught.value.message == f"Value for {header} trailing header is invalid."
    with pytest.raises(S3Error) as caught:
        with_trailer(made, {})
    assert caught.value.code == "MalformedTrailerError"


def test_a_trailer_adds_nothing_to_other_claims() -> None:
    made = claims(x_amz_checksum_crc32=text("CRC32"))
    assert with_trailer(made, {"x-amz-checksum-crc32": "AAAAAA=="}) is made


def test_trailers_name_may_be_spelt_in_capitals() -> None:
    assert claims(TRAILING, x_amz_trailer=" X-Amz-Checksum-CRC32 ").algorithm == "CRC32"


@pytest.mark.parametrize("name", FIVE)
@pytest.mark.parametrize("bend", [lambda t: "", lambda t: t[:-1], lambda t: t + "A", lambda t: "é"])
def test_malformed_checksums(name: str, bend) -> None:
    header = f"x_amz_checksum_{name.lower()}"
    error = refused("InvalidRequest", **{header: bend(text(name))})
    assert error.message == f"Value for {header.replace('_', '-')} header is invalid."


@given(st.sampled_from(FIVE), st.text(max_size=50))
def test_any_text_is_a_digest_or_refused(name: str, value: str) -> None:
    try:
        made = claims(**{f"x_amz_checksum_{name.lower()}": value})
    except S3Error as error:
        assert error.code == "InvalidRequest"
    else:
        assert b64encode(made.digest or b"").decode() == value


def test_content_md5() -> None:
    made = claims(content_md5=text("MD5"))
    assert (made.md5, made.algorithms) == (DIGESTS["MD5"], ())
    made.verify(DIGESTS)
    with pytest.raises(S3Error) as caught:
        made.verify({"MD5": bytes(16)})
    assert caught.value.code == "BadDigest"
    assert caught.value.extra["ExpectedDigest"] == text("MD5")
    both = claims(content_md5=text("MD5"), x_amz_checksum_sha1=text("SHA1"))
    both.verify(DIGESTS)
    with pytest.raises(S3Error, match="The SHA1 you specified"):
        both.verify({**DIGESTS, "SHA1": b""})


@pytest.mark.parametrize(
    "value", ["", "YWJj", "rL0Y20zC+Fzt72VPzMSk2A", "x" * 24, "=" * 24, "é" * 24]
)
def test_malformed_content_md5(value: str) -> None:
    refused("InvalidDigest", content_md5=value)


def test_more_than_one_checksum() -> None:
    crc32, sha1 = {"x_amz_checksum_crc32": text("CRC32")}, {"x_amz_checksum_sha1": text("SHA1")}
    error = refused("InvalidRequest", **crc32, **sha1)
    assert "Multiple checksum Types are not allowed" in error.message
    refused("InvalidRequest", TRAILING, **crc32, x_amz_trailer="x-amz-checksum-crc32")
    refused("InvalidRequest", TRAILING, **crc32, x_amz_trailer="x-amz-checksum-sha1")


def test_algorithm_named_must_be_the_one_sent() -> None:
    crc32 = {"x_amz_checksum_crc32": text("CRC32")}
    assert claims(**crc32, x_amz_sdk_checksum_algorithm="crc32").algorithm == "CRC32"
    error = refused("InvalidRequest", **crc32, x_amz_sdk_checksum_algorithm="SHA1")
    assert error.message == "Value for x-amz-sdk-checksum-algorithm header is invalid."
    error = refused("InvalidRequest", x_amz_sdk_checksum_algorithm="CRC32")
    assert "no corresponding x-amz-checksum-* or x-amz-trailer" in error.message


@pytest.mark.parametrize("name", ["sha512", "md5", "xxhash64", "xxhash3", "xxhash128"])
def test_newer_algorithms_are_refused_by_name(name: str) -> None:
    error = refused("NotImplemented", **{f"x_amz_checksum_{name}": "AAAA"})
    assert name in error.message
    refused("NotImplemented", TRAILING, x_amz_trailer=f"x-amz-checksum-{name}")


@pytest.mark.parametrize("name", ["md4", "crc", "", "crc32-"])
def test_unknown_algorithms(name: str) -> None:
    refused("InvalidRequest", **{f"x_amz_checksum_{name}": "AAAA"})


def test_signed_payload() -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    made = claims(SignedPayload(digest))
    assert made.algorithms == ("SHA256",)
    made.verify(DIGESTS)
    with pytest.raises(S3Error) as caught:
        made.verify({"SHA256": hashlib.sha256(b"other").digest()})
    assert caught.value.code == "XAmzContentSHA256Mismatch"
    assert caught.value.extra == {
        "ClientComputedContentSHA256": digest,
        "S3ComputedContentSHA256": hashlib.sha256(b"other").hexdigest(),
    }
    crc32 = {"x_amz_checksum_crc32": text("CRC32")}
    assert claims(SignedPayload(digest), **crc32).algorithms == ("CRC32", "SHA256")
    sha256 = {"x_amz_checksum_sha256": text("SHA256")}
    assert claims(SignedPayload(digest), **sha256).algorithms == ("SHA256",)
