"""The current source alone: levels, ranges, lists, staircases, waves, status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sim_instruments.instruments.keithley6221_programmes import (
    RANGES_A,
    contiguous,
    quantised,
    range_index,
    ranged,
    staircase,
    wave_cycle,
)
from sim_instruments.world import plain

R_OHM = 8000.0


@pytest.fixture
def source(boxes: Any) -> Any:
    """The bench with the bar connected; `trains` collects what the source plays."""
    boxes.trains = []
    play = boxes.world.play

    def record(terminal: str, train: Any) -> Any:
        boxes.trains.append(train)
        return play(terminal, train)

    boxes.world.play = record
    return boxes


def played(boxes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(level, start, width) of everything that was played."""
    columns = [
        np.concatenate([getattr(train, name) for train in boxes.trains])
        for name in ("level_a", "start_s", "width_s")
    ]
    return columns[0], columns[1], columns[2]


def state(boxes: Any) -> Any:
    """All settings of the source."""
    return plain.to_bytes(boxes.boxes["source"].snapshot()["values"])


# ---- direct current ---------------------------------------------------------------------------------


def test_identity_keeps_its_blanks(source: Any) -> None:
    assert source.ask("source", "*IDN?") == "KEITHLEY INSTRUMENTS INC.,MODEL 6221,4559777,D04  /700x "
    assert source.boxes["source"].link.terminator == b"\n"


def test_power_on_and_reset_state(source: Any) -> None:
    expected = "0.000000E+00;1.000000E+01;1.000000E-01;0;0"
    question = "SOUR:CURR?;:SOUR:CURR:COMP?;RANG?;RANG:AUTO?;:OUTP?"
    assert source.ask("source", question) == expected
    source.tell("source", "SOUR:CURR 1e-4;:SOUR:CURR:COMP 5;:OUTP ON", "*RST")
    assert source.ask("source", question) == expected


def test_a_direct_current_flows_when_the_output_is_on(source: Any) -> None:
    source.tell("source", "SOUR:CURR:RANG 2e-4;COMP 20;:SOUR:CURR 1e-4")
    assert source.world.source_state("source.out")[1] == 0.0
    source.tell("source", "OUTP ON")
    volt, ampere, limited = source.world.source_state("source.out")
    assert ampere == pytest.approx(1e-4) and not limited
    assert volt == pytest.approx(1e-4 * R_OHM, rel=0.2)
    source.tell("source", "SOUR:CLE")
    assert source.world.source_state("source.out")[1] == 0.0
    assert source.ask("source", "OUTP?;:SOUR:CURR?") == "0;0.000000E+00"


def test_compliance_limits_and_shows(source: Any) -> None:
    source.tell("source", "SOUR:CURR:RANG 2e-3;COMP 0.5;:SOUR:CURR 2e-4;:OUTP ON")
    volt, ampere, limited = source.world.source_state("source.out")
    assert limited and volt == pytest.approx(0.5)
    assert 0 < ampere < 2e-4
    assert source.ask("source", "STAT:MEAS:COND?;:STAT:MEAS?") == "8;8"
    source.tell("source", "SOUR:CURR:COMP 20")
    assert source.ask("source", "STAT:MEAS:COND?") == "0"


@pytest.mark.parametrize(
    ("asked", "flows"),
    [(123.4567e-6, 123.46e-6), (-123.4567e-6, -123.46e-6), (1.5e-9, 0.0), (2.099e-4, 2.099e-4)],
)
def test_levels_are_quantised_by_the_range(source: Any, asked: float, flows: float) -> None:
    source.tell("source", f"SOUR:CURR:RANG 2e-4;COMP 50;:SOUR:CURR {asked};:OUTP ON")
    assert source.number("source", "SOUR:CURR?") == pytest.approx(asked)
    assert source.world.source_state("source.out")[1] == pytest.approx(flows, abs=1e-15)


