"""The AWS command line: copies in parts, sync, move, presign, and a conditional put."""

import hashlib
import json
import os
import random
import urllib.request

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def aws(need_program, endpoint, run, tmp_path):
    program = need_program("aws", "pip install awscli")

    def call(*words, version=None, **options):
        # Left alone, it presigns for any endpoint but AWS's own with signature version 2.
        config = tmp_path / "aws-config"
        config.write_text(f"[default]\ns3 =\n  signature_version = {version}\n" if version else "")
        extra = {"AWS_CONFIG_FILE": str(config)}
        return run([program, "--endpoint-url", endpoint.url, *words], extra=extra, **options)

    return call


def test_a_large_file_goes_up_and_comes_down_in_parts(aws, s3, bucket, tmp_path) -> None:
    body = random.Random(1).randbytes(20 * MIB)
    (tmp_path / "big.bin").write_bytes(body)
    aws("s3", "cp", tmp_path / "big.bin", f"s3://{bucket}/deep/er/big.bin", "--no-progress")
    head = s3.head_object(Bucket=bucket, Key="deep/er/big.bin")
    # The client's part size is 8 MiB, so the ETag names three parts.
    assert head["ETag"].endswith('-3"')
    assert head["ContentLength"] == len(body)
    aws("s3", "cp", f"s3://{bucket}/deep/er/big.bin", tmp_path / "back.bin", "--no-progress")
    assert hashlib.sha256((tmp_path / "back.bin").read_bytes()).digest() == (
        hashlib.sha256(body).digest()
    )
    # A copy inside the store of something larger than the threshold is made by UploadPartCopy.
    aws("s3", "cp", f"s3://{bucket}/deep/er/big.bin", f"s3://{bucket}/copy.bin", "--no-progress")
    assert s3.get_object(Bucket=bucket, Key="copy.bin")["Body"].read() == body


def test_streams_through_standard_input_and_output(aws, bucket) -> None:
    text = "line of text\n" * 1000
    aws("s3", "cp", "-", f"s3://{bucket}/stream.txt", stdin=text)
    assert aws("s3", "cp", f"s3://{bucket}/stream.txt", "-") == text


def test_sync_copies_what_changed_and_deletes_what_is_gone(aws, bucket, tmp_path) -> None:
    tree = tmp_path / "tree"
    names = {"a.txt", "sub/b.txt", "sub/deeper/c d+é.txt", "sub/empty"}
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("" if name.endswith("empty") else name * 10)
        # The client uploads again what is younger than the object, and knows whole seconds only.
        os.utime(tree / name, (1_577_836_800, 1_577_836_800))
    assert aws("s3", "sync", tree, f"s3://{bucket}/t", "--no-progress").count("upload:") == 4
    assert aws("s3", "sync", tree, f"s3://{bucket}/t", "--no-progress") == ""
    aws("s3", "sync", f"s3://{bucket}/t", tmp_path / "back", "--no-progress")
    back = tmp_path / "back"
    assert {str(p.relative_to(back)) for p in back.rglob("*") if p.is_file()} == names
    assert (back / "sub/deeper/c d+é.txt").read_text() == "sub/deeper/c d+é.txt" * 10
    (tree / "a.txt").unlink()
    aws("s3", "sync", tree, f"s3://{bucket}/t", "--delete", "--no-progress")
    left = aws("s3", "ls", f"s3://{bucket}/t/", "--recursive", "--summarize")
    assert "Total Objects: 3" in left


def test_move_list_presign_and_remove(aws, bucket, tmp_path) -> None:
    (tmp_path / "one.txt").write_text("one")
    aws("s3", "mv", tmp_path / "one.txt", f"s3://{bucket}/one.txt", "--no-progress")
    assert not (tmp_path / "one.txt").exists()
    aws("s3", "mv", f"s3://{bucket}/one.txt", f"s3://{bucket}/x/two.txt", "--no-progress")
    assert aws("s3", "ls", f"s3://{bucket}").split() == ["PRE", "x/"]
    presign = ["s3", "presign", f"s3://{bucket}/x/two.txt", "--expires-in", "60"]
    for version, proof in ((None, "&Signature="), ("s3v4", "&X-Amz-Signature=")):
        url = aws(*presign, version=version).strip()
        assert proof in url.replace("?", "&")
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"one"
    aws("s3", "rm", f"s3://{bucket}/x", "--recursive")
    aws("s3", "rb", f"s3://{bucket}")
    assert bucket not in aws("s3", "ls")


def test_a_conditional_put_is_won_once(aws, bucket, tmp_path) -> None:
    (tmp_path / "lock").write_text("mine")
    put = ["s3api", "put-object", "--bucket", bucket, "--key", "lock", "--body", tmp_path / "lock"]
    etag = json.loads(aws(*put, "--if-none-match", "*"))["ETag"]
    assert etag.strip('"') == hashlib.md5(b"mine").hexdigest()
    refused = aws(*put, "--if-none-match", "*", fails=True)
    assert "PreconditionFailed" in refused
    assert "ETag" in aws(*put, "--if-match", etag)
    assert "PreconditionFailed" in aws(*put, "--if-match", f'"{"0" * 32}"', fails=True)
