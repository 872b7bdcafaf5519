"""Look over a store that came back: everything acknowledged is there, nothing is torn.

What is found is settled in the ledger, so that the next crash is judged from there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_plus

from ledger import Ledger, Upload, Value, etag
from workload import BUCKET, SHARED, tag

from cenote.base import SystemClock
from cenote.testing import Endpoint, Get, History, WireClient, check


def check_directory(data: Path) -> None:
    """Let `cenote check` read every byte; the server may be running."""
    run = subprocess.run(
        [sys.executable, "-m", "cenote", "check", "--deep", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def survey(endpoint: Endpoint, ledger: Ledger) -> None:
    """Compare every key, the listing and the uploads with the ledger."""
    with WireClient(endpoint, timeout=60.0) as client:
        wrong = [
            found
            for key in ledger.keys()  # noqa: SIM118 - a method
            if (found := ledger.judge(key, client.request("GET", f"{BUCKET}/{key}")))
        ]
        wrong += [
            found
            for name in sorted(ledger.sides)
            if (
                found := ledger.judge_side(
                    name, client.request("HEAD", f"/{name}"), client.request("GET", f"/{name}/k")
                )
            )
        ]
        assert not wrong, "\n".join(wrong)
        assert listed(client) == ledger.present()
        for upload_id, upload in list(ledger.uploads.items()):
            finish_upload(client, ledger, upload_id, upload)
        end_unknown_uploads(client)


def listed(client: WireClient) -> list[str]:
    """Return all keys but the shared ones, page by page."""
    keys: list[str] = []
    token = ""
    while True:
        query = f"list-type=2&encoding-type=url&max-keys=50{token}"
        reply = client.request("GET", f"{BUCKET}?{query}")
        assert reply.status == 200, reply.body
        keys += map(unquote_plus, re.findall(r"<Key>(.+?)</Key>", reply.body.decode()))
        if b"<IsTruncated>true" not in reply.body:
            return [key for key in keys if key not in SHARED]
        token = "&continuation-token=" + tag(reply, "NextContinuationToken")


def finish_upload(client: WireClient, ledger: Ledger, upload_id: str, upload: Upload) -> None:
    """Demand the acknowledged parts, then complete the upload with them or end it."""
    target = f"{BUCKET}/{upload.key}?uploadId={upload_id}"
    reply = client.request("GET", target)
    del ledger.uploads[upload_id]
    if reply.status == 404:
        assert upload.ending, f"upload {upload_id} of {upload.key} is lost"
        return
    text = reply.body.decode().replace("&quot;", '"').replace("&#34;", '"')
    found = dict(re.findall(r"<PartNumber>(\d+)</PartNumber>.*?<ETag>(.+?)</ETag>", text, re.S))
    parts = {number: Value((piece,), "").body() for number, piece in upload.parts.items()}
    named = ""
    for number, data in sorted(parts.items()):
        assert found.pop(str(number), None) == etag(data), f"part {number} of {upload.key}"
        named += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag(data)}</ETag></Part>"
    assert {int(number) for number in found} <= set(upload.doubts), found
    if not parts:
        assert client.request("DELETE", target).status == 204
        return
    body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()
    assert client.request("POST", target, (), body).status == 200
    reply = client.request("GET", f"{BUCKET}/{upload.key}")
    assert reply.body == b"".join(data for _, data in sorted(parts.items()))
    label = reply.headers["x-amz-meta-label"]
    pieces = tuple(piece for _, piece in sorted(upload.parts.items()))
    ledger.settled[upload.key] = Value(pieces, label, True)


def end_unknown_uploads(client: WireClient) -> None:
    """End uploads whose beginning was never answered."""
    reply = client.request("GET", f"{BUCKET}?uploads")
    assert reply.status == 200
    for block in re.findall(r"<Upload>(.*?)</Upload>", reply.body.decode(), re.S):
        key, upload_id = (re.findall(f"<{n}>(.+?)</{n}>", block)[0] for n in ("Key", "UploadId"))
        ended = client.request("DELETE", f"{BUCKET}/{key}?uploadId={upload_id}")
        assert ended.status == 204, ended.body


class SharedKeys:
    """The histories of the keys that all clients write, judged from crash to crash."""

    def __init__(self) -> None:
        self.history = History(SystemClock())
        self._start: dict[str, str | None] = dict.fromkeys(SHARED)

    def judge(self, endpoint: Endpoint) -> None:
        """Read each key once more and judge its history since the last judgement."""
        with WireClient(endpoint) as client:
            for key in SHARED:
                with self.history.call(key, Get()) as call:
                    reply = client.request("GET", f"{BUCKET}/{key}")
                    found = reply.body.decode() if reply.status == 200 else None
                    call.read(found)
                events = self.history.events(key)
                verdict = check(events, self._start[key])
                assert verdict.legal is True, (
                    f"{key}: {len(verdict.order)} of {len(events)} fit: {verdict.order[-3:]}"
                )
                self._start[key] = found
        self.history = History(SystemClock())
