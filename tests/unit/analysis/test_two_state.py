"""Two-state split: levels, threshold and noise from readings, at every occupation down to 1 %."""

import numpy as np
import pytest

from hilab.analysis.two_state import bits, split_two_states

GAP_V = 100e-6


def readings(
    share: float, separation: float, count: int = 600, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    state = np.zeros(count, dtype=bool)
    state[: round(share * count)] = True
    random.shuffle(state)
    return 3e-3 + GAP_V * state + random.normal(size=count) * GAP_V / separation, state


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("separation", [6.0, 10.0, 1000.0])
def test_both_states_are_found_at_any_occupation(share: float, separation: float) -> None:
    voltage, state = readings(share, separation)
    split = split_two_states(voltage)
    assert split.occupied
    noise = GAP_V / separation
    rare = round(min(share, 1 - share) * len(state))
    # 4.5 standard errors of the rarer level (and of sigma): false alarm below 1e-4 over the whole table
    assert split.high_v - split.low_v == pytest.approx(GAP_V, abs=5.7 * noise / np.sqrt(rare))
    assert split.sigma_v == pytest.approx(noise, rel=0.25)
    assert (bits(voltage, split) != state).mean() < 0.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_single_state_is_said_to_be_one(share: float) -> None:
    found = [
        split_two_states(readings(share, 10.0, count, seed)[0])
        for count in (8, 50, 500)
        for seed in range(15)
    ]
    assert not any(split.occupied for split in found)
    assert "one state" in found[0].note
    with pytest.raises(ValueError, match="only one state"):
        bits([0.0], found[0])


def test_predicted_misread_probability_is_the_observed_one() -> None:
    voltage, state = readings(0.5, 5.0, count=200_000)
    split = split_two_states(voltage)
    wrong = int((bits(voltage, split) != state).sum())
    expected = split.misread_probability * len(state)
    assert abs(wrong - expected) < 5 * np.sqrt(expected) + 0.05 * expected  # seed fixed; false alarm < 1e-6


def test_intermediate_levels_do_not_move_the_threshold() -> None:
    voltage, _ = readings(0.5, 20.0, count=1000)
    voltage[::25] = 3e-3 + 0.35 * GAP_V  # 4 % of the readings, one third up
    split = split_two_states(voltage)
    assert split.threshold_v == pytest.approx(3e-3 + GAP_V / 2, abs=0.02 * GAP_V)
    assert split.sigma_v < 1.3 * GAP_V / 20


def test_known_levels_serve_readings_of_one_state() -> None:
    known = split_two_states(readings(0.5, 10.0)[0])
    split = split_two_states(readings(1.0, 10.0)[0], known=known)
    assert not split.occupied
    assert split.threshold_v == known.threshold_v
    assert bits(readings(1.0, 10.0)[0], split).all()


def test_missing_readings_are_left_out_and_too_few_are_refused() -> None:
    voltage, _ = readings(0.5, 10.0)
    voltage[::3] = np.nan
    assert split_two_states(voltage).occupied
    with pytest.raises(ValueError, match="too few"):
        split_two_states(voltage[:9])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.95])
def test_intermediate_levels_do_not_hide_the_two_states(share: float) -> None:
    voltage, state = readings(share, 15.0, count=400)
    voltage[::20] = 3e-3 + np.random.default_rng(2).uniform(0.1, 0.9, 20) * GAP_V
    split = split_two_states(voltage)
    assert split.occupied
    clean = np.arange(400) % 20 != 0
    assert (bits(voltage, split) == state)[clean].all()
