"""Tracks and HRIR sets that the tests write."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf
from mssbench_service.errors import BadInput, BenchError
from mssbench_service.musdb import STEMS
from synth_service.hrir import load_hrir
from synth_service.render import render_track

Float64Array = npt.NDArray[np.float64]

RATE = 44100
ANGLES = {"vocals": 0.0, "drums": 330.0, "bass": 90.0, "other": 30.0}
AZIMUTHS = tuple(range(0, 360, 30))


def head(azimuths: Any = AZIMUTHS, taps: int = 64) -> Float64Array:
    """HRIRs of a simple head, shape (A, 2, taps): at the near ear up to 10 samples earlier and twice as loud."""
    irs = np.zeros((len(azimuths), 2, taps))
    for ir, azimuth in zip(irs, azimuths, strict=True):
        side = float(np.sin(np.radians(azimuth)))
        for ear, towards in enumerate((side, -side)):
            ir[ear, 20 - round(5 * towards)] = 2.0 ** (towards / 2)
    return irs


Write = Callable[..., Path]

SWAPPED = head()[:, ::-1]
"""The same head with its ears exchanged."""

SPHERE = load_hrir("sphere")


def refused_hrir(spec: str | Path) -> str:
    """The one line with which an HRIR set is refused."""
    with pytest.raises(BadInput) as caught:
        load_hrir(spec)
    assert "\n" not in caught.value.detail
    return caught.value.detail


def refused_rendering(
    tmp_path: Path,
    track: Path,
    angles: Mapping[str, float] = ANGLES,
    profile: str = "matched",
    kind: type[BenchError] = BadInput,
    **options: Any,
) -> str:
    """The one line with which a rendering is refused; nothing remains on the disk."""
    out = tmp_path / "rendered" / "track"
    with pytest.raises(kind) as caught:
        render_track(track, out, SPHERE, angles, profile, **options)
    assert not out.exists()
    assert leftovers(tmp_path) == []
    assert "\n" not in caught.value.detail
    return caught.value.detail


@pytest.fixture
def write_track(tmp_path: Path) -> Write:
    """Write a track folder of stereo noise stems and return it."""

    def write(
        name: str = "Artist - Title",
        samples: int = 3000,
        rate: int = RATE,
        subtype: str = "FLOAT",
        seed: int = 0,
        **stems: Float64Array,
    ) -> Path:
        folder = tmp_path / "musdb" / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        for stem in STEMS:
            audio = stems.get(stem, rng.uniform(-0.6, 0.6, (samples, 2)))
            sf.write(str(folder / f"{stem}.wav"), audio, rate, subtype=subtype)
        return folder

    return write


@pytest.fixture
def write_sadie(tmp_path: Path) -> Write:
    """Write a SADIE II folder and return it."""

    def write(
        name: str = "D1", azimuths: Any = AZIMUTHS, irs: Float64Array | None = None, rate: int = RATE
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for azimuth, ir in zip(azimuths, head(azimuths) if irs is None else irs, strict=True):
            degrees = f"{float(azimuth)}".replace(".", ",")
            sf.write(str(folder / f"azi_{degrees}_ele_0,0.wav"), ir.T, rate, subtype="FLOAT")
        return folder

    return write


@pytest.fixture
def write_sofa(tmp_path: Path) -> Write:
    """Write a SOFA file with the given fields and return it."""

    def write(
        name: str = "set.sofa",
        azimuths: Any = AZIMUTHS,
        irs: Float64Array | None = None,
        convention: str = "SimpleFreeFieldHRIR",
        **fields: Any,
    ) -> Path:
        import sofar

        path = tmp_path / name
        positions = [[azimuth, 0.0, 1.5] for azimuth in azimuths]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = sofar.Sofa(convention)
            content.Data_IR = head(azimuths) if irs is None else irs
            content.SourcePosition = np.array(positions)
            content.Data_SamplingRate = RATE
            content.Data_Delay = np.zeros((1, content.Data_IR.shape[1]))
            content.ReceiverPosition = np.array([[0.0, 0.09, 0.0], [0.0, -0.09, 0.0]])
            for field, value in fields.items():
                setattr(content, field, value)
            sofar.write_sofa(str(path), content)
        return path

    return write


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders anywhere under `folder`."""
    return [str(path) for path in folder.rglob(".tmp-*")]
