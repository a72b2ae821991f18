"""The 33600A's language: settings and their conflicts, waveform memory, blocks, sequences, errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

CODES = np.array([0] * 8 + [-32767] * 8 + [16000] * 8 + [0] * 8, np.int16)


def test_the_vendor_examples_run_as_written(awg, as_block):
    awg.tell(
        "SOUR1:FUNC SIN", "SOUR1:FUNC SQU", "SOUR1:FUNC NOIS", "SOUR1:FUNC DC", "SOUR1:FUNC PULS",
        "SOUR1:VOLT 1", "SOUR1:VOLT:OFFS 0.1", "SOUR1:VOLT:HIGH 1", "SOUR1:VOLT:LOW -1",
        "SOUR1:VOLT:LIM:HIGH 2", "SOUR1:VOLT:LIM:LOW -2", "SOUR1:VOLT:LIM:STAT ON", "SOUR1:FREQ 1000",
        "OUTP1 ON", "OUTP1 OFF", "OUTP1:LOAD 50", "OUTP1:LOAD INF", "OUTP1:POL NORM",
        "SOUR1:FUNC:PULS:WIDT 1E-4", "SOUR1:FUNC:PULS:PER 1E-3", "SOUR1:FUNC:PULS:TRAN 1E-8",
        "SOUR1:FUNC:PULS:TRAN:BOTH 1E-8", "SOUR1:FUNC:PULS:HOLD WIDT", "SOUR1:FUNC:PULS:HOLD DCYC",
        "SOUR1:BURS:STAT ON", "SOUR1:BURS:MODE TRIG", "SOUR1:BURS:MODE GAT", "SOUR1:BURS:NCYC 3",
        "SOUR1:BURS:NCYC INF", "SOUR1:BURS:PHAS 90", "SOUR1:BURS:INT:PER 0.1",
        "TRIG1:SOUR IMM", "TRIG1:SOUR EXT", "TRIG1:SOUR TIM", "TRIG1:SOUR BUS", "TRIG1:COUN 2",
        "TRIG1:DEL 1E-3", "OUTP:TRIG ON", "OUTP:SYNC ON", "ABOR", "PHAS:SYNC", "*WAI",
        "FORM:BORD NORM", "FORM:BORD SWAP", "SOUR1:DATA:VOL:CLE",
        "SOUR1:DATA:ARB ramp, " + ",".join(f"{x:.3f}" for x in np.linspace(-1, 1, 40)),
        b"SOUR1:DATA:ARB:DAC frame, " + as_block(CODES, "<i2"),
        "SOUR1:FUNC:ARB frame", "SOUR1:FUNC:ARB:SRAT 1E6", "SOUR1:FUNC:ARB:FILT NORM",
        "SOUR1:FUNC:ARB:FILT STEP", "SOUR1:FUNC:ARB:FILT OFF", "SOUR1:FUNC:ARB:ADV SRAT",
        'MMEM:STOR:DATA1 "INT:\\x.arb"', 'MMEM:LOAD:DATA1 "INT:\\x.arb"',
    )  # fmt: skip
    steps = b'"seq","frame",0,once,highAtStart,4,"ramp",3,repeat,maintain,10'
    awg.tell(b"SOUR1:DATA:SEQ #" + f"{len(str(len(steps)))}{len(steps)}".encode() + steps)
    assert awg.ask("*OPC?") == "1"
    assert awg.ask("DATA:VOL:CAT?") == '"INT:\\BUILTIN\\EXP_RISE.ARB","RAMP","FRAME","INT:\\X.ARB","SEQ"'
    assert awg.ask("DATA:ATTR:POIN? frame") == "32"
    assert awg.errors() == []


def test_identity_numbers_and_the_empty_queue(awg):
    assert awg.ask("*IDN?").split(",")[:2] == ["Agilent Technologies", "33622A"]
    assert awg.ask("FREQ?") == "+1.000000000000000E+03"
    assert awg.ask("OUTP1:LOAD?") == "+5.000000000000000E+01"
    assert awg.ask("SYST:ERR?") == '+0,"No error"'
    awg.tell("OUTP1:LOAD INF")
    assert awg.ask("OUTP:LOAD?") == "+9.9E+37"


def test_channels_are_told_apart_and_channel_1_is_meant_without_a_number(awg):
    awg.tell("SOUR2:VOLT 2;:VOLT 1;:SOUR2:FREQ 5;:FREQ 7;:OUTP2 ON")
    assert [awg.number(f"SOUR{n}:VOLT?") for n in (1, 2)] == [1.0, 2.0]
    assert [awg.number(f"SOUR{n}:FREQ?") for n in (1, 2)] == [7.0, 5.0]
    assert [awg.ask(f"OUTP{n}?") for n in (1, 2)] == ["0", "1"]
    awg.tell("SOUR3:VOLT 1")
    assert awg.errors() == [-114]


def test_a_value_out_of_range_is_clipped_and_said(awg):
    awg.tell("VOLT 12")
    assert awg.number("VOLT?") == 10.0  # into 50 ohm
    awg.tell("OUTP1:LOAD INF;:VOLT 30")
    assert awg.number("VOLT?") == 20.0
    awg.tell("VOLT:OFFS 1")  # no room: 10 V is the highest peak
    assert awg.number("VOLT:OFFS?") == 0.0
    assert awg.errors() == [-222, -222, -222]
    assert awg.number("VOLT? MAX") == 20.0


def test_changing_the_stated_load_changes_numbers_and_not_the_source(awg):
    awg.tell("FUNC DC;:VOLT:OFFS 1;:OUTP1 ON")
    assert awg.held_v() == 2.0
    awg.tell("OUTP1:LOAD INF")
    assert awg.number("VOLT:OFFS?") == 2.0
    assert awg.held_v() == 2.0


def test_levels_and_limits_conflict(awg):
    awg.tell("OUTP1:LOAD INF;:VOLT:LOW 0;HIGH 1")
    awg.tell("VOLT:HIGH -0.5")
    assert awg.number("VOLT:HIGH?") == 1.0
    awg.tell("VOLT:LIM:HIGH 1.5;LOW -1;STAT ON;:VOLT:HIGH 2")
    assert awg.number("VOLT:HIGH?") == 1.0
    awg.tell("VOLT:OFFS 1.2")
    assert awg.number("VOLT:OFFS?") == 0.5
    assert awg.errors() == [-221, -221, -221]


def test_direct_voltage_and_bursts_exclude_each_other(awg):
    awg.tell("BURS:STAT ON;:FUNC DC")
    assert awg.ask("BURS:STAT?") == "0"
    awg.tell("BURS:STAT ON")
    assert awg.ask("BURS:STAT?") == "0"
    assert awg.errors() == [-221, -221]


def test_a_period_shorter_than_the_pulse_shortens_the_pulse(awg):
    awg.tell("FUNC PULS;FUNC:PULS:PER 1E-3;WIDT 5E-4")
    awg.tell("FUNC:PULS:PER 1E-4")
    assert awg.number("FUNC:PULS:WIDT?") < 1e-4
    assert awg.errors() == [-221]


@pytest.mark.parametrize("order", ["NORM", "SWAP"])
def test_a_block_is_read_in_the_order_of_its_bytes(awg, as_block, order):
    awg.tell(f"FORM:BORD {order}")
    awg.tell(b"DATA:ARB:DAC w," + as_block(CODES, ">i2" if order == "NORM" else "<i2"))
    wave = awg.box.memory[1].waves["W"]
    assert_array_equal(np.repeat(wave["codes"], np.diff([*wave["starts"], wave["points"]])), CODES)
    assert awg.errors() == []


def test_a_block_in_the_wrong_order_is_another_waveform(awg, as_block):
    awg.tell(b"DATA:ARB:DAC w," + as_block(np.full(32, 1000), "<i2"))
    assert awg.box.memory[1].waves["W"]["codes"].tolist() == [-6141]  # 0x03E8 read as 0xE803


@pytest.mark.parametrize(
    "message",
    [
        b"DATA:ARB:DAC w,#264" + bytes(60),  # shorter than its header says
        b"DATA:ARB:DAC w,#264" + bytes(70),  # longer
        b"DATA:ARB:DAC w,#2x4" + bytes(64),
        b"DATA:ARB:DAC w,#263" + bytes(63),  # half a sample
    ],
)
def test_a_wrong_block_header_is_refused(awg, message):
    awg.tell(message)
    assert awg.errors() == [-161]
    assert awg.ask("DATA:VOL:CAT?") == '"INT:\\BUILTIN\\EXP_RISE.ARB"'


def test_samples_outside_full_scale_and_short_waveforms_are_refused(awg, as_block):
    awg.tell(b"DATA:ARB:DAC w," + as_block(np.full(40, -32768)))
    awg.tell("DATA:ARB w," + ",".join(["1.01"] * 40))
    awg.tell(b"DATA:ARB:DAC w," + as_block(np.zeros(31)))
    assert awg.errors() == [-222, -222, -222]


def test_volatile_memory_fills_is_not_freed_by_reloading_and_is_cleared(make, as_block):
    awg = make(memory_points=1_000_000)
    awg.tell(b"DATA:ARB:DAC a," + as_block(np.arange(400_000) % 100))
    awg.tell('FUNC:ARB a;:MMEM:STOR:DATA1 "INT:\\a.arb"')
    awg.tell('MMEM:LOAD:DATA1 "INT:\\a.arb"')
    assert awg.ask("DATA:VOL:FREE?") == "200000"
    awg.tell('MMEM:LOAD:DATA1 "INT:\\a.arb"')
    assert awg.ask("SYST:ERR?") == '+880,"Arb: Out of memory"'
    awg.tell(b"DATA:ARB:DAC b," + as_block(np.zeros(200_001)))
    assert awg.errors() == [880]
    assert awg.ask("SOUR2:DATA:VOL:FREE?") == "1000000"
    awg.tell("DATA:VOL:CLE")
    assert awg.ask("DATA:VOL:FREE?") == "1000000"
    awg.tell('MMEM:LOAD:DATA1 "INT:\\a.arb"')  # the file is still there
    assert awg.errors() == []


def test_names_are_taken_once_and_must_exist(awg, as_block):
    awg.tell(b"DATA:ARB:DAC a," + as_block(CODES), b"DATA:ARB:DAC A," + as_block(CODES), "FUNC:ARB b")
    assert awg.errors() == [786, 785]
    awg.tell('FUNC:ARB "a"')
    assert awg.ask("FUNC:ARB?") == '"A"'
    assert awg.errors() == []


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ('"s","nothing",1,once,maintain,4', 785),
        ('"s","a",1,twice,maintain,4', -224),
        ('"s","a",1,once,maintain,3', -222),
        ('"s","a",1,once,maintain', -224),
        ('"s"' + ',"a",1,repeat,maintain,4' * 513, -223),
    ],
)
def test_a_wrong_sequence_is_refused(awg, as_block, steps, code):
    awg.tell(b"DATA:ARB:DAC a," + as_block(CODES))
    awg.tell(f"DATA:SEQ #{len(str(len(steps)))}{len(steps)}{steps}")
    assert awg.errors() == [code]
    assert "S" not in awg.ask("DATA:VOL:CAT?").split(",")


def test_512_steps_and_names_without_quotation_marks_are_taken(awg, as_block):
    awg.tell(b"DATA:ARB:DAC a," + as_block(CODES))
    steps = "s" + ",a,2,repeat,maintain,4" * 512
    awg.tell(f"DATA:SEQ #{len(str(len(steps)))}{len(steps)}{steps}", "FUNC:ARB s")
    assert awg.ask("FUNC:ARB:POIN?") == str(512 * 2 * 32)
    assert awg.errors() == []


def test_the_error_queue_holds_twenty(awg):
    for _ in range(25):
        awg.tell("NONSENSE")
    assert awg.errors() == [-113] * 19 + [-350]


def test_a_trigger_that_nobody_waits_for_is_ignored_and_said(awg):
    awg.tell("*TRG")
    assert awg.errors() == [-211]


def test_a_snapshot_brings_back_settings_memory_and_what_plays(make, as_block):
    awg = make()
    awg.tell(b"DATA:ARB:DAC a," + as_block(CODES), "FUNC ARB;FUNC:ARB a;:FUNC:ARB:SRAT 1E3;:OUTP1:LOAD INF")
    awg.tell("VOLT 2;:BURS:STAT ON;:BURS:NCYC 4;:TRIG1:SOUR BUS;:OUTP1 ON;*TRG")
    awg.wait(0.05)
    state = awg.world.snapshot()
    awg.wait(0.5)
    played = awg.runs()
    awg.world.restore(state)
    count = len(awg.trains)
    awg.wait(0.5)
    again = [train for _, train in awg.trains[count:]]
    assert_array_equal(again[-1].level_a, awg.trains[count - 1][1].level_a)
    assert_array_equal(again[-1].start_s, played[1][-len(again[-1].start_s) :])


def test_an_unknown_memory_option_is_refused(make):
    with pytest.raises(ValueError, match="memory_points is one of"):
        make(memory_points=5)
