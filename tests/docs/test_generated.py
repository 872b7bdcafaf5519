"""The pages that the code writes are the ones in the tree, and every setting has its words."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


def test_pages_are_current(generate: ModuleType) -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in generate.pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert not stale, f"run python docs/generate.py: {stale}"


def test_every_setting_has_words_and_a_flag_or_set() -> None:
    from cenote.base import settings_of
    from cenote.cli.configuration import DESCRIPTIONS
    from cenote.cli.serve import FLAGS
    from cenote.server import Settings

    keys = [setting.key for setting in settings_of(Settings)]
    assert keys == list(DESCRIPTIONS)
    assert [key for key in keys if "." not in key] == list(FLAGS)


def test_every_setting_of_a_database_has_words(generate: ModuleType) -> None:
    import msgspec

    from cenote.lsm import CompactorSettings, DbSettings, GcSettings, ReaderSettings

    for kind in (DbSettings, CompactorSettings, GcSettings, ReaderSettings):
        told = [name for names, _ in generate.setting_words(kind) for name in names]
        fields = [field.name for field in msgspec.structs.fields(kind)]
        assert told == [name for name in fields if name not in ("compactor", "gc")]


def test_every_dependency_has_a_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    for requirement in project["dependencies"]:
        name = requirement.split(">")[0].split("[")[0]
        assert f"`{name}`" in page, name


def test_links_lead_somewhere() -> None:
    import re

    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_tests_that_pages_name_are_there() -> None:
    import re

    found = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
    }
    page = (ROOT / "docs" / "reference" / "slatedb-differences.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 20
    assert set(named) <= found, set(named) - found
