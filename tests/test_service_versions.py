"""``GET /info`` reports the version of the service's own package, not that of the shared one."""

from __future__ import annotations

import asyncio
import importlib
import runpy
import sys
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

VERSION = "97.98.99"


@pytest.mark.parametrize(
    "package", ["synth_service", "evaluator_service", "oracle_service", "template_service"]
)
def test_info_reports_the_version_of_the_service(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module(package), "__version__", VERSION)
    monkeypatch.delitem(sys.modules, f"{package}.app", raising=False)  # runpy warns of imported modules
    app = runpy.run_module(f"{package}.app")["app"]  # a second copy: the imported one keeps its version
    assert asyncio.run(info(app))["version"] == VERSION


async def info(app: FastAPI) -> Any:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return (await client.get("/info")).json()
