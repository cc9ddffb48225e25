"""A process that ends while it writes leaves no files, or they are removed by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mssbench.tools.output_folder import output_folder

WRITER = """
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


def start_writer(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that is writing a folder in `folder`."""
    process = subprocess.Popen([sys.executable, "-c", WRITER], cwd=folder, stdout=subprocess.PIPE)
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
def test_a_terminated_process_removes_its_folder(
    tmp_path: Path, number: str, code: int, left: set[str]
) -> None:
    assert end(start_writer(tmp_path), getattr(signal, number)) == code
    assert names(tmp_path) == left  # a killed process cannot remove it


def test_files_that_another_process_writes_are_kept(tmp_path: Path) -> None:
    process = start_writer(tmp_path)
    try:
        with output_folder(tmp_path):
            assert names(tmp_path) == {".tmp-"}
    finally:
        end(process, signal.SIGTERM)
    with output_folder(tmp_path), output_folder(tmp_path):  # two at once
        assert names(tmp_path) == set()
