"""Pinned weights: what a service requires, the weights folder, and the commands.

Wrong pins are in ``tests/bad_input``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mssbench_contract.files import FileServer
from mssbench_service import weights
from mssbench_service.errors import BadInput, NotFound, NotReady
from mssbench_service.weights import load, main, require

from .conftest import SHA256, Pins, fetch_quickly


def test_require_names_the_file_and_the_command(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    path = pins()
    path.write_text(
        path.read_text().replace('small = ["model.th"]', 'small = ["model.th"]\nlarge = ["model.th"]')
    )
    with pytest.raises(
        NotReady, match=r"demo/model\.th is missing; get it with: mssbench weights fetch demo$"
    ):
        require(path, tmp_path)
    with pytest.raises(NotReady, match=r"weights fetch demo:large$"):
        require(path, tmp_path, "large")
    fetch_quickly(path, tmp_path)
    require(path, tmp_path)
    (tmp_path / "demo" / "model.th").write_bytes(b"junk")
    with pytest.raises(NotReady, match="is damaged: its SHA-256 is"):
        require(path, tmp_path)
    with pytest.raises(NotFound, match="no pinned model 'huge'; pinned: small, large"):
        require(path, tmp_path, "huge")


def test_a_missing_weights_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.toml does not exist"):
        load(tmp_path / "none.toml")


def test_the_weights_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    assert weights.weights_folder("demo") == tmp_path / "demo"
    monkeypatch.setenv("MSSBENCH_WEIGHTS_DIR", f"{tmp_path / 'volume'}:{tmp_path / 'image'}")
    assert weights.weights_folder("demo") == tmp_path / "volume" / "demo"
    (tmp_path / "image" / "demo").mkdir(parents=True)
    assert weights.weights_folder("demo") == tmp_path / "image" / "demo"
    (tmp_path / "volume" / "demo").mkdir(parents=True)
    assert weights.weights_folder("demo") == tmp_path / "volume" / "demo"
    monkeypatch.delenv("MSSBENCH_WEIGHTS_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert weights.weights_folder() == Path("/cache/mssbench/weights")


def test_the_commands(
    server: FileServer, pins: Pins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, dest = str(pins()), str(tmp_path / "w")
    assert main(["verify", path, "--dest", dest]) == 1
    assert capsys.readouterr().out == "model.th is missing\n"
    assert main(["fetch", path, "--dest", dest]) == 0
    assert main(["verify", path, "--dest", dest]) == 0
    assert main(["fetch", path, "--dest", dest, "--model", "huge"]) == 1
    assert "no pinned model 'huge'" in capsys.readouterr().err


def test_without_a_published_checksum_the_first_download_decides(
    server: FileServer, pins: Pins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = pins(sha256=""), tmp_path / "demo"
    assert main(["fetch", str(path), "--dest", str(tmp_path)]) == 0
    assert f"no checksum is published; that of the first download is {SHA256}" in capsys.readouterr().out
    require(path, tmp_path)
    (folder / "model.th").write_bytes(b"junk")
    with pytest.raises(NotReady, match=r"model\.th is damaged: its SHA-256 is"):
        require(path, tmp_path)
    fetch_quickly(path, tmp_path)
    require(path, tmp_path)
    (folder / "model.th").unlink()
    server.content, server.etag = b"another file", '"two"'
    with pytest.raises(BadInput, match="is damaged: its SHA-256 is"):
        fetch_quickly(path, tmp_path)
    assert not (folder / "model.th").exists()


def test_models_of_the_user_are_fetched_and_required_like_pinned_ones(
    server: FileServer, pins: Pins, tmp_path: Path
) -> None:
    path, presets = pins(), tmp_path / "demo" / weights.PRESETS_FILE
    presets.parent.mkdir()
    presets.write_text(f'[models]\nmine = ["mine.th"]\n[files."mine.th"]\nurl = "{server.url}"\n')
    assert fetch_quickly(path, tmp_path, models=["mine"]) == [presets.parent / "mine.th"]
    require(path, tmp_path, "mine")
    assert list(load(path, tmp_path).models) == ["small", "mine"]
    assert list(load(path).models) == ["small"]
    for text, message in (
        ('[models]\nsmall = ["mine.th"]', r"presets\.toml has 'small', which the service pins"),
        ('[models]\nmine = ["mine.th"]', r"presets\.toml does not have the expected layout"),
        ("models = 3", r"presets\.toml does not have the expected layout"),
        ("= =", r"presets\.toml cannot be read"),
        (f'[models]\nmine = ["../m"]\n[files."../m"]\nurl = "{server.url}"', "is not a plain file name"),
    ):
        presets.write_text(text)
        with pytest.raises(BadInput, match=message):
            require(path, tmp_path)


SERVICES = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(SERVICES.glob("*/*_service/weights.toml")), ids=lambda p: p.parts[-3])
def test_the_pins_of_all_services_are_valid(path: Path) -> None:
    pins = load(path)
    assert pins.service == path.parts[-3]
    for model in pins.models:
        for weight in pins.of(model):
            assert len(weight.sha256) >= 8 or weight.name.endswith(".yaml")  # text, which runs no code
            assert weight.url.startswith("https://") or (weight.package and len(weight.sha256) == 64)
