"""Log lines: one record is one line, fields are kept, JSON is JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from cenote.base.log import LogFormat, configure_logging


@pytest.fixture(autouse=True)
def cleanup() -> Iterator[None]:
    logger = logging.getLogger("cenote")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def lines(style: LogFormat, level: str = "info") -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    configure_logging(style, level, stream)
    return logging.getLogger("cenote.server"), stream


def test_json_lines_hold_the_fields() -> None:
    log, stream = lines("json")
    log.info("put %s", "k", extra={"status": 200, "request_id": "R1", "path": io})
    line = json.loads(stream.getvalue())
    assert list(line) == ["time", "level", "logger", "message", "request_id", "status", "path"]
    assert line["message"] == "put k"
    assert line["time"].endswith("Z")
    assert (line["level"], line["logger"]) == ("info", "cenote.server")


def test_a_traceback_stays_in_its_line() -> None:
    log, stream = lines("json")
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: boom" in json.loads(stream.getvalue())["error"]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("evil", ["a\nb", "a\r\nERROR x", "\x1b[2J", "\u2028", "\ud800"])
def test_a_key_cannot_forge_a_line(style: LogFormat, evil: str) -> None:
    log, stream = lines(style)
    log.info("key " + evil, extra={"key": evil})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_text_reads_as_text() -> None:
    log, stream = lines("text")
    log.warning("slow", extra={"key": "a b", "ms": 3})
    assert stream.getvalue().endswith('WARNING cenote.server: slow key="a b" ms=3\n')


def test_levels_are_kept_and_a_second_call_replaces() -> None:
    _, first = lines("text")
    log, second = lines("text", "error")
    log.warning("no")
    log.error("yes")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
