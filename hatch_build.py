"""Compile the engine's kernels into the wheel, where there is a C compiler; else go without.

Owns: the choice, and the compilation, which runs in a process of its own so that nothing it does
can end the build. Does not own: which kernels a program takes (`cenote.lsm.format.kernels`).

The environment variable CENOTE_BUILD_KERNELS takes the choice: `no`, or `require`, with which the
build fails where the kernels cannot be compiled. A wheel without them is for every platform.

To compile into the tree, for an editable install that is there already: python hatch_build.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a program
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
PACKAGE = "cenote/lsm/format"
NEEDED = ["Cython>=3.1", "setuptools>=65"]
CHOICES = ("", "no", "require")


def compiler() -> str | None:
    """Return the C compiler that would be used, if it is there."""
    words = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    return shutil.which(words[0]) if os.name == "posix" else words[0]


def choice() -> str:
    """Return what CENOTE_BUILD_KERNELS says."""
    said = os.environ.get("CENOTE_BUILD_KERNELS", "")
    if said not in CHOICES:
        raise SystemExit(f"CENOTE_BUILD_KERNELS is no or require, not {said!r}")
    return said


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """Return what the build needs: nothing more where nothing is compiled."""
        return NEEDED if choice() != "no" and compiler() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the compiled module to the wheel."""
        if self.target_name != "wheel" or choice() == "no":
            return
        self.folder = Path(tempfile.mkdtemp(prefix="cenote-kernels-"))
        module = compiled(self.folder, quiet=choice() != "require")
        if module is None:
            if choice() == "require":
                raise RuntimeError("the kernels could not be compiled")
            return
        if version == "editable":
            shutil.copy2(module, ROOT / "src" / PACKAGE / module.name)
            return
        build_data["force_include"][str(module)] = f"{PACKAGE}/{module.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take the leftovers away."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)


def compiled(folder: Path, *, quiet: bool) -> Path | None:
    """Compile into `folder`; return the module, or None when that cannot be done."""
    if compiler() is None:
        return None
    command = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    found = sorted(folder.glob(f"_kernels*{sysconfig.get_config_var('EXT_SUFFIX')}"))
    if done.returncode == 0 and found:
        return found[0]
    if not quiet:
        sys.stderr.write(done.stdout + done.stderr)
    return None


def compile_into(folder: Path, work: Path) -> None:
    """Compile the module into `folder`. Raises whatever the tools raise."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    sources = work / "sources"
    shutil.copytree(ROOT / "src" / PACKAGE / "compiled", sources)
    posix = os.name == "posix"
    extension = Extension(
        "_kernels",
        [str(sources / "_kernels.pyx")],
        extra_compile_args=["-O3", "-g0", "-w"] if posix else [],
        extra_link_args=["-s"] if sys.platform == "linux" else [],
    )
    modules = cythonize([extension], quiet=True, build_dir=str(work / "c"))
    command = build_ext(Distribution({"name": "cenote-kernels", "ext_modules": modules}))
    command.build_lib = str(folder)
    command.build_temp = str(work / "temp")
    command.ensure_finalized()
    command.run()


def main() -> int:
    """Compile into the folder that is named, or into the tree."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src" / PACKAGE
    with tempfile.TemporaryDirectory(prefix="cenote-kernels-") as work:
        compile_into(folder, Path(work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
