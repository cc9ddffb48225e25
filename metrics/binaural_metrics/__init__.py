"""Metrics of music source separation that say whether a stem kept its spatial image.

Score arrays with :func:`score`, folders of sound files with :func:`score_folder`, or call single metrics such as
:func:`ssr` and :func:`itd_difference`. :func:`metrics` lists every metric with unit, direction and range.

Signals are floating point with full scale ±1 and have two channels, left first. Arguments that cannot be used raise
``ValueError``. Importing the package changes nothing in the process. BLAS is limited to one thread while a metric is
computed, so that the same signals give the same bits everywhere (:mod:`binaural_metrics.threads`).

Examples
--------
>>> import numpy as np
>>> import binaural_metrics as bm
>>> sound = 0.1 * np.random.default_rng(0).standard_normal(88200)
>>> reference = np.stack([sound, 0.5 * np.roll(sound, 10)])  # at the left: earlier and louder there
>>> scores = bm.score(reference, 0.9 * reference, 44100)
>>> round(scores["SSR"], 1), scores["status"]
(20.0, 'ok')
>>> [metric.column for metric in bm.metrics() if metric.unit == "JND"]
['cue_error_jnd']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .api import score as score
    from .arrays import on_device as on_device
    from .bsseval import bss_eval as bss_eval
    from .cues import Hrirs as Hrirs
    from .cues import interaural_cues as interaural_cues
    from .folder import load_hrirs as load_hrirs
    from .folder import score_folder as score_folder
    from .functions import azimuth_error as azimuth_error
    from .functions import ic_difference as ic_difference
    from .functions import ild_difference as ild_difference
    from .functions import in_place as in_place
    from .functions import itd_difference as itd_difference
    from .functions import level_difference as level_difference
    from .functions import si_sdr as si_sdr
    from .functions import srr as srr
    from .functions import ssr as ssr
    from .interaural import paper_cues as paper_cues
    from .localisation import ListenerModel as ListenerModel
    from .paper_functions import paper_ild_difference as paper_ild_difference
    from .paper_functions import paper_itd_difference as paper_itd_difference
    from .paper_functions import paper_srr as paper_srr
    from .paper_functions import paper_ssr as paper_ssr
    from .registry import Metric as Metric
    from .registry import metrics as metrics
    from .registry import register as register
    from .response import effective_response as effective_response
    from .results import FolderScores as FolderScores
    from .results import Scores as Scores
    from .reuse import ReferenceCache as ReferenceCache
    from .signals import InputError as InputError
    from .spauq import spauq_equations as spauq_equations
    from .spauq import spauq_released as spauq_released

_MODULES = {
    "api": "score",
    "arrays": "on_device",
    "results": "Scores FolderScores",
    "reuse": "ReferenceCache",
    "folder": "score_folder load_hrirs",
    "cues": "Hrirs interaural_cues",
    "functions": "ssr srr in_place itd_difference ild_difference ic_difference azimuth_error level_difference si_sdr",
    "paper_functions": "paper_ssr paper_srr paper_itd_difference paper_ild_difference",
    "bsseval": "bss_eval",
    "spauq": "spauq_equations spauq_released",
    "interaural": "paper_cues",
    "response": "effective_response",
    "localisation": "ListenerModel",
    "registry": "Metric metrics register",
    "signals": "InputError",
}
"""Public names by module. A module is imported when one of its names is used first, so that the import is quick."""

_EXPORTS = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
