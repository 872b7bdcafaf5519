"""A section of a table file: what is compressed and checksummed as one.

Owns: a section's frame, both ways. Does not own: what is in it.

Layout:

    compressed payload | u32 BE CRC-32 of the compressed payload

Every length of a section that a file tells counts the 4 bytes of the checksum.
"""

from __future__ import annotations

from zlib import crc32

from cenote.errors import ChecksumError, DataError
from cenote.lsm.format.codec import Codec, compress, decompress

__all__ = ["decode_section", "encode_section"]


def encode_section(payload: bytes, codec: Codec) -> bytes:
    """Return the bytes of a section. Raises as `compress` does."""
    packed = compress(codec, payload)
    return packed + crc32(packed).to_bytes(4, "big")


def decode_section(section: bytes, codec: Codec) -> bytes:
    """Return a section's payload. Raises ChecksumError, DataError, UnsupportedError."""
    if len(section) < 4:
        raise DataError("a section is shorter than its checksum", kind="section")
    packed = section[:-4]
    if crc32(packed) != int.from_bytes(section[-4:], "big"):
        raise ChecksumError("a section's checksum does not match", size=len(section))
    return decompress(codec, packed)
