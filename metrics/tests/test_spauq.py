"""SPAUQ: the fast code has the values of the literal code, and both have the properties of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import literal_metrics as literal
import numpy as np
import numpy.typing as npt
import pytest
from binaural_metrics import InputError
from binaural_metrics.correlation import Sections
from binaural_metrics.signals import FloatArray
from binaural_metrics.spauq import Equations, Released, spauq_both, spauq_equations, spauq_released
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st

FS = 2000


def noise(seed: int, samples: int, level: float = 0.1) -> FloatArray:
    return level * np.random.default_rng(seed).standard_normal((2, samples))


def adversarial() -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Signals for which fast computations can fail: ties, dependent channels, silence, extreme levels, frame edges."""
    n = 3 * FS + 321
    x, e = noise(1, n), noise(2, n)
    t = np.arange(n) / FS
    same = np.repeat(x[:1], 2, 0)
    edge = np.zeros((2, n))
    edge[:, FS // 2 - 3 : FS // 2 + 3] = x[:, :6]
    quiet = np.concatenate([x[:, :FS], 1e-8 * x[:, FS:]], axis=1)
    yield "left is right", same, 0.7 * same + 0.1 * e
    yield "left is right, estimate too", same, 0.7 * same
    yield "left is nearly right, 1e-5", same + 1e-6 * e, x
    yield "left is nearly right, 1e-8", same + 1e-9 * e, x
    yield "left is nearly right, 1e-12", same + 1e-13 * e, same + 0.1 * e
    yield "left is nearly the delayed right", np.vstack([x[0], delay(x[0], 3)]) + 1e-9 * e, x
    yield "right is left at -160 dB", x[:1] * np.array([[1.0], [1e-8]]), x
    yield "one silent channel of the reference", x * [[1.0], [0.0]], x
    yield "one silent channel of the estimate", x, x * [[0.0], [1.0]]
    yield "opposite channels silent", x * [[1.0], [0.0]], x * [[0.0], [1.0]]
    yield "silent reference", np.zeros_like(x), e
    yield "all silent", np.zeros_like(x), np.zeros_like(x)
    yield "constant", np.full_like(x, 0.3), x
    yield "an offset", x + 0.5, x
    yield "below the silence threshold", 1e-9 * x, 1e-9 * e
    yield "at the silence threshold", 1e-7 * x, 1.2e-7 * x
    yield "silent from the second frame on", quiet, x
    yield "sound only at the edge of a frame", edge, delay(edge, 4)
    yield "very loud", 1e5 * x, 1e5 * (x + 0.1 * e)
    yield "reference and estimate far apart in level", 1e-5 * x, 1e5 * x
    yield "delay outside the search range", x, delay(x, 40)
    yield "large delay", x, delay(x, 350)
    yield "earlier and later", x, np.vstack([delay(x[0], 7), delay(x[1], -9)])
    yield "all lags positive", x, delay(same, -20) + 1e-3 * e
    yield (
        "a tone under noise",
        np.vstack([np.sin(440 * t), np.cos(440 * t)]) + 0.01 * x,
        x + np.sin(440 * t + 1),
    )
    yield "pink", pink(np.random.default_rng(5), 2, n), pink(np.random.default_rng(6), 2, n)
    yield "one frame", x[:, :FS], e[:, :FS]
    yield "one frame and a sample", x[:, : FS + 1], (x + e)[:, : FS + 1]


CASES = {name: pair for name, *pair in adversarial()}


def same_db(found: FloatArray, expected: FloatArray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def check_released(found: Released, expected: tuple[Any, ...]) -> None:
    ssr, srr, cost, shift, scale = expected
    assert found.shift.tolist() == shift.tolist()
    same_db(found.ssr, ssr)
    same_db(found.srr, srr)
    np.testing.assert_allclose(found.cost, cost, rtol=1e-6, atol=1e-9 * max(1.0, cost.max()))
    np.testing.assert_allclose(found.scale, scale, rtol=1e-6, atol=1e-6 * np.abs(scale).max(initial=1.0))


def check_equations(found: Equations, expected: tuple[Any, ...]) -> None:
    ssr, srr, delays, gains, both_silent = expected
    assert found.delays.tolist() == delays.tolist()
    same_db(found.ssr, ssr)
    same_db(found.srr, srr)
    assert found.valid.tolist() == (~both_silent).tolist()
    np.testing.assert_allclose(found.gains, gains, rtol=1e-5, atol=1e-6 * np.abs(gains).max(initial=1.0))


@pytest.mark.parametrize("name", CASES)
def test_released_equals_the_literal_code(name: str) -> None:
    reference, estimate = CASES[name]
    check_released(spauq_released(reference, estimate, FS), literal.spauq_released(reference, estimate, FS))


@pytest.mark.parametrize("name", CASES)
def test_equations_equal_the_literal_code(name: str) -> None:
    reference, estimate = CASES[name]
    check_equations(
        spauq_equations(reference, estimate, FS), literal.spauq_equations(reference, estimate, FS)
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("gain", [1.0, 0.4])
def test_both_at_once_equal_the_literal_code(name: str, gain: float) -> None:
    reference, estimate = CASES[name]
    released, equations = spauq_both(reference, estimate, FS, reference_gain=gain)
    check_released(released, literal.spauq_released(reference, estimate, FS))
    check_equations(equations, literal.spauq_equations(gain * reference, estimate, FS))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    fs=st.sampled_from([200, 441, 1000, 1103]),
    seconds=st.floats(1.0, 3.3),
    mixing=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    late=st.integers(-30, 30),
    level=st.sampled_from([0.0, 1e-6, 0.03, 1.0]),
)
def test_random_scenes_equal_the_literal_code(
    seed: int, fs: int, seconds: float, mixing: list[float], late: int, level: float
) -> None:
    samples = int(fs * seconds)
    reference = noise(seed, samples)
    estimate = delay(np.reshape(mixing, (2, 2)) @ reference, late) + level * noise(seed + 1, samples)
    check_released(spauq_released(reference, estimate, fs), literal.spauq_released(reference, estimate, fs))
    check_equations(
        spauq_equations(reference, estimate, fs), literal.spauq_equations(reference, estimate, fs)
    )


@pytest.mark.parametrize("fs", [8000, 11025, 22050, 44100, 48000, 192000])
def test_all_sample_rates_equal_the_literal_code(fs: int) -> None:
    reference, estimate = noise(3, fs + fs // 3), noise(4, fs + fs // 3)
    check_released(spauq_released(reference, estimate, fs), literal.spauq_released(reference, estimate, fs))
    check_equations(
        spauq_equations(reference, estimate, fs), literal.spauq_equations(reference, estimate, fs)
    )


def test_of_equal_maxima_the_first_in_search_order_is_used() -> None:
    """Two echoes have the same level.

    SciPy's lags are ascending, so that the released code finds the later echo first. The equations search 0, 1, …, M
    and then −M, …, −1.
    """
    reference, estimate = np.zeros((2, FS)), np.zeros((2, FS))
    reference[:, 1000] = 1.0
    estimate[0, [1001, 1003]] = 0.5
    estimate[1, [1002, 996]] = 0.5, -0.5
    released, equations = spauq_released(reference, estimate, FS), spauq_equations(reference, estimate, FS)
    assert released.shift.tolist() == [[[-3, -2], [-3, -2]]]
    assert equations.delays.tolist() == [[[1, 1], [2, 2]]]
    check_released(released, literal.spauq_released(reference, estimate, FS, method="direct"))
    check_equations(equations, literal.spauq_equations(reference, estimate, FS, method="direct"))


@pytest.mark.parametrize("name", CASES)
def test_the_bounds_of_the_search_hold(name: str) -> None:
    """Correlations within hops, and bounds of the rest, stand for those of a frame."""
    x = np.concatenate(CASES[name]).astype(np.float32)[:, : FS // 2 * 2]
    sections = Sections.of(FS // 2, FS // 10)
    rest, most = sections.across(x, FS // 2), sections.across_at_most(x, FS // 2)
    scale = np.linalg.norm(x[:2], axis=1)[:, None, None] * np.linalg.norm(x[2:], axis=1)[:, None]
    assert (np.abs(rest) <= most + 4e-6 * scale).all()
    within = sections.within_hops(x).sum(axis=0)
    for i, j in np.ndindex(2, 2):
        every = np.correlate(x[2 + j].astype(float), x[i].astype(float), "full")
        found = (within + rest)[i, j]
        assert np.abs(found - every[len(every) // 2 - FS // 10 :][: FS // 5 + 1]).max() <= 4e-6 * scale[i, j]


# ---------------------------------------------------------------------------- properties of the model


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), gain=st.floats(0.05, 20), sign=st.sampled_from([-1, 1]))
def test_a_common_gain_is_spatial_distortion_without_residual(seed: int, gain: float, sign: int) -> None:
    reference = noise(seed, 2 * FS)
    found = spauq_equations(reference, sign * gain * reference, FS)
    expected = 80.0 if sign * gain == 1 else np.clip(-20 * np.log10(abs(sign * gain - 1)), -80, 80)
    assert found.median_ssr == pytest.approx(expected, abs=1e-6)
    assert found.median_srr == 80.0


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), late=st.integers(-4, 4))
def test_a_common_delay_within_the_search_range_leaves_no_residual(seed: int, late: int) -> None:
    reference = noise(seed, 3 * FS)
    # Silence at both ends, so that the delay moves no sound past the end of the track.
    reference[:, :10] = reference[:, -10:] = 0
    found = spauq_equations(reference, delay(reference, late), FS)
    assert np.diagonal(found.delays, axis1=1, axis2=2).ravel().tolist() == [late] * (2 * found.total_frames)
    assert found.median_srr == 80.0
    assert (found.median_ssr == 80.0) == (late == 0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), mixing=st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_crosstalk_is_spatial_distortion_without_residual(seed: int, mixing: list[float]) -> None:
    reference = noise(seed, 2 * FS)
    estimate = np.reshape(mixing, (2, 2)) @ reference
    found = spauq_equations(reference, estimate, FS)
    # Delays are those of the loudest path, so that the model explains only crosstalk without delay completely.
    if (found.delays == 0).all() and np.abs(estimate).max() > 1e-3:
        assert found.median_srr == 80.0


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_swapping_the_ears_of_both_signals_keeps_the_values(seed: int) -> None:
    reference, estimate = noise(seed, 2 * FS), noise(seed, 2 * FS) + noise(seed + 1, 2 * FS, 0.05)
    for variant in (spauq_released, spauq_equations):
        found, swapped = variant(reference, estimate, FS), variant(reference[::-1], estimate[::-1], FS)
        same_db(found.ssr, swapped.ssr)
        same_db(found.srr, swapped.srr)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), ears=st.sampled_from([(1, -1), (-1, 1), (-1, -1)]))
def test_inverting_the_same_ear_of_both_signals_keeps_the_values(seed: int, ears: tuple[int, int]) -> None:
    reference, estimate = noise(seed, 2 * FS), noise(seed, 2 * FS) + noise(seed + 1, 2 * FS, 0.05)
    flip = np.reshape(ears, (2, 1))
    found, flipped = (
        spauq_equations(reference, estimate, FS),
        spauq_equations(flip * reference, flip * estimate, FS),
    )
    same_db(found.ssr, flipped.ssr)
    same_db(found.srr, flipped.srr)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), seconds=st.integers(1, 3))
