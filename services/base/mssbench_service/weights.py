"""Pinned model weights: fetched once, verified, and written atomically. Standard library only.

Each service has a ``weights.toml``::

    service = "demucs"
    default = "htdemucs_ft"                      # the model that is fetched by default

    [models]                                     # files of each model
    htdemucs_ft = ["f7e0c4bc-ba3fe64a.th"]

    [stems]                                      # optional; what a model estimates, where the service offers it by name
    htdemucs_ft = ["drums", "bass", "other", "vocals"]

    [files."f7e0c4bc-ba3fe64a.th"]
    url = "https://…"
    sha256 = "ba3fe64a"                          # optional; complete, or the published leading part
    size = 84141911                              # optional, bytes
    unpack = "4stems"                            # optional; a tar archive that is unpacked into this folder

Files are in ``<weights folder>/<service>/``. The weights folder is ``MSSBENCH_WEIGHTS_DIR``, or
``~/.cache/mssbench/weights``. The variable may list several folders, like ``PATH``; then the first one that has a
folder of the service is used. ``python -m mssbench_service.weights fetch path/to/weights.toml`` fills it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tarfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .download import LARGEST, Progress, RemoteFile, download, folder_lock, mismatch
from .download import sha256_of as sha256_of
from .errors import BadInput, BenchError, NotFound, NotReady
from .files import DataRoot, atomic_folder, make_folder, read_json, write_json
from .musdb import check_stem_names

UNPACKED_FILE = ".unpacked.json"
"""In an unpacked folder: size and SHA-256 of every file in it, and of the archive."""


@dataclass(frozen=True)
class Weight(RemoteFile):
    """One pinned file. `sha256` may be a leading part of the digest, or empty if none is published."""

    unpack: str = ""

    @property
    def local_name(self) -> str:
        """Name of the fetched file, or of the folder that it is unpacked into."""
        return self.unpack or self.name


@dataclass(frozen=True)
class Pins:
    """A parsed ``weights.toml``."""

    service: str
    default: str
    models: Mapping[str, tuple[str, ...]]
    files: Mapping[str, Weight]
    stems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, model: str = "") -> list[Weight]:
        """Return the files of `model` (default: the service's default model).

        Raises
        ------
        NotFound
            No model of that name is pinned; the message lists those that are.
        """
        model = model or self.default
        if model not in self.models:
            raise NotFound(f"{self.service} has no pinned model {model!r}; pinned: {', '.join(self.models)}")
        return [self.files[name] for name in self.models[model]]

    def command(self, model: str = "") -> str:
        """The command that fetches `model`."""
        suffix = "" if model in ("", self.default) else f":{model}"
        return f"mssbench weights fetch {self.service}{suffix}"


def load(weights_toml: Path) -> Pins:
    """Read and check a ``weights.toml``.

    Raises
    ------
    NotFound, BadInput
        It does not exist, or does not have the layout in the module's docstring.
    """
    try:
        text = tomllib.loads(weights_toml.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{weights_toml} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:  # not text, not TOML, or nested too deep
        raise BadInput(f"{weights_toml} cannot be read: {error}") from None
    try:
        files = {name: Weight(name=name, **entry) for name, entry in text["files"].items()}
        models = {model: tuple(names) for model, names in text["models"].items()}
        stems = {model: tuple(names) for model, names in text.get("stems", {}).items()}
        pins = Pins(text["service"], text["default"], models, files, stems)
        _check_name(pins.service)
        for name in (name for names in models.values() for name in names):
            _check(files[name])
        for model in ("", *stems):
            pins.of(model)
            check_stem_names(stems.get(model, ()), f"the model {model!r}")
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{weights_toml} does not have the expected layout: {error!r}") from None
    return pins


def _check_name(name: str) -> None:
    """Raise ``BadInput`` unless `name` is a plain file name: pins may come from a service over the network."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,199}", name, re.ASCII):
        raise BadInput(f"{name!r:.200} is not a plain file name")


def _check(weight: Weight) -> None:
    for name in (weight.name, weight.local_name):
        _check_name(name)
    if not re.fullmatch(r"https?://[^\s/]\S*", weight.url):
        raise BadInput(f"{weight.name} has the URL {weight.url!r}; expected http:// or https://")
    if not re.fullmatch(r"[0-9a-f]{0,64}", weight.sha256):
        raise BadInput(f"{weight.name} has the checksum {weight.sha256!r}; expected lowercase hexadecimal")
    if weight.size is not None and not (isinstance(weight.size, int) and weight.size >= 0):
        raise BadInput(f"{weight.name} has the size {weight.size!r}; expected a number of bytes")


def weights_folder(service: str = "") -> Path:
    """The weights folder, or that of `service`; see the module's docstring."""
    given = [
        Path(folder) for folder in os.environ.get("MSSBENCH_WEIGHTS_DIR", "").split(os.pathsep) if folder
    ]
    if not given:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "mssbench" / "weights" / service
    filled = (folder for folder in given if service and (folder / service).is_dir())
    return next(filled, given[0]) / service


# --- verifying ----------------------------------------------------------------------------------------


def verify(weights_toml: Path, dest: Path, models: Sequence[str] = ()) -> dict[str, str]:
    """What is wrong with the weights under `dest`, by file name; empty if every file is there and intact.

    Parameters
    ----------
    weights_toml
        The service's pins.
    dest
        The weights folder (the service's files are in a folder of its name below it).
    models
        Models to verify; default: the service's default model.
    """
    pins = load(weights_toml)
    folder = dest / pins.service
    found = {weight.name: _problem(weight, folder) for weight in _selected(pins, models)}
    return {name: problem for name, problem in found.items() if problem}


