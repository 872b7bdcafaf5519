"""One real `cenote serve` process for the session, and the foreign clients found on the machine.

*Owns:* the server process (its start, its clean stop, `cenote check` of its directory
afterwards), a clean environment for clients, and how a missing client is skipped.

*Does not own:* what a client does; that is one file per client.

Environment:

- `E2E_ENDPOINT` (with `E2E_ACCESS_KEY`, `E2E_SECRET_KEY`, `E2E_REGION`): run against this
  endpoint and start no server. That is how a test is shown to be right about S3 and not only
  about us.
- `E2E_REQUIRE=all`: a missing client is a failure and not a skip.
"""

import contextlib
import dataclasses
import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from installing import install, missing

COMMAND_LIMIT_S = 100
DOMAIN = "s3.localhost"


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens, and a key pair that it knows."""

    host: str
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    certificate: str | None = None  # PEM file of the one to trust; with it, HTTPS
    domain: str | None = None  # under which buckets are host names

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.address}"

    def boto3(self, access_key: str | None = None, secret_key: str | None = None, **config: Any):
        """Return a boto3 client; `config` are botocore.config.Config's fields."""
        import boto3
        from botocore.config import Config

        # Left alone, boto3 presigns for any endpoint but AWS's own with the retired version 2.
        config.setdefault("signature_version", "s3v4")
        config.setdefault("s3", {"addressing_style": "path"})
        config.setdefault("retries", {"max_attempts": 1})
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            region_name=self.region,
            verify=self.certificate,
            config=Config(**config),
        )

    def environment(self, home: Path) -> dict[str, str]:
        """Return the whole environment of a client process: nothing of the caller's leaks in."""
        beside = str(Path(sys.executable).parent)
        variables = {
            "PATH": os.pathsep.join((beside, os.environ.get("PATH", os.defpath))),
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        if self.certificate is not None:
            variables |= dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), self.certificate)
        return variables


def _given_endpoint() -> Endpoint | None:
    url = os.environ.get("E2E_ENDPOINT")
    if not url:
        return None
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    return Endpoint(
        host,
        int(port or 80),
        os.environ.get("E2E_ACCESS_KEY", "e2e"),
        os.environ.get("E2E_SECRET_KEY", "e2e-secret"),
        os.environ.get("E2E_REGION", "us-east-1"),
    )


