"""Which tracks of a run a separator was trained on, according to its model card."""

from __future__ import annotations

from collections.abc import Iterable

from binaural_metrics.layouts import folded
from mssbench_service.wire import ModelCard

from ..datasets.musdb18 import musdb18
from .records import RunRecord

_MUSDB18 = "musdb18:"


def trained_on(card: ModelCard, titles: Iterable[str]) -> list[str]:
    """Those of `titles` that the model was trained on. Capitals and the coding of accents do not matter.

    ``musdb18:train`` and ``musdb18:test`` in the card's `training_tracks` stand for the titles of MUSDB18; so does
    `contains_test_set` for those of the test set.
    """
    names = {*card.training_tracks, *([f"{_MUSDB18}test"] if card.contains_test_set == "yes" else [])}
    splits = musdb18()["titles"]
    known = set()
    for name in names:
        is_split = name.startswith(_MUSDB18) and name.removeprefix(_MUSDB18) in splits
        known |= {folded(title) for title in (splits[name.removeprefix(_MUSDB18)] if is_split else [name])}
    return [title for title in titles if folded(title) in known]


def training_warnings(record: RunRecord) -> list[str]:
    """One sentence for each available separator that was trained on tracks of the run."""
    titles = [track.title for track in record.tracks]
    return [
        f"{separator.name} was trained on {_tracks(found, len(titles))}, according to its model card; its scores there "
        "are not those of unseen music"
        for separator in record.available
        if (found := trained_on(separator.card, titles))
    ]


def _tracks(found: list[str], total: int) -> str:
    if len(found) == total:
        return f"all {total} tracks of this run" if total > 1 else "the only track of this run"
    return f"{len(found)} of the {total} tracks of this run ({', '.join(found[:3])}{', …' if len(found) > 3 else ''})"
