"""The adapter in this process: sections of a track, settings, damaged files, errors of the library."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from make_checkpoint import make_full
from mssbench_contract import music
from mssbench_contract.model import ready
from mssbench_contract.server import http_server, send
from mssbench_service.audio import FloatArray
from mssbench_service.errors import NotReady
from mssbench_service.weights import fetch, sha256_of
from spleeter.separator import Separator as Library
from spleeter_service import adapter

RATE = 44100
RELEASED_4STEMS = "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8"
GROUP = 64 * 1024  # samples between the starts of two groups of T frames, in the small model


@pytest.fixture(scope="module")
def by_the_library(library: Library) -> list[tuple[FloatArray, dict[str, FloatArray]]]:
    """Tracks and the stems that the library computes from them."""
    lengths = (1, 2 * GROUP - 4095, 4 * GROUP + 777)  # among them: one frame more than two groups
    tracks = [music(samples / RATE, seed=samples) for samples in lengths]
    return [(track, library.separate(track.T)) for track in tracks]


@pytest.mark.parametrize("batch_size", ["1", "3"])
def test_sections_do_not_change_the_result(
    settings: pytest.MonkeyPatch,
    by_the_library: list[tuple[FloatArray, dict[str, FloatArray]]],
    batch_size: str,
) -> None:
    settings.setenv("SPLEETER_BATCH_SIZE", batch_size)
    separator = ready("spleeter")
    for track, expected in by_the_library:
        for stem, estimate in separator.separate(track, RATE).items():
            assert estimate.shape == track.shape
            np.testing.assert_allclose(estimate, expected[stem].T, rtol=0, atol=1e-5)


def test_only_one_section_is_processed_at_a_time(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("SPLEETER_BATCH_SIZE", "2")
    separator = ready("spleeter")
    session = tf.compat.v1.Session
    original, largest = session.run, []

    def run(self: object, fetches: object, feed: dict[object, FloatArray]) -> object:
        largest.append(max(np.size(value) for value in feed.values()) // 2)
        return original(self, fetches, feed)

    settings.setattr(session, "run", run)
    separator.separate(music(9 * GROUP / RATE), RATE)
    assert len(largest) == 5
    assert max(largest) <= 2 * GROUP + 4096


def test_a_released_model_is_fetched_unpacked_and_loaded(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An archive with the files and the size of the released one, but with other values and therefore another pin."""
    made = make_full(tmp_path / "made") / "full"
    packed = tmp_path / "4stems.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as archive:
        for path in sorted(made.iterdir()):
            archive.add(path, f"./{path.name}")
    toml = tmp_path / "weights.toml"
    with http_server(lambda handler: send(handler, packed.read_bytes())) as url:
        released = adapter.WEIGHTS.read_text()
        pinned = re.sub('url = ".*4stems.tar.gz"', f'url = "{url}/4stems.tar.gz"', released)
        toml.write_text(pinned.replace(RELEASED_4STEMS, sha256_of(packed)))
        (unpacked,) = fetch(toml, tmp_path / "weights")
    settings.setattr(adapter, "WEIGHTS", toml)
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path / "weights"))
    settings.setenv("SPLEETER_MODEL", "")
    separator = ready("spleeter")
    assert separator.details()["model"] == "spleeter:4stems"
    library = Library("spleeter:4stems", multiprocess=False)
    library._params["model_dir"] = str(made)
    track = music(1.0)
    expected = library.separate(track.T)
    for stem, estimate in separator.separate(track, RATE).items():
        np.testing.assert_allclose(estimate, expected[stem].T, rtol=0, atol=1e-5)
    (unpacked / "model.index").write_bytes(b"something else")
    with pytest.raises(NotReady, match=r"4stems.tar.gz is damaged: model.index has changed.*fetch spleeter$"):
        ready("spleeter")


def test_the_error_names_a_damaged_checkpoint(own_weights: Path) -> None:
    damaged = own_weights / "spleeter" / "tiny" / "model.data-00000-of-00001"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(NotReady, match=r"tiny/model is damaged"):
        ready("spleeter")
    damaged.unlink()
    with pytest.raises(NotReady, match=r"tiny/(model|checkpoint)"):
        ready("spleeter")
    shutil.rmtree(damaged.parent)
    with pytest.raises(NotReady, match=r"tiny/checkpoint is missing"):
        ready("spleeter")


def test_a_checkpoint_of_another_model_is_refused(own_weights: Path) -> None:
    config = own_weights / "spleeter" / "tiny.json"
    params = json.loads(config.read_text())
    params["model"] = {"type": "blstm.blstm", "params": {}}
    config.write_text(json.dumps(params))
    with pytest.raises(NotReady, match="damaged or not of this model"):
        ready("spleeter")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:50], r"'mine\.json' cannot be read: JSONDecodeError"),
        (lambda _: "[]", r"'mine\.json' cannot be read: TypeError"),
        (
            lambda text: text.replace("sample_rate", "x"),
            r"'mine\.json' cannot be read: KeyError 'sample_rate'",
        ),
        (lambda text: text.replace('"T"', '"x"'), "not of this model: KeyError 'T'"),
        (lambda text: text.replace('"mix_name"', '"x"'), "not of this model: KeyError 'mix_name'"),
        (
            lambda text: text.replace('"frame_step": 1024', '"frame_step": 1000'),
            "not a multiple of frame_step 1000",
        ),
        (
            lambda text: text.replace('"frame_step": 1024', '"frame_step": 0'),
            "not of this model: ZeroDivisionError",
        ),
        (
            lambda text: text.replace('"sample_rate": 44100', '"sample_rate": 0'),
            "'mine.json' has a sample rate of 0",
        ),
        (lambda text: text.replace('"bass"', "1"), "cannot be read: TypeError"),
        (lambda text: text.replace('"tiny"', '"tiny/.."'), "checkpoint is missing, or names no checkpoint"),
    ],
)
def test_an_invalid_configuration_is_refused(
    settings: pytest.MonkeyPatch, own_weights: Path, change: Callable[[str], str], message: str
) -> None:
    text = (own_weights / "spleeter" / "tiny.json").read_text()
    (own_weights / "spleeter" / "mine.json").write_text(change(text))
    settings.setenv("SPLEETER_MODEL", "mine.json")
    with pytest.raises(NotReady, match=message):
        ready("spleeter")
