"""An upload for which there is no room on the disk."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

import pytest
from mssbench_contract import music, wav
from mssbench_contract.server import wait_for
from mssbench_service.app import Settings
from mssbench_service.errors import StorageFull, from_problem
from mssbench_service.files import DataRoot
from mssbench_service.separator_app import create_separator_app

from .conftest import Serve
from .tiny_separators import Quarters


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# An older Starlette leaves a file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "where",
    ["starlette.formparsers.SpooledTemporaryFile.write", "shutil.copyfileobj", "zipfile.ZipFile.write"],
)
def test_an_upload_without_room_on_the_disk_is_a_retryable_error(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app = create_separator_app("trial", "1.2.3", {"quarters": Quarters}, Settings(DataRoot(tmp_path)))
    service = serve(app)
    wait_for(lambda: service.get("/health").status == 200)
    with monkeypatch.context() as full:
        full.setattr(where, no_room)
        error = from_problem(service.upload(wav(music(20.0))).json())
    assert isinstance(error, StorageFull)
    assert error.detail == "no room left for an upload and its stems in the folder for temporary files"
    wait_for(lambda: not list(tmp_path.iterdir()))
    assert service.upload(wav(music(1.0))).status == 200
    gc.collect()
