"""The metrics on arrays of another namespace than NumPy's: of the array API standard alone, and of PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import binaural_metrics as bm
import numpy as np
import pytest
from binaural_metrics import arrays
from binaural_metrics.bsseval import bss_eval
from binaural_metrics.scoring import score_track
from binaural_metrics.spauq import spauq_both
from golden_signals import cases, delay, extreme, pink

FS = 8000
WITHIN = {"cue_error_jnd": 1e-3, "in_place": 0.2, "in_place_1jnd": 0.2, "in_place_4jnd": 0.2}
"""Spectra of cells are in float32 with NumPy, so that single cells can lie on the other side of a tolerance."""


@pytest.fixture(scope="module")
def track() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    irs = np.zeros((4, 2, 16))
    for i, late in enumerate((0, 3, 0, -3)):
        irs[i, 0, 6 - late], irs[i, 1, 6 + late] = 1.0 + 0.1 * late, 1.0 - 0.1 * late
    irs += 0.05 * rng.standard_normal(irs.shape)
    dry = {stem: pink(rng, 1, 3 * FS)[0] for stem in ("vocals", "bass")}
    true = {
        stem: np.stack([np.convolve(x, h)[: len(x)] for h in irs[i]])
        for i, (stem, x) in enumerate(dry.items())
    }
    found = {
        stem: 0.8 * x + 0.1 * x[::-1] + 0.1 * delay(x, 7) + 1e-3 * pink(rng, 2, 3 * FS)
        for stem, x in true.items()
    }
    hrir = bm.Hrirs(np.array([0.0, 90.0, 180.0, 270.0]), irs, FS)
    return {
        "reference": true,
        "estimate": found,
        "sample_rate": FS,
        "metrics": "all",
        "hrir": hrir,
        "dry": dry,
    }


@pytest.fixture(params=["strict", "cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    """A context in which the metrics use the arrays of the standard alone, or of PyTorch on a device."""
    if request.param == "strict":
        library = pytest.importorskip("array_api_strict")
        return arrays.using(arrays.DeviceArrays("strict", library, library.Device("CPU_DEVICE")))
    torch = pytest.importorskip("torch")
    pytest.importorskip("array_api_compat")
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return arrays.on_device(request.param)


def test_the_values_of_another_namespace_are_those_of_numpy(
    track: dict[str, Any], device: AbstractContextManager[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, used = bm.score(**track), set()
    put = arrays.DeviceArrays.put

    def noted(self: arrays.DeviceArrays, x: Any) -> Any:
        used.add(sys._getframe(1).f_globals["__name__"].rpartition(".")[2])
        return put(self, x)

    monkeypatch.setattr(arrays.DeviceArrays, "put", noted)
    with device:
        found = bm.score(**track)
    assert used >= {"place", "itd", "bands", "response", "direction", "correlation", "bsseval"}
    for stem, row in expected.stems.items():
        assert row["status"] == "ok", row["reason"]
        for column, value in row.items():
            if isinstance(value, float):
                assert found.stems[stem][column] == pytest.approx(value, abs=WITHIN.get(column, 1e-6)), column
            elif column != "bands":
                assert np.shape(found.stems[stem][column]) == np.shape(value), column


def test_extreme_signals_have_the_values_and_reasons_of_numpy(
    track: dict[str, Any], device: AbstractContextManager[None]
) -> None:
    """Without d_ild_db_flat, in which bands of rounding errors count."""
    music = track["reference"]["vocals"]
    signals = extreme(music, FS)
    options = {"sample_rate": FS, "metrics": "all", "hrir": track["hrir"], "bsseval": False}

    def scores() -> dict[str, dict[str, Any]]:
        return {
            name: score_track(
                {"vocals": x}, {"vocals": music[:, : x.shape[1]]}, dry={"vocals": x[0]}, **options
            )[0][0]
            for name, x in signals.items()
        }

    expected = scores()
    with device:
        found = scores()
    for name, row in expected.items():
        assert found[name]["reason"] == row["reason"], name
        for column, value in row.items():
            if isinstance(value, float) and column != "d_ild_db_flat":
                within = WITHIN.get(column, 1e-6)
                assert found[name][column] == pytest.approx(value, abs=within), (name, column)


def test_spauq_decides_by_the_same_lags(device: AbstractContextManager[None]) -> None:
    expected = {name: spauq_both(*pair) for name, pair in cases(FS).items()}
    with device:
        for name, pair in cases(FS).items():
            for of_numpy, found in zip(expected[name], spauq_both(*pair), strict=True):
                for field, values in vars(of_numpy).items():
                    np.testing.assert_array_equal(getattr(found, field), values, f"{name} {field}")


@pytest.mark.parametrize(
    ("rate", "taps", "dependent"), [(2000, 8, False), (2000, 32, False), (4000, 64, True)]
)
def test_bss_eval_equals_that_of_numpy(
    device: AbstractContextManager[None], rate: int, taps: int, dependent: bool
) -> None:
    """Windows of odd and even transforms; regularised equations; a window with a silent stem, a stem not estimated."""
    rng = np.random.default_rng(6)
    references = {stem: pink(rng, 2, 3 * rate) for stem in ("vocals", "bass", "drums")}
    if dependent:
        references = {stem: np.stack([x[0], 0.5 * delay(x[0], 3)]) for stem, x in references.items()}
    references["bass"][:, :rate] = 0.0
    estimates = {
        stem: 0.9 * references[stem] + 0.1 * references["drums"] + 0.01 * pink(rng, 2, 3 * rate)
        for stem in ("vocals", "bass")
    }
    expected = bss_eval(references, estimates, rate, taps=taps, reference_gain=0.8)
    with device:
        found = bss_eval(references, estimates, rate, taps=taps, reference_gain=0.8)
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=1e-6)
    assert found.regularised == expected.regularised == dependent
    assert found.valid.tolist() == [False, True, True]


def test_values_of_one_device_are_not_kept_for_another(
    track: dict[str, Any], device: AbstractContextManager[None]
) -> None:
    cache = bm.ReferenceCache()
    bm.score(**track, cache=cache)
    kept = len(cache)
    with device:
        bm.score(**track, cache=cache)
    assert len(cache) > kept


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "", 0, ["cpu"]])
def test_an_unknown_device_is_refused(track: dict[str, Any], device: Any) -> None:
    with pytest.raises(ValueError, match=r"expected cpu, cuda or cuda:<n>"):
        bm.score(**track, device=device)
    assert arrays.current() is arrays.NUMPY


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    arrays._torch.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", None)
    yield
    arrays._torch.cache_clear()


@pytest.mark.usefixtures("no_torch")
def test_a_device_without_pytorch_is_refused_with_the_pip_command(track: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs torch: pip install 'binaural-metrics\[gpu\]'"):
        bm.score(**track, device="cuda")


def test_a_cuda_device_that_is_not_there_is_refused(track: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("array_api_compat")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="device 'cuda' cannot be used: "):
        bm.score(**track, device="cuda")


def test_a_full_memory_of_the_device_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    monkeypatch.setattr(arrays, "_torch", lambda device: SimpleNamespace(name=device))
    with pytest.raises(MemoryError, match="the device 'cuda' is full"), bm.on_device("cuda"):
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate …")
    assert arrays.current() is arrays.NUMPY
