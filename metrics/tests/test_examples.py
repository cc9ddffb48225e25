"""Docstrings are complete, and their examples are right."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import FunctionType

import binaural_metrics
import pytest

MODULES = [
    "binaural_metrics",
    *(f"binaural_metrics.{m.name}" for m in pkgutil.iter_modules(binaural_metrics.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", sorted(set(binaural_metrics.__all__) - {"__version__"}))
def test_public_functions_have_complete_docstrings(name: str) -> None:
    function = getattr(binaural_metrics, name)
    documentation = inspect.getdoc(function)
    assert documentation
    if inspect.isfunction(function) and inspect.signature(function).parameters:
        expected = {"Parameters", "Raises"} | ({"Returns"} if returns_value(function) else set())
        assert expected <= set(documentation.splitlines())


def returns_value(function: FunctionType) -> bool:
    """Whether the function is no procedure and no context manager."""
    return not inspect.signature(function).return_annotation.startswith(("None", "Iterator"))
