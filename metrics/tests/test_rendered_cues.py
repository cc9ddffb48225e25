"""The corrected cues of sources that a head renders: the azimuth, and moves and leakage of known size."""

from __future__ import annotations

from typing import Any

import literal_cues as literal
import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.cues import Hrirs, interaural_cues
from binaural_metrics.itd import largest_itd
from binaural_metrics.response import effective_response
from binaural_metrics.signals import FloatArray
from cue_signals import (
    FS,
    HEAD,
    LATERAL,
    MUSIC,
    SOURCE,
    both_ears,
    cues,
    mono,
    rendered_at,
    rng,
)
from golden_signals import delay, pink
from scipy.signal import butter, fftconvolve, sosfilt


def directions(
    reference: FloatArray, estimate: FloatArray, hrir: Hrirs = HEAD, fs: int = FS
) -> tuple[float | None, float | None]:
    found = interaural_cues(reference, estimate, fs, hrir=hrir)
    return found.azimuth_deg.value, found.azimuth_error_deg.value


@pytest.mark.parametrize("angle", [0, 30, 60, 85, 275, 330])
@pytest.mark.parametrize("kind", ["pink", "bass"])
def test_azimuth_of_equal_mono_and_swapped_estimates(angle: int, kind: str) -> None:
    source = SOURCE[0] if kind == "pink" else sosfilt(butter(4, 400, fs=FS, output="sos"), SOURCE[0])
    image = rendered_at(angle, source)
    off_centre = min(angle, 360 - angle)
    assert directions(image, image) == (angle, 0)
    assert directions(image, mono(image)) == (0, off_centre)
    mirrored: tuple[Any, Any] = ((360 - angle) % 360, pytest.approx(2 * off_centre, abs=2))
    assert directions(image, image[::-1]) == mirrored


def test_azimuth_does_not_depend_on_weak_leakage_and_level() -> None:
    image = rendered_at(40)
    assert directions(image, 0.3 * image + 0.03 * rendered_at(320, MUSIC[0])) == (40, 0)


def test_a_source_behind_has_the_azimuth_of_its_mirror_image_in_front() -> None:
    assert directions(rendered_at(150), rendered_at(150)) == (30, 0)


def test_azimuth_equals_that_of_the_literal_code() -> None:
    image, other = rendered_at(25)[:, : 2 * FS], rendered_at(310, MUSIC[0])[:, : 2 * FS]
    estimate = image + 0.8 * other
    active = np.ones(3, bool)
    expected = [literal.azimuth(x, active, HEAD.azimuths[::3], HEAD.irs[::3], FS) for x in (image, estimate)]
    found, _ = directions(image, estimate, Hrirs(HEAD.azimuths[::3], HEAD.irs[::3], FS))
    assert found == expected[1]
    assert expected[0] is not None


@pytest.mark.parametrize(("diffuse", "defined"), [(0.5, True), (0.6, False)])
def test_a_minimum_of_the_cross_relation_lies_below_half_the_median(diffuse: float, defined: bool) -> None:
    """With these sums of an image and noise, the minimum is 0.45 and 0.54 of the median."""
    image = rendered_at(30)[:, : 4 * FS]
    assert (directions(image, image + diffuse * MUSIC)[0] == 30) == defined


def test_a_shallow_minimum_gives_no_azimuth() -> None:
    found = interaural_cues(rendered_at(30)[:, : 4 * FS], MUSIC, FS, hrir=HEAD)
    assert found.azimuth_deg.value is found.azimuth_error_deg.value is None
    assert found.azimuth_deg.reason == "the estimate's cross-relation has no clear minimum"
    found = interaural_cues(MUSIC, rendered_at(30), FS, hrir=HEAD)
    assert found.azimuth_deg.value == 30
    assert found.azimuth_error_deg.value is None
    assert found.azimuth_error_deg.reason == "the reference's cross-relation has no clear minimum"


