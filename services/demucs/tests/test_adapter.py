"""The adapter in this process: batches, settings, damaged files, errors of the library."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from demucs.api import Separator as Library
from demucs.htdemucs import HTDemucs
from demucs.pretrained import SOURCES
from demucs_service import SEPARATORS, adapter
from demucs_service.adapter import DemucsSeparator, shifts_from
from make_checkpoint import TRANSFORMER, save
from mssbench_contract import music
from mssbench_contract.model import ready
from mssbench_service.errors import NotReady
from mssbench_service.separation import separate_track, set_up
from mssbench_service.weights import load, sha256_of

RATE = 44100


def by_the_library(weights: Path, model: str, track: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    library = Library(model, repo=weights / "demucs", device="cpu", **options)
    with shifts_from(0):
        _, stems = library.separate_tensor(torch.from_numpy(track))
    return {stem: estimate.numpy() for stem, estimate in stems.items()}


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("tiny_ft", {}),
        ("tiny_ft", {"shifts": 2, "overlap": 0.5}),
        ("tiny_ft", {"shifts": 0, "segment": 1.5}),
        ("tiny_hybrid", {}),
        ("tiny_hybrid", {"shifts": 0, "segment": 1}),
        ("tinyft2", {}),
        ("tiny_six", {}),
    ],
)
def test_the_batch_size_does_not_change_the_result(
    settings: pytest.MonkeyPatch, weights: Path, model: str, options: dict[str, Any]
) -> None:
    track = music(5.2, seed=3)
    expected = by_the_library(weights, model, track, **options)
    settings.setenv("DEMUCS_MODEL", model)
    settings.setenv("DEMUCS_BATCH_SIZE", "3")
    for name, value in options.items():
        settings.setenv(f"DEMUCS_{name.upper()}", str(value))
    stems = ready("demucs").separate(track, RATE)
    assert list(stems) == list(expected)
    for stem, estimate in stems.items():
        np.testing.assert_allclose(estimate, expected[stem], rtol=0, atol=1e-6)


def test_a_batch_is_one_forward_pass(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("DEMUCS_MODEL", "tinyft0")
    settings.setenv("DEMUCS_SHIFTS", "0")
    sizes = []
    for batch_size in ("1", "4"):
        settings.setenv("DEMUCS_BATCH_SIZE", batch_size)
        separator = ready("demucs")
        assert isinstance(separator, DemucsSeparator)
        seen: list[int] = []
        separator._model.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(len(inputs[0])))
        separator.separate(music(9.0), RATE)
        sizes.append(seen)
    one_by_one, batched = sizes
    assert set(one_by_one) == {1}
    assert sum(batched) == len(one_by_one)  # every segment once
    assert max(batched) == 4
    assert len(batched) <= len(one_by_one) // 4 + 2


def test_only_the_seed_determines_the_shifts(settings: pytest.MonkeyPatch) -> None:
    track = music(3.0)
    settings.setenv("DEMUCS_MODEL", "tinyft3")
    separator = ready("demucs")
    random.seed(1)
    first = separator.separate(track, RATE)["vocals"]
    state = random.getstate()
    random.seed(2)
    np.testing.assert_array_equal(separator.separate(track, RATE)["vocals"], first)
    random.seed(1)
    assert random.getstate() == state  # the global generator is unchanged
    settings.setenv("DEMUCS_SEED", "5")
    assert np.abs(ready("demucs").separate(track, RATE)["vocals"] - first).max() > 1e-6


def test_autocast_is_close_to_float32(settings: pytest.MonkeyPatch) -> None:
    track = music(4.0)
    exact = ready("demucs").separate(track, RATE)
    settings.setenv("DEMUCS_PRECISION", "bfloat16")
    for stem, estimate in ready("demucs").separate(track, RATE).items():
        error = estimate - exact[stem]
        assert estimate.dtype == np.float32
        assert 0 < np.sum(error**2) < 1e-4 * np.sum(exact[stem] ** 2)  # 40 dB


@pytest.mark.parametrize("samples", [1, 2, 1000])
@pytest.mark.parametrize("shifts", ["0", "1"])
@pytest.mark.parametrize("model", ["tinyft1", "tiny_hybrid"])
def test_a_few_samples_can_be_separated(
    settings: pytest.MonkeyPatch, samples: int, shifts: str, model: str
) -> None:
    settings.setenv("DEMUCS_SHIFTS", shifts)
    settings.setenv("DEMUCS_MODEL", model)
    for estimate in ready("demucs").separate(music(1.0)[:, :samples], RATE).values():
        assert estimate.shape == (2, samples)
        assert np.isfinite(estimate).all()


def test_a_released_model_is_the_bag_of_the_library_with_the_pinned_files(
    settings: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    pins = publish(settings, weights, tmp_path, {"htdemucs_ft": [f"tinyft{number}" for number in range(4)]})
    (tmp_path / "demucs").chmod(0o555)
    separator = ready("demucs")
    assert separator.details()["model"] == "htdemucs_ft"
    files = separator.details()["weights"]
    assert [entry["file"] for entry in files] == pins["htdemucs_ft"]  # type: ignore[attr-defined]
    track = music(1.0)
    expected = by_the_library(weights, "tiny_ft", track)  # its bag has the same weights
    for stem, estimate in separator.separate(track, RATE).items():
        np.testing.assert_allclose(estimate, expected[stem], rtol=0, atol=1e-6)


def test_released_models_are_separators_that_are_loaded_on_first_use(
    settings: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    publish(settings, weights, tmp_path, {"htdemucs": ["tinyft0"], "htdemucs_6s": ["tinysix"]})
    settings.setenv("DEMUCS_MODEL", "htdemucs")
    settings.setenv("MSSBENCH_LOADED_MODELS", "1")
    made = {name: make() for name, make in SEPARATORS.items()}
    failed = set_up({name: separator.setup for name, separator in made.items()})
    assert list(failed) == ["demucs:htdemucs_ft", "demucs:hdemucs_mmi"]
    requested, six = made["demucs"], made["demucs:htdemucs_6s"]
    assert (requested.details()["model"], six.details()) == ("htdemucs", {})
    sf.write(tmp_path / "track.wav", music(1.0).T, RATE, subtype="FLOAT")
    result = separate_track(six, "demucs:htdemucs_6s", tmp_path / "track.wav", tmp_path / "stems")
    assert result.stems == list(six.stems) == [*SOURCES, "guitar", "piano"]
    assert result.details["model"] == "htdemucs_6s"
    for stem, estimate in by_the_library(weights, "tiny_six", music(1.0)).items():
        found, _ = sf.read(tmp_path / "stems" / f"{stem}.wav", dtype="float32")
        np.testing.assert_allclose(found.T, estimate, rtol=0, atol=1e-6)
    assert not hasattr(requested, "_model")
    assert list(requested.separate(music(0.5), RATE)) == SOURCES


def publish(
    settings: pytest.MonkeyPatch, weights: Path, folder: Path, models: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Make small models the released ones: with the released signatures, but other checksums and therefore pins.

    Returns the names of the files of each model.
    """
    (folder / "demucs").mkdir()
    text = adapter.WEIGHTS.read_text()
    pins: dict[str, list[str]] = {}
    for model, tiny in models.items():
        pins[model] = []
        for released, signature in zip(load(adapter.WEIGHTS).models[model], tiny, strict=True):
            (path,) = (weights / "demucs").glob(f"{signature}-*.th")
            name = path.name.replace(signature, released.partition("-")[0])
            shutil.copy(path, folder / "demucs" / name)
            text = text.replace(released, name).replace(released[9:-3], name[9:-3])
            pins[model].append(name)
    (folder / "weights.toml").write_text(text)
    settings.setattr(adapter, "WEIGHTS", folder / "weights.toml")
    settings.setattr("mssbench_service.model.weights_file", lambda _: folder / "weights.toml")
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(folder))
    settings.setenv("DEMUCS_MODEL", "")
    return pins


