"""Runs of earlier versions are resumed, retried, rescored, compared and reported. Newer versions are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from command import command_here
from mssbench.report.summary import read as read_summary
from mssbench.runs import formats
from mssbench.runs.compare import differences
from mssbench.runs.fingerprint import state_of_files
from mssbench.runs.records import Cell
from mssbench.runs.results import result_rows
from mssbench.runs.store import RunStore, Workspace
from mssbench_contract.server import served
from mssbench_service.errors import BadInput, BadOutput
from mssbench_service.files import read_json, write_json
from mssbench_service.separation import check_separation
from mssbench_service.wire import RenderResult, parse

EARLIER = Path(__file__).parent / "data" / "earlier"
VERSIONS = sorted(path.name for path in EARLIER.iterdir() if (path / "runs").is_dir())
TITLE = "Ada - Evening"
SCORED = Cell("stereo", "oracle-mixture", TITLE)
FAILED = Cell("binaural", "oracle-mixture", TITLE)
OPEN = Cell("binaural", "oracle-identity", TITLE)

Said = tuple[int, str, str]
Command = Callable[..., Said]


@pytest.fixture
def mssbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command in `tmp_path`. Returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("MSSBENCH_DATA_ROOT", "MSSBENCH_REDIS_URL", "MSSBENCH_TRANSPORT"):
        monkeypatch.delenv(name, raising=False)
    run = command_here(monkeypatch, capsys)

    def call(*arguments: str) -> Said:
        done = run(*arguments)
        return done.returncode, done.stdout, done.stderr

    return call


def copy_run(version: str, root: Path, name: str = "written") -> RunStore:
    """Copy the run of `version` and its track into a data root."""
    shutil.copytree(EARLIER / "music", root / "music", dirs_exist_ok=True)
    shutil.copytree(EARLIER / version / "runs" / "written", root / "runs" / name)
    store = Workspace(root).run(name)
    record = read_json(store.layout.record)
    for track in record["tracks"]:
        if track.get("files"):  # a checkout does not preserve the times of files
            track["files"] = state_of_files(root / track["source"])
    write_json(store.layout.record, record)
    return store


def scores(store: RunStore) -> dict[tuple[str, ...], Any]:
    rows = result_rows(store, store.load())
    return {tuple(row[k] for k in ("condition", "separator", "title", "source")): row for row in rows}


@pytest.mark.parametrize(("version", "command"), [("1-at-first", "resume"), ("1-at-last", "retry")])
def test_a_run_of_an_earlier_version_is_completed(
    version: str, command: str, tmp_path: Path, mssbench: Command
) -> None:
    store = copy_run(version, tmp_path)
    before = scores(store)
    kept = (store.layout.cell(SCORED) / "result.json").read_bytes()
    assert [row["status"] for key, row in before.items() if key[:2] == ("binaural", "oracle-identity")] == (
        ["pending"] * 4
    )
    code, out, _ = mssbench("status", "written")
    assert (code, "incomplete, 3/4 cells ended, 1 failed" in out) == (0, True), out

    assert mssbench(command, "written", "--inline")[0] == 0
    after = scores(store)
    failed = {key for key, row in after.items() if row["status"] != "ok"}
    retried = command == "retry"
    assert {key[:2] for key in failed} == (set() if retried else {("binaural", "oracle-mixture")})
    assert (store.layout.cell(SCORED) / "result.json").read_bytes() == kept
    assert read_json(store.layout.cell(OPEN) / "result.json")["version"] == formats.RESULT.version
    summary = read_summary(store.layout.report.parent / "summary.json")
    assert (summary.version, summary.run.id) == (formats.SUMMARY.version, "written")
    assert ("the evaluator did not answer" in store.layout.report.read_text(encoding="utf-8")) != retried

    copy_run(version, tmp_path, "as-it-was")
    _, out, _ = mssbench("diff", "as-it-was", "written", "--values")
    assert "binaural/oracle-" in out
    assert "stereo/" not in out


def test_estimates_of_an_earlier_version_are_rescored(tmp_path: Path, mssbench: Command) -> None:
    store = copy_run("1-at-first", tmp_path)
    before = scores(store)
    code, _, err = mssbench("rescore", "written", "--profile", "paper", "--no-bsseval", "--inline")
    assert code == 0, err
    again = read_json(store.layout.cell(SCORED) / "result.json")
    assert again["version"] == formats.RESULT.version
    for row in again["rows"]:
        had = before[("stereo", "oracle-mixture", TITLE, row["source"])]
        assert row["paper_SSR"] == pytest.approx(had["paper_SSR"], abs=1e-6)
    assert store.load().config.metrics == "paper"
    assert read_json(store.layout.record)["version"] == formats.RUN.version


@pytest.mark.parametrize(
    "path", sorted(EARLIER.glob("*/runs/*/report/summary.json")), ids=lambda path: path.parts[-5]
)
def test_a_summary_of_an_earlier_version_is_ranked(path: Path, tmp_path: Path, mssbench: Command) -> None:
    code, _, err = mssbench("leaderboard", str(path), "-o", str(tmp_path / "site"))
    assert code == 0, err
    (sent,) = (tmp_path / "site" / "runs").iterdir()
    assert read_json(sent)["version"] == formats.SUMMARY.version


def test_runs_of_all_versions_can_be_compared(tmp_path: Path, mssbench: Command) -> None:
    records = [copy_run(version, tmp_path, version).load() for version in VERSIONS]
    first, *others = records
    for other in others:
        # Settings that did not exist had the present default: no setting differs.
        assert not [line for line in differences(first, other) if line.startswith("setting")]
        code, _, err = mssbench("diff", VERSIONS[0], VERSIONS[records.index(other)])
        assert code in (0, 1), err


def test_missing_settings_get_the_values_that_were_used(tmp_path: Path) -> None:
    written = read_json(EARLIER / "1-at-first" / "runs" / "written" / "run.json")["config"]
    assert "bsseval" not in written
    config = copy_run("1-at-first", tmp_path).load().config
    defaults = {"bsseval": True, "aggregate": "median", "targets": [], "titles": [], "excerpt": ""}
    defaults |= {"keep_estimates": "all"}
    assert asdict(config) == written | defaults


def test_an_early_error_gets_all_fields(tmp_path: Path) -> None:
    outcome = copy_run("1-at-first", tmp_path).outcome(FAILED)
    assert outcome is not None
    assert (outcome["tries"], outcome["when"], outcome["version"]) == (1, "", formats.ERROR.version)
    assert outcome["detail"] == "the evaluator did not answer"


def test_a_rendering_without_a_peak_is_read(tmp_path: Path) -> None:
    path = EARLIER / "1-at-first" / "metadata.json"
    assert "peak" not in read_json(path)
    assert parse(RenderResult, formats.RENDERING_FORMAT.read(path)).mixture_gain == 1.0
    of_paper = {"profile": "paper", "mixture_gain": 0.5}
    assert formats.RENDERING_FORMAT.current(of_paper, "it")["peak"] == 2.0


# -- newer versions ----------------------------------------------------------------------------------------

FILES = {
    "run.json": lambda store: store.layout.record,
    "result.json": lambda store: store.layout.cell(SCORED) / "result.json",
    "error.json": lambda store: store.layout.cell(FAILED) / "error.json",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_newer_version_is_refused_in_one_line(
    name: str, tmp_path: Path, mssbench: Command
) -> None:
    store = copy_run("1-at-last", tmp_path)
    path = FILES[name](store)
    path.write_text(json.dumps(read_json(path) | {"version": 3}))
    code, _, err = mssbench("report", "written")
    assert code == 2
    assert f"has version 3 of {name}, written by a newer version of this software" in err
    assert len(err.strip().splitlines()) == 1


def test_the_api_refuses_a_run_of_a_newer_version(tmp_path: Path) -> None:
    from mssbench.server.app import create_app
    from mssbench_service.app import Settings
    from mssbench_service.files import DataRoot

    store = copy_run("1-at-last", tmp_path)
    store.layout.record.write_text(json.dumps(read_json(store.layout.record) | {"version": 99}))
    with served(create_app(Settings(data_root=DataRoot(tmp_path)), "redis://127.0.0.1:1/0")) as server:
        answer = server.get("/runs/written")
    assert answer.status == 422
    assert "has version 99 of run.json" in answer.json()["detail"]


def test_a_separation_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    folder = copy_run("1-at-last", tmp_path).layout.estimates(SCORED)
    mixture = tmp_path / "music" / "test" / TITLE / "mixture.wav"
    check_separation("oracle-mixture", folder, mixture)
    (folder / "separation.json").write_text(
        json.dumps(read_json(folder / "separation.json") | {"version": 3})
    )
    with pytest.raises(BadOutput, match=r"has version 3 of separation\.json"):
        check_separation("oracle-mixture", folder, mixture)


@pytest.mark.parametrize("version", [0, -1, "2", None, True, 1.5, [1]])
def test_an_invalid_version_is_refused(version: object) -> None:
    with pytest.raises(BadInput, match="expected a number from 1 to 2"):
        formats.RUN.current({"version": version}, "it")


def test_migrations_are_applied_in_order() -> None:
    kind = formats.Format("x.json", (lambda f: f | {"a": 1}, lambda f: f | {"b": f["a"] + 1}))
    assert kind.current({"schema": 1}, "it") == {"a": 1, "b": 2, "version": 3}
    assert kind.current({"version": 2, "a": 5}, "it") == {"a": 5, "b": 6, "version": 3}
    assert kind.current(kind.stamped({"c": 0}), "it") == {"version": 3, "c": 0}
