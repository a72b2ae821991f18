"""The simulated 2450 in its SCPI mode: source, meter, buffers, sweeps, trigger model, errors."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

LINE_OHM = 8000.0
READ_A = 1e-4
FOUR_WIRE = (
    "SOUR:FUNC CURR",
    "SOUR:CURR:VLIM 20",
    "SOUR:CURR:READ:BACK OFF",
    "SENS:FUNC 'VOLT'",
    "SENS:VOLT:RSEN ON",
    "SENS:VOLT:RANG 0.2",
    "SENS:VOLT:NPLC 1",
    "SENS:VOLT:AZER OFF",
)


def block(data: bytes, code: str) -> np.ndarray:
    assert data.startswith(b"#0")
    return np.frombuffer(data[2:], dtype=code)


def test_identity_language_and_the_form_of_errors(smu2450: Any) -> None:
    assert smu2450.ask("*IDN?").startswith("KEITHLEY INSTRUMENTS,MODEL 2450,")
    assert smu2450.ask("*LANG?") == "SCPI"
    assert smu2450.ask("SYST:ERR?") == '0,"No error;0;0 0"'
    smu2450.wait(1.5)
    smu2450.tell("SOUR:NONSENSE 1", "SOUR:CURR 2")
    assert smu2450.ask("SYST:ERR:COUN?") == "2"
    assert smu2450.ask("SYST:ERR?") == '-113,"Undefined header;1;2026/01/01 08:00:01.500"'
    assert smu2450.ask("SYST:ERR?").startswith('-222,"Parameter data out of range;1;2026/01/01 ')
    smu2450.tell("SOUR:NONSENSE 1", "SYST:CLE")
    assert smu2450.errors() == []


def test_another_language_needs_a_power_cycle(smu2450: Any) -> None:
    smu2450.tell("*LANG TSP")
    assert smu2450.ask("SOUR:FUNC?") == "VOLT"
    smu2450.box.power_cycle()
    assert smu2450.ask("*LANG?") == "TSP"
    smu2450.tell("SOUR:FUNC CURR")
    assert len(smu2450.box.errors) == 1
    smu2450.tell("*LANG SCPI")
    smu2450.box.power_cycle()
    assert smu2450.ask("SOUR:FUNC?") == "VOLT"


def test_vendor_examples_run_as_written(smu2450: Any) -> None:
    """The lines of bench.md 2.4."""
    smu2450.tell(
        "*LANG SCPI", "SOUR:FUNC CURR", "SOUR:CURR 1e-4", "SOUR:CURR:VLIM 0.02", "SOUR:CURR:VLIM 210",
        "SOUR:VOLT:PROT PROT20", "SOUR:VOLT:PROT NONE", "SOUR:CURR:VLIM 20", "SOUR:LIST:CURR 1e-4,-1e-4",
        "SOUR:LIST:CURR:APP 2e-4", "SOUR:SWE:CURR:LIST 1,0.001,1,OFF",
        "SOUR:SWE:CURR:LIN 0,1e-4,11,1e-3,1,BEST,OFF,OFF,\"defbuffer1\"", 'SENS:FUNC "VOLT"',
        "SENS:VOLT:RANG 2", "SENS:VOLT:NPLC 0.01", "SENS:VOLT:AZER OFF", "SENS:VOLT:RSEN ON", "SENS:COUN 3",
        'TRAC:MAKE "mine",1000,FULL', 'TRAC:POIN 500,"mine"', 'TRAC:FILL:MODE ONCE,"mine"', 'TRAC:CLE "mine"',
        'SOUR:CONF:LIST:CRE "levels"', 'SOUR:CONF:LIST:STOR "levels"', 'SOUR:CONF:LIST:REC "levels"',
        'SENS:CONF:LIST:CRE "meters"', 'SENS:CONF:LIST:STOR "meters"', 'TRIG:LOAD "SimpleLoop",10,0.001',
        'TRIG:LOAD "ConfigList","levels"', 'TRIG:LOAD "Empty"', 'TRIG:BLOC:BUFF:CLE 1,"mine"',
        "TRIG:BLOC:SOUR:STAT 2,ON", "TRIG:BLOC:DEL:CONS 3,0.002", 'TRIG:BLOC:MEAS 4,"mine"',
        "TRIG:BLOC:BRAN:COUN 5,4,3", "TRIG:BLOC:SOUR:STAT 6,OFF", "INIT",
    )  # fmt: skip
    assert smu2450.errors() == []
    smu2450.wait(1.0)
    assert smu2450.ask('TRAC:ACT? "mine"') == "12"
    assert smu2450.ask("TRIG:STAT?") == "IDLE;IDLE;6"
    smu2450.tell("OUTP:CURR:SMOD HIMP", "ROUT:TERM REAR", "ABOR", 'TRAC:DEL "mine"')
    assert smu2450.ask("OUTP:INT:TRIP?") == "0"
    assert smu2450.ask('SOUR:CONF:LIST:SIZE? "levels"') == "1"
    assert smu2450.errors() == []


def test_it_forces_and_measures_the_line_and_with_remote_sense_the_hall_arms(smu2450: Any) -> None:
    smu2450.tell("SOUR:FUNC CURR", "SOUR:CURR:VLIM 20", "SENS:FUNC 'VOLT'", f"SOUR:CURR {READ_A}", "OUTP ON")
    assert smu2450.number("READ?") == pytest.approx(READ_A * LINE_OHM, rel=0.05)
    smu2450.tell("SENS:VOLT:RSEN ON")
    assert smu2450.ask("OUTP?") == "0", "a change of remote sense switches the output off"
    smu2450.tell("SENS:VOLT:RANG 0.02", "OUTP ON")
    hall_v = smu2450.number("READ?")
    assert hall_v == pytest.approx(smu2450.world.sense("smu.sense"), abs=5e-6)
    assert abs(hall_v) < 0.02
    smu2450.tell("ROUT:TERM REAR")
    assert smu2450.ask("OUTP?") == "0"
    assert smu2450.world.source_state("smu.force")[1] == 0.0
    assert smu2450.errors() == []


def test_the_compliance_acts_on_the_force_side(smu2450: Any) -> None:
    smu2450.tell(*FOUR_WIRE, "SOUR:CURR:VLIM 0.5", "SOUR:CURR 1e-4", "OUTP ON")
    volts, amps, limited = smu2450.world.source_state("smu.force")
    assert (round(volts, 9), limited) == (0.5, True)
    assert amps < 0.7e-4
    assert smu2450.ask("SOUR:CURR:VLIM:TRIP?") == "1"
    assert smu2450.numbers('READ? "defbuffer1",SOURSTAT') == [32 + 64 + 128]
    smu2450.tell("SOUR:CURR:VLIM 20")
    assert smu2450.ask("SOUR:CURR:VLIM:TRIP?") == "0"


def test_a_reading_appends_and_an_empty_buffer_is_stale(smu2450: Any) -> None:
    smu2450.tell("FETC?")
    assert smu2450.errors() == [-230]
    smu2450.tell(*FOUR_WIRE, "SENS:COUN 5", "OUTP ON")
    smu2450.ask("READ?")
    last = smu2450.ask("READ?")
    assert smu2450.ask("TRAC:ACT?") == "10"
    assert smu2450.ask("FETC?") == last
    assert len(smu2450.numbers("TRAC:DATA? 3,7")) == 5
    smu2450.tell("TRAC:DATA? 3,11")
    assert smu2450.errors() == [-222]


def test_readings_take_their_integration_and_show_its_noise(make_bench: Callable[..., Any]) -> None:
    scatter = {}
    for nplc in (0.01, 1.0):
        bench = make_bench("2450")
        bench.tell(*FOUR_WIRE, f"SENS:VOLT:NPLC {nplc}", "SOUR:CURR:DEL 0", "SENS:COUN 2000", "OUTP ON")
        begun = bench.world.now
        bench.ask("READ?")
        took_s = bench.world.now - begun
        assert took_s == pytest.approx(2000 * (nplc / 50 + 0.15e-3) + 1e-3, rel=1e-6)
        scatter[nplc] = np.std(bench.numbers("TRAC:DATA? 1,2000"))
    assert scatter[1.0] == pytest.approx(1e-6, rel=0.1)
    assert scatter[0.01] == pytest.approx(16e-6, rel=0.1)


def test_elements_and_binary_read_out(smu2450: Any) -> None:
    smu2450.tell(*FOUR_WIRE, "SOUR:CURR 1e-4", "SENS:COUN 4", "OUTP ON")
    smu2450.ask("READ?")
    query = 'TRAC:DATA? 1,4,"defbuffer1",READ,SOUR,REL,SOURSTAT'
    text = np.array(smu2450.numbers(query)).reshape(4, 4)
    assert text[:, 1] == pytest.approx(1e-4)
    assert text[0, 2] == 0.0
    assert (np.diff(text[:, 2]) > 0.02).all()
    smu2450.tell("FORM:DATA REAL")
    assert block(smu2450.ask_bytes(query), "<f8").reshape(4, 4) == pytest.approx(text, abs=1e-9)
    smu2450.tell("FORM:DATA SRE", "FORM:BORD NORM")
    assert block(smu2450.ask_bytes(query), ">f4").reshape(4, 4) == pytest.approx(text, abs=1e-6)
    smu2450.tell('TRAC:DATA? 1,4,"defbuffer1",DATE')
    assert smu2450.errors() == [-221]
    smu2450.tell("FORM:DATA ASC")
    assert smu2450.ask('TRAC:DATA? 1,1,"defbuffer1",DATE,UNIT,FORM').startswith("01/01/2026,Volt DC,")
    assert struct.calcsize("<f") == 4


def test_a_list_is_played_level_by_level_and_ends_with_the_output_off(smu2450: Any) -> None:
    """2500 levels in commands of 100; the dwell is delay, integration and the box's own time."""
    levels = np.tile([1e-4, -1e-4, 0.0, 2e-4, 5e-5], 500)
    for start in range(0, 2500, 100):
        chunk = ",".join(f"{level:.6g}" for level in levels[start : start + 100])
        smu2450.tell(f"SOUR:LIST:CURR{':APP' if start else ''} {chunk}")
    assert smu2450.ask("SOUR:LIST:CURR:POIN?") == "2500"
    smu2450.tell("SOUR:LIST:CURR:APP 1e-4")
    assert smu2450.errors() == [-223]
    smu2450.tell(*FOUR_WIRE, "SENS:VOLT:NPLC 0.01", "SOUR:SWE:CURR:LIST 1,0.001,1,OFF", "INIT")
    dwell_s = 0.001 + 0.2e-3 + 0.42e-3
    smu2450.wait(1000.5 * dwell_s)
    assert smu2450.ask("TRIG:STAT?").startswith("RUNNING")
    assert smu2450.ask("TRAC:ACT?") == "1000"
    assert smu2450.world.source_state("smu.force")[1] == pytest.approx(levels[1000])
    smu2450.wait(1500 * dwell_s)
    assert smu2450.ask("TRIG:STAT?;:OUTP?;:TRAC:ACT?") == "IDLE;IDLE;9;0;2500"
    table = np.array(smu2450.numbers('TRAC:DATA? 1,2500,"defbuffer1",READ,SOUR,REL')).reshape(-1, 3)
    assert np.allclose(table[:, 1], levels)
    assert np.diff(table[:, 2]) == pytest.approx(dwell_s, abs=2e-6)
    by_level = [table[levels == level, 0].mean() for level in (1e-4, -1e-4)]
    assert by_level[0] == pytest.approx(-by_level[1], rel=0.1)
    assert smu2450.errors() == []
    assert smu2450.ask('SOUR:CONF:LIST:SIZE? "CurrCustomSweepList"') == "2500"


