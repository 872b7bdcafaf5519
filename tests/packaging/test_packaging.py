"""The image, the compose file and the unit: what they promise, and their own steps carried out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from dockerfile import Root, Stage, ignored, read

CONTEXT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stages() -> list[Stage]:
    return read(CONTEXT / "Dockerfile")


def accepted(words: list[str]) -> None:
    """Parse `cenote serve` and these words, running nothing."""
    from cenote.cli.serve import command

    assert words[0] == "serve"
    context = command.make_context("serve", words[1:])
    assert isinstance(context, click.Context)


def test_the_image_runs_without_root(stages: list[Stage]) -> None:
    final = stages[-1]
    assert final.last("USER") == "cenote"
    kinds = [kind for kind, _ in final.steps]
    assert "RUN" not in kinds[kinds.index("USER") :]
    assert final.last("VOLUME") == "/data"


def test_the_image_starts_a_server_that_outsiders_reach(stages: list[Stage]) -> None:
    final = stages[-1]
    assert final.command("ENTRYPOINT") == ["cenote"]
    words = final.command("CMD")
    accepted(words)
    assert words[words.index("--host") + 1] == "0.0.0.0"
    assert words[1] == final.last("VOLUME")
    assert f":{final.last('EXPOSE')}/health" in final.last("HEALTHCHECK")


def test_what_is_copied_is_there_and_not_ignored(stages: list[Stage]) -> None:
    for stage in stages:
        for kind, text in stage.steps:
            if kind != "COPY" or text.startswith("--from="):
                continue
            for name in text.split()[:-1]:
                assert (CONTEXT / name).exists(), name
                assert not ignored(CONTEXT, name), name
    assert ignored(CONTEXT, ".git")


def test_compose_publishes_to_the_machine_itself_only() -> None:
    text = (CONTEXT / "compose.yaml").read_text("utf-8")
    assert re.findall(r'- "([\d.:]+)"', text) == ["127.0.0.1:9000:9000"]
    assert "cenote-data:/data" in text


def test_the_unit_starts_what_the_command_line_takes() -> None:
    unit = (CONTEXT / "packaging/cenote.service").read_text("utf-8")
    values = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    program, *words = values["ExecStart"].split()
    assert Path(program).name == "cenote"
    accepted(words)
    assert (values["Type"], values["DynamicUser"]) == ("notify", "yes")
    assert values["StateDirectory"] == words[1].removeprefix("%S/")


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    unit = tmp_path / "cenote.service"
    text = (CONTEXT / "packaging/cenote.service").read_text("utf-8")
    # The program need not be installed where the unit is only read.
    unit.write_text(text.replace("/opt/cenote/bin/cenote", "/bin/true"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if str(unit) in line]
    assert not complaints


def environment() -> dict[str, str]:
    keep = ("PIP_", "SSL_", "REQUESTS_", "http_proxy", "https_proxy", "no_proxy")
    kept = {name: value for name, value in os.environ.items() if name.startswith(keep)}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", **kept}


def serves(command: list[str], data: str, ready: Path) -> None:
    """Start the image's command on a free port, ask its health, and stop it as an engine does."""
    words = [*command, "serve", data, "--port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"at (http://\S+)", line)
        assert found, line + process.stdout.read()
        with urllib.request.urlopen(found[1] + "/health", timeout=10) as reply:
            assert reply.status == 200
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_steps_work_in_a_fresh_environment(stages: list[Stage], tmp_path: Path) -> None:
    """The build's steps, their paths moved under a folder. Users are the next test's matter."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    variables = environment()
    variables["PATH"] = f"{tools}:{variables['PATH']}"
    variables["HOME"] = str(tmp_path)
    build = Root(tmp_path / "build", chroot=False, environment=variables)
    build.path.mkdir()
    build.carry_out(stages[0], CONTEXT, {})
    program = build.at("/opt/cenote/bin/cenote")
    serves([str(program)], str(tmp_path / "data"), tmp_path / "ready")


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    root = tmp_path / "debian"
    packages = "python3,python3-venv,ca-certificates"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root)],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"debootstrap failed: {done.stdout[-300:]}")
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_steps_work_on_a_fresh_debian(stages: list[Stage], debian: Path) -> None:
    """Every step of both stages in a chroot, then the server as the image's user."""
    roots: dict[str, Root] = {}
    for stage in stages:
        # One root serves both stages: what the second lacks, it does not use.
        root = Root(debian, chroot=True, environment=environment())
        steps = [step for step in stage.steps if not step[1].startswith("--from=")]
        root.carry_out(Stage(stage.base, stage.name, steps), CONTEXT, roots)
        roots[stage.name or ""] = root
    listing = subprocess.run(["stat", "-c", "%u %a", str(debian / "data")], capture_output=True)
    assert listing.stdout.split() == [b"10001", b"700"]
    command = ["chroot", "--userspec=10001:10001", str(debian), "/opt/cenote/bin/cenote"]
    serves(command, "/data", Path("/data/.ready"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_installation_is_small() -> None:
    """At most 40 MB beyond Python."""
    done = subprocess.run(
        [sys.executable, str(CONTEXT / "bench" / "install_size.py"), "--limit", "40"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
