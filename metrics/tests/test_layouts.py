"""Estimates in the layouts and under the names that separators write."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from binaural_metrics.layouts import find_estimates, stem_files, twins

STEMS = ("vocals", "drums")


def make(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    return folder


def found(folder: Path, *titles: str) -> dict[str, list[str]]:
    """Files of the stems of each title, relative to `folder`."""
    estimates = find_estimates(folder, dict.fromkeys(titles, STEMS))
    return {
        title: [each.files[stem].relative_to(folder).as_posix() for stem in STEMS if stem in each.files]
        for title, each in estimates.items()
    }


def problem(folder: Path, title: str, *others: str) -> str:
    return find_estimates(folder, dict.fromkeys((title, *others), STEMS))[title].problems["vocals"]


@pytest.mark.parametrize(
    "names",
    [
        "A song/{stem}.wav",
        "A song/{Stem}.wav",
        "A song/{stem}.WAV",
        "a song/{stem}.aiff",
        "A song/htdemucs/mixture/{stem}.wav",
        "A song/mixture/{stem}.mp3",
        "htdemucs/A song/{stem}.flac",
        "A song_umxl/{stem}.wav",
        "A song/mixture_({Stem})_htdemucs.wav",
        "A song/1_mixture_({Stem}).wav",
        "A song/mixture_{stem}.wav",
        "A song_({Stem})_htdemucs_ft.wav",
        "model/A song_({Stem})_htdemucs_ft.wav",
        "1_A song_({Stem}).wav",
        "A song_{stem}.wav",
        "A song - {Stem}.wav",
    ],
)
def test_the_layouts_of_separators_are_read(tmp_path: Path, names: str) -> None:
    expected = [names.format(stem=stem, Stem=stem.capitalize()) for stem in STEMS]
    make(tmp_path, *expected, ".hidden/A song/vocals.wav", "notes/readme.txt")
    assert found(tmp_path, "A song", "Another")["A song"] == expected


@pytest.mark.parametrize(
    "names", ["Song_live/{}.wav", "Song_live_({}).wav", "htdemucs/Song_live/{}.wav", "Song_live_{}.wav"]
)
@pytest.mark.parametrize("titles", [("Song", "Song_live"), ("Song",)])
def test_a_title_does_not_take_the_estimates_of_another(
    tmp_path: Path, names: str, titles: tuple[str, ...]
) -> None:
    make(tmp_path, *(names.format(stem) for stem in STEMS))
    result = found(tmp_path, *titles)
    assert result.pop("Song") == []
    assert all(len(files) == len(STEMS) for files in result.values())


def test_only_a_known_model_may_follow_the_title_of_a_folder(tmp_path: Path) -> None:
    make(
        tmp_path, "A_umxhq/vocals.wav", "A_live_htdemucs/vocals.wav", "B_live/vocals.wav", "C_live/vocals.wav"
    )
    assert found(tmp_path, "A", "A_live", "B", "C") == {
        "A": ["A_umxhq/vocals.wav"],
        "A_live": ["A_live_htdemucs/vocals.wav"],
        "B": [],
        "C": [],
    }


def test_accents_may_be_decomposed_and_case_may_differ_unless_two_titles_do(tmp_path: Path) -> None:
    title = "Café - Für Elise"
    make(tmp_path, f"{unicodedata.normalize('NFD', title)}/vocals.wav", "song/vocals.wav", "TWO/vocals.wav")
    result = found(tmp_path, title, "Song", "Two", "two")
    assert [len(files) for files in result.values()] == [1, 1, 0, 0]
    assert found(tmp_path, "song", "Song") == {"song": ["song/vocals.wav"], "Song": []}
    assert twins(["a", "B", "A", "b ", "é", "e\u0301"]) == [["A", "a"], ["e\u0301", "é"]]


def test_two_candidates_cost_one_title_and_are_named(tmp_path: Path) -> None:
    make(tmp_path, "a/X/vocals.wav", "b/X/vocals.wav", "a/Y/vocals.wav", "a/Z/drums.wav")
    make(tmp_path, "Z_(Vocals)_a.wav", "a/Z/mixture_(Vocals)_a.wav", "a/Z/mixture_(Vocals)_b.wav")
    result = found(tmp_path, "X", "Y", "Z")
    assert result == {"X": [], "Y": ["a/Y/vocals.wav"], "Z": ["a/Z/drums.wav"]}
    assert f"'X' has estimates in {tmp_path}/a/X and in {tmp_path}/b/X" in problem(tmp_path, "X")
    assert "mixture_(Vocals)_a.wav and mixture_(Vocals)_b.wav" in problem(tmp_path, "Z")
    make(tmp_path, "X/vocals.wav")  # the layout of the references comes first
    assert found(tmp_path, "X") == {"X": ["X/vocals.wav"]}


def test_what_is_there_is_named_with_the_expected_layout(tmp_path: Path) -> None:
    make(tmp_path, "Someone/vocals.wav", "A/instrumental.wav", "A/mixture.wav")
    text = problem(tmp_path, "B")
    assert "expected B/vocals.wav, <model>/B/vocals.wav or B_(Vocals)_<model>.wav; found A, Someone" in text
    assert problem(tmp_path, "A") == f"{tmp_path}/A/vocals.wav is missing; found instrumental.wav"


def test_exact_names_come_first_in_the_order_of_formats(tmp_path: Path) -> None:
    make(tmp_path, "vocals.mp3", "vocals.flac", "Vocals.wav", "Drums.wav", "DRUMS.flac")
    estimates = stem_files(tmp_path, STEMS)
    assert estimates.files == {"vocals": tmp_path / "vocals.flac"}
    assert "DRUMS.flac and Drums.wav" in estimates.problems["drums"]


@pytest.mark.parametrize(
    "name", ["instrumental.wav", "1_A_(Instrum).wav", "no_vocals.flac", "A_(Karaoke)_model.wav"]
)
def test_other_names_of_the_accompaniment_are_read(tmp_path: Path, name: str) -> None:
    make(tmp_path, name, "vocals.wav")
    assert stem_files(tmp_path, ["vocals", "accompaniment"], "A").files["accompaniment"] == tmp_path / name
    assert stem_files(tmp_path, STEMS, "A").files.keys() == {"vocals"}


def test_a_stem_called_like_an_alias_is_itself_and_two_aliases_are_ambiguous(tmp_path: Path) -> None:
    make(tmp_path, "music.wav", "Karaoke.wav", "speech.wav")
    assert stem_files(tmp_path, ["speech", "music"]).files["music"] == tmp_path / "music.wav"
    problem = stem_files(tmp_path, ["accompaniment"]).problems["accompaniment"]
    assert "Karaoke.wav and music.wav" in problem
