"""The compiled kernels: of each plain one the twin, under the same name and types."""

from typing import Final

from cenote.lsm.format.blocks_plain import BlockWriter as BlockWriter
from cenote.lsm.format.blocks_plain import encode_log as encode_log
from cenote.lsm.format.flat_plain import decode_index as decode_index
from cenote.lsm.format.flat_plain import encode_index as encode_index
from cenote.lsm.format.flat_plain import encode_stats as encode_stats
from cenote.lsm.format.kernels_plain import bloom_build as bloom_build
from cenote.lsm.format.kernels_plain import bloom_contains as bloom_contains
from cenote.lsm.format.kernels_plain import decode_block as decode_block
from cenote.lsm.format.kernels_plain import decode_block_v1 as decode_block_v1
from cenote.lsm.format.kernels_plain import decode_rows as decode_rows
from cenote.lsm.format.kernels_plain import encode_blocks as encode_blocks
from cenote.lsm.format.kernels_plain import encode_row as encode_row
from cenote.lsm.format.kernels_plain import find_in_block as find_in_block
from cenote.lsm.format.kernels_plain import shared_prefix as shared_prefix
from cenote.lsm.format.kernels_plain import siphash13 as siphash13
from cenote.lsm.format.kernels_plain import varint as varint
from cenote.lsm.format.merger_plain import DONE as DONE
from cenote.lsm.format.merger_plain import PIECE_READY as PIECE_READY
from cenote.lsm.format.merger_plain import TABLE_FULL as TABLE_FULL
from cenote.lsm.format.merger_plain import Merger as Merger
from cenote.lsm.format.scanner_plain import MORE as MORE
from cenote.lsm.format.scanner_plain import Scanner as Scanner

VERSION: Final[int]

def crc32(data: bytes) -> int:
    """Return the CRC-32 of bytes, as `zlib.crc32` does."""
