"""The nanovoltmeter: what a reading is worth, how long it takes, and what the trigger model does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, norm

from sim_instruments.instruments.keithley2182a_conversion import NOISE, OVERLOAD, PICKUP_V, moved, range_for
from sim_instruments.world import plain

LINE_S = 0.02
HALL_LIMIT_V = 5e-3


@pytest.fixture
def nvm(boxes: Any) -> Any:
    """Channel 1 on 10 mV, 1 PLC, no filter, nothing sourced."""
    boxes.tell("nvm", "*RST", "SENS:VOLT:RANG 0.01;NPLC 1;DFIL OFF")
    return boxes


def timed(boxes: Any, message: str) -> tuple[float, float]:
    """(answer, time it took)."""
    start = boxes.world.now
    value = boxes.numbers("nvm", message)[0]
    return value, boxes.world.now - start


def force(boxes: Any, volt: float) -> None:
    """Put a voltage on channel 1: the voltmeter's own terminal, at a source that needs no bar."""
    boxes.world.sense = lambda terminal: volt


def test_identity_and_power_on(boxes: Any) -> None:
    assert boxes.ask("nvm", "*IDN?") == "KEITHLEY INSTRUMENTS INC.,MODEL 2182A,4067825,C04  /A02  "
    assert boxes.ask("nvm", "INIT:CONT?;:SYST:LFR?;:SENS:FUNC?;CHAN?") == '1;50;"VOLT:DC";1'
    boxes.tell("nvm", "*RST")
    assert boxes.ask("nvm", "INIT:CONT?") == "0"
    assert boxes.numbers("nvm", "SENS:VOLT:NPLC?") == [5.0]


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [
        ("SYST:AZER OFF;FAZ OFF", LINE_S),
        ("SYST:AZER ON;FAZ OFF", 2 * LINE_S),
        ("SYST:AZER ON;FAZ ON", 3 * LINE_S),
        ("SYST:AZER OFF;FAZ OFF;:SENS:VOLT:LPAS ON", LINE_S + 0.125),
        ("SYST:AZER OFF;FAZ OFF;:SENS:VOLT:NPLC 10", 10 * LINE_S),
    ],
)
def test_a_reading_takes_its_time(nvm: Any, setting: str, seconds: float) -> None:
    nvm.tell("nvm", setting)
    assert timed(nvm, "READ?")[1] == pytest.approx(seconds + 1.5e-3)


def test_a_repeating_filter_multiplies_the_time(nvm: Any) -> None:
    single = timed(nvm, "READ?")[1]
    nvm.tell("nvm", "SENS:VOLT:DFIL:TCON REP;COUN 4;STAT ON")
    assert timed(nvm, "READ?")[1] == pytest.approx(4 * single)


def test_autorange_adds_readings(nvm: Any) -> None:
    force(nvm, 0.5)
    nvm.tell("nvm", "SENS:VOLT:RANG:AUTO ON")
    single = timed(nvm, "READ?")[1] / 3  # from 10 mV by 100 mV to 1 V
    assert nvm.numbers("nvm", "SENS:VOLT:RANG?") == [1.0]
    assert timed(nvm, "READ?")[1] == pytest.approx(single)
    force(nvm, 5.0)
    assert timed(nvm, "READ?")[1] == pytest.approx(2 * single)


@pytest.mark.parametrize(
    ("asked", "chosen"), [(0.0, 0.01), (0.012, 0.01), (0.05, 0.1), (0.13, 1.0), (120, 100.0)]
)
def test_ranges(nvm: Any, asked: float, chosen: float) -> None:
    nvm.tell("nvm", f"SENS:VOLT:RANG {asked}")
    assert nvm.numbers("nvm", "SENS:VOLT:CHAN1:RANG?") == [chosen]
    assert nvm.ask("nvm", "SENS:VOLT:RANG:AUTO?") == "0"
    nvm.tell("nvm", "SENS:VOLT:RANG 121")
    assert nvm.errors("nvm") == [-222]
    assert nvm.numbers("nvm", "SENS:VOLT:RANG?") == [chosen]


def test_overload_and_open_leads(nvm: Any) -> None:
    force(nvm, 0.0121)
    assert nvm.ask("nvm", "READ?") == "+9.90000000E+37"
    assert nvm.ask("nvm", "STAT:MEAS?") == str(1 | 32)
    force(nvm, 0.0119)
    nvm.wait(1.0)
    assert nvm.numbers("nvm", "READ?")[0] == pytest.approx(0.0119, abs=1e-6)
    force(nvm, float("nan"))
    assert nvm.numbers("nvm", "READ?")[0] == pytest.approx(OVERLOAD)


