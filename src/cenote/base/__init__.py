"""Small parts every layer uses: clocks, randomness, digests, settings, logs, metrics."""

from cenote.base.awsprofile import aws_profile
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
from cenote.base.log import JsonFormatter, LogFormat, TextFormatter, configure_logging
from cenote.base.metrics import (
    Counter,
    Figure,
    Gauge,
    Histogram,
    Registry,
    exposition_of,
    sum_figures,
)
from cenote.base.rand import Rand, SeededRand, SystemRand
from cenote.base.settings import (
    Layer,
    Resolved,
    Setting,
    is_secret,
    read_environment,
    read_toml,
    resolve_settings,
    settings_of,
    variable_of,
)

__all__ = [
    "CHECKSUM_ALGORITHMS",
    "CRC_ALGORITHMS",
    "DIGEST_SIZES",
    "Clock",
    "Counter",
    "Digests",
    "Figure",
    "Gauge",
    "Histogram",
    "JsonFormatter",
    "Layer",
    "LogFormat",
    "ManualClock",
    "Rand",
    "Registry",
    "Resolved",
    "SeededRand",
    "Setting",
    "SystemClock",
    "SystemRand",
    "TextFormatter",
    "aws_profile",
    "configure_logging",
    "crc64nvme",
    "crc_combine",
    "digest_base64",
    "digest_from_base64",
    "digest_of",
    "exposition_of",
    "is_secret",
    "read_environment",
    "read_toml",
    "resolve_settings",
    "settings_of",
    "sum_figures",
    "variable_of",
]
