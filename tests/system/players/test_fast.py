"""The TSP player on the simulated 2636B bench: counts, times, flags, noise, tables, abort, faults."""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np
import pytest

from drivers.players._tsp_shape import frame_shape
from drivers.players.keithley2636b_tsp import TspPlayer
from hilab.errors import BenchError
from hilab.frames import Flag, FrameBatch

NAMES = ("w4_d1", "w16_d1")
PLAYER = TspPlayer.name


def batch(frames, *, seed=0, write=(0.2, 1.6), **times):
    """Frames on two devices with their own scales of current."""
    rng = np.random.default_rng(seed)
    device = rng.integers(0, 2, frames)
    scale_a = np.where(device == 0, 1.5e-3, 6.5e-3)
    write_a = scale_a * rng.choice(write, frames)
    read_a = np.where(device == 0, 2e-4, 1e-3)
    return FrameBatch.of(NAMES, device, write_a, -1.6 * scale_a, read_a, **times)


def test_every_frame_comes_back_in_the_order_asked_with_its_time(open_named):
    bench = open_named("sot_fast")
    frames = batch(400)
    plan = bench.plan(frames, PLAYER)
    start_s = bench.clock.now()
    done = []
    readings = bench.play(plan, done.append)
    assert readings.clean.all()
    assert done == np.cumsum([load.stop - load.start for load in plan.loads]).tolist()
    assert readings.current_a == pytest.approx(plan.actual.read_a)
    for number in (0, 1):
        mine = frames.device == number
        ohm = readings.voltage_v[mine] / readings.current_a[mine]
        large = np.abs(frames.write_a[mine]) > np.abs(frames.write_a[mine]).mean()
        middle = (np.median(ohm[large]) + np.median(ohm[~large])) / 2
        assert ((ohm > middle) == (large == (np.median(ohm[large]) > middle))).all()
    in_order = readings.time_s[plan.order]
    first = plan.loads[0]
    assert np.diff(in_order[first.start : first.stop]) == pytest.approx(plan.frame_s)
    assert (np.diff(in_order) > 0).all()
    assert start_s < in_order[0]
    assert in_order[-1] <= bench.clock.now()


def test_the_time_it_takes_is_as_planned(open_named):
    bench = open_named("sot_fast")
    for count in (10, 1_000):
        plan = bench.plan(batch(count), PLAYER)
        bench.play(plan)  # the first time uploads the script
        start_s = bench.clock.now()
        bench.play(plan)
        assert bench.clock.now() - start_s == pytest.approx(plan.duration_s, rel=0.1)


def test_readings_are_taken_when_the_times_say(open_named):
    """What the simulated sweep did, pulse by pulse, against the frame's own arithmetic."""
    bench = open_named("sot_fast")
    smu = bench.instruments["smu"]
    frames = batch(50, reset_count=2, verify_reset=True)
    plan = bench.plan(frames, PLAYER)
    shape = frame_shape(plan.actual)
    readings = bench.play(plan)
    assert np.isfinite(readings.reset_voltage_v).all()
    assert smu.sweep.state().pulses == (plan.loads[-1].stop - plan.loads[-1].start) * shape.pulses
    same = np.abs(readings.reset_voltage_v - readings.voltage_v) / readings.current_a
    small = np.abs(frames.write_a) < np.where(frames.device == 0, 0.5e-3, 2e-3)
    assert (same[small] < 0.5).all()
    assert (same[~small] > 0.5).all()


def test_observed_noise_predicts_the_misreading(open_named):
    """One state read 1,000 times; distances of the middle in standard deviations agree to 10 percent,
    4.5 standard errors of a spread from 1,000 readings."""
    bench = open_named("sot_fast")
    frames = FrameBatch.of(NAMES, np.zeros(1000, int), 1e-5, -2.4e-3, 1e-4, integration_s=2e-3)
    plan = bench.plan(frames, PLAYER)
    readings = bench.play(plan)
    half_v = 1e-4 * bench.devices["w4_d1"].r_hall_ohm / 2
    predicted = statistics.NormalDist().inv_cdf(1 - plan.misread_probability["w4_d1"])
    assert half_v / readings.voltage_v.std() == pytest.approx(predicted, rel=0.1)


def test_misread_states_are_as_many_as_predicted(open_named):
    """At a noisy integration 20,000 readings of one known state: errors within five standard deviations
    of the binomial (a false alarm in 6e-7). The player is asked directly: the bench would refuse this."""
    bench = open_named("sot_fast")
    player = TspPlayer(bench)
    quiet = FrameBatch.of(NAMES, np.zeros(200, int), [0.0, 2.6e-3] * 100, -2.6e-3, 5e-5, integration_s=20e-3)
    low, high = (player.play(player.plan(quiet)).voltage_v.reshape(-1, 2).mean(axis=0)).tolist()
    noisy = FrameBatch.of(NAMES, np.zeros(20_000, int), 0.0, -2.6e-3, 5e-5, integration_s=2e-3)
    plan = player.plan(noisy)
    readings = player.play(plan)
    wrong = ((readings.voltage_v > (low + high) / 2) != (low > high)).sum()
    opening_ohm = abs(high - low) / 5e-5  # this device's own, not the nominal one of the plan
    noise_v = 5e-5 * 1.0 / 2 / statistics.NormalDist().inv_cdf(1 - plan.misread_probability["w4_d1"])
    expected = 20_000 * statistics.NormalDist().cdf(-5e-5 * opening_ohm / 2 / noise_v)
    assert expected > 50
    # The noise table is exact in the simulation; the middle is known to 1 uV of 25 uV.
    assert abs(wrong - expected) < 5 * np.sqrt(expected) + 0.1 * expected


