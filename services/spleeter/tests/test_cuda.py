"""TensorFlow finds CUDA's libraries in the wheels of ``cuda.lock``; missing libraries are reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from spleeter_service.check_cuda import LIBRARIES as REQUESTED
from spleeter_service.cuda import LIBRARIES

without_wheels = pytest.mark.skipif(find_spec("nvidia") is not None, reason="the wheels are installed")
with_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def check(*search: Path) -> subprocess.CompletedProcess[str]:
    """Run the check in a new process, with the folders `search` added to the path of packages."""
    return subprocess.run(
        [sys.executable, "-m", "spleeter_service.check_cuda"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, search)), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def wheels(root: Path, cuda: int = 11080, cudnn: int = 8600) -> Path:
    """Write the folders of the wheels, with libraries that only report their versions."""
    for library in (root / "nvidia" / name for name in LIBRARIES):
        library.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-x", "c", "-", "-o", str(library)],
            input=f"unsigned long cublasGetCudartVersion(void) {{ return {cuda}; }}\n"
            f"unsigned long cudnnGetVersion(void) {{ return {cudnn}; }}\n",
            text=True,
            check=True,
        )
    return root


@without_wheels
def test_without_the_wheels_every_library_is_reported_missing() -> None:
    done = check()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"TensorFlow does not find {name}" for name in REQUESTED]


@without_wheels
@with_compiler
def test_the_loader_of_tensorflow_finds_the_libraries_in_the_wheels(tmp_path: Path) -> None:
    done = check(wheels(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


@without_wheels
@with_compiler
def test_missing_and_damaged_libraries_are_reported(tmp_path: Path) -> None:
    nvidia = wheels(tmp_path) / "nvidia"
    (nvidia / "cufft/lib/libcufft.so.10").unlink()
    (nvidia / "cusparse/lib/libcusparse.so.11").write_bytes(b"no library")
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["TensorFlow does not find Cufft", "TensorFlow does not find Cusparse"]


@without_wheels
@with_compiler
def test_wrong_versions_are_reported(tmp_path: Path) -> None:
    done = check(wheels(tmp_path, cuda=11070, cudnn=8500))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "TensorFlow was built for CUDA 11.8 and finds 11.7",
        "TensorFlow was built for cuDNN 8600 and finds 8500",
    ]
