"""Names that would leave a folder, removal of other files, and commands beside a running process: all are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import command_here
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.layout import RunLayout
from mssbench.runs.lock import RunLock
from mssbench.runs.owned import remove_generated
from mssbench.runs.records import Cell
from mssbench.runs.results import result_rows
from mssbench.runs.run import Run, open_run
from mssbench.services.health import survey
from mssbench.services.runtime import Runtime, make_runtime
from mssbench_service.errors import BadInput
from mssbench_service.files import read_json, write_json

CONFIG = RunConfig(
    dataset="music",
    separators=["oracle-identity"],
    tracks=1,
    bsseval=False,
    metrics="corrected",
    conditions=["stereo"],
)

HOSTILE_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "../../../../data/x",
    "/etc/x",
    "a/b",
    "a/../b",
    "a\\b",
    ".tmp-x",
    ".deleted-x",
    "a\0b",
    "a\nb",
    "a\x1b[31m",
    "\ud800",
    "x" * 256,
]


@pytest.fixture
def run(workspace: Path) -> Run:
    return prepare(CONFIG, make_runtime(workspace), run_id="mine")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    run = command_here(monkeypatch, capsys)
    return lambda *arguments: ((done := run(*arguments)).returncode, done.stderr)


class Hostile:
    """A transport whose service reports a separator called `name`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def info(self, service: object) -> dict[str, Any]:
        return {"version": "1", "separators": [{"name": self.name, "description": "d"}]}

    def call(self, *arguments: object) -> Any:
        raise AssertionError("nothing is called")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_service_with_a_hostile_name_fails(tmp_path: Path, name: str) -> None:
    inner = make_runtime(tmp_path)
    runtime = Runtime(Hostile(name), inner.registry, inner.root)
    health = survey(runtime, [inner.registry.separators["oracle"]])[0]
    assert (health.state, health.separators) == ("failed", [])
    assert "expected a plain name" in health.reason


@pytest.mark.parametrize(
    "field", ["separator", "title", "condition", "service", "rendering", "stem", "target"]
)
@pytest.mark.parametrize("name", ["../../../../data/x", "..", "a/b"])
def test_a_doctored_record_removes_nothing(
    run: Run, workspace: Path, name: str, field: str, command: Callable[..., tuple[int, str]]
) -> None:
    precious = workspace / "data/x/Song/vocals.wav"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"precious")
    record = read_json(run.store.layout.record)
    match field:
        case "separator":
            record["separators"][0]["name"] = name
        case "service":
            record["separators"][0]["service"] = name
        case "title":
            record["tracks"][0]["title"] = name
        case "stem":
            record["separators"][0]["stems"] = [name]
        case "target":
            record["targets"] = [name]
        case "condition":
            record["config"]["conditions"] = [name]
        case "rendering":
            record["config"]["conditions"] = ["binaural"]
            record["tracks"][0]["folders"] = {"binaural": f"data/rendered/{name}/Song"}
    write_json(run.store.layout.record, record)
    for one in ("retry", "resume"):
        code, said = command(one, "mine", "--inline")
        # A wrong rendering is an error of the cells: `resume` ends with failed cells alone.
        assert code == (1 if (field, one) == ("rendering", "resume") else 2)
        assert "Traceback" not in said
    assert precious.read_bytes() == b"precious"
    assert not (workspace / "data/x/metadata.json").exists()


@pytest.mark.parametrize("kind", ["a link", "a link on the way", "no marker", "outside", "itself"])
def test_what_a_run_did_not_make_is_not_removed(tmp_path: Path, kind: str) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    for folder in (base / "a/b", other / "b"):
        folder.mkdir(parents=True)
        (folder / "made.json").write_text("{}")
    target = base / "a/b"
    if kind == "a link":
        shutil.rmtree(target)
        target.symlink_to(other / "b")
    elif kind == "a link on the way":
        shutil.rmtree(base / "a")
        (base / "a").symlink_to(other)
    elif kind == "no marker":
        (target / "made.json").rename(target / "vocals.wav")
    else:
        target = other / "b" if kind == "outside" else base
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput):
        remove_generated(base, target, "made.json")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def held(run: Run) -> Iterator[Run]:
    """A complete run that another process executes."""
    run_inline(run, lambda: None)
    run.store.markers.set_cancelled(True)
    with RunLock(RunLayout(run.store.folder)).hold():
        yield run


