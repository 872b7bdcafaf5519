"""Read a Dockerfile, and carry its steps out without an engine.

Owns: the few instructions ours uses; any other is an error, so that the file cannot outgrow this.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = {
    "FROM",
    "WORKDIR",
    "COPY",
    "RUN",
    "ENV",
    "USER",
    "VOLUME",
    "EXPOSE",
    "HEALTHCHECK",
    "ENTRYPOINT",
    "CMD",
}


@dataclass
class Stage:
    """One FROM and what follows it, in order."""

    base: str
    name: str | None
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """Return the text behind the last `instruction`."""
        return [text for kind, text in self.steps if kind == instruction][-1]

    def command(self, instruction: str) -> list[str]:
        """Return the JSON words behind the last `instruction`."""
        words: list[str] = json.loads(self.last(instruction))
        return words


def read(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile. Raises ValueError for an instruction not in KNOWN."""
    stages: list[Stage] = []
    joined = re.sub(r"\\\n\s*", "", path.read_text("utf-8"))
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        kind, _, text = line.partition(" ")
        if kind not in KNOWN:
            raise ValueError(f"{kind} is not known here")
        if kind == "FROM":
            words = text.split()
            stages.append(Stage(words[0], words[2] if len(words) == 3 else None))
        else:
            stages[-1].steps.append((kind, text))
    return stages


def ignored(context: Path, name: str) -> bool:
    """Tell whether `.dockerignore` keeps `name` (at the top of the context) out."""
    out = False
    for line in (context / ".dockerignore").read_text("utf-8").splitlines():
        negated = line.startswith("!")
        if line and fnmatch.fnmatch(name, line.removeprefix("!")):
            out = not negated
    return out


class Root:
    """A folder that stands for `/` of a stage: a chroot, or only a prefix put before paths."""

    def __init__(self, path: Path, *, chroot: bool, environment: Mapping[str, str]) -> None:
        self.path = path
        self._chroot = chroot
        self._environment = dict(environment)
        self._folder = "/"

    def at(self, path: str) -> Path:
        """Return where the stage's absolute `path` lies."""
        return self.path / path.lstrip("/")

    def run(self, command: str, *, user: str = "root") -> None:
        """Run a shell line as RUN does. Raises CalledProcessError."""
        if self._chroot:
            inner = f"cd {self._folder} && {command}"
            words = ["chroot", f"--userspec={user}", str(self.path), "/bin/sh", "-ec", inner]
            subprocess.run(words, check=True, env=self._environment)
            return
        # Only paths of ours are moved under the prefix; /bin/sh and the like are the machine's.
        moved = re.sub(r"(?<![\w.])/(opt/cenote|src|data)\b", rf"{self.path}/\1", command)
        folder = self.at(self._folder)
        subprocess.run(["/bin/sh", "-ec", moved], check=True, env=self._environment, cwd=folder)

    def carry_out(
        self, stage: Stage, context: Path, others: Mapping[str, Root], skip: Sequence[str] = ()
    ) -> None:
        """Carry out every WORKDIR, COPY, RUN and ENV; RUN lines with a word in `skip` are not."""
        for kind, text in stage.steps:
            if kind == "WORKDIR":
                self._folder = text
                self.at(text).mkdir(parents=True, exist_ok=True)
            elif kind == "COPY":
                self._copy(text.split(), context, others)
            elif kind == "ENV":
                for name, value in re.findall(r'(\w+)="?([^"\s]+)"?', text):
                    value = value.replace("$PATH", self._environment["PATH"])
                    self._environment[name] = value
            elif kind == "RUN" and not any(word in text.split() for word in skip):
                self.run(text)

    def _copy(self, words: list[str], context: Path, others: Mapping[str, Root]) -> None:
        if words[0].startswith("--from="):
            source = others[words.pop(0).partition("=")[2]].at(words[0])
            sources = [source]
        else:
            sources = [context / name for name in words[:-1]]
        target = self.at(os.path.join(self._folder, words[-1]))
        for source in sources:
            if source.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=skip)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / source.name)
