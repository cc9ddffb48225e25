"""The pages without a browser: suggestions of the form, formats, escaping."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from mssbench.execution.prepare import clear_scores
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import survey
from mssbench.runs.records import Cell, RunRecord, SeparatorRecord, TrackRecord
from mssbench.runs.run import Run
from mssbench.runs.status import format_duration
from mssbench.runs.store import RunStore, Workspace
from mssbench.server import cost, dashboard
from mssbench.server.dashboard import views
from mssbench.server.dashboard.datasets import datasets, hrir_sets
from mssbench.server.dashboard.scores import LiveScores
from mssbench.services.health_cache import HealthCache
from mssbench.services.registry import Registry, Service
from mssbench.services.runtime import make_runtime
from mssbench.text import number, utc_time
from mssbench_service.errors import Unreachable
from mssbench_service.files import write_json
from mssbench_service.wire import parse


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_datasets_and_hrir_sets_are_found_under_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    touch(
        data / "demo/test/A song/mixture.wav",
        data / "sets/musdb/train/A song/mixture.wav",
        data / "hrir/D1/azi_0,0_ele_0,0.wav",
        data / "hrir/ku100.SOFA",
        # Not datasets: renderings, hidden folders, songs outside a split, other files.
        data / "rendered/0a1b/test/A song/mixture.wav",
        data / ".trash/test/A song/mixture.wav",
        data / "songs/A song/mixture.wav",
        data / "demo/test/notes.sofa",
        data / "readme.txt",
    )
    assert datasets(tmp_path) == ["data/demo", "data/sets/musdb"]
    assert hrir_sets(tmp_path) == ["data/hrir/D1", "data/hrir/ku100.SOFA"]
    assert datasets(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h 0 min"),
        (3 * 3600 + 290, "3 h 5 min"),
        (52 * 3600, "2 d 4 h"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.012"), (56.4, "56"), (1234.0, "1,200"), (2.0, "2"), (1e-7, "0.0000001")]
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_times_are_in_utc() -> None:
    assert utc_time("2026-05-01T14:38:00+02:00") == "2026-05-01 12:38 UTC"
    assert utc_time("some time ago") == "some time ago"


class SlowTransport:
    """A transport whose services answer after `release` is set."""

    def __init__(self) -> None:
        self.release, self.calls = threading.Event(), 0

    def info(self, service: Service) -> dict[str, Any]:
        self.calls += 1
        assert self.release.wait(60)
        if service.name == "gone":
            raise Unreachable("gone at http://gone:8000 does not answer")
        if service.name == "broken":
            raise OSError("libcudart.so: cannot open shared object file")
        separators = [{"name": "mask", "description": ""}] if service.name == "good" else []
        return {"version": "1.0", "separators": separators}


def test_pages_do_not_wait_for_slow_services() -> None:
    names = ("good", "gone", "broken")
    transport = SlowTransport()
    registry = Registry({"synth": Service("synth", "", "")}, {name: Service(name, "", "") for name in names})
    services = HealthCache(
        SimpleNamespace(  # type: ignore[arg-type]
            transport=transport, registry=registry, is_remote=lambda service: False, reload=lambda: None
        ),
        seconds=1e9,
    )
    assert services.latest(wait=0.0) is None
    assert services.latest(wait=0.0) is None
    transport.release.set()
    states = services.latest(wait=60.0)
    assert states is not None
    assert [(one.name, one.kind, one.reason) for one in states] == [
        ("synth", "tool", ""),
        ("good", "separator", ""),
        ("gone", "separator", "gone at http://gone:8000 does not answer"),
        ("broken", "separator", "OSError: libcudart.so: cannot open shared object file"),
    ]
    assert [one.name for one in states[1].separators] == ["mask"]
    assert services.latest() == states
    assert transport.calls == 4  # one survey, for any number of page loads


class ParsedPage(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def client(system: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=system.url, timeout=120) as client:
        yield client


def test_errors_are_html_pages(client: httpx.Client) -> None:
    for path, status in (("/ui/runs/nothing", 404), ("/ui/runs/a%20b", 422), ("/?like=nothing", 404)):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert "main" in ParsedPage(answer.text).tags


def test_pages_do_not_contain_the_path_of_the_data_root(client: httpx.Client, system: Any) -> None:
    folder = system.root / "runs" / "damaged"
    folder.mkdir(parents=True)
    try:
        (folder / "run.json").write_text('{"version": "<b>9</b>"}')
        for path in ("/", "/ui/runs/damaged", "/ui/runs/nothing"):
            page = client.get(path).text
            assert str(system.root) not in page
        listed = ParsedPage(client.get("/").text)
        assert "cannot be read: runs/damaged/run.json has version '<b>9</b>'" in listed.text
        assert "b" not in listed.tags
    finally:
        (folder / "run.json").unlink()
        folder.rmdir()


def test_an_invalid_page_number_shows_the_nearest_page(client: httpx.Client) -> None:
    for page in ("0", "-1", "99999999999999999999", "x", "²", "1e3", ""):
        assert client.get("/", params={"page": page}).status_code == 200


def test_only_the_assets_of_the_dashboard_are_served(client: httpx.Client) -> None:
    for name in ("nothing.js", "..%2Fpages.py", "%2e%2e%2fpages.py", "report.js"):
        assert client.get(f"/ui/assets/{name}").status_code == 404
    for asset in (Path(dashboard.__file__).parent / "assets").iterdir():
        answer = client.get(f"/ui/assets/{asset.name}")
        assert answer.content == asset.read_bytes()
        assert "immutable" in answer.headers["cache-control"]


def test_pages_are_not_in_the_openapi_document(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/ui")]


def test_a_run_like_another_has_its_conditions() -> None:
    given = ["stereo", {"name": "moving", "placement": "moving", "seeds": [1, 2]}]
    config = parse(RunConfig, {"dataset": "music", "conditions": given})
    assert json.loads(views.further_conditions(config)) == given[1:]
    assert views.further_conditions(RunConfig("music")) == ""


def scored_run(root: Path, titles: list[str]) -> Run:
    record = RunRecord(
        id="scored",
        created="2026-05-01T14:38:00+00:00",
        command="",
        config=RunConfig("music", conditions=["stereo"]),
        tracks=[TrackRecord(title, 8000, 8000, f"music/test/{title}", {"stereo": ""}) for title in titles],
        separators=[SeparatorRecord("one", "", service="oracle")],
        hrir=None,
        versions={},
        machine={},
    )
    run = Run(Workspace(root).run("scored"), record, make_runtime(root))
    run.store.folder.mkdir(parents=True)
    run.store.save(record)
    return run


def end(run: Run, title: str, *values: float | None) -> None:
    rows = [
        {"source": f"stem-{number}", "status": "ok", "SSR": value, "d_itd_us": None}
        for number, value in enumerate(values)
    ]
    run.store.save_result(Cell("stereo", "one", title), {"rows": rows})


def test_scores_of_a_run_are_read_once_and_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ["A", "B", "C"]
    run, scores = scored_run(tmp_path, titles), LiveScores()

    def now(live: LiveScores = scores) -> tuple[list[dict[str, str]], int, int]:
        found = live.of(run, survey(run).by_separator)
        return [row.medians for row in found.rows], found.read, found.scored

    assert now() == ([], 0, 0)
    end(run, "B", 1.0, 2.0, None)
    end(run, "C", 9.0)
    assert now() == ([{"SSR": "2.00"}], 2, 2)
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "outcome", lambda *_: pytest.fail("the result is read again"))
        assert now() == ([{"SSR": "2.00"}], 2, 2)
    run.store.save_error(Cell("stereo", "one", "A"), "separate", "bad-output", "it broke")
    assert now() == ([{"SSR": "2.00"}], 2, 2)
    # A slow file system: one cell is read in each request.
    slow = LiveScores(seconds=0.5)
    monkeypatch.setattr("mssbench.server.dashboard.scores.time.monotonic", itertools.count().__next__)
    assert [now(slow)[1:] for _ in range(3)] == [(1, 2), (2, 2), (2, 2)]


def test_after_a_rescore_the_scores_of_a_run_are_the_new_ones(tmp_path: Path) -> None:
    run, scores = scored_run(tmp_path, ["A", "B"]), LiveScores()

    def now() -> list[str]:
        return [row.medians["SSR"] for row in scores.of(run, survey(run).by_separator).rows]

    for title in ("A", "B"):
        end(run, title, 1.0)
        write_json(run.store.layout.estimates(Cell("stereo", "one", title)) / "separation.json", {})
    assert now() == ["1.00"]
    config = run.record.config
    clear_scores(run, config.metrics, config.bsseval, config.aggregate)  # with the same settings
    end(run, "A", 4.0)
    end(run, "B", 1.0)  # the page is requested only after all scores are there
    assert now() == ["2.50"]
    result = run.store.layout.result(Cell("stereo", "one", "B"))
    before = result.stat()
    end(run, "B", 8.0)
    os.utime(result, ns=(before.st_atime_ns, before.st_mtime_ns))  # two quick saves
    assert now() == ["6.00"]
    run.store.clear_outcome(Cell("stereo", "one", "A"))
    assert now() == ["8.00"]
    run.store.clear_outcome(Cell("stereo", "one", "B"))
    assert now() == []


def test_the_time_of_a_run_is_estimated_from_an_earlier_one(tmp_path: Path) -> None:
    run = scored_run(tmp_path, ["A", "B", "C"])
    workspace = SimpleNamespace(run_ids=lambda: ["scored"])
    service: Any = SimpleNamespace(workspace=workspace, run=lambda _: run)
    assert cost.time_per_audio_second(run.record, service) is None
    for place, title in enumerate(("A", "B", "C")):
        end(run, title, 1.0)
        os.utime(run.store.layout.result(Cell("stereo", "one", title)), (100.0 + 10 * place,) * 2)
    assert cost.time_per_audio_second(run.record, service) == 10.0  # seconds for one second of audio
    other = replace(run.record, separators=[SeparatorRecord("slow", "", service="oracle")])
    assert cost.time_per_audio_second(other, service) is None
    assert (
        cost.time_per_audio_second(replace(run.record, config=RunConfig("music", bsseval=False)), service)
        is None
    )


def test_the_cost_of_a_run_is_estimated_before_its_start(client: httpx.Client) -> None:
    def cost_of(config: object) -> dict[str, str]:
        answer = client.get("/ui/estimate", params={"config": json.dumps(config)})
        assert answer.status_code == 200
        return dict(answer.json())

    found = cost_of({"dataset": "data/music", "separators": ["oracle-identity"], "tracks": 1})
    assert found["text"].startswith("1 track, 2 cells · about ")
    assert found["problem"] == ""
    assert "expected 1 or more" in cost_of({"dataset": "data/music", "tracks": 0})["problem"]
    wrong: list[object] = [None, [], "x", {}, {"dataset": 1}]
    for odd in wrong:
        assert cost_of(odd)["problem"]
    assert "not JSON" in client.get("/ui/estimate", params={"config": "{"}).json()["problem"]
