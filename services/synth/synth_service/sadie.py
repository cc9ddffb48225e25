"""Reading of a SADIE II folder: ``azi_<deg>,0_ele_<deg>,0.wav``, two channels each.

Azimuths are counter-clockwise, 0 = front; channel 0 is the left ear.

References
----------
Armstrong, Thresh, Murphy & Kearney, "A perceptual evaluation of individual and non-individual HRTFs: a case
study of the SADIE II database", Applied Sciences 8(11), 2018.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mssbench_service.audio import read, read_header
from mssbench_service.errors import BadInput, TooLarge

from .measured import LARGEST, LONGEST, Measured

# The comma is the decimal sign: azi_112,5_ele_0,0.wav.
_NAME = re.compile(r"azi_(-?\d+(?:[,.]\d+)?)_ele_(-?\d+(?:[,.]\d+)?)\.wav", re.IGNORECASE)
_DEEPEST = 3  # levels of subfolders: D1/D1_HRIR_WAV/44K_16bit has two
_EXPECTED = "expected files like azi_90,0_ele_0,0.wav"


def find_set(folder: Path, sample_rate: int) -> Path:
    """Return the folder with the files: `folder`, or the subfolder at `sample_rate` Hz.

    So a subject's folder of the database may be given (``D1/D1_HRIR_WAV/{44K_16bit,48K_24bit,96K_24bit}``). Its room
    responses (``D1_BRIR_WAV``) are ignored. If no set is at that rate, the one at the highest rate is chosen, which can
    be resampled.

    Raises
    ------
    BadInput
        There is none, or several have the rate; the message names them.
    """
    if _files(folder):
        return folder
    below = list(_sets_below(folder, _DEEPEST))
    if not below:
        sofa = next((path.name for path in _entries(folder) if path.suffix == ".sofa"), "")
        better = f", or name a SOFA file in it, such as {sofa}" if sofa else ""
        raise BadInput(f"{folder} holds no HRIRs at elevation 0°; {_EXPECTED}{better}")
    if len(below) == 1:
        return below[0]
    rates = {entry: read_header(_files(entry)[0][0]).sample_rate for entry in below}
    wanted = sample_rate if sample_rate in rates.values() else max(rates.values())
    chosen = [entry for entry, rate in rates.items() if rate == wanted]
    if len(chosen) > 1:
        names = ", ".join(str(entry.relative_to(folder)) for entry in chosen[:5])
        raise BadInput(f"{folder} holds several HRIR sets ({names}); name one of these folders")
    return chosen[0]


def name_below(folder: Path, chosen: Path) -> str:
    """Name of the set that :func:`find_set` found in `folder`."""
    return f"{folder.name}/{chosen.relative_to(folder).as_posix()}" if chosen != folder else folder.name


def measured_files(folder: Path, *, sphere: bool = False) -> dict[tuple[float, float], Path]:
    """The files at elevation 0° in `folder` or, with `sphere`, all, by azimuth and elevation in degrees.

    Raises
    ------
    BadInput
        There are none, or two files name one direction.
    """
    found = _files(folder, sphere=sphere)
    if not found:
        raise BadInput(f"{folder} holds no HRIRs at elevation 0°; {_EXPECTED}")
    by_direction: dict[tuple[float, float], Path] = {}
    for path, azimuth, elevation in found:
        other = by_direction.setdefault((azimuth % 360.0, elevation), path)
        if other is not path:
            raise BadInput(f"{path} has the same azimuth as {other.name}; expected one file per azimuth")
    return by_direction


def read_folder(folder: Path, *, sphere: bool = False) -> Measured:
    """Read the set: its horizontal plane or, with `sphere`, all directions.

    Raises
    ------
    BadInput
        As :func:`measured_files`; or a file is not audio, does not have two channels, or has another rate or
        length than the others. The message names the file.
    TooLarge
        The set has more than :data:`synth_service.measured.LARGEST` numbers.
    """
    files = measured_files(folder, sphere=sphere)
    irs = []
    first: tuple[Path, int, int] | None = None
    for path in files.values():
        ir, sample_rate = read(path, max_seconds=LONGEST)
        if ir.shape[0] != 2:
            raise BadInput(f"{path} has {ir.shape[0]} channel(s); expected 2, left and right ear")
        first = first or (path, sample_rate, ir.shape[1])
        if (sample_rate, ir.shape[1]) != first[1:]:
            raise BadInput(
                f"{path} has {ir.shape[1]} samples at {sample_rate} Hz; "
                f"expected {first[2]} at {first[1]} Hz as {first[0].name}"
            )
        if ir.size * len(files) > LARGEST:
            raise TooLarge(f"{folder} holds more than {LARGEST} numbers in its {len(files)} HRIRs")
        irs.append(ir)
    assert first is not None
    azimuths, elevations = np.array(list(files), dtype=np.float64).T
    return Measured(
        first[1],
        azimuths,
        np.array(irs, dtype=np.float64),
        elevations if sphere else None,
        convention="SADIE II",
    )


def _sets_below(folder: Path, levels: int) -> Iterator[Path]:
    for entry in _entries(folder):
        if not entry.is_dir() or "BRIR" in entry.name.upper():
            continue
        if _files(entry):
            yield entry
        elif levels > 1:
            yield from _sets_below(entry, levels - 1)


def _files(folder: Path, *, sphere: bool = False) -> list[tuple[Path, float, float]]:
    found = []
    for path in _entries(folder):
        # Matching the whole name also ignores hidden files such as "._azi_0,0_ele_0,0.wav".
        match = _NAME.fullmatch(path.name)
        if match and (sphere or _degrees(match[2]) == 0.0) and path.is_file():
            found.append((path, _degrees(match[1]), _degrees(match[2])))
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror or error}") from None


def _degrees(text: str) -> float:
    return float(text.replace(",", "."))
