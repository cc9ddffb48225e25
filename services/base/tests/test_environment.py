"""Settings in the environment."""

from __future__ import annotations

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
