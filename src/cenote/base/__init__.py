"""Small parts every layer uses: clocks, randomness, digests, settings, logs, metrics."""

from cenote.base.clock import Clock, ManualClock, SystemClock
from cenote.base.digest import (
    CHECKSUM_ALGORITHMS,
    CRC_ALGORITHMS,
    DIGEST_SIZES,
    Digests,
    crc64nvme,
    crc_combine,
    digest_base64,
    digest_from_base64,
    digest_of,
)
from cenote.base.rand import Rand, SeededRand, SystemRand

__all__ = [
    "CHECKSUM_ALGORITHMS",
    "CRC_ALGORITHMS",
    "DIGEST_SIZES",
    "Clock",
    "Digests",
    "ManualClock",
    "Rand",
    "SeededRand",
    "SystemClock",
    "SystemRand",
    "crc64nvme",
    "crc_combine",
    "digest_base64",
    "digest_from_base64",
    "digest_of",
]
