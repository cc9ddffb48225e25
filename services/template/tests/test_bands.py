"""Tests of this separator only. Replace them with the tests of yours."""

from __future__ import annotations

import numpy as np
import pytest
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from template_service import SEPARATORS, Bands

FS = 44_100
TIME = np.arange(FS) / FS


@pytest.fixture(scope="module")
def bands() -> Bands:
    separator = Bands()
    separator.setup()
    return separator


def tone(frequency: float, left: float, right: float) -> FloatArray:
    return np.outer([left, right], 0.5 * np.sin(2 * np.pi * frequency * TIME)).astype(np.float32)


@pytest.mark.parametrize(
    ("mixture", "stem"),
    [
        (tone(50, 1, 0.3), "bass"),
        (tone(9000, 0.2, 1), "drums"),
        (tone(1000, 1, 1), "vocals"),
        (tone(1000, 1, -1), "other"),
    ],
)
def test_each_stem_is_a_band_of_the_mixture(bands: Bands, mixture: FloatArray, stem: str) -> None:
    inside = slice(5000, -5000)  # away from the edges of the filters
    for name, estimate in bands.separate(mixture, FS).items():
        expected = mixture if name == stem else np.zeros_like(mixture)
        np.testing.assert_allclose(estimate[:, inside], expected[:, inside], atol=3e-3)


def test_stems_add_up_to_the_mixture(bands: Bands) -> None:
    mixture = np.random.default_rng(0).standard_normal((2, FS)).astype(np.float32)
    stems = bands.separate(mixture, FS)
    np.testing.assert_allclose(sum(stems[stem] for stem in STEMS), mixture, atol=1e-5)


def test_there_is_no_delay(bands: Bands) -> None:
    click = np.zeros((2, 9001), np.float32)
    click[:, 4500] = 1.0
    for stem in ("bass", "drums", "vocals"):
        assert np.abs(bands.separate(click, FS)[stem][0]).argmax() == 4500


def test_info_lists_the_settings() -> None:
    (name,) = SEPARATORS
    assert name == "template-bands"
    assert SEPARATORS[name]().details() == {"crossovers_hz": [150.0, 5000.0], "taps": 4095}
