"""What depends on the references alone is computed once for several estimates, and the results are the same bits."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
from binaural_metrics import ReferenceCache, reuse
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import FloatArray
from golden_signals import pink

FS = 8000


def stems(seed: int) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    panned = {name: pink(rng, 1, 2 * FS) * [[1.0], [0.5]] for name in ("vocals", "bass")}
    return {name: (x + 0.01 * pink(rng, 2, 2 * FS)).astype(np.float32) for name, x in panned.items()}


def same(found: tuple[object, dict[str, FloatArray]], expected: tuple[object, dict[str, FloatArray]]) -> None:
    assert found[0] == expected[0]
    for column, values in expected[1].items():
        np.testing.assert_array_equal(found[1][column], values)


def test_scores_with_a_cache_are_bit_identical_and_each_analysis_of_a_reference_is_kept() -> None:
    cache, references = ReferenceCache(), stems(1)
    dry = {name: x[0, :-80] for name, x in references.items()}
    for gain, other in ((0.9, 2), (0.5, 3), (0.9, 2)):
        estimates = {name: gain * x + 0.1 * stems(other)[name] for name, x in references.items()}
        expected = score_track(references, estimates, FS, dry=dry)
        same(score_track(references, estimates, FS, dry=dry, cache=cache), expected)
    # Of each stem: paper, ITD, bands, place, response; of both: correlations and equations.
    assert len(cache) == 2 * 5 + 2
    assert 0 < cache.size <= cache.max_bytes


@pytest.mark.parametrize("shorter", [0, 1, FS // 3])
def test_a_changed_reference_or_length_is_another_reference(shorter: int) -> None:
    cache, references = ReferenceCache(), stems(1)
    estimates = {name: 0.9 * x for name, x in references.items()}
    score_track(references, estimates, FS, cache=cache)
    references["bass"][0, 5] += 1e-3  # in place
    estimates = {name: x[:, : x.shape[1] - shorter] for name, x in estimates.items()}
    expected = score_track(references, estimates, FS)
    same(score_track(references, estimates, FS, cache=cache), expected)


def test_a_call_hashes_each_reference_once(monkeypatch: pytest.MonkeyPatch) -> None:
    digest, references = Mock(wraps=reuse.digest), stems(1)
    monkeypatch.setattr(reuse, "digest", digest)
    score_track(references, references, FS, cache=ReferenceCache())
    assert digest.call_count == len(references)


def test_the_least_recently_used_value_leaves_when_the_limit_is_reached() -> None:
    cache, calls = ReferenceCache(max_bytes=250), []
    a, b, c, large = (np.full((2, 3), i, np.float32) for i in range(4))

    def value(x: FloatArray, floats: int = 12) -> FloatArray:
        def compute() -> FloatArray:
            calls.append(float(x[0, 0]))
            return np.full(floats, x[0, 0], np.float64)

        return cache.get([x], "value", compute)

    for x in (a, b, a, c, a, b):
        assert value(x)[0] == x[0, 0]
    assert calls == [0, 1, 2, 1]
    value(large, 100)
    assert (cache.size, len(cache)) == (192, 2)
    with pytest.raises(ValueError, match="read-only"):
        value(b)[0] = 5
    assert reuse.NO_CACHE.get([a], "value", lambda: 1) == 1
