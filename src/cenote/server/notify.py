"""Telling systemd that the service is ready, or stopping (sd_notify(3))."""

from __future__ import annotations

import os
import socket

__all__ = ["notify"]


def notify(state: str) -> bool:
    """Send `state` (such as "READY=1") to the socket systemd named; False when it named none.

    A socket that cannot be reached is no reason to fail: the service runs all the same.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode("ascii"), address)
    except OSError:
        return False
    return True