def test_silence_appended_to_both_signals_keeps_the_track_value(seed: int, seconds: int) -> None:
    reference, estimate = noise(seed, 2 * FS), noise(seed, 2 * FS) + noise(seed + 1, 2 * FS, 0.05)
    # One more frame is valid: it has half a second of sound at the same ratio, and half a second of silence.
    alone = spauq_equations(reference, estimate, FS)
    longer = [np.pad(x, ((0, 0), (0, seconds * FS))) for x in (reference, estimate)]
    padded = spauq_equations(longer[0], longer[1], FS)
    same_db(padded.ssr[: alone.total_frames - 1], alone.ssr[:-1])
    assert padded.total_frames == alone.total_frames + 2 * seconds
    assert padded.valid_frames == alone.valid_frames + 1
    assert padded.median_srr == pytest.approx(alone.median_srr, abs=0.5)


def test_only_the_equations_detect_swapped_ears_and_a_collapse_to_mono() -> None:
    source = noise(7, 3 * FS)[:1]
    image = np.vstack([source, 0.5 * delay(source, 1)])
    wide = noise(8, 3 * FS)
    for reference, estimate in [(wide, wide[::-1]), (image, np.repeat(image.mean(0, keepdims=True), 2, 0))]:
        assert spauq_released(reference, estimate, FS).median_ssr == pytest.approx(80, abs=1e-3)
        ssr = spauq_equations(reference, estimate, FS).median_ssr
        assert ssr is not None
        assert ssr < 10


