"""The coil supply: lag, silent refusals, limits that survive a reset, lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from sim_instruments.instruments.kepco_bop import NOISE_A

TAU_S = 0.25  # the coil of the test bench
READINGS = 40
BOUND_A = NOISE_A * norm.isf(0.5e-3 / READINGS) + 0.4e-3  # false alarm of a whole test below 1e-3


@pytest.fixture
def on(boxes: Any) -> Any:
    boxes.tell("magnet", "*RST", "FUNC:MODE CURR", "VOLT MAX", "CURR 0", "OUTP ON")
    return boxes


def test_identity_and_number_format(boxes: Any) -> None:
    assert boxes.ask("magnet", "*IDN?") == "KEPCO,BIT 4886 36-12  08-04-2023,H249977,4.04-1.82"
    boxes.tell("magnet", "VOLT 27.1")
    assert boxes.ask("magnet", "VOLT?") == "2.71E1"
    assert boxes.ask("magnet", "CURR?") == "0E0"


def test_the_coil_follows_with_its_time_constant(on: Any) -> None:
    start = on.world.now
    on.tell("magnet", "CURR 2")
    for _ in range(10):
        on.wait(0.1)
        expected = 2 * (1 - math.exp(-(on.world.now - start) / TAU_S))
        assert on.world.coil_a("magnet.out") == pytest.approx(expected, rel=1e-9)
        assert abs(on.number("magnet", "MEAS:CURR?") - expected) < BOUND_A
    assert on.number("magnet", "CURR?") == 2.0


def test_a_coil_never_jumps_at_a_new_setpoint(on: Any) -> None:
    on.tell("magnet", "CURR 5")
    on.wait(0.1)
    before = on.world.coil_a("magnet.out")
    on.tell("magnet", "CURR -5")
    assert on.world.coil_a("magnet.out") == pytest.approx(before)
    on.tell("magnet", "OUTP OFF")
    assert on.world.coil_a("magnet.out") == pytest.approx(before)
    on.wait(TAU_S)
    assert on.world.coil_a("magnet.out") == pytest.approx(before / math.e)


def test_a_setpoint_beyond_the_limit_is_refused_in_the_queue_only(on: Any) -> None:
    on.tell("magnet", "CURR 1", "CURR:LIM 3", "CURR 4")
    assert on.ask("magnet", "CURR?") == "1E0"
    assert on.errors("magnet") == [-120]
    on.tell("magnet", "CURR 13")
    assert on.ask("magnet", "CURR?") == "1E0"
    assert on.errors("magnet") == [-222]


def test_limits_survive_a_reset_and_not_the_power_switch(on: Any) -> None:
    on.tell("magnet", "CURR:LIM 3;:VOLT:LIM 20", "CURR 2", "*RST")
    assert on.ask("magnet", "CURR:LIM?;:VOLT:LIM?") == "3E0;2E1"
    assert on.ask("magnet", "OUTP?;:FUNC:MODE?;:CURR?;:VOLT?") == "0;0;0E0;0E0"
    on.boxes["magnet"].power_cycle()
    assert on.ask("magnet", "CURR:LIM?") == "1.2E1"


def test_a_smaller_coil_limits_from_power_on(make_boxes: Callable[..., Any]) -> None:
    boxes = make_boxes(magnet={"current_max_a": 2.0})
    boxes.tell("magnet", "FUNC:MODE CURR", "CURR 2.5")
    assert boxes.ask("magnet", "CURR?;:CURR:LIM?") == "0E0;2E0"
    assert boxes.errors("magnet") == [-120]


def test_without_compliance_no_current_flows(boxes: Any) -> None:
    boxes.tell("magnet", "FUNC:MODE CURR", "CURR 2", "OUTP ON")
    boxes.wait(2.0)
    assert boxes.world.coil_a("magnet.out") == 0.0
    boxes.tell("magnet", "VOLT 1.5")
    boxes.wait(5.0)
    assert boxes.world.coil_a("magnet.out") == pytest.approx(1.5, rel=1e-6)


def test_voltage_mode_drives_by_the_resistance(make_boxes: Callable[..., Any]) -> None:
    boxes = make_boxes(magnet={"coil_ohm": 2.0})
    boxes.tell("magnet", "CURR 10", "VOLT 6", "OUTP ON")
    boxes.wait(5.0)
    assert boxes.world.coil_a("magnet.out") == pytest.approx(3.0, rel=1e-6)
    assert boxes.number("magnet", "MEAS:VOLT?") == pytest.approx(6.0, abs=0.02)


def test_the_settled_state_has_no_bit(on: Any) -> None:
    before = on.ask("magnet", "STAT:OPER:COND?;:STAT:QUES:COND?")
    on.tell("magnet", "CURR 5")
    during = on.ask("magnet", "STAT:OPER:COND?;:STAT:QUES:COND?")
    on.wait(10)
    assert before == during == on.ask("magnet", "STAT:OPER:COND?;:STAT:QUES:COND?")
    assert on.ask("magnet", "*OPC?") == "1"


def test_messages_are_short(on: Any) -> None:
    on.tell("magnet", "CURR 1" + " " * 250)
    assert on.ask("magnet", "CURR?") == "0E0"
    assert on.errors("magnet") == [-223]


@pytest.mark.parametrize("message", ["CURR:STEP 1", "MEAS:FIELD?", "OUTP:PROT:CLE", "STAT:MEAS:COND?"])
def test_invented_commands(on: Any, message: str) -> None:
    on.tell("magnet", message)
    assert on.errors("magnet") == [-113]


def test_a_list_is_played_by_its_dwell_times(on: Any) -> None:
    on.tell("magnet", "LIST:CLE", "LIST:CURR 1,2,3", "LIST:DWEL 2", "LIST:COUN 1", "CURR:MODE LIST")
    reached = []
    for _ in range(3):
        on.wait(1.999)
        reached.append(on.world.coil_a("magnet.out"))
        on.wait(0.001)
    np.testing.assert_allclose(reached, [1, 2, 3], rtol=2e-3)
    assert on.ask("magnet", "CURR:MODE?;:CURR?") == "FIX;3E0"


def test_lists_that_are_refused(on: Any) -> None:
    on.tell("magnet", "LIST:CURR 1,2,3", "LIST:DWEL 1,1", "CURR:MODE LIST")
    on.tell("magnet", "LIST:DWEL 0.0001", "LIST:DWEL 11", "LIST:CURR 13")
    assert on.errors("magnet") == [-226, -222, -222, -222]
    assert on.ask("magnet", "LIST:CURR:POIN?;:LIST:DWEL:POIN?") == "3;2"
    on.boxes["magnet"].list_a = [0.0] * 3932
    on.tell("magnet", "LIST:CURR 1,1")
    assert on.errors("magnet") == [-223]
