"""The leaderboard of all reports, which the service writes and shows."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import mssbench.report
import pytest
from mssbench.report.summary import RunSummary, SeparatorSummary, StatisticsSummary, Summary
from mssbench.runs.store import Workspace
from mssbench.server.leaderboard import LeaderboardSite
from mssbench_service.files import write_json

from .conftest import in_this_process

SUMMARY_OF_RUN = RunSummary(
    id="one", created="", command="", dataset="music", split="test", profile="matched", metrics="all", seed=0,
    conditions=["stereo"], tracks=["Song"], hrir=None, versions={}, machine={},
)  # fmt: skip


def test_the_leaderboard_of_all_reports_is_served_and_follows_them(
    api: httpx.Client, workspace: Path
) -> None:
    none = api.get("/leaderboard/")
    assert (none.status_code, "no run has a report yet" in none.text) == (404, True)
    model = SeparatorSummary("model-0", "x", "", "model", "available")
    for name in ("run-1", "run-2", "damaged"):
        folder = workspace / "runs" / name / "report"
        folder.mkdir(parents=True)
        if name == "damaged":
            (folder / "summary.json").write_text("{")
        else:
            found = Summary(replace(SUMMARY_OF_RUN, id=name), StatisticsSummary(), [], [], [model], [])
            (folder / "summary.json").write_text(json.dumps(asdict(found)))
        if name != "run-2":
            pages = api.get("/leaderboard", follow_redirects=True)
            assert pages.status_code == 200
            assert ("run-2" in pages.text) == (name == "damaged")
    assert pages.url.path == "/leaderboard/"
    assert "sha256-" in pages.headers["content-security-policy"]
    link = re.findall(r'href="(separators/[^"]+)"', pages.text) or ["separators/000-model-0.html"]
    page = api.get(f"/leaderboard/{link[0]}").text
    assert "model-0" in page
    for text in (pages.text, page, api.get("/leaderboard/methodology.html").text):
        assert '<a href="/">Dashboard</a>' in text
    assert '<a href="/leaderboard/">Leaderboard</a>' in api.get("/").text
    assert api.get("/leaderboard/nothing.html").status_code == 404
    assert api.get("/leaderboard/..%2f..%2fruns%2frun-1%2freport%2fsummary.json").status_code in (404, 422)


def test_the_files_of_the_leaderboard_follow_quick_saves_and_end_with_the_service(
    workspace: Path, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    file = workspace / "runs" / "one" / "report" / "summary.json"
    file.parent.mkdir(parents=True)
    with in_this_process(workspace, redis_url) as api:
        for name in ("first-model", "other-model"):  # the same size and time
            model = SeparatorSummary(name, "x", "", "model", "available")
            write_json(file, asdict(Summary(SUMMARY_OF_RUN, StatisticsSummary(), [], [], [model], [])))
            os.utime(file, (1, 1))
            assert name in api.get(f"/leaderboard/separators/000-{name}.html").text
        assert len(list((tmp_path / "temporary").iterdir())) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_copied_run_is_listed_once(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two"):
        _write_report(workspace / "runs" / name)
    site = LeaderboardSite(Workspace(workspace))
    index = site.file("index.html")
    assert len(list((index.parent / "runs").iterdir())) == 1
    site.close()
    assert f"{Path('runs', 'two', 'report', 'summary.json')} is of the same run as" in caplog.text


def test_a_leaderboard_that_cannot_be_written_leaves_no_files(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    _write_report(workspace / "runs" / "one")

    def full(folder: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mssbench.report, "build_leaderboard", full)
    site = LeaderboardSite(Workspace(workspace))
    with pytest.raises(OSError, match="No space left"):
        site.file("index.html")
    assert list((tmp_path / "temporary").iterdir()) == []


def _write_report(run: Path) -> None:
    (run / "report").mkdir(parents=True)
    write_json(
        run / "report" / "summary.json", asdict(Summary(SUMMARY_OF_RUN, StatisticsSummary(), [], [], [], []))
    )
