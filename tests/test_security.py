"""The protections in docs/security.md that need no container, and a check that its tests exist."""

from __future__ import annotations

import ast
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from browsing import Recorded, chromium
from measured import measured
from mssbench.execution import queues
from mssbench.execution.embedded import embedded_server
from mssbench.execution.prepare import prepare
from mssbench.execution.queue_status import queue_status
from mssbench.execution.workers import BenchWorker
from mssbench.runs.config import RunConfig
from mssbench.runs.run import Run, Task
from mssbench.services.runtime import make_runtime
from mssbench.settings.limits import Limits
from mssbench_contract import running
from redis import Redis
from rq import Callback, Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

ROOT = Path(__file__).resolve().parents[1]
COMPOSED = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSED["services"]
OVERLAYS = sorted(path for path in ROOT.glob("docker-compose.*.yml"))
SOURCES = sorted(
    path
    for folder in ("metrics/binaural_metrics", "orchestrator/mssbench", "services/*/*_service", "tools")
    for path in ROOT.glob(f"{folder}/**/*.py")
    if ".venv" not in path.parts
)


# -- API page ------------------------------------------------------------------------------------------------


def test_the_api_page_loads_nothing_from_other_hosts() -> None:
    """In a browser, with all operations open and one request sent."""
    with (
        running("oracle_service.app:app", {}) as service,
        chromium() as browser,
        Recorded(browser, (f"{service.url}/", "data:"), 1280, "light", 900) as recorded,
    ):
        page = recorded.page
        page.goto(f"{service.url}/docs")
        page.locator(".opblock").first.wait_for()
        for operation in page.locator(".opblock").all():
            operation.locator("button.opblock-summary-control").click()
            operation.locator(".responses-wrapper").wait_for()
        page.locator("#operations-system-health_health_get button.try-out__btn").click()
        page.locator("#operations-system-health_health_get button.execute").click()
        answer = page.locator("#operations-system-health_health_get .live-responses-table")
        answer.get_by_text('"status"').wait_for()
        names = page.locator(".opblock-summary-path").all_inner_texts()
        assert "/separate" in {name.replace("\u200b", "") for name in names}
        assert f"{service.url}/health" in recorded.requests


# -- containers ----------------------------------------------------------------------------------------------


def test_only_the_orchestrator_and_the_dashboards_have_a_port_and_that_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert set(published) == {"orchestrator", "grafana"}
    assert {port.split(":")[0] for ports in published.values() for port in ports} == {"127.0.0.1"}
    assert SERVICES["grafana"]["profiles"] == ["monitoring"]


def test_redis_is_only_on_the_network_of_the_composed_system() -> None:
    redis = SERVICES["redis"]
    assert redis.keys().isdisjoint({"ports", "expose", "network_mode", "networks", "links"})
    # Without `networks`, all services are on the network that compose creates for this project.
    assert not any(network.get("external") for network in (COMPOSED.get("networks") or {}).values())
    assert all("network_mode" not in service for service in SERVICES.values())


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_few_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    limits = service["deploy"]["resources"]["limits"]
    assert limits["memory"]
    assert int(limits["pids"]) > 0
    user = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", service["user"])
    assert user.split(":")[0] not in ("", "0", "root")
    assert service.keys().isdisjoint({"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"})
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.name)
def test_overlays_do_not_weaken_the_containers(path: Path) -> None:
    for name, service in yaml.safe_load(path.read_text())["services"].items():
        forbidden = {"ports", "privileged", "cap_add", "cap_drop", "read_only", "security_opt", "user"}
        assert service.keys().isdisjoint(forbidden | {"network_mode", "pid", "ipc"}), name


@pytest.mark.parametrize("path", sorted(ROOT.glob("services/**/Dockerfile")), ids=lambda p: p.parent.name)
def test_images_do_not_start_as_root(path: Path) -> None:
    *_, last = path.read_text().split("\nFROM ")
    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE)[-1] == "bench"


# -- Redis ---------------------------------------------------------------------------------------------------


@pytest.fixture
def connection() -> Iterator[Redis]:
    with embedded_server() as server:
        connection = queues.connect(server.url)
        yield connection
        connection.close()


@pytest.fixture
def run(workspace: Path) -> Run:
    config = RunConfig(dataset="music", separators=["oracle-mixture"], conditions=["stereo"], tracks=1)
    return prepare(config, make_runtime(workspace), run_id="mine")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o755)


def a_pickle(queue: Queue, trap: Path) -> Job:
    job = queue.enqueue("mssbench.execution.work.work", "mine", {})
    queue.connection.hset(job.key, "data", pickle.dumps(Trap(trap)))
    return job


