"""Checks renderings and estimates on disk against the checksums and the records that were written with them.

Folders that earlier versions wrote have no checksums. Of these, only the records are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mssbench_service.checksums import checksum_of, checksums_of, damage
from mssbench_service.errors import BenchError
from mssbench_service.files import write_json
from mssbench_service.formats import Format
from mssbench_service.musdb import MIXTURE
from mssbench_service.separation import SEPARATION_FILE
from mssbench_service.wire import RenderResult, SceneResult, parse

from ..runs.conditions import condition_of
from ..runs.estimates import read_separation, read_stored
from ..runs.formats import RENDERING_FORMAT
from ..runs.layout import RENDERING_FILE
from ..runs.records import Cell
from ..runs.run import Run


def read_rendering(folder: Path) -> RenderResult:
    """Read the record beside a rendered track. Raises NotFound or BadInput."""
    found = RENDERING_FORMAT.read(folder / RENDERING_FILE)
    return parse(SceneResult if "scene" in found else RenderResult, found)


def rendering_problem(run: Run, title: str, condition: str, names: Iterable[str]) -> str:
    """What is wrong with the rendered track `title` or its files called `names`; empty if nothing is."""
    track, folder = run.record.track(title), run.rendering(title, condition)
    placement, hrir = track.placement(condition), run.record.hrir_of(condition)
    assert placement is not None
    try:
        found = read_rendering(folder)
    except BenchError as error:
        return error.detail
    profile = run.record.config.rendered(condition_of(condition)).profile
    planned = (track.title, profile, _wrapped(placement.angles), placement.scene)
    scene = found.scene if isinstance(found, SceneResult) else None
    if (found.title, found.profile, _wrapped(found.angles), scene) != planned:
        return f"{folder / RENDERING_FILE} describes another rendering"
    if hrir is not None and found.hrir_sha256 != hrir.sha256:
        return f"{folder / RENDERING_FILE} names another HRIR set"
    problem = damage(folder, found.checksums, names)
    return f"{folder}: {problem}" if problem else ""


def _wrapped(angles: Mapping[str, float]) -> dict[str, float]:
    return {stem: angle % 360.0 for stem, angle in angles.items()}


def estimates_problem(run: Run, cell: Cell) -> str:
    """What is wrong with the estimates of `cell`; empty if nothing is. Estimates that were removed are not damaged."""
    folder = run.store.layout.estimates(cell)
    try:
        found, stored = read_separation(folder), read_stored(folder)
        if found.separator != cell.separator:
            return f"{folder / SEPARATION_FILE} is of the separator {found.separator!r}"
        mixture = run.runtime.root.resolve(
            f"{run.record.track(cell.title).folders[cell.condition]}/{MIXTURE}.wav"
        )
        if found.mixture_checksum and found.mixture_checksum != checksum_of(mixture):
            return f"{folder} holds estimates of another mixture"
    except BenchError as error:
        return error.detail
    except OSError:
        return ""  # the mixture cannot be read; the step that needs it reports this
    checksums = found.checksums if stored is None else stored.checksums
    problem = damage(folder, checksums, checksums)
    return f"{folder}: {problem}" if problem else ""


def complete_record(path: Path, kind: Format, **missing: object) -> None:
    """Add checksums, and what else is `missing`, to a record that an earlier version wrote without them."""
    found = kind.read(path)
    if not found.get("checksums"):
        given = {name: value for name, value in found.items() if value and name != "checksum"}
        write_json(path, kind.stamped(found | {"checksums": checksums_of(path.parent)} | missing | given))