def test_an_overload_is_felt_for_a_while(nvm: Any) -> None:
    nvm.tell("nvm", "SYST:AZER OFF;FAZ OFF")
    force(nvm, 0.1)
    nvm.ask("nvm", "READ?")
    force(nvm, 0.0)
    after = [nvm.numbers("nvm", "READ?")[0] for _ in range(8)]
    assert after[0] == pytest.approx(1e-4 * np.exp(-0.0215 / 0.02), rel=0.01)
    assert abs(after[7]) < 0.01 * after[0]
    assert (np.diff(after[:6]) < 0).all()


@pytest.mark.parametrize(("span", "nplc"), [(0.01, 1), (0.01, 5), (0.1, 1), (1.0, 10)])
def test_noise_is_that_of_the_table(nvm: Any, span: float, nplc: int) -> None:
    """Two-sided chi-squared test of the variance, false alarm 1e-4 each."""
    force(nvm, 0.0)
    nvm.tell("nvm", f"SENS:VOLT:RANG {span};NPLC {nplc}", "SAMP:COUN 1000")
    values = np.array(nvm.numbers("nvm", "READ?"))
    expected = NOISE.rms(span, nplc * LINE_S)
    low, high = chi2.ppf([0.5e-4, 1 - 0.5e-4], len(values))
    assert low < (values**2).sum() / expected**2 < high


def test_every_row_of_the_noise_table_has_its_source() -> None:
    assert all(row.source for row in NOISE.rows)
    assert NOISE.rms(0.01, 0.2e-3) > NOISE.rms(0.01, 2e-3) > NOISE.rms(0.01, LINE_S) > NOISE.rms(0.01, 0.1)


def test_mains_pickup_unless_whole_periods_are_integrated(nvm: Any) -> None:
    force(nvm, 0.0)
    spread = {}
    for nplc in (1, 2, 0.5, 1.5):
        nvm.tell("nvm", f"SENS:VOLT:NPLC {nplc}", "TRIG:DEL 0.0037", "SAMP:COUN 200")
        spread[nplc] = float(np.std(nvm.numbers("nvm", "READ?")))
    assert spread[1] < 2e-8 and spread[2] < 2e-8
    assert spread[0.5] > 0.3 * PICKUP_V * np.sinc(0.5)
    assert 0.3 * PICKUP_V * abs(np.sinc(1.5)) < spread[1.5] < spread[0.5]
    nvm.tell("nvm", "SYST:LSYN ON", "SENS:VOLT:NPLC 0.5", "SAMP:COUN 200")
    assert np.std(nvm.numbers("nvm", "READ?")) < 2e-7


def test_hall_voltage_of_a_bar(nvm: Any) -> None:
    """Two polarities: the difference is 2 I R_xy, its noise far below the bar's ohm."""
    nvm.tell("source", "SOUR:CURR:RANG 2e-4;COMP 20", "SOUR:CURR 1e-4;:OUTP ON")
    plus = nvm.numbers("nvm", "READ?")[0]
    nvm.tell("source", "SOUR:CURR -1e-4")
    minus = nvm.numbers("nvm", "READ?")[0]
    assert abs(plus - minus) / 2e-4 == pytest.approx(20, abs=15)  # misalignment: 0.1 um of 40 um at 8 kohm
    assert abs(plus + minus) < HALL_LIMIT_V


def test_fetch_returns_what_was_read(nvm: Any) -> None:
    nvm.tell("nvm", "FETC?")
    assert nvm.errors("nvm") == [-230]
    first = nvm.ask("nvm", "READ?")
    assert nvm.ask("nvm", "FETC?") == nvm.ask("nvm", "SENS:DATA?") == first


def test_counts_of_triggers_and_samples(nvm: Any) -> None:
    nvm.tell("nvm", "TRIG:COUN 3", "SAMP:COUN 4")
    single = 3 * LINE_S + 1.5e-3
    start = nvm.world.now
    assert len(nvm.numbers("nvm", "READ?")) == 12
    assert nvm.world.now - start == pytest.approx(12 * single)
    nvm.tell("nvm", "INIT", "INIT")
    assert nvm.errors("nvm") == [-213]
    nvm.wait(13 * single)
    assert len(nvm.numbers("nvm", "FETC?")) == 12