def require(weights_toml: Path, dest: Path, model: str = "") -> None:
    """Raise ``NotReady`` if a file is missing or damaged; the message names it and the command that fetches it."""
    pins = load(weights_toml)
    for name, problem in verify(weights_toml, dest, (model,)).items():
        raise NotReady(f"{dest / pins.service / name} {problem}; get it with: {pins.command(model)}")


def _selected(pins: Pins, models: Sequence[str]) -> list[Weight]:
    return list({weight.name: weight for model in models or ("",) for weight in pins.of(model)}.values())


def _problem(weight: Weight, folder: Path) -> str:
    path = folder / weight.local_name
    if weight.unpack:
        return _unpacked_problem(weight, path)
    if not path.is_file():
        return "is missing"
    return mismatch(weight, path)


def _unpacked_problem(weight: Weight, folder: Path) -> str:
    if not folder.is_dir():
        return "is missing"
    try:
        record = read_json(folder / UNPACKED_FILE)
        if not record["archive"].startswith(weight.sha256):
            return f"was unpacked from another archive than the one with SHA-256 {weight.sha256}"
        for name, expected in record["files"].items():
            path = folder / name
            if not path.is_file():
                return f"is damaged: {name} is missing"
            if sha256_of(path) != expected["sha256"]:
                return f"is damaged: {name} has changed since it was unpacked"
    except (BenchError, KeyError, TypeError, AttributeError):
        return f"is damaged: it has no readable {UNPACKED_FILE}"
    except (OSError, ValueError) as error:  # not a valid file name, or the file cannot be read
        return f"is damaged: {getattr(error, 'strerror', None) or error}"
    return ""


# --- fetching ---------------------------------------------------------------------------------------------


def fetch(
    weights_toml: Path,
    dest: Path,
    models: Sequence[str] = (),
    *,
    progress: Progress | None = None,
    pause: float = 1.0,
) -> list[Path]:
    """Download what is missing or damaged, verify it, and put it in place.

    An interrupted download is resumed, in this call or the next one. A file appears under its name only once it is
    complete and its checksum is right.

    Parameters
    ----------
    weights_toml, dest, models
        As for :func:`verify`.
    progress
        See :data:`Progress`.
    pause
        Seconds before the first retry; doubled after each one without progress.

    Returns
    -------
    list of Path
        All files and folders of the models.

    Raises
    ------
    Unreachable
        The server does not answer, or the connection keeps breaking. Received data are kept.
    NotFound
        The server has no such file.
    BadInput
        The received file does not match its pin (it is deleted), or `dest` cannot be written.
    """
    pins = load(weights_toml)
    folder = make_folder(dest / pins.service)
    kept = []
    with folder_lock(folder):
        for weight in _selected(pins, models):
            if _problem(weight, folder):
                _fetch_one(weight, folder, progress, pause)
            kept.append(folder / weight.local_name)
    return kept


def _fetch_one(weight: Weight, folder: Path, progress: Progress | None, pause: float) -> None:
    part = folder / f"{weight.name}.part"
    download(weight, part, progress=progress, pause=pause)
    if weight.unpack:
        try:
            _unpack(part, folder / weight.unpack)
        except BadInput:
            if not weight.sha256:  # a verified archive is correct: then the disk has failed
                part.unlink()
            raise
        part.unlink()
    else:
        os.replace(part, folder / weight.name)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of regular files into `folder`, which appears complete or not at all."""
    digest = sha256_of(archive)
    try:
        with atomic_folder(folder) as temporary, tarfile.open(archive) as tar:
            unpacked = 0
            for member in tar:
                unpacked += member.size
                if unpacked > LARGEST:
                    raise BadInput(f"{archive.name} unpacks to more than {LARGEST} bytes")
                if not member.isdir():
                    _extract(tar, member, DataRoot(temporary))
            contents = {
                path.relative_to(temporary).as_posix(): {
                    "size": path.stat().st_size,
                    "sha256": sha256_of(path),
                }
                for path in sorted(temporary.rglob("*"))
                if path.is_file() and path != temporary / UNPACKED_FILE
            }
            if not contents:
                raise BadInput(f"{archive.name} holds no files")
            write_json(temporary / UNPACKED_FILE, {"archive": digest, "files": contents})
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{archive.name} cannot be unpacked: {error}") from None


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: DataRoot) -> None:
    """Write one member inside `folder`. Python's own filters for this need version 3.11.4."""
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise BadInput(f"the archive holds {member.name!r}, which is not a regular file")
    path = folder.resolve(member.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)


# --- command line ----------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """``fetch`` or ``verify`` the weights that a ``weights.toml`` pins."""
    parser = argparse.ArgumentParser(prog="python -m mssbench_service.weights", description=main.__doc__)
    parser.add_argument("action", choices=("fetch", "verify"))
    parser.add_argument("weights_toml", type=Path)
    parser.add_argument("--model", action="append", default=[], help="pinned model (default: the service's)")
    parser.add_argument("--dest", type=Path, default=weights_folder(), help="weights folder (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        if options.action == "fetch":
            for path in fetch(options.weights_toml, options.dest, options.model, progress=_print_progress):
                print(path)
            return 0
        problems = verify(options.weights_toml, options.dest, options.model)
        for name, problem in problems.items():
            print(f"{name} {problem}")
        return 1 if problems else 0
    except BenchError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1


def _print_progress(name: str, done: int, total: int | None) -> None:
    if sys.stderr.isatty():
        share = f"{100 * done / total:3.0f} %" if total else f"{done / 1e6:.0f} MB"
        end = "\n" if done == total else ""
        print(f"\r{name} {share}".ljust(shutil.get_terminal_size().columns - 1), end=end, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
