"""Typed results of :func:`binaural_metrics.score` and :func:`binaural_metrics.score_folder`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .scoring import FrameTable, Row

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Scores:
    """Scores of the stems of one track.

    Attributes
    ----------
    stems : dict of str to dict
        For each stem its scores by column: numbers, nested lists, or None where a metric has no value; and
        ``status`` ("ok", "undefined" or "failed") with the ``reason``.
    frames : dict of str to ndarray
        The values of frames as a long table by columns: ``source``, ``metric``, ``start_s``, ``value``, ``weight``,
        ``counted``, ``aggregate``, ``valid_frames`` and ``total_frames``.
    single : bool
        Whether a single pair of signals was scored, without names.
    """

    stems: dict[str, Row]
    frames: FrameTable
    single: bool = False

    def __getitem__(self, column: str) -> Any:
        """Score of a single pair, or the scores of all stems by name.

        Raises
        ------
        KeyError
            The metric was not computed.
        """
        found = {stem: row[column] for stem, row in self.stems.items()}
        return found["stem"] if self.single else found

    def to_dict(self) -> dict[str, Any]:
        """Scores as a dictionary that can be written as JSON: by column, or by stem and column."""
        return (
            dict(self.stems["stem"]) if self.single else {stem: dict(row) for stem, row in self.stems.items()}
        )

    def to_pandas(self) -> pd.DataFrame:
        """Scores as a data frame with one row per stem. Needs pandas."""
        frame: pd.DataFrame = _pandas().DataFrame(
            [{"source": stem, **row} for stem, row in self.stems.items()]
        )
        return frame

    def frames_to_pandas(self) -> pd.DataFrame:
        """Values of frames as a data frame. Needs pandas."""
        frame: pd.DataFrame = _pandas().DataFrame(self.frames)
        return frame


@dataclass(frozen=True)
class FolderScores:
    """Scores of the tracks of a folder.

    Attributes
    ----------
    tracks : dict of str to Scores
        By title.
    """

    tracks: dict[str, Scores]

    def __getitem__(self, title: str) -> Scores:
        """Scores of one track."""
        return self.tracks[title]

    def to_dict(self) -> dict[str, Any]:
        """Scores by title, stem and column."""
        return {title: scores.to_dict() for title, scores in self.tracks.items()}

    def to_pandas(self) -> pd.DataFrame:
        """Scores as a data frame with one row per title and stem. Needs pandas."""
        rows = [
            {"title": title, "source": stem, **row}
            for title, scores in self.tracks.items()
            for stem, row in scores.stems.items()
        ]
        frame: pd.DataFrame = _pandas().DataFrame(rows)
        return frame

    def frames_to_pandas(self) -> pd.DataFrame:
        """Values of frames as a data frame with the column ``title``. Needs pandas."""
        parts = [scores.frames_to_pandas().assign(title=title) for title, scores in self.tracks.items()]
        frame: pd.DataFrame = _pandas().concat(parts, ignore_index=True)
        return frame


def scores_of(
    rows: list[Row], frames: FrameTable, columns: tuple[str, ...], *, single: bool = False
) -> Scores:
    """Scores of `rows`, with those `columns` only."""
    stems = {row["source"]: {column: row[column] for column in columns} for row in rows}
    if "metric" in frames:
        kept = np.isin(frames["metric"], columns)
        frames = {name: values[kept] if len(values) else values for name, values in frames.items()}
    return Scores(stems, frames, single)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("data frames need pandas: pip install 'binaural-metrics[pandas]'") from error
    return pandas
