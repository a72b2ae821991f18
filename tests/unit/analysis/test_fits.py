"""Maximum-likelihood fits: coverage, pulls and goodness of fit against numpy draws of the law itself."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import xlogy
from scipy.stats import binom

from hilab.analysis.binomial import deviance_moments, deviance_terms
from hilab.analysis.fits import fit_arrhenius, fit_logistic, nearest_logistic, summary

PULSE_S = 100e-6
LN_ATTEMPTS = np.log(PULSE_S / 1e-9)


def law(write_a: np.ndarray, ic0_a: np.ndarray, delta: np.ndarray, width_s: float = PULSE_S) -> np.ndarray:
    """P(I) of device-model section 1, written out."""
    barrier = delta * np.maximum(0.0, 1 - write_a / ic0_a)
    return 1 - np.exp(-width_s / 1e-9 * np.exp(-barrier))


def chips(count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Truth, amplitudes (21 over +-6 logistic units) and outcomes of 100 samples each."""
    random = np.random.default_rng(seed)
    width_um = np.resize([2.0, 4.0, 8.0, 16.0], count)
    ic0 = 0.5e-3 * width_um * (1 + np.hypot(0.015, 0.08 / width_um) * random.normal(size=count))
    delta = 60 * (1 + 0.05 * random.normal(size=count))
    i50 = ic0 * (1 - (LN_ATTEMPTS - np.log(np.log(2))) / delta)
    unit = ic0 / (1.52 * delta)
    truth = {
        "i50_a": i50,
        "slope_per_a": np.log(2) / 2 * delta / ic0,
        "unit_a": unit,
        "delta": delta,
        "ic0_a": ic0,
    }
    centre = i50 + 0.5 * unit * random.normal(size=count)
    write = centre[:, None] + np.linspace(-6, 6, 21) * unit[:, None]
    return truth, write, random.binomial(100, law(write, ic0[:, None], delta[:, None]))


def test_intervals_cover_and_pulls_are_standard() -> None:
    """640 devices: a coverage of 95 % lies in 92.9 to 97.1 %, mean and sd of the pulls (0 to -0.1 and 1)
    within 0.2 and 0.12, with a false alarm of about 1 % for each; the seed is fixed."""
    truth, write, k = chips(640, seed=20)
    fits = fit_arrhenius(write, k, 100, width_s=PULSE_S)
    assert fits.ok.all()
    for name, true in truth.items():
        estimate = getattr(fits, name)
        covered = ((estimate.low <= true) & (true <= estimate.high)).mean()
        pull = (estimate.value - true) / estimate.standard_error
        assert 0.929 < covered < 0.971, name
        assert abs(pull.mean()) < 0.2, name
        assert 0.9 < pull.std() < 1.1, name
    assert 0.02 < (fits.p_value < 0.05).mean() < 0.085
    assert 0.42 < (fits.p_value < 0.5).mean() < 0.58


def test_estimates_are_the_maximum_of_the_likelihood() -> None:
    truth, write, k = chips(4, seed=3)
    fits = fit_arrhenius(write, k, 100, width_s=PULSE_S)
    for number in range(4):

        def loss(trial: np.ndarray, row: int = number) -> float:
            p = np.clip(law(write[row], trial[0] * 1e-3, trial[1]), 1e-300, 1 - 1e-16)
            return float(-(xlogy(k[row], p) + xlogy(100 - k[row], 1 - p)).sum())

        start = np.array([truth["ic0_a"][number] * 1e3, truth["delta"][number]])
        best = minimize(
            loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9999}
        )
        assert fits.ic0_a.value[number] * 1e3 == pytest.approx(best.x[0], rel=1e-5)
        assert fits.delta.value[number] == pytest.approx(best.x[1], rel=1e-4)


def test_assumed_tau0_moves_barrier_and_critical_current_only() -> None:
    _, write, k = chips(8, seed=4)
    one, other = (fit_arrhenius(write, k, 100, width_s=PULSE_S, tau0_s=tau0) for tau0 in (1e-9, 1e-10))
    np.testing.assert_allclose(one.i50_a.value, other.i50_a.value, rtol=1e-9)
    np.testing.assert_allclose(one.slope_per_a.high, other.slope_per_a.high, rtol=1e-9)
    np.testing.assert_allclose(other.delta.value - one.delta.value, np.log(10), rtol=1e-6)
    assert "1e-09 s is assumed" in one.assumption


def test_negative_pulses_mirror_positive_ones() -> None:
    _, write, k = chips(4, seed=5)
    up, down = fit_arrhenius(write, k, 100, width_s=PULSE_S), fit_arrhenius(-write, k, 100, width_s=PULSE_S)
    np.testing.assert_allclose(down.i50_a.value, -up.i50_a.value)
    np.testing.assert_allclose(down.i50_a.low, -up.i50_a.high)
    np.testing.assert_allclose(down.slope_per_a.value, -up.slope_per_a.value)
    np.testing.assert_allclose(down.delta.value, up.delta.value)
    np.testing.assert_allclose(down.probability(-write), up.probability(write))