def test_directions_without_a_response_are_left_out() -> None:
    irs = HEAD.irs.copy()
    irs[18:20], irs[20, 1] = 0.0, 0.0  # 90, 95 and 100 degrees
    measured = np.ones(len(irs), bool)
    measured[18:21] = False
    part = Hrirs(HEAD.azimuths[measured], HEAD.irs[measured], FS)
    image, estimate = rendered_at(0), rendered_at(15)
    for one in (Hrirs(HEAD.azimuths, irs, FS), part):
        assert directions(image, estimate, one) == (15, 15)
        found = effective_response(image, estimate, SOURCE[0], FS, one)
        assert (found.heard_azimuth_deg, found.reasons) == (15, {})


@pytest.mark.parametrize(
    ("hrir", "message"),
    [
        (Hrirs(HEAD.azimuths, HEAD.irs, 48000), "HRIR set is at 48000 Hz; expected the track's 44100 Hz"),
        (Hrirs(HEAD.azimuths[:5], HEAD.irs, FS), "HRIR set of shapes"),
        (Hrirs(HEAD.azimuths, HEAD.irs[:, :1], FS), "HRIR set of shapes"),
        (Hrirs(HEAD.azimuths, HEAD.irs * np.nan, FS), "NaN or infinite"),
        (Hrirs(HEAD.azimuths, np.tile(HEAD.irs, 40), FS), "HRIRs of 5120 taps"),
        (Hrirs(HEAD.azimuths[30:40], HEAD.irs[30:40], FS), "no azimuth in the frontal half"),
        (Hrirs(HEAD.azimuths, HEAD.irs * [[0.0], [1.0]], FS), "silent at every direction"),
    ],
)
def test_an_unusable_hrir_set_is_refused(hrir: Hrirs, message: str) -> None:
    with pytest.raises(InputError, match=message):
        interaural_cues(MUSIC, MUSIC, FS, hrir=hrir)


# ------------------------------------------------------------------------ what the first version got wrong


def leaky(image: FloatArray, db: float) -> FloatArray:
    """`image` with two other sources at `db` relative to it."""
    others = rendered_at(300, pink(rng(8), 1, 4 * FS)[0]) + rendered_at(20, pink(rng(9), 1, 4 * FS)[0])
    others = others[:, : image.shape[1]]
    mixed: FloatArray = image + 10 ** (db / 20) * np.std(image) / np.std(others) * others
    return mixed


SECONDS = np.arange(2 * FS) / FS
SHORT = SOURCE[0, : 2 * FS]


def distance(reference: FloatArray, estimate: FloatArray, hrir: Hrirs | None = None) -> tuple[Any, Any, str]:
    found = interaural_cues(reference, estimate, FS, hrir=hrir)
    return found.d_itd_us.value, found.itd_moved.value, found.d_itd_us.reason


@pytest.mark.parametrize("frequency", [800, 1200])
@pytest.mark.parametrize("hrir", [None, HEAD])
def test_a_lateral_tone_with_leakage_keeps_its_period(frequency: float, hrir: Hrirs | None) -> None:
    tone = rendered_at(80, np.sin(2 * np.pi * frequency * SECONDS))
    itd, moved, _ = distance(tone, leaky(tone, -20), hrir)
    assert itd < 5
    assert moved == 0


def test_a_tone_whose_level_difference_does_not_tell_the_side_is_ambiguous() -> None:
    tone = rendered_at(0, np.sin(2 * np.pi * 1200 * SECONDS))
    assert distance(tone, leaky(tone, -20)) == (
        None, None, "ambiguous: several maxima of nearly the same height, and no level difference that tells the side"
    )  # fmt: skip


def test_a_stem_without_energy_below_1500_hz_has_no_itd() -> None:
    high = rendered_at(40, sosfilt(butter(8, [8000, 12000], "band", fs=FS, output="sos"), SHORT))
    itd, moved, reason = distance(high, leaky(high, -40))
    assert itd is moved is None
    assert reason == "the reference holds less than −30 dB of its energy between 100 and 1500 Hz"


