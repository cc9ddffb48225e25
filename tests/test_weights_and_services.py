"""From a service without weights to separated stems, with real processes and downloads."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command, refused
from mssbench_contract import running
from mssbench_contract.files import FileServer, file_server
from mssbench_contract.server import wait_for

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server("model.bin", CONTENT) as files:
        yield files


ADAPTER = '''
"""A separator whose weights are a file: it scales the mixture by the file's first byte plus one."""
from mssbench_service.separation import Separator
from mssbench_service.musdb import STEMS
from mssbench_service.weights import require, sha256_of, weights_folder
from mssbench_service.wire import ModelCard
from pathlib import Path

class Scaled(Separator):
    description = "the mixture, scaled by its weights"
    gain = None

    def setup(self):
        require(Path(__file__).with_name("weights.toml"), weights_folder("scaled").parent)
        self.path = weights_folder("scaled") / "model.bin"
        self.gain = self.path.read_bytes()[0] + 1

    def separate(self, mixture, sample_rate):
        return {stem: mixture * self.gain for stem in STEMS}

    def card(self):
        return ModelCard("a gain", 12, "nothing", training_tracks=["musdb18:train"], licence="CC0")

    def details(self):
        if self.gain is None:
            return {}
        return {"model": "small", "weights": [{"file": self.path.name, "sha256": sha256_of(self.path)}]}

