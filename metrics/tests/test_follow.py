"""Cues of moving sources."""

from __future__ import annotations

import numpy as np
import pytest
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import Float64

RATE, SECONDS = 8000, 6.0


def circling(late_s: float = 0.0, reach_us: float = 400.0) -> Float64:
    """Noise whose ITD is a sine of half a hertz, `late_s` later than in the reference; shape (2, samples)."""
    time = np.arange(int(RATE * SECONDS)) / RATE
    generator = np.random.default_rng(1)
    frequencies, phases = generator.uniform(150, 1400, 300), generator.uniform(0, 2 * np.pi, 300)
    itd = reach_us * 1e-6 * np.sin(2 * np.pi * 0.5 * (time - late_s))
    return np.stack(
        [
            np.sum(
                [
                    np.sin(2 * np.pi * f * (time + sign * itd / 2) + p)
                    for f, p in zip(frequencies, phases, strict=True)
                ],
                axis=0,
            )
            for sign in (1, -1)
        ]
    )


@pytest.mark.parametrize(("late_s", "expected"), [(0.0, 0.0), (0.2, 200.0), (-0.1, -100.0)])
def test_the_lag_of_a_moving_source_is_found(late_s: float, expected: float) -> None:
    (row,) = score_track(
        {"vocals": circling()},
        {"vocals": circling(late_s)},
        RATE,
        metrics="corrected",
        bsseval=False,
        moving=["vocals"],
    )[0]
    assert row["itd_lag_ms"] == pytest.approx(expected, abs=5.0)
    # Frame by frame: the median over time of the whole is the same for all three.
    assert (row["d_itd_us"] > 50.0) == (late_s != 0.0)


def test_an_estimate_that_stays_in_the_middle_does_not_follow() -> None:
    still = circling(reach_us=0.0)
    (row,) = score_track(
        {"vocals": circling()}, {"vocals": still}, RATE, metrics="corrected", bsseval=False, moving=["vocals"]
    )[0]
    assert row["itd_lag_ms"] is None
    assert "itd_lag_ms: the ITD of the estimate does not follow" in row["reason"]


def test_a_source_at_rest_has_no_lag() -> None:
    (row,) = score_track(
        {"vocals": circling()}, {"vocals": circling()}, RATE, metrics="corrected", bsseval=False
    )[0]
    assert row["itd_lag_ms"] is None
    assert row["status"] == "ok"