def test_autorange_follows_the_level(source: Any) -> None:
    source.tell("source", "SOUR:CURR:RANG:AUTO ON;:SOUR:CURR 3e-3")
    assert source.number("source", "SOUR:CURR:RANG?") == 20e-3
    source.tell("source", "SOUR:CURR 1.2345e-6")
    assert source.number("source", "SOUR:CURR:RANG?") == 2e-6
    source.tell("source", "OUTP ON")
    assert source.world.source_state("source.out")[1] == pytest.approx(1.2345e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("SOUR:CURR 0.106", -222),
        ("SOUR:CURR:COMP 0.05", -222),
        ("SOUR:CURR:COMP 106", -222),
        ("SOUR:DEL 1e-4", -222),
        ("SOUR:CURR:RANG 2e-6;:SOUR:CURR 3e-6", -222),
        ("SOUR:PDEL:WIDT 500e-9", -222),
        ("SOUR:PDEL:SDEL 1e-6", -222),
        ("SOUR:PDEL:INT 4", -222),
        ("SOUR:WAVE:FREQ 2e5", -222),
        ("SOUR:WAVE:AMPL -1e-3", -222),
        ("TRAC:POIN 65537", -222),
        ("SOUR:PULS:WIDT 1e-3", -113),
        ("OUTP:PROT:CLE", -113),
        ("SOUR:PDEL:STAT ON", -113),
        ("SOUR:WAVE:STAT ON", -113),
        ("MEAS:VOLT?", -113),
        ("ESE 1", -113),
        ("OUTP MAYBE", -104),
        ("SOUR:CURR 1,2", -108),
        ("SOUR:CURR", -109),
        ("SOUR:CURR 1 mA", -138),
        ("SOUR:SWE:RANG WIDE", -224),
        ("INIT", -221),
        ("SOUR:WAVE:INIT", -221),
        ("TRAC:DATA?", -230),
    ],
)
def test_refused_commands_leave_everything_as_it_was(source: Any, message: str, code: int) -> None:
    if ";:" in message:
        first, message = message.split(";:")
        source.tell("source", first)
    before = state(source)
    source.tell("source", message)
    assert source.errors("source") == [code]
    assert state(source) == before
    assert source.trains == []


def test_a_range_below_the_present_level_is_a_conflict(source: Any) -> None:
    source.tell("source", "SOUR:CURR 1e-3;:SOUR:CURR:RANG 2e-5")
    assert source.errors("source") == [-221]
    assert source.number("source", "SOUR:CURR:RANG?") == 0.1


def test_settings_of_output_and_trigger_return(source: Any) -> None:
    source.tell("source", "OUTP:LTE ON;ISH GUAR;RESP SLOW", "ARM:SOUR TIM;TIM 2;OUTP TENT", "TRIG:DIR SOUR")
    assert (
        source.ask("source", "OUTP:LTE?;ISH?;RESP?;:ARM:SOUR?;OUTP?;:TRIG:DIR?")
        == "1;GUAR;SLOW;TIM;TENT;SOUR"
    )


def test_trigger_lines_exclude_each_other(source: Any) -> None:
    source.tell("source", "TRIG:ILIN 2", "SOUR:WAVE:PMAR:OLIN 2", "ARM:OLIN 1")
    assert source.errors("source") == [-221, -221, -221]
    assert source.ask("source", "TRIG:ILIN?;OLIN?;:SOUR:WAVE:PMAR:OLIN?;:ARM:OLIN?") == "1;2;3;2"
    source.tell("source", "TRIG:OLIN 4;ILIN 2")
    assert source.errors("source") == []


# ---- lists and staircases ------------------------------------------------------------------------------


