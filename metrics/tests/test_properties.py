"""Properties that all corrected metrics have for any signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import FloatArray
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st

FS = 6000
SECONDS = 3
LEVELS = ("SSR", "SRR", "level_db", "SI_SDR", "SDR", "ISR", "SIR", "SAR")
CUES = ("d_itd_us", "itd_moved", "d_ild_db", "d_ic", "cue_error_jnd", "missing")
Track = tuple[dict[str, FloatArray], dict[str, FloatArray]]
few = settings(deadline=None, max_examples=2)
seeds = st.integers(0, 2**32)


def track(seed: int) -> Track:
    """Two lateral stems, and estimates with gain, crosstalk and leakage; 20 samples at each end are silent."""
    rng = np.random.default_rng(seed)
    references: dict[str, FloatArray] = {}
    estimates: dict[str, FloatArray] = {}
    for stem, late in (("vocals", 2), ("bass", -1)):
        source, width = pink(rng, 1, SECONDS * FS), pink(rng, 2, SECONDS * FS)
        references[stem] = np.vstack([source, 0.7 * delay(source, late)]) + 0.2 * width
        references[stem][:, :20] = references[stem][:, -20:] = 0
    for stem, other in (("vocals", "bass"), ("bass", "vocals")):
        x = references[stem]
        estimates[stem] = 0.8 * x + 0.1 * x[::-1] + 0.2 * references[other]
    return references, estimates


def scores(
    references: dict[str, FloatArray],
    estimates: dict[str, FloatArray],
    status: str = "ok",
    **options: Any,
) -> dict[str, dict[str, Any]]:
    rows = score_track(references, estimates, FS, metrics="corrected", **options)[0]
    assert {row["status"] for row in rows} == {status}, rows
    return {row["source"]: {column: row[column] for column in (*LEVELS, *CUES, "in_place")} for row in rows}


def assert_same(
    found: dict[str, dict[str, Any]],
    expected: dict[str, dict[str, Any]],
    columns: Sequence[str] = (*LEVELS, *CUES),
    tolerance: float = 1e-5,
) -> None:
    for stem, values in expected.items():
        for column in columns:
            # Spectra of cells are in float32, and the median falls on one of them.
            within = max(tolerance, 1e-2) if column == "cue_error_jnd" else tolerance
            assert found[stem][column] == pytest.approx(values[column], abs=within), (stem, column)


def both(change: Callable[[FloatArray], FloatArray], pair: Track) -> Track:
    references, estimates = ({stem: change(x) for stem, x in side.items()} for side in pair)
    return references, estimates


@few
@given(seed=seeds)
def test_perfect_estimates_score_best(seed: int) -> None:
    references, _ = track(seed)
    for row in scores(references, references).values():
        assert [row[column] for column in ("SSR", "SRR", "SI_SDR", "SDR")] == [80, 80, 100, 100]
        assert [row[column] for column in ("level_db", *CUES)] == [0] * 7
        assert row["in_place"] == 100
        assert min(row[column] for column in ("ISR", "SIR", "SAR")) > 90


@few
@given(seed=seeds, gain=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]))
def test_a_gain_of_all_signals_keeps_the_values(seed: int, gain: float, sign: int) -> None:
    pair = track(seed)
    assert_same(scores(*both(lambda x: sign * gain * x, pair)), scores(*pair))


@few
@given(seed=seeds, gain=st.floats(0.1, 10))
def test_a_gain_of_the_estimates_changes_no_cue_and_no_si_sdr(seed: int, gain: float) -> None:
    references, estimates = track(seed)
    louder = {stem: gain * x for stem, x in estimates.items()}
    found, expected = scores(references, louder), scores(references, estimates)
    assert_same(found, expected, (*CUES, "SRR", "SIR", "SAR", "SI_SDR"))
    for stem, row in found.items():
        assert row["level_db"] - expected[stem]["level_db"] == pytest.approx(20 * np.log10(gain), abs=1e-9)


@few
@given(seed=seeds, gain=st.floats(0.1, 10))
def test_the_mixture_gain_multiplies_the_references(seed: int, gain: float) -> None:
    references, estimates = track(seed)
    louder = {stem: gain * x for stem, x in references.items()}
    assert_same(scores(references, estimates, mixture_gain=gain), scores(louder, estimates))


@few
@given(seed=seeds, late=st.integers(-10, 10))
def test_a_delay_of_both_ears_leaves_no_residual_and_changes_no_cue(seed: int, late: int) -> None:
    references, _ = track(seed)
    for row in scores(references, {stem: delay(x, late) for stem, x in references.items()}).values():
        assert row["SRR"] == 80
        assert row["d_itd_us"] == pytest.approx(0, abs=2)
        assert row["d_ild_db"] == pytest.approx(0, abs=0.1)
        assert row["d_ic"] == pytest.approx(0, abs=0.01)


@few
@given(seed=seeds)
def test_swapping_the_ears_of_all_signals_keeps_the_values(seed: int) -> None:
    pair = track(seed)
    assert_same(scores(*both(lambda x: x[::-1], pair)), scores(*pair))


@few
@given(seed=seeds)
def test_the_order_of_the_stems_does_not_change_the_values(seed: int) -> None:
    references, estimates = track(seed)
    assert_same(scores(dict(reversed(references.items())), estimates), scores(references, estimates))


@few
@given(seed=seeds, ears=st.sampled_from([(1, -1), (-1, 1)]))
def test_inverting_one_ear_of_all_signals_keeps_the_level_metrics(seed: int, ears: tuple[int, int]) -> None:
    """ITD and IC depend on the sign of the correlation between the ears: inverted ears are not coherent."""
    pair = track(seed)
    flipped = both(lambda x: x * np.reshape(ears, (2, 1)), pair)
    assert_same(scores(*flipped, status="undefined"), scores(*pair), (*LEVELS, "d_ild_db"))


@few
@given(seed=seeds, seconds=st.integers(1, 3))
def test_silence_appended_to_all_signals_keeps_the_values(seed: int, seconds: int) -> None:
    pair = track(seed)
    longer = both(lambda x: np.pad(x, ((0, 0), (0, seconds * FS))), pair)
    found, expected = scores(*longer), scores(*pair)
    assert_same(found, expected, ("level_db", "SI_SDR", "SDR", "ISR", "SIR", "SAR"))
    assert_same(found, expected, ("d_itd_us",), 1e-6)
    # All frames without appended silence keep their values.
    for metric in ("SSR", "SRR", "d_ild_db", "d_ic"):
        for stem in pair[0]:
            before, after = (values_of(side, stem, metric) for side in (pair, longer))
            np.testing.assert_allclose(after[: len(before) - 1], before[:-1], rtol=0, atol=1e-6)
            assert len(after) - len(before) in (0, 1)


def values_of(pair: Track, stem: str, metric: str) -> FloatArray:
    """Values of the counted frames."""
    _, frames = score_track(*pair, FS, metrics="corrected", bsseval=False)
    values: FloatArray = frames["value"][
        (frames["source"] == stem) & (frames["metric"] == metric) & frames["counted"]
    ]
    return values
