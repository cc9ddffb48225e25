"""Who may ask for what, and how much: tokens, origins, hosts, large requests, many clients."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from mssbench.report.page import content_security_policy, environment
from mssbench.runs.run import Run
from mssbench.runs.status import RunStatus, status_of
from mssbench.server.app import create_app
from mssbench_service.errors import BadInput

from .conftest import RUN, events_of, in_this_process, problem_of, settings_of


def test_requests_that_change_something_need_the_token(
    workspace: Path, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret-ü\n", encoding="utf-8")
    monkeypatch.setenv("MSSBENCH_TOKEN_FILE", str(file))
    right = {b"Authorization": "Bearer s3cret-ü".encode()}
    with in_this_process(workspace, redis_url) as client:
        for headers in (
            dict[bytes, bytes](),
            {b"Authorization": b"Bearer s3cret"},
            {b"Authorization": b"s3cret-\xc3\xbc"},
            {b"Authorization": b"Basic s3cret-\xc3\xbc"},
        ):
            refused = client.post("/runs", json=RUN, headers=headers)
            assert problem_of(refused, 401)["type"] == "urn:mssbench:error:unauthorized"
            assert refused.headers["www-authenticate"] == "Bearer"
        problem_of(client.delete("/runs/nothing"), 401)
        problem_of(client.post("/anything/a/page/may/add"), 401)
        assert client.get("/runs").json() == []
        run = client.post("/runs", json=RUN, headers=right)
        assert run.status_code == 202
        assert client.post(f"/runs/{run.json()['id']}/cancel", headers=right).status_code == 202
        lower = {b"Authorization": "bearer s3cret-ü".encode()}  # RFC 9110: a scheme's case does not matter
        assert client.delete(f"/runs/{run.json()['id']}", headers=lower).status_code in (204, 409)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_the_service_does_not_start_with_an_empty_token_file(
    workspace: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:

    if content is not None:
        (workspace / "token").write_text(content)
    monkeypatch.setenv("MSSBENCH_TOKEN_FILE", str(workspace / "token"))
    with pytest.raises(BadInput, match="MSSBENCH_TOKEN_FILE"):
        create_app(settings_of(workspace), "redis://127.0.0.1:1/0")


def test_requests_from_other_sites_are_refused(api: httpx.Client) -> None:
    assert problem_of(api.post("/runs", json=RUN, headers={"Origin": "https://elsewhere.example"}), 403)
    assert problem_of(api.post("/runs", json=RUN, headers={"Origin": "null"}), 403)
    assert api.post("/runs", json=RUN, headers={"Origin": str(api.base_url)}).status_code == 202


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"separators": [f"oracle-{number}" for number in range(40_000)]}, "40000 separators are given"),
        ({"separators": ["a"] * 40_000}, "40000 separators are given"),
        ({"separators": ["-" * 900_000]}, "a name of more than 200 characters"),
        ({"conditions": ["stereo"] * 40_000}, "is given twice"),
        ({"dataset": "/".join(["a"] * 400_000)}, "too long for a path"),
    ],
    ids=["names", "equal names", "a long name", "conditions", "a long path"],
)
def test_a_large_request_is_refused_in_linear_time(
    api: httpx.Client, settings: dict[str, Any], says: str
) -> None:
    started = time.process_time()  # of this process, in which the service runs
    answer = api.post("/runs", json={"dataset": "music", **settings})
    assert time.process_time() - started < 1.5
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_requests_of_other_hosts_are_refused(api: httpx.Client) -> None:
    for path in ("/", "/runs", "/health", "/info"):
        for host in ("rebound.example", "orchestrator"):
            assert api.get(path, headers={"Host": host}).status_code == 403
        assert api.get(path, headers={"Host": "localhost:1"}).status_code == 200


def test_clients_that_follow_a_run_share_its_surveys(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = api.post("/runs", json={"dataset": "music", "separators": ["oracle-identity"]})
    run_id = answer.json()["id"]
    surveys = []

    def counted(run: Run) -> RunStatus:
        surveys.append(run.store.id)
        return status_of(run)

    monkeypatch.setattr("mssbench.server.run_service.status_of", counted)
    seconds = 3.0

    def follow(_: int) -> int:
        count, deadline = 0, time.monotonic() + seconds
        with api.stream("GET", f"/runs/{run_id}/events", timeout=60) as events:
            for line in events.iter_lines():
                count += line.startswith("event: progress")
                if time.monotonic() > deadline or count:
                    break
            time.sleep(max(0.0, deadline - time.monotonic()))
        return count

    started = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(follow, range(20))) == [1] * 20
    assert 1 <= len(surveys) <= 2 * (time.monotonic() - started) + 2, "each client surveyed the run"
    # A change is seen at once, not after the time for which a survey is shared.
    api.post(f"/runs/{run_id}/cancel")
    assert [status.state for _, status in events_of(api, run_id)][-1] == "cancelled"


def test_pages_of_a_report_carry_their_content_security_policy(api: httpx.Client, workspace: Path) -> None:
    run_id = api.post("/runs", json=RUN).json()["id"]
    folder = workspace / "runs" / run_id / "report"
    folder.mkdir()
    page = environment("report.js", "tips.js").from_string('{% extends "base.html.j2" %}').render()
    for text, scripts in ((page, "'sha256-"), ("<html>of an earlier version</html>", "'unsafe-inline'")):
        (folder / "index.html").write_text(text, encoding="utf-8")
        policy = api.get(f"/runs/{run_id}/report/index.html").headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith("; frame-ancestors 'none'")
        assert f"script-src {scripts}" in policy
    assert "unsafe-inline" not in content_security_policy(["tips.js"]).split("script-src")[1].split(";")[0]
