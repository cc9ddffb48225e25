"""Write the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mssbench_service.files import atomic_folder, write_text

from . import excerpts, exports, page, paper_figures, summary
from .analysis import Analysis, analyse
from .data import RunData, load


def build_report(
    run_dir: Path,
    *,
    audio: bool = True,
    cells: Sequence[tuple[str, str, str, str]] = (),
    targets: Sequence[str] = (),
) -> Path:
    """Write ``<run_dir>/report/`` and return its ``index.html``.

    Parameters
    ----------
    run_dir : Path
        A run directory. The run may be unfinished.
    audio : bool
        Whether to write audio excerpts.
    cells : sequence of (condition, separator, title, stem)
        Excerpts to add to those that are selected automatically.
    targets : sequence of str
        What the report is about; default: everything that is scored.

    Raises
    ------
    NotFound, BadInput
        `run_dir` is not a run directory, its files contradict each other, or the folder cannot be written.
    """
    data = load(run_dir, targets)
    choices = excerpts.choose(data, cells) if audio else []
    analysis = analyse(data)
    folder = run_dir / "report"
    with atomic_folder(folder) as temporary:
        files = write_files(data, analysis, temporary)
        players = excerpts.write(data, choices, temporary) if audio else None
        write_text(temporary / "index.html", page.render(data, analysis, players, files))
    return folder / "index.html"


def write_files(data: RunData, analysis: Analysis, report: Path) -> list[tuple[str, list[str]]]:
    """Write tables, figures and citations into `report`; return (heading, paths) for the page."""
    tables, plots = report / "tables", report / "figures"
    for folder in (tables, plots):
        folder.mkdir()
    results = exports.write_results(data, report)
    summary.write(summary.build(data, analysis), report)
    (report / "references.bib").write_text(exports.references(data), encoding="utf-8")
    # What compares separators is about the targets that all models offer, as the first table of the page.
    latex = exports.write_latex(analysis.shared, analysis.shared_table, tables)
    names = paper_figures.save_for_paper(analysis.shared, analysis.shared_table, plots)
    paper = exports.write_paper_files(data, report / "paper")
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
