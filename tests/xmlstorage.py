"""A stand-in for Google Cloud Storage's XML API, since no emulator of it can be had.

By cloud.google.com/storage/docs/xml-api: objects with generations, `x-goog-if-generation-match`
(0: there is none), ranges, copies, listings of version 2, uploads in parts. One bucket, in memory.
"""

from __future__ import annotations

import email.utils
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"


class Held(NamedTuple):
    data: bytes
    generation: int
    metadata: dict[str, str]
    modified: float


class XmlStorage:
    """The server."""

    def __init__(self) -> None:
        self.objects: dict[str, Held] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self._generation = 1_700_000_000_000_000
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                status, headers, data = outer.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "content-length" not in headers:
                    self.send_header("content-length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def account(self) -> str:
        """A service account that asks nobody for a token."""
        told = {"gcs_base_url": self.endpoint, "disable_oauth": True}
        return json.dumps(told | {"client_email": "", "private_key": "", "private_key_id": ""})

    def __enter__(self) -> XmlStorage:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    Answer = tuple[int, dict[str, str], bytes]

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        parts = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = parts.path.lstrip("/").partition("/")
        assert bucket == BUCKET
        key = unquote(key)
        with self._lock:
            if not key:
                assert (method, query.get("list-type")) == ("GET", "2")
                return self.listing(query)
            if method == "POST" or "uploadId" in query:
                return self.upload(method, key, query, body)
            if method == "PUT":
                return self.put(key, headers, body)
            held = self.objects.get(key)
            if held is None:
                return error(404, "NoSuchKey")
            if method == "DELETE":
                del self.objects[key]
                return 204, {}, b""
            return self.get(method, held, headers.get("range"))

    def put(self, key: str, headers: Any, body: bytes) -> Answer:
        held = self.objects.get(key)
        wanted = headers.get("x-goog-if-generation-match")
        if wanted is not None and int(wanted) != (0 if held is None else held.generation):
            return error(412, "PreconditionFailed")
        metadata = {k: v for k, v in headers.items() if k.lower().startswith("x-goog-meta-")}
        source = headers.get("x-goog-copy-source")
        if source is None:
            return 200, self.hold(key, body, metadata), b""
        found = self.objects.get(unquote(source.partition("/")[2]))
        if found is None:
            return error(404, "NoSuchKey")
        return 200, self.hold(key, found.data, found.metadata), b"<CopyObjectResult/>"

    def hold(self, key: str, data: bytes, metadata: dict[str, str]) -> dict[str, str]:
        self._generation += 1
        held = self.objects[key] = Held(data, self._generation, metadata, time.time())
        return told(held)

    def get(self, method: str, held: Held, span: str | None) -> Answer:
        headers = told(held) | held.metadata
        if method == "HEAD":
            return 200, headers | {"content-length": str(len(held.data))}, b""
        if span is None:
            return 200, headers, held.data
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", span)
        assert found is not None
        size = len(held.data)
        start = int(found[1]) if found[1] else max(0, size - int(found[2]))
        end = min(size, int(found[2]) + 1) if found[1] and found[2] else size
        if start >= size:
            return error(416, "InvalidRange")
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        return 206, headers, held.data[start:end]

    def listing(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        limit = int(query.get("max-keys", "1000"))
        entries: list[str] = []
        folders: list[str] = []
        last = ""
        for key in sorted(key for key in self.objects if key.startswith(prefix) and key > after):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                folder = key[: cut + len(delimiter)]
                if folder in folders or folder == after:
                    continue
            if len(entries) + len(folders) == limit:
                break
            last = key
            if cut >= 0:
                folders.append(folder)
                continue
            held = self.objects[key]
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(held.modified))
            entries.append(
                f"<Contents><Key>{escape(key)}</Key><Generation>{held.generation}</Generation>"
                f"<LastModified>{stamp}</LastModified><ETag>&quot;x&quot;</ETag>"
                f"<Size>{len(held.data)}</Size></Contents>"
            )
        else:
            last = ""
        more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if last else ""
        common = [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        data = (
            f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<IsTruncated>{'true' if last else 'false'}</IsTruncated>{more}"
            f"{''.join(entries)}{''.join(common)}</ListBucketResult>"
        )
        return 200, {"content-type": "application/xml"}, data.encode()

    def upload(self, method: str, key: str, query: dict[str, str], body: bytes) -> Answer:
        if "uploads" in query:
            name = f"upload-{len(self.uploads) + 1}"
            self.uploads[name] = {}
            found = f"<UploadId>{name}</UploadId>"
            made = f"<InitiateMultipartUploadResult>{found}</InitiateMultipartUploadResult>"
            return 200, {}, made.encode()
        pieces = self.uploads.get(query["uploadId"])
        if pieces is None:
            return error(404, "NoSuchUpload")
        if method == "PUT":
            pieces[int(query["partNumber"])] = body
            return 200, {"etag": f'"{query["partNumber"]}"'}, b""
        del self.uploads[query["uploadId"]]
        if method == "DELETE":
            return 204, {}, b""
        headers = self.hold(key, b"".join(pieces[number] for number in sorted(pieces)), {})
        done = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        return 200, headers, done.encode()


def told(held: Held) -> dict[str, str]:
    return {
        "etag": '"x"',
        "x-goog-generation": str(held.generation),
        "last-modified": email.utils.formatdate(held.modified, usegmt=True),
    }


def error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {}, f"<Error><Code>{code}</Code></Error>".encode()
