"""Software loop and pulse delta on the simulated 6221 bench: counts, times, noise, abort."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from drivers.players.keithley6221_pulse_delta import PulseDeltaPlayer
from drivers.players.software_loop import SoftwareLoopPlayer
from hilab.frames import Flag, FrameBatch

NAMES = ("w4_d1", "w16_d1")
CLASSES = {player.name: player for player in (SoftwareLoopPlayer, PulseDeltaPlayer)}
PLAYERS = {"software_loop": 2e-3, "keithley6221_pulse_delta": 50e-6}


def batch(frames, player, *, seed=0, write=(0.2, 1.6), **times):
    """Frames on two devices with their own scales of current."""
    rng = np.random.default_rng(seed)
    device = rng.integers(0, 2, frames)
    scale_a = np.where(device == 0, 1.5e-3, 6.5e-3)
    write_a = scale_a * rng.choice(write, frames)
    read_a = np.where(device == 0, 2e-4, 1e-3)
    times = {"integration_s": PLAYERS[player]} | times
    return FrameBatch.of(NAMES, device, write_a, -1.6 * scale_a, read_a, **times)


@pytest.mark.parametrize("player", PLAYERS)
def test_every_frame_comes_back_in_the_order_asked_with_its_time(open_named, player):
    bench = open_named("sot_classic")
    frames = batch(40, player)
    plan = bench.plan(frames, player)
    start_s = bench.clock.now()
    readings = bench.play(plan)
    assert readings.clean.all()
    assert np.array_equal(readings.current_a, plan.actual.read_a)
    # Small writes leave the state of the reset, large ones switch: device by device two clean levels.
    for number in (0, 1):
        mine = frames.device == number
        ohm = readings.voltage_v[mine] / readings.current_a[mine]
        large = np.abs(frames.write_a[mine]) > np.abs(frames.write_a[mine]).mean()
        gap = np.median(ohm[large]) - np.median(ohm[~large])
        assert 0.5 < abs(gap) < 1.5
        assert (
            (ohm - (np.median(ohm[large]) + np.median(ohm[~large])) / 2) * gap > 0
        ).tolist() == large.tolist()
    in_order = readings.time_s[plan.order]
    assert (np.diff(in_order) > 0).all()
    assert start_s < in_order[0]
    assert in_order[-1] <= bench.clock.now()
    assert np.diff(in_order)[:10] == pytest.approx(plan.frame_s, rel=0.1)


@pytest.mark.parametrize("player", PLAYERS)
def test_the_time_it_takes_is_as_planned(open_named, player):
    bench = open_named("sot_classic")
    plan = bench.plan(batch(60, player), player)
    start_s = bench.clock.now()
    bench.play(plan)
    assert bench.clock.now() - start_s == pytest.approx(plan.duration_s, rel=0.1)


@pytest.mark.parametrize("player", PLAYERS)
def test_verified_resets_are_read_once_more(open_named, player):
    bench = open_named("sot_classic")
    readings = bench.play(bench.plan(batch(10, player, write=(0.2,), verify_reset=True), player))
    # Nothing was written that switches: the state after the reset is the state at the end.
    same = np.abs(readings.reset_voltage_v - readings.voltage_v) / readings.current_a
    assert (same < 0.5).all()


def test_pulses_reach_the_devices_as_planned(open_named):
    bench = open_named("sot_classic")
    for player in PLAYERS:
        frames = batch(20, player, reset_count=2)
        before = {name: bench.wear(name) for name in NAMES}
        plan = bench.plan(frames, player)
        bench.play(plan)
        for name in NAMES:
            counted = tuple(np.subtract(bench.wear(name), before[name]))
            assert counted == frames.pulses()[name] == plan.pulses[name]


def test_observed_noise_predicts_the_misreading_of_pulse_delta(open_named):
    """One state read 1,000 times: its spread tells the misread probability, the plan the same. Compared as
    distances in standard deviations, to 10 percent: 4.5 standard errors of a spread from 1,000 readings."""
    bench = open_named("sot_classic")
    frames = FrameBatch.of(NAMES, np.zeros(1000, int), 1e-5, -2.4e-3, 2e-5, integration_s=50e-6)
    plan = bench.plan(frames, "keithley6221_pulse_delta")
    readings = bench.play(plan)
    half_v = 2e-5 * bench.devices["w4_d1"].r_hall_ohm / 2
    assert half_v / readings.voltage_v.std() == pytest.approx(_deviations(plan, "w4_d1"), rel=0.1)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("after_s", [0.35, 3.2, 7.9])
def test_stopped_in_the_middle_the_rest_is_missing_and_the_source_is_off(
    open_named, stopping, player, after_s
):
    bench = open_named("sot_classic")
    plan = bench.plan(batch(40, player), player)
    at_s = bench.clock.now() + after_s
    with stopping(bench, after_s):
        readings = CLASSES[player](bench).play(plan, stop=bench.stop)
    missing = (readings.flags & Flag.MISSING) != 0
    in_flight = (readings.flags & Flag.TIMEOUT) != 0
    played = ~missing & ~in_flight
    assert missing.any()
    assert in_flight.sum() <= 1
    # What was played comes first in the playing order, then the frame in flight, then nothing.
    state = np.select([played, in_flight], [0, 1], 2)[plan.order]
    assert (np.diff(state) >= 0).all()
    assert np.isfinite(readings.voltage_v[played]).all()
    assert np.isnan(readings.voltage_v[~played]).all()
    assert bench.clock.now() < at_s + 3.0
    assert bench.instruments["source"].verify_safe()


def _deviations(plan, device):
    """Distance of the middle from a state in standard deviations, from the planned misread probability."""
    return statistics.NormalDist().inv_cdf(1 - plan.misread_probability[device])
