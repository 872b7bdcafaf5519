"""The store in a directory: crashes, full disks, other processes, other programs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cenote.base import ManualClock, failpoint
from cenote.errors import InvalidError, NotFoundError, UnavailableError, UnsupportedError
from cenote.objstore import LocalStore, RetryingStore
from cenote.objstore.local import REMEMBERED_WRITES

WRITES = {
    "put": "store.put('a/b', b'new')",
    "put_if_absent": "store.put_if_absent('c/d', b'new')",
    "put_if_match": "store.put_if_match('a/b', b'new', store.head('a/b').etag)",
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("local.written", marks=pytest.mark.slow),
        "local.synced",
        "local.named",
        pytest.param("local.folder_synced", marks=pytest.mark.slow),
    ],
)
def test_a_kill_leaves_the_old_object_or_the_new(tmp_path: Path, point: str, write: str) -> None:
    LocalStore(tmp_path).put("a/b", b"old")
    script = (
        "from cenote.objstore import LocalStore\n"
        f"store = LocalStore({str(tmp_path)!r})\n"
        f"{WRITES[write]}\n"
    )
    environment = {**os.environ, "CENOTE_FAILPOINTS": f"{point}=kill"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    store = LocalStore(tmp_path)
    is_named = point in ("local.named", "local.folder_synced")
    found = {meta.path: store.get(meta.path).data for meta in store.list()}
    if write == "put_if_absent":
        assert found == {"a/b": b"old"} | ({"c/d": b"new"} if is_named else {})
    else:
        assert found == {"a/b": b"new" if is_named else b"old"}
    # The lock went with the process.
    store.put_if_match("a/b", b"later", store.head("a/b").etag)


@pytest.mark.parametrize("action, kind", [("full", "disk_full"), ("error", "io")])
@pytest.mark.parametrize("point", ["local.written", "local.synced"])
def test_a_disk_that_refuses_before_the_name_changes_nothing(
    tmp_path: Path, point: str, action: str, kind: str
) -> None:
    store = LocalStore(tmp_path)
    etag = store.put("a", b"old").etag
    for call in (
        lambda: store.put("a", b"new"),
        lambda: store.put_if_absent("b", b"new"),
        lambda: store.put_if_match("a", b"new", etag),
    ):
        with failpoint.armed(point, action), pytest.raises(UnavailableError) as caught:
            call()
        assert caught.value.kind == kind
        assert not caught.value.effect_unknown
    assert [meta.path for meta in store.list()] == ["a"]
    assert store.get("a").data == b"old"
    assert list((tmp_path / ".cenote" / "staged").iterdir()) == []


def test_a_disk_that_refuses_after_the_name_says_so_and_is_made_up_for(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with failpoint.armed("local.named", "error"), pytest.raises(UnavailableError) as caught:
        store.put_if_absent("a", b"mine")
    assert caught.value.effect_unknown
    retrying = RetryingStore(store, clock=ManualClock())
    with failpoint.armed("local.named", "error@1"):
        made = retrying.put_if_absent("b", b"mine")
    assert made.etag == store.head("b").etag


def test_two_processes_lose_no_step(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("counter", b"0 x")
    script = (
        "import sys\n"
        "from cenote.errors import PreconditionError\n"
        "from cenote.objstore import LocalStore\n"
        f"store = LocalStore({str(tmp_path)!r})\n"
        "done = 0\n"
        "while done < 25:\n"
        "    found = store.get('counter')\n"
        "    try:\n"
        "        data = b'%d x' % (int(found.data.split()[0]) + 1)\n"
        "        store.put_if_match('counter', data, found.meta.etag)\n"
        "    except PreconditionError:\n"
        "        continue\n"
        "    done += 1\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert store.get("counter").data == b"50 x"


def test_a_replaced_file_is_read_anew_though_it_was_kept_open(tmp_path: Path) -> None:
    reader, writer = LocalStore(tmp_path), LocalStore(tmp_path)
    for number in range(5):
        writer.put("a", b"%d" % number)
        assert reader.get_range("a", 0, 1) == b"%d" % number
    writer.delete("a")
    with pytest.raises(NotFoundError):
        reader.get_range("a", 0, 1)


def test_few_files_are_kept_open(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, open_files_max=4)
    for number in range(20):
        store.put(f"f{number}", b"x")
        store.get(f"f{number}")
    assert 1 <= open_below(tmp_path) <= 4
    store.close()
    assert open_below(tmp_path) == 0


def open_below(folder: Path) -> int:
    """How many descriptors of this process are of files below `folder`."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that lists
            count += os.readlink(f"/proc/self/fd/{fd}").startswith(str(folder))
    return count


def test_equal_bytes_in_the_same_tick_have_their_own_etags(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, clock=ManualClock())
    etags = {store.put("a", b"same").etag for _ in range(50)}
    assert len(etags) == 50


def test_an_object_where_a_folder_must_be(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/b", b"x")
    for call in (
        lambda: store.put("a", b"y"),
        lambda: store.put_if_absent("a", b"y"),
        lambda: store.put("a/b/c", b"y"),
        lambda: store.put_if_absent("a/b/c/d", b"y"),
    ):
        with pytest.raises(InvalidError) as caught:
            call()
        assert caught.value.kind == "path_conflict"
    assert [meta.path for meta in store.list()] == ["a/b"]


def test_what_other_programs_put_there(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"theirs")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    (tmp_path / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "bad\nname").write_bytes(b"x")
    assert [meta.path for meta in store.list()] == ["folder/file"]
    assert list(store.list_folder().folders) == ["folder"]
    assert store.get("folder/file").data == b"theirs"
    for path in ("link", "folder", "empty"):
        with pytest.raises(NotFoundError):
            store.head(path)
    store.put_if_match("folder/file", b"ours", store.head("folder/file").etag)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "absent")
    assert list(store.list()) == []
    with pytest.raises(NotFoundError):
        store.get("a")
    assert not (tmp_path / "absent").exists()


def test_what_dead_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    store = LocalStore(tmp_path, clock=clock)
    store.put("a", b"x")
    left = tmp_path / ".cenote" / "staged" / "left"
    left.write_bytes(b"half")
    os.utime(left, ns=(clock.now_ms() * 10**6,) * 2)
    LocalStore(tmp_path, clock=clock)
    assert left.exists()
    clock.advance(25 * 3600)
    LocalStore(tmp_path, clock=clock)
    assert not left.exists()
    assert [meta.path for meta in store.list()] == ["a"]


def test_a_large_write_id_history_is_bounded(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("first", b"", write_id="first")
    store._written.update({f"{number}": ("x", "y") for number in range(REMEMBERED_WRITES)})
    store.put("last", b"", write_id="last")
    assert store.head("last").write_id == "last"
    assert store.head("first").write_id is None


def test_a_file_system_without_hard_links_or_nanoseconds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)
    etag = store.put("a", b"x").etag
    whole = os.utime

    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def seconds_only(fd: int, *, ns: tuple[int, int]) -> None:
        whole(fd, ns=(ns[0] // 10**9 * 10**9,) * 2)

    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("os.utime", seconds_only)
    for call in (
        lambda: store.put_if_absent("b", b"y"),
        lambda: store.put_if_match("a", b"y", etag),
    ):
        with pytest.raises(UnsupportedError) as caught:
            call()
        assert caught.value.kind == "no_conditional_put"
    assert [meta.path for meta in store.list()] == ["a"]
    assert store.get("a").data == b"x"
    assert store.put("c", b"z").size == 1
