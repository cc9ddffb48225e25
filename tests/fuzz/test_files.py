"""Every file reader returns a value or raises one of the project's errors on almost valid files.

``corpus/<format>/`` holds files that were found by the search and are read in each test run. The search starts from the
valid files there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from binaural_metrics.cues import check_hrirs
from evaluator_service import steps as evaluation
from fuzzing import bytes_near, examples, is_one_line, json_bytes_near, text_near
from hypothesis import given
from hypothesis import strategies as st
from mssbench.datasets.angles import read_placements
from mssbench.datasets.catalog import RemoteDataset
from mssbench.datasets.convert import convert
from mssbench.datasets.fetch import accept_angles
from mssbench.datasets.fetch import fetch as fetch_dataset
from mssbench.report import data as report_data
from mssbench.report import summary
from mssbench.runs.config import RunConfig, read_config
from mssbench.runs.records import Cell
from mssbench.runs.results import result_columns, result_rows, write_csv
from mssbench.runs.run import Run
from mssbench.runs.status import failures_of, status_of
from mssbench.runs.store import RunStore
from mssbench.services.registry import load_registry
from mssbench.services.runtime import make_runtime
from mssbench.tools import batch as folders
from mssbench_service import archives, audio, weights
from mssbench_service.errors import BenchError, from_problem
from mssbench_service.files import read_json
from mssbench_service.musdb import HRIR_FILE, check_track
from mssbench_service.separation import check_separation
from mssbench_service.wire import RenderResult, parse
from synth_service import hrir as hrir_sets
from synth_service.render import _recorded_stems

pytestmark = pytest.mark.search

CORPUS = Path(__file__).with_name("corpus")
_SOUND = (CORPUS / "sound/valid.wav").read_bytes()  # a hundred samples
TITLE = "The Tin Lanterns - Don't Look Down"
CELL = Cell("binaural", "oracle-identity", TITLE)

Read = Callable[[Path], object]
Near = Callable[[bytes], st.SearchStrategy[bytes]]


@dataclass(frozen=True)
class Format:
    """A file format: `read` takes a folder and reads the file `name` below it."""

    name: str
    read: Read
    near: Near
    number: int


_runtime = cache(make_runtime)  # takes as long as ten examples


def _run_config(folder: Path) -> object:
    config = parse(RunConfig, {"dataset": "music"} | read_config(folder / "run.toml"))
    config.validate()
    assert parse(RunConfig, asdict(config)) == config
    return config.run_id("")


def _angles(folder: Path) -> object:
    accept_angles(folder / "angles.json")
    table = read_placements(folder / "angles.json", "test", [TITLE, "Cafe\u0301"])
    assert all(0.0 <= angle <= 360.0 for placed in table.values() for angle in placed.angles.values())
    return table


def _run(folder: Path) -> object:
    store = RunStore(folder)
    record = store.load()
    store.save(record)
    assert store.load() == record
    return _read_run_directory(folder)


def _read_run_directory(folder: Path) -> object:
    """Call everything that reads a run directory."""
    store = RunStore(folder)
    record = store.load()
    run = Run(store, record, _runtime(folder))
    rows = result_rows(store, record)
    write_csv(folder / "results.csv", rows, result_columns())
    for value in (rows, asdict(status_of(run)), [asdict(one) for one in failures_of(run)]):
        json.dumps(value, allow_nan=False)  # as the API does
    loaded = report_data.load(folder)
    for separator in loaded.separators:
        loaded.devices(separator.name), loaded.weights(separator.name)
    for cell in loaded.record.cells():
        loaded.mixture_gain(cell)
    return rows


def _outcome(folder: Path) -> object:
    (folder / "run.json").write_bytes((CORPUS / "run-json/valid.json").read_bytes())
    return _read_run_directory(folder)


def _separation(folder: Path) -> object:
    for stem in ("vocals", "drums", "bass", "other"):
        (folder / f"{stem}.wav").write_bytes(_SOUND)
    check_separation("oracle-identity", folder, folder / "bass.wav")
    return None


def _metadata(folder: Path) -> object:
    runtime = _runtime(folder)
    _recorded_stems(folder / "track/metadata.json")
    folders._holds(folder / "track/metadata.json", {"profile": "matched"})
    (folder / "track/bass.wav").write_bytes(_SOUND)
    (folder / "estimates/track").mkdir(parents=True, exist_ok=True)
    found = folders.find_folder_estimates(folder, folder / "estimates")
    (rows,) = folders.score(found, runtime, {}, bsseval=False).values()
    assert [row["status"] for row in rows] == ["failed"]
    return parse(RenderResult, read_json(folder / "track/metadata.json"))


def _summary(folder: Path) -> object:
    found = summary.read(folder / "summary.json")
    summary.write(found, folder)
    assert summary.read(folder / "summary.json") == found
    return found


def _weights(folder: Path) -> object:
    pins = weights.load(folder / "weights.toml")
    return weights.verify(folder / "weights.toml", folder, list(pins.models))


def _unpacked(folder: Path) -> object:
    pinned = weights.Weight("4stems.tar.gz", "https://example.org/x", sha256="3a", unpack="4stems")
    assert isinstance(archives.unpacked_problem([pinned.sha256], folder), str)
    return None


def _fetched(folder: Path) -> object:
    return fetch_dataset(RemoteDataset("set", "https://127.0.0.1:1/", sha256="3a" * 32), folder / "set")


def _problem(folder: Path) -> object:
    problem = read_json(folder / "problem.json")
    error = from_problem(problem if isinstance(problem, dict) else {})  # as a client does
    assert isinstance(error, BenchError)
    again = from_problem(error.to_problem())
    assert (type(again), again.detail) == (type(error), error.detail)
    json.dumps(error.to_problem(), allow_nan=False)
    return None


def _sound(name: str) -> Read:
    def read(folder: Path) -> object:
        samples, rate = audio.read(folder / name, max_seconds=3600)
        assert samples.ndim == 2
        assert np.isfinite(samples).all()
        assert rate > 0
        return None

    return read


def _convert(folder: Path) -> object:
    out = folder / "decoded"
    try:
        convert(folder / "track.stem.mp4", out)
        return check_track(out)
    finally:
        assert {path.name for path in folder.iterdir()} <= {"track.stem.mp4", "decoded"}
        shutil.rmtree(out, ignore_errors=True)


def _read_sofa(folder: Path) -> object:
    return hrir_sets.describe(hrir_sets.load_hrir(folder / "set.sofa"), curves=True)


def _read_npz(folder: Path) -> object:
    found = evaluation._hrirs(folder)
    assert found is not None
    try:
        check_hrirs(found, 44100)
    except ValueError as error:
        raise BenchError(str(error)) from None
    return None


FORMATS = {
    "run-toml": Format("run.toml", _run_config, lambda seed: text_near(seed.decode()), 150),
    "weights-toml": Format("weights.toml", _weights, lambda seed: text_near(seed.decode()), 150),
    "services-toml": Format("services.toml", lambda folder: load_registry(folder / "services.toml"),
                            lambda seed: text_near(seed.decode()), 100),
    "angles-json": Format("angles.json", _angles, json_bytes_near, 150),
    "run-json": Format("run.json", _run, json_bytes_near, 150),
    "result-json": Format(f"cells/binaural/oracle-identity/{TITLE}/result.json", _outcome, json_bytes_near, 100),
    "error-json": Format(f"cells/binaural/oracle-identity/{TITLE}/error.json", _outcome, json_bytes_near, 60),
    "separation-json": Format("separation.json", _separation, json_bytes_near, 60),
    "metadata-json": Format("track/metadata.json", _metadata, json_bytes_near, 60),
    "summary-json": Format("summary.json", _summary, json_bytes_near, 80),
    "problem-json": Format("problem.json", _problem, json_bytes_near, 150),
    "unpacked-json": Format(".unpacked.json", _unpacked, json_bytes_near, 100),
    "fetched-json": Format("set/.fetched.json", _fetched, json_bytes_near, 60),
    "sound": Format("track.wav", _sound("track.wav"), bytes_near, 300),
    "stem-mp4": Format("track.stem.mp4", _convert, bytes_near, 60),
    "sofa": Format("set.sofa", _read_sofa, bytes_near, 60),
    "npz": Format(HRIR_FILE, _read_npz, bytes_near, 150),
}  # fmt: skip


def _read(kind: Format, folder: Path, content: bytes) -> object:
    """Write `content`, read it, and return the value or the error."""
    path = folder / kind.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        return kind.read(folder)
    except BenchError as error:
        refusal = error
    assert is_one_line(refusal)
    return refusal


def _corpus(name: str) -> list[Path]:
    folder = CORPUS / name
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize(
    "path", [path for name in FORMATS for path in _corpus(name)], ids=lambda path: "/".join(path.parts[-2:])
)
def test_the_corpus_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    _read(FORMATS[path.parent.name], tmp_path, path.read_bytes())


@pytest.mark.parametrize("name", FORMATS)
def test_a_valid_file_is_read(name: str, tmp_path: Path) -> None:
    """Otherwise the search would start from files that are refused at their first byte."""
    for seed in _seeds(name):
        found = _read(FORMATS[name], tmp_path, seed)
        if name != "fetched-json":
            assert not isinstance(found, BenchError), found


def _seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in _corpus(name) if path.name.startswith("valid")]


@pytest.mark.parametrize("name", FORMATS)
def test_an_almost_valid_file_is_read_or_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    kind, folder = FORMATS[name], tmp_path_factory.mktemp(name)
    contents = st.sampled_from(_seeds(name)).flatmap(kind.near)

    @examples(kind.number)
    @given(content=contents)
    def search(content: bytes) -> None:
        _read(kind, folder, content)

    try:
        search()
    except Exception as error:
        # Hypothesis tries the smallest failing file last.
        error.add_note(f"the file is {folder / kind.name}; after the repair, add it to {CORPUS / name}")
        raise
