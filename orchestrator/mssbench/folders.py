"""Two commands over whole folders, outside any run: render a dataset, score a folder of estimates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput
from mssbench_service.files import make_folder, read_json
from mssbench_service.tracks import STEMS
from mssbench_service.wire import EvaluateRequest, HrirRequest, RenderRequest, parse

from .plan import check_angles, checked_tracks, choose_angles
from .runtime import Runtime
from .steps import METADATA

Row = dict[str, Any]
Show = Callable[[int, int], None]
"""Called with (done, all) after each track."""


def synthesise(
    dataset: Path,
    out: Path,
    runtime: Runtime,
    *,
    hrir: str,
    angles: str = "",
    seed: int = 0,
    profile: str = "matched",
    split: str = "test",
    resample_hrir: bool = False,
    show: Show = lambda done, total: None,
) -> int:
    """Render every track of a split into ``<out>/<split>/<title>/``; the number of tracks.

    A track that is there already, rendered from the same request, is kept.

    Raises
    ------
    BadInput
        Found before anything is rendered: the dataset, HRIR set, angles or output folder cannot be used.
    """
    tracks = checked_tracks(dataset, split)
    info = runtime.describe_hrir(HrirRequest(hrir))
    placed = choose_angles(split, angles, seed, tracks, runtime)
    check_angles(info, placed)
    make_folder(out / split)
    for number, track in enumerate(tracks, start=1):
        target = out / split / track.title
        expected = {
            "angles": placed[track.title],
            "profile": profile,
            "hrir_sha256": info.sha256,
            "samples": track.samples + info.taps - 1,
        }
        if not _holds(target / METADATA, expected):
            runtime.render(
                RenderRequest(
                    track=runtime.root.reference(track.folder),
                    out=runtime.root.reference(target),
                    hrir=hrir,
                    angles=placed[track.title],
                    profile=profile,
                    resample_hrir=resample_hrir,
                )
            )
        show(number, len(tracks))
    return len(tracks)


def _holds(path: Path, expected: dict[str, object]) -> bool:
    if not path.exists():
        return False
    metadata = read_json(path)
    return all(metadata.get(key) == value for key, value in expected.items())


def evaluate_folders(
    references: Path,
    estimates: Path,
    runtime: Runtime,
    *,
    profile: str = "all",
    show: Show = lambda done, total: None,
) -> list[Row]:
    """Score ``<estimates>/<title>/<stem>.wav`` against ``<references>/<title>/<stem>.wav``.

    One row per title and stem that the references have. A title without estimates gives failed rows. The
    gain of a reference that ``mssbench synth`` rendered is read from its ``metadata.json``.

    Raises
    ------
    BadInput
        A folder does not exist, the references hold no track, or no title is in both.
    """
    for folder in (references, estimates):
        if not folder.is_dir():
            raise BadInput(f"{folder} is not a folder; expected <title>/<stem>.wav in it")
    titles = _titles(references)
    if not titles:
        hint = next((s for s in ("test", "train") if _titles(references / s)), None)
        better = f"; did you mean {references / hint}?" if hint else ""
        raise BadInput(f"{references} holds no <title>/<stem>.wav with stems {', '.join(STEMS)}{better}")
    if not any((estimates / title).is_dir() for title in titles):
        raise BadInput(f"{estimates} has no folder called as one in {references}, such as {titles[0]!r}")

    def score(title: str) -> list[Row]:
        return _score(references / title, estimates / title, runtime, profile)

    rows = []
    # Threads: over HTTP they keep the service's places filled; in-process NumPy and SciPy release the lock.
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        for number, scored in enumerate(pool.map(score, titles), start=1):
            rows += scored
            show(number, len(titles))
    return rows


def _titles(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and _stems(path))


def _stems(folder: Path) -> list[str]:
    return [stem for stem in STEMS if (folder / f"{stem}.wav").is_file()]


def _score(reference: Path, estimate: Path, runtime: Runtime, profile: str) -> list[Row]:
    title = reference.name
    try:
        if not estimate.is_dir():
            raise BadInput(f"{estimate} is missing")
        metadata = read_json(reference / METADATA) if (reference / METADATA).exists() else {}
        request = EvaluateRequest(
            reference=runtime.root.reference(reference),
            estimate=runtime.root.reference(estimate),
            profile=profile,
            mixture_gain=metadata.get("mixture_gain", 1.0) if metadata.get("profile") == "paper" else 1.0,
            binaural="angles" in metadata,
        )
        result = runtime.evaluate(parse(EvaluateRequest, asdict(request)))
    except BadInput as error:
        # One bad track must not cost the table the others.
        return [
            {"title": title, "source": stem, "status": "failed", "reason": error.detail}
            for stem in _stems(reference)
        ]
    return [row | {"title": title} for row in result.rows]


def failed(rows: Iterable[Row]) -> int:
    """How many rows have no scores."""
    return sum(row["status"] == "failed" for row in rows)
