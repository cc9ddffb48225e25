"""Masks and Wiener filter against their definitions, computed bin by bin, and their properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mssbench_service.audio import FloatArray
from mssbench_service.errors import BadInput
from mssbench_service.musdb import STEMS
from mssbench_service.separation import ReferenceSeparator, Separator
from oracle_service import SEPARATORS
from oracle_service.ideal import (
    DIFFUSE,
    BinaryMask,
    Mixture,
    MultichannelWiener,
    RatioMask,
    spatial_covariance,
)
from oracle_service.stft import analyse, blocks

FS = 44_100
FILTERS = [f"oracle-{kind}" for kind in ("irm", "irm_shared", "ibm", "ibm_shared", "mwf")]
Array = npt.NDArray[Any]
Stems = Mapping[str, FloatArray]


def stems_of(samples: int, seed: int = 0) -> dict[str, FloatArray]:
    """Four coloured noises with different gains and delays at the ears."""
    rng = np.random.default_rng(seed)
    made = {}
    for stem, (left, right, delay, colour) in zip(
        STEMS, [(1, 0.5, 20, 0.9), (0.8, 0.8, 0, -0.9), (0.3, 1, -25, 0.99), (1, 0.1, 5, 0.0)], strict=True
    ):
        noise = rng.standard_normal(samples + 200)
        coloured = np.convolve(noise, colour ** np.arange(100))[100 : 100 + samples + 60]
        ears = [left * coloured[30 : 30 + samples], right * coloured[30 - delay : 30 - delay + samples]]
        made[stem] = (0.05 * np.stack(ears)).astype(np.float32)
    return made


def mixture_of(stems: Stems) -> FloatArray:
    return np.asarray(np.sum([stems[stem] for stem in STEMS], axis=0, dtype=np.float32))


def separated(name: str, mixture: FloatArray, stems: Stems) -> dict[str, FloatArray]:
    separator = SEPARATORS[name]()
    separator.setup()
    if isinstance(separator, ReferenceSeparator):
        return dict(separator.separate_with(mixture, stems, FS))
    return dict(separator.separate(mixture, FS))


def error_db(estimate: FloatArray, truth: FloatArray) -> float:
    return float(10 * np.log10(np.sum((estimate - truth) ** 2) / np.sum(truth**2)))


# --- definitions for one bin at a time; arrays of shape (stems, 2) ----------------------------------------


def literal_ratio(s: Array, shared: bool) -> Array:
    gains = np.empty((4, 2))
    for j in range(4):
        for c in range(2):
            sizes = [np.linalg.norm(s[k]) if shared else abs(s[k, c]) for k in range(4)]
            gains[j, c] = sizes[j] / sum(sizes) if sum(sizes) > 0 else 0.25
    return gains


def literal_binary(s: Array, shared: bool) -> Array:
    gains = np.zeros((4, 2))
    for c in range(2):
        sizes = [np.linalg.norm(s[k]) if shared else abs(s[k, c]) for k in range(4)]
        if max(sizes) == 0:
            gains[:, c] = 0.25
        else:
            gains[sizes.index(max(sizes)), c] = 1
    return gains


def literal_wiener(s: Array, x: Array, r: Array) -> Array:
    v = [np.linalg.norm(s[k]) ** 2 / 2 for k in range(4)]
    if sum(v) == 0:
        return np.stack([x / 4] * 4)
    model = sum(v[k] * r[k] for k in range(4))
    return np.stack([v[k] * r[k] @ np.linalg.inv(model) @ x for k in range(4)])


def literal_covariance(spectrum: Array) -> Array:
    """R of one frequency from all frames, shape (2, frames) -> (2, 2)."""
    outer = sum(np.outer(s, s.conj()) for s in spectrum.T)
    power = sum(np.linalg.norm(s) ** 2 / 2 for s in spectrum.T)
    r = outer / power if power > 0 else np.eye(2)
    return (1 - DIFFUSE) * r + DIFFUSE * np.eye(2)


def spectra_of(stems: Stems, mixture: Array) -> tuple[Array, Array]:
    (frames,) = blocks(mixture.shape[1])
    return np.stack([analyse(stems[stem], frames) for stem in STEMS]), analyse(mixture, frames)


@pytest.fixture(scope="module")
def short() -> tuple[dict[str, FloatArray], Array]:
    stems = stems_of(6000)
    stems["bass"][:, 2000:] = 0  # digital silence, long enough for whole frames
    for stem in STEMS:
        stems[stem][:, :100] = 0
    return stems, mixture_of(stems)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("kind", "literal"), [(RatioMask, literal_ratio), (BinaryMask, literal_binary)])
def test_masks_equal_the_definition(
    short: tuple[dict[str, FloatArray], FloatArray],
    kind: Callable[..., RatioMask | BinaryMask],
    literal: Callable[[Array, bool], Array],
    shared: bool,
) -> None:
    s, x = spectra_of(*short)
    found = kind(shared=shared).filter(x, s, None)
    for frame in range(0, s.shape[2], 3):
        for b in (0, 1, 100, 777, 2048):
            expected = literal(s[:, :, frame, b], shared) * x[:, frame, b]
            np.testing.assert_allclose(found[:, :, frame, b], expected, rtol=1e-9, atol=1e-15)


def test_wiener_filter_equals_the_definition(short: tuple[dict[str, FloatArray], FloatArray]) -> None:
    stems, mixture = short
    s, x = spectra_of(stems, mixture)
    wiener = MultichannelWiener()
    prepared = wiener.prepare([stems[stem] for stem in STEMS])
    found = wiener.filter(x, s, prepared)
    for b in (0, 1, 100, 777, 2048):
        r = np.stack([literal_covariance(s[k, :, :, b]) for k in range(4)])
        np.testing.assert_allclose(prepared[..., b], r, atol=1e-12)
        for frame in range(0, s.shape[2], 2):
            expected = literal_wiener(s[:, :, frame, b], x[:, frame, b], r)
            np.testing.assert_allclose(found[:, :, frame, b], expected, rtol=1e-6, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    magnitudes=hnp.arrays(
        np.float64, (4, 2, 3, 5), elements=st.one_of(st.just(0.0), st.floats(0, 1e6), st.floats(0, 1e-40))
    ),
    shared=st.booleans(),
)
def test_masks_are_within_0_and_1_and_add_up_to_1(magnitudes: Array, shared: bool) -> None:
    for mask in (RatioMask(shared), BinaryMask(shared)):
        gains = mask.gains(magnitudes)
        assert gains.min() >= 0
        assert gains.max() <= 1
        np.testing.assert_allclose(gains.sum(axis=0), 1, atol=1e-12)


def test_a_binary_mask_assigns_each_bin_to_one_stem() -> None:
    gains = BinaryMask().gains(np.array([[[3.0]], [[3.0]], [[1.0]], [[0.0]]]))
    assert gains.ravel().tolist() == [1, 0, 0, 0]  # of equal stems, the first


@pytest.mark.parametrize("name", FILTERS)
def test_estimates_add_up_to_the_mixture(name: str) -> None:
    stems = stems_of(70_000)  # more than one block of frames
    mixture = mixture_of(stems) + np.float32(0.01)  # the mixture is not exactly the sum of the stems
    estimates = separated(name, mixture, stems)
    np.testing.assert_allclose(sum(estimates[stem] for stem in STEMS), mixture, atol=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_separation_is_good_and_better_than_none(name: str) -> None:
    stems = stems_of(2 * FS)
    mixture = mixture_of(stems)
    estimates = separated(name, mixture, stems)
    for stem in STEMS:
        assert error_db(estimates[stem], stems[stem]) < min(-1, error_db(mixture, stems[stem]) - 3)


@pytest.mark.parametrize("name", SEPARATORS)
@pytest.mark.parametrize("samples", [1, 2, 1023, 1024, 1025, 4096])
def test_short_signals_keep_their_length(name: str, samples: int) -> None:
    stems = stems_of(samples)
    estimates = separated(name, mixture_of(stems), stems)
    assert list(estimates) == list(STEMS)
    for estimate in estimates.values():
        assert estimate.shape == (2, samples)
        assert estimate.dtype == np.float32
        assert np.isfinite(estimate).all()


@pytest.mark.parametrize("name", SEPARATORS)
def test_silence_stays_silence(name: str) -> None:
    silent = dict.fromkeys(STEMS, np.zeros((2, 5000), np.float32))
    for estimate in separated(name, silent["bass"], silent).values():
        assert not estimate.any()


@pytest.mark.parametrize("name", FILTERS)
def test_the_estimate_of_a_silent_stem_is_silent(name: str) -> None:
    stems = stems_of(20_000) | {"drums": np.zeros((2, 20_000), np.float32)}
    estimates = separated(name, mixture_of(stems), stems)
    assert not estimates["drums"].any()


@pytest.mark.parametrize("name", SEPARATORS)
@pytest.mark.parametrize("level", [1e-38, 1e-20, 1e4])
def test_extreme_levels_are_finite_and_scale(name: str, level: float) -> None:
    stems = {stem: (level * signal).astype(np.float32) for stem, signal in stems_of(3000).items()}
    estimates = separated(name, mixture_of(stems), stems)
    for estimate in estimates.values():
        assert np.isfinite(estimate).all()
        assert np.abs(estimate).max() <= 10 * level


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_silent_ear_and_hard_panned_stems(name: str) -> None:
    stems = stems_of(9000)
    stems["vocals"][1] = 0
    stems["bass"][0] = 0
    estimates = separated(name, mixture_of(stems), stems)
    assert all(np.isfinite(estimate).all() for estimate in estimates.values())
    for stem in STEMS:
        stems[stem][1] = 0
    for estimate in separated(name, mixture_of(stems), stems).values():
        assert np.isfinite(estimate).all()
        if name not in ("oracle-swap", "oracle-mono"):
            assert not estimate[1].any()


def test_the_mixture_is_every_stem_and_needs_no_references() -> None:
    mixture = mixture_of(stems_of(5000))
    separator: Separator = Mixture()
    assert not isinstance(separator, ReferenceSeparator)
    estimates = separator.separate(mixture, FS)
    assert list(estimates) == list(STEMS)
    assert all((estimate == mixture).all() for estimate in estimates.values())


def test_an_ideal_mask_without_the_true_stems_is_refused() -> None:
    with pytest.raises(BadInput, match="true stems"):
        RatioMask().separate(np.zeros((2, 10), np.float32), FS)


def test_a_shared_mask_keeps_the_mixtures_interaural_level_and_phase() -> None:
    stems = stems_of(20_000)
    mixture = mixture_of(stems)
    s, x = spectra_of(stems, mixture)
    ratio = x[0] / x[1]
    for kind in (RatioMask, BinaryMask):
        shared = kind(shared=True).filter(x, s, None)
        left, right = shared[:, 0], shared[:, 1]
        np.testing.assert_allclose(left, right * ratio, atol=1e-9 * np.abs(x).max())
        own = kind(shared=False).filter(x, s, None)
        assert np.abs(own[:, 0] - own[:, 1] * ratio).max() > 0.1


def test_only_the_wiener_filter_recovers_two_panned_sources() -> None:
    """With two sources and two ears, amplitude panning can be inverted exactly for any spectra."""
    rng = np.random.default_rng(5)
    source = 0.1 * rng.standard_normal((2, FS))
    images = {"vocals": np.outer([0.9, 0.4], source[0]), "drums": np.outer([0.2, 1.0], source[1])}
    stems = {stem: images.get(stem, np.zeros((2, FS))).astype(np.float32) for stem in STEMS}
    mixture = mixture_of(stems)
    for stem in images:
        assert error_db(separated("oracle-mwf", mixture, stems)[stem], stems[stem]) < -50
        assert error_db(separated("oracle-irm", mixture, stems)[stem], stems[stem]) > -20


def test_covariance_of_a_point_source_has_its_direction() -> None:
    noise = np.random.default_rng(6).standard_normal(FS).astype(np.float32)
    covariance = spatial_covariance(np.stack([noise, np.float32(0.5) * noise]))
    np.testing.assert_allclose(np.trace(covariance).real, 2, atol=1e-12)
    expected = np.array([[1.6, 0.8], [0.8, 0.4]])  # (1, ½)ᵀ(1, ½), trace 2
    np.testing.assert_allclose(covariance[:, :, 100], expected, atol=1e-5)


def test_covariance_of_silence_is_diffuse() -> None:
    covariance = spatial_covariance(np.zeros((2, 100), np.float32))
    np.testing.assert_array_equal(covariance, np.broadcast_to(np.eye(2)[:, :, None], covariance.shape))


def test_names_and_descriptions() -> None:
    ideal = ["mixture", "irm", "irm_shared", "ibm", "ibm_shared", "mwf"]
    probes = ["identity", "mono", "swap", "gain", "delay", "leak"]
    assert list(SEPARATORS) == [f"oracle-{name}" for name in ideal + probes]
    described = {name: make().description for name, make in SEPARATORS.items()}
    assert all(described.values())
    assert len(set(described.values())) == len(described)