def test_lists_grow_by_a_hundred(source: Any) -> None:
    source.tell("source", "SOUR:LIST:CURR " + ",".join(["1e-4"] * 100))
    source.tell("source", "SOUR:LIST:CURR:APP " + ",".join(["2e-4"] * 50))
    assert source.ask("source", "SOUR:LIST:CURR:POIN?") == "150"
    source.tell(
        "source",
        "SOUR:LIST:CURR " + ",".join(["1e-4"] * 101),
        "SOUR:LIST:CURR 1e-4,0.2",
        "SOUR:LIST:CURR:APP x",
    )
    assert source.errors("source") == [-223, -222, -104]
    values = source.numbers("source", "SOUR:LIST:CURR?")
    assert values == [1e-4] * 100 + [2e-4] * 50
    source.tell("source", "SOUR:LIST:DEL 1e-3,2;:SOUR:LIST:COMP 1,2,3")
    assert source.ask("source", "SOUR:LIST:DEL:POIN?;:SOUR:LIST:COMP:POIN?") == "2;3"
    source.tell("source", "SOUR:LIST:DEL 1e-4", "SOUR:LIST:COMP 106")
    assert source.errors("source") == [-222, -222]


def test_a_list_has_an_end(source: Any) -> None:
    source.boxes["source"].lists["CURR"] = np.zeros(65_535)
    source.tell("source", "SOUR:LIST:CURR:APP 1e-4")
    assert source.errors("source") == [-223]
    assert source.ask("source", "SOUR:LIST:CURR:POIN?") == "65535"


def sweep(boxes: Any, levels: str, ranging: str, extra: str = "") -> None:
    boxes.tell("source", f"SOUR:SWE:SPAC LIST;RANG {ranging};:SOUR:LIST:CURR {levels}", "SOUR:CURR:COMP 100")
    boxes.tell("source", f"SOUR:LIST:DEL {','.join(['1e-3'] * len(levels.split(',')))}")
    if extra:
        boxes.tell("source", extra)
    boxes.tell("source", "SOUR:SWE:ARM", "INIT")
    boxes.wait(10.0)


def test_a_fixed_range_clips_silently(source: Any) -> None:
    source.tell("source", "SOUR:CURR:RANG 2e-3")
    sweep(source, "1e-3,2e-3,3e-3,4e-3,-5e-3", "FIX")
    level, start, width = played(source)
    np.testing.assert_allclose(level, [1e-3, 2e-3, 2.1e-3, 2.1e-3, -2.1e-3])
    np.testing.assert_allclose(width, 1e-3)
    np.testing.assert_allclose(np.diff(start), 1e-3)
    assert source.errors("source") == []


def test_best_takes_one_range_for_all(source: Any) -> None:
    sweep(source, "1.23456e-3,12.3456e-6", "BEST")
    np.testing.assert_allclose(played(source)[0], [1.2346e-3, 12.3e-6], rtol=1e-9)


def test_auto_goes_to_zero_at_every_change_of_range(source: Any) -> None:
    sweep(source, "1e-3,1.23456e-5,1.2e-5,1e-3", "AUTO")
    level, start, width = played(source)
    np.testing.assert_allclose(level, [1e-3, 1.2346e-5, 1.2e-5, 1e-3], rtol=1e-9)
    gaps = start[1:] - (start + width)[:-1]
    np.testing.assert_allclose(gaps, [0.2e-3, 0, 0.2e-3], atol=1e-9)
    assert source.trains[0].base_a == 0.0


def test_a_sweep_repeats_and_ends_armed_at_zero(source: Any) -> None:
    sweep(source, "1e-4,2e-4", "BEST", "SOUR:SWE:COUN 3")
    np.testing.assert_allclose(played(source)[0], [1e-4, 2e-4] * 3)
    assert source.ask("source", "SOUR:SWE:ARM?;:OUTP?;:STAT:OPER:COND?") == "1;1;1024"
    assert int(source.ask("source", "STAT:OPER?")) & 2
    assert source.world.source_state("source.out")[1] == 0.0


def test_a_short_delay_list_is_filled_up_with_the_source_delay(source: Any) -> None:
    source.tell("source", "SOUR:DEL 0.5", "SOUR:SWE:SPAC LIST", "SOUR:LIST:CURR 1e-4,1e-4,1e-4;DEL 0.1")
    source.tell("source", "SOUR:SWE:ARM", "INIT")
    source.wait(10)
    np.testing.assert_allclose(played(source)[2], [0.1, 0.5, 0.5])


