"""Notes on signals whose scores would mislead: lengths, levels, and a common delay of all estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from binaural_metrics.plausible import common_lag
from binaural_metrics.scoring import score_track
from golden_signals import pink
from scipy import signal

FS = 8000
Stems = dict[str, np.ndarray]
STEMS = ("vocals", "drums", "bass", "other")


def noise(seed: int, seconds: float = 1.5) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((2, round(seconds * FS)))
    return 0.1 * (np.array([[1.0, 0.3], [0.4, 0.8]]) @ x)


def music() -> Stems:
    """Four stems of different spectra: white, pink, clicks and a chord."""
    n = round(1.5 * FS)
    clicks = np.zeros((2, n))
    clicks[:, ::1000] = 0.5
    chord = sum(np.sin(2 * np.pi * f * np.arange(n) / FS) for f in (110.0, 138.6, 164.8))
    body = signal.lfilter([1.0], [1.0, -0.95], clicks)
    return {
        "vocals": noise(1),
        "drums": body,
        "bass": 0.1 * np.stack([chord, 0.7 * chord]) * np.hanning(n),
        "other": 0.3 * pink(np.random.default_rng(2), 2, n),
    }


def shifted(stems: Stems, lag: int) -> Stems:
    """Late by `lag` samples; the length is kept."""
    return {stem: np.roll(np.pad(x, ((0, 0), (2000, 2000))), lag)[:, 2000:-2000] for stem, x in stems.items()}


def mixture(stems: Stems) -> np.ndarray:
    return np.asarray(sum(stems.values()))


def separated(stems: Stems, residual: float = 0.2) -> Stems:
    """Estimates with bleed of the mixture and noise."""
    mixture = sum(stems.values())
    return {stem: 0.8 * x + residual * (mixture + noise(90 + i)) for i, (stem, x) in enumerate(stems.items())}


@pytest.mark.parametrize("lag", [1105, 1, -1, 7, -529, 1600])
def test_a_delay_of_all_estimates_is_found(lag: int) -> None:
    assert common_lag(music(), shifted(music(), lag), FS) == lag
    assert common_lag(music(), shifted({s: -x for s, x in music().items()}, lag), FS) == lag


@pytest.mark.parametrize("lag", [1105, -60])
@pytest.mark.parametrize("residual", [0.1, 0.5])
def test_a_delay_of_poor_estimates_is_found(lag: int, residual: float) -> None:
    assert common_lag(music(), shifted(separated(music(), residual), lag), FS) == lag
    late = shifted(music(), lag)
    assert common_lag(music() | {"bass": np.zeros((2, 12_000))}, late, FS) == lag
    assert common_lag(music(), late | {"bass": np.zeros((2, 12_000))}, FS) == lag
    assert common_lag({"vocals": noise(1)}, {"vocals": late["vocals"]}, FS) == lag


def turned(x: np.ndarray, degrees: float) -> np.ndarray:
    analytic = signal.hilbert(x)
    return np.real(analytic * np.exp(-1j * np.radians(degrees)))


def echo(x: np.ndarray) -> np.ndarray:
    return x + 0.9 * np.roll(x, 300, axis=1)


same = {stem: noise(1) for stem in STEMS}
FALSE: dict[str, tuple[Stems, Stems]] = {
    "perfect": (music(), music()),
    "bleed": (music(), separated(music(), 0.7)),
    "the mixture": (music(), dict.fromkeys(STEMS, mixture(music()))),
    "a loud mixture of noise": (music(), dict.fromkeys(STEMS, noise(5))),
    "identical stems": (same, {stem: 0.25 * x for stem, x in same.items()}),
    "one late stem": (music(), music() | {"vocals": shifted(music(), 99)["vocals"]}),
    "different delays": (music(), {s: shifted({s: x}, 9 * i)[s] for i, (s, x) in enumerate(music().items())}),
    "swapped stems": (music(), dict(zip(STEMS, reversed(music().values()), strict=True))),
    "silent": (music(), dict.fromkeys(STEMS, np.zeros((2, 12_000)))),
    "swapped ears": (music(), {stem: x[::-1] for stem, x in music().items()}),
    "an echo": (music(), {stem: echo(x) for stem, x in music().items()}),
    "an offset": (music(), {stem: x + 0.5 for stem, x in separated(music()).items()}),
}
FALSE |= {
    f"turned by {d} degrees": (music(), {s: turned(x, d) for s, x in music().items()}) for d in (20, 60, 90)
}
FALSE |= {f"noise turned by {d}": (same, {s: turned(x, d) for s, x in same.items()}) for d in (20, 60, 90)}


@pytest.mark.parametrize("kind", FALSE)
def test_other_estimates_have_no_common_delay(kind: str) -> None:
    assert common_lag(*FALSE[kind], FS) == 0


def rows(references: Stems, estimates: Stems, **options: Any) -> dict[str, dict[str, Any]]:
    found = score_track(references, estimates, FS, metrics="corrected", **options)[0]
    return {row["source"]: row for row in found}


def test_a_delay_and_a_level_are_named_and_do_not_change_the_scores() -> None:
    true = {stem: music()[stem] for stem in ("vocals", "other")}
    late = rows(true, shifted(true, 300), bsseval=False)
    assert late["vocals"]["status"] == "ok"
    assert late["vocals"]["reason"] == "every estimate is 300 samples later than the reference (37.5 ms)"
    assert late["other"]["reason"].startswith(
        "every estimate is 300 samples later than the reference (37.5 ms)"
    )
    loud = rows(true, {stem: 32768 * x for stem, x in true.items()}, bsseval=False)["vocals"]
    assert loud["reason"].startswith("the estimate peaks at ")
    assert loud["SRR"] == 80
    scaled = rows({s: 1000 * x for s, x in true.items()}, true, bsseval=False)["vocals"]
    assert "the reference peaks at" in scaled["reason"]
    assert rows(true, true, bsseval=False)["vocals"]["reason"] == ""


@pytest.mark.parametrize("change", [lambda x: x[:, :-401], lambda x: np.pad(x, ((0, 0), (0, 401)))])
def test_a_stem_of_another_length_fails_alone(change: Callable[[np.ndarray], np.ndarray]) -> None:
    true = {stem: music()[stem] for stem in ("vocals", "other")}
    for references, estimates in (
        (true, true | {"vocals": change(true["vocals"])}),
        (true | {"vocals": change(true["vocals"])}, true),
    ):
        found = rows(references, estimates)
        assert found["vocals"]["status"] == "failed"
        assert " 12000 (1.500 s)" in found["vocals"]["reason"].replace(" samples (", " (")
        assert found["vocals"]["SSR"] is None
        assert found["other"]["SSR"] == 80
    both = {"vocals": change(true["vocals"]), "other": true["other"]}
    assert "SDR" in rows(both, both)["other"]["reason"]  # BSS Eval would trim all stems


@pytest.mark.parametrize("samples", [11_980, 12_020, 12_400, 11_600])
def test_a_few_samples_are_trimmed_and_said(samples: int) -> None:
    true = {"vocals": noise(1)[:, : FS + 4000]}
    found = {"vocals": np.pad(true["vocals"], ((0, 0), (0, 500)))[:, :samples]}
    (row,), frames = score_track(true, found, FS, bsseval=False)
    assert f"the estimate has {samples} samples and the reference 12000" in row["reason"]
    assert (row["status"], row["total_frames"]) == ("ok", 2)
    assert set(frames["total_frames"][frames["metric"] == "SSR"]) == {2}
