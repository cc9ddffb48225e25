"""The leaderboard: a static site of many runs with an index, a page per separator, and the methodology.

Scores are compared only between runs with the same setting: the same files of the same tracks, rendering, angles, HRIR
set, metrics and aggregate. Each setting has its own table. A run is given as its directory or its ``summary.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_folder, write_json, write_text
from mssbench_service.stems import in_order

from . import summary as summaries
from .analysis import analyse
from .data import ALL_STEMS, load, source_name
from .exports import slug
from .metrics import Metric, headline, present
from .page import environment
from .summary import ScoreSummary, SeparatorSummary, Summary


@dataclass
class Entry:
    """One separator in one run."""

    run: Summary
    separator: SeparatorSummary
    page: str

    @property
    def metrics(self) -> list[Metric]:
        """Headline metrics of the run."""
        return headline(_used([self.run]))

    def score(self, condition: str, source: str, metric: Metric) -> ScoreSummary | None:
        """Return the score of this separator in one group, None where the run has none."""
        for score in self.run.scores:
            if (score.condition, score.separator, score.source, score.column) == (
                condition, self.separator.name, source, metric.column
            ):  # fmt: skip
                return score
        return None


@dataclass
class Setting:
    """Runs with the same tracks, rendering and HRIR set, whose scores may be compared."""

    name: str
    condition: str
    runs: list[Summary] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)


def build_leaderboard(sources: Sequence[Path], out: Path) -> Path:
    """Write the site into the folder `out` and return its ``index.html``.

    Parameters
    ----------
    sources : sequence of Path
        Run directories or ``summary.json`` files.
    out : Path
        Folder of the site; replaced when the new site is complete.

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
    settings = _settings(runs, pages)
    with atomic_folder(out) as folder:
        (folder / "separators").mkdir()
        (folder / "runs").mkdir()
        for number, run in enumerate(runs):
            write_json(folder / "runs" / _run_file(number, run), asdict(run))
        common = {
            "source_name": source_name,
            "sources": _sources(runs),
            "all": ALL_STEMS,
            "runs": runs,
            "run_files": [_run_file(number, run) for number, run in enumerate(runs)],
        }
        _write(folder / "index.html", "leaderboard.html.j2", settings=settings, root="", **common)
        _write(folder / "methodology.html", "methodology.html.j2", metrics=_used(runs), root="", **common)
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
    return summaries.read(path)


def _require_different_runs(runs: Sequence[Summary], sources: Sequence[Path]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for run, source in zip(runs, sources, strict=True):
        key = (run.run.id, run.run.created)
        if key in seen:
            raise BadInput(f"{source} and {seen[key]} are the same run {run.run.id}")
        seen[key] = source


def _run_file(number: int, run: Summary) -> str:
    return f"{number:03d}-{slug(run.run.id)[:80]}.json"


def _page_names(runs: Sequence[Summary]) -> dict[str, str]:
    """Return the page of each separator; known-answer tests have none."""
    names = sorted({s.name for run in runs for s in run.separators if s.kind != "probe"})
    return {name: f"separators/{number:03d}-{slug(name)[:80]}.html" for number, name in enumerate(names)}


def _settings(runs: Sequence[Summary], pages: dict[str, str]) -> list[Setting]:
    found: dict[tuple[Any, ...], Setting] = {}
    for run in runs:
        for condition in sorted(run.run.conditions):
            binaural = condition == "binaural"
            hrir = run.run.hrir if binaural else None
            profile = run.run.profile if binaural else ""
            scoring = (run.run.metrics, run.run.bsseval, run.run.aggregate)
            source = (run.run.split, tuple(sorted(run.run.tracks)), run.run.files)
            key = (condition, *source, hrir and hrir.sha256, profile, binaural and run.run.angles, *scoring)
            dataset = f"{PurePosixPath(run.run.dataset).name} {run.run.split}"
            name = f"{dataset}, {len(run.run.tracks)} tracks, {condition}"
            if hrir is not None:
                name += f" ({hrir.name}, {profile} rendering)"
            name += f", {run.run.metrics} metrics, {run.run.aggregate} of frames"
            setting = found.setdefault(key, Setting(name, condition))
            setting.runs.append(run)
            setting.entries += [
                Entry(run, separator, pages[separator.name])
                for separator in run.separators
                if separator.name in pages and separator.status == "available"
            ]
    for setting in found.values():
        setting.metrics = headline(_used(setting.runs))
        setting.entries.sort(key=lambda entry, s=setting: _rank(entry, s))  # type: ignore[misc]
    return list(found.values())


def _rank(entry: Entry, setting: Setting) -> tuple[bool, float, str]:
    """Sort key: best first by the first metric, separators without a value last."""
    if not setting.metrics:
        return (True, 0.0, entry.separator.name)
    metric = setting.metrics[0]
    score = entry.score(setting.condition, ALL_STEMS, metric)
    if score is None or score.median.value is None:
        return (True, 0.0, entry.separator.name)
    value = score.median.value
    return (False, -value if metric.better == "higher" else value, entry.separator.name)


def _used(runs: Sequence[Summary]) -> list[Metric]:
    return present({metric.column for run in runs for metric in run.metrics})


def _write(path: Path, template: str, **values: Any) -> None:
    write_text(path, environment().get_template(template).render(values))
