"""The space on disk that a run needs, estimated before it starts."""

from __future__ import annotations

import shutil

from mssbench_service.errors import BadInput

from .run import Run

KEPT = {"all": 1.0, "scored": 0.6, "worst": 0.6, "none": 0.0}
"""Size of what is kept of estimates (``keep_estimates``), relative to the separator's files. FLAC files: at most."""

_SAMPLE = 2 * 4  # bytes of two channels of 32-bit floats
_UNSCORED = 4
"""Cells whose estimates wait for their scores at the same time."""


def bytes_needed(run: Run) -> int:
    """Space that the open steps of `run` need, bytes: excerpts, renderings and estimates that are not there yet.

    It is more if many separated tracks wait for their scores.
    """
    record, made, largest, kept = run.record, 0, 0, 0.0
    for track in record.tracks:
        of_file = _SAMPLE * track.samples
        folders = {track.cut, *track.folders.values()} - {track.source, ""}
        missing = sum(not run.runtime.root.resolve(folder).exists() for folder in folders)
        made += missing * of_file * (1 + len(record.stems_of(track.title)))
    for cell in record.cells():
        if run.needs_separation(cell):
            stems = record.separator(cell.separator).stems or record.stems_of(cell.title)
            size = len(stems) * _SAMPLE * record.track(cell.title).samples
            kept += KEPT[record.config.keep_estimates] * size
            largest = max(largest, size)
    return made + round(kept) + _UNSCORED * largest


def require_space(run: Run) -> None:
    """Raise :class:`BadInput` if there is less room under the data root than the run needs."""
    needed, root = bytes_needed(run), run.runtime.root.root
    if needed > (free := shutil.disk_usage(root).free):
        raise BadInput(
            f"the run needs about {needed / 1e9:.1f} GB and {root} has {free / 1e9:.1f} GB free; make room, or keep "
            "less of the estimates (--keep-estimates none), use --excerpt, or fewer --tracks or --separators"
        )
