"""Log lines, as text for people or JSON for machines.

Owns: the two formatters and the one handler they hang on. Callers use `logging.getLogger`.

A line has `time` (UTC, milliseconds), `level`, `logger`, `message`, then what the call gave as
`extra`, and `error` with the traceback where there is one. `request_id` comes by `extra` and
stands first among the fields, so that a line can be found from the answer a client got.

Invariants:
1. One record is one line, whatever the message holds: line breaks and control characters are
   escaped, so a key cannot forge a line.
2. Values that JSON has no form for are written as their `str`; logging never fails the caller.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

__all__ = ["JsonFormatter", "LogFormat", "TextFormatter", "configure_logging"]

LogFormat = Literal["text", "json"]

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")

encode_json = msgspec.json.Encoder(enc_hook=str).encode


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    extra = {k: v for k, v in vars(record).items() if k not in STANDARD}
    if "request_id" in extra:
        return {"request_id": extra.pop("request_id"), **extra}
    return extra


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            text = encode_json(line).decode("utf-8")
        except (TypeError, ValueError, UnicodeError):
            text = encode_json({k: repr(v) for k, v in line.items()}).decode("ascii", "replace")
        # JSON lets these two stand bare, but line-wise readers break at them.
        return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _escape(text: str) -> str:
    return CONTROL.sub(lambda m: m.group().encode("unicode_escape").decode("ascii"), text)


def _value(value: Any) -> str:
    text = str(value)
    if PLAIN.fullmatch(text):
        return _escape(text)
    return '"' + _escape(text).replace('"', '\\"') + '"'


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message name=value ...`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{_time(record)} {record.levelname:<7} {record.name}: "
        fields = "".join(f" {name}={_value(value)}" for name, value in _fields(record).items())
        text = head + _escape(record.getMessage()) + fields
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure_logging(
    style: LogFormat = "text", level: str = "info", stream: TextIO | None = None
) -> None:
    """Send cenote's log lines to `stream` (standard error when None), and nobody else's.

    `level` is debug, info, warning or error. A second call replaces the first.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logger = logging.getLogger("cenote")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
