"""A synthetic run directory with failed, undefined and pending stems and difficult titles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from browsing import chromium
from mssbench.runs.conditions import Condition, name_of
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell, PlacementRecord, RunRecord, SeparatorRecord, TrackRecord
from mssbench.runs.store import RunStore
from mssbench_service.musdb import MIXTURE, STEMS
from mssbench_service.wire import Expectation, HrirInfo, Scene

TITLE = "<img src=x onerror=alert(1)> & \"Røck\" 'n' <b>Roll $x_1$"
"""A title with markup, which must be shown as text everywhere."""

RTL = "فرقة - שיר 🎻 “عود”"
"""A right-to-left title with a character outside the basic multilingual plane."""

DETAIL = "the model ran out of </script><script>alert(2)</script> luck"
"""An error message with markup and a slash, which a folder name cannot have."""

RATE = 8000

MakeRun = Callable[..., Path]


def separators(models: int = 2, name: str = "model") -> list[SeparatorRecord]:
    found = [
        SeparatorRecord(f"{name}-{i}", f"synthetic model {i}", service=f"service{i}") for i in range(models)
    ]
    found += [
        SeparatorRecord("irm", "ideal ratio mask", needs_references=True, service="oracle"),
        SeparatorRecord(
            "identity",
            "probe: the true stems",
            needs_references=True,
            expected=[
                Expectation("SSR", 79.99, 80.01, why="the image is the true one"),
                Expectation("paper_SSR", 79.99, 80.01, "binaural", "the image is the true one"),
            ],
            service="oracle",
        ),
        SeparatorRecord(
            "absent", "", service="absent", status="unavailable", reason="weights are missing: <i>"
        ),
    ]
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Function that writes a run and returns its directory; for its options see `write_run`."""
    return lambda **options: write_run(tmp_path_factory.mktemp("workspace"), **options)


def write_run(
    root: Path,
    tracks: int = 4,
    models: int = 2,
    audio: bool = False,
    pending: bool = False,
    later: bool = False,
    paper: bool = True,
    gain: float = 1.0,
    conditions: tuple[str | Condition, ...] = ("stereo", "binaural"),
    probe_score: float = 80.0,
    trouble: bool = True,
    all_fail: bool = False,
    name: str = "model",
) -> Path:
    """Write a run below the data root `root`; return its directory.

    The models are `name`-0, `name`-1, … `later` adds the corrected cues and the standard metrics; without `paper`, the
    metrics of the paper are left out. With `pending`, the last track has no results; with `trouble`, some stems fail;
    with `all_fail`, all fail.
    """
    run_id = "demo-0123456789"
    names = [name_of(condition) for condition in conditions]
    own = [condition.name for condition in conditions if isinstance(condition, Condition)]
    store = RunStore(root / "runs" / run_id)
    titles = [TITLE, *[RTL if i == 2 else f"Artist {i} - Song {i}" for i in range(1, tracks)]]
    rng = np.random.default_rng(1)
    angles = [0, 10, 30, 60, 90, 270, 300, 330, 350]
    record = RunRecord(
        id=run_id,
        created="2025-01-02T03:04:05+00:00",
        command="mssbench run --dataset data/demo --hrir sphere --seed 0 --separators 'model-0,irm'",
        config=RunConfig(
            "data/demo", conditions=list(conditions), profile="matched" if gain == 1 else "paper"
        ),
        tracks=[
            TrackRecord(
                title,
                RATE * 10,
                RATE,
                f"data/demo/test/{i}",
                {c: f"data/{c}/{i}" for c in names},
                {s: float(a) for s, a in zip(STEMS, rng.choice(angles, 4, replace=False), strict=True)},
            )
            for i, title in enumerate(titles)
        ],
        separators=separators(models, name),
        hrir=HrirInfo("sphere", "0" * 64, 44100, 256, [float(a) for a in range(0, 360, 5)], 700.0, 20.0),
        versions={"mssbench": "0.1.0", "python": "3.11"},
        machine={"system": "synthetic", "cores": "2"},
    )
    for track, elevation in zip(record.tracks, itertools.cycle((-45.0, 0.0, 60.0))):
        scene = Scene(elevations=dict.fromkeys(STEMS, elevation))
        track.placements = {name: PlacementRecord(track.angles, scene) for name in own}
    record.hrirs = dict.fromkeys(own, record.hrir) if record.hrir and own else {}
    store.save(record)
    if audio:
        for i in range(min(tracks, 2)):
            for c in names:
                _write_audio(root / "data" / c / str(i), (MIXTURE, *STEMS), rng)
    for cell in record.cells():
        index = titles.index(cell.title)
        if pending and index == tracks - 1:
            continue
        lost = cell.separator == "model-1" and index == 1 and cell.condition == names[-1]
        if all_fail or (trouble and lost):
            store.save_error(cell, "separate", "step-failed", DETAIL)
            continue
        rows = [_row(rng, cell, stem, later, gain, probe_score) for stem in STEMS]
        if not paper:
            rows = [{k: v for k, v in row.items() if not k.startswith("paper_")} for row in rows]
        if trouble and cell.separator == "model-0" and index == 0:
            rows[2] |= {
                "paper_diff_ITD": None,
                "status": "undefined",
                "reason": "paper_diff_ITD: no frame",
            }
            rows[3] |= {"status": "failed", "reason": "the estimate is silent", "SSR": -99.0}
        store.save_result(
            cell,
            {
                "rows": rows,
                "mixture_gain": gain if cell.rendered else 1.0,
                "device": "cpu",
                "notes": ["resampled from 8000 Hz"] if cell.separator == "model-0" else [],
                "seconds": {"separate": 2.0, "evaluate": 1.0},
                "audio_seconds": 10.0,
            },
        )
        if audio and index < 2:
            _write_audio(store.layout.estimates(cell), STEMS, rng)
            _write_frames(store.layout.frames(cell))
    return store.folder


