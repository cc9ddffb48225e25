"""The chunk loop, compared with MSST's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict
from mssbench_contract import music
from mssbench_service.audio import FloatArray
from mssbench_service.errors import ClientDisconnected
from msst_service.chunks import Chunks, separate, stems_of

SIZE, STEMS = 1000, ["vocals", "other", "bass"]


class Uneven(torch.nn.Module):
    """Estimates that depend on the place in the chunk, so that every weight of the loop shows in the result."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(0.5, 2, batch.shape[-1])
        return torch.stack([batch * ramp, batch.flip(-1), batch.cumsum(-1) / 50], dim=1)


def reference(track: FloatArray, overlap: int, group: int, model_type: str) -> FloatArray:
    from msst.utils.model_utils import demix

    config: Any = ConfigDict(
        {
            "audio": {"chunk_size": SIZE},
            "training": {"instruments": STEMS, "target_instrument": None, "samplerate": SIZE, "segment": 1},
            "inference": {"num_overlap": overlap, "batch_size": group},
        }
    )
    signal: Any = track
    found: Any = demix(config, Uneven(), signal, torch.device("cpu"), model_type)
    return np.stack(list(found.values()))


@pytest.mark.parametrize(("overlap", "group"), [(1, 1), (2, 1), (4, 1), (3, 2), (4, 3), (2, 16)])
@pytest.mark.parametrize("samples", [1, 300, 501, 1000, 1499, 1501, 2003, 9876])
def test_the_result_is_that_of_msst(overlap: int, group: int, samples: int) -> None:
    track = music(0.3)[:, :samples]
    for model_type in ("scnet", "htdemucs"):
        chunks = Chunks(SIZE, SIZE // overlap, model_type == "scnet", group)
        expected = reference(track, overlap, group, model_type)
        for batch_size in (1, 4):
            found = separate(track, Uneven(), 3, chunks, batch_size)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_normalization_is_undone() -> None:
    track = music(0.2) * np.float32(0.01) + np.float32(0.2)
    levels = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        levels.append(batch.mean(1).std().item())
        return batch[:, None]

    found = separate(track, forward, 1, Chunks(4000, 1000, normalize=True))
    np.testing.assert_allclose(found[0], track, atol=1e-6)
    assert 0.3 < np.median(levels) < 3
    constant = np.full((2, 500), 0.25, np.float32)
    np.testing.assert_allclose(separate(constant, forward, 1, Chunks(100, 25, normalize=True))[0], constant)


def test_nan_is_not_hidden() -> None:
    found = separate(music(0.1), lambda batch: batch[:, None] * np.nan, 1, Chunks(1000, 250))
    assert np.isnan(found).all()


def test_the_job_stops_between_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        return batch[:, None]

    def disconnected() -> None:
        if len(calls) == 2:
            raise ClientDisconnected("gone")

    monkeypatch.setattr("msst_service.chunks.raise_if_cancelled", disconnected)
    with pytest.raises(ClientDisconnected):
        separate(music(1.0), forward, 1, Chunks(1000, 250), batch_size=3)
    assert calls == [3, 3]


def test_the_target_is_taken_from_a_model_of_one_stem_and_of_all() -> None:
    alone, all_stems = torch.ones(2, 2, 9), torch.arange(3.0).reshape(1, 3, 1, 1).expand(2, 3, 2, 9)
    assert stems_of(alone, STEMS, "vocals").shape == (2, 1, 2, 9)
    assert stems_of(all_stems, STEMS, "bass").unique().tolist() == [2.0]
    assert stems_of(all_stems, STEMS, None).shape == (2, 3, 2, 9)
    with pytest.raises(ValueError, match=r"shape \(2, 1, 2, 9\); expected 3 stem\(s\)"):
        stems_of(alone, STEMS, None)
