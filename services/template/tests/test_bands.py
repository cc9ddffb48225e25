"""What only this separator promises. Replace these with what yours does."""

from __future__ import annotations

import numpy as np
import pytest
from mssbench_service.musdb import STEMS
from template_service import SEPARATORS, Bands

FS = 44_100
TIME = np.arange(FS) / FS


@pytest.fixture(scope="module")
def bands() -> Bands:
    separator = Bands()
    separator.setup()
    return separator


def tone(frequency: float, left: float, right: float) -> np.ndarray:
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
def test_each_stem_gets_what_belongs_to_it(bands: Bands, mixture: np.ndarray, stem: str) -> None:
    inside = slice(5000, -5000)  # away from the filters' edges
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


def test_what_info_says_of_it() -> None:
    (name,) = SEPARATORS
    assert name == "template-bands"
    assert SEPARATORS[name]().details() == {"crossovers_hz": [150.0, 5000.0], "taps": 4095}
