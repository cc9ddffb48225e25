"""Power cuts: copies of the image of a mounted file system, taken while a run writes to it.

A copy holds what has reached the disk, as after a power cut. The run is continued on each copy.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mssbench.datasets.demo import write_demo
from mssbench.execution.control import clear_damaged
from mssbench.execution.embedded import die_with_parent
from mssbench.execution.inline import run_inline
from mssbench.execution.launch import reload
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.services.runtime import make_runtime
from mssbench_contract.server import wait_for
from system import table, unmounted_at_the_end

CUTS = int(os.environ.get("POWER_CUTS", "3"))
"""The table of docs/security.md was written with 20."""
MEBIBYTES = 320  # XFS needs 300


def once(root: Path) -> None:
    """Create or continue the run, as the command does, and write its table."""
    config = RunConfig(
        "music", separators=["oracle-mixture", "oracle-irm"], bsseval=False, keep_estimates="all"
    )
    run = prepare(config, make_runtime(root), run_id="cut")
    with run.store.lock.hold():
        reload(run)
        clear_damaged(run)
        run_inline(run, lambda: None)
        table(run)


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
    with unmounted_at_the_end(folder):
        yield folder


def copy_image(image: Path, mounted_at: Path, copy: Path) -> None:
    """Copy the image of a mounted file system as it is at one moment: again, if the kernel writes to it meanwhile."""
    device = mounted_at.stat().st_dev
    counters = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")

    def writes() -> tuple[str, str]:
        """Number of completed writes, and of requests that the device processes now."""
        values = counters.read_text().split()
        return values[4], values[8]

    while True:
        before = writes()
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)
        if before == writes() == (before[0], "0"):
            return


@pytest.fixture(params=["ext4", "xfs"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The image of a new file system."""
    tool = shutil.which(f"mkfs.{request.param}")
    if os.geteuid() != 0 or tool is None:
        pytest.skip(f"needs root and mkfs.{request.param}")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(MEBIBYTES * 2**20)
    subprocess.run([tool, "-q", image], check=True)
    try:
        with mounted(image, tmp_path / "disk"):
            pass
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no image can be mounted here: {error.stderr.decode().strip()}")
    return image


@pytest.mark.long
def test_a_run_is_continued_after_power_cuts_with_the_same_results(
    image: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("tried", CUTS)
    write_demo(tmp_path / "music", tracks=4, seconds=2.0)
    shutil.copytree(tmp_path / "music", tmp_path / "calm/music", copy_function=shutil.copy2)
    once(tmp_path / "calm")
    expected = (tmp_path / "calm/runs/cut/results.csv").read_bytes()
    assert b"failed" not in expected

    chance = random.Random(7)
    copies = [tmp_path / f"copy-{number}.img" for number in range(CUTS)]
    with mounted(image, tmp_path / "disk") as root:
        shutil.copytree(tmp_path / "music", root / "music", copy_function=shutil.copy2)
        os.sync()
        # After its end, the run is started again and again, which must not endanger what is complete.
        code = (
            "import sys; sys.path[:0] = sys.argv[2:]\nfrom pathlib import Path; import test_power_cuts as t\n"
        )
        code += "while True: t.once(Path(sys.argv[1]))"
        helpers = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(root), *helpers], preexec_fn=die_with_parent
        )
        try:
            wait_for((root / "runs/cut/run.json").exists, "the run starts")
            for copy in copies:
                time.sleep(chance.uniform(0.0, 0.8))
                assert process.poll() is None
                process.send_signal(signal.SIGSTOP)
                copy_image(image, root, copy)
                process.send_signal(signal.SIGCONT)
        finally:
            process.kill()
            process.wait()
    for number, copy in enumerate(copies):
        with mounted(copy, tmp_path / "restarted") as root:
            once(root)
            assert (root / "runs/cut/results.csv").read_bytes() == expected, f"cut {number}"
        copy.unlink()
