"""Delta, pulse delta, the trigger link and the serial relay: the 6221 and the 2182A together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from sim_instruments.instruments import keithley6221_readings as readings
from sim_instruments.instruments.keithley2182a_conversion import NOISE
from sim_instruments.instruments.keithley6221_trace import OVERFLOW
from sim_instruments.world import plain

LINE_S = 0.02
CYCLE_S = 5 * LINE_S
READ_A = 1e-4
WRITE_A = 1.2e-3
WIDTH_S = 100e-6


@pytest.fixture
def pair(boxes: Any) -> Any:
    boxes.tell("nvm", "*RST", "SENS:VOLT:RANG 0.01;NPLC 1;DFIL OFF")
    boxes.tell("source", "*RST", "SOUR:CURR:COMP 20")
    boxes.wait(1.0)
    return boxes


def load(boxes: Any, levels: list[float], extra: str = "") -> None:
    """A custom list of pulse delta cycles, armed."""
    text = [f"{level:.7g}" for level in levels]
    boxes.tell("source", "SOUR:SWE:ABOR", "SOUR:SWE:SPAC LIST;RANG BEST;COUN 1")
    boxes.tell("source", f"SOUR:PDEL:WIDT {WIDTH_S};LOW 0;SWE ON")
    for start in range(0, len(text), 100):
        append = ":APP" if start else ""
        part = text[start : start + 100]
        boxes.tell("source", f"SOUR:LIST:CURR{append} {','.join(part)}")
        boxes.tell("source", f"SOUR:LIST:DEL{append} {','.join(['1e-3'] * len(part))}")
    if extra:
        boxes.tell("source", extra)
    boxes.tell("source", "SOUR:PDEL:ARM")
    boxes.ask("source", "SOUR:PDEL:ARM?")


def run(boxes: Any, levels: list[float], extra: str = "") -> np.ndarray:
    """Readings of a whole list."""
    load(boxes, levels, extra)
    boxes.tell("source", "INIT")
    boxes.ask("source", "*OPC?")
    return np.array(boxes.numbers("source", "TRAC:DATA?"))[0::2]


def fixed_hall(boxes: Any, r_xy_ohm: float, emf_v: float = 0.0) -> None:
    """Replace what the voltmeter sees by a plain resistance and an offset."""
    play = boxes.world.play

    class Trace:
        def __init__(self, trace: Any, train: Any):
            self.compliance, self.current_a, self.train = trace.compliance, trace.current_a, train

        def sensed_v(self, terminal: str) -> np.ndarray:
            assert terminal == "nvm.ch1"
            return self.train.level_a * r_xy_ohm + emf_v

        def sensed_base_v(self, terminal: str) -> np.ndarray:
            return np.full(len(self.train.level_a), self.train.base_a * r_xy_ohm + emf_v)

    boxes.world.play = lambda terminal, train: Trace(play(terminal, train), train)
    boxes.world.sense = lambda terminal: emf_v + r_xy_ohm * boxes.world.source_state("source.out")[1]


# ---- arming ---------------------------------------------------------------------------------------------


def test_the_voltmeter_is_reported_as_text(pair: Any) -> None:
    assert pair.ask("source", "SOUR:PDEL:NVPR?") == "1"
    assert pair.ask("source", "SOUR:DELT:NVPR?") == "1"


@pytest.mark.parametrize("mode", ["DELT", "PDEL"])
@pytest.mark.parametrize("fault", ["no cable", "switched off"])
def test_without_a_voltmeter_nothing_is_armed(make_boxes: Callable[..., Any], mode: str, fault: str) -> None:
    boxes = make_boxes(leave_out="source.rs232" if fault == "no cable" else "")
    boxes.boxes["nvm"].powered = fault != "switched off"
    assert boxes.ask("source", f"SOUR:{mode}:NVPR?") == "0"
    boxes.tell("source", f"SOUR:{mode}:ARM")
    assert boxes.errors("source") == [-241]
    assert boxes.ask("source", f"SOUR:{mode}:ARM?") == "0"


def test_arming_takes_its_time(pair: Any) -> None:
    start = pair.world.now
    pair.tell("source", "SOUR:PDEL:ARM")
    assert pair.ask("source", "SOUR:PDEL:ARM?") == "1"
    assert 1.0 <= pair.world.now - start <= 3.0


def test_the_delay_must_leave_time_to_measure(pair: Any) -> None:
    pair.tell("source", "SOUR:PDEL:WIDT 60e-6;SDEL 30e-6;ARM")
    assert pair.errors("source") == [-221]
    pair.tell("source", "SOUR:PDEL:SDEL 26e-6;ARM")
    assert pair.errors("source") == []


# ---- pulse delta ---------------------------------------------------------------------------------------


def test_cycles_lie_on_line_periods(pair: Any) -> None:
    trains = []
    play = pair.world.play
    pair.world.play = lambda terminal, train: (trains.append(train), play(terminal, train))[1]
    load(pair, [WRITE_A, READ_A, -WRITE_A, READ_A])
    begin = pair.world.now
    pair.tell("source", "INIT")
    pair.wait(2 * CYCLE_S + 0.5 * LINE_S)
    assert len(trains) == 1 and len(trains[0].level_a) == 2
    pair.wait(10.0)
    level, start, width = (
        np.concatenate([getattr(each, name) for each in trains]) for name in ("level_a", "start_s", "width_s")
    )
    np.testing.assert_allclose(level, [WRITE_A, READ_A, -WRITE_A, READ_A])
    np.testing.assert_allclose(start, begin + LINE_S + CYCLE_S * np.arange(4))
    np.testing.assert_allclose(width, WIDTH_S)
    assert trains[0].base_a == 0.0 and trains[0].limit_v == 20.0


def test_readings_are_pairs_with_time(pair: Any) -> None:
    run(pair, [READ_A] * 6)
    pairs = np.array(pair.numbers("source", "TRAC:DATA?")).reshape(-1, 2)
    np.testing.assert_allclose(pairs[:, 1], CYCLE_S * np.arange(6), atol=1e-6)
    pair.tell("source", "TRAC:TST:FORM DELT")
    times = np.array(pair.numbers("source", "TRAC:DATA?"))[1::2]
    np.testing.assert_allclose(times, [0] + [CYCLE_S] * 5, atol=1e-6)


def test_offsets_cancel_and_the_difference_is_right(pair: Any) -> None:
    fixed_hall(pair, 10.0, emf_v=4e-3)
    values = run(pair, [2e-4, -2e-4] * 50)
    np.testing.assert_allclose(values, [2e-3, -2e-3] * 50, atol=8 * NOISE.rms(0.01, 84e-6))


@pytest.mark.parametrize(("lows", "variance"), [(1, 2.0), (2, 1.5)])
def test_noise_of_a_reading(pair: Any, lows: int, variance: float) -> None:
    """Chi-squared test of the variance over 1000 cycles, false alarm 1e-4 each."""
    fixed_hall(pair, 1.0)
    values = run(pair, [READ_A] * 1000, extra=f"SOUR:PDEL:LME {lows}")
    expected = variance * NOISE.rms(0.01, WIDTH_S - 16e-6) ** 2
    low, high = chi2.ppf([0.5e-4, 1 - 0.5e-4], len(values) - 1)
    assert low < ((values - values.mean()) ** 2).sum() / expected < high


def test_a_write_pulse_overloads_and_the_next_reading_is_good(pair: Any) -> None:
    values = run(pair, [WRITE_A, READ_A] * 20)
    assert (values[0::2] == OVERFLOW).all()
    assert (np.abs(values[1::2]) < 0.01).all()
    assert pair.ask("source", "TRAC:DATA:SEL? 0,1").startswith("+9.9E37,")
    assert int(pair.ask("source", "STAT:MEAS?")) & 1


def test_a_bar_switches_and_both_states_are_seen(pair: Any) -> None:
    """Strong pulses of alternating sign: the readings alternate by about the loop's opening, 1 ohm x I."""
    values = run(pair, [WRITE_A, READ_A, -WRITE_A, READ_A] * 30)
    up, down = values[1::4], values[3::4]
    assert abs(up.mean() - down.mean()) == pytest.approx(READ_A * 1.0, rel=0.3)
    assert up.std() < 0.1 * abs(up.mean() - down.mean())


