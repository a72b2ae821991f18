"""The waveform players on the simulated bench: bytes to physics and back, times, memory, abort, loads."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.players.waveform import WaveformPlayer
from hilab.errors import BenchError
from hilab.frames import Flag, FrameBatch, PlanRefused

I50_A = {"w2_d1": 0.5681e-3, "w4_d1": 1.363e-3}
READ_A = {"w2_d1": 1.2e-4, "w4_d1": 3e-4}


def batch(frames, names=("w4_d1",), seed=0, write=(0.3, 1.25), **settings):
    """Frames that surely do or do not switch, on the devices in turn."""
    device = np.arange(frames) % len(names)
    i50 = np.array([I50_A[name] for name in names])[device]
    read_a = np.array([READ_A[name] for name in names])[device]
    written = i50 * np.random.default_rng(seed).choice(write, frames)
    return FrameBatch.of(names, device, written, -1.3 * i50, read_a, **({"integration_s": 160e-6} | settings))


def agrees(frames, readings):
    """Whether every reading tells what was written."""
    for number in np.unique(frames.device):
        mine = frames.device == number
        ohm = readings.voltage_v[mine] / readings.current_a[mine]
        large = frames.write_a[mine] > 0.8 * I50_A[frames.devices[number]]
        middle = (np.median(ohm[large]) + np.median(ohm[~large])) / 2
        if not ((ohm > middle) == (large == (np.median(ohm[large]) > middle))).all():
            return False
    return True


@pytest.mark.parametrize("player", ["waveform", "waveform_baseline"])
def test_every_frame_comes_back_in_the_order_asked_with_its_time(open_named, player):
    bench = open_named("sot_waveform")
    frames = batch(400, ("w2_d1", "w4_d1"))
    plan = bench.plan(frames, player)
    start_s = bench.clock.now()
    done = []
    readings = bench.play(plan, done.append)
    assert readings.clean.all()
    assert agrees(frames, readings)
    assert done == np.cumsum([load.stop - load.start for load in plan.loads]).tolist()
    assert readings.current_a == pytest.approx(plan.actual.read_a)
    in_order = readings.time_s[plan.order]
    assert np.diff(in_order)[:199] == pytest.approx(plan.frame_s)
    assert (np.diff(in_order) > 0).all()
    assert start_s < in_order[0] < in_order[-1] <= bench.clock.now()
    assert bench.instruments["awg"].verify_safe()


def test_the_time_it_takes_is_as_planned(open_named):
    bench = open_named("sot_waveform")
    for count in (100, 2_000):
        plan = bench.plan(batch(count), "waveform")
        bench.play(plan)
        start_s = bench.clock.now()
        bench.play(plan)
        assert bench.clock.now() - start_s == pytest.approx(plan.duration_s, rel=0.1)


@pytest.mark.parametrize(("latency_s", "share"), [(0.005, 0.9), (0.02, 0.9), (0.05, 0.85)])
def test_the_bench_is_busy_pulsing(open_named, latency_s, share):
    """Design section 5: 6,400 frames of one routed device, upload 2 MB/s."""
    bench = open_named("sot_waveform", simulation__latency_s__lan=latency_s)
    frames = batch(6_400)
    bench.play(bench.plan(frames.take(slice(10)), "waveform"))
    start_s = bench.clock.now()
    plan = bench.plan(frames, "waveform")
    readings = bench.play(plan)
    assert agrees(frames, readings)
    assert 6_400 * plan.frame_s / (bench.clock.now() - start_s) > share


@pytest.mark.parametrize("latency_s", [0.005, 0.05])
def test_double_buffered_it_is_busier(open_named, latency_s):
    bench = open_named("sot_waveform", simulation__latency_s__lan=latency_s)
    frames = batch(64_000)
    bench.play(bench.plan(frames.take(slice(10)), "waveform"))
    start_s = bench.clock.now()
    plan = bench.plan(frames, "waveform")
    readings = bench.play(plan)
    assert readings.clean.all()
    assert len(plan.loads) > 2
    assert 64_000 * plan.frame_s / (bench.clock.now() - start_s) > 0.95


def test_one_verified_reset_is_read_before_each_write(open_named):
    bench = open_named("sot_waveform")
    frames = batch(200, verify_reset=True, reset_count=2)
    readings = bench.play(bench.plan(frames, "waveform"))
    assert agrees(frames, readings)
    changed = np.abs(readings.voltage_v - readings.reset_voltage_v) / readings.current_a > 0.5
    assert (changed == (frames.write_a > I50_A["w4_d1"])).all()


def test_long_reads_are_averages_of_several_apertures(open_named):
    bench = open_named("sot_waveform")
    frames = batch(100, integration_s=6e-3)
    readings = bench.play(bench.plan(frames, "waveform"))
    assert agrees(frames, readings)


def test_loads_are_split_at_the_memory_and_memory_is_emptied_when_full(open_named):
    bench = open_named("sot_waveform")
    awg = bench.instruments["awg"]
    awg.memory_points = 3_000
    frames = batch(1_000)
    plan = bench.plan(frames, "waveform")
    assert max(load.stop - load.start for load in plan.loads) == 149
    readings = bench.play(plan)
    assert readings.clean.all()
    assert agrees(frames, readings)
    assert sum(awg.waves.values()) <= 3_000


def test_loads_are_split_at_the_buffer(open_named):
    bench = open_named("sot_waveform")
    bench.instruments["dmm"].buffer_max = 300
    frames = batch(400)
    plan = bench.plan(frames, "waveform")
    assert max(load.stop - load.start for load in plan.loads) == 150
    assert agrees(frames, bench.play(plan))


@pytest.mark.parametrize("after_s", [0.002, 0.05, 0.3, 0.61, 0.95])
def test_stopped_in_the_middle_it_aborts_at_once_and_keeps_what_was_measured(open_named, stopping, after_s):
    bench = open_named("sot_waveform")
    names = ("w2_d1", "w4_d1")
    bench.play(bench.plan(batch(2, names), "waveform"))
    frames = batch(3_000, names)
    plan = bench.plan(frames, "waveform")
    at_s = bench.clock.now() + after_s
    with stopping(bench, after_s):
        readings = WaveformPlayer(bench).play(plan, stop=bench.stop)
    missing = (readings.flags & Flag.MISSING) != 0
    in_flight = (readings.flags & Flag.TIMEOUT) != 0
    played = ~missing & ~in_flight
    assert missing.any()
    assert in_flight.sum() <= 1
    assert (np.diff(np.select([played, in_flight], [0, 1], 2)[plan.order]) >= 0).all()
    assert np.isfinite(readings.voltage_v[played]).all()
    assert played.sum() > (after_s - 0.25) / plan.frame_s - 1
    assert bench.clock.now() < at_s + 0.25
    assert bench.instruments["awg"].verify_safe()
    bench.stop.clear()
    assert agrees(frames, bench.play(plan))


def test_the_load_is_measured_at_the_shunt(open_named):
    """The truth is known to 0.1 percent by the shunt, although the source is less accurate."""
    bench = open_named("sot_waveform")
    plan = bench.plan(batch(10), "waveform")
    assert plan.amplitude_uncertainty < 2e-3
    drawn = bench._twin.world.devices["w4_d1"].drawn
    player = bench._playing._player("waveform")
    true_ohm = drawn.r_xx_ohm + drawn.r_contact_ohm + bench.shunt.ohm
    assert player._loads["w4_d1"].ohm == pytest.approx(true_ohm, rel=3e-3)
    bench.plan(batch(10), "waveform")
    before_s = bench.clock.now()
    bench.plan(batch(10), "waveform")
    assert bench.clock.now() == before_s, "a fresh measurement is not repeated"


def test_an_open_line_is_refused_with_its_reason(open_named):
    bench = open_named("sot_waveform", simulation__open_contacts=["w4_d1.current"])
    with pytest.raises(PlanRefused, match="w4_d1: its current line is open"):
        bench.plan(batch(10), "waveform")


def test_a_planning_bench_measures_nothing_and_says_how_uncertain_it_is(open_named):
    bench = open_named("sot_waveform")
    before_s = bench.clock.now()
    plan = bench.plan(batch(10), "waveform", prepare=False)
    assert plan.amplitude_uncertainty == pytest.approx(0.1)
    assert bench.clock.now() == before_s


def test_a_marker_that_reaches_nobody_is_noticed(open_named):
    bench = open_named("sot_waveform")
    plan = bench.plan(batch(10), "waveform")
    bench._twin.world.trigger = lambda line, times_s, trace=None: None
    with pytest.raises(BenchError, match=r"0 of 20 readings came.*is the marker wired"):
        bench.play(plan)
    assert bench.instruments["awg"].verify_safe()


def test_results_do_not_depend_on_how_a_batch_is_cut(open_named):
    whole = open_named("sot_waveform", simulation__setting="default")
    parts = open_named("sot_waveform", simulation__setting="default")
    frames = batch(600, write=(0.95, 1.0, 1.05))
    one = whole.play(whole.plan(frames, "waveform"))
    two = [parts.play(parts.plan(frames.take(slice(at, at + 200)), "waveform")) for at in (0, 200, 400)]
    # other times and so other drift, but the same random numbers: hardly a bit differs
    middle = np.median(one.voltage_v[frames.write_a > I50_A["w4_d1"]])
    bits = np.abs(one.voltage_v - middle) < 0.5 * READ_A["w4_d1"] * 0.8
    again = np.abs(np.concatenate([each.voltage_v for each in two]) - middle) < 0.5 * READ_A["w4_d1"] * 0.8
    assert (bits == again).mean() > 0.98


def test_far_too_much_current_at_the_shunt_is_a_short_and_the_source_is_off(open_named, monkeypatch):
    bench = open_named("sot_waveform")
    monkeypatch.setattr(bench.instruments["dmm"], "read_v", lambda: float("nan"))
    with pytest.raises(PlanRefused, match="w4_d1: its current line is shorted"):
        bench.plan(batch(10), "waveform")
    assert bench.instruments["awg"].verify_safe()


def test_a_meter_that_fails_at_the_shunt_leaves_the_source_off(open_named, monkeypatch):
    bench = open_named("sot_waveform")

    def broken():
        raise BenchError("no reading")

    monkeypatch.setattr(bench.instruments["dmm"], "read_v", broken)
    with pytest.raises(BenchError, match="no reading"):
        bench.plan(batch(10), "waveform")
    assert bench.instruments["awg"].verify_safe()


@pytest.mark.parametrize("method", ["arm_triggered", "fetch"])
def test_whatever_fails_nothing_plays_on_and_the_next_batch_is_right(open_named, monkeypatch, method):
    bench = open_named("sot_waveform")
    frames = batch(400)
    plan = bench.plan(frames, "waveform")
    assert agrees(frames, bench.play(plan))
    dmm = bench.instruments["dmm"]

    def broken(*given):
        raise ZeroDivisionError("struck")

    with monkeypatch.context() as patch:
        patch.setattr(dmm, method, broken)
        with pytest.raises(ZeroDivisionError, match="struck"):
            bench.play(plan)
    assert bench.instruments["awg"].verify_safe()
    again = bench.play(bench.plan(frames, "waveform"))
    assert agrees(frames, again)


def test_a_wave_that_the_box_refuses_is_not_triggered(open_named, monkeypatch):
    bench = open_named("sot_waveform")
    plan = bench.plan(batch(10), "waveform")
    awg = bench.instruments["awg"]
    triggered = []
    monkeypatch.setattr(awg, "trigger_waves", lambda: triggered.append(1))
    send = awg.write_bytes
    monkeypatch.setattr(
        awg,
        "write_bytes",
        lambda content: send(content.replace(b":SOUR1:FUNC:ARB f1;", b":SOUR1:FUNC:ARB f7;")),
    )
    with pytest.raises(BenchError, match="awg did not take a wave"):
        bench.play(plan)
    assert not triggered
    assert awg.verify_safe()


def test_what_was_sent_in_vain_is_not_believed(open_named, monkeypatch):
    """A message that did not arrive left the amplitude of the last batch in force."""
    bench = open_named("sot_waveform")
    awg = bench.instruments["awg"]
    frames = batch(50)
    assert agrees(frames, bench.play(bench.plan(frames, "waveform")))

    def lost(content):
        raise BenchError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(awg, "write_bytes", lost)
        with pytest.raises(BenchError, match="lost"):
            bench.play(bench.plan(batch(50, seed=1, write=(0.3, 1.5)), "waveform"))
    smaller = batch(50, seed=2, write=(0.3, 1.5))
    assert agrees(smaller, bench.play(bench.plan(smaller, "waveform")))


def test_complaints_from_before_are_not_those_of_a_wave(open_named):
    bench = open_named("sot_waveform")
    awg = bench.instruments["awg"]
    plan = bench.plan(batch(10), "waveform")
    awg.write(":NONSENSE 1")
    assert len(bench.play(plan)) == 10
