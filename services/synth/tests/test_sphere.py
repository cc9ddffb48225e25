"""The rigid sphere does what Duda & Martens (1998) and its own geometry say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from synth_service import sphere
from synth_service.hrir import describe, interaural, load_hrir

AZIMUTHS, IRS = sphere.impulse_responses()
RATE = sphere.SAMPLE_RATE
NFFT = 8192
FREQUENCIES = np.fft.rfftfreq(NFFT, 1 / RATE)
LEVELS = 20 * np.log10(np.abs(np.fft.rfft(IRS, NFFT)))
LEFT, RIGHT = 0, 1


def row(azimuth: int) -> int:
    return azimuth // sphere.STEP


def level(azimuth: int, ear: int, frequency: float) -> float:
    return float(LEVELS[row(azimuth), ear, np.argmin(np.abs(FREQUENCIES - frequency))])


def test_the_set_has_a_5_degree_grid_and_256_taps() -> None:
    assert np.array_equal(AZIMUTHS, np.arange(0, 360, 5))
    assert IRS.shape == (72, 2, 256)
    assert RATE == 44100


def test_the_head_has_no_effect_at_low_frequency() -> None:
    assert np.max(np.abs(LEVELS[:, :, 0])) < 1e-3
    assert np.max(np.abs(LEVELS[:, :, FREQUENCIES < 60])) < 0.05


@pytest.mark.parametrize("frequency", [8000, 12000, 16000, 19000])
def test_the_near_ear_gains_6_db_at_high_frequency(frequency: float) -> None:
    assert level(90, LEFT, frequency) == pytest.approx(6.0, abs=0.15)
    assert level(270, RIGHT, frequency) == pytest.approx(6.0, abs=0.15)


@pytest.mark.parametrize("azimuth", [0, 180])
def test_both_ears_are_equal_in_the_median_plane(azimuth: int) -> None:
    assert np.array_equal(IRS[row(azimuth), LEFT], IRS[row(azimuth), RIGHT])


def test_the_set_is_symmetric_in_left_and_right_and_in_front_and_back() -> None:
    mirrored = (-np.arange(72)) % 72
    assert np.array_equal(IRS[:, LEFT], IRS[mirrored, RIGHT])
    behind = (36 - np.arange(72)) % 72
    assert np.array_equal(IRS, IRS[behind])


def test_the_onset_difference_at_90_degrees_follows_woodworths_formula() -> None:
    woodworth = sphere.RADIUS / sphere.SPEED_OF_SOUND * (np.pi / 2 + 1) * 1e6
    assert woodworth == pytest.approx(656, abs=0.5)
    fine = signal.resample_poly(IRS[row(90)], 32, 1, axis=1)
    # The far ear's wave has crept around the head and rises slowly: the onset is where it is clearly there.
    onsets = [np.argmax(np.abs(ear) > 0.4 * np.max(np.abs(ear))) / 32 for ear in fine]
    assert (onsets[RIGHT] - onsets[LEFT]) / RATE * 1e6 == pytest.approx(woodworth, abs=15)


def test_below_1500_hz_the_correlation_delay_at_90_degrees_is_700_us() -> None:
    itd, ild = interaural(IRS[row(90)], RATE)
    assert itd == pytest.approx(700, abs=5)
    assert 5 < ild < 8


def test_at_low_frequency_the_phase_delay_at_90_degrees_is_765_us() -> None:
    frequency = 20.0
    near, far = sphere.response([frequency], [0.0, 180.0])[:, 0]
    exact = np.angle(near / far) / (2 * np.pi * frequency) * 1e6
    assert exact == pytest.approx(765, abs=1)
    k = int(np.argmin(np.abs(FREQUENCIES - 100)))
    left, right = np.fft.rfft(IRS[row(90)], NFFT)[:, k]
    assert np.angle(left / right) / (2 * np.pi * FREQUENCIES[k]) * 1e6 == pytest.approx(767, abs=5)


def test_the_time_difference_increases_from_front_to_side() -> None:
    itds = [interaural(IRS[row(azimuth)], RATE)[0] for azimuth in range(0, 95, 15)]
    assert itds[0] == 0
    assert (np.diff(itds) > 0).all()


def test_the_level_difference_increases_from_octave_to_octave() -> None:
    octaves = []
    for low in (100, 200, 400, 800, 1600, 3200, 6400):
        band = (low <= FREQUENCIES) & (2 * low > FREQUENCIES)
        power = np.mean(10 ** (LEVELS[row(90)][:, band] / 10), axis=1)
        octaves.append(10 * np.log10(power[LEFT] / power[RIGHT]))
    assert (np.diff(octaves) > 0).all()
    assert octaves[0] < 0.1 < 6 < octaves[-1]


def test_the_far_ear_has_a_bright_spot() -> None:
    ilds = {azimuth: interaural(IRS[row(azimuth)], RATE)[1] for azimuth in range(0, 95, 5)}
    loudest = max(ilds, key=lambda azimuth: ilds[azimuth])
    assert 55 <= loudest <= 75
    assert ilds[loudest] - ilds[90] > 4
    assert level(90, RIGHT, 10000) > level(45, RIGHT, 10000) + 5


@pytest.mark.parametrize("azimuth", [0, 35, 90, 135])
def test_cutting_to_256_taps_changes_no_level_by_more_than_a_tenth_of_a_db(azimuth: int) -> None:
    audible = FREQUENCIES < 19500
    incidence = [abs(azimuth - 90.0), 180.0 - abs((azimuth + 90.0) - 180.0)]
    exact = np.abs(sphere.response(FREQUENCIES[audible], incidence))
    measured = 10 ** (LEVELS[row(azimuth)][:, audible] / 20)
    assert np.max(np.abs(20 * np.log10(measured / exact))) < 0.1


def test_the_responses_are_causal_and_decay_within_256_taps() -> None:
    energy = np.sum(IRS**2, axis=2)
    assert np.max(np.sum(IRS[:, :, :8] ** 2, axis=2) / energy) < 1e-5
    assert np.max(np.sum(IRS[:, :, -32:] ** 2, axis=2) / energy) < 1e-8


@pytest.mark.parametrize("frequency", [1e-3, 0.1, 1.0, 96000.0])
def test_extreme_frequencies_give_finite_values_without_warnings(frequency: float) -> None:
    values = sphere.response([0.0, frequency], np.arange(0.0, 181.0, 15.0))
    assert np.isfinite(values).all()
    assert np.array_equal(values[:, 0], np.ones(13))
    if frequency <= 1.0:
        assert np.allclose(values[:, 1], 1.0, atol=3e-3)


def test_more_terms_of_the_series_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    incidence = np.arange(0.0, 181.0, 5.0)
    frequencies = np.array([100.0, 1000.0, 5000.0, 20000.0])
    mu = 2 * np.pi * frequencies * sphere.RADIUS / sphere.SPEED_OF_SOUND
    short = sphere.response(frequencies, incidence)
    monkeypatch.setattr(sphere, "_EXTRA_TERMS", 37)
    assert mu.max() > 30
    assert np.allclose(sphere.response(frequencies, incidence), short, atol=1e-9)


def test_the_set_is_stored_to_24_bit_and_computed_once() -> None:
    assert np.array_equal(IRS * 2.0**23, np.round(IRS * 2.0**23))
    assert load_hrir("sphere") is load_hrir("sphere")


def test_a_set_is_described() -> None:
    info = describe(load_hrir("sphere"))
    assert (info.name, info.sample_rate, info.taps, len(info.azimuths)) == ("sphere", 44100, 256, 72)
    assert info.itd_90_us == pytest.approx(700, abs=5)
    assert len(info.sha256) == 64