def test_high_low_and_count_without_a_list(pair: Any) -> None:
    fixed_hall(pair, 10.0)
    pair.tell("source", f"SOUR:PDEL:HIGH 3e-4;LOW 1e-4;WIDT {WIDTH_S};COUN 7;INT 10;SWE OFF;ARM")
    pair.ask("source", "*OPC?")
    begin = pair.world.now
    pair.tell("source", "INIT")
    pair.wait(0.001)
    assert pair.world.source_state("source.out")[1] == pytest.approx(1e-4)
    pair.ask("source", "*OPC?")
    assert pair.world.now - begin == pytest.approx(6 * 10 * LINE_S + 2 * LINE_S + WIDTH_S)
    values = np.array(pair.numbers("source", "TRAC:DATA?"))[0::2]
    np.testing.assert_allclose(values, [2e-3] * 7, atol=1e-5)
    assert pair.world.source_state("source.out")[1] == pytest.approx(1e-4)  # it rests at its low level
    pair.tell("source", "SOUR:SWE:ABOR")
    assert pair.world.source_state("source.out")[1] == 0.0


def test_a_pulse_cut_by_an_abort_is_no_reading(pair: Any) -> None:
    trains = []
    play = pair.world.play
    pair.world.play = lambda terminal, train: (trains.append(train), play(terminal, train))[1]
    load(pair, [READ_A] * 3)
    pair.tell("source", "INIT")
    pair.wait(CYCLE_S + LINE_S + 0.4 * WIDTH_S)
    pair.tell("source", "SOUR:SWE:ABOR")
    assert pair.ask("source", "TRAC:POIN:ACT?") == "1"
    assert trains[-1].width_s[0] == pytest.approx(0.4 * WIDTH_S, rel=1e-6)
    assert pair.ask("source", "OUTP?") == "0"
    pair.wait(10.0)
    assert len(trains) == 2


