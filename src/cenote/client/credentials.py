"""Keys and endpoint from where AWS's own tools look for them.

Owns: the order of places: arguments, the environment, the profile's files. Reads, never writes.
Does not own: how the files are read (`cenote.base.aws_profile`).

The variables are those of the AWS SDKs and Tools Reference Guide: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 and
AWS_ENDPOINT_URL, AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from cenote.base import aws_profile
from cenote.errors import InvalidError, UnsupportedError

__all__ = ["Access", "find_access"]

DEFAULT_REGION = "us-east-1"


class Access(Struct, frozen=True):
    """How to reach a server. Both keys None: unsigned requests. `endpoint` None: none was named."""

    endpoint: str | None
    access_key: str | None
    secret_key: str | None
    region: str = DEFAULT_REGION


def find_access(
    environ: Mapping[str, str], *, endpoint: str | None = None, profile: str | None = None
) -> Access:
    """Collect endpoint, keys and region.

    A profile named by argument outranks keys in the environment, as in AWS's own tools.
    Raises: InvalidError for a profile that does not exist or half a key pair; UnsupportedError
    for temporary credentials.
    """
    name = profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    section = aws_profile(environ, name)
    direct = {} if profile else environ
    access = direct.get("AWS_ACCESS_KEY_ID") or section.get("aws_access_key_id")
    secret = direct.get("AWS_SECRET_ACCESS_KEY") or section.get("aws_secret_access_key")
    if bool(access) != bool(secret):
        raise InvalidError("an access key and a secret key are needed, and only one is set")
    if direct.get("AWS_SESSION_TOKEN") or section.get("aws_session_token"):
        raise UnsupportedError("temporary credentials (a session token) are not supported")
    return Access(
        endpoint
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or section.get("endpoint_url"),
        access or None,
        secret or None,
        environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or section.get("region")
        or DEFAULT_REGION,
    )