def test_readings_follow_the_source_during_an_acquisition(nvm: Any) -> None:
    nvm.tell("nvm", "SAMP:COUN 10", "INIT")
    single = 3 * LINE_S + 1.5e-3
    nvm.wait(5.5 * single)
    force(nvm, 1e-3)
    values = np.array(nvm.numbers("nvm", "FETC?"))
    assert (np.abs(values[:5]) < 1e-4).all()
    np.testing.assert_allclose(values[5:], 1e-3, atol=1e-6)


def test_bus_trigger(nvm: Any) -> None:
    nvm.tell("nvm", "TRIG:SOUR BUS", "*TRG")
    assert nvm.errors("nvm") == [-211]
    nvm.tell("nvm", "INIT")
    nvm.wait(1.0)
    assert nvm.ask("nvm", "STAT:MEAS?") == "0"
    nvm.tell("nvm", "*TRG")
    nvm.wait(1.0)
    assert len(nvm.numbers("nvm", "FETC?")) == 1


def test_a_read_that_waits_for_a_group_trigger(nvm: Any) -> None:
    nvm.tell("nvm", "TRIG:SOUR BUS", "READ?")
    box = nvm.boxes["nvm"]
    assert box.reply_ready_s() == np.inf
    box.trigger()
    assert box.reply_ready_s() == pytest.approx(nvm.world.now + 3 * LINE_S + 1.5e-3)


def test_abort_ends_an_acquisition(nvm: Any) -> None:
    nvm.tell("nvm", "TRIG:COUN INF", "INIT")
    nvm.wait(1.0)
    nvm.tell("nvm", "ABOR")
    assert nvm.ask("nvm", "STAT:OPER:COND?") == "1024"
    nvm.tell("nvm", "TRIG:COUN 1")
    assert len(nvm.numbers("nvm", "READ?")) == 1


def test_continuous_readings(boxes: Any) -> None:
    boxes.wait(3.0)
    force(boxes, 2e-3)
    boxes.wait(3.0)
    assert boxes.numbers("nvm", "FETC?")[0] == pytest.approx(2e-3, abs=1e-6)
    boxes.tell("nvm", "INIT")
    assert boxes.errors("nvm") == [-213]
    assert boxes.numbers("nvm", "READ?")[0] == pytest.approx(2e-3, abs=1e-6)
    start = boxes.world.now
    boxes.ask("nvm", "SENS:DATA:FRES?")
    assert 0 < boxes.world.now - start <= 15 * LINE_S + 1.5e-3


def test_buffer_fills_and_closes(nvm: Any) -> None:
    nvm.tell(
        "nvm", "STAT:PRES;*CLS;*SRE 1;:STAT:MEAS:ENAB 512;", ":TRAC:CLEAR;", ":TRAC:POIN 4", ":TRIG:COUN 4"
    )
    nvm.tell("nvm", ":TRAC:FEED SENSE;:TRAC:FEED:CONT NEXT;", ":INIT")
    assert nvm.ask("nvm", "*STB?") == "0"
    nvm.wait(2.5 * 0.0615)
    assert nvm.ask("nvm", "STAT:MEAS:COND?") == str(128 | 256)
    nvm.wait(1.0)
    assert int(nvm.ask("nvm", "*STB?")) & 65 == 65
    assert nvm.ask("nvm", ":TRAC:FEED:CONT?") == "NEV"
    values = nvm.numbers("nvm", "TRAC:DATA?")
    assert values == nvm.numbers("nvm", "FETC?") and len(values) == 4
    nvm.tell("nvm", ":CALC2:FORM SDEV;:CALC2:STAT ON")
    assert nvm.numbers("nvm", "CALC2:IMM?")[0] == pytest.approx(np.std(values, ddof=1), rel=1e-4)
    nvm.tell("nvm", "TRAC:CLE", "TRAC:DATA?")
    assert nvm.errors("nvm") == [-230]


@pytest.mark.parametrize(("name", "kind"), [("SRE", "f4"), ("DRE", "f8")])
@pytest.mark.parametrize(("order", "sign"), [("NORM", ">"), ("SWAP", "<")])
def test_binary_readings(nvm: Any, name: str, kind: str, order: str, sign: str) -> None:
    nvm.tell("nvm", "SAMP:COUN 5")
    text = nvm.numbers("nvm", "READ?")
    nvm.tell("nvm", f"FORM {name};:FORM:BORD {order}")
    sent = nvm.ask_bytes("nvm", "FETC?")
    assert sent[:2] == b"#0"
    np.testing.assert_allclose(np.frombuffer(sent[2:], dtype=sign + kind), text, rtol=1e-6)


