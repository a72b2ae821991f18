"""The digital lines of the 2636B: trigger pulses out on events, bits by hand.

Line n is the terminal '<name>.digio<n>'. Not simulated: edges that come in from outside; a line that nobody
drives reads 1 (pulled up).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sim_instruments.instruments.keithley2636b_settings import choice, integer, number, setting
from sim_instruments.tsp.errors import ParameterError
from sim_instruments.world.contracts import FloatArray

LINES = 14  # source: 2600B reference, digital I/O [R]
PULSE_S = 10e-6  # default length of a trigger pulse [R]
PULSE_MAX_S = 100e3  # [R]
MODES = {
    "TRIG_BYPASS": 0, "TRIG_FALLING": 1, "TRIG_RISING": 2, "TRIG_EITHER": 3, "TRIG_SYNCHRONOUSA": 4,
    "TRIG_SYNCHRONOUS": 5, "TRIG_SYNCHRONOUSM": 6, "TRIG_RISINGA": 7, "TRIG_RISINGM": 8,
}  # source: 2600B reference; numbers [R]  # fmt: skip
HIGH_PULSE = MODES["TRIG_RISINGM"]  # a high pulse goes out: it rises at once
LOW_PULSE = tuple(
    MODES[name] for name in ("TRIG_FALLING", "TRIG_EITHER", "TRIG_SYNCHRONOUS", "TRIG_SYNCHRONOUSM")
)  # a low pulse goes out: it rises when it ends
DEFAULTS: dict[str, Any] = {"mode": 0, "pulsewidth": PULSE_S, "stimulus": 0}
Tell = Callable[[str, FloatArray], None]


class Output(NamedTuple):
    """A line that follows an event: its terminal, the event, and how much later it rises (s)."""

    terminal: str
    event: int
    after_s: float


def line_event(line: int) -> int:
    """Event number of an edge detected at a line (none ever is)."""
    return 300 + line


class DigitalLines:
    """Settings of all lines. tell(terminal, times) reports rising edges, time() is the script's."""

    def __init__(self, name: str, tell: Tell, time: Callable[[], float]):
        self._name = name
        self._tell = tell
        self._time = time
        self.triggers: dict[int, dict[str, Any]] = {n: dict(DEFAULTS) for n in range(1, LINES + 1)}
        self.bits = dict.fromkeys(range(1, LINES + 1), 1)

    def reset(self) -> None:
        for store in self.triggers.values():
            store.update(DEFAULTS)
        self.bits = dict.fromkeys(self.bits, 1)

    def terminal(self, line: int) -> str:
        return f"{self._name}.digio{line}"

    def outputs(self) -> tuple[Output, ...]:
        """Lines that put out a pulse on an event."""
        return tuple(
            Output(self.terminal(line), store["stimulus"], self._after_s(store))
            for line, store in self.triggers.items()
            if store["stimulus"] and (store["mode"] == HIGH_PULSE or store["mode"] in LOW_PULSE)
        )

    @staticmethod
    def _after_s(store: Mapping[str, Any]) -> float:
        return 0.0 if store["mode"] == HIGH_PULSE else float(store["pulsewidth"])

    # ---- for scripts ----

    def namespace(self, stimulus: Callable[[Any], Any]) -> dict[Any, Any]:
        """The global table `digio`; stimulus checks an event number."""
        return {
            **MODES,
            "trigger": {n: self._trigger(n, store, stimulus) for n, store in self.triggers.items()},
            "writebit": self._write_bit,
            "readbit": lambda line: self.bits[_line(line)],
            "writeport": self._write_port,
            "readport": lambda: sum(bit << (line - 1) for line, bit in self.bits.items()),
        }

    def _trigger(self, n: int, store: dict[str, Any], stimulus: Callable[[Any], Any]) -> dict[str, Any]:
        return {
            "EVENT_ID": line_event(n),
            "mode": setting(store, "mode", choice(*MODES.values())),
            "pulsewidth": setting(store, "pulsewidth", number(0.0, PULSE_MAX_S)),
            "stimulus": setting(store, "stimulus", stimulus),
            "assert": lambda: self._assert(n),
            "release": lambda: None,
            "clear": lambda: None,
            "reset": lambda: store.update(DEFAULTS),
        }

    def _assert(self, line: int) -> None:
        store = self.triggers[line]
        if store["mode"] == HIGH_PULSE or store["mode"] in LOW_PULSE:
            self._rise(line)

    def _write_bit(self, line: Any, bit: Any) -> None:
        number_, value = _line(line), choice(0, 1)(bit)
        if self.triggers[number_]["mode"]:
            raise ParameterError(-221, "Settings conflict: the line belongs to its trigger")
        if value > self.bits[number_]:
            self._rise(number_)
        self.bits[number_] = value

    def _write_port(self, value: Any) -> None:
        bits = integer(0, 2**LINES - 1)(value)
        for line in self.bits:
            if not self.triggers[line]["mode"]:
                self._write_bit(line, bits >> (line - 1) & 1)

    def _rise(self, line: int) -> None:
        self._tell(self.terminal(line), np.array([self._time()]))

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        return {
            "triggers": {str(n): dict(store) for n, store in self.triggers.items()},
            "bits": {str(n): bit for n, bit in self.bits.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for n, store in self.triggers.items():
            store.update(state["triggers"][str(n)])
            self.bits[n] = int(state["bits"][str(n)])


def _line(value: Any) -> int:
    return int(integer(1, LINES)(value))