def test_a_point_of_a_list_lasts_a_millisecond_at_least(smu2450: Any) -> None:
    smu2450.tell("SOUR:LIST:CURR 1e-4,2e-4,1e-4", *FOUR_WIRE, "SENS:VOLT:NPLC 0.01")
    smu2450.tell("SOUR:SWE:CURR:LIST 1,0,1,OFF", "INIT")
    assert smu2450.ask("*OPC?") == "1"
    assert np.diff(smu2450.numbers('TRAC:DATA? 1,3,"defbuffer1",REL')) == pytest.approx(1e-3, abs=2e-6)


def test_pulses_of_a_list_switch_the_device(smu2450: Any) -> None:
    """A reset and a write of 1 ms above the threshold change the reading by the loop's opening."""
    smu2450.tell(*FOUR_WIRE, "SENS:VOLT:RANG 0.02", "SENS:VOLT:NPLC 0.01")
    smu2450.tell("SOUR:LIST:CURR -0.9e-3,0,1e-4,0,0.9e-3,0,1e-4", "SOUR:SWE:CURR:LIST 1,0.001,1,OFF", "INIT")
    smu2450.ask("*OPC?")
    values = smu2450.numbers("TRAC:DATA? 1,7")
    assert (values[6] - values[2]) / READ_A == pytest.approx(1.0, abs=0.5)


