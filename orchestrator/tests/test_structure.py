"""Structure of the package: imports only downwards, without cycles; short modules; small classes."""

from __future__ import annotations

import ast
from pathlib import Path

import mssbench
import pytest
from importlinter.cli import lint_imports

PROJECT = Path(__file__).parents[1]
MODULES = sorted(Path(mssbench.__file__).parent.rglob("*.py"))


def test_imports_point_downwards_and_have_no_cycle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The contracts are in ``pyproject.toml``. Imports inside functions are checked too."""
    monkeypatch.chdir(PROJECT)
    # It would disable the loggers of this process, which later tests read.
    monkeypatch.setattr("importlinter.cli._configure_logging", lambda verbose: None)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_modules_have_at_most_400_lines_and_classes_at_most_15_public_methods(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            methods = [
                function.name
                for function in node.body
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                and not function.name.startswith("_")
                and not any("property" in ast.unparse(decorator) for decorator in function.decorator_list)
            ]
            assert len(methods) <= 15, f"{node.name}: {', '.join(methods)}"
