"""Every error class is converted to a problem document and back."""

from __future__ import annotations

import json

import pytest
from mssbench_service import errors
from mssbench_service.errors import (
    BadInput,
    BenchError,
    Busy,
    NotFound,
    StepFailed,
    TooLarge,
    Unavailable,
    from_problem,
)


def family(root: type[BenchError] = BenchError) -> list[type[BenchError]]:
    """Return the subclasses of ``root`` that the module defines. Other packages may derive more."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, root)]


@pytest.mark.parametrize("kind", family())
def test_an_error_is_rebuilt_from_its_problem_document(kind: type[BenchError]) -> None:
    problem = json.loads(json.dumps(kind("songs/Ünder.wav: expected 2 channels").to_problem()))
    rebuilt = from_problem(problem)
    assert type(rebuilt) is kind
    assert rebuilt.detail == "songs/Ünder.wav: expected 2 channels"
    assert rebuilt.to_problem() == problem


def test_a_subclass_without_a_code_of_its_own_is_not_rebuilt() -> None:
    class _Derived(BadInput):
        pass

    assert type(from_problem(_Derived("x").to_problem())) is BadInput


@pytest.mark.parametrize("kind", family(Unavailable))
def test_retry_after_is_kept(kind: type[Unavailable]) -> None:
    rebuilt = from_problem(kind("later", retry_after=42).to_problem())
    assert isinstance(rebuilt, Unavailable)
    assert rebuilt.retry_after == 42
    assert rebuilt.retryable


def test_the_docstring_lists_all_classes() -> None:
    text = errors.__doc__ or ""
    for kind in family():
        assert kind.__name__ in text
    assert len({kind.code for kind in family()}) == len(family())
    assert {kind.__name__ for kind in family() if kind.retryable} == {
        kind.__name__ for kind in family(Unavailable)
    }


@pytest.mark.parametrize(
    ("kind", "status"),
    [(BadInput, 422), (TooLarge, 413), (NotFound, 404), (Busy, 503), (StepFailed, 500), (BenchError, 500)],
)
def test_the_problem_document_has_the_status_of_the_class(kind: type[BenchError], status: int) -> None:
    assert kind("x").to_problem()["status"] == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadInput),
        (404, NotFound),
        (413, TooLarge),
        (422, BadInput),
        (429, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (500, StepFailed),
        (None, StepFailed),
        ("503", StepFailed),
    ],
)
def test_a_problem_of_unknown_type_becomes_the_error_of_its_status(
    status: object, kind: type[BenchError]
) -> None:
    rebuilt = from_problem({"type": "about:blank", "title": "Bad Gateway", "status": status})
    assert type(rebuilt) is kind
    assert rebuilt.detail == "Bad Gateway"


def test_incomplete_problem_documents_become_errors() -> None:
    assert from_problem({}).detail == "no detail given"
    assert isinstance(from_problem({"type": "urn:mssbench:error:from-the-future", "status": 422}), BadInput)
    busy = from_problem({"type": "urn:mssbench:error:busy", "retry_after": "soon"})
    assert isinstance(busy, Busy)
    assert busy.retry_after == 5


def test_a_detail_is_one_line() -> None:
    assert BenchError("first\n  second\tthird ").detail == "first second third"


def test_unprintable_characters_of_a_detail_are_escaped() -> None:
    """A detail may be printed on a terminal, sent in a response or written to the record of a failed cell."""
    assert from_problem({"detail": "a\ud800b", "status": 422}).detail == r"a\ud800b"
    assert BenchError("name\udcff 🔥").detail == r"name\udcff 🔥"
    assert BenchError("\x1b[31mred\x1b]0;title\x07 \x9b2J").detail == r"\x1b[31mred\x1b]0;title\x07 \x9b2J"
