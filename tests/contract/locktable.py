"""A DynamoDB endpoint with one table of locks: PutItem with the two conditions that are used.

It checks each request's signature with botocore's signer, and can lose replies.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY = "AKIDLOCKS"
SECRET_KEY = "lock-secret"
REGION = "eu-central-1"


class LockTable:
    """The server. `lose` counts replies yet to be lost after their effect."""

    def __init__(self, table: str = "locks") -> None:
        self.table = table
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.lose = 0
        self.throttle = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = outer.answer(self, body)
                if status == 0:
                    self.close_connection = True
                    return
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LockTable:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, Any]]:
        if not is_signed(handler, body):
            return 400, {"__type": "com.amazon.coral.service#InvalidSignatureException"}
        if handler.headers["x-amz-target"] != "DynamoDB_20120810.PutItem":
            return 400, {"__type": "com.amazon.coral.service#UnknownOperationException"}
        request = json.loads(body)
        with self._lock:
            self.requests.append(request)
            if self.throttle:
                self.throttle -= 1
                return 400, {"__type": "com.amazonaws.dynamodb#ThrottlingException"}
            if request["TableName"] != self.table:
                return 400, {
                    "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
                    "message": "Requested resource not found",
                }
            answer = self.put(request)
            if self.lose:
                self.lose -= 1
                return 0, {}
            return answer

    def put(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        item = request["Item"]
        key = (item["path"]["S"], item["etag"]["S"])
        old = self.items.get(key)
        condition = request["ConditionExpression"]
        if condition == "attribute_not_exists(#pk)":
            holds = old is None
        else:
            assert condition == "attribute_exists(#pk) AND generation = :g", condition
            wanted = request["ExpressionAttributeValues"][":g"]
            holds = old is not None and old["generation"] == wanted
        assert request["ExpressionAttributeNames"] == {"#pk": "path"}
        if holds:
            self.items[key] = item
            return 200, {}
        assert request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
        kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
        return 400, {"__type": kind, "message": "The conditional request failed"} | (
            {"Item": old} if old is not None else {}
        )


def is_signed(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
    """Sign the request anew with botocore and compare."""
    theirs = handler.headers["authorization"]
    names = theirs.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest(
        "POST",
        f"http://{handler.headers['host']}/",
        data=body,
        headers={name: handler.headers[name] for name in names},
    )
    request.context["timestamp"] = handler.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "dynamodb", REGION)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    return theirs.endswith(f"Signature={signature}") and f"/{REGION}/dynamodb/" in theirs
