"""Binaural MSS Bench: does a music source separation model keep the spatial image of binaural audio?

::

    import mssbench

    run = mssbench.run(dataset="data/demo", separators=["oracle"])
    run.to_pandas()

The Python API is described in docs/python.md. The packages, from top to bottom:

cli, server   the command line; the orchestrator service
tools         single stages over folders, copies of runs and datasets at URLs
execution     performs the steps of a run: in this process, or through RQ on Redis
report        statistics, figures, the report, the leaderboard
runs          what a run is: configuration, plan, run directory, results, status
services      how services are called: over HTTP or in this process; their health
datasets      layout, check, download and conversion of datasets; demo music
settings      limits and secrets from the environment
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # not from `typing`, whose import takes longer than all the rest of this module
if TYPE_CHECKING:
    from typing import Any

    from mssbench_service.errors import BadInput, BenchError, Conflict, NotFound, Unavailable

    from .bench import BenchmarkRun, InvalidArgument, list_runs, load, run, write_demo
    from .runs.config import RunConfig
    from .runs.status import Failure, RunStatus

__version__ = "0.2.0"

__all__ = [
    "BadInput",
    "BenchError",
    "BenchmarkRun",
    "Conflict",
    "Failure",
    "InvalidArgument",
    "NotFound",
    "RunConfig",
    "RunStatus",
    "Unavailable",
    "__version__",
    "list_runs",
    "load",
    "run",
    "write_demo",
]

# Modules are imported at the first use of a name: ``import mssbench`` is fast, and changes nothing in the process.
_MODULES = {
    "mssbench.bench": ("BenchmarkRun", "InvalidArgument", "list_runs", "load", "run", "write_demo"),
    "mssbench.runs.config": ("RunConfig",),
    "mssbench.runs.status": ("Failure", "RunStatus"),
    "mssbench_service.errors": ("BadInput", "BenchError", "Conflict", "NotFound", "Unavailable"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
