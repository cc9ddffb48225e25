"""Analyses of references in files: the same bits, bounded in size, and no trust in damaged files."""

from __future__ import annotations

import multiprocessing
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from binaural_metrics.normal_equations import NormalEquations
from binaural_metrics.scoring import score_track
from evaluator_service.shared import SharedCache, reference_cache

FS = 8000
FORK = multiprocessing.get_context("fork")


def stems() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: (0.1 * rng.standard_normal((2, 2 * FS))).astype(np.float32) for name in ("vocals", "bass")}


X = np.zeros((2, 3))


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.ref")}


def unexpected() -> Any:
    raise AssertionError("computed again")


def test_scores_from_files_of_another_process_are_bit_identical(tmp_path: Path) -> None:
    references = stems()
    estimates = {name: 0.9 * x + 0.1 * x[::-1] for name, x in references.items()}
    dry = {name: x[0, :-100] for name, x in references.items()}

    def score(cache: SharedCache) -> tuple[object, dict[str, np.ndarray]]:
        return score_track(references, estimates, FS, cache=cache, workers=1, dry=dry)

    child = FORK.Process(target=score, args=(SharedCache(tmp_path),))
    child.start()
    child.join()
    files = kept(tmp_path)
    # Of each stem: paper, ITD, bands, place, response; of both: correlations. Their large equations are not written.
    assert len(files) == 2 * 5 + 1
    expected, found = (
        score_track(references, estimates, FS, dry=dry),
        score(SharedCache(tmp_path)),
    )
    assert found[0] == expected[0]
    for column, values in expected[1].items():
        np.testing.assert_array_equal(found[1][column], values)
    assert kept(tmp_path) == files  # nothing was computed again


def test_a_damaged_file_is_computed_again_wherever_the_damage_is(tmp_path: Path) -> None:
    cache, gram = SharedCache(tmp_path), np.asfortranarray(np.arange(6.0).reshape(2, 3))
    value = NormalEquations([gram, gram[:1]], np.empty((0, 2)), None)
    cache.get([X], "factors", lambda: value)
    (path,) = tmp_path.glob("*.ref")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:-1], b"", b"x" * 100, whole[: len(whole) // 2]]
    for at in rng.choice(len(whole), 40, replace=False).tolist():
        damaged.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    for content in damaged:
        path.write_bytes(content)
        found = cache.get([X], "factors", lambda: value)
        assert isinstance(found, NormalEquations)
        np.testing.assert_array_equal(found.factors[0], gram)
    path.write_bytes(whole)
    found = SharedCache(tmp_path).get([X], "factors", unexpected)
    assert isinstance(found, NormalEquations)
    assert found.factors[0].flags.f_contiguous
    assert (found.scale.shape, found.lags) == ((0, 2), None)
    with pytest.raises(ValueError, match="read-only"):
        found.factors[0][0] = 1


@pytest.mark.parametrize("name", ["os.system", "numpy.ndarray", "binaural_metrics.reuse.ReferenceCache"])
def test_a_file_cannot_name_a_class_that_is_no_result(tmp_path: Path, name: str) -> None:
    cache = SharedCache(tmp_path)
    cache.get([X], "value", lambda: NormalEquations([], np.eye(1), None))
    (path,) = tmp_path.glob("*.ref")
    module, kind = name.rsplit(".", 1)
    described = f'{{"module": "{module}", "class": "{kind}", "fields": ["exit 1"]}}'
    content = described.encode() + struct.pack("<Q", len(described))
    path.write_bytes(content + struct.pack("<I", zlib.crc32(content)))
    assert cache.get([X], "value", lambda: 5) == 5


def test_the_files_that_were_used_least_recently_are_removed(tmp_path: Path) -> None:
    cache, size = SharedCache(tmp_path, max_bytes=2500), 125
    for name in ("a", "b", "a", "c"):
        cache.get([X], name, lambda: np.zeros(size))
    cache.get([X], "a", unexpected)
    assert len(kept(tmp_path)) == 2
    cache.get([X], "large", lambda: np.zeros(1000))
    assert len(kept(tmp_path)) == 2
    with pytest.raises(AssertionError, match="again"):
        cache.get([X], "b", unexpected)


def test_a_full_disk_other_types_and_folders_that_vanished_are_no_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SharedCache(tmp_path).get([X], "set", lambda: {1}) == {1}
    assert SharedCache(tmp_path / "none").get([X], "number", lambda: 5) == 5

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(zlib, "crc32", full)
    assert SharedCache(tmp_path).get([X], "number", lambda: 5) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_processes_wait_for_the_one_that_computes_and_continue_if_it_is_killed(tmp_path: Path) -> None:
    def slow() -> float:
        is_first = not any(tmp_path.glob("*.computes"))
        (tmp_path / f"{os.getpid()}.computes").touch()
        time.sleep(600 if is_first else 0.3)  # the first one is killed
        return 1.0

    def get() -> None:
        SharedCache(tmp_path).get([X], "value", slow)

    workers = [FORK.Process(target=get) for _ in range(3)]
    for worker in workers:
        worker.start()
    while not (begun := list(tmp_path.glob("*.computes"))):
        time.sleep(0.01)
    first = next(worker for worker in workers if worker.pid == int(begun[0].stem))
    first.kill()
    for worker in workers:
        worker.join()
    assert len(list(tmp_path.glob("*.computes"))) == 2
    assert SharedCache(tmp_path).get([X], "value", unexpected) == 1.0


def test_the_folder_is_named_by_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(reference_cache(), SharedCache)
    monkeypatch.setenv("MSSBENCH_REFERENCES", str(tmp_path))
    assert isinstance(reference_cache(), SharedCache)
