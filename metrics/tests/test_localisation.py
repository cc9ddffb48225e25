"""The optional model of human listeners, on the effective response."""

from __future__ import annotations

import sys

import binaural_metrics as bm
import numpy as np
import pytest
from binaural_metrics.localisation import changed
from binaural_metrics.response import ear_ratio
from binaural_metrics.signals import Float64

FS = 44100
DRY = 0.1 * np.random.default_rng(0).standard_normal(2 * FS)
PLACES = [(azimuth, elevation) for elevation in range(-30, 91, 10) for azimuth in range(0, 360, 10)]


def ears(azimuth: float, elevation: float) -> Float64:
    """Ears with delays, levels and a notch that moves with the elevation and a duller back."""
    level, turn = np.cos(np.deg2rad(elevation)), np.deg2rad(azimuth)
    found = np.zeros((2, 128))
    for ear, side in enumerate((1.0, -1.0)):
        lateral = side * level * np.sin(turn)
        found[ear, 30 - round(14 * lateral)] = 10 ** (0.3 * lateral)
        found[ear, 30 - round(14 * lateral) + 4 + round((elevation + 30) / 15)] = -0.5
        found[ear] = np.convolve(found[ear], [1.0, 0.6 * (level * np.cos(turn) < 0)])[:128]
    return found


def render(azimuth: float, elevation: float = 0.0) -> Float64:
    return np.stack([np.convolve(DRY, h)[: len(DRY)] for h in ears(azimuth, elevation)])


def test_responses_change_as_those_of_the_estimate_apart_from_gain_and_delay() -> None:
    ratio = ear_ratio(render(0), 0.3 * render(0)[:, :-9], DRY, FS)
    assert ratio is not None
    np.testing.assert_allclose(changed(ears(0, 0), ratio), ears(0, 0), atol=2e-3)
    ratio = ear_ratio(render(0), 0.5 * np.roll(render(60), 20, axis=1), DRY, FS)
    assert ratio is not None
    low = slice(100, 1000)  # 1 to 10.8 kHz; nothing counts above 16 kHz
    found, expected = (
        np.abs(np.fft.rfft(x, 4096))[:, low] for x in (changed(ears(0, 0), ratio), ears(60, 0))
    )
    np.testing.assert_array_less(np.std(20 * np.log10(found / expected)), 1.5)
    assert ear_ratio(render(0), np.random.default_rng(1).standard_normal((2, 2 * FS)), DRY, FS) is None


def test_without_the_package_the_error_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bayesian_listener", None)
    azimuths, elevations = np.array(PLACES, np.float64).T
    irs = np.stack([ears(*place) for place in PLACES])
    with pytest.raises(ImportError, match=r"pip install 'binaural-metrics\[listener\]'"):
        bm.ListenerModel(bm.Hrirs(azimuths, irs, FS, elevations))
    with pytest.raises(ValueError, match="no directions above and below"):
        bm.ListenerModel(bm.Hrirs(azimuths, irs, FS))


def test_the_model_hears_identity_where_it_was_and_a_moved_stem_elsewhere() -> None:
    pytest.importorskip("bayesian_listener")
    azimuths, elevations = np.array(PLACES, np.float64).T
    model = bm.ListenerModel(bm.Hrirs(azimuths, np.stack([ears(*place) for place in PLACES]), FS, elevations))
    same, louder, moved, behind = (
        model.errors(render(20), estimate, DRY)
        for estimate in (render(20), 2.0 * render(20), render(60), render(160))
    )
    for errors in (same, louder, moved, behind):
        assert errors.reason == ""
    assert same.lateral_rms_deg is not None
    assert moved.lateral_rms_deg is not None
    assert same.confusions is not None
    assert behind.confusions is not None
    assert louder.lateral_rms_deg == pytest.approx(same.lateral_rms_deg)
    assert moved.lateral_rms_deg > same.lateral_rms_deg + 10
    assert behind.confusions > same.confusions + 10
    assert model.errors(np.zeros((2, 2 * FS)), render(20), DRY).reason == "the reference is silent"
