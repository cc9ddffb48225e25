"""Files and settings that cannot be used, and those that can."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from make_checkpoint import configuration, make_model
from mssbench_contract.model import ready
from mssbench_service.errors import BadInput, NotReady, StepFailed
from mssbench_service.weights import sha256_of
from msst_service import adapter
from msst_service.checkpoint import read_config
from msst_service.stems import stem_names


@pytest.fixture
def own(settings: pytest.MonkeyPatch, weights: Path, tmp_path: Path) -> Path:
    """A copy of the small model, as a folder that is named by its path."""
    folder = tmp_path / "own"
    shutil.copytree(weights / "msst" / "tiny", folder)
    settings.setenv("MSST_MODEL", str(folder))
    return folder


def configure(folder: Path, **sections: Any) -> None:
    (folder / "config.yaml").write_text(yaml.dump(configuration("scnet", **sections)), encoding="utf-8")


def _truncate(folder: Path) -> None:
    path = folder / "model.ckpt"
    path.write_bytes(path.read_bytes()[:-1000])


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def _pickle(folder: Path) -> None:
    (folder / "model.ckpt").write_bytes(pickle.dumps(Trap(folder / "sprung"), protocol=2))


def _save_objects(folder: Path) -> None:
    state = torch.load(folder / "model.ckpt")
    torch.save({"state": state, "args": Trap(folder / "sprung")}, folder / "model.ckpt")


def _save_a_list(folder: Path) -> None:
    torch.save([1, 2], folder / "model.ckpt")


def _remove_a_tensor(folder: Path) -> None:
    state = torch.load(folder / "model.ckpt")
    state.pop("encoder.0.globalconv.bias")
    torch.save(state, folder / "model.ckpt")


def _add_a_tensor(folder: Path) -> None:
    torch.save({**torch.load(folder / "model.ckpt"), "extra.weight": torch.ones(1)}, folder / "model.ckpt")


def _of_another_target(folder: Path) -> None:
    state = torch.load(folder / "model.ckpt")
    meta = {"model_type": "scnet", "target_instrument": "drums"}
    torch.save({"model_state_dict": state, "meta": meta}, folder / "model.ckpt")


def _yaml(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "config.yaml").write_text(text, encoding="utf-8")

    return write


def _set(**sections: Any) -> Callable[[Path], None]:
    return lambda folder: configure(folder, **sections)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_truncate, r"model\.ckpt is damaged, or holds more than tensors"),
        (_pickle, r"model\.ckpt is damaged, or holds more than tensors"),
        (_save_objects, r"model\.ckpt is damaged, or holds more than tensors"),
        (_save_a_list, r"model\.ckpt holds no model"),
        (_remove_a_tensor, r"it lacks encoder\.0\.globalconv\.bias$"),
        (_add_a_tensor, r"it has the unknown tensor extra\.weight$"),
        (_of_another_target, r"its target_instrument is 'drums'; expected None"),
        (
            _set(model={"dims": [4, 8, 12]}),
            r"is of another model than config\.yaml: it has another shape of .* more$",
        ),
        (_set(model={"dims": 3}), r"config\.yaml does not describe a model: TypeError"),
        (_set(model={"unheard_of": 3}), r"config\.yaml does not describe a model: TypeError .*'unheard_of'"),
        (_yaml("a: [1"), r"config\.yaml cannot be read as YAML"),
        (_yaml("[" * 5000), r"config\.yaml cannot be read as YAML"),
        (
            _yaml("a: !!python/object/apply:os.system ['touch sprung']"),
            r"config\.yaml cannot be read as YAML",
        ),
        (_yaml("- 1"), r"config\.yaml is no YAML file of MSST"),
        (_yaml("model: {num_bands: 60}"), r"has no section 'training'"),
        (
            _set(training={"model_type": "apollo"}),
            r"the architecture apollo is not supported; supported: bs_roformer",
        ),
        (_set(training={"model_type": "scnet_tran"}), r"'scnet_tran'.*Supported as model_type: bs_roformer"),
        (_set(model=None), r"Cannot determine model_type"),
        (_set(training={"instruments": "vocals"}), r"training\.instruments is 'vocals'; expected a list"),
        (_set(training={"instruments": ["vocals", "Vocals"]}), r"two stems called 'vocals'"),
        (_set(training={"target_instrument": "piano"}), r"'piano', which is none of the instruments"),
        (_set(audio={"chunk_size": None}), r"audio\.chunk_size is None; expected a number"),
        (_set(audio={"chunk_size": 10**12}), r"audio\.chunk_size is 1000000000000"),
        (_set(audio={"sample_rate": 1e9}), r"audio\.sample_rate"),
        (_set(inference={"num_overlap": 0}), r"inference\.num_overlap is 0"),
        (_set(inference={"batch_size": 1.5}), r"inference\.batch_size is 1\.5; expected a whole number"),
        (lambda folder: (folder / "model.ckpt").unlink(), r"has 0 checkpoints \(\.ckpt, .*\); expected one"),
        (lambda folder: (folder / "b.yml").touch(), r"has 2 YAML files \(\.yaml, \.yml\); expected one"),
    ],
)
def test_the_error_names_the_file_that_cannot_be_used(
    own: Path, change: Callable[[Path], object], message: str
) -> None:
    change(own)
    with pytest.raises(NotReady, match=message) as caught:
        ready("msst")
    assert "\n" not in caught.value.detail
    assert not (own / "sprung").exists()
    assert not Path("sprung").exists()


def test_a_model_of_other_stems_than_the_yaml_file_is_an_error_during_setup(own: Path) -> None:
    configure(own, training={"instruments": ["vocals", "drums", "bass"]})
    with pytest.raises(StepFailed, match=r"shape \(1, 4, 2, 22016\); expected 3 stem\(s\)"):
        ready("msst")


def test_the_checkpoint_of_a_training_on_several_devices_is_loaded(own: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in torch.load(own / "model.ckpt").items()}
    checkpoint = {
        "model_state_dict": state,
        "epoch": 3,
        "optimizer_state_dict": {"lr": 0.1},
        "best_metric": 1.0,
    }
    torch.save({**checkpoint, "meta": {"model_type": "scnet"}}, own / "model.ckpt")
    assert ready("msst").stems == ("drums", "bass", "other", "vocals")


@pytest.mark.parametrize(
    ("training", "stems"),
    [
        ({"instruments": ["Vocals", "Instrumental"]}, ["vocals", "accompaniment"]),
        ({"instruments": ["vocals", "other"], "other_fix": True}, ["vocals", "accompaniment"]),
        (
            {"instruments": ["vocals", "drums", "other"], "other_fix": True},
            ["vocals", "drums", "accompaniment"],
        ),
        ({"instruments": ["vocals", "bass", "drums", "other"]}, ["vocals", "bass", "drums", "other"]),
        ({"instruments": ["Lead Guitar", "other"]}, ["lead_guitar", "no_lead_guitar"]),
        ({"instruments": ["speech", "music", "effects"], "other_fix": True}, ["speech", "music", "effects"]),
        ({"instruments": ["vocals", "music"]}, ["vocals", "accompaniment"]),
    ],
)
def test_stems_have_the_names_of_the_benchmark(training: dict[str, Any], stems: list[str]) -> None:
    names = stem_names(training["instruments"], other_fix=training.get("other_fix", False))
    assert names == stems


def test_numbers_and_tuples_are_read_as_in_msst(tmp_path: Path) -> None:
    text = yaml.dump(configuration("scnet", model={"windows": (1, 2)})) + "rate: 1e-3\n"
    assert "!!python/tuple" in text
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    values = read_config(tmp_path / "config.yaml").values
    assert values["model"]["windows"] == (1, 2)
    assert values["rate"] == 0.001


def test_a_preset_is_verified_and_described(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_model(tmp_path / "msst", "scnet")
    pins = "".join(
        f'[files."{path.name}"]\nurl = "http://localhost/x"\nsha256 = "{sha256_of(path)}"\n'
        for path in sorted((tmp_path / "msst").iterdir())
    )
    toml = tmp_path / "weights.toml"
    toml.write_text(
        'service = "msst"\ndefault = "small"\n[models]\nsmall = ["config.yaml", "model.ckpt"]\n'
        f'[cards.small]\ntraining_data = "noise"\n{pins}'
    )
    settings.setattr(adapter, "WEIGHTS", toml)
    settings.setattr("mssbench_service.model.weights_file", lambda separator: toml)
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    settings.setenv("MSST_MODEL", "")
    separator = ready("msst")
    assert separator.details()["model"] == "small"
    assert separator.card().training_data == "noise"
    (tmp_path / "msst" / "config.yaml").write_text("a: 1")
    with pytest.raises(NotReady, match=r"damaged.*mssbench weights fetch msst"):
        ready("msst")


def test_the_card_of_an_own_model_is_in_its_folder(own: Path) -> None:
    (own / "card.toml").write_text('training_tracks = ["A - B"]\nlicence = "CC0"')
    card = ready("msst").card()
    assert (card.training_tracks, card.licence, card.contains_test_set) == (["A - B"], "CC0", "unknown")
    assert card.architecture == "scnet"
    assert card.parameters
    (own / "card.toml").write_text('training_track = "A - B"')
    with pytest.raises(
        BadInput, match=r"card\.toml has the unknown key 'training_track'; known: architecture"
    ):
        ready("msst")
