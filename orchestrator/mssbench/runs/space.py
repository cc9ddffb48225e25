"""The space on disk that a run needs, estimated before it starts."""

from __future__ import annotations

import shutil

from mssbench_service.errors import BadInput

from .records import RunRecord, TrackRecord
from .run import Run

KEPT = {"all": 1.0, "scored": 0.6, "worst": 0.6, "none": 0.0}
"""Size of what is kept of estimates (``keep_estimates``), relative to the separator's files. FLAC files: at most."""

_SAMPLE = 2 * 4  # bytes of two channels of 32-bit floats
_UNSCORED = 4
"""Cells whose estimates wait for their scores at the same time."""


def bytes_needed(run: Run) -> int:
    """Space that the open steps of `run` need, bytes: excerpts, renderings and estimates that are not there yet.

    While a track is rendered, its stems are in a temporary file of 64-bit floats as well; one track is rendered at a
    time. More is needed if many separated tracks wait for their scores.
    """
    record, made, temporary, largest, kept = run.record, 0, 0, 0, 0.0
    for track in record.tracks:
        count = len(record.stems_of(track.title))
        files = {track.cut: 1 + count}
        for condition, folder in track.folders.items():
            files[folder] = 1 + count * (2 if _has_direct_sound(record, track, condition) else 1)
        for folder in files.keys() - {track.source, ""}:
            if not run.runtime.root.resolve(folder).exists():
                made += files[folder] * _SAMPLE * track.samples
                if folder != track.cut:
                    temporary = max(temporary, count * 2 * _SAMPLE * track.samples)
    for cell in record.cells():
        if run.needs_separation(cell):
            stems = record.separator(cell.separator).stems or record.stems_of(cell.title)
            size = len(stems) * _SAMPLE * record.track(cell.title).samples
            kept += KEPT[record.config.keep_estimates] * size
            largest = max(largest, size)
    return made + temporary + round(kept) + _UNSCORED * largest


def _has_direct_sound(record: RunRecord, track: TrackRecord, condition: str) -> bool:
    """Whether the direct sound of each stem is rendered as well, as it is in rooms."""
    placement, hrir = track.placement(condition), record.hrir_of(condition)
    scene = placement.scene if placement else None
    return scene is not None and scene.direct and (scene.room is not None or (hrir is not None and hrir.room))


def require_space(run: Run) -> None:
    """Raise :class:`BadInput` if there is less room under the data root than the run needs."""
    needed, root = bytes_needed(run), run.runtime.root.root
    if needed > (free := shutil.disk_usage(root).free):
        raise BadInput(
            f"the run needs about {needed / 1e9:.1f} GB and {root} has {free / 1e9:.1f} GB free; make room, or keep "
            "less of the estimates (--keep-estimates none), use --excerpt, or fewer --tracks or --separators"
        )
