"""Replaces or removes the estimates of scored cells, as the run's setting ``keep_estimates`` says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mssbench_service.errors import BenchError

from ..runs.estimates import read_stored, remove_audio, store_as_flac
from ..runs.formats import STORED
from ..runs.progress import progress_of
from ..runs.records import Cell
from ..runs.run import Run

log = logging.getLogger("mssbench")


def estimates_removed(run: Run, cell: Cell) -> bool:
    """Whether the estimates of `cell` were removed after they were scored."""
    try:
        stored = read_stored(run.store.layout.estimates(cell))
    except BenchError:
        return False  # damaged, which other code reports
    return stored is not None and stored.removed


def estimates_replaced(run: Run, cell: Cell) -> bool:
    """Whether the separator's files were replaced or removed."""
    return (run.store.layout.estimates(cell) / STORED.name).exists()


def keep_estimates(run: Run, cell: Cell) -> None:
    """Replace or remove the estimates of `cell`, which has scores.

    If this fails, they stay as they are, and the end of the run tries again.
    """
    keep = run.record.config.keep_estimates
    if keep != "all":
        _change(run, cell, remove_audio if keep == "none" else store_as_flac)


def keep_at_end(run: Run) -> None:
    """Replace or remove the remaining estimates of a complete run, whose report is written. Other runs stay."""
    if run.record.config.keep_estimates == "all" or not progress_of(run).complete:
        return
    cells = [cell for cell in run.record.cells() if run.store.succeeded(cell) and run.store.separated(cell)]
    for cell in cells:
        keep_estimates(run, cell)
    if run.record.config.keep_estimates == "worst":
        from ..report.data import load
        from ..report.excerpts import choose

        data = load(run.store.folder)
        in_report = {
            Cell(data.replicates[condition][0], name, choice.title)
            for choice in choose(data)
            for condition in data.conditions
            for name in choice.separators
        }
        for cell in cells:
            if cell not in in_report:
                _change(run, cell, remove_audio)


def _change(run: Run, cell: Cell, change: Callable[[Path], None]) -> None:
    import soundfile as sf

    try:
        folder = run.estimates(cell)
        service = run.record.separator(cell.separator).service  # without one, the files are another tool's
        if service and run.store.separated(cell) and not estimates_removed(run, cell):
            change(folder)
    except (OSError, BenchError, sf.LibsndfileError) as error:
        log.warning("the estimates of %s are kept as they are: %s", cell, error)
