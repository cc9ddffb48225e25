"""A separator service with faults that a file switches on. Each separator has one fault; ``calm`` has none.

``UNRULY`` names the file, which holds the names of the faulty separators. The service is built with the base package,
and a middleware around it adds the faults.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile as sf
from fastapi import Request, Response
from mssbench_service.audio import FloatArray
from mssbench_service.files import DataRoot
from mssbench_service.separation import Separator
from mssbench_service.separator_app import create_separator_app

SHARES = {"vocals": 0.4, "drums": 0.3, "bass": 0.2, "other": 0.1}


class Shares(Separator):
    """Each stem is a share of the mixture: fast and deterministic."""

    description = "a share of the mixture for each stem"

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        return {stem: mixture * np.float32(share) for stem, share in SHARES.items()}


SEPARATORS = {
    name: Shares for name in ("calm", "slow", "hang", "html", "lies", "nan", "short", "missing", "damaged")
}
app = create_separator_app("unruly", "1.0", SEPARATORS)
root = DataRoot(Path(os.environ["MSSBENCH_DATA_ROOT"]))


def misbehaves(separator: str) -> bool:
    return separator in Path(os.environ["UNRULY"]).read_text().split()


@app.middleware("http")
async def misbehave(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    if request.url.path != "/separate":
        return await answer(request)
    asked = await request.json()
    name, out = asked["separator"], root.resolve(asked["out"])
    with open(f"{os.environ['UNRULY']}.asked", "a") as log:
        log.write(f"{asked['out']}\n")
    while misbehaves(name) and name in ("slow", "hang"):
        await asyncio.sleep(0.05)
    if not misbehaves(name):
        return await answer(request)
    if name == "html":
        return Response("<html>It works!</html>", media_type="text/html")
    response = await answer(request)
    if response.status_code == 200:
        damage(name, out)
    return response


def damage(how: str, folder: Path) -> None:
    victim = folder / "drums.wav"
    audio, rate = sf.read(victim, dtype="float32")
    if how == "nan":
        audio[len(audio) // 2] = np.nan
        sf.write(victim, audio, rate, subtype="FLOAT")
    elif how == "short":
        sf.write(victim, audio[:-100], rate, subtype="FLOAT")
    elif how == "damaged":
        os.truncate(victim, 5000)
    elif how == "missing":
        victim.unlink()
    elif how == "lies":
        for path in folder.iterdir():
            path.unlink()
