"""The adapter in this process: windows, released files, settings, damaged files, errors of the library."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import openunmix
import pytest
import torch
from mssbench_contract import music
from mssbench_contract.model import ready
from mssbench_service.errors import BadInput, NotReady, StepFailed
from mssbench_service.musdb import STEMS
from mssbench_service.weights import load, sha256_of
from openunmix.predict import separate
from openunmix_service import adapter

RATE, HOP = 44100, 1024


# The window has 10 frames; a track has samples // HOP + 1 frames.
@pytest.mark.parametrize("frames", [3, 9, 10, 11, 13, 20, 21, 47])
@pytest.mark.parametrize("niter", ["0", "1"])
def test_windows_do_not_change_the_result(
    settings: pytest.MonkeyPatch, weights: Path, frames: int, niter: str
) -> None:
    settings.setenv("OPENUNMIX_WINDOW", "10")
    settings.setenv("OPENUNMIX_NITER", niter)
    track = music(1.2, seed=frames)[:, : (frames - 1) * HOP + 3 * frames]
    expected = separate(
        torch.from_numpy(track),
        rate=RATE,
        model_str_or_path=str(weights / "openunmix" / "tiny"),
        targets=list(STEMS),
        niter=int(niter),
        wiener_win_len=10,
        device="cpu",
    )
    for stem, estimate in ready("openunmix").separate(track, RATE).items():
        np.testing.assert_allclose(estimate, expected[stem][0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("targets", [["vocals"], ["bass", "vocals"]])
def test_a_subset_of_the_targets_is_that_of_the_library(
    settings: pytest.MonkeyPatch, weights: Path, tmp_path: Path, targets: list[str]
) -> None:
    """From a folder that has these targets only; the rest of the mixture is a source of the filter, and no stem."""
    folder = tmp_path / "openunmix" / "tiny"
    folder.mkdir(parents=True)
    for path in (weights / "openunmix" / "tiny").iterdir():
        if path.stem in ("separator", *targets):
            shutil.copy(path, folder)
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    settings.setenv("OPENUNMIX_TARGETS", " , ".join(targets))
    settings.setenv("OPENUNMIX_WINDOW", "10")
    track = music(1.2)
    for niter, residual in (("1", ""), ("0", "no")):
        settings.setenv("OPENUNMIX_NITER", niter)
        settings.setenv("OPENUNMIX_RESIDUAL", residual)
        separator = ready("openunmix")
        expected = separate(
            torch.from_numpy(track),
            rate=RATE,
            model_str_or_path=str(folder),
            targets=targets,
            residual=not residual,
            niter=int(niter),
            wiener_win_len=10,
            device="cpu",
        )
        estimates = separator.separate(track, RATE)
        assert list(estimates) == list(separator.stems) == targets
        assert separator.details()["settings"]["residual"] is not bool(residual)  # type: ignore[index]
        for stem, estimate in estimates.items():
            np.testing.assert_allclose(estimate, expected[stem][0].numpy(), rtol=0, atol=1e-6)


def test_windows_may_be_shorter_than_the_overlap_of_the_inverse_transform(
    settings: pytest.MonkeyPatch,
) -> None:
    settings.setenv("OPENUNMIX_NITER", "0")  # so that the filter does not depend on the length of the windows
    track = music(1.0)
    expected = ready("openunmix").separate(track, RATE)
    for length in ("1", "2", "3", "5", "6"):
        settings.setenv("OPENUNMIX_WINDOW", length)
        for stem, estimate in ready("openunmix").separate(track, RATE).items():
            np.testing.assert_allclose(estimate, expected[stem], rtol=0, atol=1e-6)


def test_a_released_model_is_loaded_by_the_library(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files with the released names and shapes, but with other values and therefore other pins."""
    folder = tmp_path / "openunmix"
    folder.mkdir()
    released = openunmix.umxhq(pretrained=False)
    pins = ['service = "openunmix"', 'default = "umxhq"', "[models]", "umxhq = ["]
    files = []
    for stem, model in released.target_models.items():
        path = folder / next(name for name in _released_names() if name.startswith(stem))
        torch.save(model.state_dict(), path)
        pins.append(f'  "{path.name}",')
        files.append(f'[files."{path.name}"]\nurl = "http://localhost/x"\nsha256 = "{sha256_of(path)}"')
    toml = tmp_path / "weights.toml"
    toml.write_text("\n".join([*pins, "]", *files]))
    settings.setattr(adapter, "WEIGHTS", toml)
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    settings.setenv("OPENUNMIX_MODEL", "")
    settings.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("tried to download"))
    os.chmod(folder, 0o555)
    hub = torch.hub.get_dir()
    separator = ready("openunmix")
    assert torch.hub.get_dir() == hub
    assert separator.details()["model"] == "umxhq"
    track = music(0.5)
    released.freeze()
    expected = released.to_dict(released(torch.from_numpy(track)[None]))
    for stem, estimate in separator.separate(track, RATE).items():
        np.testing.assert_allclose(estimate, expected[stem][0].numpy(), rtol=0, atol=1e-6)
    settings.setenv("OPENUNMIX_TARGETS", "bass")
    alone = ready("openunmix")
    loaded = alone.details()["weights"]
    assert [entry["file"][:5] for entry in loaded] == ["bass-"]  # type: ignore[attr-defined]
    assert list(alone.separate(track, RATE)) == ["bass"]
    settings.setenv("OPENUNMIX_TARGETS", "bass,piano")
    with pytest.raises(BadInput, match="names piano; the model 'umxhq' has vocals, drums, bass, other"):
        ready("openunmix")


