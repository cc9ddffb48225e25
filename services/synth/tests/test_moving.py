"""Responses between measured directions, and sources that move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from mssbench_service.errors import BadInput
from synth_service.hrir import HrirSet, interaural, load_hrir
from synth_service.interpolation import Interpolator, delays, unit_vectors
from synth_service.moving import Trajectory, convolved

from .conftest import RATE, SPHERE

Float64Array = npt.NDArray[np.float64]


def on_the_sphere(step: int = 20, lowest: int = -40) -> HrirSet:
    """A set of the sphere model with elevations: its responses depend on the lateral angle only."""
    directions = [(a, e) for e in range(lowest, 90, step) for a in range(0, 360, step)] + [(0, 90)]
    azimuths, elevations = np.array(directions, dtype=float).T
    lateral = np.degrees(np.arcsin(unit_vectors(azimuths, elevations)[:, 1]))
    irs = SPHERE.irs[np.rint(lateral % 360 / 5).astype(int) % 72]
    return replace(SPHERE, name="ball", azimuths=azimuths, elevations=elevations, irs=irs)


BALL = on_the_sphere()


def moved(signal: Float64Array, hrir: HrirSet, *points: tuple[float, float, float]) -> Float64Array:
    blocks = np.array_split(signal, 7)  # of any size
    source, trajectory = Interpolator(hrir), Trajectory.from_points(points)
    return np.concatenate(list(convolved(blocks, signal.size, RATE, source, trajectory)), axis=1)


@pytest.mark.parametrize(("hrir", "azimuth", "elevation"), [(SPHERE, 35, 0), (BALL, 60, 20), (BALL, 123, 90)])
def test_a_source_at_rest_is_rendered_as_a_static_one(
    hrir: HrirSet, azimuth: float, elevation: float
) -> None:
    signal = np.random.default_rng(0).standard_normal(3000)
    index, _ = hrir.nearest(azimuth, elevation)
    exact = np.stack([np.convolve(signal, ear) for ear in hrir.irs[index]])
    found = moved(signal, hrir, (0.0, azimuth, elevation))
    assert found.shape == exact.shape
    assert np.max(np.abs(found - exact)) < 1e-10 * np.max(np.abs(exact))


def test_the_delays_of_a_moving_source_follow_the_curve_of_the_set() -> None:
    """Time-aligned, a set of 20° gives the interaural time differences of one of 5° between its azimuths."""
    coarse = replace(SPHERE, azimuths=SPHERE.azimuths[::4], irs=SPHERE.irs[::4])
    source, fine = Interpolator(coarse), Interpolator(SPHERE)
    curve = [interaural(ir, RATE)[0] for ir in SPHERE.irs]
    for azimuth in np.arange(0.0, 360.0, 2.5):
        exact = np.interp(azimuth, [*SPHERE.azimuths, 360.0], [*curve, curve[0]])
        assert interaural(fine.at(azimuth), RATE)[0] == pytest.approx(exact, abs=5)
        assert interaural(source.at(azimuth), RATE)[0] == pytest.approx(exact, abs=20)


def test_aligned_responses_are_not_combed() -> None:
    """Half-way between two directions, the sum of the unaligned responses would have a null."""
    coarse = Interpolator(replace(SPHERE, azimuths=SPHERE.azimuths[::4], irs=SPHERE.irs[::4]))
    between, exact = coarse.at(30.0), SPHERE.at(30)
    spectra = np.abs(np.fft.rfft([between, exact], 1024))[..., 3:300]  # to 13 kHz
    difference = 20 * np.log10(spectra[0] / spectra[1])
    assert np.max(np.abs(difference[0])) < 1.0  # the near ear
    assert np.max(np.abs(difference[1])) < 4.0


def test_a_circling_source_has_no_clicks() -> None:
    """Of a sine, all energy stays near its frequency."""
    time = np.arange(RATE) / RATE
    wet = moved(np.sin(2 * np.pi * 1000 * time), SPHERE, (0.0, 0.0, 0.0), (1.0, 360.0, 0.0))
    spectrum = np.abs(np.fft.rfft(wet[:, 500 : RATE - 500] * np.hanning(RATE - 1000))) ** 2
    frequencies = np.fft.rfftfreq(RATE - 1000, 1 / RATE)
    outside = np.abs(frequencies - 1000) > 250
    assert np.all(spectrum[:, outside].sum(axis=1) < 1e-6 * spectrum.sum(axis=1))


def test_a_moving_source_arrives_from_where_it_is() -> None:
    signal = np.random.default_rng(1).standard_normal(RATE)
    wet = moved(signal, BALL, (0.0, 90.0, 0.0), (0.4, 90.0, 0.0), (0.6, 90.0, 90.0))
    energy = np.sum(wet[:, :15000] ** 2, axis=1), np.sum(wet[:, 30000:] ** 2, axis=1)
    assert 10 * np.log10(energy[0][0] / energy[0][1]) > 6
    assert abs(10 * np.log10(energy[1][0] / energy[1][1])) < 0.1  # above the head


def test_delays_have_fractions() -> None:
    offset = np.arange(64) - np.array([[10.0], [14.3]])
    assert delays(np.sinc(offset)[None])[0] == pytest.approx([10.0, 14.3], abs=0.03)


@pytest.mark.parametrize(
    ("hrir", "azimuth", "elevation", "says"),
    [
        (SPHERE, 10, 5, "sphere does not reach azimuth 10°, elevation 5°; its nearest direction is 5° away"),
        (BALL, 10, -85, "ball does not reach azimuth 10°, elevation -85°; its nearest direction is 45° away"),
        (replace(SPHERE, azimuths=SPHERE.azimuths[:37], irs=SPHERE.irs[:37]), 270, 0, "nearest direction is 90° away"),
        (replace(BALL, room=True), 0, 0, "room responses, which cannot be interpolated"),
    ],
)  # fmt: skip
def test_a_direction_outside_of_the_set_is_refused(
    hrir: HrirSet, azimuth: float, elevation: float, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        Interpolator(hrir).at(azimuth, elevation)
    assert says in caught.value.detail


def test_interpolated_directions_reproduce_a_linear_function() -> None:
    """The weights are barycentric, wherever a direction lies."""
    source = Interpolator(BALL)
    rng = np.random.default_rng(2)
    azimuths, elevations = rng.uniform(-360, 720, 200), rng.uniform(-39, 90, 200)
    found = source.neighbours(azimuths, elevations)
    assert np.allclose(found.weights.sum(axis=1), 1.0)
    assert found.weights.min() >= 0.0
    assert BALL.elevations is not None
    corners = unit_vectors(BALL.azimuths, BALL.elevations)[found.indices]
    mean = np.einsum("tn,tnx->tx", found.weights, corners)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    assert np.allclose(mean, unit_vectors(azimuths, elevations), atol=1e-6)


@pytest.mark.parametrize(
    "points", [[], [(0, 1)] * 2, [(1, 0), (0, 0)], [(0, float("nan"))], [(0, 0, 91)], [(0,)], [(0, 1e9)]]
)
def test_a_wrong_trajectory_is_refused(points: list[tuple[float, ...]]) -> None:
    with pytest.raises(BadInput, match="trajectory"):
        Trajectory.from_points(points)


def test_the_built_in_set_has_no_elevations() -> None:
    assert load_hrir("sphere", sphere=True) is SPHERE
