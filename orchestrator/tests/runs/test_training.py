"""Separators that were trained on the tracks of a run, and model cards as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mssbench.datasets.musdb18 import musdb18
from mssbench.runs.config import RunConfig
from mssbench.runs.plan import plan
from mssbench.runs.training import trained_on, training_warnings
from mssbench.services.cards import card_facts, card_line
from mssbench.services.runtime import make_runtime
from mssbench_service.cards import read_card
from mssbench_service.weights import load
from mssbench_service.wire import ModelCard

SERVICES = Path(__file__).parents[3] / "services"

TRAIN, TEST = (musdb18()["titles"][split] for split in ("train", "test"))
OWN = "Café - Été"


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ({}, []),
        ({"training_tracks": ["musdb18:train"]}, TRAIN[:2]),
        ({"training_tracks": ["musdb18:test"]}, TEST[:2]),
        ({"contains_test_set": "yes"}, TEST[:2]),
        ({"contains_test_set": "unknown"}, []),
        ({"training_tracks": ["musdb18:train"], "contains_test_set": "yes"}, [*TRAIN[:2], *TEST[:2]]),
        ({"training_tracks": ["CAFE\u0301 - e\u0301te\u0301", "musdb18:else"]}, [OWN]),
    ],
)
def test_a_card_tells_the_tracks_of_training(card: dict[str, Any], found: list[str]) -> None:
    assert trained_on(ModelCard(**card), [*TRAIN[:2], *TEST[:2], OWN]) == found


def test_a_run_warns_of_separators_that_know_its_tracks(workspace: Path) -> None:
    record = plan(RunConfig(dataset="music", separators=["oracle-mixture"]), make_runtime(workspace))
    first, *_ = titles = [track.title for track in record.tracks]
    (separator,) = record.separators
    assert separator.card.training_data == "none"
    assert training_warnings(record) == []
    separator.card.training_tracks = [first]
    (warning,) = training_warnings(record)
    assert warning.startswith(
        f"oracle-mixture was trained on 1 of the {len(titles)} tracks of this run ({first})"
    )
    separator.card.training_tracks = titles
    assert f"trained on all {len(titles)} tracks of this run" in training_warnings(record)[0]
    separator.status = "unavailable"
    assert training_warnings(record) == []


def test_a_card_is_one_line_or_a_table() -> None:
    card = ModelCard("SCNet", 10_578_768, "MUSDB18-HQ, train", ["musdb18:train"], "no", "MIT", "A. Author")
    line = "SCNet; 10.6 M parameters; vocals; trained on MUSDB18-HQ, train; MUSDB18 test set in it: no; licence MIT"
    assert card_line(card, ["vocals"]) == line
    assert card_facts(card, ["vocals"])["Author"] == "A. Author"
    assert card_line(ModelCard(), ["vocals"]) == ""
    assert card_facts(ModelCard(), ["vocals"]) == {}
    assert card_facts(ModelCard("x"), []) == {
        "Architecture": "x",
        "Contains the test set of MUSDB18": "unknown",
        "Stems": "those that it is asked for",
    }


@pytest.mark.parametrize("path", sorted(SERVICES.glob("*/*/weights.toml")), ids=lambda path: path.parent.name)
def test_every_pinned_model_has_a_card(path: Path, tmp_path: Path) -> None:
    for model in load(path).models:
        card = read_card(path, tmp_path, model)
        assert card.architecture
        assert card.training_data
        assert card.licence
        assert card.author