SEPARATORS = {"scaled": Scaled}
'''
APP = """
from mssbench_service.separator_app import create_separator_app
from . import SEPARATORS
app = create_separator_app("scaled", "1.0", SEPARATORS)
"""
PINS = """
service = "scaled"
default = "small"
[models]
small = ["model.bin"]
large = ["model.bin", "more.bin"]
[files."model.bin"]
url = "{url}"
sha256 = "{sha256}"
size = {size}
[files."more.bin"]
url = "{url}"
sha256 = "{sha256}"
"""


@pytest.fixture
def weights(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = workspace / "weights"
    monkeypatch.setenv("MSSBENCH_WEIGHTS_DIR", str(folder))
    return folder


@pytest.fixture
def packages(workspace: Path, weights: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register the package of the separator, without installing it."""
    package = workspace / "packages" / "scaled_service"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ADAPTER)
    (package / "app.py").write_text(APP)
    (package / "weights.toml").write_text(PINS.format(url=files.url, sha256=SHA256, size=len(CONTENT)))
    (workspace / "services.toml").write_text(
        '[tools]\nsynth = { module = "synth_service", url = "http://synth:8000" }\n'
        'evaluator = { module = "evaluator_service", url = "http://evaluator:8000" }\n'
        '[separators]\noracle = { module = "oracle_service", url = "http://oracle:8000" }\n'
        'scaled = { module = "scaled_service", url = "http://127.0.0.1:1" }\n'
    )
    monkeypatch.setenv("MSSBENCH_SERVICES", str(workspace / "services.toml"))
    return package.parent


@pytest.fixture
def installed(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the package on the path. Importing it fails, as with a broken library."""
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the tests compare the files of the workspace
    (packages / "scaled_service" / "__init__.py").write_text("raise RuntimeError('imported')")
    return packages


def test_weights_are_downloaded_over_a_connection_that_breaks(
    mssbench: Command, installed: Path, weights: Path, files: FileServer
) -> None:
    files.cut_after = 400_000
    done = mssbench("weights", "fetch", "scaled")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(weights / "scaled" / "model.bin")]
    assert (weights / "scaled" / "model.bin").read_bytes() == CONTENT
    assert len(files.requests) == 3
    verified = mssbench("weights", "verify", "scaled")
    assert verified.returncode == 0
    assert verified.stdout == "scaled small: all 1 files are intact\n"
    assert mssbench("weights", "fetch").returncode == 0, "all services: the files exist, and oracle has none"
    assert len(files.requests) == 3, "existing files are not downloaded again"


def test_another_model_is_chosen_by_name_or_option(
    mssbench: Command, installed: Path, weights: Path, files: FileServer
) -> None:
    assert "more.bin is missing" in mssbench("weights", "verify", "scaled:large").stdout
    for arguments in (["scaled:large"], ["scaled", "--model", "large"]):
        done = mssbench("weights", "fetch", *arguments, "--dest", "elsewhere")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["elsewhere/scaled/model.bin", "elsewhere/scaled/more.bin"]
    assert not weights.exists()


def test_a_model_that_cannot_be_fetched_does_not_keep_the_others(
    mssbench: Command, workspace: Path, installed: Path, weights: Path, files: FileServer
) -> None:
    services = workspace / "services.toml"
    services.write_text(
        services.read_text() + 'away = { module = "no_such_package", url = "http://127.0.0.1:1" }\n'
    )
    done = mssbench("weights", "fetch", "away", "scaled")
    assert "away: the package of away is not installed" in refused(done)
    assert (weights / "scaled" / "model.bin").read_bytes() == CONTENT
    assert f"scaled small: {files.url}" in done.stderr, "what is fetched is shown before the first byte"


def test_the_command_in_messages_is_that_of_the_reader(
    mssbench: Command, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSSBENCH_COMMAND", "docker compose exec orchestrator mssbench")
    listed = mssbench("weights", "verify", "scaled").stdout
    assert "get it with: docker compose exec orchestrator mssbench weights fetch scaled" in listed


def test_a_damaged_file_is_found(mssbench: Command, installed: Path, weights: Path) -> None:
    assert mssbench("weights", "fetch", "scaled").returncode == 0
    path = weights / "scaled" / "model.bin"
    path.write_bytes(b"?" + CONTENT[1:])
    done = mssbench("weights", "verify", "scaled")
    assert refused(done) == "mssbench: 1 files are missing or damaged"
    assert f"{path} is damaged" in done.stdout
    assert mssbench("weights", "fetch", "scaled").returncode == 0
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["weights", "fetch", "nonsense"], "unknown service 'nonsense'; registered: oracle, scaled"),
        (["weights", "fetch", "scaled:huge"], "scaled has no pinned model 'huge'; pinned: small, large"),
        (["weights", "fetch", "oracle"], "oracle pins no weights"),
        (["weights", "fetch", "--model", "large"], "--model needs the name of exactly one service"),
        (["weights", "fetch", "scaled", "--dest", "file/weights"], "file"),
        (["separate", "text.wav", "--separator", "oracle-mixtur"], "did you mean 'oracle-mixture'?"),
        (["separate", "text.wav", "--separator", "x", "--url", "http://127.0.0.1:1"], "does not answer"),
        (["separate", "text.wav", "--separator", "oracle-mixture", "-o", "music"], "no separation"),
        (["separate", "text.wav"], "--separator"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_requests_give_one_line(
    mssbench: Command, installed: Path, workspace: Path, arguments: list[str], says: str
) -> None:
    (workspace / "file").write_text("not a folder")
    (workspace / "text.wav").write_text("not audio")
    before = sorted(workspace.rglob("*"))
    assert says in refused(mssbench(*arguments))
    assert [path for path in sorted(workspace.rglob("*")) if "weights" not in path.parts] == before


def test_one_track_is_separated_in_this_process(mssbench: Command, workspace: Path) -> None:
    track = next(workspace.glob("music/test/*"))
    done = mssbench("separate", str(track / "mixture.wav"), "--separator", "oracle-mixture")
    assert done.returncode == 0, done.stderr
    stems = [f"separated/oracle-mixture/mixture/{stem}.wav" for stem in ("bass", "drums", "other", "vocals")]
    assert done.stdout.splitlines() == stems
    arguments = ["--separator", "oracle-irm", "--references", str(track), "-o", "irm"]
    assert mssbench("separate", str(track / "mixture.wav"), *arguments).returncode == 0
    assert (workspace / "irm" / "separation.json").is_file()


@pytest.mark.usefixtures("without_report")
def test_the_fetch_command_makes_a_service_ready_without_a_restart(
    mssbench: Command, workspace: Path, packages: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the service has the package: the command line gets the pins from the service."""
    environment = {"PYTHONPATH": str(packages), "MSSBENCH_WEIGHTS_DIR": str(weights)}
    mixture = str(next(workspace.glob("music/test/*/mixture.wav")))
    with running("scaled_service.app:app", os.environ | environment) as service:
        url = ["--url", service.url]
        line = refused(mssbench("separate", mixture, "--separator", "scaled", *url))
        assert "model.bin is missing" in line
        command = re.search(r"get it with: (mssbench .*)", line)
        assert command is not None
        monkeypatch.setenv("MSSBENCH_URL_SCALED", service.url)
        (before,) = [s for s in json.loads(mssbench("services", "--json").stdout) if s["name"] == "scaled"]
        assert (before["state"], before["where"]) == ("not ready", service.url)
        assert "get it with" in before["reason"]
        run = ["run", "--dataset", "music", "--conditions", "stereo", "--no-bsseval", "--inline"]
        without = mssbench(*run, "--run-id", "without", "--separators", "oracle-irm,scaled")
        assert without.returncode == 0, without.stderr
        assert "scaled is unavailable" in without.stderr

        done = mssbench(*shlex.split(command[1])[1:])
        assert done.returncode == 0, done.stderr
        wait_for(lambda: service.get("/health").status == 200)
        (after,) = [s for s in json.loads(mssbench("services", "--json").stdout) if s["name"] == "scaled"]
        assert after["state"] == "ready", after
        assert after["weights"] == [{"file": "model.bin", "sha256": SHA256}]
        table = mssbench("services").stdout
        card = after["cards"]["scaled"]
        assert card["training_tracks"] == ["musdb18:train"]
        line = "a gain; 12 parameters; vocals, drums, bass, other; trained on nothing; MUSDB18 test set in it: unknown"
        assert f"scaled: {line}; licence CC0\n" in table
        assert re.search(rf"scaled +ready +cpu +small +model\.bin {SHA256[:8]} +\S+ +{service.url}", table)
        separated = mssbench("separate", mixture, "--separator", "scaled", *url, "-o", "stems")
        assert separated.returncode == 0, separated.stderr

        # The service separates in its own process, and the run records the weights.
        within = mssbench(*run, "--run-id", "within", "--separators", "scaled")
        assert within.returncode == 0, within.stderr
    record = json.loads((workspace / "runs/within/run.json").read_text())
    (separator,) = record["separators"]
    assert separator["status"] == "available"
    assert separator["device"] == "cpu"
    assert {"stems": separator["stems"], **separator["card"]} == card
    assert separator["details"]["weights"] == [{"file": "model.bin", "sha256": SHA256}]
    for path in (workspace / "runs/within/cells").rglob("result.json"):
        assert json.loads(path.read_text())["details"]["weights"] == separator["details"]["weights"]
    (oracle, scaled) = json.loads((workspace / "runs/without/run.json").read_text())["separators"]
    assert (oracle["status"], scaled["status"]) == ("available", "unavailable")
    assert "mssbench weights fetch scaled" in scaled["reason"]
