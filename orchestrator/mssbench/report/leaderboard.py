"""The leaderboard: a static site of many runs with an index, a page per separator, and the methodology.

Scores are compared only between runs with the same setting (:mod:`.ranking`). A run is given as its directory or its
``summary.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_folder, write_json, write_text
from mssbench_service.stems import in_order

from ..services.cards import card_facts, card_line, parameters_text
from . import summary as summaries
from .analysis import analyse
from .cost_plot import cost_figure
from .data import ALL_STEMS, load, source_name
from .exports import slug
from .known_answers import verdict
from .page import environment
from .ranking import Entry, settings_of, used_metrics
from .summary import Summary


def build_leaderboard(sources: Sequence[Path], out: Path, *, home: str = "") -> Path:
    """Write the site into the folder `out` and return its ``index.html``.

    Parameters
    ----------
    sources : sequence of Path
        Run directories or ``summary.json`` files.
    out : Path
        Folder of the site; replaced when the new site is complete.
    home : str
        Address of the dashboard that shows the site, for a link to it. Default: no link.

    Raises
    ------
    NotFound, BadInput
        A source is neither, two of them are the same run, or `out` contains other files.
    """
    if not sources:
        raise BadInput("no run given; expected run directories or summary.json files")
    runs = [read_source(path) for path in sources]
    _require_different_runs(runs, sources)
    if out.is_dir() and any(out.iterdir()) and not (out / "methodology.html").exists():
        raise BadInput(f"{out} contains something else; expected a new folder, or a leaderboard to replace")
    pages = _page_names(runs)
    settings = settings_of(runs, pages)
    with atomic_folder(out) as folder:
        (folder / "separators").mkdir()
        (folder / "runs").mkdir()
        for number, run in enumerate(runs):
            write_json(folder / "runs" / _run_file(number, run), asdict(run))
        common: dict[str, Any] = {
            "home": home,
            "source_name": source_name,
            "sources": _sources(runs),
            "all": ALL_STEMS,
            "card_facts": card_facts,
            "card_line": card_line,
            "parameters_text": parameters_text,
            "cost_figure": cost_figure,
            "verdict": verdict,
            "runs": runs,
            "run_files": [_run_file(number, run) for number, run in enumerate(runs)],
        }
        scripts = ("tips.js", "leaderboard.js")
        _write(folder / "index.html", "leaderboard.html.j2", scripts, settings=settings, root="", **common)
        _write(
            folder / "methodology.html", "methodology.html.j2", metrics=used_metrics(runs), root="", **common
        )
        for name, page in pages.items():
            entries = [
                Entry(run, separator, page)
                for run in runs
                for separator in run.separators
                if separator.name == name
            ]
            _write(folder / page, "separator.html.j2", name=name, entries=entries, root="../", **common)
    return out / "index.html"


def _sources(runs: Sequence[Summary]) -> list[str]:
    """Sources of all runs in the order of the tables, all stems last."""
    found = {score.source for run in runs for score in run.scores}
    return [*in_order(found - {ALL_STEMS}), ALL_STEMS]


def read_source(path: Path) -> Summary:
    """Return the summary of a run, from its directory or from a ``summary.json``."""
    if path.is_dir():
        data = load(path)
        return summaries.build(data, analyse(data))
    if path.suffix.lower() == ".csv":
        raise BadInput(
            f"{path} is a table; mssbench evaluate --name makes a run of the scores, which can be listed"
        )
    return summaries.read(path)


def _require_different_runs(runs: Sequence[Summary], sources: Sequence[Path]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for run, source in zip(runs, sources, strict=True):
        other = seen.setdefault(run.run.key, source)
        if other is not source:
            raise BadInput(f"{source} and {other} are the same run {run.run.id}")


def _run_file(number: int, run: Summary) -> str:
    return f"{number:03d}-{slug(run.run.id)[:80]}.json"


def _page_names(runs: Sequence[Summary]) -> dict[str, str]:
    """Return the page of each separator; known-answer tests have none."""
    names = sorted({s.name for run in runs for s in run.separators if s.kind != "probe"})
    return {name: f"separators/{number:03d}-{slug(name)[:80]}.html" for number, name in enumerate(names)}


def _write(path: Path, template: str, scripts: Sequence[str] = (), **values: Any) -> None:
    write_text(path, environment(*scripts).get_template(template).render(values))
