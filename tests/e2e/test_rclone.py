"""rclone: copy, check, stream, move, sync and purge over a remote described by environment."""

import json
import random

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def rclone(need_program, endpoint, run):
    program = need_program("rclone", "apt-get install rclone")
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ACCESS_KEY_ID": endpoint.access_key,
        "SECRET_ACCESS_KEY": endpoint.secret_key,
        "REGION": endpoint.region,
        "ENDPOINT": endpoint.url,
        "FORCE_PATH_STYLE": "true",
        "UPLOAD_CUTOFF": "6Mi",
        "CHUNK_SIZE": "5Mi",
    }
    extra = {f"RCLONE_CONFIG_E2E_{name}": value for name, value in remote.items()}
    extra["RCLONE_CONFIG"] = "/notfound"

    def call(*words, **options):
        return run([program, *words], extra=extra, **options)

    return call


def test_a_tree_is_copied_checked_and_synced(rclone, s3, bucket, tmp_path) -> None:
    tree = tmp_path / "tree"
    rng = random.Random(3)
    sizes = {"small.bin": 10, "empty": 0, "sub dir/ünï+code.bin": 5000, "big.bin": 14 * MIB}
    for name, size in sizes.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(rng.randbytes(size))
    rclone("copy", tree, f"e2e:{bucket}/t")
    assert s3.head_object(Bucket=bucket, Key="t/big.bin")["ETag"].endswith('-3"')
    rclone("check", tree, f"e2e:{bucket}/t")
    rclone("check", "--download", tree, f"e2e:{bucket}/t")
    listed = json.loads(rclone("lsjson", "--recursive", "--files-only", f"e2e:{bucket}/t"))
    assert {entry["Path"]: entry["Size"] for entry in listed} == sizes
    # rclone keeps the modification time of a file in user metadata: it must come back exactly.
    local = json.loads(rclone("lsjson", "--recursive", "--files-only", tree))
    parsed = {e["Path"]: e["ModTime"][:19] for e in listed}
    assert parsed == {e["Path"]: e["ModTime"][:19] for e in local}

    (tree / "small.bin").unlink()
    rclone("sync", tree, f"e2e:{bucket}/t")
    rclone("copy", f"e2e:{bucket}/t", tmp_path / "back")
    back = tmp_path / "back"
    assert {str(p.relative_to(back)) for p in back.rglob("*") if p.is_file()} == set(sizes) - {
        "small.bin"
    }
    for name in set(sizes) - {"small.bin"}:
        assert (back / name).read_bytes() == (tree / name).read_bytes()


def test_a_stream_of_unknown_length_and_a_partial_read(rclone, bucket) -> None:
    text = "".join(f"line {number}\n" for number in range(2000))
    rclone("rcat", f"e2e:{bucket}/log.txt", stdin=text)
    assert rclone("cat", f"e2e:{bucket}/log.txt") == text
    assert rclone("cat", "--offset", "7", "--count", "6", f"e2e:{bucket}/log.txt") == text[7:13]
    assert rclone("cat", "--tail", "10", f"e2e:{bucket}/log.txt") == text[-10:]


def test_many_small_files_at_once(rclone, bucket, tmp_path) -> None:
    tree = tmp_path / "tree"
    for number in range(400):
        path = tree / f"dir{number % 7}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {number}")
    side_by_side = ("--transfers", "16", "--checkers", "16")
    rclone("copy", *side_by_side, tree, f"e2e:{bucket}/many")
    rclone("check", "--download", *side_by_side, tree, f"e2e:{bucket}/many")
    rclone("delete", *side_by_side, f"e2e:{bucket}/many")
    assert rclone("lsf", "--recursive", f"e2e:{bucket}") == ""


def test_move_delete_and_purge(rclone, bucket) -> None:
    rclone("rcat", f"e2e:{bucket}/one", stdin="1")
    rclone("moveto", f"e2e:{bucket}/one", f"e2e:{bucket}/dir/two")
    assert rclone("lsf", "--recursive", "--files-only", f"e2e:{bucket}").split() == ["dir/two"]
    rclone("copyto", f"e2e:{bucket}/dir/two", f"e2e:{bucket}/dir/three")
    rclone("deletefile", f"e2e:{bucket}/dir/two")
    assert rclone("cat", f"e2e:{bucket}/dir/three") == "1"
    rclone("cleanup", f"e2e:{bucket}")
    rclone("mkdir", f"e2e:{bucket}-new")
    rclone("purge", f"e2e:{bucket}")
    assert f"{bucket}-new/" in rclone("lsf", "e2e:").split()
    assert f"{bucket}/" not in rclone("lsf", "e2e:").split()