def test_staircases() -> None:
    np.testing.assert_allclose(staircase("LIN", 0, 1e-3, 5), [0, 0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    np.testing.assert_allclose(staircase("LOG", -1e-6, -1e-4, 3), [-1e-6, -1e-5, -1e-4])


def test_a_staircase_sweep_and_its_coupled_settings(source: Any) -> None:
    source.tell(
        "source", "SOUR:CURR:STAR 0;STOP 1e-4;STEP 2.5e-5", "SOUR:DEL 1e-3", "SOUR:SWE:SPAC LIN;ARM", "INIT"
    )
    assert source.ask("source", "SOUR:SWE:POIN?") == "5"
    source.wait(1.0)
    np.testing.assert_allclose(played(source)[0], np.linspace(0, 1e-4, 5), atol=1e-12)
    source.tell("source", "SOUR:SWE:ABOR", "SOUR:CURR:CENT 1e-4", "SOUR:CURR:SPAN 1e-4")
    assert source.numbers("source", "SOUR:CURR:STAR?")[0] == pytest.approx(0.5e-4)
    assert source.numbers("source", "SOUR:CURR:STOP?")[0] == pytest.approx(1.5e-4)
    source.tell("source", "SOUR:CURR:STAR 0", "SOUR:SWE:SPAC LOG;ARM")
    assert source.errors("source") == [-221]


def test_a_sweep_looked_at_in_the_middle_plays_the_same(source: Any, make_boxes: Callable[..., Any]) -> None:
    source.tell(
        "source", "SOUR:CURR:COMP 50", "SOUR:SWE:SPAC LIST", "SOUR:LIST:CURR 1e-4,-1e-4,2e-4;DEL 1,2,3"
    )
    source.tell("source", "SOUR:SWE:ARM", "INIT")
    start = source.boxes["source"].programme.start_s
    for time_s in (0.3, 0.9, 1.5, 2.9, 3.0, 5.0, 6.5):
        source.world.advance(start + time_s)
        here = source.world.source_state("source.out")[1]
        expected = 1e-4 if time_s < 1 else -1e-4 if time_s < 3 else 2e-4 if time_s < 6 else 0.0
        assert here == pytest.approx(expected)
    level, begin, width = played(source)
    total = [width[np.isclose(level, value)].sum() for value in (1e-4, -1e-4, 2e-4)]
    np.testing.assert_allclose(total, [1, 2, 3])
    np.testing.assert_allclose(begin[1:], (begin + width)[:-1])


def test_abort_plays_what_has_passed_and_switches_off(source: Any) -> None:
    source.tell("source", "SOUR:CURR:COMP 50", "SOUR:SWE:SPAC LIST", "SOUR:LIST:CURR 1e-4,2e-4;DEL 1,1")
    source.tell("source", "SOUR:SWE:ARM", "INIT")
    source.wait(0.3 + 1.25)
    source.tell("source", "SOUR:SWE:ABOR")
    level, _, width = played(source)
    assert width[np.isclose(level, 2e-4)].sum() == pytest.approx(0.25)
    assert source.ask("source", "OUTP?;:SOUR:SWE:ARM?;:STAT:OPER:COND?") == "0;0;1024"
    assert int(source.ask("source", "STAT:OPER?")) & 4
    assert source.world.source_state("source.out")[1] == 0.0
    count = len(source.trains)
    source.wait(5.0)
    assert len(source.trains) == count


@pytest.mark.parametrize("stop", ["OUTP OFF", "SOUR:CLE", "*RST", "ABOR", "SOUR:SWE:ABOR"])
def test_everything_that_stops_a_sweep(source: Any, stop: str) -> None:
    sweep(source, "1e-4,1e-4", "BEST", "SOUR:SWE:COUN INF")
    source.tell("source", stop)
    count = len(source.trains)
    source.wait(1.0)
    assert len(source.trains) == count
    assert source.world.source_state("source.out")[1] == 0.0
    assert source.ask("source", "OUTP?") == "0"


def test_the_source_goes_on_without_its_link(source: Any) -> None:
    sweep(source, "1e-4,1e-4", "BEST", "SOUR:SWE:COUN INF")
    source.boxes["source"].device_clear()
    before = len(played(source)[0])
    source.wait(1.0)
    assert len(played(source)[0]) >= before + 999


def test_compliance_abort(source: Any) -> None:
    levels = ",".join(["1e-5"] * 20 + ["1e-3"] + ["1e-5"] * 60)
    source.tell("source", "SOUR:SWE:CAB ON")
    source.tell(
        "source",
        f"SOUR:SWE:SPAC LIST;RANG BEST;:SOUR:LIST:CURR {levels}",
        "SOUR:CURR:COMP 2",
        "SOUR:DEL 1e-3",
    )
    source.tell("source", "SOUR:LIST:DEL 1e-3;:SOUR:SWE:ARM", "INIT")
    source.wait(10.0)
    assert 21 <= len(played(source)[0]) <= 21 + 16
    assert int(source.ask("source", "STAT:OPER?")) & 4
    assert source.ask("source", "SOUR:SWE:ARM?") == "0"


def test_bus_arming(source: Any) -> None:
    source.tell(
        "source", "ARM:SOUR BUS", "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-4;DEL 1e-3", "SOUR:SWE:ARM", "INIT"
    )
    source.wait(5.0)
    assert source.trains == [] and source.ask("source", "STAT:OPER:COND?") == "64"
    source.tell("source", "INIT", "SOUR:CURR 1e-4")
    assert source.errors("source") == [-213, -221]
    source.tell("source", "*TRG")
    source.wait(1.0)
    assert len(source.trains) == 1
    source.tell("source", "*TRG")
    assert source.errors("source") == [-211]


def test_a_sweep_without_a_trigger_partner_waits(source: Any) -> None:
    source.tell(
        "source",
        "TRIG:SOUR TLIN",
        "SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 1e-4,2e-4;DEL 1e-3,1e-3",
        "SOUR:CURR:COMP 50",
    )
    source.tell("source", "SOUR:SWE:ARM", "INIT")
    source.wait(100.0)
    assert source.world.source_state("source.out")[1] == pytest.approx(1e-4)
    assert int(source.ask("source", "STAT:OPER:COND?")) & 32
    source.tell("source", "SOUR:SWE:ABOR")
    assert set(played(source)[0]) == {1e-4}


def test_operation_complete_waits_for_the_sweep(source: Any) -> None:
    source.tell(
        "source", "SOUR:SWE:SPAC LIST;COUN 2;:SOUR:LIST:CURR 1e-4,2e-4;DEL 1,1", "SOUR:SWE:ARM", "INIT;*OPC"
    )
    begin = source.boxes["source"].programme.start_s
    assert int(source.ask("source", "*ESR?")) & 1 == 0
    source.ask("source", "*OPC?")
    assert source.world.now == pytest.approx(begin + 4)
    assert int(source.ask("source", "*ESR?")) & 1 == 1


# ---- waves ------------------------------------------------------------------------------------------------


def one_pulse(boxes: Any, amplitude_a: float, width_s: float) -> None:
    boxes.tell(
        "source",
        f"SOUR:WAVE:FUNC SQU;AMPL {abs(amplitude_a) / 2};OFFS {amplitude_a / 2};DCYC 50;"
        f"FREQ {1 / (2 * width_s)};DUR:CYCL 1",
    )


def test_half_a_square_cycle_is_a_pulse(source: Any) -> None:
    one_pulse(source, 1e-3, 1e-3)
    source.tell("source", "SOUR:CURR:COMP 50;:OUTP ON;:SOUR:WAVE:ARM;INIT")
    begin = source.boxes["source"].programme.start_s
    source.world.advance(begin + 1.5e-3)
    assert source.ask("source", "STAT:OPER:COND?") == "16"
    assert source.ask("source", "OUTP?") == "1"
    source.world.advance(begin + 2.001e-3)
    assert source.ask("source", "OUTP?;:STAT:OPER:COND?") == "0;1024"
    level, start, width = played(source)
    np.testing.assert_allclose([level.sum(), start[0], width.sum()], [1e-3, begin, 1e-3])


def test_a_negative_pulse_comes_one_width_later(source: Any) -> None:
    one_pulse(source, -1e-3, 1e-3)
    source.tell("source", "SOUR:CURR:COMP 50;:SOUR:WAVE:ARM;INIT")
    begin = source.boxes["source"].programme.start_s
    source.wait(1.0)
    level, start, width = played(source)
    np.testing.assert_allclose([level[0], start[0] - begin, width[0]], [-1e-3, 1e-3, 1e-3])


def test_what_is_written_after_arming_counts_at_the_next(source: Any) -> None:
    one_pulse(source, 1e-3, 1e-3)
    source.tell(
        "source",
        "SOUR:CURR:COMP 50;:SOUR:WAVE:ARM",
        "SOUR:WAVE:AMPL 1e-4;OFFS 1e-4;FREQ 1000",
        "SOUR:WAVE:INIT",
    )
    source.wait(1.0)
    level, _, width = played(source)
    assert level.max() == pytest.approx(1e-3) and width.sum() == pytest.approx(1e-3)
    source.trains.clear()
    source.tell("source", "SOUR:WAVE:ARM", "SOUR:WAVE:INIT")
    source.wait(1.0)
    level, _, width = played(source)
    assert level.max() == pytest.approx(2e-4) and width.sum() == pytest.approx(0.5e-3)


def test_arming_one_mode_unarms_the_others_and_zeroes_the_source(source: Any) -> None:
    question = "SOUR:SWE:ARM?;:SOUR:WAVE:ARM?;:SOUR:DELT:ARM?;:SOUR:PDEL:ARM?"
    source.tell("source", "SOUR:CURR:COMP 50;:SOUR:CURR 1e-4;:OUTP ON")
    for place, mode in enumerate(("SWE", "WAVE", "DELT", "PDEL")):
        source.tell("source", f"SOUR:{mode}:ARM")
        assert source.world.source_state("source.out")[1] == 0.0
        armed = source.ask("source", question).split(";")
        assert armed == ["1" if index == place else "0" for index in range(4)]


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        ("SOUR:WAVE:AMPL 0.1;OFFS 0.01;RANG BEST", -221),
        ("SOUR:CURR:RANG 2e-3;:SOUR:WAVE:AMPL 2e-3;OFFS 0.2e-3;RANG FIX", -221),
    ],
)
def test_errors_of_a_wave_are_found_when_it_is_armed(source: Any, setup: str, code: int) -> None:
    source.tell("source", setup)
    assert source.errors("source") == []
    source.tell("source", "SOUR:WAVE:ARM")
    assert source.errors("source") == [code]
    assert source.ask("source", "SOUR:WAVE:ARM?") == "0"


