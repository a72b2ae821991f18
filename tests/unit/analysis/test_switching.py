"""Wilson intervals against exact coverage, autocorrelation against known chains, counting."""

import numpy as np
import pytest
from scipy.stats import binom

from hilab.analysis.switching import lag1_autocorrelation, tabulate, wilson_interval


def test_wilson_interval_has_the_exact_coverage_it_promises() -> None:
    n = 100
    k = np.arange(n + 1)
    low, high = wilson_interval(k, n)
    p = np.linspace(0.02, 0.98, 193)
    covered = np.array([binom.pmf(k, n, one)[(low <= one) & (one <= high)].sum() for one in p])
    assert 0.945 < covered.mean() < 0.958
    assert covered.min() > 0.89


def test_wilson_interval_at_the_ends_and_without_samples() -> None:
    low, high = wilson_interval([0, 10, 0], [10, 10, 0])
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert 0.2 < high[0] < 0.35
    assert np.isnan([low[2], high[2]]).all()
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson_interval(3, 2)


def chain(persistence: float, count: int, random: np.random.Generator) -> np.ndarray:
    """0/1 chain with mean 1/2 and lag-1 autocorrelation `persistence`."""
    flip = random.random(count) < (1 - persistence) / 2
    return (np.cumsum(flip) % 2).astype(np.uint8)


@pytest.mark.parametrize("persistence", [0.0, 0.2, -0.3])
def test_autocorrelation_finds_the_chain_s_own(persistence: float) -> None:
    random = np.random.default_rng(5)
    outcome = np.concatenate([chain(persistence, 400, random) for _ in range(50)])
    found = lag1_autocorrelation(outcome, np.repeat(np.arange(50), 400))
    assert abs(found.value - persistence) < 4.5 * found.standard_error  # false alarm 1e-5


def test_short_groups_do_not_bias_it() -> None:
    random = np.random.default_rng(6)
    outcome = random.random(40_000) < 0.4
    found = lag1_autocorrelation(outcome, np.repeat(np.arange(5000), 8))
    assert abs(found.value) < 4.5 * found.standard_error  # the naive estimate would lie at -1/8


def test_interleaved_amplitudes_hide_a_frame_s_memory_unless_the_sequence_is_given() -> None:
    random = np.random.default_rng(7)
    amplitude = random.integers(0, 20, 20_000)
    p = np.linspace(0.1, 0.9, 20)[amplitude]
    outcome = np.zeros(len(p))
    for frame in range(1, len(p)):
        outcome[frame] = random.random() < p[frame] + 0.1 * (outcome[frame - 1] - p[frame - 1])
    by_sequence = lag1_autocorrelation(outcome, amplitude, np.zeros(len(p)))
    by_group = lag1_autocorrelation(outcome, amplitude)
    assert by_sequence.value > 8 * by_sequence.standard_error
    assert abs(by_group.value) < 4.5 * by_group.standard_error


def test_outcomes_that_never_vary_have_no_autocorrelation() -> None:
    assert np.isnan(lag1_autocorrelation(np.ones(50), np.zeros(50)).value)


def test_counting_by_device_and_amplitude() -> None:
    device = [0, 0, 1, 1, 1, 0]
    write = [1e-3, 1e-3, 1e-3, 2e-3, 2e-3, 1e-3]
    table = tabulate(
        ("a", "b"),
        device,
        write,
        [1, 0, 1, 1, 1, 1],
        write_width_s=1e-4,
        reset_failed=[0, 0, 0, 0, 1, 0],
        usable=[1, 1, 1, 1, 1, 0],
    )
    assert table.device.tolist() == [0, 1, 1]
    assert table.k.tolist() == [1, 1, 1]
    assert table.n.tolist() == [2, 1, 1]
    assert table.failed_resets.tolist() == [0, 0, 1]
    write_a, k, n = table.padded()
    assert write_a.shape == (2, 2)
    assert n.tolist() == [[2, 0], [1, 1]]
    assert k.tolist() == [[1, 0], [1, 1]]
