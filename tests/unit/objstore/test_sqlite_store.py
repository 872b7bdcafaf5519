"""The store in a bucket file: what it writes a server serves, and the reverse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cenote import Store
from cenote.base import ManualClock
from cenote.errors import ConflictError, DeniedError, InvalidError, NotFoundError
from cenote.objstore import SqliteStore


@pytest.mark.parametrize("inline_max", [0, 32 << 10])
def test_a_server_serves_what_was_written_here(tmp_path: Path, inline_max: int) -> None:
    import boto3

    from cenote.server import BackgroundServer

    whole = bytes(range(256)) * 100_000  # four parts
    with SqliteStore(tmp_path, "bucket", inline_max=inline_max) as store:
        small = store.put("db/small", b"small", write_id="w1")
        with store.multipart("db/whole") as writer:
            writer.write(whole)
            joined = writer.finish()
        store.copy("db/whole", "db/copy")
        store.delete("db/whole")
    with BackgroundServer(root=str(tmp_path)) as server:
        client: Any = boto3.client("s3", **server.client_arguments())
        found = client.get_object(Bucket="bucket", Key="db/small", ChecksumMode="ENABLED")
        assert found["Body"].read() == b"small"  # boto3 compares the checksum
        assert found["ETag"] == f'"{small.etag}"'
        assert found["Metadata"] == {"cenotewriteid": "w1"}
        assert found["ChecksumCRC64NVME"]
        found = client.get_object(Bucket="bucket", Key="db/copy", ChecksumMode="ENABLED")
        assert found["Body"].read() == whole
        assert found["ETag"] == f'"{joined.etag}"'
        assert joined.etag.endswith("-4")
        client.put_object(Bucket="bucket", Key="theirs", Body=b"theirs", IfNoneMatch="*")
        client.put_object(Bucket="bucket", Key="no//path", Body=b"x")
        client.put_object(Bucket="bucket", Key="folder/", Body=b"")
        client.close()
    with SqliteStore(tmp_path, "bucket", read_only=True) as store:
        assert [meta.path for meta in store.list()] == ["db/copy", "db/small", "theirs"]
        assert store.get("theirs").data == b"theirs"
        assert [meta.path for meta in store.list_page(limit=1).objects] == ["db/copy"]
    with Store(tmp_path) as buckets:
        assert buckets.check(deep=True) == []


def test_the_directory_has_one_writer(tmp_path: Path) -> None:
    with SqliteStore(tmp_path, "bucket") as store:
        store.put("a", b"x")
        with pytest.raises(ConflictError) as caught:
            SqliteStore(tmp_path, "bucket")
        assert caught.value.kind == "directory_locked"
        with SqliteStore(tmp_path, "bucket", read_only=True) as reader:
            assert reader.get("a").data == b"x"
            for call in (lambda: reader.put("b", b""), lambda: reader.delete("a")):
                with pytest.raises(DeniedError):
                    call()


def test_opening_to_read_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        SqliteStore(tmp_path / "absent", "bucket", read_only=True)
    with pytest.raises(NotFoundError):
        SqliteStore(tmp_path, "bucket", read_only=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidError):
        SqliteStore(tmp_path, "Not A Name")
    # The lock was given back.
    SqliteStore(tmp_path, "bucket").close()


def test_modified_times_never_go_back(tmp_path: Path) -> None:
    clock = ManualClock(1_000_000)
    with SqliteStore(tmp_path, "bucket", clock=clock) as store:
        first = store.put("a", b"1")
        clock.advance(-100)
        second = store.put("a", b"2")
    assert first.modified_ms == second.modified_ms == 1_000_000


def test_pieces_given_up_leave_no_bytes(tmp_path: Path) -> None:
    with SqliteStore(tmp_path, "bucket", inline_max=0, background=False) as store:
        writer = store.multipart("a")
        writer.write(b"x" * (40 << 20))
        writer.abort()
        store._directory.maintain()
        used = sum(f.stat().st_blocks * 512 for f in tmp_path.rglob("*") if f.is_file())
        assert used < 24 << 20  # the reserve, and no bodies