def test_drift_widens_i50_but_not_the_slope() -> None:
    truth, write, k = chips(4, seed=6)
    drift = 0.3 * truth["unit_a"]
    still, moving = (fit_arrhenius(write, k, 100, width_s=PULSE_S, drift_a=value) for value in (0.0, drift))
    np.testing.assert_allclose(
        moving.i50_a.standard_error, np.hypot(still.i50_a.standard_error, drift), rtol=1e-9
    )
    assert ((moving.i50_a.high - moving.i50_a.low) > (still.i50_a.high - still.i50_a.low)).all()
    np.testing.assert_allclose(moving.slope_per_a.high, still.slope_per_a.high)


def test_logistic_fit_is_judged_against_its_own_best_approximation() -> None:
    truth, write, k = chips(320, seed=7)
    logistic = fit_logistic(write, k, 100, width_s=PULSE_S)
    nearest = nearest_logistic(fit_arrhenius(write, k, 100, width_s=PULSE_S), write, 100)
    error = (logistic.i50_a.value - nearest.i50_a.value) / truth["unit_a"]
    assert np.abs(error).mean() < 0.05  # the same data, two ways
    # its I50 lies beside the true one by a fixed part of a unit, which no number of samples removes
    offset = (logistic.i50_a.value - truth["i50_a"]) / truth["unit_a"]
    assert abs(offset.mean()) > 0.05
    # and 2,100 samples begin to show that the curve is another one
    better = fit_arrhenius(write, k, 100, width_s=PULSE_S)
    assert (logistic.deviance - logistic.expected_deviance).mean() > (
        better.deviance - better.expected_deviance
    ).mean() + 3


@pytest.mark.parametrize(
    ("k", "reason"),
    [
        ([0, 0, 0, 0, 0], "never switched"),
        ([10, 10, 10, 10, 10], "always switched"),
        ([0, 0, 10, 10, 10], "jumps from 0 to 1"),
        ([0, 0, 4, 10, 10], "jumps from 0 to 1"),
        ([9, 7, 5, 3, 1], "does not rise"),
        ([5, 4, 6, 5, 5], "does not rise"),
    ],
)
def test_counts_without_a_curve_say_why(k: list[int], reason: str) -> None:
    fits = fit_arrhenius(np.linspace(1e-3, 2e-3, 5), k, 10, width_s=PULSE_S)
    assert reason in fits.reason[0]
    assert np.isnan(fits.i50_a.value[0])


def test_a_bad_device_does_not_spoil_its_neighbours() -> None:
    _, write, k = chips(4, seed=8)
    alone = fit_arrhenius(write, k, 100, width_s=PULSE_S)
    k[1] = 0
    write[2, ::2] *= -1
    fits = fit_arrhenius(write, k, 100, width_s=PULSE_S)
    assert fits.ok.tolist() == [True, False, False, True]
    assert "both signs" in fits.reason[2]
    np.testing.assert_allclose(fits.i50_a.value[[0, 3]], alone.i50_a.value[[0, 3]])
    rows = summary(fits, ["a", "b", "c", "d"])
    assert rows[0]["i50_a"] == pytest.approx(alone.i50_a.value[0])
    assert rows[1]["reason"]


def test_padding_counts_nothing() -> None:
    _, write, k = chips(3, seed=9)
    n = np.full(k.shape, 100)
    plain = fit_arrhenius(write, k, n, width_s=PULSE_S)
    padded = fit_arrhenius(*(np.pad(v, ((0, 0), (0, 6))) for v in (write, k, n)), width_s=PULSE_S)
    np.testing.assert_allclose(padded.i50_a.value, plain.i50_a.value, rtol=1e-9)
    np.testing.assert_allclose(padded.p_value, plain.p_value, rtol=1e-9)


@pytest.mark.parametrize(
    ("write", "k", "n", "message"),
    [
        ([1e-3, 2e-3], [1, 3], [2, 2], "between 0 and n"),
        ([1e-3, np.nan], [1, 1], [2, 2], "finite"),
    ],
)
def test_impossible_input_is_refused(write: list[float], k: list[int], n: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_arrhenius(write, k, n, width_s=PULSE_S)


def test_pulse_width_must_exceed_tau0() -> None:
    with pytest.raises(ValueError, match="exceed tau0"):
        fit_arrhenius([1, 2], [0, 1], [2, 2], width_s=1e-10)


@pytest.mark.parametrize(("n", "p"), [(100, 0.003), (100, 0.5), (40, 0.97), (7, 0.2), (2000, 0.001)])
def test_moments_of_the_deviance_are_the_exact_sums(n: int, p: float) -> None:
    k = np.arange(n + 1.0)
    mass, terms = binom.pmf(k, n, p), deviance_terms(k, np.full(n + 1, float(n)), np.full(n + 1, p))
    mean, variance = deviance_moments(np.array([n]), np.array([p]))
    exact = (mass * terms).sum()
    tolerance = 1e-9 if n * p * (1 - p) < 25 else 0.03  # above, the chi-square's own moments are used
    assert mean[0] == pytest.approx(exact, rel=tolerance)
    assert variance[0] == pytest.approx((mass * terms**2).sum() - exact**2, rel=max(tolerance, 1e-8) * 3)
