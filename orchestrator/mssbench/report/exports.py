"""Exports: tables as CSV, Parquet and LaTeX, and citations as BibTeX."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from ..runs.results import Row, column_kind, csv_field, result_columns, write_csv
from .data import ALL_STEMS, RunData, source_name
from .metrics import Metric, paper_columns, paper_tables
from .scores import ScoreTable
from .statistics import Estimate


def write_results(data: RunData, folder: Path) -> list[str]:
    """Write ``results.csv``, and ``results.parquet`` if pyarrow is installed; return their names."""
    write_csv(folder / "results.csv", data.rows, result_columns())
    names = ["results.csv"]
    if find_spec("pyarrow"):
        _write_parquet(folder / "results.parquet", data.rows, result_columns())
        names.append("results.parquet")
    return names


def _write_parquet(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    types = {"number": pa.float64(), "count": pa.int64(), "text": pa.string(), "matrix": pa.string()}
    kinds = {
        name: "matrix" if any(isinstance(row.get(name), list) for row in rows) else column_kind(name)
        for name in names
    }
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    lines = [json.dumps({name: _plain_value(row.get(name), kinds[name]) for name in names}) for row in rows]
    # Not from Python objects, since these conversions import pandas, which takes longer than the rest.
    text = io.BytesIO("\n".join(lines).encode())
    options = pyarrow.json.ParseOptions(explicit_schema=schema)
    pq.write_table(
        pyarrow.json.read_json(text, parse_options=options) if rows else schema.empty_table(), path
    )


def _plain_value(value: object, kind: str) -> object:
    if value is None or kind == "count":
        return value
    if kind == "number":
        return float(value)  # type: ignore[arg-type]
    return value if isinstance(value, str) else json.dumps(value)


def write_paper_files(data: RunData, folder: Path) -> list[str]:
    """Write two files per condition and separator with the column names of the paper; return their names."""
    if not any(metric.group == "paper" for metric in data.metrics):
        return []
    folder.mkdir()
    names = []
    for condition in data.record.cell_conditions:
        for separator in data.separators:
            rows = [
                row
                for row in data.rows
                if row["condition"] == condition
                and row["separator"] == separator.name
                and row["status"] in ("ok", "undefined")
            ]
            stem = f"{slug(condition)}_{slug(separator.name)}"
            for suffix, mapping in paper_tables().items():
                names.append(f"{stem}_{suffix}.csv")
                with (folder / names[-1]).open("w", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file)
                    writer.writerow(["title", "source", *mapping])
                    for row in rows:
                        values = [csv_field(row.get(ours)) for ours in mapping.values()]
                        writer.writerow([csv_field(row["title"]), row["source"], *values])
    return names


def slug(name: str) -> str:
    """Return a safe file name for any name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "unnamed"


def write_latex(data: RunData, table: ScoreTable, folder: Path) -> list[str]:
    """Write a LaTeX table per condition and set of metrics (they need booktabs); return their names."""
    paper = paper_columns(data.metrics)
    sets = {"": data.headline, "-paper": [] if paper == data.headline else paper}
    names = []
    for condition in data.conditions:
        for suffix, metrics in sets.items():
            if not metrics or not data.separators:
                continue
            names.append(f"results-{condition}{suffix}.tex")
            text = latex_table(data, table, condition, metrics, suffix)
            (folder / names[-1]).write_text(text, encoding="utf-8")
    return names


def latex_table(
    data: RunData, table: ScoreTable, condition: str, metrics: Sequence[Metric], suffix: str = ""
) -> str:
    """Return a ``table*`` environment of medians with intervals and n: rows are separators × sources."""
    arrows = {"higher": r"\,$\uparrow$", "lower": r"\,$\downarrow$", "": ""}
    heads = [latex(f"{m.label} [{m.unit}]" if m.unit else m.label) + arrows[m.better] for m in metrics]
    totals = data.totals()
    sources = data.sources if len(data.plain) > 1 else data.targets  # not the only stem once more
    names = {source: source_name(source) for source in data.targets}
    names[ALL_STEMS] = data.scope.removesuffix(" only").capitalize()
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{Medians over tracks with 95\,\% bootstrap intervals, {latex(condition)} condition, "
        rf"run \texttt{{{latex(data.record.id)}}}. $n$: stems scored, of those expected where fewer; beside "
        rf"an interval: $n$ of that metric where it is undefined on some. Of all {totals.expected} stems of "
        rf"the table's targets, {totals.failed} failed and {totals.pending} are pending.}}",
        rf"\label{{tab:{condition}{suffix}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(metrics)}r}}",
        r"\toprule",
        " & ".join(["Separator", "Source", *heads, "$n$"]) + r" \\",
    ]
    for separator in data.listed or data.separators:
        lines.append(r"\midrule")
        for i, source in enumerate(sources):
            counts = data.counts(None, condition, separator.name, source)
            if not counts.expected:
                continue
            scores = [table.get(condition, separator.name, source, metric) for metric in metrics]
            cells = [_latex_cell(score.metric, score.estimate, counts.scored) for score in scores]
            complete = counts.scored == counts.expected
            n = f"{counts.scored}" if complete else f"{counts.scored}/{counts.expected}"
            name = latex(separator.name) if i == 0 else ""
            lines.append(" & ".join([name, names[source], *cells, n]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])


def _latex_cell(metric: Metric, estimate: Estimate, scored: int) -> str:
    def number(value: float) -> str:
        return metric.format(value).replace("−", "-")

    if estimate.n == 0:
        return "--"
    text = f"${number(estimate.value)}$"
    if not math.isnan(estimate.low):
        text += rf" {{\scriptsize $[{number(estimate.low)}, {number(estimate.high)}]$}}"
    return text if estimate.n == scored else text + rf" {{\scriptsize $n={estimate.n}$}}"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "Δ": r"$\Delta$", "µ": r"$\mu$", "°": r"$^\circ$",
    "−": "$-$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def latex(text: str) -> str:
    """Escape `text` for any LaTeX; letters that need another font or a package lose their diacritics."""
    return "".join(_LATEX.get(character) or _plain(character) for character in text)


def _plain(character: str) -> str:
    if character.isascii():
        return character
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def references(data: RunData) -> str:
    """Return BibTeX of the works that the run used, by the rule in each entry of ``published/references.bib``."""
    used = {"always"} | {f"column:{metric.column}" for metric in data.metrics}
    used |= {f"service:{separator.service}" for separator in data.record.separators}
    names = {"dataset": data.record.config.dataset.lower()}
    hrirs = [data.record.hrir, *data.record.hrirs.values()]
    names["hrir"] = " ".join(hrir.name.lower() for hrir in hrirs if hrir is not None)

    def applies(rule: str) -> bool:
        kind, _, part = rule.partition(":")
        return rule in used or (kind in names and part in names[kind])

    text = (resources.files("mssbench.report") / "published" / "references.bib").read_text(encoding="utf-8")
    kept = []
    for entry in re.findall(r"^@.*?^\}", text, re.DOTALL | re.MULTILINE):
        rules = re.search(r"  usedby = \{(.*?)\},\n", entry)
        if rules and any(applies(rule) for rule in rules[1].split()):
            kept.append(entry.replace(rules[0], "") + "\n")
    return "\n".join(kept)
