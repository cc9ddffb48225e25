"""Separators that lack something at the start of their service become available later."""

from __future__ import annotations

from pathlib import Path

import pytest
from mssbench_contract.server import wait_for
from mssbench_service import offered
from mssbench_service.app import Settings
from mssbench_service.errors import NotReady
from mssbench_service.files import DataRoot
from mssbench_service.separator_app import create_separator_app

from .conftest import Serve, problem_of
from .tiny_separators import Quarters


def test_a_model_is_available_once_its_weights_are_there(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"

    class Late(Quarters):
        def setup(self) -> None:
            if not weights.exists():
                raise NotReady("its weights are missing")
            if weights.read_bytes() == b"damaged":
                raise ValueError("not a model")

    monkeypatch.setattr(offered, "RETRY_SECONDS", 0.0)
    settings = Settings(data_root=DataRoot(tmp_path))
    server = serve(create_separator_app("two", "1.0", {"quarters": Quarters, "late": Late}, settings))
    wait_for(lambda: server.get("/health").status == 200)

    def reason() -> str:
        (late,) = [one for one in server.get("/info").json()["separators"] if one["name"] == "late"]
        return str(late["reason"])

    def separation() -> str:
        answer = server.post_json("/separate", {"mixture": "none.wav", "out": "out", "separator": "late"})
        return problem_of(answer, 503 if answer.status == 503 else 404).detail

    assert reason() == separation() == "its weights are missing"
    weights.write_bytes(b"damaged")
    assert reason() == "setup of late failed: ValueError: not a model"
    weights.write_bytes(b"good")
    assert "none.wav" in separation()
    assert reason() == ""
