"""The Python API: ``import mssbench``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mssbench
import numpy as np
import pytest
from mssbench.runs.records import Cell
from mssbench.runs.store import RunStore

FAST = {"dataset": "music", "separators": ["oracle-mixture"], "conditions": ["stereo"], "bsseval": False}
without_report = pytest.mark.usefixtures("without_report")


@pytest.fixture(scope="module")
def _finished(_demo_tracks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, made once."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        shutil.copytree(_demo_tracks, root / "music", copy_function=shutil.copy2)
        return mssbench.run(FAST, run_id="mine").folder


@pytest.fixture
def run(workspace: Path, _finished: Path) -> mssbench.BenchmarkRun:
    """The run ``mine`` in the workspace."""
    shutil.copytree(_finished, workspace / "runs/mine", copy_function=shutil.copy2)
    return mssbench.load("mine")


IMPORT = """
import json, logging, os, sys
before = dict(os.environ), logging.getLogger().handlers[:], logging.getLogger().level
import mssbench
names = dir(mssbench)
after = dict(os.environ), logging.getLogger().handlers[:], logging.getLogger().level
print(json.dumps([before == after, sorted(sys.modules), names]))
"""


def test_the_import_is_cheap_and_changes_nothing_in_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    unchanged, modules, names = json.loads(done.stdout)
    assert unchanged
    heavy = {"matplotlib", "redis", "rq", "numpy", "scipy", "pandas", "fastapi", "pydantic", "httpx", "click"}
    assert not heavy & set(modules)
    assert set(mssbench.__all__) == set(names)


def test_every_exported_name_exists_and_others_do_not() -> None:
    for name in mssbench.__all__:
        assert getattr(mssbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = mssbench.runn


def test_a_run_has_status_configuration_results_and_report(
    run: mssbench.BenchmarkRun, workspace: Path
) -> None:
    assert (run.id, run.folder) == ("mine", workspace / "runs/mine")
    assert run.status.state == "complete"
    assert run.config.separators == ["oracle-mixture"]
    assert run.failures == []
    assert repr(run) == "<BenchmarkRun mine: complete, 2/2 cells>"
    assert len(run.results) == 2 * 4
    assert all(row["status"] != "failed" and row["SSR"] > 0 and row["SDR"] is None for row in run.results)
    (run.folder / "report/index.html").unlink()
    assert run.report(audio=False) == run.folder / "report/index.html"
    assert (run.folder / "report/index.html").is_file()


def test_numbers_are_numbers_in_the_data_frame(run: mssbench.BenchmarkRun) -> None:
    frame = run.to_pandas()
    assert len(frame) == 8
    assert frame["SSR"].dtype == np.float64
    assert frame["SDR"].dtype == np.float64
    assert frame["SDR"].isna().all(), "a column without any value is numbers, too"
    assert frame.groupby("source")["SSR"].median().gt(0).all()
    assert list(frame["separator"].unique()) == ["oracle-mixture"]
    from_file = json.loads((run.folder / "report/summary.json").read_text())
    assert run.summary()["scores"] == from_file["scores"]


def test_rows_without_scores_are_kept_in_the_data_frame(run: mssbench.BenchmarkRun) -> None:
    next(run.folder.rglob("result.json")).unlink()
    frame = run.to_pandas()
    assert list(frame["status"]).count("pending") == 4
    assert frame["SSR"].dtype == np.float64
    assert run.status.state == "incomplete"


def test_pandas_is_named_where_it_is_missing(
    run: mssbench.BenchmarkRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        run.to_pandas()


@without_report
def test_the_same_call_continues_a_run_and_progress_is_reported(workspace: Path) -> None:
    seen: list[mssbench.RunStatus] = []

    def stop(status: mssbench.RunStatus) -> None:
        seen.append(status)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mssbench.run(FAST, tracks=1, progress=stop)
    (run_id,) = mssbench.list_runs()
    assert mssbench.load(run_id).status.state == "incomplete"
    assert (seen.pop().progress.ended, seen) == (0, [])
    run = mssbench.run(FAST, tracks=1, progress=seen.append)
    assert run.id == run_id
    assert seen[0].progress.ended < seen[-1].progress.ended == 1


@without_report
def test_failures_are_listed_and_retried(run: mssbench.BenchmarkRun) -> None:
    store, cell = RunStore(run.folder), Cell("stereo", "oracle-mixture", run.results[0]["title"])
    store.clear_outcome(cell)
    store.save_error(cell, "separate", "busy", "was busy")
    (failure,) = run.failures
    assert (failure.title, failure.step, failure.detail) == (cell.title, "separate", "was busy")
    assert run.resume().failures == [failure]
    assert run.resume(failed=True).failures == []


@without_report
def test_a_configuration_is_an_object_a_mapping_or_a_file(
    workspace: Path, run: mssbench.BenchmarkRun
) -> None:
    (workspace / "run.toml").write_text(
        'dataset = "music"\nseparators = ["oracle-mixture"]\nconditions = ["stereo"]\nbsseval = false\n'
    )
    for config in ("run.toml", workspace / "run.toml", run.config, mssbench.RunConfig(**FAST)):  # type: ignore[arg-type]
        assert mssbench.run(config, run_id="mine").folder == run.folder


def test_a_run_is_loaded_by_id_and_by_folder(
    run: mssbench.BenchmarkRun,
    workspace: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert mssbench.list_runs() == []
    assert mssbench.list_runs(root=workspace) == ["mine"]
    for found in (
        mssbench.load("mine", root=workspace),
        mssbench.load(run.folder),
        mssbench.load(str(run.folder)),
    ):
        assert found.folder == run.folder
        assert found.results == run.results
    with pytest.raises(mssbench.NotFound, match="there is no run 'mine'"):
        mssbench.load("mine")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dataset": "s3://lab/music"}, "copy it with mssbench pull"),
        ({"separators": ["oracle-imr"]}, "did you mean 'oracle-irm'"),
        ({"trakcs": 1}, "unknown setting 'trakcs'; did you mean 'tracks'"),
        ({"tracks": 0}, "expected 1 or more"),
        ({"tracks": "many"}, "tracks"),
        ({"scheduler": "threads"}, "expected inline, embedded or redis"),
        ({"scheduler": "redis"}, "redis_url"),
        ({"redis_url": "redis://localhost"}, "redis_url"),
        ({"run_id": "../x"}, "is not a run id"),
        ({"seed": -1}, "expected 0 or more"),
    ],
)
def test_a_bad_argument_is_a_value_error(workspace: Path, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        mssbench.run(**(FAST | arguments))  # type: ignore[arg-type]
    assert isinstance(caught.value, mssbench.BadInput), "it is also an error of the bench"
    assert not (workspace / "runs").exists()


@without_report
def test_worker_processes_give_the_same_results(run: mssbench.BenchmarkRun) -> None:
    embedded = mssbench.run(FAST, run_id="embedded", scheduler="embedded")
    assert embedded.results == run.results