def a_pickle_beside_it(queue: Queue, trap: Path) -> Job:
    job = queue.enqueue("mssbench.execution.work.work", "mine", {})
    queue.connection.hset(job.key, mapping=dict.fromkeys(("meta", "result"), pickle.dumps(Trap(trap))))
    return job


def another_function(queue: Queue, trap: Path) -> Job:
    return queue.enqueue("os.mkdir", str(trap))


def a_method(queue: Queue, trap: Path) -> Job:
    job = queue.create_job("format", args=[str(trap)])
    job._instance = "{}"
    return queue.enqueue_job(job)


def a_callback(queue: Queue, trap: Path) -> Job:
    """A callback of a module on the path. The import alone would run its code."""
    (trap.parent / "trap_module.py").write_text(
        f"import os\nos.mkdir({str(trap)!r})\ndef f(*_): pass\n", encoding="utf-8"
    )
    callback = Callback("trap_module.f")
    return queue.enqueue("mssbench.execution.work.work", "mine", {}, on_failure=callback, on_success=callback)


FOREIGN_JOBS = (a_pickle, a_pickle_beside_it, another_function, a_method, a_callback)


@pytest.mark.parametrize("foreign_job", FOREIGN_JOBS, ids=lambda kind: kind.__name__)
def test_foreign_jobs_in_redis_are_not_executed(
    foreign_job: Any, run: Run, connection: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    trap = tmp_path / "sprung"
    name = "separate-oracle"
    # Enqueued by plain RQ, without the job class of this project.
    job = foreign_job(Queue(name, connection=connection, serializer=JSONSerializer), trap)
    queues.reconcile(run, connection)
    queue_status(connection)
    BenchWorker(queues.open_queue(name, connection), Limits()).work(burst=True, logging_level="CRITICAL")
    queues.reconcile(run, connection)
    queue_status(connection)
    assert not trap.exists()
    assert job.get_status() == JobStatus.FAILED
    # The worker has executed the job of the run.
    assert run.store.separated(run.record.cells()[0])


def test_the_foreign_jobs_would_work_in_plain_rq(connection: Redis, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    job = another_function(Queue("separate-oracle", connection=connection, serializer=JSONSerializer), trap)
    job.perform()
    assert trap.exists()
    trap.rmdir()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()


def test_jobs_in_redis_are_json(run: Run, connection: Redis) -> None:
    queues.reconcile(run, connection)
    task = next(task for task in run.open_tasks() if isinstance(task, Task))
    job = Job.fetch(queues.job_id("mine", task), connection, serializer=JSONSerializer)
    function, instance, arguments, keywords = JSONSerializer.loads(job.data)  # type: ignore[no-untyped-call]
    assert (function, instance, arguments) == ("mssbench.execution.work.work", None, [])
    assert keywords["run_id"] == "mine"


# -- functions that execute their input ----------------------------------------------------------------------

FORBIDDEN_CALLS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "shelve.open", "joblib.load",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system", "os.popen",
}  # fmt: skip
"""Functions that the code of this project must not call."""


def calls(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            keywords = {
                one.arg: one.value.value
                for one in node.keywords
                if one.arg and isinstance(one.value, ast.Constant)
            }
            yield ast.unparse(node.func), keywords


def test_the_code_calls_no_function_that_executes_its_input() -> None:
    assert len(SOURCES) > 80
    seen = set()
    for path in SOURCES:
        for function, keywords in calls(path):
            where = f"{path.relative_to(ROOT)}: {function}"
            seen.add(function)
            assert function not in FORBIDDEN_CALLS, where
            assert function != "torch.load" or keywords.get("weights_only") is True, where
            assert function not in ("np.load", "numpy.load") or keywords.get("allow_pickle") is False, where
            assert keywords.get("shell", False) is False, where
    assert {"np.load", "yaml.safe_load"} <= seen  # the search finds calls


# -- threat model --------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w./]+\.py)::(?:\w+::)?(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_tests_named_in_the_threat_model_exist(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_row_of_the_threat_model_names_a_test() -> None:
    heads = ("| Threat", "| Kind")
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(heads)]
    assert len(rows) >= 15
    for row in rows:
        assert re.search(r"`[\w./]+\.py::(?:\w+::)?test_\w+`", row), row


def test_all_that_was_tried_has_held() -> None:
    numbers = measured()
    assert len(numbers) >= 7
    assert all(tried == held > 0 for tried, held in numbers.values()), numbers
