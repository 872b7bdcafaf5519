"""The demo prints its transcript from a real run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "tuple[int, str, str]"]

TRANSCRIPT = """\
created bucket: aarit-photos (us-east-1)
put 4 objects.
list prefix 'trips/':
trips/2019/legos.jpg (900000 bytes, image/jpeg, STANDARD_IA)
trips/2024/iceland.jpg (2400000 bytes, image/jpeg, STANDARD)
trips/2024/iceland.txt (35 bytes, text/plain, STANDARD)
get trips/2024/iceland.txt -> 35 bytes, type text/plain
delete trips/2019/legos.jpg
get deleted key -> Err(NoSuchKey)
get from missing bucket -> Err(NoSuchBucket)
"""


def test_the_transcript(run: Run) -> None:
    assert run("demo")[1] == TRANSCRIPT


def test_what_it_keeps_is_what_it_said(run: Run, tmp_path: Path) -> None:
    run("demo", "--keep", tmp_path / "kept")
    uri = f"file:{tmp_path}/kept/aarit-photos.sqlite3?mode=ro"
    connection = sqlite3.connect(uri, uri=True)
    rows = connection.execute("SELECT key, size FROM data ORDER BY key").fetchall()
    connection.close()
    assert rows == [
        ("archive/2012/baby.mp4", 84_000_000),
        ("trips/2024/iceland.jpg", 2_400_000),
        ("trips/2024/iceland.txt", 35),
    ]
    assert "1 buckets, nothing found" in run("check", tmp_path / "kept", "--deep")[1]
