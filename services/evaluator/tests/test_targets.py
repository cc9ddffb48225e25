"""Targets that are sums of stems, and the sets that BSS Eval scores together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluator_service.steps import evaluate
from evaluator_service.targets import scored_sets
from mssbench_service.audio import write_wav
from mssbench_service.errors import BadInput
from mssbench_service.files import DataRoot
from mssbench_service.stems import STEMS
from mssbench_service.wire import EvaluateRequest, Target

RATE = 8000
REST = ["drums", "bass", "other"]


def plain(*names: str) -> dict[str, Target]:
    return {name: Target([name], [name]) for name in names}


@pytest.fixture
def folders(tmp_path: Path) -> DataRoot:
    """References, noisy estimates of four stems, and of vocals and accompaniment."""
    random = np.random.default_rng(0)
    stems = {stem: 0.1 * random.standard_normal((2, RATE)).astype(np.float32) for stem in STEMS}
    noisy = {stem: x + 0.01 * random.standard_normal(x.shape).astype(np.float32) for stem, x in stems.items()}
    pair = {"vocals": noisy["vocals"], "accompaniment": sum(noisy[stem] for stem in REST)}
    for folder, signals in (("truth", stems), ("four", noisy), ("pair", pair)):
        (tmp_path / folder).mkdir()
        for name, signal in signals.items():
            write_wav(tmp_path / folder / f"{name}.wav", np.asarray(signal, np.float32), RATE)
    return DataRoot(tmp_path)


def test_a_sum_of_estimates_scores_as_one_estimate_and_leaves_the_others_alone(folders: DataRoot) -> None:
    before = evaluate(folders, EvaluateRequest("truth", "four")).rows
    targets = plain(*STEMS) | {"accompaniment": Target(REST, REST)}
    rows = evaluate(folders, EvaluateRequest("truth", "four", targets=targets)).rows
    assert rows[:4] == before
    own = {"accompaniment": Target(REST, ["accompaniment"])}
    pair = evaluate(folders, EvaluateRequest("truth", "pair", targets=plain("vocals") | own)).rows
    assert [row["source"] for row in pair] == ["vocals", "accompaniment"]
    for column in ("SDR", "SIR", "SSR"):
        assert pair[1][column] == pytest.approx(rows[4][column], abs=1e-3)  # of float32 files
    assert pair[0]["SDR"] == pytest.approx(
        rows[0]["SDR"], abs=1e-9
    )  # a distortion does not depend on the set
    assert pair[0]["SIR"] != rows[0]["SIR"]  # interference does


def test_a_missing_part_fails_its_target_alone(folders: DataRoot) -> None:
    targets = plain("vocals") | {"accompaniment": Target(REST, [*REST, "guitar"])}
    vocals, rest = evaluate(folders, EvaluateRequest("truth", "four", targets=targets, bsseval=False)).rows
    assert (vocals["status"], rest["status"]) == ("undefined", "failed")
    assert "guitar" in rest["reason"]


@pytest.mark.parametrize(
    "targets",
    [
        {"vocals": Target(["vocals"], ["../four/vocals"])},
        {"vocals": Target(["vocals"], ["vocals", "vocals"])},
        {"../vocals": Target(["vocals"], ["vocals"])},
    ],
)
def test_names_in_targets_are_names_of_stems(folders: DataRoot, targets: dict[str, Target]) -> None:
    with pytest.raises(BadInput, match="stem"):
        evaluate(folders, EvaluateRequest("truth", "pair", targets=targets, bsseval=False))


def test_bss_eval_sets_are_those_of_museval() -> None:
    pair = plain("vocals") | {"accompaniment": Target(REST, ["accompaniment"])}
    assert [(list(one.references), one.targets) for one in scored_sets(pair, STEMS)] == [
        (["vocals", "accompaniment"], ["vocals", "accompaniment"])
    ]
    folded = plain("vocals", *REST) | {"accompaniment": Target(REST, REST)}
    assert [(list(one.references), one.targets) for one in scored_sets(folded, STEMS)] == [
        (list(STEMS), ["vocals", *REST]),
        (["vocals", "accompaniment"], ["accompaniment"]),
    ]
    assert [one.targets for one in scored_sets(plain("vocals"), STEMS)] == [["vocals"]]


@pytest.mark.parametrize(
    "target", [Target(["guitar"], ["guitar"]), Target([], ["x"]), Target(["vocals"], [])]
)
def test_a_target_that_cannot_be_built_is_refused(target: Target) -> None:
    with pytest.raises(BadInput, match="the target 'x' has no"):
        scored_sets({"x": target}, STEMS)
