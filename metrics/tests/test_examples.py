"""The examples in docstrings are right."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import binaural_metrics
import pytest

MODULES = [
    "binaural_metrics",
    *(f"binaural_metrics.{m.name}" for m in pkgutil.iter_modules(binaural_metrics.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_function_for_users_is_documented() -> None:
    for name in set(binaural_metrics.__all__) - {"__version__"}:
        assert getattr(binaural_metrics, name).__doc__, name