@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_an_estimate_has_moved_where_it_has_no_delay_of_a_head(share: float) -> None:
    """The ears of an inverted bass are most alike at delays of half a period."""
    bass = rendered_at(40, sosfilt(butter(4, 200, fs=FS, output="sos"), SHORT))
    inverted = np.arange(bass.shape[1]) < share * bass.shape[1]
    itd, moved, reason = distance(bass, np.where(inverted, bass * [[1.0], [-1.0]], bass))
    assert moved == pytest.approx(100 * share, abs=5)
    if share < 1:
        assert itd < 5
    else:
        assert (itd, moved) == (None, 100)
        assert reason.startswith(
            "the correlation of the estimate's ears has no maximum at the delays of a head"
        )


def test_independent_ears_have_no_itd() -> None:
    itd, _, reason = distance(MUSIC, MUSIC + 0.3 * MUSIC[:, ::-1])
    assert itd is None
    assert reason.startswith("the ears of the reference are not coherent")


@pytest.mark.parametrize("share", [0.45, 0.6])
def test_an_image_on_the_wrong_side_some_of_the_time_has_moved_for_that_time(share: float) -> None:
    image = rendered_at(80, SHORT)
    wrong = np.arange(image.shape[1]) / FS % 1 < share
    itd, moved, _ = distance(image, np.where(wrong, image[::-1], image))
    assert moved == pytest.approx(100 * share, abs=7)
    assert (itd < 20) == (share < 0.5)


