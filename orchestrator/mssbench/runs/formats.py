"""The versioned files of a run, and the migrations from earlier versions.

===================  ========================================================  =================
``run.json``         :data:`RUN`: configuration, tracks, separators, versions  store.py
``result.json``      :data:`RESULT`: scores of a cell                          store.py
``error.json``       :data:`ERROR`: a cell that failed                         store.py
``summary.json``     :data:`SUMMARY`: a report's numbers                       report/summary.py
``stored.json``      :data:`STORED`: how estimates are kept                    estimates.py
``separation.json``  :data:`SEPARATION_FORMAT`: beside estimates               the separators
``metadata.json``    :data:`RENDERING_FORMAT`: beside rendered tracks          the synthesis
===================  ========================================================  =================

Migrations are applied when a file is read; the file on disk does not change until it is written again. A version that
is newer than this software is refused. ``tests/data/earlier`` has runs that earlier versions wrote.
"""

from __future__ import annotations

from typing import Any

from mssbench_service.formats import RENDERING_FORMAT, SEPARATION_FORMAT, Fields, Format, unchanged

_CONFIG_OF_1 = {"metrics": "all", "bsseval": True, "aggregate": "median"}
"""Values of the settings that were added during version 1."""


def _run_2(fields: Fields) -> Fields:
    config = fields.get("config")
    return fields | {"config": _CONFIG_OF_1 | config if isinstance(config, dict) else config}


def _error_2(fields: Fields) -> Fields:
    added: dict[str, Any] = {"code": "", "when": "", "tries": 1, "host": "", "worker": "", "log": ""}
    return added | fields


RUN = Format("run.json", (_run_2,))
"""2: `version` instead of `schema`; all settings are written."""

RESULT = Format("result.json", (unchanged,), sealed=True)
"""2: `details` of the separator, `audio_seconds`, more columns in rows. A column that is missing is undefined."""

ERROR = Format("error.json", (_error_2,))
"""2: `when`, `tries`, `host`, `worker`, `log`."""

STORED = Format("stored.json", sealed=True)

SUMMARY = Format("summary.json", (unchanged,))
"""2: `version` instead of `schema`."""

__all__ = ["ERROR", "RENDERING_FORMAT", "RESULT", "RUN", "SEPARATION_FORMAT", "STORED", "SUMMARY", "Format"]
