"""The server's settings, collected from files, the environment and flags.

Owns: the words for each setting, where configuration files lie, the spellings other servers use,
and which of those are refused and why.
Does not own: the settings and their defaults (`cenote.server`), layering (`cenote.base`).

Order, later over earlier: defaults; a preset, by --preset or CENOTE_PRESET;
/etc/cenote/config.toml; ~/.config/cenote/config.toml (or XDG_CONFIG_HOME); the file that --config
or CENOTE_CONFIG names, which replaces both of those; other servers' variables; CENOTE_* variables;
flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from cenote.base import (
    Layer,
    Resolved,
    read_environment,
    read_toml,
    resolve_settings,
    settings_of,
)
from cenote.errors import InvalidError
from cenote.server import Settings

__all__ = [
    "DESCRIPTIONS",
    "OTHER_VARIABLES",
    "PRESETS",
    "REFUSED_FLAGS",
    "Configuration",
    "configure",
]

DESCRIPTIONS: dict[str, str] = {
    "root": "Directory of the buckets; made when absent.",
    "host": "Address to listen at. 0.0.0.0 or :: is every interface.",
    "port": "Port to listen at; 0 takes a free one (see --ready-file).",
    "access_key": "Access key of the one key pair. Without any, a pair is made and kept.",
    "secret_key": "Its secret key.",
    "credentials": "Further key pairs, each ACCESS:SECRET.",
    "region": "Pin the region; without it, any region a client names is taken.",
    "signature_v2": "Take signature version 2, the default of boto3's presigned URLs.",
    "domains": "Host names whose subdomains are buckets (virtual-host style).",
    "anonymous": "What unsigned requests may do: none, read or write.",
    "account_id": "Owner's account id, 12 digits, for x-amz-expected-bucket-owner.",
    "read_only": "Refuse every change.",
    "workers": "Processes that answer clients; from 2 on one more does the writing.",
    "threads": "Threads for long bodies.",
    "tls_cert": "PEM file of the certificate chain; with it, HTTPS only.",
    "tls_key": "PEM file of its key.",
    "log_format": "Log lines as text or json.",
    "log_level": "debug, info, warning or error.",
    "access_log": "A line per request: off, combined or json.",
    "access_log_file": "File of the access log; standard error when unset.",
    "buckets": "Buckets made at the start, unless they are there.",
    "init_hooks": "Directory with ready.d/, whose *.sh and *.py run once requests are answered.",
    "controls": "Let tests forget everything, or keep and bring back states, unsigned.",
    "localstack_paths": "Answer /_localstack/health, info and init.",
    "limits.connections_max": "Connections at once.",
    "limits.head_size_max": "Bytes of a request's line and headers.",
    "limits.target_size_max": "Bytes of a request's target.",
    "limits.header_size_max": "Bytes of one header.",
    "limits.header_count_max": "Headers of a request.",
    "limits.pipelined_max": "Requests read ahead on a connection.",
    "limits.xml_size_max": "Bytes of an XML body.",
    "limits.head_timeout": "Seconds for a request's head to come.",
    "limits.idle_timeout": "Seconds a connection may stand idle.",
    "limits.body_window": "Seconds over which a body's rate is measured.",
    "limits.body_rate_min": "Bytes a second a body must come at.",
    "limits.send_timeout": "Seconds a client may take nothing of an answer.",
    "limits.drain_max": "Bytes of a refused body read to keep the connection.",
    "limits.linger_max": "Bytes of a refused body thrown away before closing.",
    "limits.linger_timeout": "Seconds that may take.",
    "limits.stop_timeout": "Seconds running requests get at a stop.",
}

# Variables of cenote's that are no server settings.
OTHER_VARIABLES = (
    "CENOTE_CONFIG",
    "CENOTE_DIR",
    "CENOTE_FAILPOINTS",
    "CENOTE_KERNELS",
    "CENOTE_PRESET",
    "CENOTE_VERSION",
)

PRESETS: dict[str, dict[str, Any]] = {
    # What programs written for LocalStack expect to find.
    "localstack": {
        "port": 4566,
        "access_key": "test",
        "secret_key": "test",
        "domains": ["localhost", "s3.localhost", "s3.localhost.localstack.cloud"],
        "init_hooks": "/etc/localstack/init",
        "controls": True,
        "localstack_paths": True,
    },
}

MINIO_VARIABLES = {
    "MINIO_ROOT_USER": "access_key",
    "MINIO_ROOT_PASSWORD": "secret_key",
    "MINIO_DOMAIN": "domains",
    "MINIO_VOLUMES": "root",
}

REFUSED_FLAGS: dict[str, str] = {
    "--console-address": "there is no web console",
    "--permissive-cors": "CORS headers are not supported",
    "--concurrency-limit": "readers are not counted per bucket here; see limits.connections_max",
    "--journal-mode": "bucket files are always in WAL mode, which group commit rests on",
    "--synchronous": "a 200 always means synced; there is no weaker mode",
    "--temp-store": "no statement of ours builds temporary tables",
    "--cache-size": "caches are bounded by the server itself",
    "--certs-dir": "name the files by --tls-cert and --tls-key",
}


class Configuration(Struct, frozen=True):
    """The resolved settings, and what the user should be told about how they came."""

    resolved: Resolved[Settings]
    notices: tuple[str, ...]


def configure(
    environ: Mapping[str, str],
    flags: Mapping[str, tuple[Any, str]],
    *,
    file: str | None = None,
    preset: str | None = None,
) -> Configuration:
    """Collect the settings. `flags` maps a dotted key to (value, the flag's spelling).

    Raises: InvalidError for an unknown key, a wrong value, an unknown preset, or a named file that
    is not there.
    """
    known = [setting.key for setting in settings_of(Settings)]
    preset = preset or environ.get("CENOTE_PRESET") or None
    layers: list[Layer] = [] if preset is None else [preset_layer(preset)]
    layers += [read_toml(path, known) for path in _files(environ, file)]
    foreign, notices = _minio(environ)
    layers.append(foreign)
    if preset == "localstack":
        seat, told = _seat(environ)
        layers.append(seat)
        notices += told
    layers.append(read_environment(environ, known, others=OTHER_VARIABLES))
    unknown = [key for key in flags if key not in known]
    if unknown:
        raise InvalidError(f"unknown setting {unknown[0]!r}", kind="unknown_setting")
    layers.append(Layer(flags))
    resolved = resolve_settings(Settings, layers)
    return Configuration(resolved, tuple(notices))


def preset_layer(name: str) -> Layer:
    """Return the settings of a preset. Raises InvalidError for a name nobody knows."""
    if name not in PRESETS:
        raise InvalidError(
            f"there is no preset {name!r}; there is {', '.join(PRESETS)}", kind="invalid_setting"
        )
    return Layer({key: (value, f"preset {name}") for key, value in PRESETS[name].items()})


def _seat(environ: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """Read the variables of the servers whose seat is taken."""
    values: dict[str, tuple[Any, str]] = {}
    notices = []
    for variable in ("EDGE_PORT", "MOTO_PORT"):
        if environ.get(variable):
            values["port"] = (environ[variable], variable)
    listen = environ.get("GATEWAY_LISTEN")
    if listen:
        first, *others = listen.split(",")
        host, colon, port = first.rpartition(":")
        if others or not colon or not port.isdecimal():
            raise InvalidError(
                f"GATEWAY_LISTEN {listen!r} must be one HOST:PORT", kind="invalid_setting"
            )
        values["port"] = (port, "GATEWAY_LISTEN")
        if host:
            values["host"] = (host.strip("[]"), "GATEWAY_LISTEN")
    if environ.get("DEBUG") == "1" or environ.get("LS_LOG") in ("debug", "trace"):
        values["log_level"] = ("debug", "DEBUG" if environ.get("DEBUG") == "1" else "LS_LOG")
    if environ.get("PERSISTENCE") == "0":
        notices.append("PERSISTENCE=0 is not followed: what is stored is always kept")
    if environ.get("SERVICES"):
        notices.append("SERVICES is not used: s3, dynamodb and sts are always there")
    return Layer(values), notices


def _files(environ: Mapping[str, str], file: str | None) -> Sequence[Path]:
    named = file or environ.get("CENOTE_CONFIG")
    if named:
        return [Path(named)]
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    candidates = [Path("/etc/cenote/config.toml"), Path(home) / "cenote/config.toml"]
    return [path for path in candidates if _is_there(path)]


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        # HOME of somebody else, as under sudo or in a container: nothing in it is meant for us.
        return False


def _minio(environ: Mapping[str, str]) -> tuple[Layer, list[str]]:
    values: dict[str, tuple[Any, str]] = {}
    notices = []
    for variable, value in sorted(environ.items()):
        if not variable.startswith("MINIO_") or not value:
            continue
        key = MINIO_VARIABLES.get(variable)
        if key is None:
            notices.append(f"{variable} means nothing to cenote and is not used")
            continue
        if key == "root" and (" " in value or "..." in value):
            raise InvalidError(
                f"{variable} names several volumes; cenote has one directory",
                kind="invalid_setting",
            )
        values[key] = (value, variable)
        notices.append(f"{variable} is taken for {key}")
    return Layer(values), notices
