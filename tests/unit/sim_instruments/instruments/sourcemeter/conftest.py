"""One source-meter on a Hall bar without drift: force on the current line, sense on the Hall arms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sim_instruments.bench import build_world
from sim_instruments.instruments.keithley2400 import Keithley2400
from sim_instruments.instruments.keithley2450 import Keithley2450
from sim_instruments.world.contracts import Link
from sim_instruments.world.world import World

BOXES = {"2450": Keithley2450, "2400": Keithley2400}
CARD = {
    "width_m": 2e-6,
    "length_m": 40e-6,
    "r_ohm": 8000.0,
    "r_hall_ohm": 1.0,
    "limits": {
        "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
        "read_max_a": 0.25e-3,
        "voltage_max_v": 20.0,
        "field_max_t": 0.1,
        "pulses_max": 1_000_000,
    },
    "pads": {"current": "smu.force", "hall": "smu.sense"},
}


class Bench:
    """A box and its world. Exchanges take no time of their own."""

    def __init__(self, model: str, setting: str, **simulation: Any):
        self.world: World = build_world(
            instruments={"smu": {"driver": f"keithley{model}"}},
            wires=[],
            devices={"bar": CARD},
            field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
            simulation={"bench": "hall_bars", "setting": setting, "sample_seed": 1, "mains_hz": 50}
            | simulation,
            seed=7,
        )
        self.box: Any = BOXES[model]("smu", self.world, Link(b"\n", 0.0, 1e9), {})
        self.world.add_instrument(self.box)

    def tell(self, *messages: str) -> None:
        """Send messages, now."""
        for message in messages:
            self.box.message(message.encode("latin-1"))

    def ask(self, message: str) -> str:
        """Send a query and wait for the answer."""
        return self.ask_bytes(message).decode("latin-1")

    def ask_bytes(self, message: str) -> bytes:
        self.tell(message)
        ready = self.box.reply_ready_s()
        assert ready is not None, f"{message} has no answer: {self.errors()}"
        self.world.advance(ready)
        reply = self.box.reply(self.world.now)
        assert reply is not None
        return bytes(reply.removesuffix(b"\n"))

    def numbers(self, message: str) -> list[float]:
        return [float(word) for word in self.ask(message).split(",")]

    def number(self, message: str) -> float:
        return float(self.ask(message))

    def wait(self, seconds: float) -> None:
        self.world.advance(self.world.now + seconds)

    def errors(self) -> list[int]:
        """Empty the error queue."""
        found = []
        while (code := int(self.ask("SYST:ERR?").split(",")[0])) != 0:
            found.append(code)
        return found


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    def make(model: str, setting: str = "ideal", **simulation: Any) -> Bench:
        return Bench(model, setting, **simulation)

    return make


@pytest.fixture
def smu2450(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench("2450")


@pytest.fixture
def smu2400(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench("2400")


@pytest.fixture(params=sorted(BOXES))
def smu(request: pytest.FixtureRequest, make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(request.param)
