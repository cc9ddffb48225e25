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
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mssbench_service.errors import (
    BadInput,
    NotFound,
    StorageUnavailable,
)
from mssbench_service.files import atomic_file, make_folder, remove_folder, write_text
from mssbench_service.musdb import MIXTURE, STEMS
from mssbench_service.separation import SEPARATION_FILE

from .following import FOLLOWED, Following
from .formats import ERROR, RESULT, RUN
from .looks import LOOK_SECONDS, QUIET_SECONDS, Looks, Seen
from .mirror import Mirror
from .objects import Objects, Version
from .outlines import outline
from .secret import secret
from .store import DELETED, LAUNCHED, Workspace

log = logging.getLogger("mssbench")

MANIFEST = ".manifest.json"
CACHE_MARK = ".mssbench-cache"
METADATA = "metadata.json"
_STATE = frozenset(
    {
        RUN.name,
        "cancelled",
        LAUNCHED,
        FOLLOWED,
        "report-problem.txt",
        RESULT.name,
        ERROR.name,
        SEPARATION_FILE,
    }
)
_SMALL = _STATE | {METADATA}
_TOGETHER = 16
"""Small files are asked for so many at a time."""
_AGAIN_SECONDS = (1.0, 2.0)
"""After which a folder is looked at again that changed while it was read."""

OUTLINES = ".outlines"
"""Where in the cache tracks lie without their samples."""

_RENDERED = "data/rendered"

