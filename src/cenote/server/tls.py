"""TLS by certificate and key files."""

from __future__ import annotations

import ssl

from cenote.errors import InvalidError

__all__ = ["server_context"]


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and up. Raises InvalidError when the files do not serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(
            f"cannot use certificate {certificate} with key {key}: {error}", kind="invalid_setting"
        ) from error
    return context
