"""Relays: what is closed, when it has settled, what is no channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_identity_and_cards(boxes: Any) -> None:
    assert boxes.ask("mux", "*IDN?") == "KEITHLEY INSTRUMENTS INC.,MODEL 7001,9876,A01"
    assert boxes.ask("mux", "SYST:CTYP1?;CTYP2?") == "7011;NONE"


def test_closing_adds(make_boxes: Callable[..., Any]) -> None:
    boxes = make_boxes()
    boxes.tell("mux", "ROUT:CLOS (@1!1,1!11)", ":clos (@1!21:1!23)")
    assert boxes.ask("mux", "ROUT:CLOS:STAT?") == "(@1!1,1!11,1!21,1!22,1!23)"
    assert boxes.ask("mux", "ROUT:CLOS? (@1!1,1!2)") == "1,0"
    assert boxes.ask("mux", "ROUT:OPEN? (@1!1,1!2)") == "0,1"
    assert boxes.world.wiring.closed == ("mux.1!1", "mux.1!11", "mux.1!21", "mux.1!22", "mux.1!23")
    boxes.tell("mux", "ROUT:OPEN (@1!11)")
    assert boxes.ask("mux", "ROUT:CLOS:STAT?") == "(@1!1,1!21,1!22,1!23)"
    boxes.tell("mux", "ROUT:OPEN ALL")
    assert boxes.ask("mux", "ROUT:CLOS:STAT?") == "(@)"
    assert boxes.world.wiring.closed == ()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("ROUT:CLOS (@1!41)", -222),
        ("ROUT:CLOS (@2!1)", -222),
        ("ROUT:CLOS (@3!1)", -222),
        ("ROUT:CLOS (@1!1,1!99)", -222),
        ("ROUT:CLOS (@1!4:1!2)", -222),
        ("ROUT:CLOS (@abc)", -170),
        ("ROUT:CLOS 1!1", -104),
        ("ROUT:CLOS", -109),
        ("ROUT:CLOSE:ALL", -113),
        ("ROUT:CLOS ALL", -104),
    ],
)
def test_what_is_refused_moves_no_relay(make_boxes: Callable[..., Any], message: str, code: int) -> None:
    boxes = make_boxes()
    boxes.tell("mux", message)
    assert boxes.errors("mux") == [code]
    assert boxes.world.wiring.closed == ()


def test_operation_is_complete_when_the_relays_have_settled(make_boxes: Callable[..., Any]) -> None:
    boxes = make_boxes()
    boxes.tell("mux", "ROUT:CLOS (@1!1);*OPC?")
    assert boxes.boxes["mux"].reply_ready_s() == pytest.approx(5e-3)
    boxes.wait(1.0)
    boxes.boxes["mux"].reply(1.0)
    boxes.tell("mux", "CONF:SLOT1:STIM 0.1;:ROUT:OPEN ALL;*OPC?")
    assert boxes.boxes["mux"].reply_ready_s() == pytest.approx(1.105)


def test_reset_and_power_open_everything(boxes: Any) -> None:
    boxes.tell("mux", "*RST")
    assert boxes.world.wiring.closed == ()
    boxes.connect()
    boxes.boxes["mux"].power_cycle()
    assert boxes.world.wiring.closed == ()
    assert boxes.ask("mux", "ROUT:CLOS:STAT?") == "(@)"


def test_a_scan_steps_on_triggers(make_boxes: Callable[..., Any]) -> None:
    boxes = make_boxes()
    boxes.tell("mux", "ROUT:SCAN (@1!1:1!3)", "TRIG:SOUR BUS")
    assert boxes.ask("mux", "ROUT:SCAN?") == "(@1!1,1!2,1!3)"
    seen = []
    for _ in range(3):
        boxes.tell("mux", "*TRG")
        seen.append(boxes.ask("mux", "ROUT:CLOS:STAT?"))
    assert seen == ["(@1!1)", "(@1!2)", "(@1!3)"]
    boxes.tell("mux", "*TRG")
    assert boxes.errors("mux") == [-211]


def test_hot_switching_is_seen_by_the_world(boxes: Any) -> None:
    boxes.tell("source", "SOUR:CURR 1e-4;:OUTP ON")
    assert boxes.world.faults == []
    boxes.tell("mux", "ROUT:OPEN ALL")
    assert any("hot switching" in fault for fault in boxes.world.faults)


def test_unknown_cards_are_refused(make_boxes: Callable[..., Any]) -> None:
    from sim_instruments.instruments.keithley7001 import Keithley7001
    from sim_instruments.world.contracts import Link

    world = make_boxes().world
    for cards in (["7012"], ["7011", "7011", "7011"]):
        with pytest.raises(ValueError, match="do not fit"):
            Keithley7001("other", world, Link(b"\n", 0.0, 1e9), {"cards": cards})
