"""ls, cp, rm, mb, rb: the same on a directory in process and on an endpoint."""

from __future__ import annotations

import io
import itertools
import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "tuple[int, str, str]"]
numbers = itertools.count(1)
MIB = 1 << 20


@pytest.fixture(params=["directory", "endpoint"])
def place(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: Any,
) -> str:
    if request.param == "directory":
        monkeypatch.setenv("CENOTE_DIR", str(tmp_path / "store"))
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    return str(request.param)


@pytest.fixture
def bucket(place: str, run: Run) -> str:
    name = f"cli-{next(numbers)}"
    run("mb", f"s3://{name}")
    return f"s3://{name}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name, text in {"a.txt": "a", "sub/b.json": "{}", "sub/deep/c": "c"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(run: Run, where: str, *flags: str) -> list[str]:
    lines = run("ls", where, "--json", *flags)[1].splitlines()
    return [(entry := json.loads(line)).get("key") or entry["prefix"] for line in lines]


def test_a_file_there_and_back(run: Run, bucket: str, tree: Path, tmp_path: Path) -> None:
    run("cp", tree / "a.txt", bucket)
    run("cp", tree / "a.txt", f"{bucket}/named")
    run("cp", tree / "a.txt", f"{bucket}/folder/")
    assert names(run, bucket) == ["a.txt", "folder/", "named"]
    run("cp", f"{bucket}/folder/a.txt", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "a"
    run("cp", f"{bucket}/named", str(tree) + "/")
    assert (tree / "named").read_text() == "a"
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_there_and_back(run: Run, bucket: str, tree: Path, tmp_path: Path) -> None:
    run("cp", "-r", tree, f"{bucket}/in")
    keys = ["in/a.txt", "in/sub/b.json", "in/sub/deep/c"]
    assert names(run, bucket, "-r") == keys
    assert names(run, f"{bucket}/in/") == ["in/a.txt", "in/sub/"]
    run("cp", "-r", f"{bucket}/in/", tmp_path / "out")
    for path in tree.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(tree)).read_bytes() == path.read_bytes()
    run("cp", "-r", f"{bucket}/in/sub", f"{bucket}/other")
    assert names(run, f"{bucket}/other", "-r") == ["other/sub/b.json", "other/sub/deep/c"]


def test_a_prefix_is_not_copied_into_itself(run: Run, bucket: str, tree: Path) -> None:
    run("cp", "-r", tree, f"{bucket}/in")
    assert "would copy itself" in run("cp", "-r", f"{bucket}/in", f"{bucket}/in/x", code=1)[2]
    assert len(names(run, bucket, "-r")) == 3


def test_large_files(run: Run, bucket: str, tmp_path: Path) -> None:
    body = bytes(range(256)) * (20 * MIB // 256)
    (tmp_path / "large").write_bytes(body)
    run("cp", tmp_path / "large", bucket)
    run("cp", f"{bucket}/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body


def test_streams(run: Run, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    run("cp", "-", f"{bucket}/piped")
    assert run("cp", f"{bucket}/piped", "-")[1] == "from a pipe"


def test_content_types(run: Run, bucket: str, place: str, tree: Path) -> None:
    from cenote.cli.objects import open_objects

    (tree / "x.tar.gz").write_bytes(b"")
    run("cp", "-r", tree, bucket)
    run("cp", tree / "a.txt", f"{bucket}/given", "--content-type", "text/x-own")
    if place == "endpoint":
        with open_objects(None, None, None) as objects:
            client = objects._client  # type: ignore[attr-defined]
            name = bucket.removeprefix("s3://")
            kinds = {
                key: client.head_object(name, key)["content-type"]
                for key in ("a.txt", "sub/b.json", "x.tar.gz", "given", "sub/deep/c")
            }
        assert kinds == {
            "a.txt": "text/plain",
            "sub/b.json": "application/json",
            "x.tar.gz": "application/gzip",
            "given": "text/x-own",
            "sub/deep/c": "binary/octet-stream",
        }


def test_keys_cannot_leave_the_target(run: Run, bucket: str, tree: Path, tmp_path: Path) -> None:
    for key in ("p/../../evil", "p//abs", "p/good"):
        run("cp", tree / "a.txt", f"{bucket}/{key}")
    err = run("cp", "-r", f"{bucket}/p/", tmp_path / "out", code=1)[2]
    assert "cannot be a file under the target" in err
    assert "2 not copied" in err
    assert (tmp_path / "out" / "good").read_text() == "a"
    assert not (tmp_path / "evil").exists()


def test_removing(run: Run, bucket: str, tree: Path) -> None:
    run("cp", "-r", tree, bucket)
    assert "would remove" in run("rm", "-r", "-n", f"{bucket}/sub/")[1]
    assert len(names(run, bucket, "-r")) == 3
    run("rm", f"{bucket}/a.txt")
    run("rm", f"{bucket}/a.txt", code=1)
    run("rm", bucket, code=1)
    run("rb", bucket, code=1)
    run("rm", "-r", f"{bucket}/sub/deep")
    assert names(run, bucket, "-r") == ["sub/b.json"]
    run("rb", "--force", bucket)
    run("ls", bucket, code=1)


def test_buckets_are_listed(run: Run, bucket: str) -> None:
    assert bucket.removeprefix("s3://") in run("ls")[1]
    assert run("ls", bucket)[1] == ""
    run("ls", f"{bucket}/nothing", code=1)


@pytest.mark.parametrize(
    "words",
    [
        ("cp", "a", "b"),
        ("cp", "s3://nope-nope/k", "out"),
        ("cp", "absent", "s3://nope-nope/k"),
        ("mb", "s3://Bad_Name"),
        ("rb", "s3://nope-nope"),
        ("ls", "s3://nope-nope"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, place: str, words: tuple[str, ...]) -> None:
    err = run(*words, code=1)[2]
    assert err.startswith("cenote: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [("mb", "plain"), ("ls", "s3://"), ("rb", "s3://b/key")])
def test_what_is_no_bucket_is_a_usage_error(run: Run, words: tuple[str, ...]) -> None:
    run(*words, code=2)


def test_a_listing_does_not_obey_a_key(run: Run, bucket: str, tree: Path) -> None:
    run("cp", tree / "a.txt", f"{bucket}/x\x1b[2Jy")
    assert "\x1b" not in run("ls", bucket)[1]


def test_presign(run: Run, bucket: str, place: str, tree: Path) -> None:
    run("cp", tree / "a.txt", bucket)
    if place == "directory":
        assert "needs a server" in run("presign", f"{bucket}/a.txt", code=1)[2]
        return
    url = run("presign", f"{bucket}/a.txt", "--expires", "60")[1].strip()
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"a"
    run("presign", f"{bucket}/a.txt", "--expires", "604801", code=2)


def test_a_directory_and_an_endpoint_at_once_are_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ls", "--dir", "d", "--endpoint", "http://127.0.0.1:1", code=1)
    monkeypatch.setenv("CENOTE_DIR", "d")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "say which" in run("ls", code=1)[2]


def test_a_directory_that_a_server_writes_is_read_but_not_written(
    run: Run, server: Any, tree: Path
) -> None:
    root = server.settings.root
    run("ls", "--dir", root)
    err = run("mb", "--dir", root, "s3://other", code=1)[2]
    assert "another process" in err
