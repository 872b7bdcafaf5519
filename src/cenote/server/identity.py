"""STS's GetCallerIdentity: who signed a request.

Owns: which requests are for STS, the one operation there is, its answers.
Does not own: signatures (`cenote.s3`), temporary credentials, of which there are none.

A request is for STS when it is a POST of a form to `/`; S3 has none. Who signed it must have signed
it for `sts`.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html

Invariants:
1. An action that is not here is refused by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from cenote.base import Clock
from cenote.s3 import RequestHead, S3Error, authenticate_whole
from cenote.server.body import Gather
from cenote.server.call import PENDING, Call
from cenote.server.response import header_lines
from cenote.server.settings import Settings

__all__ = ["IdentityGate", "is_form"]

_BODY_MAX: Final = 64 << 10
_FORM: Final = "application/x-www-form-urlencoded"
_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
_VERSION: Final = "2011-06-15"
_REFUSALS: Final[dict[str, tuple[str, str]]] = {
    "InvalidAccessKeyId": (
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    ),
    "InvalidToken": (
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    ),
}


def is_form(head: RequestHead) -> bool:
    """Tell whether a POST is one of a form to the root."""
    return head.path == b"/" and head.headers.get("content-type", "").startswith(_FORM)


class IdentityGate:
    """STS as a service, in one process. Runs on the loop."""

    def __init__(self, settings: Settings, keys: Callable[[str], str | None], clock: Clock) -> None:
        self._account = settings.account_id
        self._keys = keys
        self._clock = clock

    def begin(self, call: Call) -> object:
        """Take a request whose head has come in."""
        call.name = "GetCallerIdentity"

        def refuse() -> None:
            self._refuse(call, 413, "RequestEntityTooLarge", "The request is too large")

        exchange = call.exchange
        if exchange.length is not None and exchange.length > _BODY_MAX:
            refuse()
        else:
            exchange.accept(
                Gather(_BODY_MAX, lambda data: call.go_on(self._with_body, call, data), refuse)
            )
        return PENDING

    def _with_body(self, call: Call, body: bytes) -> object:
        try:
            call.access_key = authenticate_whole(
                call.exchange.head,
                hashlib.sha256(body).hexdigest(),
                keys=self._keys,
                now_ms=self._clock.now_ms(),
                service="sts",
            )
        except S3Error as error:
            code, message = _REFUSALS.get(error.code, (error.code, str(error)))
            return self._refuse(call, 403, code, message)
        if call.access_key is None:
            return self._refuse(
                call, 403, "MissingAuthenticationToken", "Request is missing Authentication Token"
            )
        try:
            form = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
        except ValueError:
            return self._refuse(call, 400, "MalformedInput", "The form cannot be read")
        action = form.get("Action", [""])[0]
        if action != "GetCallerIdentity":
            call.name = "UnknownIdentityOperation"
            return self._refuse(
                call,
                400,
                "InvalidAction",
                f"Could not find operation {action[:100]} for version {_VERSION}",
            )
        return self._reply(
            call,
            200,
            f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{escape(self._account)}:root</Arn>"
            f"<UserId>{escape(self._account)}</UserId>"
            f"<Account>{escape(self._account)}</Account></GetCallerIdentityResult>"
            f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"
            "</GetCallerIdentityResponse>",
        )

    def _refuse(self, call: Call, status: int, code: str, message: str) -> object:
        call.code = code
        return self._reply(
            call,
            status,
            f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type>'
            f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{call.request_id}</RequestId></ErrorResponse>",
        )

    def _reply(self, call: Call, status: int, text: str) -> object:
        body = text.encode("utf-8", "replace")
        lines = header_lines(
            [
                ("content-type", "text/xml"),
                ("content-length", str(len(body))),
                ("x-amzn-requestid", call.request_id),
            ]
        )
        call.exchange.reply(status, lines, body)
        return PENDING
