"""The search for the nearest direction: its units, limits and tolerances, each from both sides.

A direction has a level in dB and a phase in each of two bands, of which each is one bin of the transform.
"""

from __future__ import annotations

from collections.abc import Sequence

import binaural_metrics as bm
import numpy as np
import pytest
from binaural_metrics.direction import Cues, Direction, Directions

SIZE, BINS = 64, np.array([10, 20])
WEIGHTS = np.zeros((SIZE // 2 + 1, 2))
WEIGHTS[BINS, [0, 1]] = 1.0
FLAT = (0.0, 0.0)
Ears = tuple[
    Sequence[float], Sequence[float], Sequence[float]
]  # dB left, dB right, radians between them; by band
STRAIGHT: Ears = (FLAT, FLAT, FLAT)


def responses(ears: Sequence[Ears]) -> np.ndarray:
    spectra = np.ones((len(ears), 2, SIZE // 2 + 1), complex)
    for spectrum, (left, right, phase) in zip(spectra, ears, strict=True):
        spectrum[:, BINS] = 10 ** (np.array([left, right]) / 20)
        spectrum[0, BINS] *= np.exp(1j * np.array(phase))
    return np.fft.irfft(spectra, SIZE)


def directions(
    azimuths: Sequence[float], ears: Sequence[Ears], elevations: Sequence[float] = ()
) -> Directions:
    height = np.array(elevations or np.zeros(len(azimuths)), float)
    hrirs = bm.Hrirs(np.array(azimuths, float), responses(ears), 44100, height)
    return Directions.of(hrirs, SIZE, SIZE // 2 + 1, WEIGHTS)


def nearest(found: Directions, ears: Ears = STRAIGHT, hz: Sequence[float] = (5000.0, 6000.0)) -> Direction:
    left, right = np.fft.rfft(responses([ears])[0])[:, BINS]
    cues = Cues(np.abs(np.stack([left, right]))[:, None] ** 2, (left * right.conj())[None])
    (one,) = found.nearest([cues], [WEIGHTS], np.ones(2), np.array(hz))
    return one


def louder(*db: float) -> Ears:
    """Ears whose level difference in the two bands is `db`, with the same levels on average."""
    return [0.5 * x for x in db], [-0.5 * x for x in db], FLAT


@pytest.mark.parametrize(("one_band", "both_bands", "index"), [(12, 7.5, 0), (9, 6.1, 1), (9, 6.5, 0)])
def test_a_difference_counts_up_to_10_units(one_band: float, both_bands: float, index: int) -> None:
    found = directions([0, 20], [louder(one_band, 0), louder(both_bands, both_bands)])
    assert nearest(found).index == index


@pytest.mark.parametrize(("hz", "units"), [(100.0, 0.05), (1000.0, 2 * np.pi * 1000 * 20e-6)])
@pytest.mark.parametrize(("db", "index"), [(4.7, 1), (5.3, 0)])
def test_a_phase_has_units_of_20_us_and_of_a_twentieth_of_a_radian_at_least(
    hz: float, units: float, db: float, index: int
) -> None:
    found = directions([0, 20], [(FLAT, FLAT, (5 * units, 0)), louder(db, 0)])
    assert nearest(found, hz=(hz, 5000.0)).index == index


@pytest.mark.parametrize(("hz", "index"), [(1390.0, 1), (1410.0, 0)])
def test_phases_count_below_1400_hz(hz: float, index: int) -> None:
    found = directions([0, 20], [(FLAT, FLAT, (1.0, 0)), louder(2, 0)])
    assert nearest(found, hz=(hz, 5000.0)).index == index


@pytest.mark.parametrize(("azimuth", "index"), [(9.5, 1), (10.5, 0)])
def test_the_spectrum_decides_within_10_degrees_of_the_lateral_angle(azimuth: float, index: int) -> None:
    dull = ((0, -8), (0, -8), FLAT)
    assert nearest(directions([0, azimuth], [dull, louder(1, 1)])).index == index


@pytest.mark.parametrize(("azimuth", "is_clear"), [(29, True), (31, False)])
def test_a_lateral_angle_is_unclear_if_one_30_degrees_away_is_as_near(azimuth: float, is_clear: bool) -> None:
    found = nearest(directions([0, azimuth], [STRAIGHT, louder(0.5, 0.5)]))
    assert (found.index is not None) == is_clear


@pytest.mark.parametrize(("elevation", "is_clear"), [(29, True), (31, False)])
def test_a_polar_angle_is_unclear_if_one_30_degrees_away_is_as_near(elevation: float, is_clear: bool) -> None:
    found = nearest(directions([0, 0], [STRAIGHT, STRAIGHT], (0, elevation)))
    assert found.index == 0
    assert (not found.reason) == is_clear


@pytest.mark.parametrize(
    ("near", "far", "is_clear"), [(0, 0.9, False), (0, 1.1, True), (16, 19.8, False), (16, 20.2, True)]
)
def test_a_minimum_is_clear_by_1_and_by_a_quarter_of_itself(near: float, far: float, is_clear: bool) -> None:
    ears = [louder(np.sqrt(near), np.sqrt(near)), louder(-np.sqrt(far), -np.sqrt(far))]
    assert (nearest(directions([0, 90], ears)).index is not None) == is_clear


@pytest.mark.parametrize(("lateral", "polar"), [(74, 180), (76, None)])
def test_directions_at_the_side_have_no_polar_error(lateral: float, polar: float | None) -> None:
    found = directions([lateral, 180 - lateral], [STRAIGHT, ((6, 0), (6, 0), FLAT)])
    assert found.polar_apart(0, 1) == (None if polar is None else pytest.approx(polar))
    assert found.polar_apart(1, 1) == 0


@pytest.mark.parametrize(("beyond", "confused"), [(9, 0), (11, 1)])
def test_front_and_back_are_10_degrees_from_the_frontal_plane(beyond: float, confused: int) -> None:
    dull = ((6, 0), (6, 0), FLAT)
    found = directions([90 - beyond, 90 + beyond, 30, 150], [STRAIGHT, STRAIGHT, STRAIGHT, dull])
    assert found.front_back(0, 3) == found.front_back(3, 0) == found.front_back(1, 2) == confused
    assert found.front_back(2, 3) == 1
    assert found.front_back(0, 2) == 0


@pytest.mark.parametrize(("db", "tells"), [(0.45, False), (0.55, True)])
def test_a_set_tells_front_from_behind_by_half_a_decibel(db: float, tells: bool) -> None:
    level = (db, db)
    found = directions([30, 150], [STRAIGHT, (level, level, FLAT)])
    assert found.tells_behind == tells
    assert len(found.azimuths) == (2 if tells else 1)