@contextlib.contextmanager
def _serving(root: Path, *flags: str, **more: str) -> Iterator[Endpoint]:
    """Run `cenote serve` until the block ends; stop it as an operator would and look it over.

    `more` are fields of the Endpoint.
    """
    from cenote.testing import ServerProcess

    environment = {"HOME": str(root)}
    with ServerProcess(root / "data", root, flags=flags, environment=environment) as server:
        at = server.start()
        yield Endpoint(at.host, at.port, at.access_key, at.secret_key, at.region, **more)
        assert server.is_alive(), f"cenote serve died:\n{server.log_end()}"
        assert server.stop() == 0, server.log_end()
    check = [sys.executable, "-m", "cenote", "check", "--deep", str(root / "data")]
    found = subprocess.run(check, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The server under test."""
    given = _given_endpoint()
    if given is not None:
        yield given
        return
    with _serving(tmp_path_factory.mktemp("e2e-server")) as serving:
        yield serving


@pytest.fixture(scope="session")
def secure_endpoint(
    tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str, str], str]
) -> Iterator[Endpoint]:
    """A second server, over TLS; buckets may also be names under `DOMAIN`."""
    if _given_endpoint() is not None:
        pytest.skip("E2E_ENDPOINT is the server under test, and no server is started")
    root = tmp_path_factory.mktemp("e2e-secure-server")
    certificate, key = root / "certificate.pem", root / "key.pem"
    names = f"subjectAltName=IP:127.0.0.1,DNS:{DOMAIN},DNS:*.{DOMAIN}"
    command = [need_program("openssl", "apt-get install openssl"), "req", "-x509", "-nodes"]
    command += ["-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=e2e", "-addext", names]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    flags = ("--tls-cert", str(certificate), "--tls-key", str(key), "--domain", DOMAIN)
    with _serving(root, *flags, certificate=str(certificate), domain=DOMAIN) as serving:
        yield serving


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the caller's profile, proxy and certificates out of clients that run in process."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def s3(endpoint: Endpoint) -> Iterator[Any]:
    """A boto3 client, also the second opinion on what another client left behind."""
    _need_module("boto3")
    client = endpoint.boto3()
    yield client
    client.close()


_counter = itertools.count(1)


@pytest.fixture
def unused_bucket(request: pytest.FixtureRequest) -> str:
    """The name of no bucket yet, after the test's file."""
    stem = Path(str(request.node.path)).stem.removeprefix("test_").replace("_", "-")
    return f"e2e-{stem}-{os.getpid()}-{next(_counter)}"


@pytest.fixture
def bucket(s3: Any, unused_bucket: str) -> str:
    """A new empty bucket."""
    s3.create_bucket(Bucket=unused_bucket)
    return unused_bucket


@pytest.fixture
def run(endpoint: Endpoint, tmp_path: Path) -> Callable[..., str]:
    """Run a client's command, demand success and return its standard output.

    `at` is the endpoint whose keys and certificate the client's environment has.
    With `fails` the command must end with a status other than 0, and standard error is returned
    as well.
    """

    def call(
        command: Sequence[str | Path],
        *,
        at: Endpoint = endpoint,
        fails: bool = False,
        extra: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            env=at.environment(tmp_path) | dict(extra or {}),
            cwd=tmp_path,
            input=stdin or "",
            timeout=COMMAND_LIMIT_S,
        )
        both = f"{done.stdout}\n{done.stderr}"
        assert (done.returncode != 0) is fails, f"{command} gave {done.returncode}:\n{both}"
        return both if fails else done.stdout

    return call


def _need_module(name: str, package: str | None = None) -> None:
    if importlib.util.find_spec(name) is None:
        missing(f"{name} is not installed: pip install {package or name}")


@pytest.fixture(scope="session")
def need_module() -> Callable[..., None]:
    """Skip the test, saying what to install, unless the Python module is there."""
    return _need_module


@pytest.fixture(scope="session")
def need_program() -> Callable[[str, str], str]:
    """Return a program's path; skip the test, saying how to install it, when there is none."""

    def call(name: str, install: str) -> str:
        beside = Path(sys.executable).parent / name
        found = str(beside) if beside.exists() else shutil.which(name)
        if found is None:
            missing(f"{name} is not installed: {install}")
        return str(found)

    return call


@pytest.fixture
def installed(request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Install a client that cannot share our environment into pytest's cache, once.

    `commands` run in an empty directory, which is returned; when one fails the test is skipped
    with its output.
    """

    def call(name: str, *commands: Sequence[str]) -> Path:
        directory = Path(request.config.cache.mkdir(f"e2e-{name}"))
        failed = install(directory, *map(tuple, commands))
        if failed is not None:
            missing(f"{name} could not be installed: {failed}")
        return directory

    return call


@pytest.fixture
def sdk_js(installed: Callable[..., Path], need_program: Callable[[str, str], str]) -> Path:
    """A directory with the AWS SDK for JavaScript: modules written there find its packages."""
    need_program("node", "apt-get install nodejs")
    npm = need_program("npm", "apt-get install npm")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    packages = (
        "@aws-sdk/client-s3@3.1169.0",
        "@aws-sdk/lib-storage@3.1169.0",
        "@aws-sdk/s3-request-presigner@3.1162.0",
    )
    return installed("sdk-js", (npm, "install", "--prefix", ".", *quiet, *packages))


@pytest.fixture
def s3fs_python(installed: Callable[..., Path]) -> Path:
    """A Python that has s3fs, which asks for another botocore than the current boto3."""
    pip = ("bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    make = (sys.executable, "-m", "venv", ".")
    return installed("s3fs", make, (*pip, "s3fs==2026.9.0")) / "bin" / "python"
