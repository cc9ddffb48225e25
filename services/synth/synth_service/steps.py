"""The steps of this service as plain functions from request to result."""

from __future__ import annotations

import functools
from pathlib import Path

from mssbench_service.files import DataRoot
from mssbench_service.musdb import check_track, stem_sets
from mssbench_service.wire import (
    HrirInfo,
    HrirRequest,
    PlaceRequest,
    PlaceResult,
    RenderRequest,
    RenderResult,
)

from . import sadie
from .hrir import SPHERE, HrirSet, describe, load_hrir
from .render import render_track, wrapped
from .scenes import locate


def render(root: DataRoot, request: RenderRequest, *, max_seconds: float | None = None) -> RenderResult:
    """Render one track (:func:`synth_service.render.render_track`), also if it has been rendered before.

    Raises
    ------
    NotFound
        The track or the HRIR set does not exist.
    BadInput, StepFailed
        As ``render_track`` and :func:`synth_service.hrir.load_hrir`.
    """
    track, out = root.existing(request.track), root.resolve(request.out)
    rate = check_track(track, stem_sets([track])[0]).sample_rate
    return render_track(
        track,
        out,
        _hrir(root, request.hrir, rate, sphere=request.scene is not None),
        request.angles,
        request.profile,
        resample_hrir=request.resample_hrir,
        max_seconds=max_seconds,
        scene=request.scene,
    )


def describe_hrir(root: DataRoot, request: HrirRequest) -> HrirInfo:
    """Load, check and describe an HRIR set.

    Raises
    ------
    NotFound, BadInput
        It does not exist, or :func:`synth_service.hrir.load_hrir` refuses it.
    """
    hrir = _hrir(root, request.hrir, request.sample_rate, sphere=request.sphere)
    return describe(hrir, curves=request.curves)


def place(root: DataRoot, request: PlaceRequest) -> PlaceResult:
    """Check placements (:func:`synth_service.scenes.locate`).

    Raises
    ------
    NotFound, BadInput
        The set cannot be used, or a placement cannot be rendered with it.
    """
    hrir = _hrir(root, request.hrir, request.sample_rate, sphere=True)
    return PlaceResult([locate(hrir, wrapped(one.angles), one.scene) for one in request.placements])


def _hrir(root: DataRoot, reference: str, sample_rate: int, *, sphere: bool = False) -> HrirSet:
    if reference == SPHERE:
        return load_hrir(SPHERE)
    path = root.existing(reference, [SPHERE])
    return _load(path, sample_rate, sphere, _state(path, sample_rate, sphere))


@functools.lru_cache(maxsize=4)
def _load(path: Path, sample_rate: int, sphere: bool, state: tuple[tuple[str, int, int], ...]) -> HrirSet:
    # `state` is only part of the cache's key: a set that has changed on disk is loaded again.
    return load_hrir(path, sample_rate, sphere=sphere)


def _state(path: Path, sample_rate: int, sphere: bool) -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of a file, or of the files of a folder's set."""
    if path.is_file():
        files = [path]
    else:
        files = list(sadie.measured_files(sadie.find_set(path, sample_rate), sphere=sphere).values())
    stats = [(str(file), file.stat()) for file in files]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
