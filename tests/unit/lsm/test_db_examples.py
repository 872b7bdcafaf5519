"""The examples in the docstrings of what users call do what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = (
    "async_db",
    "async_reads",
    "async_scan",
    "batch",
    "db",
    "db_scan",
    "reads",
    "snapshot",
    "written",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = import_module(f"cenote.lsm.{name}")
    found = doctest.testmod(module, report=True)
    assert found.failed == 0
    assert found.attempted


def test_every_public_call_of_a_face_has_an_example() -> None:
    from cenote.lsm.async_db import AsyncDb
    from cenote.lsm.db import Db

    for face in (Db, AsyncDb):
        for name in dir(face):
            call = getattr(face, name)
            if name.startswith("_") or not callable(call) or name == "close":
                continue
            assert ">>>" in (call.__doc__ or ""), f"{face.__name__}.{name}"
