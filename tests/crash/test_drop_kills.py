"""A bucket whose removal is cut short is gone, or there again, empty and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cenote import Store
from cenote.base import failpoint
from cenote.buckets import CreateUpload, PutPart
from cenote.errors import AlreadyExistsError, NotFoundError

PLACES = [place for place in failpoint.registered() if place.startswith("drop.")]


def work(root: Path) -> None:
    """Remove a bucket that held objects, with an upload under way and a reader in the past."""
    store = Store(root, background=False, inline_max=1 << 20)
    store.create_bucket("leaving", inline_max=1 << 20)
    for number in range(20):
        store.put_object("leaving", f"inline-{number}", bytes([number]) * 500_000)
    store.maintain()  # now all of them are in the file, and what follows is in the log only
    reader = store.get_object("leaving", "inline-0")
    next(iter(reader))  # holds a snapshot: the log cannot be copied back behind it
    store.delete_objects("leaving", [f"inline-{number}" for number in range(20)])
    upload = store.create_multipart_upload("leaving", CreateUpload("big"))
    store.upload_part("leaving", PutPart("big", upload.upload_id, 1), b"p" * (2 << 20))
    store.delete_bucket("leaving")


@pytest.mark.parametrize("place", PLACES)
def test_killed_while_dropping(tmp_path: Path, place: str) -> None:
    environment = {**os.environ, "CENOTE_FAILPOINTS": f"{place}=kill"}
    run = subprocess.run([sys.executable, __file__, str(tmp_path)], env=environment, timeout=60)
    assert run.returncode == -signal.SIGKILL, f"{place} is not passed"
    with Store(tmp_path) as store:
        if store.has_bucket("leaving"):
            assert store.check(deep=True) == []
            assert list(store.iterate_objects("leaving")) == []
            assert store.list_multipart_uploads("leaving").uploads == []
            store.delete_bucket("leaving")
        with pytest.raises(NotFoundError):
            store.bucket("leaving")
        store.create_bucket("leaving")
        store.put_object("leaving", "k", b"new")
        assert store.check(deep=True) == []
        assert store.read_object("leaving", "k") == b"new"


def rows(file: Path) -> int:
    """Count the objects as another program does; a second SQLite in this one would cost locks."""
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
    script += "print(c.execute('SELECT count(*) FROM data').fetchone()[0]); c.close()"
    command = [sys.executable, "-c", script, str(file)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("act", ["create", "list", "head", "check", "notes", "maintain"])
def test_log_stays_when_another_program_looks_in(tmp_path: Path, act: str) -> None:
    """Nothing the store does costs SQLite its locks: else who looks in removes the log in use."""
    with Store(tmp_path) as store:
        store.create_bucket("looked-at")
        store.put_object("looked-at", "before", b"1")
        match act:
            case "create":
                with pytest.raises(AlreadyExistsError):
                    store.create_bucket("looked-at")
            case "list":
                store.list_buckets()
            case "head":
                store.head_bucket("looked-at")
            case "check":
                store.check(deep=True)
            case "notes":
                assert store.directory.notes() == []
            case "maintain":
                store.maintain()
                store.put_object("looked-at", "before", b"3")
        file = tmp_path / "looked-at.sqlite3"
        assert rows(file) == 1
        assert file.with_name(file.name + "-wal").exists(), "the log in use was removed"
        store.put_object("looked-at", "after", b"2")
        assert rows(file) == 2


if __name__ == "__main__":
    work(Path(sys.argv[1]))
