"""docs/python.md: its blocks run in order, as the cells of a notebook, and print what the page shows."""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs/python.md"


def cells(text: str) -> list[tuple[int, str, str]]:
    """Line, code and expected output of each block: the output is a block of ``text`` right after the code."""
    pattern = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?"
    return [
        (text.count("\n", 0, found.start()) + 2, found[1], found[2] or "")
        for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    ]


def run_cell(code: str, line: int, namespace: dict[str, Any]) -> str:
    """What the cell prints; the value of an expression at its end is shown, as in a notebook."""
    module = ast.parse("\n" * (line - 1) + code, str(PAGE))
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(module, str(PAGE), "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(PAGE), "eval"), namespace)
            if value is not None:
                print(repr(value))
    return printed.getvalue()


def test_each_block_runs_and_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MSSBENCH_DATA_ROOT", "MSSBENCH_REDIS_URL", "MSSBENCH_TRANSPORT", "MSSBENCH_SERVICES"):
        monkeypatch.delenv(name, raising=False)
    found = cells(PAGE.read_text(encoding="utf-8"))
    assert len(found) > 5
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, code, expected in found:
        printed = run_cell(code, line, namespace)
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(expected, printed, options), (
            f"line {line} of {PAGE.name} printed:\n{printed}"
        )


def test_a_block_whose_output_differs_is_noticed() -> None:
    ((line, code, expected),) = cells("# Page\n\n```python\nx = 1\nx + 1\n```\n\n```text\n3\n```\n")
    assert (line, expected) == (4, "3\n")
    assert run_cell(code, line, {}) == "2\n"
