"""Ratings of listeners: the reader, and rank correlations of made numbers."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "listeners" / "correlate.py"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="not in the repository")

RATINGS = """title,source,separator,rating,listener
A,vocals,x,80,1
A,vocals,x,60,2
A,vocals,y,20,1
B,vocals,x,90,1
B,vocals,y,40,1
C,vocals,x,50,1
"""
RESULTS = """condition,separator,title,source,in_place,d_ild_db,SSR,status
binaural,x,A,vocals,60,2,,ok
binaural,y,A,vocals,30,9,,ok
binaural,x,B,vocals,95,1,,ok
binaural,y,B,vocals,20,5,,ok
binaural,x,C,vocals,55,4,,ok
stereo,x,C,vocals,1,1,1,ok
"""


@pytest.fixture
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("correlate", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "ratings").mkdir()
    (tmp_path / "ratings" / "panel.csv").write_text(RATINGS)
    (tmp_path / "results.csv").write_text(RESULTS)
    return tmp_path / "ratings", tmp_path / "results.csv"


def test_rank_correlations_of_the_mean_ratings(program: ModuleType, files: tuple[Path, Path]) -> None:
    ratings, scores = program.read_ratings(files[0]), program.read_scores(files[1])
    assert ratings["binaural", "x", "A", "vocals"] == 70
    assert len(ratings) == 5
    head, _, *lines = program.table(ratings, scores, draws=50)
    assert head == "5 of 5 rated stems are in the results"
    assert [line.split()[0] for line in lines] == ["in_place", "d_ild_db"]
    rated, shares, differences = [70, 20, 90, 40, 50], [60, 30, 95, 20, 55], [2, 9, 1, 5, 4]
    for line, values, sign in zip(lines, (shares, differences), (1, -1), strict=True):
        assert f"{sign * spearmanr(rated, values).statistic:5.2f} (" in line
        assert f"{sign * kendalltau(rated, values).statistic:5.2f} (" in line
    limits = program.intervals(np.array(rated), np.array(shares), list("AABBC"), 50)
    assert (limits[:, 0] <= limits[:, 1]).all()
    assert math.isnan(program.correlations(np.ones(3), np.arange(3))[0])
    assert np.isnan(program.intervals(np.array(rated), np.array(shares), list("AABBB"), 50)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title,source,rating\nA,vocals,3\n", "has no column 'separator'"),
        ("title,source,separator,rating\nA,vocals,x,good\n", "line 2: the rating is 'good'"),
        ("title,source,separator,rating\nA,vocals,x,nan\n", "expected a number"),
        ("title,source,separator,rating\nA,vocals\n", "line 2 is incomplete"),
        ("title,source,separator,rating\n", "has no rating"),
        ("title,source,separator,rating\nZ,vocals,x,3\n", "none of the rated stems"),
        ("\x00", "panel.csv"),
        (None, "has no CSV file"),
    ],
)
def test_unusable_ratings_are_refused_with_one_line(
    program: ModuleType,
    files: tuple[Path, Path],
    text: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = files[0] / "panel.csv"
    path.unlink() if text is None else path.write_text(text)
    monkeypatch.setattr("sys.argv", ["correlate", *map(str, files)])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
