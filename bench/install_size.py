"""How large cenote is when installed: a fresh environment, MB per distribution.

    python bench/install_size.py [--limit 40]

Compiled bytecode counts: it is there after the first run. pip itself does not count. Ends with
status 1 above the limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MB = 1_000_000

# Runs inside the fresh environment: the sizes of what each distribution's RECORD names.
MEASURE = """
import importlib.metadata as m, json, pathlib
sizes = {}
for d in m.distributions():
    files = [pathlib.Path(d.locate_file(f)) for f in d.files or ()]
    sizes[d.name] = sum(f.stat().st_size for f in files if f.is_file())
print(json.dumps(sizes))
"""


def measure(folder: Path) -> dict[str, int]:
    """Install the tree into `folder` and return bytes per distribution."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, "-c", str(ROOT / "constraints.txt"), str(ROOT)], check=True)
    done = subprocess.run([python, "-c", MEASURE], check=True, capture_output=True, text=True)
    sizes: dict[str, int] = json.loads(done.stdout)
    return {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}


def main() -> int:
    """Print the table and compare the sum with the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=40.0, help="MB")
    limit = parser.parse_args().limit
    with tempfile.TemporaryDirectory(prefix="cenote-size-") as folder:
        sizes = measure(Path(folder) / "venv")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / MB:6.1f}  {name}")
    total = sum(sizes.values()) / MB
    print(f"{total:6.1f}  MB in all, limit {limit:g}")
    return 0 if total <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
