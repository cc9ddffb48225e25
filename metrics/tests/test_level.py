"""Fitted level and SI-SDR, with one gain for both ears."""

from __future__ import annotations

import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.level import level
from binaural_metrics.signals import FloatArray
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_metrics import level_and_si_sdr

FS = 8000


def noise(seed: int, samples: int = FS) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((2, samples))


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), gain=st.floats(0.05, 20), error=st.floats(0.01, 1))
def test_values_equal_those_of_the_definition(seed: int, gain: float, error: float) -> None:
    reference = noise(seed, 300)
    estimate = gain * (reference + error * noise(seed + 1, 300))
    found = level(reference, estimate, FS)
    assert (found.level_db, found.si_sdr_db) == pytest.approx(level_and_si_sdr(reference, estimate), abs=1e-9)


@pytest.mark.parametrize("gain", [0.001, 0.5, 1.0, 7.0])
def test_a_gain_changes_the_level_and_not_si_sdr(gain: float) -> None:
    found = level(noise(1), gain * noise(1), FS)
    assert found.level_db == pytest.approx(20 * np.log10(gain))
    assert found.si_sdr_db == 100


def test_an_interaural_level_error_lowers_si_sdr() -> None:
    x = noise(2)
    ratio = level(x, x * [[1.0], [0.5]], FS).si_sdr_db
    assert ratio is not None
    assert ratio < 10


def test_the_mixture_gain_changes_only_the_level() -> None:
    x, y = noise(3), noise(3) + 0.1 * noise(4)
    plain, scaled = level(x, 0.5 * y, FS), level(x, 0.5 * y, FS, reference_gain=0.5)
    assert plain.level_db is not None
    assert scaled.level_db is not None
    assert plain.level_db - scaled.level_db == pytest.approx(20 * np.log10(0.5))
    assert plain.si_sdr_db == pytest.approx(scaled.si_sdr_db)


def test_long_signals_have_the_values_of_the_definition() -> None:
    x, y = noise(5, 600_001), noise(6, 600_001) + noise(5, 600_001)
    found = level(x, y, FS)
    assert (found.level_db, found.si_sdr_db) == pytest.approx(level_and_si_sdr(x, y), abs=1e-9)


def test_undefined_values_have_a_reason() -> None:
    x = noise(7)
    opposite, silent, absent = level(x, -x, FS), level(x, 0 * x, FS), level(0 * x, x, FS)
    assert opposite.level_db is None
    assert opposite.level_reason == "the estimate is not in phase with the reference"
    assert opposite.si_sdr_db == 100
    assert (silent.level_db, silent.si_sdr_db, silent.level_reason) == (None, None, "the estimate is silent")
    assert (absent.level_db, absent.si_sdr_db, absent.si_sdr_reason) == (
        None,
        None,
        "the reference is silent",
    )


def test_an_estimate_orthogonal_to_its_reference_scores_minus_100_db() -> None:
    reference, estimate = np.zeros((2, FS)), np.zeros((2, FS))
    reference[:, ::2] = estimate[:, 1::2] = 1
    assert level(reference, estimate, FS).si_sdr_db == -100


BAD = [np.ones((2, FS), int), np.full((2, FS), np.nan), np.ones((1, FS)), np.ones((2, 0))]


@pytest.mark.parametrize("bad", BAD)
def test_unusable_input_raises_input_error(bad: FloatArray) -> None:
    with pytest.raises(InputError):
        level(noise(8), bad, FS)