def test_duration_by_cycles_and_by_time(source: Any) -> None:
    source.tell("source", "SOUR:WAVE:FREQ 100;DUR:CYCL 5")
    assert source.number("source", "SOUR:WAVE:DUR:TIME?") == pytest.approx(0.05)
    source.tell("source", "SOUR:WAVE:DUR:TIME 0.2")
    assert source.number("source", "SOUR:WAVE:DUR:CYCL?") == pytest.approx(20)
    source.tell("source", "SOUR:WAVE:DUR:TIME INF")
    assert source.number("source", "SOUR:WAVE:DUR:TIME?") == pytest.approx(9.9e37)


def test_a_sine_has_its_mean_square_and_stops_at_once(source: Any) -> None:
    source.tell(
        "source",
        "SOUR:CURR:COMP 50",
        "SOUR:WAVE:FUNC SIN;FREQ 100;AMPL 1e-3;OFFS 0;DUR:TIME INF;:SOUR:WAVE:ARM;INIT",
    )
    begin = source.boxes["source"].programme.start_s
    source.world.advance(begin + 0.1)
    level, _, width = played(source)
    assert width.sum() == pytest.approx(0.1)
    assert (level**2 * width).sum() / 0.1 == pytest.approx(0.5e-6, rel=0.01)
    source.world.advance(begin + 0.12345)
    source.tell("source", "SOUR:WAVE:ABOR")
    assert played(source)[2].sum() == pytest.approx(0.12345)
    assert source.ask("source", "OUTP?") == "0"


