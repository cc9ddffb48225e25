"""Tests of ModelSeparator with a model that needs no deep learning library."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mssbench_service.audio import FloatArray
from mssbench_service.cards import read_card
from mssbench_service.errors import BadInput, BenchError, Busy, NotReady, OutOfMemory, StepFailed
from mssbench_service.model import (
    LoadedModel,
    ModelSeparator,
    check_stems,
    checked_sample_rate,
    model_family,
    requested_model,
)
from mssbench_service.musdb import STEMS
from mssbench_service.separation import describe, set_up
from mssbench_service.wire import ModelCard

RATE = 44_100
SHORTEST = 8


class Full(Exception):
    """Raised by the library of this test for a failed allocation."""


class Halves(ModelSeparator):
    """Returns half of the mixture for each stem."""

    service = "halves"
    library = "Library"
    distributions = ("numpy",)
    out_of_memory = (Full,)

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.weights = weights
        self.lengths: list[int] = []
        self.released = 0
        self.hook: Callable[[], None] = lambda: None

    def load(self) -> LoadedModel:
        self.choose_device()
        return LoadedModel(
            name="half",
            stems=STEMS,
            sample_rate=float(RATE),
            weights=[self.weights],
            settings={"gain": 0.5},
            shortest=SHORTEST,
        )

    def estimate(self, mixture: FloatArray) -> Mapping[str, FloatArray]:
        self.lengths.append(mixture.shape[1])
        self.hook()
        return {stem: (mixture.T * np.float32(0.5)).T for stem in STEMS}

    def framework(self) -> str:
        return "Library 1"

    def cuda_devices(self) -> int:
        return 0

    def release_memory(self) -> None:
        self.released += 1


@pytest.fixture
def separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Halves:
    monkeypatch.setenv("THREADS", "3")
    monkeypatch.setenv("DEVICE", "auto")
    weights = tmp_path / "half.bin"
    weights.write_bytes(b"weights")
    return Halves(weights)


def test_info_describes_the_loaded_model(separator: Halves) -> None:
    assert separator.device == "not loaded"
    assert separator.details() == {}
    separator.setup()
    assert separator.device == "cpu"
    assert separator.sample_rate == RATE
    assert separator.details() == {
        "model": "half",
        "model_stems": list(STEMS),
        "weights": [{"file": "half.bin", "sha256": hashlib.sha256(b"weights").hexdigest()}],
        "settings": {"gain": 0.5},
        "threads": 3,
        "libraries": {"numpy": np.__version__},
    }


def test_a_missing_device_is_an_error(separator: Halves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE", "cuda")
    with pytest.raises(NotReady, match=r"DEVICE=cuda, but Library 1 finds 0 CUDA device\(s\)"):
        separator.setup()


def test_setup_warms_up_and_short_tracks_are_padded(separator: Halves) -> None:
    separator.setup()
    assert separator.lengths == [RATE]
    for samples in (1, SHORTEST - 1, SHORTEST, 20):
        track = np.random.default_rng(samples).standard_normal((2, samples)).astype(np.float32)
        for estimate in separator.separate(track, RATE).values():
            np.testing.assert_array_equal(estimate, track * np.float32(0.5))
            assert estimate.flags.c_contiguous
    assert separator.lengths[1:] == [SHORTEST, SHORTEST, SHORTEST, 20]


def test_one_track_is_separated_at_a_time(separator: Halves) -> None:
    separator.setup()
    running, most = 0, 0

    def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1

    separator.hook = count
    track = np.zeros((2, 10), np.float32)
    threads = [threading.Thread(target=separator.separate, args=(track, RATE)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(separator.lengths) == 5
    assert most == 1


@pytest.mark.parametrize(
    ("raised", "kind", "released"),
    [
        (Full("full"), OutOfMemory, 1),
        (MemoryError(), OutOfMemory, 1),
        (RuntimeError("CUDA out of memory"), OutOfMemory, 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), OutOfMemory, 1),
        (RuntimeError("something else\nand more"), StepFailed, 0),
        (ValueError("out of memory"), StepFailed, 0),
        (Busy("retry later"), Busy, 0),
    ],
)
def test_errors_of_the_library_become_errors_of_the_benchmark(
    separator: Halves, raised: Exception, kind: type[BenchError], released: int
) -> None:
    def fail() -> None:
        raise raised

    separator.setup()
    separator.hook = fail
    track = np.zeros((2, 10), np.float32)
    with pytest.raises(kind) as caught:
        separator.separate(track, RATE)
    assert "and more" not in str(caught.value)
    assert separator.released == released
    separator.hook = lambda: None
    assert set(separator.separate(track, RATE)) == set(STEMS)  # the next track works


@pytest.mark.parametrize(
    ("stems", "channels", "message"),
    [
        (STEMS, 1, r"estimates vocals, .* in 1 channel\(s\); expected 2"),
        ([], 2, "estimates nothing"),
        (["vocals", "vocals"], 2, "two stems called 'vocals'"),
        (["vocals", "../bass"], 2, r"a stem called '\.\./bass'"),
        (["vocals", "mixture"], 2, "a stem called 'mixture'"),
    ],
)
def test_a_model_has_distinct_stems_in_stereo(stems: list[str], channels: int, message: str) -> None:
    check_stems("m", ["vocals", "accompaniment", "guitar_2"], 2)
    with pytest.raises(NotReady, match=message):
        check_stems("m", stems, channels)


def test_models_of_a_family_are_loaded_on_first_use_and_the_last_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSSBENCH_LOADED_MODELS", "2")
    monkeypatch.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "weights.toml").write_text(
        'service = "halves"\ndefault = "a"\n[models]\na = ["f"]\nb = ["f"]\nmissing = ["g"]\n'
        '[stems]\na = ["vocals"]\nb = ["vocals", "guitar"]\nmissing = ["bass"]\n'
        '[files.f]\nurl = "http://localhost/f"\n[files.g]\nurl = "http://localhost/g"\n'
    )
    (tmp_path / "halves").mkdir()
    (tmp_path / "halves" / "f").write_bytes(b"weights")
    events: list[str] = []

    class Named(Halves):
        def __init__(self, model: str = "") -> None:
            super().__init__(tmp_path / "halves" / "f")
            self.model = model

        def load(self) -> LoadedModel:
            events.append(f"load {self.model}")
            return replace(super().load(), stems=self.stems, warm_up=False)

        def unload(self) -> None:
            events.append(f"unload {self.model}")

    monkeypatch.setattr("mssbench_service.model.weights_file", lambda _: tmp_path / "weights.toml")
    monkeypatch.setattr(ModelSeparator, "_in_memory", [])
    made = {name: make() for name, make in model_family(Named, tmp_path / "weights.toml").items()}
    assert list(made) == ["halves", "halves:a", "halves:b", "halves:missing"]
    failed = set_up({name: one.setup for name, one in made.items()})
    assert list(failed) == ["halves:missing"]
    described = describe(made, failed)
    assert [one.stems for one in described] == [list(STEMS), ["vocals"], ["vocals", "guitar"], ["bass"]]
    assert "g is missing; get it with: mssbench weights fetch halves:missing" in described[-1].reason
    assert events == ["load "]
    track = np.zeros((2, 10), np.float32)
    for name in ("halves:a", "halves", "halves:b", "halves:a"):
        made[name].separate(track, RATE)
    assert events[1:] == ["load a", "unload a", "load b", "unload ", "load a"]


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e9, float("nan")])
def test_an_impossible_sample_rate_is_refused(rate: float) -> None:
    with pytest.raises(NotReady, match="the model 'm' has a sample rate of"):
        checked_sample_rate("m", rate)


def test_the_model_is_the_pinned_default_unless_the_environment_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tmp_path / "weights.toml"
    pins.write_text('service = "s"\ndefault = "a"\n[models]\na = []\n[files]\n')
    for value, expected in (("", "a"), (" ", "a"), (" mine ", "mine")):
        monkeypatch.setenv("S_MODEL", value)
        assert requested_model("S_MODEL", pins) == expected
    pins.write_text("nonsense")
    monkeypatch.delenv("S_MODEL")
    with pytest.raises(BadInput):
        requested_model("S_MODEL", pins)


def test_a_card_is_read_from_the_pins_and_the_presets(tmp_path: Path) -> None:
    pins, presets = tmp_path / "weights.toml", tmp_path / "presets.toml"
    pins.write_text('[cards.half]\nparameters = 3\ncontains_test_set = "no"\n')
    presets.write_text('[cards."own:half"]\ntraining_tracks = ["A - B"]\n')
    assert read_card(pins, tmp_path, "half") == ModelCard(parameters=3, contains_test_set="no")
    assert read_card(pins, tmp_path, "own:half").training_tracks == ["A - B"]
    assert read_card(pins, tmp_path / "none", "own:half") == ModelCard()
    for text, says in (
        ("half = 3", r"presets.toml: \[cards.half\] is not a table"),
        ("half.licenze = 3", "has the unknown key 'licenze'; known: architecture, parameters"),
        ('half.parameters = "many"', "presets.toml.*parameters"),
        ('half.contains_test_set = "perhaps"', "contains_test_set"),
        ("[x]\n[cards.half.author]", "author"),
    ):
        presets.write_text(f"[cards]\n{text}\n")
        with pytest.raises(BadInput, match=says):
            read_card(pins, tmp_path, "half")
    presets.write_text("cards = 3")
    with pytest.raises(BadInput, match="is not a table"):
        read_card(pins, tmp_path, "half")


def test_the_card_of_a_model_is_described(
    separator: Halves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pins.toml").write_text('[cards.half]\nlicence = "CC0"\n')
    monkeypatch.setattr("mssbench_service.model.weights_file", lambda _: tmp_path / "pins.toml")
    assert describe({"half": separator})[0].card == ModelCard()
    separator.setup()
    assert describe({"half": separator})[0].card == ModelCard(licence="CC0")
