"""Examples in the OpenAPI document: real objects of the response types."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ..execution.queue_status import CurrentTask, QueueState, QueueStatus, WorkerState
from ..runs.progress import Progress, Share
from ..runs.status import Failure, QueuePlace, RunStatus

RUN_ID = "musdb18-hq-3f2a9c51d0"

CONFIGS: dict[str, Any] = {
    "demo": {
        "summary": "The demo data and every reference separator",
        "value": {"dataset": "data/demo", "separators": ["oracle"]},
    },
    "musdb": {
        "summary": "MUSDB18-HQ with a measured HRIR set",
        "value": {
            "dataset": "data/MUSDB18-HQ",
            "hrir": "data/D1_HRIR_WAV",
            "separators": ["oracle-irm", "oracle-mixture"],
            "conditions": ["stereo", "binaural"],
            "metrics": "corrected",
        },
    },
}

STATUS: dict[str, Any] = asdict(
    RunStatus(
        id=RUN_ID,
        state="running",
        created="2026-05-01T14:38:04+00:00",
        progress=Progress(cells=100, separated=48, ended=40, failed=1, to_render=50, rendered=25),
        by_separator=[
            Share("oracle-irm", "stereo", cells=50, separated=25, ended=20, failed=0),
            Share("oracle-irm", "binaural", cells=50, separated=23, ended=20, failed=1),
        ],
        throughput=7.5,
        seconds_left=480.0,
        separators=[
            {
                "name": "oracle-irm",
                "description": "ideal ratio masks",
                "needs_references": True,
                "expected": [],
                "service": "oracle",
                "status": "available",
                "reason": "",
            }
        ],
        links={"self": f"/runs/{RUN_ID}"},
        queues=[QueuePlace("separate-oracle", waiting=50, ahead=2, workers=1)],
    )
)

FAILURE: dict[str, Any] = asdict(
    Failure(
        "binaural", "oracle-irm", "Some Band - Some Song", "separate", "bad-output", "bass.wav holds a NaN"
    )
)

ROW: dict[str, Any] = {
    "condition": "binaural",
    "separator": "oracle-irm",
    "title": "Some Band - Some Song",
    "source": "vocals",
    "status": "ok",
    "reason": "",
    "SSR": 21.4,
    "SRR": 9.8,
}

QUEUES: dict[str, Any] = asdict(
    QueueStatus(
        [QueueState("separate-oracle", depth=51, started=1, scheduled=0, failed=0, workers=1)],
        [
            WorkerState(
                "8f2c1d",
                "worker-oracle-1",
                "separate-oracle",
                "busy",
                CurrentTask(RUN_ID, "separate", "Some Band - Some Song", "binaural", "oracle-irm"),
            )
        ],
    )
)

EVENTS = f"event: progress\ndata: {json.dumps(STATUS)}\n\n"


TABLE = "\r\n".join([",".join(ROW), ",".join(map(str, ROW.values())), ""])
