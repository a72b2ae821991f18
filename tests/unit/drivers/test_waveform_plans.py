"""Plans of the waveform players: times in samples, converter steps, splitting, loads, refusals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from drivers.keithleydmm6500 import KeithleyDMM6500
from drivers.keysight33600a import Keysight33600A
from drivers.players._compile import step_a
from drivers.players._waveform_load import NOMINAL_UNCERTAINTY, REMEMBERED_S, LineLoad, nominal_ohm
from drivers.players.waveform import WaveformBaselinePlayer, WaveformPlayer
from hilab.errors import BenchError
from hilab.frames import FrameBatch, PlanRefused

NAMES = ("w2_d1", "w16_d1")


@pytest.fixture
def bench(scripted, clock, station):
    awg = Keysight33600A(scripted(), name="awg", clock=clock)
    dmm = KeithleyDMM6500(scripted(), name="dmm", clock=clock)
    return station(waveform_source=awg, pulse_source=awg, bias_source=awg, reader=dmm, digitiser=dmm)


@pytest.fixture
def player(bench):
    return WaveformPlayer(bench)


def batch(device=(0,), write_a=0.6e-3, reset_a=-0.9e-3, read_a=1e-4, **times):
    settings = {"integration_s": 160e-6} | times
    return FrameBatch.of(NAMES, device, write_a, reset_a, read_a, **settings)


def test_it_suits_a_bench_with_both_instruments(bench, player):
    assert WaveformPlayer.unsuitable(bench) == ""
    other = dataclasses.replace(bench, roles={**bench.roles, "pulse_source": bench.roles["reader"]})
    assert "not the pulse source" in WaveformPlayer.unsuitable(other)
    del other.roles["digitiser"]
    assert WaveformPlayer.unsuitable(other) == "the bench has no digitiser"


def test_the_standard_frame_lasts_400_us_and_is_read_in_both_halves(player):
    plan = player.plan(batch())
    assert plan.frame_s == pytest.approx(400e-6)
    assert plan.actual.integration_s == pytest.approx(2 * 74e-6)
    assert plan.actual.write_width_s == pytest.approx(100e-6)
    assert any("20 samples a frame" in note for note in plan.notes)


def test_long_reads_are_several_apertures(player):
    plan = player.plan(batch(integration_s=5e-3))
    assert plan.actual.integration_s == pytest.approx(5e-3, rel=0.02)
    assert any("6 apertures" in note for note in plan.notes)


def test_amplitudes_are_steps_of_the_converter(player):
    asked = np.array([1.23456e-4, 5.98765e-4])
    plan = player.plan(batch([0, 0], write_a=asked))
    ohm = 8000 + 100 + 50
    full_v = math.ceil(0.9e-3 * ohm * 32767 / 32764 * 1e3) / 1e3
    step = step_a(ohm, full_v, 4)
    assert plan.actual.write_a == pytest.approx(np.rint(asked / step) * step, rel=1e-12)
    assert plan.quantisation_a == pytest.approx(np.abs(plan.actual.write_a - asked).max())
    assert plan.quantisation_a <= 0.5 * step
    assert plan.amplitude_uncertainty == NOMINAL_UNCERTAINTY


def test_each_device_has_its_own_steps(player):
    plan = player.plan(
        batch([0, 1], write_a=[0.6e-3, 6.6e-3], reset_a=[-0.9e-3, -7.2e-3], read_a=[1e-4, 1e-3])
    )
    for number, ohm in ((0, 8150.0), (1, 1150.0)):
        full_v = math.ceil(abs(plan.batch.reset_a[number]) * ohm * 32767 / 32764 * 1e3) / 1e3
        steps = plan.actual.write_a[number] / step_a(ohm, full_v, 4)
        assert steps == pytest.approx(round(steps), abs=1e-6)


def test_pulses_and_time_are_stated(player):
    plan = player.plan(batch(np.zeros(6400, int)))
    assert plan.pulses == {"w2_d1": (6400, 6400)}
    assert plan.spent_s["play"] == pytest.approx(6400 * 400e-6, rel=1e-3)
    assert plan.duration_s == pytest.approx(sum(plan.spent_s.values()))
    assert plan.energy_j["w2_d1"] == pytest.approx(6400 * 1e-4 * 8000 * (0.6e-3**2 + 0.9e-3**2), rel=1e-3)


def test_loads_end_where_memory_or_buffer_end(bench, player):
    player._source.memory_points = 20_001
    plan = player.plan(batch(np.zeros(2500, int)))
    assert max(load.stop - load.start for load in plan.loads) == 1000
    assert [load.start for load in plan.loads[1:]] == [load.stop for load in plan.loads[:-1]]
    assert plan.loads[-1].stop == 2500
    player._digitiser.buffer_max = 200
    plan = player.plan(batch(np.zeros(2500, int)))
    assert max(load.stop - load.start for load in plan.loads) == 100
    player._source.memory_points = 20
    with pytest.raises(PlanRefused, match="does not fit into the source's memory"):
        player.plan(batch())


def test_a_long_batch_starts_with_a_short_load(player):
    plan = player.plan(batch(np.zeros(50_000, int)))
    sizes = [load.stop - load.start for load in plan.loads]
    assert sizes[0] * 4 < sizes[1] == max(sizes)
    assert sum(sizes) == 50_000


def test_every_reason_is_said_at_once(player):
    with pytest.raises(PlanRefused) as refusal:
        player.plan(batch([0, 1], write_a=[1.3e-3, 9e-3], reset_a=[-1.3e-3, -9e-3], read_a=[3e-4, 2e-6]))
    said = " / ".join(refusal.value.reasons)
    assert "w2_d1: 0.0013 A through 8150 ohm take 10.6 V, above the 10 V" in said
    assert "w16_d1: 0.009 A through 1150 ohm take 10.3 V" in said
    assert "w2_d1: read current 0.0003 A is above its limit" in said
    assert "w16_d1: the digitiser 'dmm' cannot tell its states apart" in said


def test_reads_below_the_resolution_are_refused(player):
    with pytest.raises(PlanRefused, match="less than 10 steps"):
        player.plan(batch([1], write_a=6.6e-3, reset_a=-7.2e-3, read_a=5e-6))


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ({"reset_wait_s": 1.5e-9, "read_wait_s": 2e-9}, "no common sample"),
        ({"integration_s": 10e-6}, "integration_s = 1e-05 s"),
    ],
)
def test_times_that_cannot_be_are_refused(player, times, sentence):
    with pytest.raises(PlanRefused, match=sentence):
        player.plan(batch(**times))


def test_a_measured_load_sets_voltage_and_uncertainty(player):
    player._loads["w2_d1"] = LineLoad(9000.0, 2e-3, 0.0)
    plan = player.plan(batch())
    assert plan.amplitude_uncertainty == 2e-3
    with pytest.raises(PlanRefused, match="through 9050 ohm"):
        player.plan(batch(reset_a=-1.12e-3))


def test_an_open_or_strange_line_is_refused(player, cards):
    player._loads["w2_d1"] = LineLoad(math.inf, math.inf, 0.0)
    player._loads["w16_d1"] = LineLoad(400.0, 1e-3, 0.0)
    with pytest.raises(PlanRefused) as refusal:
        player.plan(batch([0, 1], write_a=1e-4, reset_a=-1e-4))
    assert any("w2_d1: its current line is open" in each for each in refusal.value.reasons)
    assert any("w16_d1: its line has 400 ohm, not the 1100 ohm" in each for each in refusal.value.reasons)
    assert nominal_ohm(cards["w16_d1"], None) == 1100.0


def test_a_measurement_is_believed_for_a_stated_time():
    load = LineLoad(1000.0, 1e-3, 50.0)
    assert load.fresh(50.0 + REMEMBERED_S - 1)
    assert not load.fresh(50.0 + REMEMBERED_S + 1)
    assert not LineLoad(1000.0, 0.1).fresh(0.0)


def test_a_zero_beside_each_read_is_noisier(bench, player):
    settings = {"integration_s": 40e-6, "read_a": 4e-5}
    reversed_read = player.plan(batch(**settings)).misread_probability["w2_d1"]
    baseline = WaveformBaselinePlayer(bench).plan(batch(**settings)).misread_probability["w2_d1"]
    assert baseline > 10 * reversed_read


def test_a_forged_plan_sends_nothing(bench, player):
    plan = player.plan(batch())
    forged = dataclasses.replace(
        plan, actual=dataclasses.replace(plan.actual, write_a=plan.actual.write_a * 1.55)
    )
    with pytest.raises(BenchError, match="not those that it was made for"):
        player.play(forged)
    with pytest.raises(BenchError, match="does not fit the bench any more"):
        player.play(
            dataclasses.replace(plan, actual=dataclasses.replace(plan.actual, write_a=np.array([5e-3])))
        )
    assert bench.routes == []


def test_a_shorted_line_and_a_poor_measurement_are_refused(player):
    player._loads["w2_d1"] = LineLoad(0.0, math.inf, 0.0)
    player._loads["w16_d1"] = LineLoad(1100.0, 0.5, 0.0)
    with pytest.raises(PlanRefused) as refusal:
        player.plan(batch([0, 1], write_a=1e-4, reset_a=-1e-4))
    assert any("w2_d1: its current line is shorted" in each for each in refusal.value.reasons)
    assert any("w16_d1: its line could be measured to 50% only" in each for each in refusal.value.reasons)
