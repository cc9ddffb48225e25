"""Score sound files. Needs soundfile: ``pip install 'binaural-metrics[files]'``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .api import computed_columns
from .arrays import on_device
from .cues import Hrirs
from .layouts import Estimates, find_estimates
from .registry import check_metric_set
from .results import FolderScores, Scores, scores_of
from .scoring import score_track
from .signals import FloatArray, InputError

_DIRECT = ".direct"  # the direct sound of a stem in a room


def score_folder(
    reference_dir: str | Path,
    estimate_dir: str | Path,
    metrics: str = "corrected",
    *,
    bsseval: bool = True,
    aggregate: str = "median",
    workers: int | None = None,
    dry: str | Path | None = None,
    device: str | None = None,
) -> FolderScores:
    """Score the estimates of every title against ``<reference_dir>/<title>/<stem>.wav``.

    Each ``.wav`` file of a title is a stem, apart from ``mixture.wav``. In a folder that ``mssbench synth`` rendered,
    the gain of the mixture comes from ``metadata.json``, the HRIR set for the azimuth from ``hrir.npz``, and the direct
    sound of a stem in a room from ``<stem>.direct.wav``.

    Parameters
    ----------
    reference_dir, estimate_dir : str or Path
        Folders of the true and of the separated stems. Estimates may be in the layouts of
        :mod:`binaural_metrics.layouts`, and in any format that is named there.
    metrics, bsseval, aggregate, workers, device
        As of :func:`binaural_metrics.score`.
    dry : str or Path, optional
        Folder of the signals that were rendered to the references, ``<dry>/<title>/<stem>.wav``; of those with two
        channels, the mean was rendered.

    Returns
    -------
    FolderScores
        An estimate that is missing or cannot be read has the status "failed" with the reason.

    Raises
    ------
    ValueError
        A folder does not exist, there is no reference, or a reference or a dry stem cannot be read.
    ImportError
        soundfile is not installed.
    """
    check_metric_set(metrics)
    truth, found = Path(reference_dir), Path(estimate_dir)
    source = None if dry is None else Path(dry)
    for folder in filter(None, (truth, found, source)):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; expected <title>/<stem>.wav in it")
    titles = [folder for folder in sorted(truth.iterdir()) if folder.is_dir() and _stems(folder)]
    if not titles:
        raise InputError(f"{truth} holds no <title>/<stem>.wav")
    places = find_estimates(found, {title.name: _stems(title) for title in titles})
    if not any(place.folder.is_dir() for place in places.values()):
        raise InputError(next(iter(places[titles[0].name].problems.values())))
    options = {"metrics": metrics, "bsseval": bsseval, "aggregate": aggregate, "workers": workers}
    with on_device(device):
        return FolderScores(
            {
                title.name: _score_title(title, places[title.name], source and source / title.name, options)
                for title in titles
            }
        )


def _score_title(truth: Path, found: Estimates, dry: Path | None, options: dict[str, Any]) -> Scores:
    references = {stem: read(truth / f"{stem}.wav") for stem in _stems(truth)}
    rates = {rate for _, rate in references.values()}
    if len(rates) > 1:
        raise InputError(
            f"{truth} holds stems at {' and '.join(map(str, sorted(rates)))} Hz; expected one rate"
        )
    (rate,) = rates
    estimates, problems = {}, dict(found.problems)
    for stem, path in found.files.items():
        try:
            estimates[stem] = _at(path, rate)
        except InputError as error:
            problems[stem] = str(error)
    metadata = _metadata(truth)
    hrir = load_hrirs(truth / "hrir.npz") if "angles" in metadata and (truth / "hrir.npz").exists() else None
    rows, frames = score_track(
        {stem: signal for stem, (signal, _) in references.items()},
        estimates,
        rate,
        mixture_gain=metadata.get("mixture_gain", 1.0),
        hrir=hrir,
        dry=None
        if dry is None
        else {stem: _at(dry / f"{stem}.wav", rate).mean(axis=0) for stem in references},
        direct={
            stem: _at(path, rate) for stem in references if (path := truth / f"{stem}{_DIRECT}.wav").exists()
        },
        **options,
    )
    rows = [row | {"reason": problems.get(row["source"], row["reason"])} for row in rows]
    columns = computed_columns(
        options["metrics"],
        stems=len(references),
        azimuth=hrir is not None,
        bsseval=options["bsseval"],
        dry=dry is not None,
    )
    return scores_of(rows, frames, columns)


def _stems(folder: Path) -> list[str]:
    names = (path.stem for path in folder.glob("*.wav"))
    return sorted(name for name in names if name != "mixture" and not name.endswith(_DIRECT))


def _at(path: Path, rate: int) -> FloatArray:
    signal, own_rate = read(path)
    if own_rate != rate:
        raise InputError(f"{path} is at {own_rate} Hz; expected {rate} Hz as the reference")
    return signal


def _metadata(folder: Path) -> dict[str, Any]:
    path = folder / "metadata.json"
    if not path.exists():
        return {}
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("mixture_gain", 1.0), (int, float)):
        raise InputError(
            f"{path} does not describe a rendering; expected the file that mssbench synth writes"
        )
    return metadata


def read(path: Path) -> tuple[FloatArray, int]:
    """Read a sound file: shape (channels, samples), float64 for files of 64-bit floats, else float32; and the rate.

    Raises
    ------
    ValueError
        The file cannot be read as audio.
    ImportError
        soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            "reading sound files needs soundfile: pip install 'binaural-metrics[files]'"
        ) from error
    try:
        with soundfile.SoundFile(str(path)) as file:
            dtype = "float64" if file.subtype == "DOUBLE" else "float32"
            signal = file.read(dtype=dtype, always_2d=True)
            return np.ascontiguousarray(signal.T), file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path} cannot be read as audio: {error}") from None


def load_hrirs(path: str | Path) -> Hrirs:
    """Load the HRIR set that a rendering keeps in ``hrir.npz``.

    Parameters
    ----------
    path : str or Path
        NumPy archive with ``azimuths`` in degrees, shape (A,); ``irs``, shape (A, 2, taps); ``sample_rate`` in Hz. They
        are those of the horizontal plane; other directions may be in ``off_azimuths``, ``off_elevations``, ``off_irs``.

    Returns
    -------
    Hrirs

    Raises
    ------
    ValueError
        It is not such an archive.
    """
    import zipfile
    import zlib

    damaged = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, MemoryError)
    try:
        # Opened here: NumPy does not close a file that turns out to be damaged.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            azimuths, irs, rate = stored["azimuths"], stored["irs"], int(stored["sample_rate"])
            if "off_irs" not in stored:
                return Hrirs(azimuths, irs, rate)
            return Hrirs(
                np.concatenate([azimuths, stored["off_azimuths"]]),
                np.concatenate([irs, stored["off_irs"]]),
                rate,
                np.concatenate([np.zeros(len(azimuths)), stored["off_elevations"]]),
            )
    except (*damaged, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a stored HRIR set: {error}") from None
