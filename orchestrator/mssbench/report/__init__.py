"""Reports of runs, and the leaderboard of many runs.

metrics        columns, labels and units of the metrics
statistics     medians with intervals, paired tests, corrections
data           results of a run as arrays
replicates     replicates of a condition as one
scores         medians and comparisons of a run
known_answers  known-answer tests of the bench
mixture_gain   effect of the mixture's gain on the paper's SSR
speed          speed of the separators
answer         the sentence at the top of the report
analysis       all numbers of a report
published      published results of others
chart          axes, marks and lines as SVG
figures        figures of the page
paper_figures  figures for a paper
excerpts       audio excerpts
timeline       cues of an excerpt over time
tables         tables of the page
page           the HTML page
summary        summary.json
exports        CSV, Parquet, LaTeX, BibTeX
build          the report as a whole
comparable     what must be the same for scores to be comparable
ranking        tables and order of the leaderboard
cost_plot      quality against cost
leaderboard    many runs as a static site
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import build_report
    from .leaderboard import build_leaderboard

__all__ = ["build_leaderboard", "build_report"]

_MODULES = {"build_leaderboard": "leaderboard", "build_report": "build"}


def __getattr__(name: str) -> Any:
    """Import the plotting library only when a report is built: every command imports this package."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
