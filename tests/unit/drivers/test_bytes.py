"""What the drivers put on the wire, byte for byte, and what they make of the answers."""

from __future__ import annotations

import math

import pytest

from drivers.keithley2182a import Keithley2182A
from drivers.keithley2636b import Keithley2636B
from drivers.keithley6221 import Keithley6221
from drivers.keithley7001 import Keithley7001
from drivers.kepco_bop import KepcoBOP
from drivers.lakeshore475 import LakeShore475
from hilab.errors import BenchError
from hilab.roles import (
    BiasSource,
    FieldMeter,
    FieldSource,
    Identity,
    Instrument,
    Output,
    PulseSource,
    Reader,
    Switch,
)

OFF_6221 = [":SOUR:SWE:ABOR", ":SOUR:WAVE:ABOR", ":SOUR:CLE", ":OUTP OFF"]
SAFE_6221 = {":OUTP?": "0", ":SOUR:CURR?": "0.000000E+00"}


def test_opening_sends_nothing_and_the_first_command_is_preceded_by_off(scripted, clock):
    wire = scripted(SAFE_6221)
    source = Keithley6221(wire, name="source", clock=clock)
    assert wire.sent == []
    source.configure_bias(1e-3, 5.0)
    assert wire.sent[:4] == OFF_6221
    assert wire.sent[4:] == [":SOUR:CLE", ":SOUR:CURR:RANG:AUTO 0;:SOUR:CURR:RANG 0.002;:SOUR:CURR:COMP 5"]


def test_an_identification_is_asked_without_touching_the_output(scripted, clock):
    wire = scripted({"*IDN?": "KEITHLEY INSTRUMENTS INC.,MODEL 6221,4559777,D04  /700x "})
    who = Keithley6221(wire, name="source", clock=clock).identify()
    assert who == Identity("KEITHLEY INSTRUMENTS INC.", "MODEL 6221", "4559777", "D04  /700x")
    assert wire.sent == ["*IDN?"]


@pytest.mark.parametrize(
    ("amplitude_a", "offset"),
    [(2e-3, "0.001"), (-2e-3, "-0.001")],
)
def test_a_pulse_of_either_sign_is_half_a_cycle_of_half_the_amplitude(scripted, clock, amplitude_a, offset):
    wire = scripted({":OUTP?": ["1", "0"]})
    source = Keithley6221(wire, name="source", clock=clock)
    source.configure_pulse(2e-3, 12.0)
    wire.sent.clear()
    source.pulse(amplitude_a, 100e-6)
    assert wire.sent == [
        f":SOUR:WAVE:FUNC SQU;AMPL 0.001;OFFS {offset};DCYC 50;FREQ 5000;RANG BEST;DUR:CYCL 1",
        ":OUTP ON;:SOUR:WAVE:ARM",
        ":SOUR:WAVE:INIT",
        ":OUTP?",
        ":OUTP?",
        ":SOUR:WAVE:ABOR",
    ]


def test_a_waveform_amplitude_below_zero_is_refused_instead_of_truncated(scripted, clock):
    wire = scripted()
    source = Keithley6221(wire, name="source", clock=clock)
    with pytest.raises(ValueError, match="amplitude"):
        source.waveform_amplitude = -1e-3
    assert wire.sent == []


@pytest.mark.parametrize("path", ["bias", "pulse", "list"])
def test_no_path_leads_above_the_limit_in_force(scripted, clock, path):
    wire = scripted({":OUTP?": "0"})
    source = Keithley6221(wire, name="source", clock=clock)
    source.configure_pulse(1e-3, 10.0)
    wire.sent.clear()
    with pytest.raises(BenchError, match=r"limit of 0\.001 A"):
        {
            "bias": lambda: source.set_bias_a(1.01e-3),
            "pulse": lambda: source.pulse(-1.01e-3, 1e-4),
            "list": lambda: source.load_list([0.0, 1e-3, 1.01e-3], 0.1),
        }[path]()
    assert wire.sent == []


def test_a_list_goes_out_in_chunks_of_a_hundred(scripted, clock):
    wire = scripted()
    source = Keithley6221(wire, name="source", clock=clock)
    source.configure_pulse(1e-3, 10.0)
    wire.sent.clear()
    source.load_list([1e-4] * 250, 0.1)
    currents = [line for line in wire.sent if line.startswith(":SOUR:LIST:CURR")]
    delays = [line for line in wire.sent if line.startswith(":SOUR:LIST:DEL")]
    assert [line.split()[0] for line in currents] == [":SOUR:LIST:CURR"] + [":SOUR:LIST:CURR:APP"] * 2
    assert [line.count(",") + 1 for line in currents] == [100, 100, 50]
    assert [line.count(",") + 1 for line in delays] == [100, 100, 50]


def test_the_nanovoltmeter_reads_with_the_lock_released_and_says_nan_on_overload(scripted, clock):
    wire = scripted({":READ?": ["+1.23E-06", "+9.90000000E+37", "CLOSED"]})
    meter = Keithley2182A(wire, name="nvm", clock=clock)
    assert meter.configure_reader(0.005, 0.1) == pytest.approx(0.1)
    assert ":SENS:VOLT:CHAN1:RANG 0.01;:SENS:VOLT:NPLC 5;:SENS:VOLT:DFIL:STAT OFF" in wire.sent
    before = clock.now()
    assert meter.read_v() == pytest.approx(1.23e-6)
    assert clock.now() - before == pytest.approx(meter.reading_s(0.1))
    assert math.isnan(meter.read_v())
    with pytest.raises(BenchError, match="CLOSED"):
        meter.read_v()
    sent = len(wire.sent)
    meter.configure_reader(0.005, 0.1)
    assert len(wire.sent) == sent  # nothing changed, nothing is sent


