"""Tracks by their titles, and excerpts of tracks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets.excerpt_files import loudest, place_excerpt, require_excerpt
from mssbench.datasets.selection import EXCERPT_FILE, Excerpt, choose_titles, titles_in
from mssbench_service.errors import BadInput
from mssbench_service.musdb import Track

TITLES = ["A - One, Two", "A - [Live]", "B - Zoë", "C"]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ([], TITLES),
        (["C", "A*"], ["A - One, Two", "A - [Live]", "C"]),
        (["A - One, Two"], ["A - One, Two"]),
        (["C,B*"], ["B - Zoë", "C"]),
        (["A - [Live]"], ["A - [Live]"]),
        (["B - Zoe\u0308"], ["B - Zoë"]),
    ],
)
def test_titles_are_chosen_by_name_or_pattern_in_the_order_of_the_dataset(
    wanted: list[str], chosen: list[str]
) -> None:
    assert choose_titles(wanted, TITLES) == chosen


@pytest.mark.parametrize("wanted", ["", "B - Zo", "a*", "C,X", ",", "["])
def test_an_unknown_title_is_named_with_the_nearest_one(wanted: str) -> None:
    with pytest.raises(BadInput, match=r"no track has the title .*; (did you mean|there are 4)"):
        choose_titles([wanted], TITLES)


def test_a_file_of_titles_has_one_per_line(tmp_path: Path) -> None:
    (tmp_path / "titles.txt").write_text("\ufeffA - One, Two\r\n\n B* \n", encoding="utf-8")
    assert titles_in(tmp_path / "titles.txt") == ["A - One, Two", "B*"]
    for content in (b"\xff\xfe\x00", b"\n \n"):
        (tmp_path / "titles.txt").write_bytes(content)
        with pytest.raises(BadInput, match=r"titles\.txt"):
            titles_in(tmp_path / "titles.txt")


@pytest.mark.parametrize(
    "text", ["", ":", "0", "5:0", "-1", "-1:2", "nan", "1:nan", "inf", "1e3", "1:2:3", "1:", ":1", "1,5", "١"]
)
def test_an_excerpt_that_is_not_a_start_and_a_length_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected START:LENGTH"):
        Excerpt.parse(text)


def test_an_excerpt_lies_within_the_track(tmp_path: Path) -> None:
    track = Track(tmp_path / "T", 8000, 8000)
    assert place_excerpt(Excerpt.parse("0.25:0.75"), track) == (2000, 6000)
    for text in ("0.5:0.6", "1.1", "2:1", "0:0.00001"):
        with pytest.raises(BadInput, match=r"ends at .* 1\.000 s|shorter than a sample"):
            place_excerpt(Excerpt.parse(text), track)


def test_the_loudest_excerpt_is_the_first_with_the_largest_energy(tmp_path: Path) -> None:
    signal = np.zeros((8000, 2))
    signal[4000:4800] = 0.5
    signal[6400:7200, 1] = 0.5
    sf.write(tmp_path / "x.wav", signal, 8000, subtype="PCM_16")
    assert loudest(tmp_path / "x.wav", 800) == 4000
    assert loudest(tmp_path / "x.wav", 8000) == 0
    # 0.43 s hold all of both parts only from 0.5 s on.
    assert loudest(tmp_path / "x.wav", 3440) == 4000
    sf.write(tmp_path / "silence.wav", 0 * signal, 8000)
    assert loudest(tmp_path / "silence.wav", 800) == 0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_an_excerpt_has_the_samples_and_the_format_of_its_source(tmp_path: Path, subtype: str) -> None:
    signal = 1.5 * np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    sf.write(tmp_path / "mixture.wav", signal, 8000, subtype=subtype)
    require_excerpt(tmp_path, tmp_path / "cut", 700, 3001, ["mixture"])
    assert sf.info(tmp_path / "cut/mixture.wav").subtype == subtype
    whole, part = (sf.read(path / "mixture.wav")[0] for path in (tmp_path, tmp_path / "cut"))
    assert np.array_equal(part, whole[700:3701])


def test_a_damaged_excerpt_is_cut_again_and_an_intact_one_is_kept(tmp_path: Path) -> None:
    sf.write(tmp_path / "mixture.wav", np.full((500, 2), 0.25), 8000)
    file = tmp_path / "cut/mixture.wav"
    for size in (None, 100, 0):
        if size is not None:
            os.truncate(file, size)
        require_excerpt(tmp_path, tmp_path / "cut", 10, 100, ["mixture"])
        assert sf.info(file).frames == 100
    before = file.stat().st_mtime_ns
    require_excerpt(tmp_path, tmp_path / "cut", 10, 100, ["mixture"])
    assert file.stat().st_mtime_ns == before
    (tmp_path / "cut" / EXCERPT_FILE).write_text("[]")
    require_excerpt(tmp_path, tmp_path / "cut", 10, 100, ["mixture"])
    assert (tmp_path / "cut" / EXCERPT_FILE).read_text() != "[]"


def test_a_source_that_is_shorter_than_its_record_leaves_nothing(tmp_path: Path) -> None:
    sf.write(tmp_path / "mixture.wav", np.zeros((500, 2)), 8000)
    with pytest.raises(BadInput, match="truncated"):
        require_excerpt(tmp_path, tmp_path / "cut", 450, 100, ["mixture"])
    assert not (tmp_path / "cut").exists()
