"""Files of a report, and the leaderboard."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mssbench.report import build_leaderboard, exports, summary
from mssbench.report.analysis import analyse
from mssbench.report.build import write_files
from mssbench.report.data import load
from mssbench.runs.results import column_kind, result_columns, write_csv
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import read_json, write_json

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    run = make_run(tracks=3, later=True)
    data = load(run)
    (run / "report").mkdir()
    write_files(data, analyse(data), run / "report")
    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_results_csv_has_all_rows_and_columns(run: Path) -> None:
    found = rows(run / "report" / "results.csv")
    assert len(found) == 2 * 4 * 3 * 4
    assert set(result_columns()) | {"d_itd_us", "SI_SDR"} <= set(found[0])
    failed = [row for row in found if row["status"] == "failed"]
    assert len(failed) == 6
    assert all(row["reason"] for row in failed)
    assert not any(value in ("nan", "inf", "None") for row in found for value in row.values())


def test_parquet_equals_csv(run: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    table = pq.read_table(run / "report" / "results.parquet").to_pylist()
    text = rows(run / "report" / "results.csv")
    assert list(table[0]) == list(text[0])
    for row, other in zip(table, text, strict=True):
        for name, value in row.items():
            if isinstance(value, int | float):
                assert value == float(other[name])
            else:
                assert (value or "") == other[name]


@pytest.mark.parametrize("bsseval", [True, False])
def test_csv_and_parquet_have_one_schema_of_numbers(tmp_path: Path, run: Path, bsseval: bool) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    data = load(run)
    extra = {name: 1.5 if bsseval else None for name in ("SDR", "ISR", "SIR", "SAR", "azimuth_deg")}
    exports.write_results(dataclasses.replace(data, rows=[row | extra for row in data.rows]), tmp_path)
    parquet = pd.read_parquet(tmp_path / "results.parquet")
    text = pd.read_csv(tmp_path / "results.csv", keep_default_na=False, na_values=[""], dtype={"title": str})
    key = ["condition", "separator"]
    numbers = [name for name in result_columns() if column_kind(name) in ("number", "count")]
    assert {"SDR", "ISR", "SIR", "SAR", "azimuth_deg", "bsseval_frames"} <= set(numbers)
    medians = parquet.groupby(key)[numbers].median()
    pd.testing.assert_frame_equal(medians, text.groupby(key)[numbers].median())
    assert bool(medians["SAR"].notna().all()) == bsseval


TITLES = [
    "NA",
    "null",
    "1e5",
    "=1+1",
    "-2",
    "+x",
    "@x",
    "\tx",
    "'Til",
    "nan",
    "",
    "Ünïcode",
    'a "b", c',
    "007",
]


def test_titles_survive_pandas_and_are_no_formulas(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", [{"title": t, "SSR": -1.5} for t in TITLES], ("title", "SSR"))
    cells = [row["title"] for row in rows(tmp_path / "x.csv")]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)
    assert [cell.removeprefix("'") for cell in cells] == TITLES
    assert {row["SSR"] for row in rows(tmp_path / "x.csv")} == {"-1.5"}
    pd = pytest.importorskip("pandas")
    table = pd.read_csv(tmp_path / "x.csv", keep_default_na=False, na_values=[""], dtype={"title": str})
    assert table["title"].str.removeprefix("'").fillna("").tolist() == TITLES


def test_paper_files_have_the_columns_of_the_paper(run: Path) -> None:
    folder = run / "report" / "paper"
    first = (folder / "binaural_model-0_spauq.csv").read_text().splitlines()[0]
    assert first == "title,source,SSR,SRR,cost,shift,scale"
    second = (folder / "binaural_model-0_itd_ild.csv").read_text().splitlines()[0]
    assert second == "title,source,diff_ITD,diff_ILD"
    found = rows(folder / "binaural_model-0_itd_ild.csv")
    assert len(found) == 11  # the failed stem has no scores
    undefined = [row for row in found if row["diff_ITD"] == ""]
    assert [row["source"] for row in undefined] == ["bass"]
    assert json.loads(rows(folder / "stereo_irm_spauq.csv")[0]["scale"]) == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("name", ["results-stereo.tex", "results-binaural.tex", "results-binaural-paper.tex"])
def test_latex_is_well_formed(run: Path, name: str) -> None:
    text = (run / "report" / "tables" / name).read_text(encoding="utf-8")
    bare = re.sub(r"\\[{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert re.findall(r"\\(begin|end)\{([\w*]+)\}", text) == [
        ("begin", "table*"),
        ("begin", "tabular"),
        ("end", "tabular"),
        ("end", "table*"),
    ]
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert columns
    lines = [line for line in bare.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + 3 * 5  # known-answer tests are left out
    assert {line.count("&") for line in lines} == {len(columns[1]) - 1}
    assert text.isascii()
    assert "6 failed and 0 are pending" in text


def test_latex_shows_n_where_a_metric_has_fewer_values(run: Path) -> None:
    text = (run / "report" / "tables" / "results-binaural-paper.tex").read_text(encoding="utf-8")
    bass = next(line for line in text.splitlines() if "& Bass &" in line and "model-0" not in line)
    assert "$n=2$" in bass  # one of three has no ITD
    assert "2/3" in next(line for line in text.splitlines() if "& Other &" in line)  # one of three failed


def test_latex_compiles(run: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    tables = sorted((run / "report" / "tables").iterdir())
    inputs = "".join(rf"\input{{{table}}}\clearpage " for table in tables)
    (tmp_path / "main.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert f"({len(tables)} pages" in done.stdout


def test_latex_special_characters_are_escaped() -> None:
    assert exports.latex(r"a_b & 5 % {x} \ ~ ^ # $ <") == (
        r"a\_b \& 5 \% \{x\} \textbackslash{} \textasciitilde{} \textasciicircum{} \# \$ $<$"
    )
    assert exports.latex("Søn é 東") == "S?n e ?"


def test_references_are_the_works_that_the_run_used(run: Path, make_run: MakeRun) -> None:
    text = (run / "report" / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"@\w+\{([\w-]+),", text)
    assert {"namballa2025", "duda1998", "macdonald2008", "stoter2018", "pratt1959"} <= set(keys)
    assert not {"armstrong2018", "musdb18hq", "rouard2023"} & set(keys)
    assert "usedby" not in text
    assert text.count("{") == text.count("}")
    fewer = exports.references(load(make_run(tracks=1)))
    assert "macdonald2008" not in fewer


@pytest.mark.parametrize("name", ["a/b", "..", "", "ä ö", "x" * 300])
def test_slug_is_a_safe_file_name(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", exports.slug(name))


# summary.json -----------------------------------------------------------------------------------------------


def test_summary_follows_its_schema(run: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = read_json(run / "report" / "summary.schema.json")
    found = read_json(run / "report" / "summary.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert found["version"] == summary.Summary.version
    wrong: dict[str, Any]
    for wrong in ({"version": 99}, {"scores": "many"}, {"scores": [{}]}, {"separators": [{"kind": "best"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(found | wrong, schema)


def test_the_schema_file_matches_the_dataclasses() -> None:
    assert read_json(summary.SCHEMA_FILE) == summary.json_schema(), "run mssbench.report.summary.write_schema"


def test_summary_has_weights_and_devices(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "runs" / run.name)
    for path in copy.glob("cells/*/model-0/*/result.json"):
        details = {
            "model": "m",
            "weights": [{"file": "m.th", "sha256": "ab" * 32}],
            "libraries": {"torch": "2.5"},
        }
        write_json(path, read_json(path) | {"details": details, "device": "cuda:0"})
    data = load(copy)
    found = summary.build(data, analyse(data))
    model = next(separator for separator in found.separators if separator.name == "model-0")
    assert (model.devices, model.weights) == (["cuda:0"], {"m.th": "ab" * 32})
    other = next(separator for separator in found.separators if separator.name == "irm")
    assert (other.devices, other.weights) == (["cpu"], {})


def test_summary_can_be_read_and_written_again(run: Path, tmp_path: Path) -> None:
    path = run / "report" / "summary.json"
    again = summary.read(path)
    summary.write(again, tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == path.read_bytes()
    for score in again.scores:
        assert score.expected == score.median.n + score.undefined + score.failed + score.pending


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "version 3"),
        ({"scores": "many"}, "scores"),
        ({"run": {}}, "run"),
        ({"metrics": []}, "does not define"),
        ({"answer": ["fine", 3]}, "answer.1"),
        (
            {
                "separators": [
                    {"name": "x", "service": "x", "description": "", "kind": "best", "status": "available"}
                ]
            },
            "separators.0.kind",
        ),
        (
            {
                "speeds": [
                    {"separator": "x", "device": "", "cells": 1, "audio_seconds": float("nan"), "factor": 1.0}
                ]
            },
            "NaN is not a number in JSON",
        ),
    ],
)
def test_an_invalid_summary_is_refused(
    run: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(read_json(run / "report" / "summary.json") | change), encoding="utf-8")
    with pytest.raises(BadInput, match=message) as refused:
        summary.read(path)
    assert "\n" not in refused.value.detail
    assert len(refused.value.detail) < 400


# The leaderboard --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sent(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A summary from others, with markup in its names."""
    found = read_json(run / "report" / "summary.json")
    text = json.dumps(found).replace("model-0", "<script>alert(3)")
    found = json.loads(text)
    found["run"] |= {"id": "<b>", "profile": "paper"}
    path = tmp_path_factory.mktemp("sent") / "summary.json"
    write_json(path, found)
    return path


