"""The server's settings: order of places, spellings of other servers, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cenote.cli.configuration import REFUSED_FLAGS, configure
from cenote.errors import InvalidError

Run = Callable[..., "tuple[int, str, str]"]


def test_flags_beat_variables_beat_files_beat_defaults(tmp_path: Path) -> None:
    home = tmp_path / ".config" / "cenote"
    home.mkdir(parents=True)
    (home / "config.toml").write_text('host = "a"\nport = 1\nregion = "r"\n')
    environ = {"HOME": str(tmp_path), "CENOTE_HOST": "b", "CENOTE_PORT": "2"}
    resolved = configure(environ, {"host": ("c", "--host")}).resolved
    settings = resolved.settings
    assert (settings.host, settings.port, settings.region) == ("c", 2, "r")
    assert resolved.origins["host"] == "--host"
    assert resolved.origins["port"] == "CENOTE_PORT"
    assert resolved.origins["region"] == str(home / "config.toml")
    assert resolved.origins["threads"] == "default"


def test_a_named_file_replaces_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / ".config/cenote").mkdir(parents=True)
    (tmp_path / ".config/cenote/config.toml").write_text("port = 1\n")
    (tmp_path / "named.toml").write_text('region = "r"\n')
    environ = {"HOME": str(tmp_path), "CENOTE_CONFIG": str(tmp_path / "named.toml")}
    settings = configure(environ, {}).resolved.settings
    assert (settings.port, settings.region) == (9000, "r")
    with pytest.raises(InvalidError, match=r"gone\.toml"):
        configure(environ, {}, file=str(tmp_path / "gone.toml"))


def test_a_home_that_cannot_be_entered_holds_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", denied)
    assert configure({"HOME": str(tmp_path)}, {}).resolved.settings.port == 9000


def test_minio_variables_are_taken_and_told(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "MINIO_ROOT_USER": "somebody",
        "MINIO_ROOT_PASSWORD": "something-long",
        "MINIO_BROWSER": "on",
    }
    configuration = configure(environ, {})
    settings = configuration.resolved.settings
    assert (settings.access_key, settings.secret_key) == ("somebody", "something-long")
    assert configuration.notices == (
        "MINIO_BROWSER means nothing to cenote and is not used",
        "MINIO_ROOT_PASSWORD is taken for secret_key",
        "MINIO_ROOT_USER is taken for access_key",
    )
    with pytest.raises(InvalidError, match="several volumes"):
        configure({**environ, "MINIO_VOLUMES": "/a{1...4}"}, {})


def test_keys_of_a_real_account_are_not_taken(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    assert configure(environ, {}).resolved.settings.access_key is None


def test_show_tells_origins_and_no_secret(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENOTE_ACCESS_KEY", "access")
    monkeypatch.setenv("CENOTE_SECRET_KEY", "hunter2-hunter2")
    monkeypatch.setenv("CENOTE_LIMITS__IDLE_TIMEOUT", "5")
    out = run("config", "show", "--origin")[1]
    assert "hunter2" not in out
    lines = {line.split(" =")[0]: line for line in out.splitlines()}
    assert lines["limits.idle_timeout"].split() == [
        "limits.idle_timeout",
        "=",
        "5",
        "#",
        "CENOTE_LIMITS__IDLE_TIMEOUT",
    ]
    assert lines["port"].endswith("# default")


def test_what_show_prints_is_a_configuration(run: Run, tmp_path: Path) -> None:
    first = run("config", "show")[1]
    (tmp_path / "again.toml").write_text(first)
    assert run("config", "show", "--config", tmp_path / "again.toml")[1] == first


@pytest.mark.parametrize("flag", REFUSED_FLAGS)
def test_flags_that_mean_something_else_are_refused_with_the_reason(run: Run, flag: str) -> None:
    err = run("serve", "d", flag, "x", code=2)[2]
    assert f"{flag} is not supported: {REFUSED_FLAGS[flag]}" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "d", "--port", "many"), "--port: port 'many'"),
        (("serve", "d", "--root", "e"), "named twice"),
        (("serve", "d", "--set", "limits.idel_timeout=1"), "unknown setting"),
        (("serve", "d", "--set", "port"), "not KEY=VALUE"),
        (("serve", "d", "--workers", "0"), "1 to 64"),
        (("serve", "d", "--access-key", "alone"), "go together"),
        (("server", "d", "--console-address", ":9001"), "there is no web console"),
        (("server", "d1", "d2"), "one directory"),
        (("server", "d{1...4}"), "one directory"),
        (("server", "d", "--address", "9000"), "not HOST:PORT"),
    ],
)
def test_wrong_calls_say_what_is_wrong(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in run(*words, code=1)[2]
    assert not list(tmp_path.iterdir())
