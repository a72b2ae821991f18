"""Several pulse widths, a free tau0, and drift from an anchor amplitude."""

import numpy as np
import pytest

from hilab.analysis.drift import drift_from_anchor
from hilab.analysis.fits import fit_arrhenius
from hilab.analysis.widths import fit_tau0, fit_width_line

DELTA, IC0_A = 60.0, 1e-3


def outcomes(
    widths: tuple[float, ...], tau0_s: float, top: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(write, width, k of 200) for each width from 8 units below I50 up to `top` of Ic0 or 8 units above."""
    random = np.random.default_rng(seed)
    write, width = [], []
    for one in widths:
        i50 = IC0_A * (1 - max(np.log(one / tau0_s / np.log(2)), 0) / DELTA)
        amplitudes = np.linspace(i50 - 0.08 * IC0_A, max(i50 + 0.08 * IC0_A, top * IC0_A), 25)
        write.extend(amplitudes)
        width.extend([one] * len(amplitudes))
    write_a, width_s = np.array(write), np.array(width)
    p = 1 - np.exp(-width_s / tau0_s * np.exp(-DELTA * np.maximum(0, 1 - write_a / IC0_A)))
    return write_a, width_s, random.binomial(200, p)


def test_barrier_from_the_widths_alone() -> None:
    widths = (10e-6, 100e-6, 1e-3, 10e-3)
    write, width, k = outcomes(widths, 1e-9, 0, seed=1)
    i50, error = [], []
    for one in widths:
        fit = fit_arrhenius(write[width == one], k[width == one], 200, width_s=one)
        i50.append(fit.i50_a.value[0])
        error.append(fit.i50_a.standard_error[0])
    line = fit_width_line(widths, i50, error)
    assert abs(line.delta - DELTA) < 4 * line.delta_se  # false alarm 6e-5
    assert abs(line.ic0_a - IC0_A) < 4 * line.ic0_se_a
    assert line.delta_se < 3
    with pytest.raises(ValueError, match="two different widths"):
        fit_width_line([1e-4, 1e-4], i50[:2], error[:2])


def test_free_tau0_is_found_where_the_saturation_shows() -> None:
    tau0_s = 5e-6
    found = fit_tau0(*outcomes((5e-6, 20e-6, 100e-6), tau0_s, 1.1, seed=2), 200)
    assert found.identified
    assert found.tau0_low_s / 1.1 < tau0_s < found.tau0_high_s * 1.1
    assert found.tau0_high_s / found.tau0_low_s < 1.3
    assert found.delta == pytest.approx(DELTA, abs=3)
    assert found.ic0_a == pytest.approx(IC0_A, rel=0.01)


def test_free_tau0_is_said_to_be_undetermined_where_it_is() -> None:
    tau0_s = 1e-10
    found = fit_tau0(*outcomes((10e-6, 100e-6, 10e-3), tau0_s, 0, seed=3), 200)
    assert not found.identified
    assert "not determined" in found.note
    assert np.isnan([found.tau0_s, found.delta, found.ic0_a]).all()
    assert found.tau0_high_s > tau0_s
    # what is determined: the rate, and the sum of barrier and ln tau0 (se about 0.9)
    assert found.rate_per_a == pytest.approx(DELTA / IC0_A, rel=0.07)
    assert found.barrier_sum == pytest.approx(np.log(tau0_s) + DELTA, abs=3.5)


def anchor(drift_units: float, seed: int, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    time = np.arange(count) * 0.1
    shift = drift_units * np.sqrt(2) * np.sin(2 * np.pi * time / time[-1])
    return random.random(count) < 1 / (1 + np.exp(shift)), time


def test_drift_is_measured_in_ampere() -> None:
    unit_a = 1e-5
    term = drift_from_anchor(*anchor(0.5, seed=4), slope_per_a=0.25 / unit_a)
    assert term.sigma_a == pytest.approx(0.5 * unit_a, rel=0.25)
    assert term.upper_a > term.sigma_a
    assert term.fit_a == pytest.approx(term.sigma_a / np.sqrt(term.blocks))


def test_a_quiet_device_has_little_drift() -> None:
    unit_a = 1e-5
    terms = [drift_from_anchor(*anchor(0.0, seed), slope_per_a=0.25 / unit_a) for seed in range(50)]
    assert np.median([term.sigma_a for term in terms]) < 0.05 * unit_a
    with pytest.raises(ValueError, match="do not fill"):
        drift_from_anchor(np.ones(30), np.arange(30), 1.0)
    with pytest.raises(ValueError, match="slope"):
        drift_from_anchor(np.ones(300), np.arange(300), 0.0)