def _released_names() -> list[str]:
    return [weight.name for weight in load(Path(adapter.__file__).with_name("weights.toml")).of()]


@pytest.mark.parametrize("samples", [1, 2, 2047, 2048, 2049])
def test_a_few_samples_can_be_separated(settings: pytest.MonkeyPatch, samples: int) -> None:
    for estimate in ready("openunmix").separate(music(1.0)[:, :samples], RATE).values():
        assert estimate.shape == (2, samples)
        assert np.isfinite(estimate).all()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _delete(path: Path) -> None:
    path.unlink()


def _make_a_pickle_that_runs_code(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {path.parent / 'sprung'}",)

    path.write_bytes(pickle.dumps(Trap(), protocol=2))


def _configure(folder: Path, **values: int) -> None:
    config = folder / "separator.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | values))


def _make_mono(path: Path) -> None:
    _configure(path.parent, nb_channels=1)


def _remove_a_layer(path: Path) -> None:
    torch.save({name: x for name, x in torch.load(path).items() if not name.startswith("fc2.")}, path)


def _truncate_the_json(path: Path) -> None:
    config = path.with_suffix(".json")
    config.write_text(config.read_text()[:20])


def _remove_the_arguments(path: Path) -> None:
    path.with_suffix(".json").write_text("{}")


def _delete_the_json(path: Path) -> None:
    path.with_suffix(".json").unlink()


def _add_another(path: Path) -> None:
    shutil.copy(path, path.with_name("bass-12345678.pth"))


def _save_something_else(path: Path) -> None:
    torch.save([1, 2, 3], path)


def test_an_impossible_sample_rate_is_refused(own_weights: Path) -> None:
    _configure(own_weights / "openunmix" / "tiny", sample_rate=-1)
    with pytest.raises(NotReady, match="'tiny' has a sample rate of -1 Hz"):
        ready("openunmix")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_truncate, r"bass\.pth is damaged"),
        (_delete, r"bass\.pth is missing"),
        (_add_another, r"bass\.pth is missing, or there are several"),
        (_make_a_pickle_that_runs_code, r"bass\.pth is damaged"),
        (_save_something_else, r"bass\.pth is damaged"),
        (_remove_a_layer, r"bass\.pth is damaged: it lacks fc2\.weight"),
        (_truncate_the_json, r"bass\.json is damaged"),
        (_remove_the_arguments, r"bass\.json is damaged: KeyError 'args'"),
        (_delete_the_json, r"bass\.json is missing"),
        (_make_mono, r"separator\.json is not for two channels"),
    ],
)
def test_the_error_names_the_file_that_cannot_be_used(
    own_weights: Path, change: object, message: str
) -> None:
    assert callable(change)
    folder = own_weights / "openunmix" / "tiny"
    change(folder / "bass.pth")
    with pytest.raises(NotReady, match=message) as caught:
        ready("openunmix")
    assert str(folder) in caught.value.detail
    assert not (folder / "sprung").exists()


def test_files_that_do_not_fit_together_are_an_error_during_setup(own_weights: Path) -> None:
    _configure(own_weights / "openunmix" / "tiny", nfft=2048)
    with pytest.raises(StepFailed, match="Open-Unmix failed: RuntimeError"):
        ready("openunmix")


def test_one_target_without_the_residual_cannot_be_filtered(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("OPENUNMIX_TARGETS", "drums")
    settings.setenv("OPENUNMIX_RESIDUAL", "no")
    with pytest.raises(BadInput, match="needs OPENUNMIX_NITER=0"):
        ready("openunmix")
