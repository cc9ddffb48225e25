"""Settings in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from mssbench_service import environment
from mssbench_service.errors import BadInput


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-1", "11", "1e400"])
def test_numbers_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOME_NUMBER", text)
    with pytest.raises(BadInput, match=r"SOME_NUMBER='.*' is not a number from 0 to 10"):
        environment.number("SOME_NUMBER", 1.0, 0, 10)


def test_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NUMBER", " 2.5 ")
    assert environment.number("SOME_NUMBER", 1.0, 0) == 2.5
    with pytest.raises(BadInput, match="not a whole number"):
        environment.whole_number("SOME_NUMBER", 1, 0)
    monkeypatch.setenv("SOME_NUMBER", "")
    assert environment.whole_number("SOME_NUMBER", 7, 0) == 7


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_CHOICE", "b")
    assert environment.choice("SOME_CHOICE", "a", ("a", "b")) == "b"
    monkeypatch.setenv("SOME_CHOICE", "c")
    with pytest.raises(BadInput, match="SOME_CHOICE='c'; expected one of a, b"):
        environment.choice("SOME_CHOICE", "a", ("a", "b"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 3),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu.max": "nonsense"}, 8),
    ],
)
def test_processors_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert environment.processors(tmp_path) == expected