def test_reference_is_subtracted(nvm: Any) -> None:
    force(nvm, 3e-3)
    nvm.ask("nvm", "READ?")
    nvm.tell("nvm", "SENS:VOLT:REF:ACQ", "SENS:VOLT:REF:STAT ON")
    assert abs(nvm.numbers("nvm", "READ?")[0]) < 1e-6


def test_filters_average_and_let_steps_through() -> None:
    noise = np.random.default_rng(3).normal(0, 1, 4000)
    smooth, _ = moved(np.empty(0), noise, 10, np.inf)
    assert np.std(smooth[10:]) == pytest.approx(1 / np.sqrt(10), rel=0.15)
    step, kept = moved(np.zeros(5), np.array([0.0, 0.0, 1.0, 1.0, OVERLOAD, 1.0]), 10, 0.5)
    np.testing.assert_array_equal(step, [0, 0, 1, 1, OVERLOAD, 1])
    assert len(kept) == 1


def test_filter_in_parts_is_the_filter_of_the_whole() -> None:
    values = np.random.default_rng(4).normal(0, 1, 57)
    whole, _ = moved(np.empty(0), values, 8, 1.5)
    history, parts = np.empty(0), []
    for part in np.array_split(values, 9):
        filtered, history = moved(history, part, 8, 1.5)
        parts.append(filtered)
    np.testing.assert_allclose(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("volt", "channel", "span"), [(0.0, 1, 0.01), (-0.05, 1, 0.1), (500, 1, 100.0), (0.05, 2, 0.1)]
)
def test_range_that_holds_a_voltage(volt: float, channel: int, span: float) -> None:
    assert range_for(volt, channel) == span


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("SENS:VOLT:NPLC 60", -222),  # 50 at 50 Hz
        ("SENS:VOLT:NPLC 0.001", -222),
        ("SAMP:COUN 1025", -222),
        ("TRAC:POIN 1", -222),
        ("SENS:CHAN 3", -222),
        ("SENS:CHAN 0", -241),
        ("SENS:FUNC 'TEMP'", -241),
        ("SENS:FUNC 'CURR'", -224),
        ("SENS:FUNC VOLT", -104),
        ("SENS:VOLT:FILT ON", -113),
        ("TRIG:SOUR TLIN", -224),
    ],
)
def test_refusals(nvm: Any, message: str, code: int) -> None:
    before = nvm.boxes["nvm"].snapshot()["values"]
    nvm.tell("nvm", message)
    assert nvm.errors("nvm") == [code]
    assert nvm.boxes["nvm"].snapshot()["values"] == before


def test_serial_port_answers_late_and_in_pieces(nvm: Any) -> None:
    box = nvm.boxes["nvm"]
    box.serial_send("*IDN?")
    assert box.serial_enter() == ""
    nvm.wait(0.08)
    assert box.serial_enter() == nvm.ask("nvm", "*IDN?")
    assert box.serial_enter() == ""
    nvm.tell("nvm", "SAMP:COUN 20")
    box.serial_send("READ?")
    nvm.wait(1.0)
    assert box.serial_enter() == ""  # twenty readings take longer
    nvm.wait(1.0)
    first, second = box.serial_enter(), box.serial_enter()
    assert len(first) == 254 and len((first + second).split(",")) == 20


def test_a_snapshot_in_the_middle_of_an_acquisition(make_boxes: Callable[..., Any]) -> None:
    first, second = make_boxes(), make_boxes()
    for each in (first, second):
        each.connect()
        each.tell("nvm", "*RST", "SENS:VOLT:RANG 0.01;NPLC 1", "SAMP:COUN 10", "INIT")
        each.wait(0.3)
    state = plain.from_bytes(plain.to_bytes(first.world.snapshot()))
    second.wait(5.0)
    second.world.restore(state)
    assert second.ask("nvm", "FETC?") == first.ask("nvm", "FETC?")


def test_two_readings_differ_by_noise_only(nvm: Any) -> None:
    """Same state, two readings; false alarm 1e-6."""
    first, second = nvm.numbers("nvm", "READ?")[0], nvm.numbers("nvm", "READ?")[0]
    assert 0 < abs(first - second) < norm.isf(0.5e-6) * np.sqrt(2) * NOISE.rms(0.01, LINE_S)
