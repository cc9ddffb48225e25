"""One row per stem: every value asked for, or None with a reason; one bad stem loses no other row."""

import json
import math

import numpy as np
import pytest
from evaluator_service.interaural import paper_cues
from evaluator_service.score import COLUMNS, score_track
from evaluator_service.spauq import spauq_equations, spauq_released
from golden_signals import pink
from mssbench_service.errors import BadInput

FS = 4000
STEMS = ("vocals", "drums", "bass", "other")
PAPER = [c for c in COLUMNS if c.startswith("paper_")]
AZIMUTH = ["azimuth_deg", "azimuth_error_deg"]
CORRECTED = [
    c for c in COLUMNS[1:] if c not in [*PAPER, *AZIMUTH, "valid_frames", "total_frames", "status", "reason"]
]


def track(seconds=3):
    rng = np.random.default_rng(1)
    references = {stem: pink(rng, 2, seconds * FS) for stem in STEMS}
    estimates = {stem: 0.9 * x + 0.2 * pink(rng, 2, seconds * FS) for stem, x in references.items()}
    return references, estimates


def score(references, estimates, **options):
    rows = score_track(references, estimates, FS, **options)
    json.dumps(rows, allow_nan=False)  # holds of every table, whatever the input
    return {row["source"]: row for row in rows}


def assert_same(row, expected):
    """Equal, numbers to rounding."""
    assert list(row) == list(expected)
    for column, value in expected.items():
        if isinstance(value, float | list):
            np.testing.assert_allclose(row[column], value, rtol=1e-7, atol=1e-7, err_msg=column)
        else:
            assert row[column] == value, column


def test_rows_come_in_the_order_of_the_references_with_every_column():
    references, estimates = track()
    rows = score_track(dict(reversed(references.items())), estimates, FS)
    assert [row["source"] for row in rows] == list(reversed(STEMS))
    assert all(tuple(row) == COLUMNS for row in rows)
    assert all(row["status"] == "ok" and row["reason"] == "" for row in rows)


def test_values_are_those_of_the_metrics():
    references, estimates = track()
    row = score(references, estimates)["drums"]
    reference, estimate = references["drums"], estimates["drums"]
    released, equations = spauq_released(reference, estimate, FS), spauq_equations(reference, estimate, FS)
    cues = paper_cues(reference, estimate, FS)
    assert row["SSR"] == pytest.approx(equations.median_ssr, abs=1e-9)
    assert row["SRR"] == pytest.approx(equations.median_srr, abs=1e-9)
    assert row["paper_SSR"] == pytest.approx(released.median_ssr, abs=1e-9)
    assert row["paper_SRR"] == pytest.approx(released.median_srr, abs=1e-9)
    assert row["paper_cost"] == pytest.approx(released.median_cost)
    assert row["paper_shift"] == released.median_shift.tolist()
    np.testing.assert_allclose(row["paper_scale"], released.median_scale)
    assert (row["paper_diff_ITD"], row["paper_diff_ILD"]) == (cues.d_itd_us, cues.d_ild_db)
    assert (row["valid_frames"], row["total_frames"]) == (5, 5)


def test_a_profile_not_asked_for_is_empty_without_a_reason():
    everything = score(*track())["bass"]
    for profile, absent, present in [("paper", CORRECTED, PAPER), ("corrected", PAPER, CORRECTED)]:
        row = score(*track(), profile=profile)["bass"]
        assert row["status"] == "ok"
        assert row["reason"] == ""
        assert all(row[column] is None for column in absent)
        np.testing.assert_allclose(
            *([v for c in present for v in np.ravel(r[c])] for r in (row, everything)), rtol=1e-7, atol=1e-7
        )
        assert row["valid_frames"] == 5


def test_the_mixture_gain_concerns_the_corrected_profile_alone():
    references, _ = track()
    estimates = {stem: 1.333 * x for stem, x in references.items()}
    as_stored, at_gain = (
        score(references, estimates)["vocals"],
        score(references, estimates, mixture_gain=1.333)["vocals"],
    )
    assert (at_gain["SSR"], at_gain["SRR"]) == (80, 80)
    assert (
        as_stored["SSR"]
        == pytest.approx(at_gain["paper_SSR"])
        == pytest.approx(-20 * math.log10(0.333), abs=1e-6)
    )


