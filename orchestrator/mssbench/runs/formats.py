"""The formats of what a run leaves behind, and how what earlier versions left is read. All there are:

=================  ========================================================  =======
``run.json``       :data:`RUN`: what was asked, what was found               store.py
``result.json``    :data:`RESULT`: a cell that was scored                    store.py
``error.json``     :data:`ERROR`: a cell that failed                         store.py
``summary.json``   :data:`SUMMARY`: a report's numbers                       report/summary.py
``separation.json``  :data:`SEPARATION_FORMAT`: beside estimates                    the separators
``metadata.json``  :data:`RENDERING_FORMAT`: beside rendered tracks                 the synthesis
=================  ========================================================  =======

A file is brought up to date when it is read, and stays as it is on disk until it is written again. A newer version
than is known is refused. ``tests/data/earlier`` has runs as earlier versions wrote them.
"""

from __future__ import annotations

from typing import Any

from mssbench_service.formats import RENDERING_FORMAT, SEPARATION_FORMAT, Fields, Format, unchanged

_CONFIG_OF_1 = {"metrics": "all", "bsseval": True, "aggregate": "median"}
"""What runs did before they were asked: settings that came while the version was 1."""


def _run_2(fields: Fields) -> Fields:
    config = fields.get("config")
    return fields | {"config": _CONFIG_OF_1 | config if isinstance(config, dict) else config}


def _error_2(fields: Fields) -> Fields:
    late: dict[str, Any] = {"code": "", "when": "", "tries": 1, "host": "", "worker": "", "log": ""}
    return late | fields


RUN = Format("run.json", (_run_2,))
"""2: `version` instead of `schema`; every setting is there."""

RESULT = Format("result.json", (unchanged,))
"""2: `details` of the separator, `audio_seconds`; more columns in rows, which a reader takes as undefined."""

ERROR = Format("error.json", (_error_2,))
"""2: `when`, `tries`, `host`, `worker`, `log`."""

SUMMARY = Format("summary.json", (unchanged,))
"""2: `version` instead of `schema`."""

__all__ = ["ERROR", "RENDERING_FORMAT", "RESULT", "RUN", "SEPARATION_FORMAT", "SUMMARY", "Format"]
