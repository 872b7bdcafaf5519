"""Readers of a writer that is killed again and again, while a collector has no patience."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cenote.errors import Error, UnavailableError
from cenote.lsm import DbReader, open_place, verify

WRITER = Path(__file__).resolve().parent / "live_writer.py"


class Watching:
    """A reader in a thread; what it must never see is kept in `wrong`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.seen = 0
        self.scans = 0
        self.wrong: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        settings = {"poll_min_ms": 5, "poll_max_ms": 50}
        with DbReader.open(self.uri, settings=settings) as reader:
            while not self.stop.is_set() and not self.wrong:
                try:
                    rows = dict(reader.scan())
                except UnavailableError as error:
                    if error.kind != "moment_gone":
                        self.wrong.append(repr(error))
                    continue
                except Error as error:
                    self.wrong.append(repr(error))
                    return
                numbers = {value for key, value in rows.items() if key.startswith(b"batch:")}
                if len(numbers) > 1:
                    self.wrong.append(f"a torn batch: {numbers}")
                number = int(max(numbers, default=b"0"))
                if number < self.seen:
                    self.wrong.append(f"{number} after {self.seen}")
                self.seen = number
                self.scans += 1

    def end(self) -> None:
        self.stop.set()
        self.thread.join(30)


@pytest.mark.slow
def test_readers_outlive_their_writers(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/db"
    watching: list[Watching] = []
    acknowledged = 0
    for turn in range(10):
        with subprocess.Popen(
            [sys.executable, str(WRITER), uri], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(10 + turn * 3):
                acknowledged = int(writer.stdout.readline())
                if len(watching) < 2:
                    watching.append(Watching(uri))
            writer.kill()
            rest = writer.stdout.read().split("\n")[:-1]
            acknowledged = max([acknowledged, *map(int, rest)])
        with DbReader.open(uri, background=False) as reader:
            found = reader.get(b"batch:11")
            assert found is not None
            assert int(found) >= acknowledged
    for each in watching:
        each.end()
        assert each.wrong == []
        assert each.scans > 0
    report = verify(open_place(uri, read_only=True))
    assert report.problems == ()