def test_the_error_names_a_damaged_checkpoint(own_weights: Path) -> None:
    damaged = next((own_weights / "demucs").glob("tinyft2-*.th"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(NotReady, match=damaged.name):
        ready("demucs")


def test_the_error_for_a_damaged_release_gives_the_command_that_fetches_it(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "demucs").mkdir()
    (tmp_path / "demucs" / "955717e8-8726e21a.th").write_bytes(b"not what was published")
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    settings.setenv("DEMUCS_MODEL", "htdemucs")
    with pytest.raises(NotReady, match=r"955717e8-8726e21a.th is damaged.*weights fetch demucs:htdemucs$"):
        ready("demucs")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"neither a bag mine\.yaml nor a checkpoint mine-"),
        (
            {"mine.yaml": "models: ['tinyft0', 'absent']"},
            r"absent-….th is missing; the model 'mine' needs it",
        ),
        ({"mine.yaml": "models: [["}, r"mine\.yaml is not a bag of models: ParserError"),
        ({"mine.yaml": "no models"}, r"mine\.yaml is not a bag of models: TypeError"),
        ({"mine.yaml": "models: tinyft0"}, r"mine\.yaml is not a bag of models: .* not a list"),
        ({"mine.yaml": "models: [1]"}, r"mine\.yaml is not a bag of models: .* not a list"),
        ({"mine.yaml": "models: ['tinyft0', 'tinysix']"}, "'mine' cannot be loaded from .*: AssertionError"),
        (
            {"mine.yaml": "models: [tinyft0]\nweights: [[1]]"},
            "'mine' cannot be loaded from .*: AssertionError",
        ),
        ({"mine-e3b0c442.th": ""}, "'mine' cannot be loaded from .*: EOFError"),
    ],
)
def test_the_error_names_a_file_that_is_not_a_model(
    settings: pytest.MonkeyPatch, own_weights: Path, files: dict[str, str], message: str
) -> None:
    for name, content in files.items():
        (own_weights / "demucs" / name).write_text(content)
    settings.setenv("DEMUCS_MODEL", "mine")
    with pytest.raises(NotReady, match=message) as caught:
        ready("demucs")
    assert str(own_weights) in caught.value.detail