def test_the_largest_itd_of_the_set_and_a_tenth_more_limit_the_search() -> None:
    irs = np.zeros((3, 2, 64))
    for direction, late in zip(irs, (0, -20, 20), strict=True):  # ±454 us
        direction[0, 30 + late // 2] = direction[1, 30 - late // 2] = 1.0
    narrow = Hrirs(np.array([0.0, 90.0, 270.0]), irs, FS)
    middle = both_ears(SOURCE[:1])
    for late, within in ((21, True), (24, False)):
        moved = np.vstack([middle[0], delay(middle[1], late)])
        expected = pytest.approx(late / FS * 1e6, abs=1)
        assert distance(middle, moved)[0] == expected
        assert (distance(middle, moved, narrow)[0] == expected) == within
    # A set of level differences alone has no largest ITD, but a rounding error.
    level = Hrirs(
        narrow.azimuths, np.eye(1, 9, 4)[None] * [[[0.9], [0.9]], [[1.0], [0.7]], [[0.7], [1.0]]], FS
    )
    found = distance(middle, middle + 1e-3 * MUSIC[:, : middle.shape[1]], level)
    assert found == (pytest.approx(0, abs=1), 0, "")


def test_the_largest_itd_of_a_set_is_also_that_of_the_phase_from_200_to_600_hz() -> None:
    taps = 4096
    f = np.fft.rfftfreq(taps, 1 / FS)
    us = np.select([f < 150, f < 350, f < 650, f < 1250], [900, 600, 500, 750], 300)
    level = np.where((f > 650) & (f < 1250), 0.01, 1.0)  # too quiet for the correlation
    side = np.array([[0.5], [-0.5]])
    irs = np.fft.irfft(level * np.exp(-2j * np.pi * f * (0.045 + side * us * 1e-6)), taps)
    assert largest_itd(Hrirs(np.zeros(1), irs[None], FS), FS) == pytest.approx(600e-6, abs=20e-6)


@pytest.mark.parametrize(("late", "moved"), [(4, 0), (5, 100)])
def test_an_image_has_moved_from_100_us_on(late: int, moved: float) -> None:
    middle = both_ears(SOURCE[:1])
    assert distance(middle, np.vstack([middle[0], delay(middle[1], late)]))[1] == moved


@pytest.mark.parametrize(("db", "defined"), [(-29, True), (-31, False)])
def test_the_band_of_the_itd_needs_30_db_below_the_stem(db: float, defined: bool) -> None:
    """Tones of 500 Hz and 9 kHz."""
    tones = 10 ** (db / 20) * np.sin(2 * np.pi * 500 * SECONDS) + np.sin(2 * np.pi * 9000 * SECONDS)
    assert (distance(both_ears(tones[None]), both_ears(tones[None]))[0] is not None) == defined


@pytest.mark.parametrize(("coherence", "defined"), [(0.55, True), (0.45, False)])
def test_the_ears_of_the_reference_need_half_coherence(coherence: float, defined: bool) -> None:
    common, left, right = (pink(rng(seed), 1, 20 * FS)[0] for seed in (1, 2, 3))
    ears = np.sqrt(coherence) * common + np.sqrt(1 - coherence) * np.stack([left, right])
    assert (distance(ears, ears)[0] is not None) == defined


@pytest.mark.parametrize(("late", "within"), [(37, True), (38, False)])
def test_without_a_set_the_search_ends_at_850_us(late: int, within: bool) -> None:
    middle = both_ears(SOURCE[:1])
    moved = np.vstack([middle[0], delay(middle[1], late)])
    assert (distance(middle, moved)[0] == pytest.approx(late / FS * 1e6, abs=1)) == within


def test_a_swap_at_80_degrees_is_measured_in_full() -> None:
    late = 34.1  # samples, 773.5 us
    taps = np.arange(128)
    irs = np.stack([1.3 * np.sinc(taps - 60 + side * late / 2) * np.hanning(128) for side in (1, -1)])
    image = np.stack([fftconvolve(SHORT, ir) for ir in irs])
    itd, moved, _ = distance(image, image[::-1])
    assert itd == pytest.approx(1547, abs=5)
    assert moved == 100


@pytest.mark.parametrize(("before", "after"), [(0, 20), (40, 60), (60, 80)])
def test_a_move_by_20_degrees_is_measured(before: float, after: float) -> None:
    lateral = np.deg2rad([before, after])
    expected = float(np.diff(0.0875 / 343 * (np.sin(lateral) + lateral))[0]) * 1e6
    assert distance(rendered_at(before, SHORT), rendered_at(after, SHORT))[0] == pytest.approx(
        expected, abs=10
    )


@pytest.mark.parametrize("db", [-20, -40])
def test_leakage_of_a_bass_reads_below_its_move(db: float) -> None:
    """The unweighted value measures leakage before place."""
    harmonics = sum(k**-1.6 * np.sin(2 * np.pi * 55 * k * SECONDS) for k in range(1, 12))
    bass = harmonics * np.exp(-4 * (SECONDS * 2 % 1))
    image = rendered_at(40, bass)
    leak, move = (interaural_cues(image, x, FS) for x in (leaky(image, db), rendered_at(20, bass)))
    values = [cue.value for cue in (leak.d_ild_db, leak.d_ild_db_flat, move.d_ild_db)]
    assert values[0] < values[2]  # type: ignore[operator]
    assert values[1] > 5 * values[0]  # type: ignore[operator]
    assert values[0] < (1.2 if db == -20 else 0.1)  # type: ignore[operator]
    assert leak.d_itd_us.value is not None
    assert leak.d_itd_us.value < 10


def test_a_band_that_the_estimate_lacks_has_no_place() -> None:
    dust = sosfilt(butter(10, 3000, fs=FS, output="sos"), LATERAL)
    # Numerical dust with the ears swapped, far more than 60 dB below the reference.
    dust = dust + 1e-6 * LATERAL[::-1]
    assert cues(LATERAL, dust)[1] == pytest.approx(0, abs=0.3)
    flat = interaural_cues(LATERAL, dust, FS).d_ild_db_flat.value
    assert flat is not None
    assert flat > 1