def test_leaderboard_of_a_run_and_a_summary(run: Path, sent: Path, tmp_path: Path) -> None:
    index = build_leaderboard([run, sent], tmp_path / "site")
    site = index.parent
    html = index.read_text(encoding="utf-8")
    # The two renderings of the binaural condition are two settings; stereo is one.
    headings = re.findall(r"<h2 id=.*?>(.*?)</h2>", html)
    assert len(headings) == 3
    assert sum("binaural" in heading for heading in headings) == 2
    pages = sorted(path.name for path in (site / "separators").iterdir())
    assert len(pages) == 5  # two models, the one sent, irm, and the unavailable one
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert text.count("<script") == (2 if path == index else 0)
        assert not re.search(r"\b(nan|None)\b", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
        for link in re.findall(r'href="([^"#]+)"', text):
            target = (path.parent / link).resolve()
            assert target.is_file()
            assert target.is_relative_to(site.resolve())
    assert len(list((site / "runs").iterdir())) == 2
    assert "identity" not in html  # known-answer tests are not listed


def test_leaderboard_refuses_invalid_sources_and_foreign_folders(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run given"):
        build_leaderboard([], tmp_path / "site")
    with pytest.raises(BadInput, match="same run"):
        build_leaderboard([run, run / "report" / "summary.json"], tmp_path / "site")
    with pytest.raises(NotFound):
        build_leaderboard([tmp_path / "nothing.json"], tmp_path / "site")
    (tmp_path / "scores.csv").touch()
    with pytest.raises(BadInput, match="is a table; mssbench evaluate --name makes a run"):
        build_leaderboard([tmp_path / "scores.csv"], tmp_path / "site")
    (tmp_path / "scores.csv").unlink()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="something else"):
        build_leaderboard([run], tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    build_leaderboard([run], tmp_path / "site")
    build_leaderboard([run], tmp_path / "site")  # replaces its own output
