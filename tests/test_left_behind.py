"""A process that ends in the middle of writing leaves nothing behind, or what it left is removed the next time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mssbench.services.runtime import make_runtime
from mssbench.tools.batch import synthesise
from mssbench.tools.output_folder import output_folder

AT_WORK = """
import time
from pathlib import Path
from mssbench.cli.folders import clean_exit_on_sigterm
from mssbench.tools.output_folder import output_folder
from mssbench_service.files import atomic_folder

with clean_exit_on_sigterm(), output_folder(Path(".")), atomic_folder(Path("track")) as folder:
    (folder / "half.wav").write_bytes(b"RIFF")
    print("writing", flush=True)
    time.sleep(600)
"""


def at_work(folder: Path) -> subprocess.Popen[bytes]:
    """A process in the middle of writing a folder there."""
    process = subprocess.Popen([sys.executable, "-c", AT_WORK], cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    return process


def end(process: subprocess.Popen[bytes], number: int) -> int:
    with process:
        process.send_signal(number)
        return process.wait(timeout=120)


def names(folder: Path) -> set[str]:
    return {path.name[:5] for path in folder.iterdir()}


@pytest.mark.parametrize(("number", "code", "left"), [("SIGTERM", 143, set()), ("SIGKILL", -9, {".tmp-"})])
def test_a_process_that_is_told_to_end_takes_its_folder_along(
    tmp_path: Path, number: str, code: int, left: set[str]
) -> None:
    assert end(at_work(tmp_path), getattr(signal, number)) == code
    assert names(tmp_path) == left  # one that is killed cannot, which is what the next test is about


def test_what_a_killed_synth_left_is_gone_after_the_next(workspace: Path) -> None:
    out = workspace / "out" / "test"
    out.mkdir(parents=True)
    end(at_work(out), signal.SIGKILL)
    assert names(out) == {".tmp-"}
    runtime = make_runtime(workspace)
    assert synthesise(workspace / "music", workspace / "out", runtime, hrir="sphere") == 2
    assert ".tmp-" not in names(out)
    assert len(list(out.iterdir())) == 2


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    process = at_work(tmp_path)
    try:
        with output_folder(tmp_path):
            assert names(tmp_path) == {".tmp-"}
    finally:
        end(process, signal.SIGTERM)
    with output_folder(tmp_path), output_folder(tmp_path):  # two of us at once are no trouble either
        assert names(tmp_path) == set()
