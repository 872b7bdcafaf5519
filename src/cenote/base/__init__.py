"""Small parts every layer uses: clocks, randomness, digests, settings, logs, metrics."""

from cenote.base.clock import Clock, ManualClock, SystemClock
from cenote.base.rand import Rand, SeededRand, SystemRand

__all__ = ["Clock", "ManualClock", "Rand", "SeededRand", "SystemClock", "SystemRand"]
