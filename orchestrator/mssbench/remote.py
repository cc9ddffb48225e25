"""A data root at a URL: the mirror that keeps it and the local data root alike.

``MSSBENCH_DATA_URL`` (or ``MSSBENCH_DATA_URL_FILE``) says where it is, and is all that another machine needs, beside
the URL of the Redis. What is there is the truth; the local data root is a cache of it, which one URL has for itself.

An object store cannot rename, but one object appears whole or not at all. So of a folder that a step made, the file
that makes it count (``metadata.json``, ``separation.json``) is sent last, after ``.manifest.json`` with the hashes of
the others: two machines that send the same folder at once may mix their files, and that is found before these are
used. Outcomes are sent before they are written here, so nothing counts here that does not count everywhere.

A file of the cache has the time of what it is a copy of, and in the nanoseconds a digest of its version (ETag): one
look tells whether it still is that copy, with no list of what is where that could be wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import posixpath
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mssbench_service.errors import (
    BadInput,
    BenchError,
    Conflict,
    NotFound,
    StorageAway,
)
from mssbench_service.files import make_folder, remove_folder, write_text, writing
from mssbench_service.separation import RECORD
from mssbench_service.tracks import MIXTURE, STEMS

from .mirror import Mirror
from .objects import Objects, Version
from .secret import secret
from .store import DELETED, Workspace

log = logging.getLogger("mssbench")

MANIFEST = ".manifest.json"
CACHE_MARK = ".mssbench-cache"
METADATA = "metadata.json"
FOLLOWED = "followed"
_STATE = frozenset(
    {"run.json", "cancelled", FOLLOWED, "report-problem.txt", "result.json", "error.json", RECORD}
)
_SMALL = _STATE | {METADATA}
_TOGETHER = 16
"""Small files are asked for so many at a time."""
_LOOK_SECONDS = 2.0
"""Between looks at a run that somebody follows; more where one look takes long."""

_AGAIN_SECONDS = (1.0, 2.0)
"""After which a folder is looked at again that changed while it was read."""

_BEAT_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
"""Whoever follows a run says so every ten seconds; after a minute without, another may."""


class RemoteMirror(Mirror):
    """Keeps the local folder `root` as what is at `url`.

    Raises
    ------
    BadInput
        The URL cannot be one, or `root` holds something else than a cache of it.
    NotReady
        What reads such URLs is not installed.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.root = root
        self.objects = Objects(url)
        self.url = self.objects.url
        self._refreshed: dict[str, tuple[float, float]] = {}
        self._followed: dict[str, threading.Event] = {}
        # Processes that share a cache exclude each other by its locks.
        self._name = f"{socket.gethostname()} {hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:8]}"
        self._claim()

    def _claim(self) -> None:
        mark = make_folder(self.root) / CACHE_MARK
        if mark.exists():
            if (of := mark.read_text(encoding="utf-8").strip()) != self.url:
                raise BadInput(
                    f"{self.root} is a cache of {of}, not of {self.url}; set another MSSBENCH_DATA_ROOT"
                )
        elif any(path.name != ".locks" and not path.name.startswith(".tmp-") for path in self.root.iterdir()):
            raise BadInput(
                f"{self.root} holds files of its own; with MSSBENCH_DATA_URL, expected MSSBENCH_DATA_ROOT "
                "to be an empty folder, or not to be set"
            )
        else:
            write_text(mark, f"{self.url}\n")

    def check(self, *, write: bool = False) -> None:
        """Ask whether the URL can be read, or also written.

        Raises
        ------
        StorageAway
            It does not answer, is not there, or lets nobody in.
        """
        if write:
            self.objects.write(CACHE_MARK, b"")
        else:
            self.objects.find(CACHE_MARK)  # `exists` would take every error for a no

    # -- paths -----------------------------------------------------------------------------------------------

    def named(self, value: str) -> str:
        inside = value.rstrip("/")
        for url in (self.objects.address, self.url):
            if inside.startswith(f"{url}/"):
                inside = inside.removeprefix(f"{url}/")
        inside = posixpath.normpath(inside)
        if "://" in value and inside == posixpath.normpath(value.rstrip("/")):
            raise BadInput(f"{value} is not under the data root {self.url}")
        if inside.startswith(("/", "..")) or inside == ".":
            raise BadInput(f"{value} is not under the data root {self.url}; expected a path relative to it")
        return inside

    def _reference(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _here(self, reference: str) -> Path:
        return self.root / reference

    @contextlib.contextmanager
    def _alone(self, reference: str) -> Iterator[None]:
        """One process of this machine at a time: the others find what the first one fetched."""
        folder = make_folder(self.root / ".locks")
        with (folder / hashlib.sha256(reference.encode()).hexdigest()[:32]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # -- fetching --------------------------------------------------------------------------------------------

    def fetch(self, *references: str) -> None:
        """See :meth:`Mirror.fetch`.

        Raises
        ------
        NotFound
            There is nothing there.
        StorageAway
            It cannot be read now; or a folder that a step made is not whole, and is to be made again.
        """
        for given in references:
            reference = posixpath.normpath(given)
            if reference.startswith(("/", "..")):
                raise BadInput(f"{given!r} leads outside the data root; expected a path relative to it")
            with self._alone(reference):
                self._fetch(reference)

    def _fetch(self, reference: str) -> None:
        for pause in (*_AGAIN_SECONDS, None):
            found = self.objects.find(reference)
            if not found:
                for marker in (METADATA, RECORD):
                    self._here(f"{reference}/{marker}").unlink(missing_ok=True)
                if reference.startswith(("runs/", "data/rendered/")):
                    raise StorageAway(f"{self.url}/{reference} is gone; it has to be made again")
                raise NotFound(f"there is nothing at {self.url}/{reference}")
            hashes = self._hashes(reference, found)
            wanted = {name: version for name, version in found.items() if name != MANIFEST}
            changed = [n for n, v in wanted.items() if not self._get(reference, n, v, hashes.get(n))]
            missing = hashes.keys() - wanted.keys()
            if not changed and not missing:
                self._tidy(self._here(reference), wanted)
                return
            if pause is not None:  # it changes while it is read: look again
                time.sleep(pause)
        for marker in (METADATA, RECORD):
            if marker in found and hashes:
                # Two machines made it at once, and one was killed. Without its marker it is made again.
                self.objects.delete(f"{reference}/{marker}")
                self._here(f"{reference}/{marker}").unlink(missing_ok=True)
        names = ", ".join(sorted({*changed, *missing}))
        raise StorageAway(f"{self.url}/{reference} is not whole ({names}); it has to be made again")

    def _hashes(self, reference: str, found: dict[str, Version]) -> dict[str, str]:
        if MANIFEST not in found:
            return {}
        content = self.objects.read(f"{reference}/{MANIFEST}")
        try:
            return {str(name): str(sha256) for name, sha256 in json.loads(content or b"{}").items()}
        except (ValueError, AttributeError):
            raise StorageAway(f"{self.url}/{reference}/{MANIFEST} cannot be read") from None

    def _get(self, reference: str, name: str, version: Version, sha256: str | None) -> bool:
        """Have one file here; False if what came is not what was listed."""
        path = self._here(f"{reference}/{name}" if name else reference)
        # Part of the stamp, for a file may stay while the manifest says that it should be another.
        stamp = (version if sha256 is None or name in _SMALL else version.with_hash(sha256)).stamp
        if _stamp_of(path) == (version.size, stamp):
            return True
        if sha256 is not None and _stamp_of(path)[0] == version.size and _sha256(path) == sha256:
            os.utime(path, ns=(stamp, stamp))
            return True
        remote = f"{reference}/{name}".rstrip("/")
        if path.is_dir():
            shutil.rmtree(path)
        with contextlib.suppress(_Changed), writing(path) as temporary:
            if not self.objects.download(remote, temporary):
                raise _Changed
            if temporary.stat().st_size != version.size:
                raise _Changed
            if sha256 is not None:
                if _sha256(temporary) != sha256:
                    raise _Changed
            elif self.objects.version(remote) != version:
                raise _Changed
            os.utime(temporary, ns=(stamp, stamp))
        return _stamp_of(path) == (version.size, stamp)

    def _tidy(self, folder: Path, wanted: Iterable[str]) -> None:
        """Remove what is in the cache and no longer at the URL."""
        if folder.is_dir():
            names = set(wanted)
            for path in folder.rglob("*"):
                inside = path.relative_to(folder)
                temporary = any(part.startswith(".tmp-") for part in inside.parts)
                if path.is_file() and not temporary and inside.as_posix() not in names:
                    path.unlink(missing_ok=True)

    def fetch_tracks(self, dataset: str, split: str, first: int | None) -> None:
        dataset = self.named(dataset)
        found = self.objects.find(dataset)
        files = {f"{name}.wav" for name in (MIXTURE, *STEMS)}
        titles = sorted(
            {
                parts[1]
                for name in found
                if len(parts := name.split("/")) == 3
                and parts[0] == split
                and parts[2] in files
                and not parts[1].startswith(".")
            }
        )
        if not titles:
            expected = f"{split}/<title>/{{{','.join((MIXTURE, *STEMS))}}}.wav"
            raise BadInput(
                f"{self.url}/{dataset} is no dataset in the MUSDB18-HQ layout; expected {expected}"
            )
        folder = self._here(f"{dataset}/{split}")
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name not in titles and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
        self.fetch(*(f"{dataset}/{split}/{title}" for title in titles[:first]))

    # -- the state of runs -----------------------------------------------------------------------------------

    def look(self, *references: str) -> None:
        begun = time.time()
        found = _together(self.objects.version, references)
        self._settle(
            references, {r: v for r, v in zip(references, found, strict=True) if v is not None}, begun
        )

    def _settle(self, here: Iterable[str], found: dict[str, Version], begun: float) -> None:
        """Have the small files `found` here, and none of `here` that was not found."""

        def get(reference: str) -> None:
            content = self.objects.read(reference)
            if content is not None:
                path, stamp = self._here(reference), found[reference].stamp
                with writing(path) as temporary:
                    temporary.write_bytes(content)
                    os.utime(temporary, ns=(stamp, stamp))

        stale = [r for r, v in found.items() if _stamp_of(self._here(r)) != (v.size, v.stamp)]
        _together(get, stale)
        for reference in here:
            if reference not in found:
                path = self._here(reference)
                # What another process wrote since the look counts: it was sent before.
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_ctime < begun:
                        path.unlink()

    def refresh(self, run_id: str, *, at_once: bool = True) -> None:
        ended, took = self._refreshed.get(run_id, (float("-inf"), 0.0))
        begun = time.monotonic()
        if not at_once and begun - ended < max(_LOOK_SECONDS, 5 * took):
            return
        try:
            self._refresh(run_id)
        finally:
            self._refreshed[run_id] = (time.monotonic(), time.monotonic() - begun)

    def _refresh(self, run_id: str) -> None:
        begun = time.time()
        top = f"runs/{run_id}"
        found = {
            f"{top}/{name}": version
            for name, version in self.objects.find(top).items()
            if posixpath.basename(name) in _STATE and not name.startswith("report/")
        }
        self._settle(self._state_here(top), found, begun)
        begun = time.time()
        markers = [f"{folder}/{METADATA}" for folder in self._rendered_of(top)]
        if markers:
            rendered = {f"data/rendered/{name}": v for name, v in self.objects.find("data/rendered").items()}
            self._settle(markers, {m: rendered[m] for m in markers if m in rendered}, begun)

    def _state_here(self, top: str) -> list[str]:
        return [
            self._reference(Path(folder) / name)
            for folder, _, names in os.walk(self._here(top))
            for name in names
            if name in _STATE and ".tmp-" not in folder
        ]

    def _rendered_of(self, top: str) -> list[str]:
        try:
            record = json.loads(self._here(f"{top}/run.json").read_text(encoding="utf-8"))
            folders = [track["folders"].get("binaural") for track in record["tracks"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []  # whoever reads the record says what is wrong with it
        return [folder for folder in folders if folder]

    def refresh_names(self) -> None:
        names = self.objects.names("runs")
        names |= {path.parent.name for path in self._here("runs").glob("*/run.json")}
        self.look(*(f"runs/{name}/run.json" for name in sorted(names) if not name.startswith((".", DELETED))))

    def claim(self, run_id: str) -> None:
        """See :meth:`Mirror.claim`.

        Raises
        ------
        Conflict
            Somebody with another cache follows the run.
        """
        self.look(f"runs/{run_id}/{FOLLOWED}")
        if self.followed(run_id):
            by = self._here(f"runs/{run_id}/{FOLLOWED}").read_text(encoding="utf-8").partition(" ")[0]
            raise Conflict(
                f"run {run_id} is being run by {by}; if that has died, it is free "
                f"{_SILENCE_SECONDS:g} seconds after its last sign of life"
            )
        self._beat(run_id)
        stop = threading.Event()
        self._followed[run_id] = stop
        threading.Thread(target=self._beats, args=(run_id, stop), name="followed", daemon=True).start()

    def release(self, run_id: str) -> None:
        if stop := self._followed.pop(run_id, None):
            stop.set()
            with contextlib.suppress(StorageAway):  # then it expires
                self.objects.delete(f"runs/{run_id}/{FOLLOWED}")

    def followed(self, run_id: str) -> bool:
        path = self._here(f"runs/{run_id}/{FOLLOWED}")
        try:
            recently = time.time() - path.stat().st_mtime < _SILENCE_SECONDS
            return recently and path.read_text(encoding="utf-8") != self._name
        except OSError:
            return False

    def _beat(self, run_id: str) -> None:
        self.objects.write(f"runs/{run_id}/{FOLLOWED}", self._name.encode())

    def _beats(self, run_id: str, stop: threading.Event) -> None:
        while not stop.wait(_BEAT_SECONDS):
            try:
                self._beat(run_id)
            except (BenchError, OSError) as error:
                log.warning("%s", error)

    # -- sending ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, reference: str, marker: str) -> Iterator[str]:
        """See :meth:`Mirror.writing`. It is written elsewhere in the cache, and here only once it was sent."""
        parent, name = posixpath.split(reference)
        place = f"{parent}/.tmp-{secrets.token_hex(8)}"
        try:
            yield f"{place}/{name}"
            self._deliver(self._here(f"{place}/{name}"), reference, marker)
        finally:
            shutil.rmtree(self._here(place), ignore_errors=True)

    def _deliver(self, made: Path, reference: str, marker: str) -> None:
        if self.objects.version(f"{reference}/{marker}") is None:
            names = sorted(p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file())
            manifest = {name: _sha256(made / name) for name in names}
            for name in names:
                if name != marker:
                    self.objects.put(f"{reference}/{name}", made / name)
            self.objects.put(f"{reference}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
            self.objects.put(f"{reference}/{marker}", made / marker)
            with self._alone(reference):
                here = self._here(reference)
                remove_folder(here)
                made.rename(here)
        else:  # another was first, whose work stands
            self.look(f"{reference}/{marker}")

    def push(self, reference: str) -> None:
        path = self._here(reference)
        if not path.is_dir():
            if path.exists():
                self.objects.put(reference, path)
            return
        names = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        for name in sorted(names, key=lambda name: (name == "index.html", name)):
            self.objects.put(f"{reference}/{name}", path / name)
        for name in self.objects.find(reference).keys() - names:
            self.objects.delete(f"{reference}/{name}")

    def write_json(self, path: Path, value: Any) -> None:
        # As `files.write_json` does; sent first, so that nothing counts here that does not count everywhere.
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        self.objects.put(self._reference(path), text.encode())
        write_text(path, text)

    def touch(self, path: Path) -> None:
        self.objects.put(self._reference(path), b"")
        make_folder(path.parent)
        path.touch()

    def unlink(self, path: Path) -> None:
        self.objects.delete(self._reference(path))
        path.unlink(missing_ok=True)

    def remove(self, reference: str, first: str) -> None:
        self.objects.delete(f"{reference}/{first}")
        _together(self.objects.delete, [f"{reference}/{name}" for name in self.objects.find(reference)])


class _Changed(Exception):
    """What was fetched is not what had been listed."""


def _together(do: Callable[[str], Any], references: Iterable[str]) -> list[Any]:
    references = list(references)
    if len(references) < 2:
        return [do(reference) for reference in references]
    with ThreadPoolExecutor(min(_TOGETHER, len(references))) as pool:
        return list(pool.map(do, references))


def _stamp_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_url() -> str:
    """The URL of the data root; empty if that is a folder."""
    return secret("MSSBENCH_DATA_URL")


def open_workspace() -> Workspace:
    """The data root that the environment names: ``MSSBENCH_DATA_URL``, ``MSSBENCH_DATA_ROOT``, or here.

    With a URL, ``MSSBENCH_DATA_ROOT`` is its cache (default: a folder of its own under the user's cache).

    Raises
    ------
    BadInput, NotReady
        See :class:`RemoteMirror`.
    """
    url, root = data_url(), os.environ.get("MSSBENCH_DATA_ROOT", "")
    if not url:
        return Workspace(Path(root or Path.cwd()))
    mirror = _mirror(url, root)
    return Workspace(mirror.root, mirror)


@functools.lru_cache(maxsize=4)
def _mirror(url: str, root: str) -> RemoteMirror:
    return RemoteMirror(url, Path(root).absolute() if root else default_cache(url))


def default_cache(url: str) -> Path:
    """The cache of `url`, for whoever names none."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mssbench" / hashlib.sha256(url.encode()).hexdigest()[:16]
