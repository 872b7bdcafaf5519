"""Stores by URI, the probe, and the command that tortures them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cenote.cli.torture import command
from cenote.errors import DeniedError, InvalidError, NotFoundError, UnsupportedError
from cenote.objstore import (
    Honours,
    LocalStore,
    MemoryStore,
    PrefixStore,
    SqliteStore,
    Verdict,
    open_store,
    probe,
    require_conditional_put,
    torture,
)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def test_local_uris(tmp_path: Path) -> None:
    with open_store("memory://") as store:
        assert isinstance(store, MemoryStore)
    with open_store(f"file://{tmp_path}/with%20space") as store:
        assert isinstance(store, LocalStore)
        store.put("a", b"x")
    assert (tmp_path / "with space" / "a").read_bytes() == b"x"
    with open_store(f"sqlite://{tmp_path}/dir/bucket") as store:
        assert isinstance(store, SqliteStore)
        store.put("p/a", b"x")
    with open_store(f"sqlite://{tmp_path}/dir/bucket?prefix=p") as store:
        assert isinstance(store, PrefixStore)
        assert store.get("a").data == b"x"
    with open_store(f"sqlite://{tmp_path}/dir/bucket", read_only=True) as store:
        assert store.get("p/a").data == b"x"
        with pytest.raises(DeniedError):
            store.put("b", b"")
    with pytest.raises(NotFoundError):
        open_store(f"sqlite://{tmp_path}/other/bucket", read_only=True)


def test_a_relative_directory_of_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite://here/bucket") as store:
        store.put("a", b"x")
    assert (tmp_path / "here" / "bucket.sqlite3").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/pre/fix?region=eu-west-1&endpoint=http://127.0.0.1:1&allow_http=true",
        "s3://bucket?virtual_hosted=false&conditional_put=etag",
        "s3://bucket?conditional_put=dynamo:table",
        "s3://bucket?conditional_put=dynamo:table:500&dynamo_endpoint=http://127.0.0.1:1",
        "gs://bucket/prefix",
        "gs://bucket/prefix?endpoint=http://127.0.0.1:1&allow_http=true",
        "az://container/prefix?account=name",
    ],
)
def test_remote_uris(uri: str) -> None:
    pytest.importorskip("obstore")
    with open_store(uri) as store:
        assert store.name.startswith(uri.partition("?")[0].rstrip("/"))


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "bucket",
        "http://host/bucket",
        "memory://name",
        "memory://?x=1",
        "file://relative",
        "file:///a?sync=none",
        "sqlite://bucket",
        "sqlite:///dir/",
        "sqlite:///tmp/x/bucket?prefix=a&prefix=b",
        "s3://",
        "s3:///prefix",
        "s3://bucket?regoin=x",
        "s3://bucket?region",
        "s3://bucket?allow_http=yes",
        "s3://bucket?conditional_put=none",
        "s3://bucket?conditional_put=dynamo",
        "s3://bucket?conditional_put=dynamo:",
        "s3://bucket?conditional_put=dynamo:table:soon",
        "s3://bucket?conditional_put=dynamo:table:1",
        "s3://bucket?dynamo_endpoint=http://127.0.0.1:1",
        "s3://bucket/a//b",
        "s3://bucket/../b",
        "gs://bucket?region=x",
        "az://container?account=a&account=b",
    ],
)
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidError) as caught:
        open_store(uri)
    assert caught.value.kind in ("invalid_uri", "invalid_path")


def test_secrets_stay_out_of_messages() -> None:
    with pytest.raises(InvalidError) as caught:
        open_store("s3://bucket?secret=hunter2")
    assert "hunter2" not in str(caught.value)


class Ignores(MemoryStore):
    """Takes conditions and does not heed them, as many servers do."""

    def put_if_absent(self, path, data, *, write_id=None):  # type: ignore[no-untyped-def]
        return self.put(path, data)

    def put_if_match(self, path, data, etag, *, write_id=None):  # type: ignore[no-untyped-def]
        return self.put(path, data)


class Lacks(MemoryStore):
    """Says that it has no conditional puts."""

    def put_if_absent(self, path, data, *, write_id=None):  # type: ignore[no-untyped-def]
        raise UnsupportedError("none here")

    def put_if_match(self, path, data, etag, *, write_id=None):  # type: ignore[no-untyped-def]
        raise UnsupportedError("none here")


class LacksMatch(MemoryStore):
    """Has put-if-absent only."""

    def put_if_match(self, path, data, etag, *, write_id=None):  # type: ignore[no-untyped-def]
        raise UnsupportedError("none here")


class Races(MemoryStore):
    """Looks and then writes, as it was in many servers."""

    def put_if_absent(self, path, data, *, write_id=None):  # type: ignore[no-untyped-def]
        import threading

        taken = bool(self.list_page(path.rpartition("/")[0]).objects)
        if "race" in path:
            threading.Event().wait(0.05)
        elif taken:
            return super().put_if_absent(path, data)
        return self.put(path, data)


def test_what_a_probe_finds() -> None:
    for store, wanted in (
        (MemoryStore(), Honours(True, True)),
        (Ignores(), Honours(False, False)),
        (Lacks(), Honours(False, False)),
        (LacksMatch(), Honours(True, False)),
        (Races(), Honours(False, True)),
    ):
        assert probe(store) == wanted, type(store).__name__
        assert list(store.list()) == []


def test_a_store_that_is_not_to_be_trusted_is_refused() -> None:
    assert require_conditional_put(LacksMatch()) == Honours(True, False)
    for store in (Ignores(), Lacks(), Races()):
        with pytest.raises(UnsupportedError) as caught:
            require_conditional_put(store)
        assert caught.value.kind == "no_conditional_put"
        assert "dynamo" in (caught.value.hint or "")


def test_verdicts() -> None:
    def verdicts(store: MemoryStore) -> dict[str, Verdict]:
        found = torture(store, racers=4, rounds=2, piece_size=1000)
        return {line.name: line.trial.verdict for line in found}

    good = verdicts(MemoryStore())
    assert set(good.values()) == {Verdict.HONOURED}
    bad = verdicts(Ignores())
    assert bad["put if absent"] is bad["put if match"] is Verdict.IGNORED
    assert bad["put if absent, 4 at once"] is bad["put if match, 4 at once"] is Verdict.BROKEN
    none = verdicts(LacksMatch())
    assert none["put if absent"] is Verdict.HONOURED
    assert none["put if match"] is none["counter, 2 writers"] is Verdict.REFUSED


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--writers", "4", "--rounds", "1"]
    ended = CliRunner().invoke(command, [f"file://{tmp_path}/store", *arguments])
    assert ended.exit_code == 0, ended.output
    assert ended.output.count("honoured") == 9
    assert [p.name for p in (tmp_path / "store").rglob("*") if p.is_file()] == ["lock"]
    for store, said in ((Ignores(), "not to be trusted"), (Lacks(), "no conditional put")):
        monkeypatch.setattr("cenote.cli.torture.open_store", lambda uri, s=store: s)
        ended = CliRunner().invoke(command, ["memory://", *arguments])
        assert ended.exit_code == 1
        assert said in ended.output


def test_the_reference_pages_example_runs(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "reference" / "object-stores.md").read_text("utf-8")
    block = page.partition("```python\n")[2].partition("```")[0]
    exec(block.replace("/var/lib/thing", str(tmp_path / "thing")), {})
    assert (tmp_path / "thing" / "manifest" / "1").read_bytes() == b"second"


def test_the_reference_page_has_every_parameter() -> None:
    from cenote.objstore.open import PARAMETERS

    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "reference" / "object-stores.md").read_text("utf-8")
    for scheme, names in PARAMETERS.items():
        (row,) = [r for r in page.splitlines() if r.startswith(f"| `{scheme}://")]
        for name in names:
            assert f"`{name}`" in row, (scheme, name)