def test_a_wave_that_is_cut_by_its_duration(source: Any) -> None:
    source.tell(
        "source",
        "SOUR:CURR:COMP 50",
        "SOUR:WAVE:FUNC SQU;FREQ 10;AMPL 1e-4;OFFS 0;DCYC 30;DUR:TIME 0.215;:SOUR:WAVE:ARM;INIT",
    )
    source.wait(1.0)
    level, _, width = played(source)
    assert width[level > 0].sum() == pytest.approx(2 * 0.03 + 0.015)
    assert width[level < 0].sum() == pytest.approx(2 * 0.07)


def test_arbitrary_waves(source: Any) -> None:
    source.tell("source", "SOUR:WAVE:ARB:DATA 0, 0.5, 1", "SOUR:WAVE:ARB:APP -1", "SOUR:WAVE:ARB:COPY 2")
    source.tell("source", "SOUR:WAVE:ARB:DATA 2")
    assert source.errors("source") == [-222]
    assert source.ask("source", "SOUR:WAVE:ARB:POIN?") == "4"
    source.tell(
        "source",
        "SOUR:CURR:COMP 50",
        "SOUR:WAVE:FUNC ARB2;FREQ 100;AMPL 1e-3;OFFS 0;DUR:CYCL 1;:SOUR:WAVE:ARM;INIT",
    )
    source.wait(1.0)
    level, _, width = played(source)
    np.testing.assert_allclose(level, [0.5e-3, 1e-3, -1e-3])  # where nothing is sourced nothing is played
    np.testing.assert_allclose(width, 2.5e-3)


