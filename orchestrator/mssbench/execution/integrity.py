"""Checks renderings and estimates on disk against the checksums and the records that were written with them.

Folders that earlier versions wrote have no checksums. Of these, only the records are checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mssbench_service.checksums import checksum_of, checksums_of, damage
from mssbench_service.errors import BenchError
from mssbench_service.files import write_json
from mssbench_service.formats import Format
from mssbench_service.musdb import MIXTURE
from mssbench_service.separation import SEPARATION_FILE
from mssbench_service.wire import RenderResult, SeparateResult, parse

from ..runs.formats import RENDERING_FORMAT, SEPARATION_FORMAT
from ..runs.layout import RENDERING_FILE
from ..runs.records import Cell
from ..runs.run import Run


def read_separation(folder: Path) -> SeparateResult:
    """Read the record beside estimates. Raises NotFound or BadInput."""
    return parse(SeparateResult, SEPARATION_FORMAT.read(folder / SEPARATION_FILE))


def read_rendering(folder: Path) -> RenderResult:
    """Read the record beside a rendered track. Raises NotFound or BadInput."""
    return parse(RenderResult, RENDERING_FORMAT.read(folder / RENDERING_FILE))


def rendering_problem(run: Run, title: str, names: Iterable[str]) -> str:
    """What is wrong with the rendered track `title` or its files called `names`; empty if nothing is."""
    track, folder = run.record.track(title), run.rendering(title)
    try:
        found = read_rendering(folder)
    except BenchError as error:
        return error.detail
    planned = (track.title, run.record.config.profile, {stem: a % 360.0 for stem, a in track.angles.items()})
    if (found.title, found.profile, {stem: a % 360.0 for stem, a in found.angles.items()}) != planned:
        return f"{folder / RENDERING_FILE} describes another rendering"
    if run.record.hrir is not None and found.hrir_sha256 != run.record.hrir.sha256:
        return f"{folder / RENDERING_FILE} names another HRIR set"
    problem = damage(folder, found.checksums, names)
    return f"{folder}: {problem}" if problem else ""


def estimates_problem(run: Run, cell: Cell) -> str:
    """What is wrong with the estimates of `cell`; empty if nothing is."""
    folder = run.store.layout.estimates(cell)
    try:
        found = read_separation(folder)
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
    problem = damage(folder, found.checksums, found.checksums)
    return f"{folder}: {problem}" if problem else ""


def complete_record(path: Path, kind: Format, **missing: object) -> None:
    """Add checksums, and what else is `missing`, to a record that an earlier version wrote without them."""
    found = kind.read(path)
    if not found.get("checksums"):
        given = {name: value for name, value in found.items() if value and name != "checksum"}
        write_json(path, kind.stamped(found | {"checksums": checksums_of(path.parent)} | missing | given))
