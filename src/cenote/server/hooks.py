"""Init hooks: programs that are run once requests are answered.

Owns: which programs, their order and environment, the file that tells how they fared.
Does not own: when the server is ready.

`DIR/ready.d/` holds them: *.sh are run by `sh`, *.py by this Python, in the order of their names,
one after the other. They find the server by AWS_ENDPOINT_URL and its keys by the usual variables.

Invariants:
1. A hook that fails is told of, and does not stop the server or the hooks after it.
2. `ROOT/.cenote/init.json` tells at any moment which have run and how they ended.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from cenote.errors import UnsupportedError
from cenote.server.running import Running
from cenote.server.settings import Settings

__all__ = ["run_hooks", "state_of_hooks"]

_log = logging.getLogger("cenote.hooks")
_STAGE: Final = "ready.d"


def _file(settings: Settings) -> Path:
    return Path(settings.path) / ".cenote" / "init.json"


def state_of_hooks(settings: Settings) -> dict[str, Any]:
    """Return what the hooks' file tells; without hooks they are all completed."""
    if settings.init_hooks is None:
        return {"completed": True, "scripts": []}
    try:
        found: dict[str, Any] = json.loads(_file(settings).read_text("utf-8"))
    except (OSError, ValueError):
        return {"completed": False, "scripts": []}
    return found


def run_hooks(settings: Settings, running: Running) -> threading.Thread | None:
    """Run the hooks on a thread of their own, and return it; None when there are none.

    A directory that is not there has no hooks. Raises UnsupportedError for hooks beside several
    workers: their parent starts processes anew, and must have no threads then.
    """
    if settings.init_hooks is None or settings.read_only:
        return None
    try:
        folder = Path(settings.init_hooks).expanduser() / _STAGE
        hooks = sorted(path for path in folder.iterdir() if path.suffix in (".sh", ".py"))
    except OSError:
        hooks = []
    scripts = [{"stage": "READY", "name": path.name, "state": "UNKNOWN"} for path in hooks]
    _note(settings, scripts, completed=not hooks)
    if not hooks:
        return None
    if settings.workers > 1:
        raise UnsupportedError(
            f"the hooks in {folder} need one worker", hint="run them by yourself, or --workers 1"
        )
    thread = threading.Thread(
        target=_run_all, args=(settings, hooks, scripts, _environment(running)), daemon=True
    )
    thread.start()
    return thread


def _environment(running: Running) -> dict[str, str]:
    access, secret = next(iter(running.credentials.secrets.items()))
    region = running.settings.region or "us-east-1"
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
    }


def _run_all(
    settings: Settings,
    hooks: list[Path],
    scripts: list[dict[str, str]],
    environment: dict[str, str],
) -> None:
    for path, script in zip(hooks, scripts, strict=True):
        script["state"] = "RUNNING"
        _note(settings, scripts, completed=False)
        program = sys.executable if path.suffix == ".py" else "sh"
        try:
            done = subprocess.run(
                [program, str(path)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            script["state"] = "ERROR"
            _log.error("hook %s could not be run: %s", path, error)
            continue
        script["state"] = "ERROR" if done.returncode else "SUCCESSFUL"
        output = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode:
            _log.error("hook %s ended with status %d: %s", path, done.returncode, output)
        elif output:
            _log.info("hook %s: %s", path, output)
    _note(settings, scripts, completed=True)


def _note(settings: Settings, scripts: list[dict[str, str]], *, completed: bool) -> None:
    path = _file(settings)
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(json.dumps({"completed": completed, "scripts": scripts}), "utf-8")
        new.replace(path)
    except OSError as error:
        _log.error("%s is not written: %s", path, error.strerror)
