"""Parsing requests: what is missing or wrong is named."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from mssbench_service.errors import BadInput
from mssbench_service.wire import (
    EvaluateRequest,
    Expectation,
    RenderRequest,
    SeparateRequest,
    SeparateResult,
    SeparatorInfo,
    parse,
)


@pytest.mark.parametrize(
    "value",
    [
        SeparateRequest("a.wav", "out", "x", "refs", 0.5),
        SeparateResult("x", ["bass"], 44_100, 10, "cpu", 0.5, ["mono"], {"weights": []}),
        SeparatorInfo("x", "one line", True, [Expectation("SSR", None, 80.0, "stereo", "why")]),
        RenderRequest("t", "o", "sphere", {"bass": 30.0}),
    ],
)
def test_round_trip(value: object) -> None:
    again = parse(type(value), asdict(value))  # type: ignore[call-overload]
    assert again == value
    assert type(again) is type(value)


def test_what_earlier_versions_wrote_is_read() -> None:
    """Of a separator they did not say its device and weights."""
    info = parse(SeparatorInfo, {"name": "x", "description": "d", "needs_references": False, "expected": []})
    assert (info.device, info.details) == ("", {})
    result = parse(
        SeparateResult,
        {"separator": "x", "stems": [], "sample_rate": 8, "samples": 1, "device": "cpu", "seconds": 0.1},
    )
    assert (result.notes, result.details) == ([], {})


def test_defaults_are_filled_in() -> None:
    assert parse(SeparateRequest, {"mixture": "a", "out": "b"}) == SeparateRequest("a", "b", "", "", 1.0)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, ["mixture", "out"]),
        ({"mixture": "a"}, ["out"]),
        ({"mixture": "a", "out": None}, ["out"]),
        ({"mixture": "a", "out": "b", "reference_gain": "loud"}, ["reference_gain"]),
        ({"mixture": ["a"], "out": "b"}, ["mixture"]),
        ([], [""]),
        ("text", [""]),
        (None, [""]),
        (5, [""]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(value: object, says: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        parse(SeparateRequest, value)
    for field in says:
        assert field in caught.value.detail
    assert "\n" not in caught.value.detail
    assert "pydantic" not in caught.value.detail


def test_metrics_may_be_called_profile_as_in_version_0_1() -> None:
    folders = {"reference": "a", "estimate": "b"}
    for fields, metrics in (
        ({}, "all"),
        ({"profile": "paper"}, "paper"),
        ({"metrics": "corrected"}, "corrected"),
        ({"metrics": "paper", "profile": "paper"}, "paper"),
    ):
        request = parse(EvaluateRequest, folders | fields)
        assert (request.metrics, request.profile) == (
            metrics,
            metrics,
        )  # services of version 0.1 read `profile`
    with pytest.raises(BadInput, match="expected one of them"):
        parse(EvaluateRequest, folders | {"metrics": "paper", "profile": "corrected"})
