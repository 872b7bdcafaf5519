"""The shape of the source: sizes, names, docstrings, and which way imports point."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "cenote"
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60
BANNED_NAMES = re.compile(r"^_?(utils?|helpers?|common|misc|stuff|tools)$|_v\d+$")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*roots: Path) -> list[Path]:
    return sorted(p for root in roots for p in root.rglob("*.py") if "__pycache__" not in p.parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_point_one_way() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_package_has_a_layer() -> None:
    contract = (ROOT / "pyproject.toml").read_text("utf-8").partition("layers = [")[2]
    layers = set(re.findall(r"\w+", contract.partition("]")[0]))
    packages = {p.parent.name for p in SRC.glob("*/__init__.py")}
    assert packages <= layers, f"give a place in pyproject's layers to {packages - layers}"


def foreign_imports(path: Path) -> Iterator[str]:
    """Yield the modules inside other packages that `path` imports around their `__init__`."""
    own = path.relative_to(SRC).parts[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            if parts[0] == "cenote" and len(parts) > 2 and parts[1] != own:
                yield f"{name_of(path)}:{node.lineno} imports {module}"


def test_packages_are_entered_by_the_front_door() -> None:
    wrong = [line for path in sources(SRC) for line in foreign_imports(path)]
    assert not wrong, "\n".join(wrong)


def test_files_are_short() -> None:
    long = [
        f"{name_of(path)}: {lines} lines"
        for path in sources(SRC, ROOT / "tests")
        if (lines := path.read_text("utf-8").count("\n")) > FILE_LINES_MAX
    ]
    assert not long, "\n".join(long)


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Function):
            yield node


def body_lines(function: Function) -> int:
    """Count the lines of `function` from its `def`, its docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}: {lines} lines"
        for path in sources(SRC)
        for node in functions(path)
        if (lines := body_lines(node)) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_modules_are_named_for_what_they_hold() -> None:
    wrong = [
        name_of(path)
        for path in sources(SRC, ROOT / "tests")
        for part in path.relative_to(ROOT).with_suffix("").parts
        if BANNED_NAMES.search(part)
    ]
    assert not wrong, "\n".join(wrong)


def undocumented(path: Path) -> Iterator[str]:
    """Yield what is public in `path` and says nothing of itself.

    A method that a protocol's or a base class's docstring already tells of need not repeat it:
    so only module functions, classes, and methods of classes without bases are asked.
    """
    module = tree_of(path)
    if path.name != "__main__.py" and not module.body and path.stat().st_size == 0:
        return
    if ast.get_docstring(module) is None:
        yield f"{name_of(path)}: the module"
    for node in module.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield f"{name_of(path)}:{node.lineno} {node.name}"


def test_what_is_public_is_documented() -> None:
    missing = [line for path in sources(SRC) for line in undocumented(path)]
    assert not missing, "\n".join(missing)


def test_outside_bytes_are_not_checked_by_assert() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources(SRC)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Assert)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", ["s3"])
def test_the_protocol_is_free_of_io(package: str) -> None:
    banned = {"asyncio", "socket", "sqlite3", "apsw", "time", "random", "threading", "ssl"}
    wrong = []
    for path in sources(SRC / package):
        for node in ast.walk(tree_of(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            wrong += [
                f"{name_of(path)}:{node.lineno} {name}"
                for name in names
                if name.split(".")[0] in banned
            ]
    assert not wrong, "\n".join(wrong)
