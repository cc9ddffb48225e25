"""The lock of a run, on file systems that have none or fail."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from mssbench.runs.layout import RunLayout
from mssbench.runs.lock import RunLock, RunMarkers
from mssbench_service.errors import BadInput, Conflict, StorageUnavailable


@pytest.fixture
def lock(tmp_path: Path) -> RunLock:
    return RunLock(RunLayout(tmp_path / "run"))


def failing_flock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("name", ["ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK"])
def test_a_file_system_without_locks_is_named_with_its_mount_option(
    lock: RunLock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with lock.hold():
        pass
    failing_flock(monkeypatch, getattr(errno, name))
    with pytest.raises(BadInput, match=r"run has no file locks; mount it with the option flock") as caught:
        lock.is_held  # noqa: B018
    assert "\n" not in caught.value.detail
    with pytest.raises(BadInput, match="no file locks"), lock.hold():
        pytest.fail("the lock was taken")


def test_a_stale_handle_of_the_lock_is_retryable(lock: RunLock, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock.hold():
        pass
    failing_flock(monkeypatch, errno.ESTALE)
    with pytest.raises(StorageUnavailable):
        lock.is_held  # noqa: B018
    with pytest.raises(StorageUnavailable), lock.hold():
        pytest.fail("the lock was taken")


def test_the_lock_is_exclusive_and_markers_change_once(lock: RunLock) -> None:
    markers = RunMarkers(lock.layout)
    with lock.hold():
        assert lock.is_held
        with pytest.raises(Conflict, match="run by another process"), lock.hold():
            pytest.fail("it was locked twice")
        for _ in range(2):
            markers.set_cancelled(True)
            assert markers.cancelled
        for _ in range(2):
            markers.set_cancelled(False)
            assert not markers.cancelled
    assert not lock.is_held
