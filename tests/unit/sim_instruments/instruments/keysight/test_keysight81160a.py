"""The 81160A: pulses, bursts, waveforms of one's own, limits, patterns."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

LATENCY_S = 50e-6


def test_the_vendor_examples_run_as_written(pulser, as_block):
    pulser.tell(
        ":FUNC1 PULS", ":PULS:PER1 1E-3", ":PULS:WIDT1 1E-4", ":PULS:DCYC1 10", ":PULS:DEL1 1E-5",
        ":PULS:TRAN1 1E-8", ":PULS:TRAN1:LEAD 1E-8", ":PULS:TRAN1:TRA 1E-8", ":PULS:HOLD1 WIDT",
        ":FUNC1:PULS:TRAN 1E-8", ":VOLT1:HIGH 1", ":VOLT1:LOW -1", ":VOLT1 0.5", ":VOLT1:OFFS 0.1",
        ":VOLT1:LIM:STAT ON", ":VOLT1:LIM:HIGH 2", ":VOLT1:LIM:LOW -2", ":OUTP1 ON", ":OUTP1 OFF",
        ":OUTP1:COMP ON", ":OUTP1:POL INV", ":OUTP1:POL NORM", ":OUTP1:LOAD 50",
        ":ARM:SOUR1 IMM", ":ARM:SOUR1 INT2", ":ARM:SOUR1 EXT", ":ARM:SOUR1 MAN", ":TRIG1:COUN 3",
        ":BURS1:STAT ON", ":BURS1:MODE TRIG", ":BURS1:NCYC 2", ":BURS1:INT:PER 1E-2", "*TRG",
        ":TRAC:CHAN1 ON",
        b":DATA1:DAC VOLATILE, " + as_block(np.linspace(-8191, 8191, 30)), ":DATA1:COPY mine,VOLATILE",
        ":FUNC1 USER", ":FUNC1:USER mine", ":FUNC1 SIN", ":DATA1:DEL mine", ":APPL1:PULS 1E3,1,0",
        ":DIG1:PATT:STAT ON", ":DIG1:PATT:SEGM:DATA #15" + "01101",
    )  # fmt: skip
    assert pulser.ask(":DATA1:NVOL:CAT?") == '""'
    assert pulser.ask(":DATA1:NVOL:FREE?") == "32"
    assert "Agilent Technologies,81160A" in pulser.ask("*IDN?")
    assert pulser.errors() == []


def test_a_trigger_plays_its_count_of_pulses(pulser):
    pulser.tell(
        ":FUNC1 PULS;:PULS:PER1 1E-3;:PULS:WIDT1 1E-4;:VOLT1:LOW 0;HIGH 1;:ARM:SOUR1 MAN;:TRIG1:COUN 3"
    )
    pulser.tell(":OUTP1 ON;*TRG")
    since_s = pulser.world.now + LATENCY_S
    pulser.wait(0.1)
    level, start, width = pulser.runs()
    assert_allclose(level, 2.0)  # 1 V into 50 ohm
    assert_allclose(start, since_s + np.arange(3) * 1e-3, atol=1e-10)
    assert_allclose(width, 1e-4)
    pulser.tell(":BURS1:NCYC 2;STAT ON;:TRIG")
    pulser.wait(0.1)
    assert len(pulser.runs()[0]) == 5
    assert pulser.errors() == []


def test_a_bipolar_waveform_comes_out_as_it_was_sent(pulser, as_block):
    codes = np.array([0, -8191, -8191, 0, 4000, 4000, 0, 0])
    pulser.tell(b":DATA1:DAC VOLATILE," + as_block(codes))
    pulser.tell(":FUNC1 USER;:FUNC1:USER VOLATILE;:FREQ1 1E3;:VOLT1 2;:ARM:SOUR1 MAN;:OUTP1 ON;*TRG")
    pulser.wait(0.1)
    level, _, width = pulser.runs()
    assert_allclose(level, np.array([-8191, -8191, 4000, 4000]) / 8191 * 2)  # 2 Vpp into 50 ohm
    assert_allclose(width, 1e-3 / 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b":DATA1:DAC VOLATILE,#14" + np.array([8192, 0], ">i2").tobytes(), -222),
        (b":DATA1:DAC VOLATILE,#13abc", -161),
        (b":DATA1:DAC VOLATILE,#18ab", -161),
        (b":DATA1:DAC OTHER,#14abcd", -224),
        (b":VOLT1 6", -222),
        (b":VOLT1:HIGH -1", -221),
        (b":FUNC1:USER nobody", -224),
        (b":PATT:STAT ON", -113),
        (b"*TRG", -211),
    ],
)
def test_what_the_box_refuses(pulser, message, code):
    pulser.tell(message)
    assert pulser.errors() == [code]


def test_limits_hold_where_they_are_on(pulser):
    pulser.tell(":VOLT1:LOW 0;HIGH 1;LIM:HIGH 1.5;LOW -0.5;STAT ON;:VOLT1:HIGH 2")
    assert pulser.number(":VOLT1:HIGH?") == 1.0
    assert pulser.errors() == [-221]


def test_a_pattern_plays_bit_by_bit(pulser):
    pulser.tell(
        ":FUNC1 PULS;:PULS:PER1 1E-4;:VOLT1:LOW 0;HIGH 1;:ARM:SOUR1 MAN;:DIG1:PATT:STAT ON",
        ":DIG1:PATT:SEGM:DATA #1501101",
        ":OUTP1 ON;*TRG",
    )
    since_s = pulser.world.now + LATENCY_S
    pulser.wait(0.1)
    _, start, width = pulser.runs()
    assert_allclose(start - since_s, [1e-4, 2e-4, 4e-4], atol=1e-10)
    assert_allclose(width, 1e-4, rtol=1e-6)


def test_kept_waveforms_survive_a_reset_and_power(pulser, as_block):
    pulser.tell(b":DATA2:DAC VOLATILE," + as_block([0, 100, -100]), ":DATA2:COPY keep,VOLATILE;*RST")
    pulser.wait(1.0)
    pulser.box.power_cycle()
    assert pulser.ask(":DATA2:NVOL:CAT?") == '"KEEP"'
    pulser.tell(":FUNC2 USER;:FUNC2:USER KEEP")
    assert pulser.errors() == []
