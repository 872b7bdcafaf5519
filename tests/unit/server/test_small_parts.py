"""Hosts, faults, metrics and readiness: the parts that decide without I/O."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

import cenote
from cenote.base import Registry
from cenote.errors import InvalidError, NotFoundError, UnavailableError
from cenote.s3 import CODES
from cenote.server.faults import FAULTS, s3_error_of
from cenote.server.hosts import Hosts
from cenote.server.notify import notify


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("s3.test", None),
        ("b.s3.test", "b"),
        ("B.S3.Test:9000", "b"),
        ("a.b.s3.test.", "a.b"),
        ("x.inner.s3.test", "x"),
        ("xs3.test", None),
        (".s3.test", None),
        ("127.0.0.1:9000", None),
        ("[::1]:9000", None),
        ("", None),
    ],
)
def test_hosts(host: str, bucket: str | None):
    assert Hosts(["s3.test", "inner.s3.test"]).bucket_of(host) == bucket
    assert Hosts([]).bucket_of(host) is None


def test_every_fault_has_a_code_that_exists():
    assert {fault.code for fault in FAULTS.values()} <= set(CODES)


def test_every_kind_that_is_raised_is_mapped():
    source = Path(cenote.__file__).parent
    raised = set()
    for path in (*source.glob("buckets/*.py"), *source.glob("sqldb/*.py")):
        raised |= set(re.findall(r'kind="([a-z_]+)"', path.read_text()))
    # Told at the start, or of a directory and not of a request.
    start = {
        "no_such_directory",
        "no_such_snapshot",
        "directory_locked",
        "foreign_file",
        "no_such_failpoint",
    }
    assert raised - set(FAULTS) - start == set()


def test_an_unmapped_kind_falls_back_to_its_class():
    assert s3_error_of(NotFoundError("x", kind="new_kind")).code == "NoSuchKey"
    assert s3_error_of(InvalidError("x", kind="new_kind")).status == 400
    assert s3_error_of(UnavailableError("x", kind="new_kind")).status == 503


def test_the_exposition_format():
    registry = Registry()
    counter = registry.counter("c_total", "Counts.", ("a",))
    counter.add(2, ('x"y',))
    registry.gauge("g", "Level.", lambda: 1.5)
    histogram = registry.histogram("h", "Times.", (0.1, 1.0))
    for value in (0.05, 0.5, 5.0):
        histogram.observe(value)
    assert registry.exposition().splitlines() == [
        "# HELP c_total Counts.",
        "# TYPE c_total counter",
        'c_total{a="x\\"y"} 2',
        "# HELP g Level.",
        "# TYPE g gauge",
        "g 1.5",
        "# HELP h Times.",
        "# TYPE h histogram",
        'h_bucket{le="0.1"} 1',
        'h_bucket{le="1"} 2',
        'h_bucket{le="+Inf"} 3',
        "h_sum 5.55",
        "h_count 3",
    ]


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify("READY=1")
        assert listening.recv(100) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", path + "-gone")
    assert not notify("READY=1")