def _row(
    rng: np.random.Generator, cell: Cell, stem: str, later: bool, gain: float, probe_score: float
) -> dict[str, Any]:
    binaural = cell.rendered
    if cell.separator == "identity":
        ssr, srr, itd, ild = probe_score, 80.0, 0.0, 0.0
    else:
        skill = {"irm": 4.0}.get(
            cell.separator, float(cell.separator[-1]) if cell.separator[-1].isdigit() else 0
        )
        ssr = 18 + skill - 8 * binaural + 2 * rng.standard_normal()
        srr = 7 + skill - binaural + 2 * rng.standard_normal()
        itd = 22.68 * rng.integers(0, 20 if stem == "bass" else 6) * (1 if binaural else rng.integers(0, 2))
        ild = abs(rng.standard_normal()) * (0.5 if binaural else 0.1)
    row: dict[str, Any] = {
        "title": cell.title,
        "source": stem,
        "SSR": float(ssr),
        "SRR": float(srr),
        "paper_SSR": float(min(ssr, 9.54)) if gain != 1 and binaural else float(ssr),
        "paper_SRR": float(srr),
        "paper_cost": 1.5,
        "paper_shift": [[0, 0], [0, 0]],
        "paper_scale": [[1.0, 0.0], [0.0, 1.0]],
        "paper_diff_ITD": float(itd),
        "paper_diff_ILD": float(ild),
        "valid_frames": 20,
        "status": "ok",
        "reason": "",
    }
    if later:
        share = min(95.0, 2.5 * float(ssr))
        row |= {
            "in_place": share,
            "in_place_bands": [[200.0, share - 5, 30.0], [1000.0, share, 50.0], [4000.0, share + 5, 20.0]],
            "missing": 0.5,
            "cue_error_jnd": 1.5,
            "d_itd_us": float(itd) / 3,
            "d_ild_db": float(ild) * 2,
            "d_ic": float(ild) / 10,
            "azimuth_deg": 10.0,
            "azimuth_error_deg": float(itd) / 10 if binaural else None,
            "level_db": -0.2,
            "SDR": float(srr),
            "ISR": float(ssr),
            "SIR": float(srr) + 5,
            "SAR": float(srr) + 1,
            "SI_SDR": float(srr) - 1,
        }
    return row


def _write_frames(path: Path) -> None:
    seconds = [(stem, second) for stem in STEMS for second in range(10)]
    columns = {
        "source": [stem for stem, _ in seconds],
        "metric": ["in_place"] * len(seconds),
        "start_s": [float(second) for _, second in seconds],
        "value": [70.0 + second for _, second in seconds],
    }
    pq.write_table(pa.table(columns), path)


def _write_audio(folder: Path, names: tuple[str, ...], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        audio = 0.1 * rng.standard_normal((RATE * 10, 2))
        audio[:, 1] = 0.7 * np.roll(audio[:, 0], 3)  # the left ear leads by 3 samples
        soundfile.write(folder / f"{name}.wav", audio.astype(np.float32), RATE, subtype="FLOAT")
