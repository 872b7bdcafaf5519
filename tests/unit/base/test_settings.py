"""Settings: who wins, what is refused, and where a value is said to come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from cenote.base.settings import (
    Layer,
    read_environment,
    read_toml,
    resolve_settings,
    settings_of,
    variable_of,
)
from cenote.errors import InvalidError


class Inner(Struct, frozen=True):
    idle: int = 75


class Example(Struct, frozen=True):
    host: str = "127.0.0.1"
    port: int = 9000
    read_only: bool = False
    domains: tuple[str, ...] = ()
    secret_key: str | None = None
    limits: Inner = Inner()


KNOWN = {s.key for s in settings_of(Example)}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    return path


def test_keys_open_structs_inside() -> None:
    assert {"host", "port", "read_only", "domains", "secret_key", "limits.idle"} == KNOWN
    assert variable_of("limits.idle") == "CENOTE_LIMITS__IDLE"


def test_later_layers_win_and_origins_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, 'host = "h"\nport = 1\ndomains = ["a"]\n[limits]\nidle = 2\n')
    environ = {"CENOTE_PORT": "3", "CENOTE_DOMAINS": "b, c", "CENOTE_READ_ONLY": "true", "X": "y"}
    flags = Layer({"host": ("f", "--host")})
    layers = [read_toml(path, KNOWN), read_environment(environ, KNOWN), flags]
    resolved = resolve_settings(Example, layers)
    assert resolved.settings == Example("f", 3, True, ("b", "c"), None, Inner(2))
    assert resolved.origins == {
        "host": "--host",
        "port": "CENOTE_PORT",
        "read_only": "CENOTE_READ_ONLY",
        "domains": "CENOTE_DOMAINS",
        "secret_key": "default",
        "limits.idle": str(path),
    }


@pytest.mark.parametrize("text", ["prot = 1\n", "[limits]\nidel = 1\n", "[nothing]\nidle = 1\n"])
def test_unknown_keys_in_a_file_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        read_toml(write(tmp_path, text), KNOWN)
    assert caught.value.kind == "unknown_setting"


def test_a_near_miss_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="did you mean port"):
        read_toml(write(tmp_path, "prot = 1\n"), KNOWN)
    with pytest.raises(InvalidError, match="did you mean CENOTE_READ_ONLY"):
        read_environment({"CENOTE_READONLY": "1"}, KNOWN)


def test_other_variables_and_empty_ones_are_let_be() -> None:
    layer = read_environment({"CENOTE_DIR": "x", "CENOTE_PORT": ""}, KNOWN, others=["CENOTE_DIR"])
    assert not layer.values


@pytest.mark.parametrize("text", ["port = ", "port = 1\nport = 2\n", "\x00"])
def test_what_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidError, match="not TOML"):
        read_toml(write(tmp_path, text), KNOWN)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"gone\.toml"):
        read_toml(tmp_path / "gone.toml", KNOWN)


@pytest.mark.parametrize(
    ("key", "value"),
    [("port", "many"), ("port", [1]), ("read_only", "perhaps"), ("host", 3), ("domains", [1])],
)
def test_a_value_of_the_wrong_kind_names_setting_and_place(key: str, value: object) -> None:
    with pytest.raises(InvalidError) as caught:
        resolve_settings(Example, [Layer({key: (value, "somewhere")})])
    assert key in caught.value.message
    assert "somewhere" in caught.value.message


def test_a_boolean_is_no_number(tmp_path: Path) -> None:
    layer = read_toml(write(tmp_path, "port = true\n"), KNOWN)
    with pytest.raises(InvalidError):
        resolve_settings(Example, [layer])


def test_a_secret_is_never_repeated() -> None:
    with pytest.raises(InvalidError) as caught:
        resolve_settings(Example, [Layer({"secret_key": (["hunter2"], "f")})])
    assert "hunter2" not in str(caught.value)
