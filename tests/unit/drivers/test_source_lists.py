"""2450 and 2400: what goes over the wire, what comes of it, and the plans of their list players."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drivers._list_sweep import ListData, ListSetup
from drivers.keithley2400 import Keithley2400
from drivers.keithley2450 import Keithley2450
from drivers.players._source_list import timed_points
from drivers.players.keithley2400_list import List2400Player
from drivers.players.keithley2450_list import List2450Player
from hilab.errors import BenchError
from hilab.frames import SPENT, FrameBatch, PlanRefused
from hilab.roles import BiasSource, Instrument, Output, PulseSource, Reader

NAMES = ("w2_d1", "w16_d1")
OFF = [":ABOR", ":OUTP OFF", ":SOUR:CURR 0", ":SOUR:VOLT 0"]
SETUP = ListSetup(range_a=1e-3, limit_v=20.0, range_v=0.02, nplc=0.02, dwell_s=1e-3)
MODELS = {"2450": (Keithley2450, List2450Player), "2400": (Keithley2400, List2400Player)}


@pytest.fixture(params=sorted(MODELS))
def model(request):
    return request.param


@pytest.fixture
def smu(model, scripted, clock):
    wire = scripted({":OUTP?;:SOUR:CURR?": "0;0.000000E+00"})
    driver = MODELS[model][0](wire, name="smu", clock=clock)
    driver.wire = wire
    return driver


@pytest.fixture
def player(model, smu, station):
    return MODELS[model][1](station(pulse_source=smu, reader=smu, bias_source=smu))


def batch(device=(0,), write_a=0.6e-3, reset_a=-0.9e-3, read_a=1e-4, **times):
    wanted = {"reset_width_s": 1e-3, "write_width_s": 1e-3, "integration_s": 0.3e-3} | times
    return FrameBatch.of(NAMES, device, write_a, reset_a, read_a, **wanted)


# ---- drivers ------------------------------------------------------------------------------------------


def test_one_box_takes_all_three_roles(smu):
    for role in (Instrument, Output, PulseSource, BiasSource, Reader):
        assert isinstance(smu, role)


def test_opening_sends_nothing_and_the_first_command_is_preceded_by_off(smu):
    assert smu.wire.sent == []
    smu.bias_off()
    assert smu.wire.sent == [*OFF, ":SOUR:CURR 0;:OUTP OFF"]


def test_a_2450_is_set_up_for_a_bias_in_one_message(scripted, clock):
    wire = scripted({":READ?": "8.000000E-01"})
    smu = Keithley2450(wire, name="smu", clock=clock)
    smu.configure_bias(0.8e-3, 20.0)
    smu.set_bias_a(1e-4)
    assert wire.sent[len(OFF) :] == [
        ":OUTP OFF;:SOUR:FUNC CURR;:SOUR:CURR:RANG 0.001;:SOUR:CURR 0;:SOUR:CURR:VLIM 20;"
        ":SOUR:CURR:READ:BACK OFF;:SENS:FUNC 'VOLT';:SENS:VOLT:RSEN OFF;:SENS:VOLT:RANG 20;"
        ":SENS:VOLT:NPLC 0.1;:SENS:VOLT:AZER ON;:SENS:COUN 1;:FORM:DATA ASC;:SOUR:CURR:DEL 0",
        ":SOUR:CURR 0.0001;:OUTP ON",
    ]
    assert smu.bias_voltage_v() == 0.8


def test_the_output_comes_back_when_the_reader_is_configured_under_bias(smu):
    """A change of remote sense switches the output of a 2450 off."""
    smu.wire.answers[":READ?"] = "9.9E37"
    smu.configure_bias(1e-3, 20.0)
    smu.set_bias_a(1e-4)
    smu.wire.sent.clear()
    assert smu.configure_reader(0.015, 0.02) == 0.02
    assert len(smu.wire.sent) == 2
    assert "RSEN ON" in smu.wire.sent[0]
    assert smu.wire.sent[1] == ":SOUR:CURR 0.0001;:OUTP ON"
    smu.configure_reader(0.015, 0.02)
    assert len(smu.wire.sent) == 2, "nothing changed"
    assert smu.bias_voltage_v() is None, "the meter is on the sense leads"
    assert math.isnan(smu.read_v())


def test_a_list_of_a_2450_goes_up_in_few_messages(scripted, clock):
    wire = scripted({":TRIG:STAT?;:TRAC:ACT?;:SYST:ERR:COUN?": "IDLE;IDLE;9;2500;0"})
    smu = Keithley2450(wire, name="smu", clock=clock)
    smu.configure_list(SETUP, 1e-3)
    wire.sent.clear()
    smu.sweep.start([1e-4, 0.0] * 1250)
    assert len(wire.sent) == 4
    assert wire.sent[0].count("SOUR:LIST:CURR:APP") == 7
    assert wire.sent[0].startswith(":SOUR:LIST:CURR 0.0001,0,0.0001,0,")
    assert wire.sent[-1].endswith(';:SOUR:SWE:CURR:LIST 1,0.00018,1,OFF,"defbuffer1";:INIT')
    assert max(map(len, wire.sent)) < 10_000
    state = smu.sweep.state()
    assert (state.readings, state.over, state.errors) == (2500, True, 0)


def test_a_list_of_a_2400_goes_into_its_trace_buffer(scripted, clock):
    wire = scripted({":STAT:OPER:COND?;:TRAC:POIN:ACT?": "0;7"})
    smu = Keithley2400(wire, name="smu", clock=clock)
    smu.configure_list(SETUP, 1e-3)
    assert ":SOUR:DEL 0.000120;" in wire.sent[-1]
    wire.sent.clear()
    smu.sweep.start([1e-4, 0.0, -1e-4])
    assert len(wire.sent) == 2
    assert wire.sent[0].startswith(":SOUR:LIST:CURR 0.0001,0,-0.0001;:ARM:COUN 1;:TRIG:COUN 3;")
    assert wire.sent[1].endswith(":TRAC:FEED:CONT NEXT;:OUTP ON;:INIT")
    assert not smu.sweep.state().over


def test_readings_come_as_one_binary_block(model, smu):
    status_bit, order = (32, (0, 1, 2)) if model == "2450" else (8, (0, 2, 1))
    table = np.array([[1e-3, 0, 0.0], [9.9e37, status_bit, 1e-3], [-1e-3, 0, 2e-3]])[:, list(order)]
    smu.configure_list(SETUP, 1e-3)
    smu.link.read_block = lambda count: table.astype("<f4").tobytes()[:count]
    data = smu.sweep.fetch(3)
    assert data.voltage_v == pytest.approx([1e-3, np.nan, -1e-3], nan_ok=True)
    assert data.limited.tolist() == [False, True, False]
    assert data.time_s == pytest.approx([0, 1e-3, 2e-3])
    smu.sweep.check_times(data)
    with pytest.raises(BenchError, match=r"lasted 0.002 s instead of 0.001 s"):
        smu.sweep.check_times(ListData(data.voltage_v, data.limited, 2 * data.time_s))


def test_no_path_leads_above_the_limit_in_force(smu):
    smu.configure_pulse(1e-3, 20.0)
    smu.wire.sent.clear()
    for act in (lambda: smu.set_bias_a(1.1e-3), lambda: smu.pulse(-1.1e-3, 1e-3)):
        with pytest.raises(BenchError, match="above the limit"):
            act()
    smu.configure_list(SETUP, 1e-3)
    sent = len(smu.wire.sent)
    with pytest.raises(BenchError, match="above the limit"):
        smu.sweep.start([0.0, 1.1e-3])
    with pytest.raises(BenchError, match="1 to 2500 levels"):
        smu.sweep.start([0.0] * 2501)
    with pytest.raises(BenchError, match=r"a pulse of 0.0001 s is outside 0.001 to 10 s"):
        smu.pulse(1e-4, 1e-4)
    assert len(smu.wire.sent) == sent


def test_another_language_is_refused_with_the_way_out(scripted, clock):
    wire = scripted({"*IDN?": "KEITHLEY INSTRUMENTS,MODEL 2450,04096331,1.7.12b", "*LANG?": "TSP"})
    with pytest.raises(BenchError, match=r"speaks TSP.*\*LANG SCPI"):
        Keithley2450(wire, name="smu", clock=clock).identify()


def test_a_state_that_is_no_state_says_so(smu):
    smu.wire.answers[smu.list_query] = "+1.234E-03"
    with pytest.raises(BenchError, match="another program may be speaking to it"):
        smu.sweep.state()


# ---- plans ----------------------------------------------------------------------------------------------


def test_five_points_a_frame_and_500_frames_a_list(player):
    plan = player.plan(batch(np.zeros(1250, dtype=int)))
    assert plan.frame_s == pytest.approx(5e-3)
    assert [load.stop - load.start for load in plan.loads] == [500, 500, 250]
    assert plan.actual.reset_width_s == plan.actual.write_width_s == plan.actual.read_wait_s == 1e-3
    assert plan.spent_s["play"] == pytest.approx(6.25)
    assert set(plan.spent_s) == set(SPENT)
    assert plan.duration_s == pytest.approx(sum(plan.spent_s.values()))
    expected_j = 1250 * 1e-3 * 8000 * (0.6e-3**2 + 0.9e-3**2)
    assert plan.energy_j["w2_d1"] == pytest.approx(expected_j, rel=1e-3)
    assert plan.pulses == {"w2_d1": (1250, 1250)}


@pytest.mark.parametrize(
    ("times", "what"),
    [
        ({}, "Z0W0R"),
        ({"reset_count": 2}, "Z0Z0W0R"),
        ({"reset_count": 0}, "W0R"),
        ({"verify_reset": True}, "Z0R0W0R"),
        ({"reset_width_s": 3e-3}, "ZZZ0W0R"),
        ({"write_width_s": 2e-3}, "Z0WW0R"),
        ({"read_wait_s": 3e-3}, "Z0W000R"),
        ({"integration_s": 0.8e-3}, "Z0W0RR"),
    ],
)
def test_a_frame_is_a_row_of_equal_points(scripted, clock, times, what):
    smu = Keithley2450(scripted(), name="smu", clock=clock)
    _, points = timed_points(batch(**times), smu)
    letters = {"reset": "Z", "": "0", "write": "W", "read": "R"}
    assert "".join(letters[each] for each in points.what) == what
    assert points.dwell_s == pytest.approx(1e-3)


def test_a_write_width_is_kept_exactly(player):
    plan = player.plan(batch(write_width_s=2.7e-3, reset_width_s=1e-3))
    assert plan.actual.write_width_s == pytest.approx(2.7e-3)
    assert plan.actual.reset_width_s == pytest.approx(1.35e-3)


def test_readings_that_do_not_fit_into_a_point_are_averaged_and_predicted_so(scripted, clock, station):
    smu = Keithley2450(scripted(), name="smu", clock=clock)
    player = List2450Player(station(pulse_source=smu, reader=smu))
    one, many = (player.plan(batch(read_a=3e-5, integration_s=t)) for t in (0.5e-3, 5e-3))
    noise_v = smu.noise_v(0.02, 0.5e-3)
    assert one.misread_probability["w2_d1"] == pytest.approx(
        0.5 * math.erfc(1.5e-5 / noise_v / math.sqrt(2)), rel=0.2
    )
    assert many.actual.integration_s == pytest.approx(5e-3, rel=0.1)
    assert many.misread_probability["w2_d1"] < 0.1 * one.misread_probability["w2_d1"]


def test_every_reason_is_given_at_once(player, model):
    with pytest.raises(PlanRefused) as refused:
        player.plan(batch((0, 1), write_a=20e-3, read_a=1e-6, write_width_s=1e-4, integration_s=10e-6))
    said = "\n".join(refused.value.reasons)
    for part in (
        f"integration_s = 1e-05 s is outside 0.0002 to 0.2 s of the {model}",
        f"write_width_s = 0.0001 s is outside 0.001 to 10 s of a level in a list of the {model}",
        "w2_d1: write amplitude",
        "w16_d1: write amplitude",
        f"w2_d1: the {model} cannot tell its states apart",
    ):
        assert part in said


def test_amplitudes_lie_on_digits_of_the_range(player):
    plan = player.plan(batch((0, 1), write_a=np.array([0.61234567e-3, 6.1234567e-3])))
    assert plan.actual.write_a == pytest.approx([0.61235e-3, 6.1235e-3], rel=1e-9)
    assert plan.quantisation_a == pytest.approx(4.33e-8, rel=0.01)


def test_a_frame_longer_than_the_list_is_refused(player):
    with pytest.raises(PlanRefused, match=r"one frame takes .* points of the list, which holds 2500"):
        player.plan(batch(reset_width_s=5.0, write_width_s=1e-3))


def test_only_its_own_box_suits_a_player(smu, model, station):
    mine, other = MODELS[model][1], MODELS["2400" if model == "2450" else "2450"][1]
    assert mine.unsuitable(station(pulse_source=smu, reader=smu)) == ""
    assert "is no Keithley" in other.unsuitable(station(pulse_source=smu, reader=smu))
    assert "not the same" in mine.unsuitable(station(pulse_source=smu, reader=object()))
