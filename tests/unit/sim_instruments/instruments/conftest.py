"""A bench with the four SCPI boxes in the real world: two Hall bars without drift or heating."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sim_instruments.bench import build_world
from sim_instruments.instruments.keithley2182a import Keithley2182A
from sim_instruments.instruments.keithley6221 import Keithley6221
from sim_instruments.instruments.keithley7001 import Keithley7001
from sim_instruments.instruments.kepco_bop import KepcoBOP
from sim_instruments.world.contracts import Link
from sim_instruments.world.world import World

BOXES = {"source": Keithley6221, "nvm": Keithley2182A, "mux": Keithley7001, "magnet": KepcoBOP}
OPTIONS = {"mux": {"cards": ["7011", ""]}}
WIRES = (
    ("source.out", "mux.1A"),
    ("nvm.ch1", "mux.1B"),
    ("source.rs232", "nvm.rs232"),
    ("source.trigger_link", "nvm.trigger_link"),
    ("magnet.out", "coil"),
)
WIDTH_M = 2e-6
LIMITS = {
    "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
    "read_max_a": 0.25e-3,
    "voltage_max_v": 20.0,
    "field_max_t": 0.1,
    "pulses_max": 1_000_000,
}


def card(number: int) -> dict[str, Any]:
    return {
        "width_m": WIDTH_M,
        "length_m": 40e-6,
        "r_ohm": 8000.0,
        "r_hall_ohm": 1.0,
        "limits": LIMITS,
        "pads": {"current": f"mux.1!{number}", "hall": f"mux.1!{number + 10}"},
    }


class Boxes:
    """The boxes by name, and their world. Exchanges take no time of their own."""

    def __init__(self, leave_out: str, setting: str, options: Mapping[str, Any]):
        wires = [{"from": start, "to": [end]} for start, end in WIRES if leave_out not in (start, end)]
        given = {name: {"options": {**OPTIONS.get(name, {}), **options.get(name, {})}} for name in BOXES}
        self.world: World = build_world(
            instruments=given,
            wires=wires,
            devices={"bar_1": card(1), "bar_2": card(2)},
            field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
            simulation={"bench": "hall_bars", "setting": setting, "sample_seed": 1, "mains_hz": 50},
            seed=7,
        )
        self.boxes: dict[str, Any] = {}
        for name, kind in BOXES.items():
            self.boxes[name] = kind(name, self.world, Link(b"\n", 0.0, 1e9), given[name]["options"])
            self.world.add_instrument(self.boxes[name])

    def tell(self, box: str, *messages: str) -> None:
        """Send messages, now."""
        for message in messages:
            self.boxes[box].message(message.encode("latin-1"))

    def ask(self, box: str, message: str) -> str:
        """Send a query and wait for the answer."""
        return self.ask_bytes(box, message).decode("latin-1")

    def ask_bytes(self, box: str, message: str) -> bytes:
        self.tell(box, message)
        ready = self.boxes[box].reply_ready_s()
        assert ready is not None, f"{message} has no answer: {self.errors(box)}"
        self.world.advance(ready)
        reply = self.boxes[box].reply(self.world.now)
        assert reply is not None
        return bytes(reply.removesuffix(b"\n"))

    def numbers(self, box: str, message: str) -> list[float]:
        return [float(word) for word in self.ask(box, message).split(",")]

    def number(self, box: str, message: str) -> float:
        return float(self.ask(box, message))

    def wait(self, seconds: float) -> None:
        self.world.advance(self.world.now + seconds)

    def errors(self, box: str) -> list[int]:
        """Empty the error queue."""
        found = []
        while (code := int(self.ask(box, "SYST:ERR?").split(",")[0])) != 0:
            found.append(code)
        return found

    def connect(self, number: int = 1) -> None:
        """Bar `number` on the current line, its Hall arms on the voltmeter."""
        self.tell("mux", "ROUT:OPEN ALL", f"ROUT:CLOS (@1!{number},1!{number + 10})")
        self.wait(0.1)


@pytest.fixture
def make_boxes() -> Callable[..., Boxes]:
    def make(leave_out: str = "", setting: str = "ideal", **options: Any) -> Boxes:
        return Boxes(leave_out, setting, options)

    return make


@pytest.fixture
def boxes(make_boxes: Callable[..., Boxes]) -> Boxes:
    made = make_boxes()
    made.connect()
    return made
