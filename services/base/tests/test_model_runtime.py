"""What services with a model read from their surroundings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mssbench_service import model_runtime
from mssbench_service.errors import Busy, OutOfMemory, StepFailed


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
    assert model_runtime.usable_processors(tmp_path) == expected


def test_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADS", "3")
    assert model_runtime.thread_count() == 3
    monkeypatch.delenv("THREADS")
    assert model_runtime.thread_count() == model_runtime.usable_processors()


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
        with pytest.raises(kind) as caught, model_runtime.model_errors("Library", (Full,)):
            raise raised
        assert "and more" not in str(caught.value)
