"""The guides are run: every fenced block of a page, in order, in one shell in an empty folder.

A block marked `sh` is shell, `python` is a program, `toml` must be a configuration the server
takes, and `no-run` behind the language says that a block is only to be read. A server that a page
starts listens on a free port, for nothing else on the machine shall matter.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)( no-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READ_ONLY = {"text", "sql", ""}

PREAMBLE = """\
set -eu
trap 'for job in $(jobs -p); do kill "$job"; done; wait' EXIT
"""
# A guide says `cenote serve data &` and goes on; a reader types slower than a program.
WAIT = """\
for i in $(seq 200); do [ -e data/.cenote/endpoint ] && break; sleep 0.05; done
[ -e data/.cenote/endpoint ]
"""


def script(page: Path) -> str:
    parts = [PREAMBLE]
    for language, no_run, body in BLOCK.findall(page.read_text("utf-8")):
        if no_run or language in READ_ONLY:
            continue
        if language == "sh":
            parts.append(body)
            if re.search(r"^cenote serve .*&$", body, re.MULTILINE):
                parts.append(WAIT)
        elif language == "python":
            parts.append(f"python - <<'END_OF_BLOCK'\n{body}END_OF_BLOCK\n")
        elif language == "toml":
            parts.append(f"cat > page.toml <<'END_OF_BLOCK'\n{body}END_OF_BLOCK\n")
            parts.append("cenote config show --config page.toml > shown\n")
        else:
            raise ValueError(f"{page.name}: a block in {language!r} cannot be run")
    return "".join(parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    commands = script(page)
    if commands == PREAMBLE:
        pytest.skip("nothing to run")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CENOTE_", "MINIO_"))
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CENOTE_PORT": "0",
    }
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout[-4000:]
