"""The simulated 2400: source, meter, lists, arm-trigger model, both memories, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

LINE_OHM = 8000.0
FOUR_WIRE = (
    "SOUR:FUNC CURR",
    "SENS:FUNC:CONC OFF",
    "SENS:FUNC 'VOLT'",
    "SENS:VOLT:PROT 20",
    "SENS:VOLT:RANG 0.2",
    "SENS:VOLT:NPLC 0.01",
    "SYST:AZER OFF",
    "SYST:RSEN ON",
    "FORM:ELEM VOLT,TIME,STAT",
)


def test_identity_and_an_empty_queue_of_ten(smu2400: Any) -> None:
    assert smu2400.ask("*IDN?") == (
        "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C32   Oct  4 2010 14:20:11/A02  /S/K"
    )
    assert smu2400.ask("SYST:ERR?") == '0,"No error"'
    smu2400.tell(*["SOUR:NONSENSE 1"] * 15)
    assert smu2400.errors() == [-113] * 9 + [-350]


def test_vendor_examples_run_as_written(smu2400: Any) -> None:
    """The lines of bench.md 2.3."""
    smu2400.tell(
        "SOUR:FUNC VOLT", "SOUR:FUNC CURR", "SOUR:CURR 1e-4", "SOUR:CURR:RANG 1e-3", "SOUR:CURR:RANG:AUTO ON",
        "SOUR:CURR:MODE LIST", "SOUR:LIST:CURR 1e-4,2e-4", "SOUR:LIST:CURR:APP 3e-4",
        "SOUR:LIST:CURR:STAR 1", "SOUR:SWE:SPAC LIN", "SOUR:SWE:POIN 2500", "SOUR:SWE:DIR UP",
        "SOUR:SWE:RANG BEST", "SOUR:SWE:CAB NEV",
        "SOUR:DEL 9999.998", "SOUR:DEL:AUTO ON", "SOUR:CLE", "SOUR:CLE:AUTO OFF", "SOUR:MEM:SAVE 1",
        "SOUR:MEM:REC 1", "SOUR:MEM:STAR 1", "SOUR:MEM:POIN 1", "SENS:FUNC 'VOLT'", "SENS:FUNC 'CURR'",
        "SENS:FUNC 'RES'", "SENS:FUNC:CONC ON", "SENS:VOLT:PROT 20", "SENS:VOLT:RANG 2",
        "SENS:VOLT:RANG:AUTO ON", "SENS:VOLT:NPLC 0.01", "SENS:AVER OFF",
        "FORM:ELEM VOLT,CURR,RES,TIME,STAT", "FORM:DATA ASC",
        "FORM:DATA REAL,32", "FORM:DATA SRE", "FORM:BORD SWAP", "FORM:DATA ASC", "TRIG:COUN 3", "ARM:COUN 1",
        "TRIG:DEL 0", "TRIG:SOUR IMM", "TRIG:ILIN 1", "TRIG:OLIN 2", "TRIG:OUTP SOUR", "TRAC:POIN 2500",
        "TRAC:FEED SENS", "TRAC:FEED:CONT NEXT", "TRAC:FEED:CONT NEV", "TRAC:CLE", "TRAC:TST:FORM ABS",
        "OUTP:SMOD HIMP", "OUTP:ENAB OFF", "SYST:RSEN ON", "SYST:AZER:STAT ONCE", "SYST:LFR 50",
        "ROUT:TERM REAR", "DISP:ENAB OFF", "OUTP ON", "INIT",
    )  # fmt: skip
    assert smu2400.errors() == []
    for query in (
        "SENS:VOLT:PROT:TRIP?",
        "OUTP:ENAB:TRIP?",
        "TRAC:POIN:ACT?",
        "SOUR:LIST:CURR:POIN?",
        "FETC?",
        "READ?",
    ):
        smu2400.ask("*OPC?")
        smu2400.ask(query)
    smu2400.tell("ABOR", "OUTP OFF")
    assert smu2400.errors() == []


def test_all_five_elements_and_the_status_word(smu2400: Any) -> None:
    smu2400.tell("SOUR:FUNC CURR", "SENS:VOLT:PROT 20", "SOUR:CURR 1e-4", "OUTP ON")
    volts, amps, ohms, time_s, status = smu2400.numbers("READ?")
    assert (volts, ohms) == (9.91e37, 9.91e37), "only the current is measured after *RST"
    smu2400.tell("SENS:FUNC 'VOLT','RES'")
    volts, amps, ohms, later_s, status = smu2400.numbers("READ?")
    assert volts == pytest.approx(1e-4 * LINE_OHM, rel=0.05)
    assert ohms == pytest.approx(volts / amps, rel=1e-2)
    assert later_s > time_s
    assert int(status) & 8 == 0
    assert int(status) & (1 << 11 | 1 << 12 | 1 << 13 | 1 << 15) == 1 << 11 | 1 << 12 | 1 << 13 | 1 << 15
    smu2400.tell("SENS:VOLT:PROT 0.5")
    volts, *_, status = smu2400.numbers("READ?")
    assert volts == pytest.approx(0.5, rel=1e-3)
    assert int(status) & 8, "bit 3 is the compliance"
    assert smu2400.ask("SENS:VOLT:PROT:TRIP?") == "1"


def test_a_reading_needs_the_output(smu2400: Any) -> None:
    for message in ("READ?", "INIT"):
        smu2400.tell(message)
    smu2400.tell("FETC?", "TRAC:DATA?")
    assert smu2400.errors() == [803, 803, -230, -230]
    smu2400.tell("SOUR:CLE:AUTO ON")
    smu2400.ask("READ?")
    assert smu2400.ask("OUTP?") == "0"
    smu2400.tell("OUTP:ENAB ON", "OUTP ON")
    assert smu2400.errors() == [802]
    assert smu2400.ask("OUTP?") == "0"


def test_the_trace_survives_a_reset_and_refuses_changes_while_it_stores(smu2400: Any) -> None:
    smu2400.tell("TRAC:POIN 5", "TRAC:FEED:CONT NEXT", "TRAC:POIN 7", "TRIG:COUN 5", "OUTP ON", "INIT")
    assert smu2400.errors() == [800]
    smu2400.ask("*OPC?")
    assert smu2400.ask("TRAC:POIN:ACT?;:TRAC:FEED:CONT?") == "5;NEV"
    before = smu2400.ask("TRAC:DATA?")
    smu2400.tell("*RST")
    assert smu2400.ask("TRAC:POIN?;:TRIG:COUN?") == "5;1"
    assert smu2400.ask("TRAC:DATA?") == before
    smu2400.box.power_cycle()
    smu2400.tell("TRAC:DATA?")
    assert smu2400.errors() == [-230]


def test_read_has_a_memory_of_its_own(smu2400: Any) -> None:
    smu2400.tell("TRIG:COUN 50", "ARM:COUN 50", "FORM:ELEM CURR", "SENS:CURR:NPLC 0.01", "OUTP ON")
    assert len(smu2400.numbers("READ?")) == 2500
    assert smu2400.ask("TRAC:POIN:ACT?") == "0"
    smu2400.tell("ARM:COUN 51")
    assert smu2400.errors() == [-221]


def test_a_list_needs_as_many_triggers_and_takes_its_time(smu2400: Any) -> None:
    smu2400.tell(
        *FOUR_WIRE, "SOUR:CURR:MODE LIST", "SOUR:DEL 0.001", "SOUR:LIST:CURR -0.9e-3,0,1e-4,0,0.9e-3,0,1e-4"
    )
    smu2400.tell("OUTP ON", "TRIG:COUN 6", "INIT")
    assert smu2400.errors() == [-221]
    smu2400.tell("TRIG:COUN 7", "TRAC:POIN 7", "TRAC:FEED:CONT NEXT", "INIT")
    smu2400.ask("*OPC?")
    table = np.array(smu2400.numbers("TRAC:DATA?")).reshape(7, 3)
    assert np.diff(table[:, 1]) == pytest.approx(1e-3 + 0.2e-3 + 0.48e-3, abs=2e-6)
    assert (table[6, 0] - table[2, 0]) / 1e-4 == pytest.approx(1.0, abs=0.9), "the write has switched it"
    assert smu2400.world.source_state("smu.force")[1] == pytest.approx(1e-4), "it stays at the last level"
    smu2400.tell("FORM:DATA REAL,32", "FORM:BORD SWAP")
    data = smu2400.ask_bytes("TRAC:DATA?")
    assert data[:2] == b"#0"
    assert np.frombuffer(data[2:], "<f4").reshape(7, 3) == pytest.approx(table, rel=1e-6)
    smu2400.tell("FORM:BORD NORM")
    assert np.frombuffer(smu2400.ask_bytes("TRAC:DATA?")[2:], ">f4").reshape(7, 3) == pytest.approx(
        table, rel=1e-6
    )
    assert smu2400.errors() == []


def test_no_list_is_longer_than_2500_and_no_command_than_100(smu2400: Any) -> None:
    smu2400.tell("SOUR:LIST:CURR " + ",".join(["0"] * 101))
    assert smu2400.errors() == [-223]
    for number in range(25):
        smu2400.tell(f"SOUR:LIST:CURR{':APP' if number else ''} " + ",".join(["0"] * 100))
    smu2400.tell("SOUR:LIST:CURR:APP 0")
    assert smu2400.errors() == [-223]
    assert smu2400.ask("SOUR:LIST:CURR:POIN?") == "2500"


def test_a_list_stays_on_the_best_range_or_is_clipped_on_a_fixed_one(smu2400: Any) -> None:
    smu2400.tell("SOUR:FUNC CURR", "SENS:VOLT:PROT 20", "SOUR:CURR:RANG 1e-4", "SOUR:CURR:MODE LIST")
    smu2400.tell("SOUR:LIST:CURR 1e-3,5e-4", "TRIG:COUN 2", "FORM:ELEM CURR", "OUTP ON")
    assert smu2400.numbers("READ?") == pytest.approx([1e-3, 5e-4], rel=1e-3)
    smu2400.tell("SOUR:SWE:RANG FIX")
    assert smu2400.numbers("READ?") == pytest.approx([1.05e-4, 1.05e-4], rel=1e-3)


def test_staircase_memory_sweep_and_the_last_level(smu2400: Any) -> None:
    smu2400.tell("SOUR:FUNC CURR", "SENS:VOLT:PROT 20", "SOUR:CURR:MODE SWE", "SOUR:CURR:STAR 0")
    smu2400.tell("SOUR:CURR:STOP 1e-4", "SOUR:CURR:STEP 2.5e-5", "TRIG:COUN 5", "FORM:ELEM CURR", "OUTP ON")
    assert smu2400.ask("SOUR:SWE:POIN?") == "5"
    assert smu2400.numbers("READ?") == pytest.approx(np.linspace(0, 1e-4, 5), abs=1e-8)
    smu2400.tell("SOUR:CURR:MODE FIX")
    for place, level in enumerate((1e-4, -1e-4), start=1):
        smu2400.tell(f"SOUR:CURR {level}", f"SOUR:MEM:SAVE {place}")
    smu2400.tell("SOUR:MEM:POIN 2", "SOUR:FUNC MEM", "TRIG:COUN 2", "OUTP ON")
    assert smu2400.numbers("READ?") == pytest.approx([1e-4, -1e-4], rel=1e-2)
    smu2400.tell("SOUR:MEM:POIN 3", "READ?")
    assert smu2400.errors() == [-221]


def test_a_sweep_can_end_on_compliance(smu2400: Any) -> None:
    smu2400.tell("SOUR:FUNC CURR", "SENS:VOLT:PROT 1", "SOUR:CURR:MODE LIST", "SOUR:SWE:CAB EARL")
    smu2400.tell("SOUR:LIST:CURR " + ",".join(["1e-3"] + ["1e-5"] * 49), "TRIG:COUN 50", "OUTP ON", "INIT")
    smu2400.wait(10.0)
    assert len(smu2400.numbers("FETC?")) // 5 <= 16


def test_arming_by_bus_and_by_timer(smu2400: Any) -> None:
    smu2400.tell("ARM:SOUR BUS", "FORM:ELEM TIME", "SENS:CURR:NPLC 0.01", "OUTP ON", "INIT", "INIT")
    assert smu2400.errors() == [-213]
    smu2400.wait(1.0)
    assert smu2400.ask("STAT:OPER:COND?") == "64"
    smu2400.tell("*TRG")
    smu2400.ask("*OPC?")
    assert len(smu2400.numbers("FETC?")) == 1
    smu2400.tell("*TRG", "ARM:SOUR TIM", "ARM:TIM 0.5", "ARM:COUN 4")
    assert smu2400.errors() == [-211]
    assert np.diff(smu2400.numbers("READ?")) == pytest.approx(0.5, abs=1e-3)


def test_a_range_above_the_compliance_is_refused(smu2400: Any) -> None:
    smu2400.tell("SOUR:FUNC CURR", "SENS:VOLT:PROT 1", "SENS:VOLT:RANG 20")
    assert smu2400.errors() == [824]


def test_a_short_circuit_of_the_off_state(smu2400: Any) -> None:
    smu2400.tell("OUTP:SMOD ZERO")
    assert smu2400.world._levels["smu.force"].connected
    smu2400.tell("OUTP:SMOD HIMP")
    assert not smu2400.world._levels["smu.force"].connected


def test_statistics_of_the_trace(smu2400: Any) -> None:
    smu2400.tell("SOUR:FUNC CURR", "SENS:FUNC 'VOLT'", "SENS:VOLT:PROT 20", "SOUR:CURR 1e-4", "TRIG:COUN 100")
    smu2400.tell("TRAC:FEED:CONT NEXT", "OUTP ON", "INIT")
    smu2400.ask("*OPC?")
    mean_v, mean_a, _ = smu2400.numbers("CALC3:FORM MEAN;:CALC3:DATA?")
    data = np.array(smu2400.numbers("TRAC:DATA?")).reshape(100, 5)
    assert (mean_v, mean_a) == pytest.approx((data[:, 0].mean(), data[:, 1].mean()), rel=1e-5)
    assert smu2400.numbers("CALC3:FORM SDEV;:CALC3:DATA?")[0] == pytest.approx(data[:, 0].std(), rel=0.1)


def test_noise_follows_the_integration(make_bench: Callable[..., Any]) -> None:
    scatter = []
    for nplc in (0.01, 1.0):
        bench = make_bench("2400")
        bench.tell(*FOUR_WIRE, f"SENS:VOLT:NPLC {nplc}", "FORM:ELEM VOLT", "TRIG:COUN 2000", "OUTP ON")
        scatter.append(np.std(bench.numbers("READ?")))
    assert scatter == pytest.approx([48e-6, 3e-6], rel=0.1)
