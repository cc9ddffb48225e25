"""An HTTP server, zip archives, and short tracks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench_contract.files import FileServer, file_server
from mssbench_service.musdb import MIXTURE, STEMS


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server("data.zip", b"") as server:
        yield server


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive of the members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            # ZipInfo has a fixed date, so that equal members give equal bytes.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


WriteTrack = Callable[..., Path]


@pytest.fixture
def write_track(tmp_path: Path) -> WriteTrack:
    """Write a track of noise whose stems add up exactly to its mixture; return its folder."""

    def write(
        title: str = "Artist - Title", split: str = "test", samples: int = 3000, rate: int = 44100
    ) -> Path:
        folder = tmp_path / "music" / split / title
        folder.mkdir(parents=True)
        rng = np.random.default_rng(len(title))
        stems = {stem: rng.integers(-5000, 5000, (samples, 2)).astype(np.int16) for stem in STEMS}
        mixture = np.add.reduce(list(stems.values()), axis=0, dtype=np.int16)
        for name, audio in {MIXTURE: mixture, **stems}.items():
            sf.write(str(folder / f"{name}.wav"), audio, rate, subtype="PCM_16")
        return folder

    return write
