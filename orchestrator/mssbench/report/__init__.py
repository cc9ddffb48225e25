"""The report: from a run directory to something to look at, listen to, cite and paste into a paper.

metrics     what each column is called, its unit, which way is better
data        the run as arrays
analysis    medians, comparisons, the self-check, the mixture's gain, speed
answer      the two sentences
published   figures that others reported
svg         Matplotlib for the page and for a paper
figures     what is drawn
listen      excerpts
page        what the template shows
summary     summary.json
exports     CSV, Parquet, LaTeX, BibTeX
leaderboard many runs, one site
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mssbench_service.files import atomic_folder, write_text

from . import exports, figures, listen, page, summary
from .analysis import Analysis, analyse
from .data import RunData, load
from .leaderboard import build_leaderboard

__all__ = ["build_leaderboard", "build_report"]


def build_report(
    run_dir: Path, *, audio: bool = True, cells: Sequence[tuple[str, str, str, str]] = ()
) -> Path:
    """Write ``<run_dir>/report/`` and return its ``index.html``.

    Parameters
    ----------
    run_dir : Path
        A run directory; the run may still be going on.
    audio : bool
        Whether to add excerpts to listen to.
    cells : sequence of (condition, separator, title, stem)
        Excerpts to add to those that are chosen.

    Raises
    ------
    NotFound, BadInput
        It is no run, it contradicts itself, or the folder cannot be written.
    """
    data = load(run_dir)
    choices = listen.choose(data, cells) if audio else []
    found = analyse(data)
    folder = run_dir / "report"
    with atomic_folder(folder) as temporary:
        files = write_files(data, found, temporary)
        listening = listen.write(data, choices, temporary) if audio else None
        write_text(temporary / "index.html", page.render(data, found, listening, files))
    return folder / "index.html"


def write_files(data: RunData, found: Analysis, report: Path) -> list[tuple[str, list[str]]]:
    """Write everything that can be taken away; return (heading, paths) for the page."""
    tables, pictures, papers = report / "tables", report / "figures", report / "paper"
    for folder in (tables, pictures):
        folder.mkdir()
    results = exports.write_results(data, report)
    summary.write(summary.build(data, found), report)
    (report / "references.bib").write_text(exports.references(data), encoding="utf-8")
    latex = exports.write_latex(data, found.table, tables)
    names = figures.save_for_paper(data, found.table, pictures)
    paper = exports.write_paper_files(data, papers)
    return [
        ("Results", [*results, "summary.json", "summary.schema.json"]),
        ("LaTeX tables", [f"tables/{name}" for name in latex]),
        (
            "Figures at column width",
            [f"figures/{name}.{suffix}" for name in names for suffix in ("pdf", "svg")],
        ),
        ("Result files with the paper's columns", [f"paper/{name}" for name in paper]),
        ("What to cite", ["references.bib"]),
    ]
