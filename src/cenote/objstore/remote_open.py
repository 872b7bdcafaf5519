"""Remote stores from a URI's parts: S3, Google, Azure.

Owns: the mapping of our parameters to obstore's, and the chain of credentials for S3.

For S3, keys come from the environment, else from the profile's files, else from where obstore
looks by itself: web identity, container, instance. The lock table takes the first two only.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from cenote.base import Clock, Rand, aws_profile
from cenote.errors import InvalidError, UnsupportedError
from cenote.objstore.api import ObjectStore
from cenote.objstore.aws_request import AwsKeys, JsonService
from cenote.objstore.dynamo_commit import DynamoCommitStore
from cenote.objstore.dynamo_table import DynamoTable
from cenote.objstore.remote import RemoteStore

__all__ = ["open_remote"]

TIMEOUT_SECONDS: Final = 30.0
LOCK_TIMEOUT_MS: Final = 20_000
DEFAULT_REGION: Final = "us-east-1"
_ONCE: Final[Any] = {"max_retries": 0, "retry_timeout": timedelta(seconds=180)}


def open_remote(
    scheme: str, bucket: str, parameters: dict[str, str], clock: Clock, rand: Rand
) -> ObjectStore:
    """Return the store of a bucket or container, without prefix and retries.

    Raises InvalidError for a value that cannot be, UnsupportedError.
    """
    try:
        if scheme == "s3":
            return _s3(bucket, parameters, clock, rand)
        if scheme == "gs":
            return _gs(bucket, parameters, clock)
        return _az(bucket, parameters, clock)
    except (BaseError, ValueError) as error:
        if isinstance(error, InvalidError):
            raise
        raise InvalidError(
            f"{scheme}://{bucket}: {str(error).partition(chr(10))[0]}", kind="invalid_uri"
        ) from error


def _s3(bucket: str, parameters: dict[str, str], clock: Clock, rand: Rand) -> ObjectStore:
    environ = os.environ
    profile_name = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    profile = aws_profile(environ, profile_name)
    keys = _keys(profile)
    region = (
        parameters.get("region")
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or DEFAULT_REGION
    )
    endpoint = (
        parameters.get("endpoint")
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or profile.get("endpoint_url")
    )
    way, table, lock_timeout_ms = _conditional_put(parameters)
    # A request must have ended before anybody takes its lock over.
    timeout = min(TIMEOUT_SECONDS, 2 * lock_timeout_ms / 1000)
    config: dict[str, Any] = {"region": region, "conditional_put": "etag", **_signing(keys)}
    if endpoint:
        config["endpoint"] = endpoint
    if "virtual_hosted" in parameters:
        config["virtual_hosted_style_request"] = _flag(parameters, "virtual_hosted")
    client = _client(parameters, timeout)
    store = RemoteStore(
        S3Store(bucket, client_options=client, retry_config=_ONCE, **config),
        f"s3://{bucket}",
        uploads=S3Store(bucket, client_options=client, **config),
        lists_sorted=not bucket.endswith("--x-s3"),  # directory buckets list in no order
        clock=clock,
    )
    if way == "etag":
        return store
    if keys is None:
        raise UnsupportedError(
            "the lock table needs keys from the environment or a profile's files",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    service = JsonService(
        _table_endpoint(parameters, endpoint, region),
        keys=keys,
        region=region,
        service="dynamodb",
        clock=clock,
        timeout_seconds=min(10.0, lock_timeout_ms / 1000),
    )
    locks = DynamoTable(service, table, timeout_ms=lock_timeout_ms, clock=clock)
    return DynamoCommitStore(store, locks, clock=clock, rand=rand)


def _signing(keys: AwsKeys | None) -> dict[str, Any]:
    """Return keys as the store's configuration has them; none: it looks for them itself."""
    if keys is None:
        return {}
    found = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key}
    return found if keys.token is None else {**found, "session_token": keys.token}


def _gs(bucket: str, parameters: dict[str, str], clock: Clock) -> ObjectStore:
    config: dict[str, Any] = {}
    if "endpoint" in parameters:
        config["base_url"] = parameters["endpoint"]
    client = _client(parameters, TIMEOUT_SECONDS)
    return RemoteStore(
        GCSStore(bucket, client_options=client, retry_config=_ONCE, **config),
        f"gs://{bucket}",
        uploads=GCSStore(bucket, client_options=client, **config),
        generations=True,
        deletes_in_bulk=False,
        clock=clock,
    )


def _az(container: str, parameters: dict[str, str], clock: Clock) -> ObjectStore:
    config: dict[str, Any] = {}
    if "account" in parameters:
        config["account_name"] = parameters["account"]
    if "endpoint" in parameters:
        config["endpoint"] = parameters["endpoint"]
    client = _client(parameters, TIMEOUT_SECONDS)
    return RemoteStore(
        AzureStore(container, client_options=client, retry_config=_ONCE, **config),
        f"az://{container}",
        uploads=AzureStore(container, client_options=client, **config),
        deletes_in_bulk=False,
        clock=clock,
    )


def _keys(profile: dict[str, str]) -> AwsKeys | None:
    for source, names in (
        (os.environ, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")),
        (profile, ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")),
    ):
        access, secret, token = (source.get(name) or None for name in names)
        if access and secret:
            return AwsKeys(access, secret, token)
        if access or secret:
            raise InvalidError("an access key and a secret key are needed, and only one is set")
    return None


def _client(parameters: dict[str, str], timeout: float) -> Any:
    options: dict[str, Any] = {"timeout": timedelta(seconds=timeout)}
    if "allow_http" in parameters:
        options["allow_http"] = _flag(parameters, "allow_http")
    elif os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true":
        options["allow_http"] = True
    return options


def _flag(parameters: dict[str, str], name: str) -> bool:
    value = parameters[name].lower()
    if value not in ("true", "false"):
        raise InvalidError(
            f"{name} must be true or false, not {parameters[name]!r}", kind="invalid_uri"
        )
    return value == "true"


def _conditional_put(parameters: dict[str, str]) -> tuple[str, str, int]:
    """Return the way, the table and its lock's timeout in milliseconds."""
    text = parameters.get("conditional_put") or os.environ.get("AWS_CONDITIONAL_PUT") or "etag"
    if text == "etag":
        if "dynamo_endpoint" in parameters:
            raise InvalidError(
                "dynamo_endpoint goes with conditional_put=dynamo:TABLE", kind="invalid_uri"
            )
        return text, "", LOCK_TIMEOUT_MS
    way, _, rest = text.partition(":")
    table, _, timeout = rest.partition(":")
    if way != "dynamo" or not table or (timeout and not timeout.isdecimal()):
        raise InvalidError(
            "conditional_put must be etag, dynamo:TABLE or dynamo:TABLE:MILLISECONDS,"
            f" not {text!r}",
            kind="invalid_uri",
        )
    milliseconds = int(timeout) if timeout else LOCK_TIMEOUT_MS
    if milliseconds < 100:
        raise InvalidError("a lock must last 100 ms at least", kind="invalid_uri")
    return way, table, milliseconds


def _table_endpoint(parameters: dict[str, str], endpoint: str | None, region: str) -> str:
    return (
        parameters.get("dynamo_endpoint")
        or os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
        or endpoint  # object_store's way: one endpoint for both
        or f"https://dynamodb.{region}.amazonaws.com"
    )
