"""The guide to clients: what it tells of each client is done, in the client's own environment."""

import os
import re
import sys
from pathlib import Path

import pytest

# The first test to need it installs the client over the network.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "clients.md"
SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)(?: no-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLIENTS = {name: BLOCK.findall(text) for name, text in SECTION.findall(PAGE.read_text("utf-8"))}

PROGRAMS = {
    "aws": "pip install awscli",
    "s3cmd": "apt-get install s3cmd",
    "rclone": "apt-get install rclone",
    "restic": "apt-get install restic",
}
MODULES = ("boto3", "minio", "pyarrow", "polars", "obstore", "slatedb")
DUCKDB = """
import pathlib, sys, duckdb, duckdb_extension_httpfs
(httpfs,) = pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
duckdb.execute(f"LOAD '{httpfs}'")
exec(sys.argv[1])
"""


@pytest.fixture
def photos(s3):
    """The bucket that the page makes; says at the end what is in it."""

    def keys() -> list[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="photos")
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    s3.create_bucket(Bucket="photos")
    yield keys
    for key in keys():
        s3.delete_object(Bucket="photos", Key=key)
    s3.delete_bucket(Bucket="photos")


@pytest.fixture
def commands(request, need_module, need_program, tmp_path):
    """Return what runs a block of the client: a command before the block's text."""

    def of(client: str) -> dict[str, list[str]]:
        if client in PROGRAMS:
            need_program(client, PROGRAMS[client])
        elif client in MODULES:
            need_module(client)
        known = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}
        if client == "s3fs":
            known["python"] = [str(request.getfixturevalue("s3fs_python")), "-c"]
        if client == "DuckDB":
            need_module("duckdb_extension_httpfs", "duckdb-extension-httpfs")
            known["python"].append(DUCKDB)
        if client == "JavaScript":
            known["js"] = ["node", "--input-type=module", "--eval"]
            os.symlink(
                request.getfixturevalue("sdk_js") / "node_modules", tmp_path / "node_modules"
            )
        return known

    return of


@pytest.mark.parametrize("client", CLIENTS)
def test_every_block_runs(client, commands, run, photos, endpoint) -> None:
    known = commands(client)
    for language, text in CLIENTS[client]:
        run([*known[language], text], extra={"AWS_ENDPOINT_URL_S3": endpoint.url})
    assert client == "minio" or photos()


def test_the_page_speaks_of_every_client() -> None:
    others = {"DuckDB", "JavaScript", "s3fs"}
    assert set(CLIENTS) == {*PROGRAMS, *MODULES, *others}
    assert all(CLIENTS.values())
