"""Environments of services, made from their lock files. They are cached and used again while the lock is the same.

An environment holds what the lock pins. The service's own package and ``mssbench_service`` are read from their folders.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mssbench_service import weights as store
from mssbench_service.download import folder_lock
from mssbench_service.errors import BadInput, NotFound, StepFailed
from mssbench_service.files import make_folder
from mssbench_service.names import check_name, suggestion
from mssbench_service.separation import WEIGHTS_FILE

from .registry import Registry
from .weights import CHECKOUT_SERVICES

LOCK_FILE = "requirements.lock"
TORCH_FILE = "torch.txt"
"""PyTorch, which is installed first, from the index ``TORCH_INDEX_URL`` if that is set."""

PYTHON_VERSION = "3.11"
"""Version of Python that the lock files are for."""

Show = Callable[[str], None]
"""Called with a line that says what is being done."""


@dataclass(frozen=True)
class ServiceFolder:
    """Folder of a service, with its package `module`."""

    name: str
    path: Path
    module: str

    @property
    def import_path(self) -> str:
        """``PYTHONPATH`` of the service."""
        return os.pathsep.join((str(self.path), str(CHECKOUT_SERVICES / "base")))


def find_folder(name: str, registry: Registry) -> ServiceFolder:
    """The folder of a registered service in the checkout, or the folder that `name` is the path of.

    Raises
    ------
    NotFound
        There is no such folder.
    BadInput
        The folder has no ``<package>/app.py``, or several.
    """
    if not (CHECKOUT_SERVICES / "base").is_dir():
        raise NotFound(
            "services are started from a checkout of the bench, and this is an installed package; clone the "
            "repository, or use the composed system"
        )
    services = registry.services
    here = [one for one in services if (CHECKOUT_SERVICES / one).is_dir()]
    path = CHECKOUT_SERVICES / name if name in services else Path(name)
    if not path.is_dir():
        raise NotFound(
            f"there is no service and no folder {name!r}; services that can be started: {', '.join(here)}"
            f"{suggestion(name, here)}"
        )
    modules = [app.parent.name for app in path.glob("*/app.py")]
    if len(modules) != 1:
        raise BadInput(
            f"{path} has {len(modules) or 'no'} packages with an app.py; expected one, as services/template has"
        )
    path = path.resolve()
    return ServiceFolder(check_name(path.name, "service"), path, modules[0])


def require_weights(service: ServiceFolder, model: str) -> None:
    """Raise ``NotReady`` if the weights of a pinned model of `service` are missing or damaged.

    Raises
    ------
    NotFound
        The service pins no such model.
    """
    pins = service.path / service.module / WEIGHTS_FILE
    if not pins.is_file():
        raise NotFound(f"{service.name} pins no weights, so {service.name}:{model} names no model")
    store.require(pins, store.weights_folder(service.name).parent, model)


def environment_python(service: ServiceFolder, log: Path, show: Show, python: str = "") -> Path:
    """The interpreter in the environment of `service`, which is made if there is none for its lock.

    It appears complete or not at all. Packages that an interrupted attempt has downloaded are in pip's cache. The
    output of pip goes to `log`. `python` is the interpreter for a new environment; default: ``python3.11``.

    Raises
    ------
    NotFound
        There is no such interpreter.
    BadInput
        The folder does not name its packages, or the lock lacks one.
    StepFailed
        venv or pip failed.
    """
    requirements, locked = _requirements(service.path)
    chosen = _interpreter(python, locked)
    # An environment is for one interpreter: the home folder of a cluster is used by machines of several kinds.
    parts = "\0".join((*requirements, chosen, sysconfig.get_platform()))
    key = hashlib.sha256(parts.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mssbench" / "environments"
    folder = make_folder(cache / f"{service.name}-{key}")
    with folder_lock(folder):
        if not (folder / "venv" / "bin" / "python").exists():
            show(f"making the environment of {service.name}, once ({folder}; log: {log})")
            shutil.rmtree(folder / "venv", ignore_errors=True)  # its interpreter has been removed
            for interrupted in folder.glob("new-*"):
                shutil.rmtree(interrupted, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="new-", dir=folder) as temporary:
                _make(Path(temporary) / "venv", service, locked, requirements, chosen, log, show)
                (Path(temporary) / "venv").rename(folder / "venv")
    return folder / "venv" / "bin" / "python"


def _requirements(folder: Path) -> tuple[list[str], bool]:
    """Texts of the requirement files of a service, and whether they are locked.

    Without a lock, they are the dependencies of its ``pyproject.toml``.
    """
    project = folder / "pyproject.toml"
    own = _dependencies(project) if project.is_file() else []
    lock = folder / LOCK_FILE
    if not lock.is_file():
        if not project.is_file():
            raise BadInput(
                f"{folder} has neither {LOCK_FILE} nor pyproject.toml, which name the packages that it needs"
            )
        own += _dependencies(CHECKOUT_SERVICES / "base" / "pyproject.toml")
        return ["\n".join(dict.fromkeys(own))], False
    texts = [path.read_text(encoding="utf-8") for path in (folder / TORCH_FILE, lock) if path.is_file()]
    names = re.findall(r"^[\w.-]+(?=(?:\[[^]]*\])?==)", "\n".join(texts), re.MULTILINE)
    pinned = {_normal(name) for name in names}
    if missing := [one for one in own if _normal(re.split(r"[^\w.-]", one)[0]) not in pinned]:
        raise BadInput(
            f"{lock} has no {missing[0]}, which pyproject.toml needs; write it again (docs/adding-a-separator.md), or "
            "delete it to install the newest packages"
        )
    return texts, True


def _dependencies(project: Path) -> list[str]:
    try:
        found = tomllib.loads(project.read_text(encoding="utf-8"))["project"].get("dependencies", [])
        return [one for one in found if _normal(re.split(r"[^\w.-]", one)[0]) != "mssbench-service"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{project} cannot be read: {type(error).__name__}: {error}") from None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _interpreter(python: str, locked: bool) -> str:
    """Path of the interpreter for a new environment, on which a lock file can be installed."""
    here = sys.version_info[:2] == (3, 11) or not locked
    found = shutil.which(python or f"python{PYTHON_VERSION}")
    found = found or ("" if python or not here else sys.executable)
    version = _version(found) if found else ""
    if python and not version:
        raise NotFound(f"{python} is no Python that can be started")
    if locked and version != PYTHON_VERSION:
        there = f"{found} is {version}" if version else "there is none"
        raise NotFound(
            f"the environment needs Python {PYTHON_VERSION}, and {there}; install it, or name it with --python"
        )
    return found


@functools.cache
def _version(python: str) -> str:
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _make(
    venv: Path,
    service: ServiceFolder,
    locked: bool,
    requirements: list[str],
    python: str,
    log: Path,
    show: Show,
) -> None:
    pip = "-m pip install --disable-pip-version-check --no-input --progress-bar off"
    install = [str(venv / "bin" / "python"), *pip.split()]
    with log.open("w", encoding="utf-8") as file:

        def run(command: list[str], what: str) -> None:
            """Run a command, write its output to the log, and show the progress of pip."""
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", env={**os.environ, "PYTHONPATH": ""},
            ) as process:  # fmt: skip
                assert process.stdout is not None
                lines = []
                for line in process.stdout:
                    file.write(line)
                    lines.append(line.strip())
                    if line.startswith(("Collecting ", "Installing ")):
                        show(f"{service.name}: {line.partition(':')[0].strip()}")
            if process.returncode:
                raise StepFailed(f"{what} failed: {_reason(lines)}; log: {log}")

        run([python, "-m", "venv", "--clear", str(venv)], f"making an environment with {python}")
        for number, text in enumerate(requirements):
            path = venv / f"requirements-{number}.txt"
            path.write_text(text, encoding="utf-8")
            options = ["--no-deps", "--require-hashes"] if locked and "--hash=" in text else []
            if locked and not options and os.environ.get("TORCH_INDEX_URL"):
                options = ["--index-url", os.environ["TORCH_INDEX_URL"]]
            command = [*install, *options, "--requirement", str(path)]
            run(command, f"installing the packages of {service.name}")


def _reason(lines: Iterable[str]) -> str:
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors[-1] if errors else next((line for line in reversed([*lines]) if line), "no message"))[:300]
