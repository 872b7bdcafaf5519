"""The compression of a section: none, or one of four codecs.

Owns: the number of each codec in a file, its bytes, the modules that do the work.
Does not own: which sections are compressed, checksums.

Bytes of each codec:

    NONE    as they are
    SNAPPY  raw snappy, no framing
    ZLIB    RFC 1950
    LZ4     u32 little-endian size of the plain bytes | an LZ4 block
    ZSTD    one frame (RFC 8878), its content size present or not

Invariants:
1. Nothing is decompressed beyond `SECTION_SIZE_MAX`, nor beyond what the codec can make of so many
   bytes, whatever size the bytes claim.
2. A codec whose module is absent raises UnsupportedError and says what to install.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from enum import IntEnum
from importlib import import_module
from typing import Any, Final

from cenote.errors import DataError, InvalidError, UnsupportedError

__all__ = ["SECTION_SIZE_MAX", "Codec", "compress", "decompress"]

# A block holds at least one row, whole: this bounds a value's size as well.
SECTION_SIZE_MAX: Final = 2**30

# No codec can make more of one byte: an LZ4 length byte stands for 255, a snappy copy of 3 bytes
# (the shortest is 2, for up to 11) for 64.
_LZ4_RATIO_MAX: Final = 255
_SNAPPY_RATIO_MAX: Final = 32
# A block of a frame takes 3 bytes and more, and makes at most 128 KiB.
_ZSTD_BLOCK_MAX: Final = 2**17
_ZSTD_PIECE: Final = 4096
_ZSTD_LEVEL: Final = 3


class Codec(IntEnum):
    """A codec by its number in a file."""

    NONE = 0
    SNAPPY = 1
    ZLIB = 2
    LZ4 = 3
    ZSTD = 4


_MODULES: Final = {Codec.SNAPPY: "cramjam", Codec.LZ4: "lz4.block", Codec.ZSTD: "zstandard"}


def _module(codec: Codec) -> Any:
    try:
        return import_module(_MODULES[codec])
    except ImportError as fault:
        raise UnsupportedError(
            f"{codec.name.lower()} needs the module {_MODULES[codec]}",
            kind="codec_missing",
            hint="pip install 'cenote[db]'",
        ) from fault


_contexts = threading.local()


def _zstd_context(name: str, **settings: int) -> Any:
    """Return this thread's compressor or decompressor: to make one costs more than a block."""
    context = getattr(_contexts, name, None)
    if context is None:
        context = getattr(_module(Codec.ZSTD), name)(**settings)
        setattr(_contexts, name, context)
    return context


def compress(codec: Codec, plain: bytes) -> bytes:
    """Return `plain` compressed. Raises InvalidError when it is too long, UnsupportedError."""
    if len(plain) > SECTION_SIZE_MAX:
        raise InvalidError("a row is too long for a file", kind="entity_too_large", size=len(plain))
    match codec:
        case Codec.NONE:
            return plain
        case Codec.ZLIB:
            return zlib.compress(plain)
        case Codec.SNAPPY:
            return bytes(_module(codec).snappy.compress_raw(plain))
        case Codec.LZ4:
            return bytes(_module(codec).compress(plain, store_size=True))
        case Codec.ZSTD:
            return bytes(_zstd_context("ZstdCompressor", level=_ZSTD_LEVEL).compress(plain))


def decompress(codec: Codec, packed: bytes) -> bytes:
    """Return what was compressed. Raises DataError, UnsupportedError."""
    if codec is Codec.NONE:
        return packed
    if codec is Codec.ZLIB:
        return _decompress_zlib(packed)
    module = _module(codec)
    plain = _DECOMPRESS[codec](module, packed)
    if len(plain) > SECTION_SIZE_MAX:
        raise DataError("a section is longer than any writer makes it", kind="section_too_long")
    return plain


def _damaged(codec: Codec, fault: Exception | None = None) -> DataError:
    detail = f": {fault}" if fault else ""
    return DataError(f"a section is not {codec.name.lower()}{detail}", kind="compression")


def _check_size(codec: Codec, size: int, packed: bytes, ratio: int) -> None:
    if size > SECTION_SIZE_MAX or size > ratio * len(packed):
        raise _damaged(codec)


def _decompress_zlib(packed: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, SECTION_SIZE_MAX + 1)
    except zlib.error as fault:
        raise _damaged(Codec.ZLIB, fault) from fault
    if not stream.eof or stream.unused_data:
        raise _damaged(Codec.ZLIB)
    return plain


def _decompress_snappy(module: Any, packed: bytes) -> bytes:
    size = shift = 0
    for byte in packed[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    _check_size(Codec.SNAPPY, size, packed, _SNAPPY_RATIO_MAX)
    try:
        plain = bytes(module.snappy.decompress_raw(packed))
    except module.DecompressionError as fault:
        raise _damaged(Codec.SNAPPY, fault) from fault
    if len(plain) != size:
        raise _damaged(Codec.SNAPPY)
    return plain


def _decompress_lz4(module: Any, packed: bytes) -> bytes:
    if len(packed) < 4:
        raise _damaged(Codec.LZ4)
    size = int.from_bytes(packed[:4], "little")
    _check_size(Codec.LZ4, size, packed, _LZ4_RATIO_MAX)
    try:
        plain: bytes = module.decompress(packed)
    except module.LZ4BlockError as fault:
        raise _damaged(Codec.LZ4, fault) from fault
    if len(plain) != size:
        raise _damaged(Codec.LZ4)
    return plain


def _decompress_zstd(module: Any, packed: bytes) -> bytes:
    context = _zstd_context("ZstdDecompressor")
    try:
        size = module.get_frame_parameters(packed).content_size
        if size == module.CONTENTSIZE_UNKNOWN:
            return _decompress_zstd_stream(context.decompressobj(), packed)
        if size > SECTION_SIZE_MAX or size > (len(packed) // 3 + 1) * _ZSTD_BLOCK_MAX:
            raise _damaged(Codec.ZSTD)
        plain: bytes = context.decompress(packed, allow_extra_data=False)
    except module.ZstdError as fault:
        raise _damaged(Codec.ZSTD, fault) from fault
    if len(plain) != size:
        raise _damaged(Codec.ZSTD)
    return plain


def _decompress_zstd_stream(stream: Any, packed: bytes) -> bytes:
    """Return the content of a frame that does not tell its size."""
    parts: list[bytes] = []
    size = 0
    for start in range(0, len(packed), _ZSTD_PIECE):
        if stream.eof:
            raise _damaged(Codec.ZSTD)
        parts.append(stream.decompress(packed[start : start + _ZSTD_PIECE]))
        size += len(parts[-1])
        if size > SECTION_SIZE_MAX:
            break
    if not stream.eof or stream.unused_data:
        raise _damaged(Codec.ZSTD)
    return b"".join(parts)


_DECOMPRESS: Final[dict[Codec, Callable[[Any, bytes], bytes]]] = {
    Codec.SNAPPY: _decompress_snappy,
    Codec.LZ4: _decompress_lz4,
    Codec.ZSTD: _decompress_zstd,
}
