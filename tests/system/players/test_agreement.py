"""All players measure the same switching probability, and a difference that matters would be found.

Ideal setting, one device, pulses of 100 us in every player. Each pair of players is compared by the
Mantel-Haenszel statistic over the amplitudes, which looks for a common shift in logistic units. Three
pairs share a false alarm rate of 1e-3, so that each may reach 3.59 standard deviations.

Power by arithmetic: near P = 1/2 a frame carries p(1 - p), about 0.23, of information on the shift, which
2,000 frames of the software loop against 16,000 of another player measure with a standard error of
sqrt((1/2000 + 1/16000) / 0.23) = 0.049. A shift of 0.3 is then 6.1 standard errors: found in 99 % of seeds.
"""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from hilab.frames import FrameBatch

FALSE_ALARM = 1e-3
PAIRS = 3
CRITICAL = statistics.NormalDist().inv_cdf(1 - FALSE_ALARM / PAIRS / 2)
FRAMES = {"software_loop": 2_000, "keithley6221_pulse_delta": 16_000, "keithley2636b_tsp": 16_000}
BENCH = {
    "software_loop": "sot_classic",
    "keithley6221_pulse_delta": "sot_classic",
    "keithley2636b_tsp": "sot_fast",
}
INTEGRATION_S = {"software_loop": 2e-3, "keithley6221_pulse_delta": 50e-6, "keithley2636b_tsp": 2e-3}
DEVICE = "w4_d1"
RESET_A, READ_A = -2.2e-3, 3e-4


def play(bench, player, write_a):
    """(N,) True where the device switched."""
    frames = FrameBatch.of(
        (DEVICE,), np.zeros(len(write_a), int), write_a, RESET_A, READ_A, integration_s=INTEGRATION_S[player]
    )
    readings = bench.play(bench.plan(frames, player))
    assert readings.clean.all()
    ohm = readings.voltage_v / readings.current_a
    middle = (ohm.min() + ohm.max()) / 2
    at_rest = np.median(ohm[write_a == write_a.min()])
    return (ohm > middle) != (at_rest > middle)


def amplitudes_around_half(bench):
    """Three amplitudes with P of about 0.3, 0.5 and 0.7, from a coarse scan."""
    scan = np.repeat(np.linspace(0.9e-3, 1.7e-3, 41), 60)
    p = play(bench, "keithley6221_pulse_delta", scan).reshape(41, 60).mean(axis=1)
    first = int(np.argmax(p > 0.15))
    near = slice(max(first - 1, 0), first + 6)
    return np.interp([0.3, 0.5, 0.7], np.maximum.accumulate(p[near]), scan.reshape(41, 60)[near, 0])


def counted(bench, player, amplitudes, compare_counts):
    rng = np.random.default_rng(7)
    which = rng.permutation(np.arange(FRAMES[player]) % 3)
    low = np.full(60, 0.3e-3)  # anchors the level of the reset
    high = np.full(60, 2.0e-3)
    bits = play(bench, player, np.concatenate([low, high, amplitudes[which]]))
    assert not bits[:60].any()
    assert bits[60:120].all()
    played = np.bincount(which, minlength=3)
    return compare_counts(np.bincount(which, weights=bits[120:], minlength=3), played)


@pytest.mark.slow
def test_all_players_find_the_same_switching_probability(open_named, compare, counts):
    classic = open_named("sot_classic", seed=11)
    amplitudes = amplitudes_around_half(classic)
    benches = {"sot_classic": classic, "sot_fast": open_named("sot_fast", seed=12)}
    found = {player: counted(benches[name], player, amplitudes, counts) for player, name in BENCH.items()}
    for player, each in found.items():
        p = each.switched / each.played
        assert (np.abs(p - 0.5) < 0.35).all(), (player, p)
        information = np.average(p * (1 - p), weights=each.played)
        assert information > 0.18  # or the power stated above would not hold
    names = list(found)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    assert len(pairs) == PAIRS
    for one, other in pairs:
        assert abs(compare(found[one], found[other])) < CRITICAL, (one, other)


def test_the_comparison_has_the_power_and_the_false_alarms_that_are_claimed(compare, counts):
    """2,000 pairs of the least informative comparison. With no shift 0.67 false alarms are expected, more
    than 5 in 1e-4 of seeds; with a shift of 0.3 units 99 % are found, to a standard error of 0.2 %."""
    rng = np.random.default_rng(5)
    few, many = np.full(3, 2_000 // 3), np.full(3, 16_000 // 3)
    logits = np.array([-0.85, 0.0, 0.85])
    alarms = {}
    for shift in (0.0, 0.3):
        p_one, p_other = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-logits - shift))
        found = [
            abs(compare(counts(rng.binomial(few, p_one), few), counts(rng.binomial(many, p_other), many)))
            > CRITICAL
            for _ in range(2_000)
        ]
        alarms[shift] = np.mean(found)
    assert alarms[0.0] <= 5 / 2_000
    assert alarms[0.3] > 0.984
