"""Training on binaural songs with MSST itself, as in docs/training.md: a few steps of a tiny model on demo music."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import reference
import soundfile as sf
import yaml
from make_checkpoint import MUSDB, make_model
from mssbench_service.audio import FloatArray
from mssbench_service.cards import read_card
from mssbench_service.files import DataRoot
from mssbench_service.wire import RenderRequest
from msst_service import SEPARATORS
from msst_service.adapter import WEIGHTS
from msst_service.checkpoint import read_config
from pymss_core import get_model_from_config

REPOSITORY = Path(__file__).parents[3]
ANGLES = {"vocals": 0.0, "drums": 60.0, "bass": 330.0, "other": 270.0}
TRAINING = {
    "batch_size": 2,
    "num_epochs": 1,
    "num_steps": 25,
    "lr": 1e-2,
    "optimizer": "adam",
    "grad_clip": 0,
    "patience": 2,
    "reduce_factor": 0.95,
    "q": 0.95,
    "coarse_loss_clip": True,
}


def sdr(reference: FloatArray, estimate: FloatArray) -> float:
    return 10 * float(np.log10(np.square(reference).sum() / np.square(reference - estimate).sum()))


def scores(settings: pytest.MonkeyPatch, model: Path, song: Path) -> list[float]:
    """SDR of the model's estimates in dB, through the service."""
    settings.setenv("MSST_MODEL", str(model))
    separator = SEPARATORS["msst"]()
    separator.setup()
    mixture, rate = sf.read(song / "mixture.wav", dtype="float32")
    estimates = separator.separate(np.ascontiguousarray(mixture.T), rate)
    return [sdr(sf.read(song / f"{stem}.wav", dtype="float32")[0].T, estimates[stem]) for stem in MUSDB]


@pytest.fixture
def song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A song of the demo, rendered by the bench: what ``mssbench synth --split train`` writes."""
    for folder in ("orchestrator", "services/synth"):
        monkeypatch.syspath_prepend(REPOSITORY / folder)
    from mssbench.datasets.demo import write_demo
    from synth_service.steps import render

    (track,) = write_demo(tmp_path / "demo", tracks=1, seconds=3.0)
    out = f"songs/train/{track.name}"
    render(DataRoot(tmp_path), RenderRequest(str(track.relative_to(tmp_path)), out, "sphere", ANGLES))
    return tmp_path / out


def test_training_on_binaural_songs_improves_the_model_on_them(
    settings: pytest.MonkeyPatch, tmp_path: Path, song: Path
) -> None:
    untrained = make_model(
        tmp_path / "untrained", "scnet", training=TRAINING, inference={"normalize": False, "num_overlap": 1}
    )
    checkpoint = reference.train(untrained, song.parent, tmp_path / "results")
    trained = tmp_path / "trained"
    trained.mkdir()
    shutil.copy(untrained / "config.yaml", trained)
    shutil.copy(checkpoint, trained)
    before, after = scores(settings, untrained, song), scores(settings, trained, song)
    assert np.mean(after) > np.mean(before) + 3
    assert np.mean(after) > 0.5  # 0 dB: silence


def test_the_yaml_file_for_training_describes_the_released_stereo_model(tmp_path: Path) -> None:
    path = REPOSITORY / "docs/scnet_small_binaural.yaml"
    values = dict(read_config(path).values)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    model = get_model_from_config("scnet", tmp_path / "config.yaml")[0]
    card = read_card(WEIGHTS, tmp_path, "scnet_small_musdb")
    assert sum(parameter.numel() for parameter in model.parameters()) == card.parameters
