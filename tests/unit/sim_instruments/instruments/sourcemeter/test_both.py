"""What the two source-meters have in common: snapshots, errors of calibration, random messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sim_instruments.scpi.errors import TEXTS
from sim_instruments.scpi.tree import Node
from sim_instruments.world import plain

OWN_ERRORS = {800, 802, 803, 824, -285}
ARGUMENTS = (
    *(
        "",
        "0",
        "1",
        "-1",
        "1e-3",
        "0.1",
        "5",
        "1e9",
        "ON",
        "OFF",
        "MAX",
        "LIST",
        "BEST",
        "BUS",
        "1,2",
        "1,ON",
    ),
    *("'VOLT'", "1e-4,-1e-4,2e-4", "1,0.001,2,OFF", '"defbuffer1"', '1,"defbuffer1"', "READ,SOUR", "x'"),
    *(
        '"CurrCustomSweepList"',
        '2,"CurrCustomSweepList"',
        "3,2,1",
        "CURR",
        "VOLT",
        "SCPI",
        '"SimpleLoop",3,0.01',
    ),
)


def headers(node: Node[Any], path: str = "") -> Iterator[str]:
    """Every header of a box, in its short form."""
    for word, child in sorted(node.children.items()):
        here = f"{path}:{word}" if path else word
        if child.leaf is not None:
            yield here
        yield from headers(child, here)


def test_random_commands_of_the_box(smu: Any) -> None:
    """2000 random commands and queries of the whole tree, with time passing between them."""
    known = [header for header in headers(smu.box.tree.root) if header != "*LANG"]
    draw = random.Random(20261122)
    for _ in range(2000):
        smu.tell(f"{draw.choice(known)}{draw.choice(('', '', '?'))} {draw.choice(ARGUMENTS)}")
        smu.wait(draw.choice((0.0, 1e-4, 0.01, 0.3)))
        smu.box.reply(smu.world.now)
        assert {code for code, _ in smu.box.errors.state()} <= set(TEXTS) | OWN_ERRORS
    state = plain.from_bytes(plain.to_bytes(smu.world.snapshot()))
    smu.world.restore(state)
    assert plain.to_bytes(smu.world.snapshot()) == plain.to_bytes(state)
    smu.box.power_cycle()
    assert smu.ask("*OPC?") == "1"


def start_list(smu: Any) -> None:
    smu.tell("SOUR:LIST:CURR 1e-4,-1e-4,5e-5,0", "SOUR:FUNC CURR", "SOUR:CURR:VLIM 20", "SENS:VOLT:PROT 20")
    smu.tell("SENS:FUNC 'VOLT'", "SENS:VOLT:RSEN ON", "SYST:RSEN ON", "SOUR:CURR:MODE LIST", "TRIG:COUN 4")
    smu.tell("OUTP ON", "SOUR:SWE:CURR:LIST 1,0.05,1,OFF", "INIT")
    smu.tell("*CLS")


def test_a_run_goes_on_after_a_snapshot_as_if_nothing_had_happened(smu: Any) -> None:
    start_list(smu)
    smu.wait(0.09)
    state = plain.from_bytes(plain.to_bytes(smu.world.snapshot()))
    found = []
    for _ in range(2):
        smu.world.restore(state)
        smu.ask("*OPC?")
        found.append(smu.ask("FETC?"))
    assert found[0] == found[1]


def test_settings_are_saved_and_recalled(smu: Any) -> None:
    smu.tell("SOUR:CURR 1e-4", "*SAV 1", "SOUR:CURR 2e-4", "*RCL 1")
    assert smu.number("SOUR:CURR?") == 1e-4
    assert smu.errors() == []


def test_a_reset_ends_a_run_at_once(smu: Any) -> None:
    start_list(smu)
    smu.wait(0.01)
    assert smu.world.source_state("smu.force")[1] == pytest.approx(1e-4)
    smu.tell("*RST")
    assert smu.world.source_state("smu.force")[1] == 0.0
    smu.wait(1.0)
    assert smu.ask("OUTP?") == "0"
    assert smu.errors() == []


@pytest.mark.parametrize("model", ["2450", "2400"])
def test_a_box_out_of_calibration_forces_and_reads_wrong(make_bench: Callable[..., Any], model: str) -> None:
    right, wrong = (make_bench(model, instrument_errors=on) for on in (False, True))
    currents = []
    for bench in (right, wrong):
        bench.tell("SOUR:FUNC CURR", "SOUR:CURR:VLIM 20", "SENS:VOLT:PROT 20", "SOUR:CURR 1e-4", "OUTP ON")
        currents.append(bench.world.source_state("smu.force")[1])
    assert currents[0] == pytest.approx(1e-4, rel=1e-9)
    assert 1e-7 < abs(currents[1] / currents[0] - 1) < 2e-3
    errors = wrong.world.instrument_errors("smu")
    assert currents[1] == pytest.approx(float(errors.sourced(np.array([1e-4]), 1e-4)[0]))


def test_open_sense_leads_overflow(smu: Any) -> None:
    smu.world.devices["bar"].open_ports.add("hall")
    smu.tell(
        "SOUR:FUNC CURR", "SOUR:CURR:VLIM 20", "SENS:VOLT:PROT 20", "SENS:FUNC 'VOLT'", "SENS:VOLT:RSEN ON"
    )
    smu.tell("SYST:RSEN ON", "SENS:FUNC:CONC OFF", "SENS:FUNC 'VOLT'", "*CLS", "OUTP ON")
    assert smu.numbers("READ?")[0] == 9.9e37