BROKEN = {
    "NaN": (
        lambda x: np.where(np.arange(x.shape[1]) == 50, np.nan, x),
        "estimate holds samples that are NaN or infinite",
    ),
    "infinite": (lambda x: np.where(np.arange(x.shape[1]) == 50, np.inf, x), "NaN or infinite"),
    "mono": (lambda x: x[:1], "estimate has 1 channel(s)"),
    "empty": (lambda x: x[:, :0], "estimate holds no samples"),
    "short": (lambda x: x[:, : FS - 1], "fewer than the 4000 of one SPAUQ frame"),
    "integer": (lambda x: (x * 1000).astype(np.int32), "estimate holds int32 samples"),
    "silent": (lambda x: 0 * x, "the estimate is silent wherever the reference is active"),
    "offset": (lambda x: 0 * x + 0.1, "the estimate is silent wherever the reference is active"),
}


@pytest.mark.parametrize("profile", ["paper", "corrected", "all"])
@pytest.mark.parametrize("kind", BROKEN)
def test_one_broken_stem_fails_alone(kind, profile):
    references, estimates = track()
    intact = score(references, estimates, profile=profile)
    breaking, reason = BROKEN[kind]
    estimates["drums"] = breaking(estimates["drums"])
    rows = score(references, estimates, profile=profile)
    assert rows["drums"]["status"] == "failed"
    assert reason in rows["drums"]["reason"]
    assert all(rows["drums"][column] is None for column in CORRECTED)
    for stem in STEMS:
        if stem != "drums":
            assert_same(rows[stem], intact[stem])


def test_a_silent_estimate_fails_and_keeps_what_the_released_software_would_say():
    references, estimates = track()
    estimates["vocals"] = np.zeros_like(estimates["vocals"])
    row = score(references, estimates)["vocals"]
    assert (row["paper_SSR"], row["paper_SRR"], row["paper_cost"]) == (pytest.approx(0, abs=1e-9), 0, 0)
    assert row["paper_diff_ITD"] is row["paper_diff_ILD"] is None
    assert "paper_diff_ITD, paper_diff_ILD: the estimate's left and right channel is silent" in row["reason"]


def test_a_missing_stem_fails_alone_and_an_extra_one_is_ignored():
    references, estimates = track()
    estimates["piano"] = estimates.pop("bass")
    rows = score(references, estimates)
    assert list(rows) == list(STEMS)
    assert (rows["bass"]["status"], rows["bass"]["reason"]) == ("failed", "the separator gave no stem 'bass'")
    assert {rows[stem]["status"] for stem in STEMS if stem != "bass"} == {"ok"}


def test_a_broken_reference_fails_its_own_stem():
    references, estimates = track()
    references["other"] = np.full_like(references["other"], np.nan)
    rows = score(references, estimates)
    assert rows["other"]["status"] == "failed"
    assert "reference holds samples that are NaN" in rows["other"]["reason"]
    assert rows["bass"]["status"] == "ok"


def test_a_stem_absent_from_reference_and_estimate_is_undefined_not_failed():
    references, estimates = track()
    references["vocals"] = estimates["vocals"] = np.zeros((2, 3 * FS))
    row = score(references, estimates)["vocals"]
    assert row["status"] == "undefined"
    assert row["SSR"] is row["SRR"] is None
    assert (row["valid_frames"], row["total_frames"]) == (0, 5)
    assert "SSR, SRR: reference and estimate are silent in every frame" in row["reason"]


def test_a_dead_channel_is_undefined_where_a_cue_needs_two_ears():
    references, estimates = track()
    estimates["other"] = estimates["other"] * [[1.0], [0.0]]
    row = score(references, estimates)["other"]
    assert row["status"] == "undefined"
    assert row["SSR"] is not None
    assert "paper_diff_ITD, paper_diff_ILD: the estimate's right channel is silent" in row["reason"]


def test_lengths_may_differ():
    references, estimates = track()
    longer = {stem: np.pad(x, ((0, 0), (0, 777))) for stem, x in estimates.items()}
    for stem, row in score(references, longer).items():
        assert_same(row, score(references, estimates)[stem])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(profile="best"), "unknown profile 'best'; expected one of paper, corrected, all"),
        (dict(mixture_gain=0.0), "mixture gain"),
        (dict(sample_rate=-1), "sample rate -1"),
        (dict(references={}), "no reference stem"),
    ],
)
def test_a_request_that_is_wrong_itself_is_refused(arguments, message):
    references, estimates = track(1)
    arguments = {"references": references, "estimates": estimates, "sample_rate": FS} | arguments
    with pytest.raises(BadInput, match=message):
        score_track(**arguments)