REFUSED = {
    "run": "run --run-id mine --dataset music --separators oracle-identity --tracks 1 --conditions stereo "
    "--metrics corrected --no-bsseval --inline",
    "resume": "resume mine --inline",
    "retry": "retry mine --inline",
    "rescore": "rescore mine --metrics paper --inline",
    "delete": "delete mine",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_command_beside_a_running_process_changes_nothing(
    held: Run, name: str, command: Callable[..., tuple[int, str]]
) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in held.store.folder.rglob("*.*")}
    cell = held.record.cells()[0]
    code, said = command(*REFUSED[name].split())
    assert (code, "mine is being run by another process" in said) == (2, True), said
    assert held.store.markers.cancelled
    assert held.store.succeeded(cell)
    del before[held.store.layout.lock]
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in held.store.folder.rglob("*.*")}
    assert before.items() <= after.items()


def test_a_cancelled_run_keeps_its_scores_when_it_is_rescored(
    run: Run, command: Callable[..., tuple[int, str]]
) -> None:
    run_inline(run, lambda: None)
    run.store.markers.set_cancelled(True)
    before = result_rows(run.store, run.record)
    code, said = command("rescore", "mine", "--metrics", "paper", "--inline")
    assert (code, "mssbench resume mine" in said) == (2, True)
    assert result_rows(run.store, open_run(run.store, run.runtime).record) == before


@pytest.mark.parametrize("name", ["run", "resume", "rescore"])
def test_a_command_that_is_refused_for_other_code_changes_nothing(
    workspace: Path, name: str, command: Callable[..., tuple[int, str]]
) -> None:
    run = prepare(replace(CONFIG, tracks=2), make_runtime(workspace), run_id="mine")
    run_inline(run, lambda: None)
    first, second = run.record.cells()
    run.store.clear_outcome(second)
    shutil.rmtree(run.estimates(second))
    if name != "rescore":  # which a cancelled run refuses for another reason
        run.store.markers.set_cancelled(True)
    record = read_json(run.store.layout.record)
    record["versions"]["oracle"] = "0.0.1"
    write_json(run.store.layout.record, record)
    code, said = command(*REFUSED[name].replace("--tracks 1", "--tracks 2").split())
    assert (code, "version of oracle: 0.0.1" in said) == (2, True), said
    assert read_json(run.store.layout.record) == record
    assert run.store.markers.cancelled == (name != "rescore")
    assert run.store.succeeded(first)


def test_a_cell_that_is_reopened_during_an_inline_run_is_completed(run: Run) -> None:
    reopened: list[Cell] = []

    def reopen() -> None:
        cell = run.record.cells()[0]
        if run.store.ended(cell) and not reopened:
            reopened.append(cell)
            run.store.clear_outcome(cell)

    run_inline(run, reopen)
    assert reopened
    assert all(run.store.succeeded(cell) for cell in run.record.cells())


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "version of oracle": lambda record: record["versions"].update(oracle="0.0.1"),
    "version of evaluator": lambda record: record["versions"].update(evaluator="0.0.1"),
    "version of mssbench": lambda record: record["versions"].update(mssbench="0.0.1"),
    "oracle-identity: weights": lambda record: record["separators"][0].update(details={"weights": ["a"]}),
    "oracle-identity: settings": lambda record: record["separators"][0].update(
        details={"settings": {"a": 1}}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_code_stops_a_run_until_it_is_accepted(
    run: Run, change: str, command: Callable[..., tuple[int, str]]
) -> None:
    record = read_json(run.store.layout.record)
    CHANGES[change](record)
    write_json(run.store.layout.record, record)
    cell = run.record.cells()[0]
    run.store.save_error(cell, "separate", "step-failed", "broken")
    code, said = command("retry", "mine", "--inline")
    assert (code, change in said, len(said.strip().splitlines())) == (2, True, 1), said
    assert "--accept-changes" in said
    assert json.loads(run.store.layout.record.read_text(encoding="utf-8")) == record
    assert command("retry", "mine", "--inline", "--accept-changes")[0] == 0
    outcome = run.store.outcome(cell)
    assert outcome is not None
    assert change in outcome["made_by"]["accepted_changes"][0]