def test_the_switch_adds_closures_and_reads_them_back(scripted, clock):
    wire = scripted({":ROUT:CLOS:STAT?": "(@1!1,1!11)"})
    switch = Keithley7001(wire, name="mux", clock=clock, options={"cards": ["7011", "7011"]})
    switch.open_all()
    switch.close_channels(("1!1", "1!11"))
    assert switch.closed_channels() == ("1!1", "1!11")
    assert wire.sent == [":ROUT:OPEN ALL", ":ROUT:CLOS (@1!1,1!11)", ":ROUT:CLOS:STAT?"]
    with pytest.raises(BenchError, match="no channel"):
        switch.close_channels(("1!1);*RST",))


def test_the_coil_is_ramped_and_a_silent_refusal_is_found(scripted, clock):
    wire = scripted(
        {"OUTP?": "0", "CURR?": "0", "SYST:ERR?": ['0,"No error"', '-222,"Data out of range"', "0"]}
    )
    supply = KepcoBOP(wire, name="magnet", clock=clock)
    supply.set_coil_a(1.2)
    levels = [line for line in wire.sent if line.startswith("CURR ")]
    assert levels == ["CURR 0", "CURR 0", "CURR 0.4", "CURR 0.8", "CURR 1.2"]
    with pytest.raises(BenchError, match="refused"):
        supply.set_coil_a(1.3)
    with pytest.raises(BenchError, match="limit of 12 A"):
        supply.set_coil_a(12.5)


def test_the_gaussmeter_is_set_to_tesla_once(scripted, clock):
    wire = scripted({"RDGFIELD?": "+1.2345E-02", "*ESR?": "36"})
    meter = LakeShore475(wire, name="gaussmeter", clock=clock)
    assert [meter.read_field_t(), meter.read_field_t()] == [0.012345] * 2
    assert wire.sent == ["UNIT 2", "AUTO 1", "RDGFIELD?", "RDGFIELD?"]
    assert meter.check_errors() == ["query error", "command error: an unknown command"]


def test_the_sourcemeter_biases_reads_and_names_its_errors(scripted, clock):
    wire = scripted(
        {
            "print(smua.source.compliance)": "true",
            "print(errorqueue.count)": "1.00000e+00",
            "print(errorqueue.next())": "-2.85000e+02\tTSP Syntax error\t2.00000e+01\t1.00000e+00",
            "smub.source.output=1 print(smub.measure.v())": "1.5e-4",
            "print(smub.measure.v())": "9.91000e+37",
            "print(smua.measure.v())": "8.0e-1",
        }
    )
    smu = Keithley2636B(wire, name="smu", clock=clock)
    smu.configure_bias(1e-4, 20.0)
    assert wire.sent[:3] == list(smu.off_commands)
    smu.set_bias_a(1e-7)
    assert wire.sent[-1] == "smua.source.leveli=1e-07 smua.source.output=1"
    smu.set_bias_a(-1e-4)
    assert wire.sent[-1] == "smua.source.leveli=-0.0001"
    assert smu.configure_reader(0.1, 2e-3) == pytest.approx(2e-3)
    assert "smub.measure.rangev=0.2 smub.measure.nplc=0.1 " in wire.sent[-1]
    assert smu.read_v() == pytest.approx(1.5e-4)
    assert math.isnan(smu.read_v())
    assert smu.bias_voltage_v() == pytest.approx(0.8)
    assert smu.in_compliance()
    assert smu.check_errors() == ["-285, TSP Syntax error"]
    smu.ChA.source_current = 1e-7  # PyMeasure's own channel would send 0.000000
    assert wire.sent[-1] == "smua.source.leveli=1e-07"
    with pytest.raises(BenchError, match="limit"):
        smu.set_bias_a(1.1e-4)
    with pytest.raises(BenchError, match="Hall arms"):
        smu.set_arm_a(1e-3)


def test_drivers_take_their_roles(scripted, clock):
    source = Keithley6221(scripted(), name="s", clock=clock)
    smu = Keithley2636B(scripted(), name="s", clock=clock)
    meter = Keithley2182A(scripted(), name="s", clock=clock)
    for driver, roles in (
        (source, (Instrument, Output, BiasSource, PulseSource)),
        (smu, (Instrument, Output, BiasSource, PulseSource, Reader)),
        (meter, (Instrument, Reader)),
        (Keithley7001(scripted(), name="s", clock=clock), (Instrument, Output, Switch)),
        (KepcoBOP(scripted(), name="s", clock=clock), (Instrument, Output, FieldSource)),
        (LakeShore475(scripted(), name="s", clock=clock), (Instrument, FieldMeter)),
    ):
        for role in roles:
            assert isinstance(driver, role), (driver, role)


def test_an_unknown_option_is_refused(scripted, clock):
    with pytest.raises(BenchError, match="unknown option crads"):
        Keithley7001(scripted(), name="mux", clock=clock, options={"crads": []})


def test_the_hook_sees_every_exchange_and_may_break_it(scripted, clock):
    wire = scripted({":OUTP?": "0"})
    source = Keithley6221(wire, name="source", clock=clock)
    seen = []
    source.link.hook = lambda kind, payload: seen.append((kind, payload))
    source.ask(":OUTP?")
    assert seen[-2:] == [("write", b":OUTP?"), ("read", b"")]

    def broken(kind: str, payload: bytes) -> None:
        raise OSError("cable pulled")

    source.link.hook = broken
    with pytest.raises(BenchError, match=r"did not take ':OUTP ON'.*cable pulled.*check its power"):
        source.write(":OUTP ON")
