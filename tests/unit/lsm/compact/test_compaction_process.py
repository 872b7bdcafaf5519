"""Compactions merged by a process of their own: the same in every way but where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from trees import Commas
from world import content, fill, manifest_of, settings, shape, write, writer_of

from cenote.base import SystemClock, SystemRand
from cenote.errors import InvalidError, UnavailableError
from cenote.lsm import MERGE, Db, open_place
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.compact.remote import ProcessRunner, RemoteRun
from cenote.objstore import LocalStore, MemoryStore

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes import the operators of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def compactor_at(folder: Path, operator: object = None, **given: object) -> Compactor:
    return Compactor.open(
        open_place(f"file://{folder}/db"),
        settings(compactor={"process": True, "sst_size": 4_000, **given}),
        merge_operator=operator or Commas(),  # type: ignore[arg-type]
        clock=SystemClock(),
        rand=SystemRand(),
        background=False,
    )


def prepared(folder: Path) -> LocalStore:
    store = LocalStore(folder)
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=300)
    writer.close()
    return store


def runs_of(compactor: Compactor) -> list[RemoteRun]:
    found = [each.run for each in compactor._worker._attempts.values()]  # type: ignore[union-attr]
    assert all(isinstance(each, RemoteRun) for each in found)
    return found  # type: ignore[return-value]


def test_another_process_merges_and_this_one_commits(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    expected = content(store)
    with compactor_at(tmp_path) as compactor:
        while compactor.run():
            for each in runs_of(compactor):
                assert each._local is None
        runner = compactor._tools.runner
        assert isinstance(runner, ProcessRunner)
        assert runner.refused is None
    files, runs = shape(manifest_of(store))
    assert files == 0
    assert runs[0] > 1
    assert content(store) == expected


def test_a_process_that_is_killed_is_replaced_and_goes_on(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    expected = content(store)
    killed = 0
    with compactor_at(tmp_path) as compactor:
        for _ in range(2000):
            try:
                if not compactor.run():
                    break
            except UnavailableError as error:
                assert error.kind == "process"
            for each in runs_of(compactor):
                if killed < 3 and each._process is not None:
                    each._process.kill()
                    killed += 1
    assert killed == 3
    assert shape(manifest_of(store))[0] == 0
    assert content(store) == expected


class Failing(Commas):
    """Fails in whatever process it is."""

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        raise ZeroDivisionError("broken")


def test_an_operators_exception_comes_back(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    writer = writer_of(store, compactor={"enabled": False})
    for n in range(4):
        write(writer, (b"k", b"%d" % n, MERGE))
    with compactor_at(tmp_path, Failing()) as compactor:
        while compactor.run():
            pass
        assert isinstance(compactor.last_error, ZeroDivisionError)
    assert shape(manifest_of(store)) == (4, [])
    writer.close()


def test_an_operator_nobody_else_can_have_is_used_here(tmp_path: Path) -> None:
    class Local(Commas):
        pass

    store = prepared(tmp_path)
    expected = content(store)
    with compactor_at(tmp_path, Local()) as compactor:
        compactor.compact()
        assert "Local" in str(compactor._tools.runner.refused)  # type: ignore[attr-defined]
    assert content(store) == expected


def test_closing_ends_the_process(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    compactor = compactor_at(tmp_path)
    process = None
    while process is None:
        assert compactor.run()
        process = next((each._process for each in runs_of(compactor)), None)
    compactor.close()
    assert process.returncode is not None
    assert shape(manifest_of(store))[0] == 4


def test_a_database_can_have_it_so(tmp_path: Path) -> None:
    with Db.open(f"file://{tmp_path}/db", settings={"compactor": {"process": True}}) as db:
        for n in range(3):
            db.put(b"a", b"%d" % n)
            db.flush_memtable()
        db.compact()
        assert db.status().sorted_runs == 1
        assert db.get(b"a") == b"2"


def test_a_store_that_only_this_process_has_is_refused() -> None:
    for where in ("memory://", MemoryStore()):
        with pytest.raises(InvalidError) as refused:
            Db.open(where, settings={"compactor": {"process": True}})
        assert refused.value.kind == "process"