def test_settings_written_during_a_run_count_at_the_next_arming(pair: Any) -> None:
    trains = []
    play = pair.world.play
    pair.world.play = lambda terminal, train: (trains.append(train), play(terminal, train))[1]
    load(pair, [READ_A] * 4)
    pair.tell("source", "INIT", "SOUR:PDEL:WIDT 50e-6;SDEL 10e-3;LOW 1e-5")
    pair.ask("source", "*OPC?")
    assert pair.ask("source", "TRAC:POIN:ACT?") == "4"
    assert {width for train in trains for width in train.width_s} == {WIDTH_S}
    assert {train.base_a for train in trains} == {0.0}


def test_readings_appear_one_by_one(pair: Any) -> None:
    load(pair, [READ_A] * 4)
    pair.tell("source", "INIT")
    latest = pair.ask("source", "SENS:DATA?")
    assert latest.startswith("+9.9E37,+")
    counts = []
    for _ in range(6):
        counts.append(int(pair.ask("source", "TRAC:POIN:ACT?")))
        pair.wait(CYCLE_S)
    assert counts == [0, 1, 2, 3, 4, 4]
    assert pair.ask("source", "SENS:DATA?") != latest


# ---- buffer --------------------------------------------------------------------------------------------


def test_an_endless_run_stores_65536_and_goes_on(pair: Any) -> None:
    pair.tell("source", f"SOUR:PDEL:HIGH {READ_A};WIDT {WIDTH_S};COUN INF;SWE OFF;ARM")
    pair.ask("source", "*OPC?")
    assert pair.ask("source", "TRAC:POIN?") == "65536"
    pair.tell("source", "INIT")
    pair.wait(66_000 * CYCLE_S)
    assert pair.ask("source", "TRAC:POIN:ACT?") == "65536"
    assert int(pair.ask("source", "STAT:MEAS:COND?")) & 512
    assert int(pair.ask("source", "STAT:OPER:COND?")) & 8
    assert pair.boxes["source"].trace.made >= 65_999
    assert len(pair.numbers("source", "TRAC:DATA?")) == 2 * 65_536


def test_a_buffer_of_fixed_size_takes_no_more(pair: Any) -> None:
    run(pair, [READ_A] * 10, extra="TRAC:POIN 4")
    assert pair.ask("source", "TRAC:POIN?;:TRAC:POIN:ACT?") == "4;4"
    assert pair.boxes["source"].trace.made == 10


