"""A generator in the real world: channel 1 on a Hall bar, channel 2 on the trigger input of a listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sim_instruments.bench import build_world
from sim_instruments.instruments.keysight33600a import Keysight33600A
from sim_instruments.instruments.keysight81160a import Keysight81160A
from sim_instruments.world.contracts import FloatArray, Link

BAR = {
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
    "pads": {"current": "awg.ch1", "hall": "dmm.input"},
}


class Listener:
    """A box with a trigger input that only writes down what reaches it."""

    name = "dmm"

    def __init__(self) -> None:
        self.heard: list[tuple[str, FloatArray, Any]] = []

    def triggered(self, line: str, times_s: FloatArray, trace: Any) -> None:
        self.heard.append((line, times_s, trace))

    def advance(self, now: float) -> None:
        """Nothing runs here."""

    def snapshot(self) -> dict[str, Any]:
        """It has no state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """It has no state."""

    @property
    def times(self) -> FloatArray:
        return np.concatenate([times for _, times, _ in self.heard]) if self.heard else np.empty(0)


class Setup:
    """The box, its world, and every train that the world was given. Exchanges take no time."""

    def __init__(self, kind: Any, wires: tuple[tuple[str, str], ...], options: dict[str, Any], wrong: bool):
        self.world = build_world(
            instruments={"awg": {"driver": "keysight33600a"}, "dmm": {}},
            wires=[{"from": start, "to": [end]} for start, end in wires],
            devices={"bar": BAR},
            field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
            simulation={
                "bench": "hall_bars",
                "setting": "ideal",
                "sample_seed": 1,
                "mains_hz": 50,
                "instrument_errors": wrong,
            },
            seed=7,
        )
        self.trains: list[Any] = []
        play = self.world.play

        def remembered(terminal: str, train: Any) -> Any:
            if len(train.start_s):
                self.trains.append((terminal, train))
            return play(terminal, train)

        self.world.play = remembered  # type: ignore[method-assign]
        self.box = kind("awg", self.world, Link(b"\n", 0.0, 1e9), options)
        self.world.add_instrument(self.box)
        self.listener = Listener()
        self.world.add_instrument(self.listener)  # type: ignore[arg-type]

    def tell(self, *messages: str | bytes) -> None:
        for message in messages:
            self.box.message(message if isinstance(message, bytes) else message.encode("latin-1"))

    def ask(self, message: str) -> str:
        self.tell(message)
        ready = self.box.reply_ready_s()
        assert ready is not None, f"{message} has no answer: {self.errors()}"
        self.world.advance(ready)
        return str(self.box.reply(self.world.now).removesuffix(b"\n").decode("latin-1"))

    def number(self, message: str) -> float:
        return float(self.ask(message))

    def errors(self) -> list[int]:
        found = []
        while (answer := self.ask("SYST:ERR?")) != '+0,"No error"':
            found.append(int(answer.split(",")[0]))
        return found

    def wait(self, seconds: float) -> None:
        self.world.advance(self.world.now + seconds)

    def held_v(self) -> float:
        """Open-circuit volts of channel 1 now, or nan with its relay open."""
        level = self.world._levels["awg.ch1"]
        return level.value if level.connected else float("nan")

    def runs(self, terminal: str = "awg.ch1") -> tuple[FloatArray, FloatArray, FloatArray]:
        """(level V, start s, width s) of everything that was played."""
        mine = [train for where, train in self.trains if where == terminal]
        if not mine:
            return np.empty(0), np.empty(0), np.empty(0)
        columns = zip(*((train.level_a, train.start_s, train.width_s) for train in mine), strict=True)
        level, start, width = (np.concatenate(each) for each in columns)
        return level, start, width


def block(codes: Any, order: str = ">i2") -> bytes:
    """Samples as a definite-length block."""
    data = np.asarray(codes).astype(order).tobytes()
    return f"#{len(str(len(data)))}{len(data)}".encode() + data


@pytest.fixture
def make() -> Callable[..., Setup]:
    def setup(
        kind: Any = Keysight33600A, wired: bool = False, wrong: bool = False, also: Any = (), **options: Any
    ) -> Setup:
        wires = (("awg.ch2", "dmm.ext_trig"),) if wired else ()
        return Setup(kind, (*wires, *also), options, wrong)

    return setup


@pytest.fixture
def awg(make: Callable[..., Setup]) -> Setup:
    return make()


@pytest.fixture
def pulser(make: Callable[..., Setup]) -> Setup:
    return make(Keysight81160A)


@pytest.fixture(scope="session")
def as_block() -> Callable[..., bytes]:
    return block
