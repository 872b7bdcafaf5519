"""s3cmd: buckets, files in parts, sync, copy and move, with its own XML parser and signer."""

import random
import subprocess

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def s3cmd(need_program, endpoint, run, tmp_path):
    program = need_program("s3cmd", "apt-get install s3cmd")
    config = tmp_path / "s3cfg"
    config.write_text(
        f"""[default]
access_key = {endpoint.access_key}
secret_key = {endpoint.secret_key}
host_base = {endpoint.address}
host_bucket = {endpoint.address}
bucket_location = {endpoint.region}
use_https = False
progress_meter = False
"""
    )

    def call(*words, **options):
        return run([program, "-c", config, *words], **options)

    return call


def test_buckets_are_made_listed_and_removed(s3cmd, bucket) -> None:
    other = f"{bucket}-made"
    s3cmd("mb", f"s3://{other}")
    listed = {line.split()[-1] for line in s3cmd("ls").splitlines()}
    assert {f"s3://{bucket}", f"s3://{other}"} <= listed
    s3cmd("rb", f"s3://{other}")
    assert f"s3://{other}" not in {line.split()[-1] for line in s3cmd("ls").splitlines()}


def test_a_file_goes_up_in_parts_and_comes_back(s3cmd, s3, bucket, tmp_path) -> None:
    body = random.Random(2).randbytes(12 * MIB)
    (tmp_path / "big.bin").write_bytes(body)
    s3cmd("put", "--multipart-chunk-size-mb=5", tmp_path / "big.bin", f"s3://{bucket}/big.bin")
    assert s3.head_object(Bucket=bucket, Key="big.bin")["ETag"].endswith('-3"')
    s3cmd("get", f"s3://{bucket}/big.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == body
    assert s3cmd("du", f"s3://{bucket}").split()[0] == str(12 * MIB)


def test_odd_names_survive(s3cmd, s3, bucket, tmp_path) -> None:
    (tmp_path / "f").write_text("x")
    for name in ("with space.txt", "plus+and&amp.txt", "ünïcode/日本.txt", "per%20cent"):
        s3cmd("put", tmp_path / "f", f"s3://{bucket}/{name}")
        assert f"s3://{bucket}/{name}" in s3cmd("ls", "--recursive", f"s3://{bucket}")
        assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == b"x"


def test_copy_move_and_metadata(s3cmd, s3, bucket, tmp_path) -> None:
    (tmp_path / "f.txt").write_text("text")
    s3cmd(
        "put",
        "--add-header=x-amz-meta-colour:blue",
        "--mime-type=text/x-e2e",
        tmp_path / "f.txt",
        f"s3://{bucket}/f.txt",
    )
    s3cmd("cp", f"s3://{bucket}/f.txt", f"s3://{bucket}/copied.txt")
    s3cmd("mv", f"s3://{bucket}/f.txt", f"s3://{bucket}/moved.txt")
    keys = {o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {"copied.txt", "moved.txt"}
    moved = s3.head_object(Bucket=bucket, Key="moved.txt")
    assert moved["Metadata"]["colour"] == "blue"
    assert moved["ContentType"].startswith("text/x-e2e")


def test_info_shows_an_object_and_its_bucket(s3cmd, bucket, tmp_path) -> None:
    (tmp_path / "f.txt").write_text("text")
    s3cmd("put", tmp_path / "f.txt", f"s3://{bucket}/f.txt")
    assert "1cb251ec0d568de6a929b520c4aed8d1" in s3cmd("info", f"s3://{bucket}/f.txt")
    assert "Location:" in s3cmd("info", f"s3://{bucket}")


def test_sync_and_delete_follow_a_tree(s3cmd, bucket, tmp_path) -> None:
    tree = tmp_path / "tree"
    for name in ("a", "sub/b", "sub/c"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/t/")
    (tree / "sub/c").unlink()
    s3cmd("sync", "--delete-removed", f"{tree}/", f"s3://{bucket}/t/")
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"s3://{bucket}/t/", f"{tmp_path}/back/")
    done = subprocess.run(["diff", "-r", tree, tmp_path / "back"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}/t/")
    assert s3cmd("la").strip() == "" or f"s3://{bucket}/" not in s3cmd("la")