SERVED = ".served"
"""Where in the cache files lie that came out of runs, for whoever asks the service for them."""


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
        self._following = Following(self.objects, root, self.look)
        self._looks: dict[str, Looks] = {}
        self._seen: dict[str, Seen] = {}
        self._away = (float("-inf"), "")
        self._named = float("-inf")
        self._rendered: tuple[float, dict[str, Version]] = (0.0, {})
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
        StorageUnavailable
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
        StorageUnavailable
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
                for marker in (METADATA, SEPARATION_FILE):
                    self._here(f"{reference}/{marker}").unlink(missing_ok=True)
                if reference.startswith(("runs/", "data/rendered/")):
                    raise StorageUnavailable(f"{self.url}/{reference} is gone; it has to be made again")
                raise NotFound(f"there is nothing at {self.url}/{reference}")
            hashes = self._hashes(reference, found)
            wanted = {name: version for name, version in found.items() if name != MANIFEST}
            changed = [n for n, v in wanted.items() if not self._get_one(reference, n, v, hashes.get(n))]
            missing = hashes.keys() - wanted.keys()
            if not changed and not missing:
                self._tidy(self._here(reference), wanted)
                return
            if pause is not None:  # it changes while it is read: look again
                time.sleep(pause)
        for marker in (METADATA, SEPARATION_FILE):
            if marker in found and hashes:
                # Two machines made it at once, and one was killed. Without its marker it is made again.
                self.objects.delete(f"{reference}/{marker}")
                self._here(f"{reference}/{marker}").unlink(missing_ok=True)
        names = ", ".join(sorted({*changed, *missing}))
        raise StorageUnavailable(f"{self.url}/{reference} is not whole ({names}); it has to be made again")

    def _get_one(self, folder: str, name: str, version: Version, sha256: str | None) -> bool:
        reference = f"{folder}/{name}" if name else folder
        return self._get(reference, self._here(reference), version, sha256)

    def _hashes(self, reference: str, found: dict[str, Version]) -> dict[str, str]:
        if MANIFEST not in found:
            return {}
        content = self.objects.read(f"{reference}/{MANIFEST}")
        try:
            return {str(name): str(sha256) for name, sha256 in json.loads(content or b"{}").items()}
        except (ValueError, AttributeError):
            raise StorageUnavailable(f"{self.url}/{reference}/{MANIFEST} cannot be read") from None

    def _get(self, reference: str, path: Path, version: Version, sha256: str | None = None) -> bool:
        """Have the file `reference` at `path`; False if what came is not what was listed."""
        # Part of the stamp, for a file may stay while the manifest says that it should be another.
        stamp = (version if sha256 is None or path.name in _SMALL else version.with_hash(sha256)).stamp
        if _stamp_of(path) == (version.size, stamp):
            return True
        if sha256 is not None and _stamp_of(path)[0] == version.size and _sha256(path) == sha256:
            os.utime(path, ns=(stamp, stamp))
            return True
        if path.is_dir():
            shutil.rmtree(path)
        with contextlib.suppress(_Changed), atomic_file(path) as temporary:
            if not self.objects.download(reference, temporary) or temporary.stat().st_size != version.size:
                raise _Changed
            if sha256 is not None:
                if _sha256(temporary) != sha256:
                    raise _Changed
            elif self.objects.version(reference) != version:
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

    def outlines(self, dataset: str, split: str, first: int | None) -> Path:
        dataset = self.named(dataset)
        files = {f"{name}.wav" for name in (MIXTURE, *STEMS)}
        found = {
            name: version
            for name, version in self.objects.find(dataset).items()
            if len(parts := name.split("/")) == 3
            and parts[0] == split
            and parts[2] in files
            and not parts[1].startswith(".")
        }
        titles = sorted({name.split("/")[1] for name in found})
        if not titles:
            expected = f"{split}/<title>/{{{','.join((MIXTURE, *STEMS))}}}.wav"
            raise BadInput(
                f"{self.url}/{dataset} is no dataset in the MUSDB18-HQ layout; expected {expected}"
            )
        folder = f"{OUTLINES}/{dataset}"

        def get(name: str) -> None:
            path, version = self._here(f"{folder}/{name}"), found[name]
            if _stamp_of(path) != (version.size, version.stamp):
                outline(self.objects, f"{dataset}/{name}", version, path)

        wanted = set(titles[:first])
        with self._alone(folder):
            _together(get, [name for name in found if name.split("/")[1] in wanted])
            self._tidy(self._here(f"{folder}/{split}"), {name.partition("/")[2] for name in found})
        return self._here(folder)

    def data_files(self) -> list[str]:
        folders = [f"data/{name}" for name in self.objects.names("data") if f"data/{name}" != _RENDERED]
        return [f"{folder}/{name}".rstrip("/") for folder in folders for name in self.objects.find(folder)]

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
                with atomic_file(path) as temporary:
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
        self._sometimes(run_id, lambda: self._refresh(run_id, at_once), at_once)
        if run_id not in self._seen:  # there is no such run: anybody may ask for any number of these
            self._looks.pop(run_id, None)

    def _sometimes(self, what: str, look: Callable[[], None], at_once: bool) -> None:
        """:class:`Looks`. While the URL does not answer, not everybody who asks is to wait for that."""
        until, detail = self._away
        if not at_once and time.monotonic() < until:
            raise StorageUnavailable(detail)
        begun = time.monotonic()
        try:
            self._looks.setdefault(what, Looks()).look(look, at_once)
        except StorageUnavailable as error:
            now = time.monotonic()
            self._away = (now + max(LOOK_SECONDS, now - begun), error.detail)
            raise
        self._away = (float("-inf"), "")

    def _refresh(self, run_id: str, closely: bool) -> None:
        top, seen = f"runs/{run_id}", self._seen.get(run_id)
        if not closely and seen is not None and seen.still_so(self.objects.files(top)):
            return
        begun = time.time()
        found = self.objects.find(top)
        state = {
            f"{top}/{name}": version
            for name, version in found.items()
            if posixpath.basename(name) in _STATE and not name.startswith("report/")
        }
        self._settle(self._state_here(top), state, begun)
        if RUN.name in found:
            self._seen[run_id] = Seen(found)
        else:
            self._seen.pop(run_id, None)
        if markers := [f"{folder}/{METADATA}" for folder in self._rendered_of(top)]:
            self._sometimes(_RENDERED, self._list_renderings, closely)
            begun, rendered = self._rendered
            self._settle(markers, {m: rendered[m] for m in markers if m in rendered}, begun)

    def _list_renderings(self) -> None:
        # Once for all runs: that is one list of many, not many of which each asks for one.
        begun = time.time()
        found = self.objects.find(_RENDERED)
        self._rendered = (
            begun,
            {f"{_RENDERED}/{n}": v for n, v in found.items() if posixpath.basename(n) == METADATA},
        )

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

    def refresh_names(self, *, at_once: bool = True) -> None:
        self._sometimes("", lambda: self._refresh_names(at_once), at_once)

    def _refresh_names(self, closely: bool) -> None:
        there = {name for name in self.objects.names("runs") if not name.startswith((".", DELETED))}
        here = {path.parent.name for path in self._here("runs").glob(f"*/{RUN.name}")}
        closely = closely or time.monotonic() - self._named > QUIET_SECONDS
        names = there | here if closely else there ^ here
        self.look(*(f"runs/{name}/{file}" for name in sorted(names) for file in (RUN.name, LAUNCHED)))
        if closely:
            self._named = time.monotonic()

    def stamp(self, path: Path) -> int:
        version = self._made(path)
        return 0 if version is None else version.stamp

    def _made(self, path: Path) -> Version | None:
        _, run_id, name = self._reference(path).split("/", 2)
        return self._seen[run_id].made.get(name) if run_id in self._seen else None

    def current(self, path: Path) -> Path:
        """See :meth:`Mirror.current`. A copy for itself: the file in the run directory may be about to be sent."""
        reference = self._reference(path)
        copy = self._here(f"{SERVED}/{reference}")
        for _ in (*_AGAIN_SECONDS, None):
            version = self._made(path)
            if version is None:
                copy.unlink(missing_ok=True)
                return copy
            with self._alone(posixpath.dirname(reference)):
                if self._get(reference, copy, version):
                    return copy
            self.refresh(reference.split("/")[1])
        raise StorageUnavailable(f"{self.url}/{reference} changes while it is read")

    def claim(self, run_id: str) -> None:
        """See :meth:`Mirror.claim`.

        Raises
        ------
        Conflict
            Somebody with another cache follows the run.
        """
        self._following.claim(run_id)

    def claimed(self, run_id: str) -> bool:
        return self._following.mine(run_id)

    def release(self, run_id: str) -> None:
        self._following.release(run_id)

    def followed(self, run_id: str) -> bool:
        return bool(self._following.by_another(run_id))

    def taken_up(self, run_id: str) -> float:
        return self._following.since(run_id)

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

    def write_text(self, path: Path, text: str) -> None:
        # Sent first, so that nothing counts here that does not count everywhere.
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
        names = [f"{reference}/{name}" for name in self.objects.find(reference)]
        markers = [name for name in names if posixpath.basename(name) == first]
        _together(self.objects.delete, markers)
        _together(self.objects.delete, [name for name in names if name not in set(markers)])


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


def open_workspace(root: Path | None = None) -> Workspace:
    """The data root that the environment names: ``MSSBENCH_DATA_URL``, ``MSSBENCH_DATA_ROOT``, or here.

    With a URL, ``MSSBENCH_DATA_ROOT`` is its cache (default: a folder of its own under the user's cache). `root`
    comes before ``MSSBENCH_DATA_ROOT``.

    Raises
    ------
    BadInput, NotReady
        See :class:`RemoteMirror`.
    """
    url, folder = data_url(), str(root or os.environ.get("MSSBENCH_DATA_ROOT", ""))
    if not url:
        return Workspace(Path(folder or Path.cwd()))
    mirror = _mirror(url, folder)
    return Workspace(mirror.root, mirror)


@functools.lru_cache(maxsize=4)
def _mirror(url: str, root: str) -> RemoteMirror:
    return RemoteMirror(url, Path(root).absolute() if root else default_cache(url))


def default_cache(url: str) -> Path:
    """The cache of `url`, for whoever names none."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mssbench" / hashlib.sha256(url.encode()).hexdigest()[:16]
