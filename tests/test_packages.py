"""Packages, wheels, citation and workflows: what a release consists of."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import trove_classifiers
import yaml

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = ("*/pyproject.toml", "services/*/pyproject.toml", "services/*/*/pyproject.toml")
FOLDERS = sorted(path.parent for pattern in PATTERNS for path in ROOT.glob(pattern))
NAMES = [str(folder.relative_to(ROOT)) for folder in FOLDERS]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
KILOBYTE = 1024


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    arguments = [str(part) for part in command]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=1500, **options)


def settings(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def package(folder: Path) -> Path:
    """The folder that is imported."""
    name: str
    (name,) = settings(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return folder / name


# Versions


@pytest.fixture
def versioned(tmp_path: Path) -> Path:
    """A copy of the files that contain the version, and of the tool that writes it."""
    for folder in FOLDERS:
        for path in (folder / "pyproject.toml", package(folder) / "__init__.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "set-version", tmp_path / "tools")
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    return tmp_path


def set_version(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, root / "tools" / "set-version", *arguments)


def test_all_packages_have_the_same_version() -> None:
    done = set_version(ROOT)
    assert done.returncode == 0, done.stderr
    imported = {
        re.findall(r'^__version__ = "(.*)"$', (package(folder) / "__init__.py").read_text(), re.MULTILINE)[0]
        for folder in FOLDERS
    }
    assert imported == {done.stdout.strip()}


def test_set_version_writes_every_place(versioned: Path) -> None:
    before = set_version(versioned).stdout.strip()
    done = set_version(versioned, "1.2.3rc1")
    assert (done.returncode, done.stdout) == (0, "1.2.3rc1\n"), done.stderr
    for path in filter(Path.is_file, versioned.rglob("*")):
        if path.parent.name != "tools":
            assert f'"{before}"' not in path.read_text(encoding="utf-8"), path
            assert f"=={before}" not in path.read_text(encoding="utf-8"), path


def test_a_package_with_another_version_is_named(versioned: Path) -> None:
    path = versioned / package(FOLDERS[0]).relative_to(ROOT) / "__init__.py"
    path.write_text('__version__ = "9.9.9"\n', encoding="utf-8")
    done = set_version(versioned)
    assert done.returncode == 1
    assert f"9.9.9: {path.relative_to(versioned)}" in done.stderr


def test_a_release_tag_is_the_version_after_a_v() -> None:
    version = set_version(ROOT).stdout.strip()
    assert set_version(ROOT, "--tag", f"v{version}").returncode == 0
    for tag in (version, "v9.9.9", f"v{version}.1", ""):
        done = set_version(ROOT, "--tag", tag)
        assert done.returncode == 1
        assert f"expected 'v{version}'" in done.stderr


@pytest.mark.parametrize("version", ["1", "v1.2.3", "1.2.3-beta", "latest"])
def test_what_is_not_a_version_is_refused(versioned: Path, version: str) -> None:
    done = set_version(versioned, version)
    assert done.returncode == 2
    assert set_version(versioned).returncode == 0


# Metadata


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_metadata_is_complete(folder: Path) -> None:
    project = settings(folder)["project"]
    assert project["license"] == "MIT"
    assert project["license-files"] == ["LICENSE"]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert len((folder / project["readme"]).read_text(encoding="utf-8")) > 50
    assert project["authors"] == [{"name": "Binaural MSS Bench developers"}]
    assert project["urls"]
    assert project["keywords"]
    assert set(project["classifiers"]) <= trove_classifiers.classifiers
    assert "Typing :: Typed" in project["classifiers"]
    assert (package(folder) / "py.typed").is_file()


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_packages_require_each_other_at_their_own_version(folder: Path) -> None:
    project = settings(folder)["project"]
    required = [*project["dependencies"], *project.get("optional-dependencies", {}).get("embedded", [])]
    ours = [name for name in required if re.match(r"mssbench-|binaural-metrics", name)]
    if folder.name == "template":  # its copies are released apart from this repository
        assert ours == ["mssbench-service"]
    else:
        version = set_version(ROOT).stdout.strip()
        assert all(name.endswith(f"=={version}") for name in ours), ours


def test_the_demo_lock_is_a_subset_of_the_development_lock() -> None:
    demo, development = (
        set(
            re.findall(
                r"^[a-z0-9.-]+==\S+", (ROOT / "orchestrator" / f"{name}.lock").read_text(), re.MULTILINE
            )
        )
        for name in ("demo", "development")
    )
    assert demo < development
    names = {line.split("==")[0] for line in demo}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "pandas", "museval", "s3fs", "botocore", "playwright"})


# Wheels


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All wheels and sdists, as ``make wheels`` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    # The environment is the one that runs this test: it is not brought up to date here.
    done = run(
        "make",
        "wheels",
        f"DIST={folder}",
        f"BIN={Path(sys.executable).parent}",
        "--old-file=.venv/.ready",
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.long
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_wheel_has_the_package_and_nothing_else(dist: Path, folder: Path) -> None:
    name = settings(folder)["project"]["name"].replace("-", "_")
    version = set_version(ROOT).stdout.strip()
    (path,) = dist.glob(f"{name}-*.whl")
    assert path.name == f"{name}-{version}-py3-none-any.whl"
    assert path.stat().st_size < 600 * KILOBYTE
    with zipfile.ZipFile(path) as wheel:
        files = set(wheel.namelist())
        metadata = email.message_from_bytes(wheel.read(f"{name}-{version}.dist-info/METADATA"))
    expected = {
        file.relative_to(folder).as_posix()
        for file in package(folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    information = {file for file in files if ".dist-info/" in file}
    assert files - information == expected
    assert not [file for file in files if "/tests/" in file]
    assert f"{name}-{version}.dist-info/licenses/LICENSE" in information
    check_metadata(metadata)


def check_metadata(metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Author"] == "Binaural MSS Bench developers"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Project-URL"]
    assert metadata["Keywords"]


@pytest.mark.long
def test_every_package_has_a_source_distribution_of_sensible_size(dist: Path) -> None:
    found = {path.name.rsplit("-", 1)[0]: path.stat().st_size for path in dist.glob("*.tar.gz")}
    assert sorted(found) == sorted(
        settings(folder)["project"]["name"].replace("-", "_") for folder in FOLDERS
    )
    assert all(size < 1000 * KILOBYTE for size in found.values()), found


class Bare:
    """A fresh virtual environment, into which the built wheels are installed."""

    def __init__(self, folder: Path, dist: Path) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        self._dist = dist
        # Nothing of the environment of this test: no path, no settings of the bench.
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MSSBENCH_"))
        }

    def run(self, *command: str, cwd: Path | None = None) -> str:
        done = run(self.bin / command[0], *command[1:], cwd=cwd or self.bin.parent, env=self._environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install(self, requirement: str) -> None:
        pip = ["pip", "install", "--quiet", "--disable-pip-version-check"]
        probe = run(
            *(self.bin / pip[0], *pip[1:], "--dry-run", "--no-deps", "--retries=0", "--timeout=20", "idna"),
            env=self._environment,
        )
        if probe.returncode:
            pytest.skip(f"no package index can be reached: {probe.stderr.strip().splitlines()[-1:]}")
        self.run(*pip, "--find-links", str(self._dist), requirement)

    def installed(self) -> set[str]:
        return {line.split("==")[0] for line in self.run("pip", "freeze").split()}


@pytest.mark.long
def test_binaural_metrics_installs_alone(dist: Path, tmp_path: Path) -> None:
    bare = Bare(tmp_path / "venv", dist)
    bare.install("binaural-metrics")
    assert bare.installed() == {"binaural-metrics", "numpy", "scipy", "threadpoolctl"}
    program = """
