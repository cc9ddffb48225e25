"""What services with a model read from their surroundings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mssbench_service import inference
from mssbench_service.errors import BadInput, Busy, OutOfMemory, StepFailed


@pytest.mark.parametrize(
    ("files", "processors", "expected"),
    [
        ({}, 8, 8),
        ({"cpu.max": "max 100000\n"}, 8, 8),
        ({"cpu.max": "200000 100000\n"}, 8, 2),
        ({"cpu.max": "150000 100000\n"}, 8, 2),
        ({"cpu.max": "20000 100000\n"}, 8, 1),
        ({"cpu.max": "1600000 100000\n"}, 8, 8),
        ({"cpu.max": "nonsense"}, 8, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8, 3),
    ],
)
def test_threads_suit_the_containers_limit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    processors: int,
    expected: int,
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert inference.usable_processors(tmp_path) == expected


def test_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADS", "3")
    assert inference.threads() == 3
    monkeypatch.delenv("THREADS")
    assert inference.threads() == inference.usable_processors()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "auto"), ("CPU", "cpu"), (" cuda ", "cuda"), ("cuda:1", "cuda:1"), ("auto", "auto")],
)
def test_devices(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setenv("DEVICE", text)
    assert inference.requested_device() == expected


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cuda:-1", "mps", "cpu,cuda"])
def test_other_devices_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DEVICE", text)
    with pytest.raises(BadInput, match=f"DEVICE='{text}'; expected auto, cpu, cuda"):
        inference.requested_device()


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-1", "11", "1e400"])
def test_numbers_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOME_NUMBER", text)
    with pytest.raises(BadInput, match=r"SOME_NUMBER='.*' is not a number from 0 to 10"):
        inference.number("SOME_NUMBER", 1.0, 0, 10)


def test_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NUMBER", " 2.5 ")
    assert inference.number("SOME_NUMBER", 1.0, 0) == 2.5
    with pytest.raises(BadInput, match="not a whole number"):
        inference.whole_number("SOME_NUMBER", 1, 0)
    monkeypatch.setenv("SOME_NUMBER", "")
    assert inference.whole_number("SOME_NUMBER", 7, 0) == 7


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_CHOICE", "b")
    assert inference.choice("SOME_CHOICE", "a", ("a", "b")) == "b"
    monkeypatch.setenv("SOME_CHOICE", "c")
    with pytest.raises(BadInput, match="SOME_CHOICE='c'; expected one of a, b"):
        inference.choice("SOME_CHOICE", "a", ("a", "b"))


def test_errors_join_the_family() -> None:
    class Full(Exception):
        pass

    for raised, kind in [
        (Full("full"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("CUDA out of memory"), OutOfMemory),
        (RuntimeError("something else\nand more"), StepFailed),
        (ValueError("out of memory"), StepFailed),
        (Busy("come back"), Busy),
    ]:
        with pytest.raises(kind) as caught, inference.inference("Library", (Full,)):
            raise raised
        assert "and more" not in str(caught.value)
