"""Unknown fields and parameters of a request are refused; those of an answer are ignored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mssbench_contract import Client, ServiceUnderTest
from mssbench_service.audio import FloatArray
from mssbench_service.known import known_input
from mssbench_service.musdb import MIXTURE
from mssbench_service.wire import EvaluateRequest, Placement, PlaceRequest, Room, Scene, parse, to_json

from .conftest import Serve, app_of, problem_of


@dataclass
class Inner:
    depth: float = 1.0


@dataclass
class Outer:
    name: str
    inner: Inner | None = None
    many: list[Inner] = field(default_factory=list)
    named: dict[str, list[Inner]] = field(default_factory=dict)
    free: dict[str, float] = field(default_factory=dict)


@pytest.fixture
def client(tmp_path: Path, serve: Serve) -> Client:
    app = app_of(tmp_path)

    @app.post("/outer", dependencies=[known_input(Outer)])
    async def outer(body: Outer, loudness: int = 0) -> int:
        return loudness + len(body.named)

    return serve(app)


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/outer", {"nam": "x"}, "unknown field 'nam'; did you mean 'name'?"),
        ("/outer", {"name": "x", "2": 0}, "unknown field '2'; known: name, inner, many, named, free"),
        (
            "/outer",
            {"name": "x", "inner": {"deep": 2}},
            "unknown field 'inner.deep'; did you mean 'depth'?",
        ),
        (
            "/outer",
            {"name": "x", "many": [{}, {"z": 2}]},
            "unknown field 'many.1.z'; known: depth",
        ),
        (
            "/outer",
            {"name": "x", "named": {"a": [{"z": 2}]}},
            "unknown field 'named.a.0.z'; known: depth",
        ),
        (
            "/outer?loudnes=1",
            {"name": "x"},
            "unknown parameter 'loudnes'; did you mean 'loudness'?",
        ),
    ],
)
def test_an_unknown_field_or_parameter_is_refused_with_the_nearest_name(
    client: Client, path: str, body: Any, detail: str
) -> None:
    assert problem_of(client.post_json(path, body), 422).detail == detail


def test_known_input_is_accepted_and_wrong_types_are_named(client: Client) -> None:
    body: Any = {"name": "x", "inner": None, "many": [{"depth": 2}], "named": {"a": []}, "free": {"any": 1}}
    assert client.post_json("/outer?loudness=3", body).json() == 4
    for name, wrong in (("inner", 3), ("many", {"a": {}}), ("named", [1])):
        assert name in problem_of(client.post_json("/outer", {"name": "x", name: wrong}), 422).detail


def test_an_answer_may_have_further_fields() -> None:
    """A service of a later version sends them."""
    assert parse(Outer, {"name": "x", "later": 1, "inner": {"later": 2}}) == Outer("x", Inner())


def test_a_separator_refuses_unknown_fields_parameters_and_files(
    service: ServiceUnderTest, track: FloatArray
) -> None:
    body = service.reference_request(track, service.data / "refused") | {"reference_gian": 2}
    answer = service.post_json("/separate", body)
    service.problem(answer, 422, "unknown field 'reference_gian'; did you mean 'reference_gain'?")
    assert not (service.data / "refused").exists()
    answer = service.post_files("/separate?stm=vocals", service.files(track))
    service.problem(answer, 422, "unknown parameter 'stm'; did you mean 'stem'?")
    if not service.needs_references():
        answer = service.post_files("/separate", service.files(track) | {"vocal": b""})
        service.problem(answer, 422, "unknown file 'vocal' in the form; did you mean 'vocals'?")


def test_a_field_of_a_form_that_is_no_file_is_refused_with_a_remedy(service: ServiceUnderTest) -> None:
    field_only = f'--B\r\nContent-Disposition: form-data; name="{MIXTURE}"\r\n\r\na.wav\r\n--B--\r\n'
    answer = service.post("/separate", field_only.encode(), "multipart/form-data; boundary=B")
    service.problem(answer, 422, "?separator=NAME")


def test_a_request_is_sent_without_the_fields_that_have_their_default_value() -> None:
    """A service of an earlier version, which refuses fields that were added since, accepts it."""
    scene = Scene(room=Room([4.0, 5.0, 3.0], 0.4, [2.0, 2.0, 1.5]))
    request = PlaceRequest("sphere", [Placement({"vocals": 0.0}), Placement({}, scene)])
    sent = to_json(request)
    room = {"size": [4.0, 5.0, 3.0], "rt60": 0.4, "position": [2.0, 2.0, 1.5]}
    placements = [{"angles": {"vocals": 0.0}}, {"angles": {}, "scene": {"room": room}}]
    assert sent == {"hrir": "sphere", "placements": placements}
    assert parse(PlaceRequest, sent) == request
    # Services of version 0.1 read `profile`.
    assert to_json(EvaluateRequest("a", "b")) == {"reference": "a", "estimate": "b", "profile": "all"}