def test_a_sweep_ends_early_on_compliance_when_it_is_told_to(smu2450: Any) -> None:
    for fails, readings in (("ON", 16), ("OFF", 50)):
        levels = ",".join(["1e-3"] + ["1e-5"] * 49)
        smu2450.tell(*FOUR_WIRE, "SOUR:CURR:VLIM 1", f"SOUR:LIST:CURR {levels}")
        smu2450.tell(f"SOUR:SWE:CURR:LIST 1,0.001,1,{fails}", "INIT")
        smu2450.wait(3.0)
        assert int(smu2450.ask("TRAC:ACT?")) <= readings
        assert (smu2450.ask("TRAC:ACT?") == "50") == (fails == "OFF")
        assert smu2450.numbers('TRAC:DATA? 1,2,"defbuffer1",SOURSTAT') == [224, 192]


def test_abort_stops_a_list_and_keeps_what_was_read(smu2450: Any) -> None:
    smu2450.tell("SOUR:LIST:CURR 1e-4,2e-4,1e-4,2e-4", *FOUR_WIRE, "SOUR:SWE:CURR:LIST 1,0.1,100,OFF", "INIT")
    smu2450.wait(1.0)
    read = int(smu2450.ask("TRAC:ACT?"))
    assert 0 < read < 10
    smu2450.tell("ABOR;:OUTP OFF")
    smu2450.wait(5.0)
    assert smu2450.ask("TRIG:STAT?").startswith("ABORTED")
    assert int(smu2450.ask("TRAC:ACT?")) == read
    assert smu2450.world.source_state("smu.force")[1] == 0.0


