"""Statistics beside those of scipy, closed forms, and planted differences."""

import math

import pytest

from mainstem.core import InputError
from mainstem.lab import between, compare, holm, interval

scipy_stats = pytest.importorskip("scipy.stats", reason="the extra lab is not installed")
A, B = [1.0, 2.5, 3.0, 4.5, 4.0], [1.5, 2.0, 4.0, 5.5, 5.0]


def test_an_interval_is_that_of_student():
    found = interval(A)
    low, high = scipy_stats.t.interval(0.95, 4, loc=3.0, scale=scipy_stats.sem(A))
    assert found.mean == 3.0 and found.n == 5
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_one_value_has_no_interval_and_none_no_mean():
    found = interval([2.0])
    assert found.mean == 2.0 and math.isnan(found.low) and math.isnan(found.high)
    with pytest.raises(InputError, match="no value to take a mean of"):
        interval([])


def test_an_interval_in_words_and_none_of_one_value():
    assert between(0.25, 1 / 3) == "[0.25, 0.333]"
    assert between(-1.0, 2.0, "+.2f") == "[-1.00, +2.00]"
    one = interval([1.5])
    assert between(one.low, one.high) == "(one value, no interval)"


def test_the_test_is_the_paired_one():
    (found,) = compare([(A, B)])
    assert found.p == pytest.approx(float(scipy_stats.ttest_rel(A, B).pvalue), rel=1e-12)
    assert found.p != pytest.approx(float(scipy_stats.ttest_ind(A, B).pvalue), rel=1e-3)
    assert found.verdict == "no difference shown"


def test_the_effect_is_cohens_with_hedges_factor():
    (found,) = compare([([2.0, 4.0, 6.0, 8.0], [1.0, 2.0, 3.0, 4.0])])  # differences 1 to 4
    assert found.effect == pytest.approx(2.5 / math.sqrt(5 / 3) * (1 - 3 / 11), rel=1e-12)


@pytest.mark.parametrize(("shift", "verdict"), [(-1.0, "lower"), (1.0, "higher")])
def test_a_planted_difference_is_said_with_its_direction(shift, verdict):
    (found,) = compare([([b + shift + 0.01 * i for i, b in enumerate(B)], B)])
    assert found.verdict == verdict and found.p < 0.001


def test_equal_samples_show_no_difference_and_a_constant_shift_is_certain():
    same, moved = compare([(A, A), ([a + 1 for a in A], A)])
    assert (same.p, same.effect, same.verdict) == (1.0, 0.0, "no difference shown")
    assert (moved.p, moved.effect, moved.verdict) == (0.0, math.inf, "higher")


def test_holm_as_published():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, math.nan])[0] == 0.02


def test_what_holds_alone_may_not_hold_among_many():
    b = [0.0] * 5
    a = [0.1, 0.5, 0.3, 0.6, 0.1]
    alone, many = compare([(a, b)])[0], compare([(a, b)] + [(A, B)] * 9)[0]
    assert alone.verdict == "higher" and many.verdict == "no difference shown"
    assert many.p == alone.p and many.corrected == pytest.approx(10 * alone.p)


@pytest.mark.parametrize("pair", [([1.0], [2.0]), ([1.0, 2.0], [1.0])])
def test_what_cannot_be_paired_is_refused(pair):
    with pytest.raises(InputError, match="the same seeds in both"):
        compare([pair])
