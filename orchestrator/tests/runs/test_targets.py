"""Which estimate meets which reference: names, folding, the composite target, and what is not offered."""

from __future__ import annotations

import pytest
from binaural_metrics import layouts
from mssbench.runs.config import RunConfig
from mssbench.runs.targets import choose_targets, estimate, folding, offered, reference
from mssbench_service.errors import BadInput
from mssbench_service.stems import ALIASES, STEMS
from mssbench_service.wire import SeparatorInfo, parse

MUSDB = list(STEMS)
MOISES = [*STEMS, "guitar", "piano"]
FOUR = SeparatorInfo("four", "")
TWO = SeparatorInfo("two", "", stems=["vocals", "accompaniment"])
SIX = SeparatorInfo("six", "", stems=["drums", "bass", "other", "vocals", "guitar", "piano"])
VOICE = SeparatorInfo("voice", "", stems=["vocals"])
MIX = SeparatorInfo("mix", "", stems=[])
TRUTH = SeparatorInfo("truth", "", needs_references=True, stems=[])


def test_a_service_of_an_earlier_version_counts_as_four_stems() -> None:
    assert parse(SeparatorInfo, {"name": "old", "description": ""}).stems == MUSDB


@pytest.mark.parametrize(
    ("separators", "stems", "expected"),
    [
        ([FOUR, TRUTH, MIX], MUSDB, MUSDB),
        ([SIX], MUSDB, MUSDB),
        ([TWO], MUSDB, ["vocals", "accompaniment"]),
        ([TWO, FOUR], MUSDB, [*MUSDB, "accompaniment"]),
        ([VOICE], MUSDB, ["vocals"]),
        ([SIX, TWO], MOISES, [*MOISES, "accompaniment"]),
        ([FOUR], MOISES, MUSDB),
        ([TWO], ["vocals", "accompaniment"], ["vocals", "accompaniment"]),
    ],
)
def test_targets_are_the_stems_and_accompaniment_where_a_separator_has_it(
    separators: list[SeparatorInfo], stems: list[str], expected: list[str]
) -> None:
    assert choose_targets([], separators, stems) == expected


@pytest.mark.parametrize(
    ("separator", "stems", "target", "parts"),
    [
        (FOUR, MUSDB, "other", ["other"]),
        (FOUR, MUSDB, "accompaniment", ["drums", "bass", "other"]),
        (SIX, MUSDB, "other", ["other", "guitar", "piano"]),
        (SIX, MUSDB, "accompaniment", ["drums", "bass", "other", "guitar", "piano"]),
        (SIX, MOISES, "other", ["other"]),
        (SIX, MOISES, "guitar", ["guitar"]),
        (TWO, MUSDB, "accompaniment", ["accompaniment"]),
        (TWO, MUSDB, "drums", []),
        (VOICE, MUSDB, "accompaniment", []),
        (MIX, MUSDB, "accompaniment", ["accompaniment"]),
        (TRUTH, MOISES, "accompaniment", ["drums", "bass", "other", "guitar", "piano"]),
        (TRUTH, ["vocals", "strings"], "accompaniment", ["strings"]),
    ],
)
def test_an_estimate_is_a_stem_or_the_sum_of_finer_ones(
    separator: SeparatorInfo, stems: list[str], target: str, parts: list[str]
) -> None:
    assert estimate(target, separator, stems) == parts


def test_folding_is_told_and_a_reference_is_a_sum_of_stems() -> None:
    assert folding(MUSDB, SIX, MUSDB) == ["other is other + guitar + piano"]
    assert folding(MUSDB, FOUR, MUSDB) == []
    assert offered([*MUSDB, "accompaniment"], TWO, MUSDB) == ["vocals", "accompaniment"]
    assert reference("accompaniment", MOISES) == ["drums", "bass", "other", "guitar", "piano"]
    assert reference("accompaniment", ["drums", "bass"]) == reference("guitar", MUSDB) == []


@pytest.mark.parametrize(
    ("asked", "separators", "message"),
    [
        (["guitar"], [SIX], "the target 'guitar' cannot be built from the stems vocals, drums, bass, other"),
        (["drums"], [TWO, VOICE], "none of the targets drums is offered by two, voice"),
        ([], [SeparatorInfo("x", "", stems=["strings"])], "none of the targets vocals, .* is offered by x"),
        ([], [SeparatorInfo("x", "", stems=["vocals", "vocals"])], "x has two stems called 'vocals'"),
        ([], [SeparatorInfo("x", "", stems=["../vocals"])], "x has a stem called"),
    ],
)
def test_targets_that_cannot_be_scored_are_refused(
    asked: list[str], separators: list[SeparatorInfo], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        choose_targets(asked, separators, MUSDB)


def test_the_names_that_are_read_are_those_of_the_search_for_estimates() -> None:
    assert {name: stem for stem, names in layouts.ALIASES.items() for name in names} == ALIASES


def test_a_track_without_the_stems_of_a_target_has_no_row_of_it() -> None:
    few = ["vocals", "drums", "piano"]
    assert offered([*MOISES, "accompaniment"], TRUTH, MOISES, few) == [*few, "accompaniment"]
    assert estimate("accompaniment", TRUTH, MOISES, few) == ["drums", "piano"]
    assert offered([*MOISES, "accompaniment"], FOUR, MOISES, few) == ["vocals", "drums", "accompaniment"]
    assert offered([*MOISES, "accompaniment"], VOICE, MOISES, ["drums"]) == []
    assert folding(["other"], FOUR, MOISES) == [
        "other may hold guitar and piano, which the separator does not estimate"
    ]


def test_a_run_without_targets_keeps_its_name() -> None:
    """The name that earlier versions gave to this configuration."""
    assert RunConfig(dataset="data/demo").run_id("files") == "demo-48767b0634"
    assert RunConfig(dataset="data/demo", targets=["vocals"]).run_id("files") != "demo-48767b0634"
