"""TensorFlow finds CUDA's libraries where ``cuda.lock`` puts them, and it is said when it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from spleeter_service.check_cuda import LIBRARIES as ASKED_FOR
from spleeter_service.cuda import LIBRARIES

without_wheels = pytest.mark.skipif(find_spec("nvidia") is not None, reason="the wheels are installed")
with_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def check(*search: Path) -> subprocess.CompletedProcess[str]:
    """The check, in a process that has asked for no library yet, with packages in `search` as well."""
    return subprocess.run(
        [sys.executable, "-m", "spleeter_service.check_cuda"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, search)), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def wheels(root: Path, cuda: int = 11080, cudnn: int = 8600) -> Path:
    """Folders as the wheels make them, with libraries that say their versions and have nothing else."""
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
def test_without_the_wheels_every_library_is_missed_by_name() -> None:
    done = check()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"TensorFlow does not find {name}" for name in ASKED_FOR]


@without_wheels
@with_compiler
def test_tensorflows_own_loader_finds_what_lies_where_the_wheels_put_it(tmp_path: Path) -> None:
    done = check(wheels(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


@without_wheels
@with_compiler
def test_one_that_is_missing_and_one_that_is_damaged_are_named_and_stop_nothing(tmp_path: Path) -> None:
    nvidia = wheels(tmp_path) / "nvidia"
    (nvidia / "cufft/lib/libcufft.so.10").unlink()
    (nvidia / "cusparse/lib/libcusparse.so.11").write_bytes(b"no library")
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "TensorFlow does not find Cufft",
        "TensorFlow does not find Cusparse",
    ]


@without_wheels
@with_compiler
def test_other_versions_than_tensorflow_was_built_for_are_named(tmp_path: Path) -> None:
    done = check(wheels(tmp_path, cuda=11070, cudnn=8500))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "TensorFlow was built for CUDA 11.8 and finds 11.7",
        "TensorFlow was built for cuDNN 8600 and finds 8500",
    ]
