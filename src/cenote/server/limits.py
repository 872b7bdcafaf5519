"""What one client may ask of the server's memory and patience.

Owns: the numbers. `http.py` and `listener.py` keep to them.
Units: bytes and seconds; counts are plain.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Limits"]


class Limits(Struct, frozen=True):
    """Bounds on connections, heads and bodies.

    `body_rate_min` is bytes a second, averaged over `body_window` seconds: below it the client is
    too slow and is let go. `drain_max` is how much of a refused body is read to keep a connection,
    `linger_max` how much is thrown away so that a client still sending can read why it was refused.
    """

    connections_max: int = 1024
    head_size_max: int = 32 << 10
    target_size_max: int = 16 << 10
    header_size_max: int = 8 << 10
    header_count_max: int = 256
    pipelined_max: int = 256
    xml_size_max: int = 4 << 20  # a completion of 10,000 parts with SHA256 takes 2.3 MiB
    head_timeout: int = 20
    idle_timeout: int = 75
    body_window: int = 20
    body_rate_min: int = 128
    send_timeout: int = 120
    drain_max: int = 64 << 10
    linger_max: int = 16 << 20
    linger_timeout: int = 5
    stop_timeout: int = 20
