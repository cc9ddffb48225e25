"""Errors, and the problem documents that they are rebuilt from."""

from __future__ import annotations

import re

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

from .conftest import FAMILY


def test_a_subclass_without_a_code_of_its_own_is_not_rebuilt() -> None:
    class _Derived(BadInput):
        pass

    assert type(from_problem(_Derived("x").to_problem())) is BadInput


def test_the_docstring_lists_all_classes_with_their_statuses() -> None:
    listed = dict(re.findall(r"(\w+) *(\d{3})?(?: |\n)", (errors.__doc__ or "").partition("\n\nServices")[0]))
    for kind in FAMILY:
        assert listed[kind.__name__] == str(kind.status) or (
            listed[kind.__name__] == "" and "status" not in vars(kind)
        )
        assert kind.retryable == issubclass(kind, Unavailable)
    assert len({kind.code for kind in FAMILY}) == len(FAMILY)


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
