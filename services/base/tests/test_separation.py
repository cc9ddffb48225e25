"""The code that all separators share: resampling, checks, output files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from mssbench_contract import music
from mssbench_service.audio import FloatArray, read, write_wav
from mssbench_service.errors import BadInput, BadOutput
from mssbench_service.files import read_json
from mssbench_service.musdb import STEMS
from mssbench_service.separation import (
    SEPARATION_FILE,
    AnyStemsSeparator,
    ReferenceSeparator,
    Separator,
    check_separation,
    describe,
    separate_track,
)
from mssbench_service.wire import Expectation


class Shares(Separator):
    """Every stem is a quarter of the mixture; records the shapes and sample rates of its inputs."""

    description = "shares"

    def __init__(self, sample_rate: int | None = None, **broken: FloatArray | None) -> None:
        self.sample_rate = sample_rate
        self.broken = broken
        self.seen: list[tuple[tuple[int, ...], int]] = []

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        assert mixture.dtype == np.float32
        self.seen.append((mixture.shape, sample_rate))
        stems = {stem: mixture * np.float32(0.25) for stem in STEMS} | self.broken
        return {stem: estimate for stem, estimate in stems.items() if estimate is not None}


class Truth(ReferenceSeparator):
    description = "the true stems"
    expected = (Expectation("SSR", 80.0, 80.0),)

    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return references


@pytest.fixture
def track(tmp_path: Path) -> Path:
    write_wav(tmp_path / "mixture.wav", music(0.3), 44_100)
    return tmp_path / "mixture.wav"


def test_stems_and_record_are_written(tmp_path: Path, track: Path) -> None:
    result = separate_track(Shares(), "shares", track, tmp_path / "out")
    assert (result.separator, result.sample_rate, result.samples, result.device, result.notes) == (
        ("shares", 44_100, 13_230, "cpu", [])
    )
    assert read_json(tmp_path / "out" / SEPARATION_FILE)["samples"] == 13_230
    for stem in STEMS:
        assert (read(tmp_path / "out" / f"{stem}.wav")[0] == read(track)[0] * np.float32(0.25)).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        SEPARATION_FILE,
        *(f"{s}.wav" for s in STEMS),
    }


@pytest.mark.parametrize("sample_rate", [8000, 22_050, 48_000, 96_000])
@pytest.mark.parametrize("samples", [1, 7, 10_001])
def test_audio_is_resampled_to_the_rate_of_the_model_and_back(
    tmp_path: Path, sample_rate: int, samples: int
) -> None:
    write_wav(tmp_path / "x.wav", music(2, sample_rate)[:, :samples], sample_rate)
    separator = Shares(44_100)
    result = separate_track(separator, "s", tmp_path / "x.wav", tmp_path / "out")
    assert separator.seen[0][1] == 44_100
    assert (result.sample_rate, result.samples) == (sample_rate, samples)
    assert result.notes == [f"resampled from {sample_rate} Hz to 44100 Hz and back"]
    info = sf.info(str(tmp_path / "out" / "bass.wav"))
    assert (info.samplerate, info.frames, info.subtype) == (sample_rate, samples, "FLOAT")


def test_resampling_there_and_back_changes_little(tmp_path: Path) -> None:
    t = np.arange(48_000) / 48_000
    tone = (0.5 * np.sin(2 * np.pi * 997 * t) * np.ones((2, 1))).astype(np.float32)
    write_wav(tmp_path / "x.wav", tone, 48_000)
    separate_track(Shares(44_100), "s", tmp_path / "x.wav", tmp_path / "out")
    inside = slice(2000, -2000)
    np.testing.assert_allclose(read(tmp_path / "out/bass.wav")[0][:, inside] * 4, tone[:, inside], atol=1e-4)


def test_details_of_the_separator_are_in_the_record(tmp_path: Path, track: Path) -> None:
    class Loaded(Shares):
        def details(self) -> Mapping[str, object]:
            return {"weights": [{"file": "a.th", "sha256": "0" * 64}]}

    separate_track(Loaded(), "loaded", track, tmp_path / "out")
    assert read_json(tmp_path / "out" / SEPARATION_FILE)["details"] == {
        "weights": [{"file": "a.th", "sha256": "0" * 64}]
    }


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"bass": None}, "returned no bass"),
        ({"drums": np.zeros((2, 5), np.float32)}, r"drums of shape \(2, 5\); expected \(2, 13230\)"),
        ({"other": np.full((2, 13_230), np.nan, np.float32)}, "other with samples that are NaN or infinite"),
    ],
)
def test_an_invalid_result_is_refused_and_not_written(
    tmp_path: Path, track: Path, broken: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOutput, match=message):
        separate_track(Shares(**broken), "s", track, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.wav"]


def test_references_are_scaled_to_the_level_of_the_mixture(tmp_path: Path, track: Path) -> None:
    paths = dict.fromkeys(STEMS, track)
    separate_track(Truth(), "t", track, tmp_path / "out", paths, reference_gain=0.5)
    assert (read(tmp_path / "out/bass.wav")[0] == 0.5 * read(track)[0]).all()
    with pytest.raises(BadInput, match="true stems"):
        separate_track(Truth(), "t", track, tmp_path / "out")


@pytest.mark.parametrize("gain", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_an_invalid_reference_gain_is_refused(tmp_path: Path, track: Path, gain: float) -> None:
    with pytest.raises(BadInput, match="reference gain"):
        separate_track(
            Truth(), "t", track, tmp_path / "out", dict.fromkeys(STEMS, track), reference_gain=gain
        )


def test_references_that_do_not_match_the_mixture_are_refused(tmp_path: Path, track: Path) -> None:
    write_wav(tmp_path / "short.wav", music(0.2), 44_100)
    write_wav(tmp_path / "rate.wav", music(0.3), 48_000)
    write_wav(tmp_path / "wide.wav", np.zeros((3, 13_230), np.float32), 44_100)
    for name, message in (
        ("short", "8820 samples"),
        ("rate", "48000 Hz"),
        ("wide", "3 channels"),
        ("no", "no.wav"),
    ):
        paths = dict.fromkeys(STEMS, track) | {"other": tmp_path / f"{name}.wav"}
        with pytest.raises(BadInput, match=message):
            separate_track(Truth(), "t", track, tmp_path / "out", paths)
    assert not (tmp_path / "out").exists()


def test_only_an_empty_folder_or_a_separation_is_replaced(tmp_path: Path, track: Path) -> None:
    separator = Shares()
    (tmp_path / "empty").mkdir()
    separate_track(separator, "s", track, tmp_path / "empty")
    separate_track(separator, "s", track, tmp_path / "empty")
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "precious.wav").touch()
    separations = len(separator.seen)
    for out in (tmp_path, tmp_path / "dataset", track, track / "x", tmp_path / ("n" * 300)):
        with pytest.raises(BadInput):
            separate_track(separator, "s", track, out)
    assert len(separator.seen) == separations, "expected an error before the separation"
    assert (tmp_path / "dataset" / "precious.wav").exists()
    assert track.exists()


def test_describe_lists_all_separators() -> None:
    shares, truth = describe({"shares": Shares(), "truth": Truth()})
    assert (shares.name, shares.description, shares.needs_references, shares.expected) == (
        ("shares", "shares", False, [])
    )
    assert truth.needs_references
    assert truth.expected == [Expectation("SSR", 80.0, 80.0)]


def rewrite(path: Path, **changed: object) -> None:
    samples, rate = sf.read(path, dtype="float32")
    if changed.get("nan"):
        samples[100] = np.nan
    sf.write(path, samples[: changed.get("length")], changed.get("rate", rate), subtype="FLOAT")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda out: (out / "bass.wav").unlink(), "s returned no bass"),
        (lambda out: rewrite(out / "bass.wav", nan=True), "bass with samples that are NaN or infinite"),
        (
            lambda out: rewrite(out / "bass.wav", length=99),
            "bass with 2 channel.s. of 99 samples at 44100 Hz",
        ),
        (lambda out: rewrite(out / "bass.wav", rate=48_000), "at 48000 Hz; expected 2 of 13230 at 44100 Hz"),
        (lambda out: (out / "bass.wav").write_bytes(b"RIFF"), "bass.wav"),
        (lambda out: (out / SEPARATION_FILE).write_text("{}"), "cannot be read"),
        (lambda out: (out / SEPARATION_FILE).unlink(), "cannot be read"),
    ],
)
def test_check_separation_finds_missing_and_damaged_files(
    tmp_path: Path, track: Path, damage: Callable[[Path], object], message: str
) -> None:
    out = tmp_path / "out"
    separate_track(Shares(), "s", track, out)
    check_separation("s", out, track)
    damage(out)
    with pytest.raises(BadOutput, match=message):
        check_separation("s", out, track)


def test_of_two_concurrent_separations_the_first_is_kept(tmp_path: Path, track: Path) -> None:
    """The stems of the first may already be in use."""
    out = tmp_path / "out"

    class Slower(Shares):
        def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
            separate_track(Shares(), "first", track, out)
            return super().separate(mixture, sample_rate)

    separate_track(Slower(), "second", track, out)
    assert read_json(out / SEPARATION_FILE)["separator"] == "first"
    separate_track(Shares(), "third", track, out)
    assert read_json(out / SEPARATION_FILE)["separator"] == "third", (
        "expected the earlier separation to be replaced"
    )


class Copies(AnyStemsSeparator):
    """The mixture as every stem that is asked for."""

    def separate_into(
        self, mixture: FloatArray, stems: Sequence[str], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return dict.fromkeys(stems, mixture)


def test_any_stem_set_is_separated_and_recorded(tmp_path: Path, track: Path) -> None:
    pair = Shares(vocals=np.zeros((2, 13_230), np.float32), accompaniment=np.ones((2, 13_230), np.float32))
    pair.stems = ("vocals", "accompaniment")
    truth = dict.fromkeys(("vocals", "guitar", "piano"), track)
    for name, separator, references, stems, expected in (
        ("pair", pair, None, (), ["vocals", "accompaniment"]),
        ("any", Copies(), None, ("guitar", "accompaniment"), ["guitar", "accompaniment"]),
        ("any-44k", Copies(), None, (), list(STEMS)),
        ("truth", Truth(), truth, (), ["vocals", "guitar", "piano"]),
    ):
        out = tmp_path / name
        assert separate_track(separator, name, track, out, references, stems=stems).stems == expected
        assert sorted(path.stem for path in out.glob("*.wav")) == sorted(expected)
        check_separation(name, out, track, expected)
        with pytest.raises(BadOutput, match=f"{name} returned no drums_2"):
            check_separation(name, out, track, [*expected, "drums_2"])
    assert [one.stems for one in describe({"pair": pair, "any": Copies()})] == [
        ["vocals", "accompaniment"],
        [],
    ]


@pytest.mark.parametrize(
    "stems", [("vocals", "vocals"), ("../x",), ("mixture",), tuple(f"s{n}" for n in range(33))]
)
def test_invalid_stem_names_are_refused_and_nothing_is_written(
    tmp_path: Path, track: Path, stems: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput):
        separate_track(Copies(), "any", track, tmp_path / "out", stems=stems)
    broken = Shares()
    broken.stems = stems
    with pytest.raises((BadInput, BadOutput)):
        separate_track(broken, "broken", track, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.wav"]
