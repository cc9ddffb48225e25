"""The scripts of ``cluster/`` on a real Slurm: a controller and a node of its own on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_model import interpreters, write_model
from mssbench.datasets.demo import write_demo
from mssbench_contract.server import free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue")
# A wrong number of processors, so that the head and the workers run at the same time.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
NodeName={host} CPUs=8 NodeAddr=127.0.0.1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user of a cluster with one node."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"Slurm is not installed: there is no {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    host, user = socket.gethostname().partition(".")[0], os.environ.get("USER", "root")
    text = CONFIGURATION.format(host=host, user=user, folder=folder, controller=free_port(), node=free_port())
    (folder / "slurm.conf").write_text(text)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    daemons = []
    try:
        for command in (["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
            log = (folder / f"{command[0]}.log").open("wb")
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            log.close()
        for _ in range(120):
            found = subprocess.run(
                ["sinfo", "--noheader", "--format", "%T"],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if found.stdout.strip() == "idle":
                break
            time.sleep(0.5)
        else:
            logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
            pytest.fail(f"Slurm did not start: {found.stdout}{found.stderr}\n{logs}")
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(60)


def test_a_run_is_shared_by_an_array_of_workers_with_a_model_beside_each(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "shared"
    write_demo(root / "music", tracks=2, seconds=2.0)
    model = write_model(tmp_path / "mine")
    environment = slurm | interpreters(tmp_path / "scripts")
    environment |= {
        "PATH": f"{tmp_path / 'scripts'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{slurm['PATH']}",
        "MSSBENCH_DATA_ROOT": str(root),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "MODELS": str(model),
        "WORKERS": "2",
        "IDLE_SECONDS": "60",
        "HEAD_OPTIONS": "--mem=0",
        "WORKER_OPTIONS": "--mem=0 --oversubscribe",
    }
    command = [str(ROOT / "cluster/submit"), "--dataset", "music", "--separators", "oracle-irm,mine"]
    command += ["--no-bsseval", "--run-id", "cluster"]
    submitted = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert submitted.returncode == 0, submitted.stderr
    deadline = time.monotonic() + 500
    queue = ["squeue", "--noheader", "--format", "%i %j %T %r"]
    while left := subprocess.run(queue, env=environment, capture_output=True, text=True, check=True).stdout:
        assert time.monotonic() < deadline, left
        time.sleep(1)
    logs = {path.name: path.read_text() for path in (root / ".cluster").glob("*.log")}
    assert sorted(name.split("-")[0] for name in logs) == ["head", "worker", "worker"], logs
    (head,) = [text for name, text in logs.items() if name.startswith("head")]
    assert "report: runs/cluster/report/index.html" in head, logs
    results = (root / "runs/cluster/results.csv").read_text().splitlines()
    assert len(results) == 1 + 2 * 2 * 2 * 4, logs
    assert not any(",failed," in line for line in results)
    workers = [text for name, text in logs.items() if name.startswith("worker")]
    assert all("mine is ready at http://127.0.0.1:" in text for text in workers)
    assert all("mine is stopped" in text for text in workers)
    assert sum(text.count('"message": "evaluate ended') for text in workers) == 8
    assert list((root / ".cluster").glob("*.url")) == [], "the password of Redis is not left behind"