@pytest.mark.parametrize("mode", ["PDEL", "DELT"])
def test_clearing_the_buffer_during_a_run_loses_only_what_was_stored(pair: Any, mode: str) -> None:
    fixed_hall(pair, 10.0)
    pair.tell("source", f"SOUR:CURR:RANG 2e-3;:SOUR:{mode}:HIGH 1e-4;COUN 40;ARM")
    pair.ask("source", "*OPC?")
    pair.tell("source", "INIT")
    pair.wait(1.0)
    made = pair.boxes["source"].trace.made
    pair.tell("source", "TRAC:CLE")
    pair.ask("source", "*OPC?")
    values = np.array(pair.numbers("source", "TRAC:DATA?"))[0::2]
    assert 0 < made < 40
    np.testing.assert_allclose(values, [1e-3] * (40 - made), atol=1e-5)


def test_buffer_size_follows_the_count(pair: Any) -> None:
    run(pair, [READ_A] * 10)
    assert pair.ask("source", "TRAC:POIN?") == "10"
    run(pair, [READ_A] * 12)
    assert pair.ask("source", "TRAC:POIN?;:TRAC:POIN:ACT?") == "12;12"


def test_elements_and_selection(pair: Any) -> None:
    run(pair, [WRITE_A, READ_A, -READ_A])
    pair.tell("source", "FORM:ELEM SOUR,READ,RNUM,COMP,UNIT")
    assert pair.ask("source", "FORM:ELEM?") == "READ,UNIT,RNUM,SOUR,COMP"
    words = pair.ask("source", "TRAC:DATA:SEL? 1,2").split(",")
    assert words[1:5] == ["V", "+2", "+1.000000E-04", "0"]
    assert words[7:] == ["+3", "-1.000000E-04", "0"]
    pair.tell("source", "TRAC:DATA:SEL? 2,2", "FORM:ELEM READ,WRITE", "FORM:ELEM ALL,READ")
    assert pair.errors("source") == [-222, -224, -224]
    pair.tell("source", "FORM:ELEM DEF", "TRAC:CLE", "TRAC:DATA?")
    assert pair.ask("source", "FORM:ELEM?") == "READ,TST"
    assert pair.errors("source") == [-230]


@pytest.mark.parametrize(
    ("data", "kind"), [("SRE", "f4"), ("REAL,32", "f4"), ("DRE", "f8"), ("REAL,64", "f8")]
)
@pytest.mark.parametrize(("order", "sign"), [("NORM", ">"), ("SWAP", "<")])
def test_binary_readings(pair: Any, data: str, kind: str, order: str, sign: str) -> None:
    run(pair, [READ_A] * 5)
    text = pair.numbers("source", "TRAC:DATA?")
    pair.tell("source", f"FORM {data};:FORM:BORD {order}")
    sent = pair.ask_bytes("source", "TRAC:DATA?")
    assert sent[:2] == b"#0"
    np.testing.assert_allclose(np.frombuffer(sent[2:], dtype=sign + kind), text, rtol=1e-6)


@pytest.mark.parametrize(("unit", "value"), [("V", 2e-3), ("OHMS", 10.0), ("SIEM", 0.1), ("W", 4e-7)])
def test_units(pair: Any, unit: str, value: float) -> None:
    fixed_hall(pair, 10.0)
    values = run(pair, [2e-4] * 3, extra=f"UNIT {unit}")
    np.testing.assert_allclose(values, value, rtol=0.01)


def test_sixty_thousand_cycles_cost_little(pair: Any) -> None:
    """Upload, play and fetch of a full list: no Python step for a reading (about 0.5 s, bound 5 s)."""
    begin = time.perf_counter()
    values = run(pair, [WRITE_A, READ_A, READ_A] * 20_000)
    assert len(values) == 60_000
    assert time.perf_counter() - begin < 5.0


def test_a_snapshot_in_the_middle_of_a_run(make_boxes: Callable[..., Any]) -> None:
    first, second = make_boxes(), make_boxes()
    for each in (first, second):
        each.connect()
        each.tell("nvm", "*RST", "SENS:VOLT:RANG 0.01")
        each.tell("source", "SOUR:CURR:COMP 20")
        load(each, [WRITE_A, READ_A, -WRITE_A, READ_A] * 10)
        each.tell("source", "INIT")
        each.wait(1.234)
    state = plain.from_bytes(plain.to_bytes(first.world.snapshot()))
    second.wait(100.0)
    second.world.restore(state)
    for each in (first, second):
        each.ask("source", "*OPC?")
    assert second.ask("source", "TRAC:DATA?") == first.ask("source", "TRAC:DATA?")


