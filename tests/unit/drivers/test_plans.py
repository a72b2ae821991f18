"""Plans of the three players: arithmetic, quantisation, splitting, and refusals with every reason."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from drivers.keithley2182a import Keithley2182A
from drivers.keithley2636b import Keithley2636B
from drivers.keithley6221 import Keithley6221
from drivers.players._planning import misread_probability
from drivers.players._tsp_shape import frame_shape
from drivers.players.keithley2636b_tsp import TspPlayer
from drivers.players.keithley6221_pulse_delta import PulseDeltaPlayer
from drivers.players.software_loop import SoftwareLoopPlayer
from hilab.frames import FrameBatch, PlanRefused

NAMES = ("w2_d1", "w16_d1")


@pytest.fixture
def tsp(scripted, clock, station):
    smu = Keithley2636B(scripted(), name="smu", clock=clock)
    return TspPlayer(station(pulse_source=smu, reader=smu, bias_source=smu))


@pytest.fixture
def delta(scripted, clock, station):
    source = Keithley6221(scripted(), name="source", clock=clock)
    meter = Keithley2182A(scripted(), name="nvm", clock=clock)
    return PulseDeltaPlayer(station(pulse_source=source, reader=meter, bias_source=source))


@pytest.fixture
def loop(scripted, clock, station):
    source = Keithley6221(scripted(), name="source", clock=clock)
    meter = Keithley2182A(scripted(), name="nvm", clock=clock)
    return SoftwareLoopPlayer(station(pulse_source=source, reader=meter, bias_source=source))


def batch(device=(0,), write_a=0.6e-3, reset_a=-1e-3, read_a=1e-4, **times):
    return FrameBatch.of(NAMES, device, write_a, reset_a, read_a, **times)


def test_frames_are_grouped_by_device_and_keep_their_order_within_it(tsp):
    plan = tsp.plan(batch([1, 0, 1, 0, 1], write_a=np.linspace(1e-4, 5e-4, 5)))
    assert plan.order.tolist() == [1, 3, 0, 2, 4]
    assert [(load.device, load.start, load.stop) for load in plan.loads] == [
        ("w2_d1", 0, 2),
        ("w16_d1", 2, 5),
    ]
    assert plan.relay_moves == 2


def test_an_ordered_batch_is_played_as_asked(tsp):
    plan = tsp.plan(batch([1, 0, 1, 1], ordered=True))
    assert plan.order.tolist() == [0, 1, 2, 3]
    assert [load.device for load in plan.loads] == ["w16_d1", "w2_d1", "w16_d1"]


def test_pulses_are_counted_as_the_batch_counts_them(tsp):
    rng = np.random.default_rng(1)
    frames = batch(
        rng.integers(0, 2, 500),
        write_a=rng.choice([-3e-4, 0.0, 3e-4], 500),
        reset_a=rng.choice([-4e-4, 4e-4], 500),
        reset_count=3,
    )
    assert tsp.plan(frames).pulses == frames.pulses()
    ordered = batch(
        frames.device, write_a=frames.write_a, reset_a=frames.reset_a, reset_count=3, ordered=True
    )
    assert tsp.plan(ordered).pulses == frames.pulses()


def test_amplitudes_lie_on_digits_of_the_range_that_holds_the_largest(tsp):
    writes = np.array([1.23456789e-4, 9.87654321e-4])
    plan = tsp.plan(batch([0, 0], write_a=writes, reset_a=-9e-4))  # 1 mA range, 20 nA digits
    assert plan.actual.write_a == pytest.approx([1.2346e-4, 9.8766e-4], abs=1e-15)
    plan = tsp.plan(batch([0, 0], write_a=writes, reset_a=-1.2e-3))  # 10 mA range, 200 nA digits
    assert plan.actual.write_a == pytest.approx([1.234e-4, 9.876e-4], abs=1e-15)
    assert any("quantised" in note for note in plan.notes)


def test_a_frame_is_timed_pulse_by_pulse():
    shape = frame_shape(batch(reset_count=2, verify_reset=True, integration_s=2e-3))
    # reset, reset, verify read, write, read
    read_s = 100e-6 + 2e-3 + 60e-6
    assert shape.widths_s == pytest.approx([100e-6, 100e-6, read_s, 100e-6, read_s])
    assert shape.starts_s == pytest.approx([0, 120e-6, 240e-6, 260e-6 + read_s, 380e-6 + read_s])
    assert shape.period_s == pytest.approx(480e-6 + 2 * read_s)
    assert shape.read_pulses == (2, 4)
    times = shape.times()
    assert sum(times.intervals_s) == pytest.approx(shape.period_s)
    assert sum(times.between_reads_s) == pytest.approx(shape.period_s)
    assert times.first_read_s == pytest.approx(340e-6)


def test_loads_hold_no_more_than_the_buffer(tsp, delta):
    plan = tsp.plan(batch(np.zeros(45_000, int)))  # three pulses a frame, 60,000 readings a buffer
    assert [load.stop - load.start for load in plan.loads] == [20_000, 20_000, 5_000]
    plan = delta.plan(batch(np.zeros(30_000, int), integration_s=80e-6))
    assert [load.stop - load.start for load in plan.loads] == [21_845, 8_155]


def test_the_misread_probability_is_that_of_gaussian_noise():
    # 100 uV opening, 12 uV noise: the middle lies 50/12 standard deviations away
    assert misread_probability(1e-4, 1.0, 12e-6) == pytest.approx(1.54e-5, rel=0.01)
    rng = np.random.default_rng(2)
    wrong = np.mean(rng.normal(0.5, 0.3, 200_000) < 0)
    # five standard errors: a false alarm in 6e-7
    assert misread_probability(1.0, 1.0, 0.3) == pytest.approx(wrong, abs=5 * math.sqrt(wrong / 200_000))


def test_longer_integration_reads_better(tsp):
    chances = [tsp.plan(batch(integration_s=t)).misread_probability["w2_d1"] for t in (1e-3, 2e-3, 20e-3)]
    assert chances[0] > chances[1] > chances[2]
    assert chances[1] < 1e-3


def test_every_reason_is_given_at_once(tsp):
    with pytest.raises(PlanRefused) as refused:
        tsp.plan(batch([0, 1], write_a=[2e-3, 20e-3], read_a=[3e-4, 1e-4], reset_width_s=20e-6))
    text = "\n".join(refused.value.reasons)
    assert "reset_width_s" in text
    assert "w2_d1: write amplitude 0.002 A is above the 0.0016 A" in text
    assert "w2_d1: read current 0.0003 A is above its limit of 0.00025 A" in text
    assert "w16_d1: write amplitude 0.02 A" in text
    assert "w16_d1: its 1000 ohm need 22 V, above the 20 V allowed" in text


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"integration_s": 20e-6, "read_a": 1e-5}, "cannot tell its states apart"),
        ({"integration_s": 2.0}, "integration_s = 2 s"),
        ({"write_width_s": 5.0}, "write_width_s = 5 s"),
        ({"reset_wait_s": 1e-6, "reset_width_s": 100e-6}, "start less than"),
    ],
)
def test_the_2636b_says_what_it_cannot_do(tsp, times, reason):
    with pytest.raises(PlanRefused, match=reason):
        tsp.plan(batch(**times))


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"integration_s": 80e-6, "reset_width_s": 200e-6}, "one width for all pulses"),
        ({"integration_s": 2e-3}, "does not fit into the pulse"),
        ({"integration_s": 2e-3, "write_width_s": 20e-3, "reset_width_s": 20e-3}, "outside 5e-05 to 0.012 s"),
    ],
)
def test_pulse_delta_says_what_it_cannot_do(delta, times, reason):
    with pytest.raises(PlanRefused, match=reason):
        delta.plan(batch(**times))


def test_pulse_delta_integrates_what_the_pulse_leaves(delta):
    plan = delta.plan(batch(integration_s=50e-6))
    assert plan.actual.integration_s == pytest.approx(84e-6)
    assert plan.frame_s == pytest.approx(0.3)
    assert plan.actual.read_wait_s == pytest.approx(0.1 - 100e-6)


def test_the_software_loop_prices_messages_and_arming(loop):
    plan = loop.plan(batch(np.zeros(10, int)))
    # two pulses with 0.3 s of arming each dominate
    assert 0.6 < plan.frame_s < 0.8
    assert plan.duration_s == pytest.approx(10 * plan.frame_s, rel=0.1)


def test_an_unknown_device_and_an_empty_batch_are_refused(tsp):
    with pytest.raises(PlanRefused, match="no such device"):
        tsp.plan(FrameBatch.of(("w3_d1",), 0, 1e-4, -1e-3, 1e-4))
    with pytest.raises(PlanRefused, match="no frame"):
        tsp.plan(batch(np.empty(0, int)))


def test_players_know_which_bench_suits_them(scripted, clock, station):
    smu = Keithley2636B(scripted(), name="smu", clock=clock)
    source = Keithley6221(scripted(), name="source", clock=clock)
    meter = Keithley2182A(scripted(), name="nvm", clock=clock)
    fast = station(pulse_source=smu, reader=smu, bias_source=smu)
    classic = station(pulse_source=source, reader=meter, bias_source=source)
    mixed = station(pulse_source=source, reader=smu, bias_source=source)
    bare = station(pulse_source=source)
    assert [p.unsuitable(fast) for p in (TspPlayer, SoftwareLoopPlayer)] == ["", ""]
    assert [p.unsuitable(classic) for p in (PulseDeltaPlayer, SoftwareLoopPlayer)] == ["", ""]
    assert "2636B" in TspPlayer.unsuitable(classic)
    assert "6221" in PulseDeltaPlayer.unsuitable(fast)
    assert "2182A" in PulseDeltaPlayer.unsuitable(mixed)
    assert all("no " in p.unsuitable(bare) for p in (TspPlayer, PulseDeltaPlayer, SoftwareLoopPlayer))


def test_a_training_batch_is_planned_in_a_millisecond(tsp):
    rng = np.random.default_rng(3)
    frames = batch(rng.integers(0, 2, 6400), write_a=rng.uniform(2e-4, 6e-4, 6400))
    tsp.plan(frames)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        tsp.plan(frames)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3  # about 0.3 ms on the machine it was written on; the rest is for busy machines