def test_the_mixture_gain_multiplies_the_reference() -> None:
    reference = noise(9, 2 * FS)
    found = spauq_equations(reference, 1.333 * reference, FS, reference_gain=1.333)
    assert (found.median_ssr, found.median_srr) == (80.0, 80.0)
    assert spauq_equations(reference, 1.333 * reference, FS).median_ssr == pytest.approx(9.55, abs=0.01)


def test_the_number_of_workers_does_not_change_the_result() -> None:
    reference, estimate = noise(10, 6 * FS), noise(11, 6 * FS)
    for variant in (spauq_released, spauq_equations):
        one, two = (variant(reference, estimate, FS, workers=n) for n in (1, 3))
        assert one.ssr.tobytes() == two.ssr.tobytes()
        assert one.srr.tobytes() == two.srr.tobytes()


# ------------------------------------------------------------------------------------------- bad input

GOOD = noise(12, 2 * FS)


def with_bad_sample(value: float) -> FloatArray:
    bad = GOOD.copy()
    bad[1, 77] = value
    return bad


@pytest.mark.parametrize(
    ("reference", "estimate", "fs", "message"),
    [
        (GOOD, with_bad_sample(np.nan), FS, "estimate holds samples that are NaN or infinite"),
        (with_bad_sample(-np.inf), GOOD, FS, "reference holds samples that are NaN or infinite"),
        (GOOD, with_bad_sample(1e300), FS, r"estimate peaks at 1e\+300"),
        (GOOD, with_bad_sample(-1e7), FS, "estimate peaks at"),
        (GOOD, GOOD[:1], FS, r"estimate has 1 channel\(s\)"),
        (np.zeros((3, 2 * FS)), GOOD, FS, r"reference has 3 channel\(s\)"),
        (GOOD[0], GOOD, FS, r"reference has 1 dimension\(s\)"),
        (GOOD.T, GOOD, FS, r"reference has 4000 channel\(s\)"),
        (GOOD, GOOD[:, :0], FS, "estimate holds no samples"),
        (GOOD, (GOOD * 32767).astype(np.int16), FS, "estimate holds int16 samples"),
        (GOOD, GOOD + 0j, FS, "estimate holds complex128 samples"),
        (GOOD, GOOD[:, : FS - 1], FS, "1999 samples at 2000 Hz are fewer than the 2000 of one SPAUQ frame"),
        (GOOD, GOOD, 0, "sample rate 0"),
        (GOOD, GOOD, 44100.0, "sample rate 44100.0"),
        (GOOD, GOOD, True, "sample rate True"),
    ],
)
@pytest.mark.parametrize("variant", [spauq_released, spauq_equations, spauq_both])
def test_unusable_input_raises_input_error(
    variant: Callable[..., object], reference: npt.ArrayLike, estimate: npt.ArrayLike, fs: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        variant(reference, estimate, fs)


@pytest.mark.parametrize("gain", [0.0, np.nan, np.inf, 1e-9])
def test_an_invalid_mixture_gain_is_refused(gain: float) -> None:
    with pytest.raises(InputError, match="mixture gain"):
        spauq_equations(GOOD, GOOD, FS, reference_gain=gain)


@pytest.mark.parametrize("lag", [-1, FS])
def test_an_invalid_search_range_is_refused(lag: int) -> None:
    for variant in (spauq_released, spauq_equations):
        with pytest.raises(InputError, match="maximum lag"):
            variant(GOOD, GOOD, FS, max_lag=lag)


def read_only(x: FloatArray) -> FloatArray:
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(np.float32),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.longdouble),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x.astype(">f8"),
        lambda x: read_only(x),
        lambda x: x.tolist(),
    ],
    ids=["float32", "float16", "longdouble", "fortran", "strided", "big-endian", "read-only", "lists"],
)
def test_all_floating_dtypes_and_layouts_have_the_values_of_float64(
    form: Callable[[FloatArray], Any],
) -> None:
    reference, estimate = form(GOOD), form(0.5 * GOOD + noise(13, 2 * FS, 0.01))
    for variant in (spauq_released, spauq_equations):
        found = variant(reference, estimate, FS)
        expected = variant(np.asarray(reference, np.float64), np.asarray(estimate, np.float64), FS)
        same_db(found.ssr, expected.ssr)
        same_db(found.srr, expected.srr)
