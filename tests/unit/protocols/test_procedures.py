"""The arithmetic inside the protocols, without a bench."""

from __future__ import annotations

import numpy as np
import pytest

from hilab.analysis.fits import fit_arrhenius
from hilab.studies import controls
from protocols._fitting import pooled_drift, round_shifts
from protocols._locate import rough_i50
from protocols._sigmoid import Sigmoid, amplitudes_around
from protocols.contact_check import ContactCheckParams, Contacts, judge
from protocols.hysteresis_current import loop_shape
from protocols.reset_scan import pick_reset


def test_rough_i50_finds_a_noisy_step_and_refuses_a_flat_line() -> None:
    amplitude = np.repeat(np.linspace(1e-3, 2e-3, 11), 10)
    ones = np.repeat([0, 0, 0, 2, 0, 3, 9, 10, 8, 10, 10], 10)
    switched = np.tile(np.arange(10), 11) < ones
    valid = np.ones(110, dtype=bool)
    assert rough_i50(amplitude, switched, valid) == pytest.approx(1.55e-3)
    assert rough_i50(amplitude, np.zeros(110, dtype=bool), valid) is None
    assert rough_i50(amplitude, valid, valid) is None


def test_rough_i50_is_not_misled_by_one_lucky_frame_among_failed_resets() -> None:
    amplitude = np.repeat(np.linspace(1e-3, 2e-3, 11), 10)
    valid = (amplitude > 1.55e-3) | (amplitude < 1.15e-3)
    switched = amplitude > 1.55e-3
    lucky = np.flatnonzero(np.isclose(amplitude, 1.2e-3))
    valid[lucky[0]] = True
    switched[lucky] = True
    assert rough_i50(amplitude, switched, valid) == pytest.approx(1.55e-3)


def test_reset_is_picked_in_the_middle_of_the_plateau() -> None:
    amplitude = np.linspace(1.0, 2.0, 11)
    p_low = np.array([0.1, 0.5, 0.9, 0.985, 0.99, 0.99, 0.99, 0.985, 0.9, 0.8, 0.7])
    assert pick_reset(amplitude, p_low, 0.98) == pytest.approx(-1.5)
    assert pick_reset(amplitude, p_low, 0.995) is None
    assert pick_reset(amplitude, np.full(11, np.nan), 0.98) is None


@pytest.mark.parametrize("cycles", [1, 3])
def test_loop_starts_at_zero_and_closes(cycles: int) -> None:
    level, branch, cycle = loop_shape(21, cycles)
    assert level[0] == 0 and level[branch != 0][0] == 1 and level[-1] == 1
    assert (branch == -1).sum() == (branch == 1).sum() == 21 * cycles
    assert cycle.max() == cycles - 1
    assert np.abs(np.diff(level)).max() < 0.12


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Contacts(8100, 4000, 20, 1e-7, 5000, ""), ""),
        (Contacts(np.nan, np.nan, 20, 1e-7, 5000, ""), "four-wire"),
        (Contacts(8100, 9000, 20, 1e-7, 5000, ""), "four-wire"),
        (Contacts(20_000, 4000, 20, 1e-7, 5000, ""), "contacts poor"),
        (Contacts(np.nan, 4000, 20, 1e-7, 1e7, ""), "Hall arms"),
    ],
)
def test_contacts_are_judged_with_a_reason(found: Contacts, said: str) -> None:
    reason = judge(found, 4000, 8000, ContactCheckParams())
    assert (said in reason) if said else reason == ""


def drawn(i50_of_round: np.ndarray, trials: int, seed: int) -> Sigmoid:
    """A curve measured in rounds whose I50 moves between them."""
    random = np.random.default_rng(seed)
    amplitude = amplitudes_around(1e-3, 21, 5)
    beta = 60 / 1.25e-3
    p = -np.expm1(-np.exp(np.log(np.log(2)) + beta * (amplitude[None, :] - i50_of_round[:, None])))
    n = np.full(p.shape, trials)
    k = random.binomial(n, p)
    none = np.zeros(21, dtype=np.int64)
    return Sigmoid("x", 1e-4, amplitude, n.sum(0), k.sum(0), none, n, k, 0.0, 1.0)


def test_drift_between_rounds_is_found_and_its_absence_too() -> None:
    """Seeds 0 to 19; the still curve's drift stays below a tenth of the moving one's."""
    moves = np.array([-3e-6, 2e-6, 5e-6, -4e-6, 0.0])
    still, moving = [], []
    for seed in range(20):
        for offset, into in ((0.0, still), (1.0, moving)):
            curve = drawn(1e-3 + offset * moves, 60, seed)
            fit = fit_arrhenius(curve.amplitude_a, curve.k, curve.n, width_s=1e-4)
            into.append((curve, fit))
    expected = moves.std(ddof=1) / np.sqrt(5) / 1e-3
    assert pooled_drift(moving) == pytest.approx(expected, rel=0.15)
    assert pooled_drift(still) < 0.2 * expected
    shift, _ = round_shifts(*moving[0])
    assert np.corrcoef(shift, moves)[0, 1] > 0.9


def test_negative_controls_are_not_reproduced_and_the_published_law_is() -> None:
    """False alarm of each claim 1e-3 by its own confidence; five seeds, so 0.015 in all."""
    for seed in range(5):
        assert not any(row["holds"] for row in controls.control_rows(seed))
        found = controls.measured(controls.AS_PUBLISHED, np.random.default_rng(seed))
        for claim, value in found.items():
            assert controls.check_claim(claim, controls.WIDTH_M, value)["holds"], (seed, claim)