import sys
import binaural_metrics as bm
import numpy as np
stem = np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32)
scores = bm.score(stem, stem / 2, 44100)
print(bm.__version__, round(scores["level_db"], 2), "fastapi" in sys.modules)
"""
    version = set_version(ROOT).stdout.strip()
    assert bare.run("python", "-c", program).split() == [version, "-6.02", "False"]


@pytest.mark.long
def test_mssbench_installs_and_runs_in_a_bare_environment(dist: Path, tmp_path: Path) -> None:
    bare = Bare(tmp_path / "venv", dist)
    bare.install("mssbench[embedded]")
    assert bare.installed().isdisjoint({"pytest", "pandas", "museval", "mssbench-contract"})
    bare.run("pip", "check")
    version = set_version(ROOT).stdout.strip()
    assert bare.run("mssbench", "--version") == f"mssbench, version {version}\n"
    assert "--inline" in bare.run("mssbench", "demo", "--help")
    bare.run("mssbench", "data", "demo", "music", cwd=tmp_path)
    options = (
        "--dataset music --separators oracle-identity --conditions binaural --tracks 1 --no-bsseval --inline"
    )
    lines = bare.run("mssbench", "run", *options.split(), cwd=tmp_path).splitlines()
    assert (tmp_path / lines[-1].removeprefix("report: ")).is_file(), lines[-1]


# Citation


def test_the_citation_names_the_software_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # Required by the schema of the Citation File Format 1.2, and no key that it does not know.
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("title", "message", "authors"))
    known = {"abstract", "authors", "cff-version", "date-released", "doi", "keywords", "license", "message"}
    known |= {"preferred-citation", "title", "type", "url", "version"}
    assert set(citation) <= known
    assert citation["license"] == "MIT"
    paper = citation["preferred-citation"]
    assert all(paper[key] for key in ("type", "title", "authors"))
    assert [author["family-names"] for author in paper["authors"]] == ["Namballa", "Roginska", "Fuentes"]
    assert paper["identifiers"][0]["value"] == "arXiv:2507.00155"


# Workflows


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_workflows_call_existing_make_targets(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["name"]
    assert True in workflow  # YAML 1.1 reads the key `on` as a boolean
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert all(re.search(r"@(v\d+|release/v\d+)$", step["uses"]) for step in steps if "uses" in step)
    commands = [line for step in steps if "run" in step for line in step["run"].splitlines()]
    # Everything that a workflow does can be done by hand with make.
    assert all(re.match(r"make [a-z]", line) for line in commands), commands
    called = {match for line in commands for match in re.findall(r"^make ([a-z-]+)", line)}
    assert called <= make_targets()


def test_the_workflows_run_every_check() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    for target in (
        "lint",
        "test",
        "test-long",
        "test-separators",
        "test-compose",
        "docs",
        "wheels",
        "check-tag",
    ):
        assert re.search(rf"make {target}( |$)", text, re.MULTILINE), target
