"""Plans of the list player and of the 2636B with a triggered digitiser: arithmetic and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.keithley2182a import Keithley2182A
from drivers.keithley2636b import Keithley2636B
from drivers.keithley6221 import Keithley6221
from drivers.keithleydmm6500 import KeithleyDMM6500
from drivers.players.keithley2636b_digitiser import DigitiserPlayer
from drivers.players.keithley6221_list import ListPlayer
from hilab.errors import BenchError
from hilab.frames import FrameBatch, PlanRefused

NAMES = ("w2_d1", "w16_d1")


@pytest.fixture
def listed(scripted, clock, station):
    source = Keithley6221(scripted(), name="source", clock=clock)
    meter = Keithley2182A(scripted(), name="nvm", clock=clock)
    return ListPlayer(station(pulse_source=source, reader=meter, bias_source=source))


@pytest.fixture
def triggered(scripted, clock, station):
    smu = Keithley2636B(scripted(), name="smu", clock=clock)
    dmm = KeithleyDMM6500(scripted(), name="dmm", clock=clock)
    return DigitiserPlayer(station(pulse_source=smu, digitiser=dmm, reader=dmm))


def batch(device=(0,), write_a=0.5e-3, reset_a=-0.8e-3, read_a=1e-4, **times):
    return FrameBatch.of(NAMES, device, write_a, reset_a, read_a, **times)


LONG = {"reset_width_s": 22.5e-3, "write_width_s": 22.5e-3, "integration_s": 20e-3}


def test_a_point_of_the_list_is_its_delay_and_one_reading(listed):
    plan = listed.plan(batch(np.zeros(1_000, int), **LONG))
    # 1 PLC and 1.5 ms of reading on top of a delay of 1 ms
    assert plan.actual.write_width_s == pytest.approx(22.5e-3)
    assert plan.frame_s == pytest.approx(3 * 22.5e-3)
    assert [load.stop - load.start for load in plan.loads] == [341, 341, 318]  # of 1,024 readings
    assert plan.actual.read_wait_s == 0
    assert sum(plan.spent_s.values()) == pytest.approx(plan.duration_s)


def test_widths_are_whole_milliseconds_of_delay_and_long_waits_are_points_at_zero(listed):
    plan = listed.plan(batch(**(LONG | {"write_width_s": 30.2e-3, "read_wait_s": 0.1, "reset_count": 2})))
    assert plan.actual.write_width_s == pytest.approx(30.5e-3)
    assert plan.actual.read_wait_s == pytest.approx(0.1, abs=0.6e-3)
    # reset, zero, reset, write, zero, read: two resets without a zero between them would be one
    assert plan.frame_s == pytest.approx(4 * 22.5e-3 + 30.5e-3 + plan.actual.read_wait_s)
    assert plan.pulses == {"w2_d1": (1, 2)}


def test_the_list_says_what_it_cannot_do_all_at_once(listed):
    with pytest.raises(PlanRefused) as refused:
        listed.plan(batch([0, 1], write_a=[1e-3, 9e-3], read_a=[1e-4, 3e-3]))
    text = "\n".join(refused.value.reasons)
    assert "reset_width_s = 0.0001 s is outside 0.0045 to 100 s of a point of the list" in text
    assert "write_width_s" in text
    assert "w16_d1: read current" in text
    with pytest.raises(PlanRefused, match="integration_s = 5 s is outside"):
        listed.plan(batch(**(LONG | {"integration_s": 5.0})))


def test_the_voltmeters_buffer_has_its_size(scripted, clock):
    meter = Keithley2182A(scripted({":TRAC:FREE?": ["16,48", "who?"]}), name="nvm", clock=clock)
    for count in (1, 1025):
        with pytest.raises(BenchError, match="2 to 1024 readings"):
            meter.arm_buffer(0.01, 0.02, count)
    meter.arm_buffer(0.01, 0.02, 4)
    assert meter.buffered() == 3
    with pytest.raises(BenchError, match="who\\?"):
        meter.buffered()


def test_a_triggered_frame_reads_both_ways(triggered):
    plan = triggered.plan(batch(np.zeros(40_000, int), integration_s=200e-6))
    # reset, write and two read pulses of 100 us settling, 100 us aperture and 60 us tail
    assert plan.frame_s == pytest.approx(2 * 120e-6 + 2 * 260e-6 + 20e-6 + 100e-6)
    assert 500 < 1 / plan.frame_s < 2_000
    assert [load.stop - load.start for load in plan.loads] == [15_000, 15_000, 10_000]  # of 60,000 statuses
    assert plan.misread_probability["w2_d1"] < 1e-3
    assert plan.actual.integration_s == pytest.approx(200e-6)


def test_long_integrations_are_shared_by_many_apertures(triggered):
    plan = triggered.plan(batch(integration_s=5e-3))
    assert plan.actual.integration_s == pytest.approx(5e-3, rel=1e-3)
    short, long = (triggered.plan(batch(integration_s=s)) for s in (20e-6, 200e-6))
    # less noise, until the halves lie so far apart that mains pick-up does not cancel any more
    assert short.misread_probability["w2_d1"] > long.misread_probability["w2_d1"]
    assert long.misread_probability["w2_d1"] < plan.misread_probability["w2_d1"] < 1e-3


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"write_width_s": 20e-6}, "write_width_s = 2e-05 s is outside"),
        ({"integration_s": 1e-6}, "below the 2e-06 s of two apertures"),
        ({"reset_wait_s": 1e-6}, "start less than"),
    ],
)
def test_the_triggered_2636b_says_what_it_cannot_do(triggered, times, reason):
    with pytest.raises(PlanRefused, match=reason):
        triggered.plan(batch(**times))


def test_they_know_which_bench_suits_them(scripted, clock, station):
    smu = Keithley2636B(scripted(), name="smu", clock=clock)
    dmm = KeithleyDMM6500(scripted(), name="dmm", clock=clock)
    source = Keithley6221(scripted(), name="source", clock=clock)
    assert DigitiserPlayer.unsuitable(station(pulse_source=smu, digitiser=dmm)) == ""
    assert "no digitiser" in DigitiserPlayer.unsuitable(station(pulse_source=smu))
    assert "2636B" in DigitiserPlayer.unsuitable(station(pulse_source=source, digitiser=dmm))
    assert "2182A" in ListPlayer.unsuitable(station(pulse_source=source, reader=dmm))
    assert "6221" in ListPlayer.unsuitable(station(pulse_source=smu, reader=dmm))
