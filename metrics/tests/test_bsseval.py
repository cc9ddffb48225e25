"""BSS Eval v4: each window has the values of museval."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.bsseval import BssEval, bss_eval
from binaural_metrics.signals import FloatArray
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

FS = 4000
TAPS = 32
STEMS = ("vocals", "drums", "bass", "other")


def museval(
    references: Mapping[str, FloatArray],
    estimates: Mapping[str, FloatArray],
    window: int = FS,
    taps: int = TAPS,
) -> FloatArray:
    """Ratios of museval. Only its module of metrics is imported, because the package needs an ffmpeg program."""
    package = importlib.util.find_spec("museval")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(next(iter(package.submodule_search_locations))) / "metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    metrics = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metrics)
    stack = [np.stack([x[stem].T for stem in references]) for x in (references, estimates)]
    *ratios, _ = metrics.bss_eval(*stack, window=window, hop=window, filters_len=taps)
    return np.array(ratios)


def track(
    seed: int, stems: int = 4, samples: int = 3 * FS + 123, error: float = 0.1
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    rng = np.random.default_rng(seed)
    references = {stem: pink(rng, 2, samples) for stem in STEMS[:stems]}
    names = list(references)
    estimates = {
        name: 0.8 * references[name]
        + error * delay(references[name][::-1], 2)
        + 0.2 * references[names[i - 1]]
        + error * 0.1 * rng.standard_normal((2, samples))
        for i, name in enumerate(names)
    }
    return references, estimates


def check(
    references: Mapping[str, FloatArray],
    estimates: Mapping[str, FloatArray],
    sample_rate: int = FS,
    taps: int = TAPS,
) -> BssEval:
    found = bss_eval(references, estimates, sample_rate, taps=taps)
    expected = museval(references, estimates, sample_rate, taps)
    assert np.array_equal(np.isnan(found.values), np.isnan(expected))
    np.testing.assert_allclose(found.values, np.clip(expected, -100, 100), rtol=0, atol=1e-4)
    return found


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    stems=st.integers(1, 4),
    seconds=st.floats(0.5, 4.5),
    error=st.floats(0.001, 1),
    taps=st.sampled_from([1, 8, 32, 50]),
)
def test_values_equal_those_of_museval(
    seed: int, stems: int, seconds: float, error: float, taps: int
) -> None:
    references, estimates = track(seed, stems, int(seconds * FS), error)
    found = check(references, estimates, taps=taps)
    assert not found.regularised


def test_values_equal_those_of_museval_with_512_taps() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(3 * 44100) / 44100
    references = {
        "vocals": pink(rng, 2, len(t)),
        "bass": np.vstack([np.sin(2 * np.pi * 55 * t), np.sin(2 * np.pi * 55 * t + 0.5)])
        + 1e-3 * rng.standard_normal((2, len(t))),
        "drums": rng.standard_normal((2, len(t))) * np.exp(-20 * (t % 0.5)),
    }
    estimates = {
        stem: np.round(32768 * (0.9 * x + 0.05 * references["vocals"])) / 32768
        for stem, x in references.items()
    }
    check(references, estimates, 44100, 512)


def test_a_high_sir_is_that_of_museval_to_5e_4_db() -> None:
    references, _ = track(3, stems=3)
    others = {name: sum(x for n, x in references.items() if n != name) for name in references}
    estimates = {name: x + 5e-5 * others[name] for name, x in references.items()}
    found = bss_eval(references, estimates, FS, taps=TAPS)
    expected = museval(references, estimates)[2]
    assert 80 < expected.min() < expected.max() < 100
    np.testing.assert_allclose(found.values[2], expected, rtol=0, atol=5e-4)


def test_a_window_with_a_silent_stem_has_no_value_for_any_stem() -> None:
    references, estimates = track(2)
    references["bass"][:, FS : 2 * FS] = 0
    estimates["other"][:, 2 * FS : 3 * FS] = 0
    found = check(references, estimates)
    assert found.valid.tolist() == [True, False, False]


def test_channels_of_opposite_sign_count_as_silent_as_in_museval() -> None:
    references, estimates = track(3)
    estimates["drums"][1, :FS] = -estimates["drums"][0, :FS]
    assert check(references, estimates).valid.tolist() == [False, True, True]


def test_a_silent_channel_is_scored_as_by_museval() -> None:
    references, estimates = track(4)
    references["bass"][1] = 0
    check(references, estimates)


def test_a_perfect_estimate_scores_100_db() -> None:
    references, _ = track(5)
    found = bss_eval(references, references, FS, taps=TAPS)
    assert (found.values[0] == 100).all()
    assert (found.values[1:] > 90).all()


def test_the_mixture_gain_multiplies_the_references() -> None:
    references, estimates = track(6)
    found = bss_eval(references, estimates, FS, taps=TAPS, reference_gain=0.7)
    scaled = {stem: 0.7 * x for stem, x in references.items()}
    np.testing.assert_allclose(found.values, museval(scaled, estimates), atol=1e-4)


def test_order_of_stems_and_missing_estimates_do_not_change_values() -> None:
    references, estimates = track(7)
    found = bss_eval(references, estimates, FS, taps=TAPS)
    turned = bss_eval(dict(reversed(references.items())), estimates, FS, taps=TAPS)
    np.testing.assert_allclose(turned.values[:, ::-1], found.values, atol=1e-8)
    del estimates["drums"]
    without = bss_eval(references, estimates, FS, taps=TAPS)
    assert np.isnan(without.values[:, 1]).all()
    assert without.valid.all()
    np.testing.assert_allclose(without.values[:, [0, 2, 3]], found.values[:, [0, 2, 3]], atol=1e-8)


@pytest.mark.parametrize(("bits", "tolerance"), [(16, 1e-4), (24, 5e-3)])
def test_ill_conditioned_equations_are_solved_as_by_museval(bits: int, tolerance: float) -> None:
    """The ears are nearly parallel, and only rounding is above 1.4 kHz. With 24 bits, the fast factor fails."""
    rng = np.random.default_rng(1)
    low_pass = signal.ellip(8, 0.1, 100, 0.7, output="sos")
    references = {}
    for stem in STEMS[:3]:
        x = 0.3 * pink(rng, 2, 4 * FS)
        x = signal.sosfilt(low_pass, x[0] * [[1.0], [0.7]] + 1e-3 * x)
        references[stem] = np.round(x * 2 ** (bits - 1)) / 2 ** (bits - 1)
    mixture = sum(references.values())
    estimates = {
        stem: 0.8 * x + 0.1 * mixture + 1e-3 * rng.standard_normal(x.shape) for stem, x in references.items()
    }
    found = bss_eval(references, estimates, FS, taps=64)
    assert not found.regularised
    np.testing.assert_allclose(found.values, museval(references, estimates, taps=64), rtol=0, atol=tolerance)


def binaural(seed: int, samples: int) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    references = {}
    for stem in STEMS[:3]:
        source, irs = pink(rng, 1, samples)[0], rng.standard_normal((2, 20)) * np.exp(-np.arange(20) / 5)
        references[stem] = np.stack([np.convolve(source, ir)[:samples] for ir in irs]).astype(np.float32)
    return references


def test_linearly_dependent_ear_signals_give_stable_values() -> None:
    references = binaural(8, 8 * FS)
    rng = np.random.default_rng(9)
    estimates = {
        stem: x + 0.1 * references[STEMS[(i + 1) % 3]] + 1e-3 * rng.standard_normal(x.shape)
        for i, (stem, x) in enumerate(references.items())
    }
    found = bss_eval(references, estimates, FS, taps=64)
    assert found.regularised
    sdr, _, sir, sar = np.median(found.values, axis=2)
    # Another stem leaks at a tenth of its level; the noise is at least 20 dB below the leakage.
    assert (abs(sir - sdr) < 2).all()
    assert (sar > sir + 10).all()


def test_rounding_of_files_is_regularised_and_noise_of_16_bits_scores_as_in_museval() -> None:
    """Without regularisation, the filters amplify differences of the ears at -100 dB, and ISR is far below -20 dB."""
    rng = np.random.default_rng(10)
    clean = binaural(11, 3 * FS)
    for noise, regularised in ((1e-6, True), (1e-4, False)):
        references = {stem: x + noise * rng.standard_normal(x.shape) for stem, x in clean.items()}
        mixture: dict[str, Any] = dict.fromkeys(references, sum(references.values()))
        found = bss_eval(references, mixture, FS, taps=64)
        assert found.regularised == regularised
        if regularised:
            assert np.median(found.values[1], axis=1).min() > -20  # ISR
        else:
            expected = museval(references, mixture, taps=64)
            np.testing.assert_allclose(found.values[:3], np.clip(expected[:3], -100, 100), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, e: r.update(bass=np.zeros_like(r["bass"])), "reference 'bass' is silent throughout"),
        (
            lambda r, e: r.update(bass=np.full_like(r["bass"], np.nan)),
            "reference 'bass' holds samples that are NaN",
        ),
        (lambda r, e: e.update(drums=e["drums"][:1]), "estimate 'drums' has 1 channel"),
        (
            lambda r, e: e.update(drums=e["drums"][:, : TAPS - 1]),
            "31 samples; BSS Eval needs at least the 32",
        ),
        (lambda r, e: e.clear(), "no estimate to score"),
    ],
)
def test_unusable_input_raises_input_error(
    change: Callable[[dict[str, FloatArray], dict[str, FloatArray]], object], message: str
) -> None:
    references, estimates = track(10)
    change(references, estimates)
    with pytest.raises(InputError, match=message):
        bss_eval(references, estimates, FS, taps=TAPS)


def test_the_number_of_workers_does_not_change_the_result() -> None:
    references, estimates = track(11)
    one, three = (bss_eval(references, estimates, FS, taps=TAPS, workers=n).values for n in (1, 3))
    assert one.tobytes() == three.tobytes()