@pytest.mark.parametrize(
    ("bag", "message"),
    [
        ("segment: 0", r"'mine' has segments of \[0\.0\] s"),
        ("segment: 1e9", r"'mine' has segments of \[1000000000\.0\] s"),
        ("weights: [[.nan, 1, 1, 1]]", "bag 'mine' are not finite"),
        ("weights: [[0, 1, 1, 1]]", "add up to 0"),
        ("weights: [[x, 1, 1, 1]]", "bag 'mine' cannot be used: ValueError"),
    ],
)
def test_a_bag_with_unusable_segments_or_weights_is_refused(
    settings: pytest.MonkeyPatch, own_weights: Path, bag: str, message: str
) -> None:
    (own_weights / "demucs" / "mine.yaml").write_text(f"models: [tinyhybrid]\n{bag}\n")
    settings.setenv("DEMUCS_MODEL", "mine")
    with pytest.raises(NotReady, match=message):
        ready("demucs")


def test_the_error_names_a_checkpoint_of_another_kind(
    settings: pytest.MonkeyPatch, own_weights: Path
) -> None:
    torch.save({"state": {}}, own_weights / "mine.th")
    (own_weights / "mine.th").rename(
        own_weights / "demucs" / f"mine-{sha256_of(own_weights / 'mine.th')[:8]}.th"
    )
    settings.setenv("DEMUCS_MODEL", "mine")
    with pytest.raises(NotReady, match=r"'mine' cannot be loaded from .*: KeyError 'klass'"):
        ready("demucs")


def test_a_model_of_another_rate_keeps_the_tracks_rate(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "demucs"
    folder.mkdir(parents=True)
    save(folder, "slow", HTDemucs, {"sources": list(SOURCES), **TRANSFORMER, "samplerate": 22050}, seed=1)
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path / "weights"))
    settings.setenv("DEMUCS_MODEL", "slow")
    sf.write(tmp_path / "track.wav", music(1.1).T, RATE, subtype="FLOAT")
    result = separate_track(ready("demucs"), "demucs", tmp_path / "track.wav", tmp_path / "stems")
    assert (result.sample_rate, result.samples) == (RATE, 48510)
    assert result.notes == ["resampled from 44100 Hz to 22050 Hz and back"]
    assert sf.info(str(tmp_path / "stems" / "vocals.wav")).frames == 48510


def test_an_unverified_checkpoint_is_refused(
    settings: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "demucs").mkdir()
    shutil.copy(next((weights / "demucs").glob("tinyft0-*.th")), tmp_path / "demucs" / "mine.th")
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    settings.setenv("DEMUCS_MODEL", "mine")
    settings.setattr(torch, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(NotReady, match="no checksum in its name"):
        ready("demucs")
