"""Configuration of Prometheus and Grafana: valid, tested by promtool, and about metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MONITORING = ROOT / "monitoring"

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


def expressions() -> list[str]:
    dashboard = json.loads((MONITORING / "grafana/dashboards/mssbench.json").read_text())
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in rules)]


def promtool(*arguments: str, text: str = "") -> str:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=MONITORING,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_accepts_the_configuration_and_the_alerts_fire() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


@needs_promtool
def test_the_expressions_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{index}", "expr": expression} for index, expression in enumerate(expressions())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))


def test_each_metric_of_the_expressions_exists() -> None:
    sources = [
        ROOT / "services/base/mssbench_service/metrics.py",
        ROOT / "orchestrator/mssbench/server/collector.py",
    ]
    declared = set(re.findall(r'"(mssbench_\w+)"', "".join(path.read_text() for path in sources)))
    used = {name for expression in expressions() for name in re.findall(r"mssbench_\w+", expression)}
    assert {re.sub(r"_(total|bucket)$", "", name) for name in used} <= declared


def test_all_services_are_scraped() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    with_metrics = {name for name, entry in compose.items() if "build" in entry}
    (job,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    assert set(job["dns_sd_configs"][0]["names"]) == with_metrics