def test_frames_that_differ_in_reset_and_read_are_played_from_a_table(open_named):
    bench = open_named("sot_fast")
    rng = np.random.default_rng(4)
    reset_a = rng.choice([-2.4e-3, 2.4e-3], 200)
    read_a = rng.choice([1e-4, 2e-4], 200)
    frames = FrameBatch.of(NAMES, np.zeros(200, int), 0.0, reset_a, read_a)
    sent = []
    bench.instruments["smu"].link.hook = lambda kind, payload: sent.append(payload)
    readings = bench.play(bench.plan(frames, PLAYER))
    assert any(b"h_l({" in line for line in sent)
    ohm = readings.voltage_v / readings.current_a
    assert ohm[reset_a > 0].min() > ohm[reset_a < 0].max() or ohm[reset_a > 0].max() < ohm[reset_a < 0].min()
    assert readings.current_a == pytest.approx(read_a)


def test_equal_loads_send_only_levels(open_named):
    bench = open_named("sot_fast")
    frames = FrameBatch.of(NAMES, np.zeros(500, int), 1e-3, -2.4e-3, 2e-4)
    bench.play(bench.plan(frames, PLAYER))
    sent = []
    bench.instruments["smu"].link.hook = lambda kind, payload: sent.append(payload.split(b"(")[0])
    bench.play(bench.plan(frames, PLAYER))
    assert [line for line in sent if line] == [b"h_new", b"h_state", b"h_get"]


@pytest.mark.parametrize("after_s", [0.01, 0.4, 0.99, 1.7])
def test_stopped_in_the_middle_it_aborts_at_once_and_keeps_what_was_measured(open_named, stopping, after_s):
    bench = open_named("sot_fast")
    bench.play(bench.plan(batch(2), PLAYER))  # the script is there
    plan = bench.plan(batch(1000), PLAYER)
    at_s = bench.clock.now() + after_s
    with stopping(bench, after_s):
        readings = TspPlayer(bench).play(plan, stop=bench.stop)
    ended_s = bench.clock.now()
    missing = (readings.flags & Flag.MISSING) != 0
    in_flight = (readings.flags & Flag.TIMEOUT) != 0
    played = ~missing & ~in_flight
    assert missing.any()
    assert in_flight.sum() <= 1
    state = np.select([played, in_flight], [0, 1], 2)[plan.order]
    assert (np.diff(state) >= 0).all()
    assert np.isfinite(readings.voltage_v[played]).all()
    assert (readings.time_s[played] <= ended_s).all()
    upload_s = 0.08  # two routes and two uploads
    assert played.sum() > (after_s - upload_s) / plan.frame_s - 1
    assert ended_s < at_s + 0.25
    assert bench.instruments["smu"].verify_safe()


def test_after_an_abort_the_next_batch_is_played_as_if_nothing_had_been(open_named, stopping):
    bench = open_named("sot_fast")
    plan = bench.plan(batch(1000), PLAYER)
    with stopping(bench, 0.5):
        TspPlayer(bench).play(plan, stop=bench.stop)
    bench.stop.clear()
    assert bench.play(plan).clean.all()


def test_an_open_contact_is_flagged_as_compliance(open_named):
    bench = open_named("sot_fast", simulation__open_contacts=["w4_d1.current"])
    readings = bench.play(bench.plan(batch(60), PLAYER))
    limited = (readings.flags & Flag.COMPLIANCE) != 0
    assert limited.tolist() == (batch(60).device == 0).tolist()


def test_a_plan_that_exceeds_the_envelope_sends_nothing_even_if_somebody_made_it(open_named):
    bench = open_named("sot_fast")
    player = TspPlayer(bench)
    plan = player.plan(batch(10))
    forged = dataclasses.replace(
        plan, actual=dataclasses.replace(plan.actual, write_a=plan.actual.write_a * 5)
    )
    sent = []
    bench.instruments["smu"].link.hook = lambda kind, payload: sent.append(payload)
    with pytest.raises(BenchError, match="does not fit the bench any more"):
        player.play(forged)
    assert sent == []


def test_an_error_of_the_instrument_ends_the_load_with_its_words(open_named):
    bench = open_named("sot_fast")
    plan = bench.plan(batch(20), PLAYER)
    bench.play(plan)
    bench.instruments["smu"].write("h_run = nil")
    with pytest.raises(BenchError, match="smu stopped the sweep: -286"):
        bench.play(plan)
    assert bench.instruments["smu"].verify_safe()
