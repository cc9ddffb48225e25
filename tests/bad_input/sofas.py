"""SOFA files: valid ones in the conventions of several laboratories, damaged ones and malicious ones.

A SOFA file is an HDF5 file. It can claim any size, and it can refer to values in another file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Change = Callable[[h5py.File], None]
Make = Callable[[Path, int, dict[int, Numbers]], None]
"""Writes a file from the sample rate and the responses (taps, 2) by azimuth of a valid set."""

_UP = np.array([0.0, 1.0, 0.0])
_POSITIONS = {"SourcePosition": "spherical", "ListenerPosition": "cartesian", "ListenerView": "cartesian"}


def _write(path: Path, rate: int, responses: dict[int, Numbers]) -> None:
    azimuths = list(responses)
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = "SOFA"
        file.attrs["SOFAConventions"] = "SimpleFreeFieldHRIR"
        file["Data.IR"] = np.stack([responses[azimuth].T for azimuth in azimuths])
        file["Data.SamplingRate"] = np.array([float(rate)])
        file["Data.Delay"] = np.zeros((1, 2))
        file["SourcePosition"] = np.array([[azimuth, 0.0, 1.4] for azimuth in azimuths])
        file["ListenerPosition"] = np.zeros((1, 3))
        file["ListenerView"] = np.array([[1.0, 0.0, 0.0]])
        file["ReceiverPosition"] = np.array([[0.0, 0.09, 0.0], [0.0, -0.09, 0.0]])
        for name, kind in _POSITIONS.items():
            file[name].attrs["Type"] = kind


def _changed(*changes: Change) -> Make:
    """A valid file with these changes."""

    def make(path: Path, rate: int, responses: dict[int, Numbers]) -> None:
        _write(path, rate, responses)
        with h5py.File(path, "a") as file:
            for change in changes:
                change(file)

    return make


def _values(name: str, edit: Callable[[Numbers], npt.ArrayLike]) -> Change:
    """Replace the values of the field by `edit` of them. The attributes are kept."""

    def change(file: h5py.File) -> None:
        values, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        file[name] = edit(values)
        file[name].attrs.update(attributes)

    return change


def _sources(edit: Callable[[Numbers], npt.ArrayLike]) -> Make:
    return _changed(_values("SourcePosition", edit))


def _one(name: str, value: float) -> Make:
    def edit(values: Numbers) -> Numbers:
        values[1, -1] = value
        return values

    return _changed(_values(name, edit))


def _instead(name: str, put: Callable[[h5py.File, Numbers], object]) -> Make:
    """Replace the field by what `put` creates from its values."""

    def change(file: h5py.File) -> None:
        values = file[name][()]
        del file[name]
        put(file, values)

    return _changed(change)


def _claiming(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Make:
    """A dataset of this shape without stored values."""

    def put(file: h5py.File, _: Numbers) -> None:
        file.create_dataset("Data.IR", shape, "f8", chunks=chunks, maxshape=(None,) * 3, compression="gzip")

    return _instead("Data.IR", put)


def _beside(path: Path, values: Numbers) -> Path:
    """Write files outside of the set that contain valid values for it."""
    values.astype("<f8").tofile(path.with_name("secret.bin"))
    with h5py.File(path.with_name("secret.h5"), "w") as file:
        file["x"] = values
    return path.parent


def _external_numbers(file: h5py.File, values: Numbers) -> None:
    folder = _beside(Path(file.filename), values)
    stored = [(str(folder / "secret.bin"), 0, values.nbytes)]
    file.create_dataset("Data.IR", values.shape, "f8", external=stored)


def _virtual_numbers(file: h5py.File, values: Numbers) -> None:
    folder = _beside(Path(file.filename), values)
    layout = h5py.VirtualLayout(values.shape, "f8")
    layout[...] = h5py.VirtualSource(str(folder / "secret.h5"), "x", values.shape)
    file.create_virtual_dataset("Data.IR", layout)


def _external_link(file: h5py.File, values: Numbers) -> None:
    file["Data.IR"] = h5py.ExternalLink(str(_beside(Path(file.filename), values) / "secret.h5"), "x")


def _soft_link(file: h5py.File, values: Numbers) -> None:
    file["other"] = values
    file["Data.IR"] = h5py.SoftLink("/other")


def _link_to_itself(file: h5py.File, _: Numbers) -> None:
    file["Data.IR"] = h5py.SoftLink("/Data.IR")


def _cut(share: float) -> Make:
    def make(path: Path, rate: int, responses: dict[int, Numbers]) -> None:
        _write(path, rate, responses)
        content = path.read_bytes()
        path.write_bytes(content[: round(len(content) * share)])

    return make


def _named(convention: object) -> Make:
    return _changed(lambda file: file.attrs.__setitem__("SOFAConventions", convention))


def _as_cartesian(file: h5py.File) -> None:
    azimuth, _, radius = file["SourcePosition"][()].T
    angle = np.radians(azimuth)
    file["SourcePosition"][...] = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1
    )
    file["SourcePosition"].attrs["Type"] = "Cartesian"


def _with_elevations(file: h5py.File) -> None:
    """Add responses at other elevations, with wrong delays."""
    for name, edit in {
        "Data.IR": lambda irs: np.concatenate([np.roll(irs, 3, axis=0), irs]),
        "SourcePosition": lambda at: np.concatenate([at + _UP * 30, at]),
    }.items():
        _values(name, edit)(file)


def _wrapped(positions: Numbers) -> Numbers:
    positions[:, 0] = (positions[:, 0] + 180) % 360 - 180
    return positions


SOFAS: dict[str, Make] = {
    "good": _changed(),
    "azimuths from −180° to 180°": _sources(_wrapped),
    "cartesian positions": _changed(_as_cartesian),
    "other elevations, too": _changed(_with_elevations),
    "receivers right first": _changed(
        _values("Data.IR", lambda irs: irs[:, ::-1]), _values("ReceiverPosition", lambda at: at[::-1])
    ),
    "delays beside the responses": _changed(_values("Data.Delay", lambda _: np.full((1, 2), 7.5))),
    "32-bit numbers": _changed(_values("Data.IR", lambda irs: irs.astype(np.float32))),
    "at 48 kHz": _changed(_values("Data.SamplingRate", lambda _: [48000.0])),
    "no delays at all": _changed(lambda file: file.__delitem__("Data.Delay")),
    "no view of the listener": _changed(lambda file: file.__delitem__("ListenerView")),
    "the right ear listed first, wrongly": _changed(_values("ReceiverPosition", lambda at: at[::-1])),
    "the left ear listed first, wrongly": _changed(_values("Data.IR", lambda irs: irs[:, ::-1])),
    "swapped ears": _changed(
        _values("Data.IR", lambda irs: irs[:, ::-1]), _values("ReceiverPosition", lambda at: 0 * at)
    ),
    "swapped ears on the left": _changed(
        _values("Data.IR", lambda irs: np.where(np.arange(len(irs))[:, None, None] < 12, irs[:, ::-1], irs))
    ),
    "positions in radians": _changed(
        _values("SourcePosition", lambda at: at * [np.pi / 180, np.pi / 180, 1]),
        lambda file: file["SourcePosition"].attrs.__setitem__("Units", "radian, radian, metre"),
    ),
    "positions in furlongs": _changed(
        lambda file: file["SourcePosition"].attrs.__setitem__("Units", "degree, degree, furlong")
    ),
    "spherical distances of 0": _sources(lambda at: at * [1.0, 1.0, 0.0]),
    "missing angles": _changed(
        _values("Data.IR", lambda irs: irs[::9]), _values("SourcePosition", lambda at: at[::9])
    ),
    "nothing at elevation 0°": _sources(lambda at: at + _UP * 10),
    "zero bytes": lambda path, *_: path.touch(),
    "text": lambda path, *_: path.write_text("This is not a SOFA file.\n" * 50),
    "random bytes": lambda path, *_: path.write_bytes(np.random.default_rng(2).bytes(5000)),
    "an HDF5 file of nothing": lambda path, *_: h5py.File(path, "w").close(),
    "cut in its head": _cut(0.05),
    "cut in half": _cut(0.5),
    "cut at its end": _cut(0.99),
    "another convention": _named("GeneralFIR"),
    "a convention of 60 KB": _named(np.bytes_(b"x" * 60_000)),
    "a convention that is a number": _named(5),
    "a NaN in the responses": _one("Data.IR", np.nan),
    "an infinite sample": _one("Data.IR", np.inf),
    "a NaN in the positions": _one("SourcePosition", np.nan),
    "responses never written": _claiming((19, 2, 256), (1, 2, 256)),
    "no receivers": _changed(_values("Data.IR", lambda irs: irs[:, :0])),
    "one receiver": _changed(_values("Data.IR", lambda irs: irs[:, :1])),
    "no sources": _changed(
        _values("Data.IR", lambda irs: irs[:0]), _values("SourcePosition", lambda at: at[:0])
    ),
    "no taps": _changed(_values("Data.IR", lambda irs: irs[:, :, :0])),
    "two dimensions": _changed(_values("Data.IR", lambda irs: irs[:, 0])),
    "fewer positions than responses": _sources(lambda at: at[:5]),
    "text for numbers": _changed(_values("Data.IR", lambda _: np.array([b"text"] * 4))),
    "complex numbers": _changed(_values("Data.IR", lambda irs: irs.astype(complex))),
    "a group for a field": _instead("Data.IR", lambda file, _: file.create_group("Data.IR")),
    "no responses": _changed(lambda file: file.__delitem__("Data.IR")),
    "no positions": _changed(lambda file: file.__delitem__("SourcePosition")),
    "no rate": _changed(lambda file: file.__delitem__("Data.SamplingRate")),
    "a rate of 0 Hz": _changed(_values("Data.SamplingRate", lambda _: [0.0])),
    "sources where the listener is": _changed(
        _values("SourcePosition", lambda at: 0 * at),
        lambda file: file["SourcePosition"].attrs.__setitem__("Type", "cartesian"),
    ),
    "delays of a minute": _changed(_values("Data.Delay", lambda _: np.full((1, 2), 60.0 * 44100))),
    "terabytes of responses in 10 KB": _claiming((1 << 16, 2, 1 << 20), (1, 2, 1 << 16)),
    "a piece of 4 GB": _claiming((19, 2, 256), (19, 2, 1 << 23)),
    "ten million pieces": _claiming((19, 2, 1 << 18), (1, 1, 1)),
    "numbers in another file": _instead("Data.IR", _external_numbers),
    "a view of another file": _instead("Data.IR", _virtual_numbers),
    "a link to another file": _instead("Data.IR", _external_link),
    "a link within the file": _instead("Data.IR", _soft_link),
    "a link to itself": _instead("Data.IR", _link_to_itself),
}