# ---- delta ------------------------------------------------------------------------------------------------


def test_delta_cancels_offset_and_drift() -> None:
    half = np.arange(12)
    level = np.where(half % 2 == 0, 1e-4, -1e-4)
    volts = 10.0 * level + 3e-3 + 1e-5 * half
    taken = readings.delta(np.column_stack([volts, level]))
    np.testing.assert_allclose(taken.difference_v, 1e-3)
    assert len(taken.difference_v) == 10
    volts[5] = OVERFLOW
    over = readings.delta(np.column_stack([volts, level])).difference_v == OVERFLOW
    assert over.tolist() == [3 <= index <= 5 for index in range(10)]


def test_delta_readings(pair: Any) -> None:
    fixed_hall(pair, 10.0, emf_v=2e-3)
    pair.tell("source", "SOUR:CURR:RANG 2e-3", "SOUR:DELT:HIGH 1e-4;DEL 2e-3;COUN 20;ARM")
    assert pair.number("source", "SOUR:DELT:LOW?") == pytest.approx(-1e-4)
    pair.ask("source", "*OPC?")
    pair.tell("source", "INIT")
    pair.ask("source", "*OPC?")
    pairs = np.array(pair.numbers("source", "TRAC:DATA?")).reshape(-1, 2)
    assert len(pairs) == 20
    np.testing.assert_allclose(pairs[:, 0], 1e-3, atol=1e-6)
    np.testing.assert_allclose(np.diff(pairs[:, 1]), 2e-3 + 2 * LINE_S, rtol=1e-3)


def test_front_autozero_off_doubles_the_speed_of_delta(pair: Any) -> None:
    durations = []
    for state in ("ON", "OFF"):
        pair.tell("nvm", f"SYST:FAZ {state}")
        pair.tell("source", "SOUR:DELT:HIGH 1e-5;DEL 0;COUN 50;ARM")
        pair.ask("source", "*OPC?")
        begin = pair.world.now
        pair.tell("source", "INIT")
        pair.ask("source", "*OPC?")
        durations.append(pair.world.now - begin)
    assert durations[0] == pytest.approx(2 * durations[1])


def test_delta_looked_at_often_is_the_same(pair: Any) -> None:
    fixed_hall(pair, 10.0)
    pair.tell("source", "SOUR:CURR:RANG 2e-3", "SOUR:DELT:HIGH 1e-4;COUN 9;ARM")
    pair.ask("source", "*OPC?")
    pair.tell("source", "INIT")
    for _ in range(200):
        pair.wait(0.0031)
    values = np.array(pair.numbers("source", "TRAC:DATA?"))[0::2]
    np.testing.assert_allclose(values, [1e-3] * 9, atol=1e-6)


# ---- trigger link and serial relay -----------------------------------------------------------------------


def test_a_list_over_the_trigger_link_fills_the_voltmeters_buffer(pair: Any) -> None:
    fixed_hall(pair, 10.0)
    pair.tell("nvm", "TRIG:SOUR EXT;COUN 4", "TRAC:POIN 4;FEED:CONT NEXT", "INIT")
    pair.tell("source", "TRIG:SOUR TLIN;OUTP DEL", "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-4,2e-4,-1e-4,-2e-4")
    pair.tell("source", "SOUR:LIST:DEL 2e-3,2e-3,2e-3,2e-3", "SOUR:SWE:ARM")
    pair.ask("source", "*OPC?")
    begin = pair.world.now
    pair.tell("source", "INIT")
    pair.ask("source", "*OPC?")
    assert pair.world.now - begin == pytest.approx(4 * (2e-3 + 3 * LINE_S + 1.5e-3))
    np.testing.assert_allclose(pair.numbers("nvm", "TRAC:DATA?"), [1e-3, 2e-3, -1e-3, -2e-3], atol=1e-6)
    assert pair.ask("nvm", "STAT:OPER:COND?") == "1024"


