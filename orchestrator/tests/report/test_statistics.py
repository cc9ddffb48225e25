"""Statistics compared with SciPy, statsmodels, exact distributions, enumeration and published examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mssbench.report import statistics
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint


def test_bootstrap_agrees_with_the_exact_distribution_of_a_resampled_median() -> None:
    # Odd n: the resampled median is ≤ the k-th order statistic with a binomial probability (Efron 1979).
    n = 11
    values = np.arange(n, dtype=float) ** 2
    middle = (n + 1) // 2
    at_most = [1 - stats.binom.cdf(middle - 1, n, (k + 1) / n) for k in range(n)]
    low = values[np.searchsorted(at_most, 0.025)]
    high = values[np.searchsorted(at_most, 0.975)]
    found = statistics.median(np.random.default_rng(1).permutation(values))
    assert (found.value, found.low, found.high) == (25.0, low, high)
    assert (found.n, found.tracks) == (n, n)


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).normal(10, 4, 40)
    with_scipy = stats.bootstrap(
        (values,), np.median, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    found = statistics.median(values, resamples=20_000)
    spread = with_scipy.high - with_scipy.low
    assert found.value == np.median(values)
    assert abs(found.low - with_scipy.low) < 0.06 * spread
    assert abs(found.high - with_scipy.high) < 0.06 * spread


def test_medians_from_counts_equal_medians_of_resampled_arrays() -> None:
    rng = np.random.default_rng(5)
    table = np.round(rng.normal(size=(7, 4)), 1)  # ties
    table[1, 2] = table[3] = np.nan
    kept = np.delete(table, 3, axis=0)
    drawn = np.random.default_rng(9).multinomial(6, np.full(6, 1 / 6), size=300)
    literal = [np.nanmedian(np.repeat(kept, draws, axis=0)) for draws in drawn]
    found = statistics.median(table, resamples=300, seed=9)
    assert (found.n, found.tracks) == (23, 6)
    assert [found.low, found.high] == pytest.approx(list(np.quantile(literal, [0.025, 0.975])), abs=0)


def test_dependent_stems_widen_the_interval() -> None:
    # Four equal stems are one observation: the interval must be that of the tracks, not half as wide.
    values = np.random.default_rng(2).normal(size=50)
    pooled = statistics.median(np.repeat(values[:, np.newaxis], 4, axis=1))
    single = statistics.median(values)
    assert (pooled.low, pooled.high) == (single.low, single.high)
    assert pooled.n == 200
    assert pooled.tracks == 50


def test_an_interval_is_reproducible() -> None:
    values = np.random.default_rng(0).normal(size=20)
    assert statistics.median(values, seed=4) == statistics.median(values, seed=4)


def test_one_track_or_none_has_no_interval() -> None:
    assert statistics.median([np.nan, np.nan]).n == 0
    single = statistics.median([[3.0, 5.0], [np.nan, np.nan]])
    assert (single.value, single.n, single.tracks) == (4.0, 2, 1)
    assert np.isnan(single.low)
    assert np.isnan(single.high)


@pytest.mark.parametrize("values", [np.zeros((2, 2, 2)), [1.0, np.inf]])
def test_invalid_values_are_refused(values: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        statistics.median(values)  # type: ignore[arg-type]


def test_the_result_does_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).normal(size=(30, 4))
    whole = statistics.median(table)
    monkeypatch.setattr(statistics, "_CHUNK", 1000)
    assert statistics.median(table) == whole


def test_signed_rank_equals_a_published_example() -> None:
    # Darwin's cross- and self-fertilised maize (Fisher 1935; the example of SciPy's and R's help):
    # W = 24, exact two-sided p = 0.04126.
    differences = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    found = statistics.signed_rank(differences)
    assert (found.positive, found.negative) == (96.0, 24.0)
    assert found.p == pytest.approx(0.041259765625, abs=1e-12)
    assert found.effect == pytest.approx((96 - 24) / 120)


@pytest.mark.parametrize("n", [4, 9, 25, 50])
def test_signed_rank_equals_scipys_exact_test_without_ties(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.2, 1, n)
    expected = stats.wilcoxon(differences, method="exact")
    found = statistics.signed_rank(differences)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert min(found.positive, found.negative) == expected.statistic


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_signed_rank_equals_enumeration_of_all_signs(values: list[int]) -> None:
    differences = np.array(values, dtype=float)
    ranks = stats.rankdata(np.abs(differences))[differences != 0]
    observed = abs(np.sum(ranks * np.sign(differences[differences != 0])))
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product([-1, 1], repeat=len(ranks))]
    expected = np.mean([total >= observed - 1e-9 for total in sums])
    found = statistics.signed_rank(differences)
    assert found.p == pytest.approx(expected, rel=1e-12)
    assert found.zeros == values.count(0)
    assert -1 <= found.effect <= 1


def test_zeros_are_treated_by_pratts_method() -> None:
    # Conover 1973: dropping zeros before ranking changes the ranks of the rest.
    differences = [0, 0, 0, 1, 2, -3, 4, 5, 6, 7]
    found = statistics.signed_rank(differences)
    asymptotic = stats.wilcoxon(differences, zero_method="pratt", method="asymptotic")
    assert min(found.positive, found.negative) == asymptotic.statistic == 6.0
    assert found.p == pytest.approx(asymptotic.pvalue, abs=0.02)
    assert found.zeros == 3


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.integers(-44, 43)] * 4), min_size=5, max_size=12))
def test_rounding_errors_do_not_break_ties(
    lags: list[tuple[int, ...]],
) -> None:
    # The paper's ΔITD is a whole number of samples; in microseconds, equal differences differ in the last bits.
    us = np.array(lags) / 44100 * 1e6
    samples = np.array(lags)
    found = statistics.signed_rank(abs(us[:, 0] - us[:, 1]) - abs(us[:, 2] - us[:, 3]))
    exact = abs(samples[:, 0] - samples[:, 1]) - abs(samples[:, 2] - samples[:, 3])
    assert found == statistics.signed_rank(exact)


def test_equal_values_give_a_p_value_of_1() -> None:
    assert statistics.signed_rank([0.0, 0.0]).p == 1.0
    assert np.isnan(statistics.signed_rank([np.nan]).p)


def test_paired_uses_common_tracks_only() -> None:
    first = np.array([[1.0, 2.0], [5.0, np.nan], [np.nan, np.nan], [9.0, 9.0]])
    second = np.array([[0.0, 0.0], [1.0, 7.0], [3.0, 3.0], [np.nan, 4.0]])
    found = statistics.paired(first, second)
    assert found.difference.value == 3.0  # of 1, 2, 4, 5
    assert (found.difference.n, found.difference.tracks) == (4, 3)
    assert found.test.n == 3  # one observation per track
    with pytest.raises(ValueError, match="differ"):
        statistics.paired(first, second[:2])


def test_holm_equals_p_adjust_of_r() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R
    assert statistics.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    # Holm 1979's rule by hand, in another order and with a missing test.
    found = statistics.holm([0.04, np.nan, 0.001, 0.3])
    assert found[[0, 2, 3]] == pytest.approx([0.08, 0.003, 0.3])
    assert np.isnan(found[1])
    assert statistics.holm([]).size == 0


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    p = np.array(p_values)
    tested = ~np.isnan(p)
    found = statistics.holm(p)
    assert np.isnan(found[~tested]).all()
    if tested.any():
        theirs = multipletests(p[tested], method="holm")[1]
        np.testing.assert_allclose(found[tested], theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("above", [0, 1, 7, 49, 50])
def test_share_equals_statsmodels(above: int) -> None:
    values = np.r_[np.full(above, 1.0), np.full(50 - above, -1.0)]
    found = statistics.share_above(values, 0.0)
    theirs = proportion_confint(above, 50, alpha=0.05, method="wilson")
    np.testing.assert_allclose((found.low, found.high), theirs, atol=1e-12)


def test_share_equals_wilsons_published_interval() -> None:
    # Newcombe 1998, table I: 81 of 263, score method: 0.2553 to 0.3662.
    found = statistics.share_above([60.0] * 81 + [50.0] * 182 + [np.nan], 50)
    assert found.n == 263
    assert (found.value, found.low, found.high) == pytest.approx((0.3080, 0.2553, 0.3662), abs=5e-5)
    assert np.isnan(statistics.share_above([np.nan], 50).value)


@pytest.mark.parametrize("tests", [1, 4, 24, 120])
def test_fewest_tracks_that_can_be_significant(tests: int) -> None:
    def best(tracks: int) -> float:
        p = statistics.signed_rank(np.arange(1.0, tracks + 1)).p  # all differences have the same sign
        return float(statistics.holm([p, *[1.0] * (tests - 1)])[0])

    fewest = statistics.fewest_tracks(tests)
    assert best(fewest) <= 0.05 < best(fewest - 1)