def test_a_trigger_model_waits_for_its_command(smu2450: Any) -> None:
    smu2450.tell(*FOUR_WIRE, "SOUR:CURR 1e-4", "TRIG:BLOC:SOUR:STAT 1,ON", "TRIG:BLOC:WAIT 2,COMM")
    smu2450.tell("TRIG:BLOC:MEAS 3", "TRIG:BLOC:BRAN:COUN 4,2,2", "TRIG:BLOC:SOUR:STAT 5,OFF", "INIT")
    for taken in (0, 1):
        smu2450.wait(1.0)
        assert smu2450.ask("TRIG:STAT?") == "WAITING;WAITING;2"
        assert smu2450.ask("TRAC:ACT?;:OUTP?") == f"{taken};1"
        smu2450.tell("*TRG")
    smu2450.wait(1.0)
    assert smu2450.ask("TRIG:STAT?;:TRAC:ACT?;:OUTP?") == "IDLE;IDLE;5;2;0"
    smu2450.tell("*TRG")
    assert smu2450.errors() == [-211]


def test_configuration_lists_step_the_source(smu2450: Any) -> None:
    smu2450.tell(*FOUR_WIRE, 'SOUR:CONF:LIST:CRE "steps"')
    for level in (1e-4, -1e-4, 5e-5):
        smu2450.tell(f"SOUR:CURR {level}", 'SOUR:CONF:LIST:STOR "steps"')
    smu2450.tell('SOUR:CONF:LIST:REC "steps",2')
    assert smu2450.number("SOUR:CURR?") == -1e-4
    smu2450.tell('TRIG:LOAD "ConfigList","steps",0.01', "INIT")
    smu2450.ask("*OPC?")
    assert smu2450.numbers('TRAC:DATA? 1,3,"defbuffer1",SOUR') == pytest.approx([1e-4, -1e-4, 5e-5])


def test_models_that_cannot_run_are_refused(smu2450: Any) -> None:
    smu2450.tell("INIT")
    smu2450.tell("TRIG:BLOC:MEAS 2")
    smu2450.tell("TRIG:BLOC:NOP 1", "TRIG:BLOC:BRAN:ALW 2,1", "INIT")
    smu2450.tell("SOUR:SWE:CURR:LIST 1,0.001")
    smu2450.tell('READ? "nobody"')
    smu2450.tell(
        "SOUR:LIST:CURR 0.1", "SOUR:FUNC CURR", "SOUR:CURR:RANG 1e-3", "SOUR:SWE:CURR:LIST 1", "INIT"
    )
    assert smu2450.errors() == [-221, -222, -221, -221, -224, -221]


def test_reset_forgets_lists_and_buffers(smu2450: Any) -> None:
    smu2450.tell("SOUR:LIST:CURR 1e-4", 'TRAC:MAKE "mine",100', "*RST")
    assert smu2450.ask("SOUR:LIST:CURR:POIN?;:SOUR:FUNC?") == "0;VOLT"
    smu2450.tell('TRAC:ACT? "mine"')
    assert smu2450.errors() == [-224]