def test_wave_shapes() -> None:
    levels, shares = wave_cycle("RAMP", 1.0, 0.0, 0.5, np.empty(0))
    assert levels.max() == pytest.approx(1, abs=0.1) and levels.min() == pytest.approx(-1, abs=0.1)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(levels.mean(), 0, atol=1e-6)
    levels, shares = wave_cycle("SQU", 1.0, 0.5, 1.0, np.empty(0))
    assert levels.tolist() == [1.5] and shares.tolist() == [1.0]


# ---- ranges and times as arithmetic -----------------------------------------------------------------------


def test_ranges_hold_five_percent_more() -> None:
    for place, full in enumerate(RANGES_A[:-1]):
        assert range_index(1.05 * full) == place
        assert range_index(1.0501 * full) == place + 1
    assert quantised(np.array([0.2]), 8) == pytest.approx(0.105)
    levels, ranges = ranged(np.array([1e-3, 1e-6]), "AUTO", 0.1)
    assert ranges.tolist() == [2e-3, 2e-6] and levels.tolist() == [1e-3, 1e-6]


def test_points_are_counted_by_time_whenever_one_looks() -> None:
    hold_s = np.array([0.1, 0.2, 0.3])
    programme = contiguous("SWE", np.ones(3), hold_s, None, passes=1000.0, limit_v=1.0)
    programme.start_s = 5.0
    ends = 5.0 + (np.arange(1000)[:, None] * 0.6 + np.cumsum(hold_s)).ravel()
    for index in (0, 1, 2, 3, 700, 1501, 2999):
        assert programme.count_done(ends[index] + 1e-9) == index + 1
        assert programme.count_done(ends[index] - 1e-6) == index
    assert programme.count_done(1e9) == 3000
    assert programme.end_s == pytest.approx(605.0)
