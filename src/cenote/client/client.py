"""A small S3 client, for the command line and for tests.

Owns: the operations a tool needs, over `transport`. Sync; thread-safe; flat memory.
Does not own: uploads of large things (`upload`), the protocol's rules (`cenote.s3`).

Why not boto3: it is thirty times the size of the rest, and takes longer to import than most
commands take to run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO
from urllib.parse import quote

from cenote.base import Clock, Rand, SystemClock, SystemRand, digest_base64
from cenote.client.credentials import Access
from cenote.client.endpoint import encode_query, parse_endpoint
from cenote.client.faults import error_from
from cenote.client.pool import Pool
from cenote.client.replies import (
    Bucket,
    ObjectsPage,
    Upload,
    fits_xml,
    read_bucket_page,
    read_deleted,
    read_error,
    read_objects_page,
    read_tag,
    read_uploads,
    write_complete,
    write_delete,
)
from cenote.client.reply import Reply
from cenote.client.transport import Transport, body_of
from cenote.errors import InvalidError
from cenote.s3 import presign

__all__ = ["Client", "ObjectHead"]

DELETE_KEYS_MAX = 1000
CHECKSUM_HEADER = "x-amz-checksum-crc32"


class ObjectHead(dict[str, str]):
    """The headers of a HEAD or GET, by lower-case name."""

    @property
    def size(self) -> int:
        """The size of the body in bytes."""
        return int(self["content-length"])

    @property
    def etag(self) -> str:
        """The ETag without its quotes."""
        return self.get("etag", "").strip('"')


class Client:
    """Speaks S3 to one endpoint, path style.

    Requires: `access.endpoint`. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        access: Access,
        *,
        clock: Clock | None = None,
        rand: Rand | None = None,
        timeout: float = 60.0,
        ca_file: str | None = None,
    ) -> None:
        if not access.endpoint:
            raise InvalidError("no endpoint is named", hint="--endpoint or AWS_ENDPOINT_URL")
        endpoint = parse_endpoint(access.endpoint)
        clock = clock or SystemClock()
        keys = None
        if access.access_key and access.secret_key:
            keys = (access.access_key, access.secret_key)
        pool = Pool(endpoint, clock=clock, timeout=timeout, ca_file=ca_file)
        self._transport = Transport(
            endpoint, keys, access.region, clock=clock, rand=rand or SystemRand(), pool=pool
        )

    def list_buckets(self) -> Iterator[Bucket]:
        """Yield every bucket, by name."""
        params = {"max-buckets": "1000"}
        while True:
            with self._transport.request("GET", params=params) as reply:
                buckets, token = read_bucket_page(reply.read())
            yield from buckets
            if token is None:
                return
            params["continuation-token"] = token

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket. Raises: AlreadyExistsError where the server says so."""
        self._transport.request("PUT", bucket, safe=False).close()

    def head_bucket(self, bucket: str) -> None:
        """Check that the bucket is there. Raises: NotFoundError, DeniedError."""
        self._transport.request("HEAD", bucket).close()

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket. Raises: ConflictError(kind="BucketNotEmpty"), NotFoundError."""
        self._transport.request("DELETE", bucket, safe=False).close()

    def list_page(
        self, bucket: str, prefix: str = "", delimiter: str = "", token: str | None = None
    ) -> ObjectsPage:
        """Return one page of up to 1000 keys and common prefixes."""
        params = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        if delimiter:
            params["delimiter"] = delimiter
        if token is not None:
            params["continuation-token"] = token
        with self._transport.request("GET", bucket, params=params) as reply:
            return read_objects_page(reply.read())

    def list_pages(
        self, bucket: str, prefix: str = "", delimiter: str = ""
    ) -> Iterator[ObjectsPage]:
        """Yield the pages of a listing, one request each."""
        token = None
        while True:
            page = self.list_page(bucket, prefix, delimiter, token)
            yield page
            token = page.next_token
            if token is None:
                return

    def put_object(
        self,
        bucket: str,
        key: str,
        body: bytes | BinaryIO,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Store bytes, or a seekable file from where it stands, and return the ETag.

        `headers` are sent as they are (content-type, if-none-match, x-amz-meta-...). The CRC32 of
        the body goes with it, and the server verifies it.
        """
        crc = 0

        def see(data: bytes) -> None:
            nonlocal crc
            crc = zlib.crc32(data, crc)

        sent = body_of(body, see)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        given.setdefault(CHECKSUM_HEADER, digest_base64(crc.to_bytes(4)))
        safe = not {"if-match", "if-none-match"} & given.keys()
        with self._transport.request("PUT", bucket, key, None, given, sent, safe=safe) as reply:
            reply.read()
            return reply.headers.get("etag", "").strip('"')

    def get_object(self, bucket: str, key: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Open an object for reading: use the reply in a `with`, and its `chunks()`."""
        return self._transport.request("GET", bucket, key, headers=headers)

    def head_object(self, bucket: str, key: str) -> ObjectHead:
        """Return the object's headers. Raises: NotFoundError."""
        with self._transport.request("HEAD", bucket, key) as reply:
            return ObjectHead(reply.headers)

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete a key; harmless when it is absent."""
        self._transport.request("DELETE", bucket, key).close()

    def delete_objects(self, bucket: str, keys: Sequence[str]) -> list[tuple[str, str, str]]:
        """Delete up to 1000 keys and return (key, code, message) of those that stayed.

        Keys that XML cannot carry are deleted one by one.
        """
        if len(keys) > DELETE_KEYS_MAX:
            raise InvalidError(f"at most {DELETE_KEYS_MAX} keys at once")
        fit = []
        for key in keys:
            if fits_xml(key):
                fit.append(key)
            else:
                self.delete_object(bucket, key)
        if not fit:
            return []
        crc = 0

        def see(data: bytes) -> None:
            nonlocal crc
            crc = zlib.crc32(data, crc)

        body = body_of(write_delete(fit), see)
        headers = {CHECKSUM_HEADER: digest_base64(crc.to_bytes(4))}
        with self._transport.request(
            "POST", bucket, params={"delete": ""}, headers=headers, body=body
        ) as reply:
            return read_deleted(reply.read())

    def copy_object(self, source: tuple[str, str], bucket: str, key: str) -> None:
        """Copy (bucket, key) to `bucket` and `key` inside the server. At most 5 GiB on AWS."""
        headers = {"x-amz-copy-source": quote("/".join(source).encode("utf-8"), safe="/-._~")}
        with self._transport.request("PUT", bucket, key, headers=headers) as reply:
            self._raise_late(reply.read(), bucket, key)

    def create_upload(self, bucket: str, key: str, headers: Mapping[str, str] | None = None) -> str:
        """Begin a multipart upload and return its id. Its parts carry CRC32 checksums."""
        given = {**(headers or {}), "x-amz-checksum-algorithm": "CRC32"}
        with self._transport.request(
            "POST", bucket, key, {"uploads": ""}, given, safe=False
        ) as reply:
            return read_tag(reply.read(), "InitiateMultipartUploadResult", "UploadId")

    def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, data: bytes
    ) -> tuple[int, str, str]:
        """Send part `number` (1 to 10000) and return (number, ETag, CRC32 in base64)."""
        crc = digest_base64(zlib.crc32(data).to_bytes(4))
        params = {"partNumber": str(number), "uploadId": upload_id}
        with self._transport.request(
            "PUT", bucket, key, params, {CHECKSUM_HEADER: crc}, body_of(data)
        ) as reply:
            reply.read()
            return number, reply.headers.get("etag", "").strip('"'), crc

    def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: Sequence[tuple[int, str, str]]
    ) -> None:
        """Make the object of `parts`, in ascending order."""
        body = body_of(write_complete(parts))
        with self._transport.request(
            "POST", bucket, key, {"uploadId": upload_id}, body=body, safe=False
        ) as reply:
            self._raise_late(reply.read(), bucket, key)

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give up a multipart upload."""
        self._transport.request("DELETE", bucket, key, {"uploadId": upload_id}).close()

    def list_uploads(self, bucket: str) -> Iterator[Upload]:
        """Yield the multipart uploads under way."""
        params = {"uploads": "", "encoding-type": "url"}
        while True:
            with self._transport.request("GET", bucket, params=params) as reply:
                uploads, marker = read_uploads(reply.read())
            yield from uploads
            if marker is None:
                return
            params["key-marker"], params["upload-id-marker"] = marker

    def presign(
        self, method: str, bucket: str, key: str, expires: int, params: Mapping[str, str] = {}
    ) -> str:
        """Return a URL good for `expires` seconds (1 to 604800). No request is sent."""
        transport = self._transport
        if transport.keys is None:
            raise InvalidError("presigning needs an access key and a secret key")
        path = transport.endpoint.target(bucket, key)
        return presign(
            method,
            transport.url(path, encode_query(dict(params))),
            expires_s=expires,
            access_key=transport.keys[0],
            secret_key=transport.keys[1],
            region=transport.region,
            now_ms=transport.clock.now_ms(),
        )

    @staticmethod
    def _raise_late(body: bytes, bucket: str, key: str) -> None:
        # Copy and complete may send 200 first and fail after.
        if read_error(body)[0]:
            raise error_from(500, {}, body, bucket=bucket, key=key)

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
