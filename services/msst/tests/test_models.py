"""Random checkpoints of each architecture, compared with MSST itself on the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from make_checkpoint import make_model
from mssbench_contract import music
from mssbench_service.audio import FloatArray
from mssbench_service.separation import Separator
from msst_service import SEPARATORS

RATE = 44100
TARGET = {"instruments": ["vocals", "other"], "target_instrument": "vocals"}


def ready(settings: pytest.MonkeyPatch, folder: Path, **changes: str) -> Separator:
    settings.setenv("MSST_MODEL", str(folder))
    for name, value in changes.items():
        settings.setenv(name, value)
    separator = SEPARATORS["msst"]()
    separator.setup()
    return separator


def difference_db(found: FloatArray, expected: FloatArray) -> float:
    """Level of the difference, relative to `expected`."""
    ratio = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    return 20 * float(np.log10(max(ratio, 1e-12)))


@pytest.mark.parametrize(
    ("architecture", "variables", "sections", "model"),
    [
        ("bs_roformer", {}, {}, {}),
        ("bs_roformer", {"MSST_ZERO_DC": "no"}, {}, {"zero_dc": False}),
        ("bs_roformer", {}, {"model": {"zero_dc": False}}, {}),
        ("mel_band_roformer", {"MSST_BATCH_SIZE": "2"}, {}, {}),
        (
            "mel_band_roformer",
            {},
            {"model": {"num_stems": 1, "mask_estimator_depth": 1}, "training": TARGET},
            {},
        ),
        ("scnet", {}, {}, {}),
        ("mdx23c", {}, {"training": TARGET}, {}),
        ("bandit", {}, {}, {}),
        ("htdemucs", {}, {}, {}),
    ],
)
def test_estimates_are_those_of_msst(
    settings: pytest.MonkeyPatch,
    tmp_path: Path,
    architecture: str,
    variables: dict[str, str],
    sections: dict[str, Any],
    model: dict[str, Any],
) -> None:
    folder = make_model(tmp_path / "own", architecture, **sections)
    separator = ready(settings, folder, **variables)
    track = music(0.9)
    found = separator.separate(track, RATE)
    expected = reference.separate(architecture, folder, track, **model)
    assert list(found) == list(expected) == list(separator.stems)
    for stem, estimate in found.items():
        assert np.abs(estimate).max() > 1e-3
        assert difference_db(estimate, expected[stem]) < -100, stem
    if len(found) > 1:
        first, second = list(found.values())[:2]
        assert difference_db(first, second) > -40
    assert separator.card().architecture == architecture


@pytest.mark.parametrize(
    ("architecture", "precision", "largest"),
    [
        ("bs_roformer", "fp16", -40.0),
        ("mel_band_roformer", "bf16", -25.0),
        ("scnet", "bf16", -25.0),
        ("bandit", "bf16", -25.0),
    ],
)
def test_lower_precision_is_recorded_and_gives_nearly_the_same(
    settings: pytest.MonkeyPatch, tmp_path: Path, architecture: str, precision: str, largest: float
) -> None:
    folder = make_model(tmp_path / "own", architecture)
    track = music(0.3)
    expected = ready(settings, folder).separate(track, RATE)
    separator = ready(settings, folder, MSST_PRECISION=precision)
    assert separator.details()["settings"]["precision"] == precision  # type: ignore[index]
    for stem, estimate in separator.separate(track, RATE).items():
        assert estimate.dtype == np.float32
        assert -110 < difference_db(estimate, expected[stem]) < largest


def test_the_mixture_without_the_target_is_an_estimate_if_the_configuration_says_so(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_model(
        tmp_path / "own",
        "mdx23c",
        training=TARGET,
        inference={"extract_instrumental": True, "normalize": True},
    )
    track = music(0.6)
    separator = ready(settings, folder)
    found = separator.separate(track, RATE)
    assert list(found) == ["vocals", "accompaniment"]
    np.testing.assert_allclose(found["vocals"] + found["accompaniment"], track, atol=1e-6)
    assert separator.details()["settings"]["mixture_minus_target"] == "accompaniment"  # type: ignore[index]
    vocals_only = ready(settings, folder, MSST_EXTRACT_INSTRUMENTAL="no").separate(track, RATE)
    assert list(vocals_only) == ["vocals"]
    np.testing.assert_array_equal(vocals_only["vocals"], found["vocals"])
