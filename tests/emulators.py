"""Other people's object stores on this machine: moto for S3, Azurite for Azure.

Each runs as a process of its own on a free port, keeps its objects in memory, and is shared by the
tests of a session.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from installing import install, missing

# Azurite's own account and key, which its documentation prints.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_START_SECONDS = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends, which begins when its port is open."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, f"{command[0]} does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def moto(scratch: Path) -> Iterator[str]:
    """Run moto's server; give its endpoint."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        missing("moto is not installed: pip install 'moto[server]'")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with serving(command, port, scratch / "moto.log"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def azurite(cache: Path, scratch: Path) -> Iterator[str]:
    """Run Azurite's blob service; give its endpoint, the account's name included."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("Azurite needs node and npm: apt-get install nodejs npm")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    failed = install(cache, ("npm", "install", "--prefix", ".", *quiet, "azurite@3.35.0"))
    if failed is not None:
        missing(f"Azurite could not be installed: {failed}")
    port = free_port()
    main = cache / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = ["node", main, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    # The wheel's version of the protocol is newer than Azurite's.
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]
    with serving(command, port, scratch / "azurite.log"):
        yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"


def make_container(endpoint: str, name: str) -> None:
    """Make a container: the one request for which obstore has no call.

    Signed by learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key.
    """
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12 + "".join(f"{k}:{v}\n" for k, v in sorted(headers.items()))
    signed += f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(AZURE_KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    headers["Content-Length"] = "0"
    address = endpoint.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("PUT", f"/{AZURE_ACCOUNT}/{name}?restype=container", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
    finally:
        connection.close()