@pytest.mark.parametrize("change", ["TRIG:OUTP NONE", "TRIG:OLIN 4", "TRIG:ILIN 5"])
def test_the_link_works_on_its_own_lines_only(pair: Any, change: str) -> None:
    pair.tell("nvm", "TRIG:SOUR EXT;COUN 2", "INIT")
    pair.tell("source", "TRIG:OUTP DEL", change, "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-4,2e-4;DEL 1,1")
    pair.tell("source", "SOUR:SWE:ARM", "INIT")
    pair.wait(5.0)
    assert len(pair.boxes["nvm"].readings) == 0


def test_a_voltmeter_that_does_not_listen_leaves_the_sweep_at_its_first_point(pair: Any) -> None:
    pair.tell(
        "source", "TRIG:SOUR TLIN;OUTP DEL", "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-4,2e-4;DEL 1e-3,1e-3"
    )
    pair.tell("source", "SOUR:SWE:ARM", "INIT")
    pair.wait(50.0)
    assert int(pair.ask("source", "STAT:OPER:COND?")) & 32  # waits for a trigger
    assert pair.world.source_state("source.out")[1] == pytest.approx(1e-4)


def test_triggered_at_the_start_of_a_point_the_voltmeter_reads_during_its_delay(pair: Any) -> None:
    fixed_hall(pair, 10.0)
    pair.tell("nvm", "SYST:AZER OFF;FAZ OFF", "TRIG:SOUR EXT;COUN 3", "TRAC:POIN 3;FEED:CONT NEXT", "INIT")
    pair.tell("source", "TRIG:SOUR TLIN;OUTP SOUR", "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-4,2e-4,1e-4")
    pair.tell("source", "SOUR:LIST:DEL 2e-3,0.1,2e-3", "SOUR:SWE:ARM")
    pair.ask("source", "*OPC?")
    begin = pair.world.now
    pair.tell("source", "INIT")
    pair.ask("source", "*OPC?")
    assert pair.world.now - begin == pytest.approx(0.1 + 2 * (LINE_S + 1.5e-3))


def test_a_compliance_in_mid_sweep_stays_in_the_event_register(pair: Any) -> None:
    pair.tell("source", "SOUR:CURR:COMP 0.1", "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-3,1e-6;DEL 1e-3,1e-3")
    pair.tell("source", "SOUR:SWE:ARM", "INIT")
    pair.wait(2.0)
    assert int(pair.ask("source", "STAT:MEAS?")) & 8
    assert int(pair.ask("source", "STAT:MEAS?")) & 8 == 0


def test_commands_for_the_voltmeter_go_through_the_source(pair: Any) -> None:
    pair.tell("source", 'SYST:COMM:SER:SEND "SENS:VOLT:RANG 1;NPLC 2"')
    assert pair.ask("nvm", "SENS:VOLT:RANG?;NPLC?") == "+1.00000000E+00;+2.00000000E+00"
    pair.tell("source", "SYST:COMM:SER:SEND '*IDN?'")
    assert pair.ask("source", "SYST:COMM:SER:ENT?") == ""
    pair.wait(0.08)
    assert pair.ask("source", "SYST:COMM:SER:ENT?") == pair.ask("nvm", "*IDN?")
    pair.tell("source", "SYST:COMM:SER:SEND '*XYZ?'")
    assert pair.errors("nvm") == [-113] and pair.errors("source") == []


def test_without_a_cable_the_relay_is_silent(make_boxes: Callable[..., Any]) -> None:
    boxes = make_boxes(leave_out="source.rs232")
    boxes.tell("source", "SYST:COMM:SER:SEND '*RST;SENS:VOLT:NPLC 2'")
    boxes.wait(1.0)
    assert boxes.ask("source", "SYST:COMM:SER:ENT?") == ""
    assert boxes.numbers("nvm", "SENS:VOLT:NPLC?") == [5.0]


def test_the_running_average(pair: Any) -> None:
    fixed_hall(pair, 0.0)
    plain_noise = run(pair, [READ_A] * 400).std()
    smooth = run(pair, [READ_A] * 400, extra="SENS:AVER:COUN 100;:SENS:AVER ON")
    assert smooth[100:].std() < 0.4 * plain_noise
