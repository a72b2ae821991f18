"""Kepco BOP 36-12 bipolar supply with a BIT 4886 interface, feeding a coil."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim_instruments.scpi.instrument import (
    Boolean,
    Choice,
    Number,
    NumberList,
    ScpiError,
    ScpiInstrument,
    Setting,
    command,
    query,
)

V_MAX, I_MAX = 36.0, 12.0  # source: model name, PyMeasure's KepcoBOP3612
LIST_POINTS = 3933  # source: bench.md 2.9, BOP-MG manual
DWELL_S = (500e-6, 10.0)  # source: bench.md 2.9, recalled and not verified
READBACK_A = 0.4e-3  # step of MEASure:CURRent?; source: 12 A in 15 bits, recalled and not verified
READBACK_V = 1.2e-3
NOISE_A, NOISE_V = 0.5e-3, 1.5e-3  # rms of one readback; source: recalled and not verified
CONSTANT_VOLTAGE, CONSTANT_CURRENT = 256, 1024  # OPERation condition bits; recalled and not verified


class KepcoBOP(ScpiInstrument):
    """Sets the coil's target; the coil follows with its time constant and no bit says when it is there.

    In current mode CURRent is the setpoint and VOLTage the compliance, in voltage mode the other way
    round. A setpoint beyond CURRent:LIMit is not taken and only the error queue says so; the limits
    survive *RST. options: coil_ohm, time_constant_s of the supply alone (the coil's own lag lies in the
    world), and current_max_a, to which CURRent:LIMit is set at power-on (a smaller coil).
    """

    identity = "KEPCO,BIT 4886 36-12  08-04-2023,H249977,4.04-1.82"
    option_defaults: ClassVar[Mapping[str, Any]] = {
        "coil_ohm": 1.0,
        "time_constant_s": 5e-3,
        "current_max_a": I_MAX,
    }
    error_depth = 15
    longest_message = 253
    registers = ("OPER", "QUES")
    state = ("list_a", "list_dwell_s", "list_start_s")
    settings = (
        Setting("output", "OUTPut[:STATe]", Boolean(), False, "_apply"),
        Setting(
            "level_a",
            "[SOURce:]CURRent[:LEVel][:IMMediate][:AMPLitude]",
            Number(-I_MAX, I_MAX, unit="A"),
            0.0,
            "_check_current",
        ),
        Setting(
            "level_v",
            "[SOURce:]VOLTage[:LEVel][:IMMediate][:AMPLitude]",
            Number(-V_MAX, V_MAX, unit="V"),
            0.0,
            "_check_voltage",
        ),
        Setting("limit_a", "[SOURce:]CURRent:LIMit[:HIGH]", Number(0, I_MAX, unit="A"), I_MAX, kept=True),
        Setting("limit_v", "[SOURce:]VOLTage:LIMit[:HIGH]", Number(0, V_MAX, unit="V"), V_MAX, kept=True),
        Setting("protection_a", "[SOURce:]CURRent:PROTection[:LEVel]", Number(0, I_MAX), I_MAX, "_apply"),
        Setting("protection_v", "[SOURce:]VOLTage:PROTection[:LEVel]", Number(0, V_MAX), V_MAX, "_apply"),
        Setting("list_count", "[SOURce:]LIST:COUNt", Number(0, 255, integer=True), 1),
    )

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        self.values["mode"] = "VOLT"
        self.list_a: list[float] = []
        self.list_dwell_s: list[float] = []
        self.list_start_s = -1.0  # negative: no list is running
        self._apply()

    def on_power(self) -> None:
        self.values["limit_a"] = float(self.options["current_max_a"])

    def operation_end_s(self) -> float:
        return self._list_end_s() if self.list_start_s >= 0 else self.world.now

    def advance(self, now: float) -> None:
        if self.list_start_s < 0:
            return
        if now >= self._list_end_s():
            self.values["level_a"] = self.list_a[-1]
            self.list_start_s = -1.0
        else:
            edges = np.cumsum(self._dwell_s())
            step = np.searchsorted(edges, (now - self.list_start_s) % edges[-1], side="right")
            self.values["level_a"] = self.list_a[int(step)]
        self._apply()

    def format_number(self, value: float) -> str:
        """As the box writes it: 2.71E1."""
        mantissa, exponent = f"{value:.4E}".split("E")
        mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}E{int(exponent)}"

    def _target_a(self) -> float:
        """Where the coil current is heading: the setpoint within compliance and protection."""
        if not self.values["output"]:
            return 0.0
        ohm = float(self.options["coil_ohm"])
        if self.values["mode"] == "CURR":
            limit_v = min(abs(self.values["level_v"]), self.values["protection_v"])
            reachable = min(limit_v / ohm, self.values["protection_a"])
            return float(np.clip(self.values["level_a"], -reachable, reachable))
        level_v = float(
            np.clip(self.values["level_v"], -self.values["protection_v"], self.values["protection_v"])
        )
        reachable = min(abs(self.values["level_a"]), self.values["protection_a"])
        return float(np.clip(level_v / ohm, -reachable, reachable))

    def _apply(self) -> None:
        target = self._target_a()
        self.world.set_coil(f"{self.name}.out", target, float(self.options["time_constant_s"]))
        in_current = self.values["mode"] == "CURR" and target == self.values["level_a"]
        self.operation.set(CONSTANT_CURRENT, in_current and self.values["output"])
        self.operation.set(CONSTANT_VOLTAGE, not in_current and self.values["output"])

    def _check_current(self) -> None:
        if abs(self.values["level_a"]) > self.values["limit_a"]:
            raise ScpiError(-120)
        self._apply()

    def _check_voltage(self) -> None:
        if abs(self.values["level_v"]) > self.values["limit_v"]:
            raise ScpiError(-120)
        self._apply()

    # ---- commands ----------------------------------------------------------------------------------

    @command("FUNCtion:MODE", Choice("VOLTage", "CURRent"))
    def set_mode(self, mode: str) -> None:
        """The new mode's own setpoint starts from zero."""
        if mode != self.values["mode"]:
            self.values["mode"] = mode
            self.values["level_a" if mode == "CURR" else "level_v"] = 0.0
        self._apply()

    @query("FUNCtion:MODE")
    def get_mode(self) -> int:
        return int(self.values["mode"] == "CURR")

    @query("MEASure[:SCALar]:CURRent[:DC]")
    def measure_current(self) -> float:
        noise = NOISE_A * float(self.world.stream(f"{self.name}.readback").standard_normal())
        true_a = self.world.coil_a(f"{self.name}.out")
        return round((true_a + noise) / READBACK_A) * READBACK_A

    @query("MEASure[:SCALar]:VOLTage[:DC]")
    def measure_voltage(self) -> float:
        """What drives the coil: R I + L dI/dt, which with tau = L/R is R times the target."""
        volt = float(self.options["coil_ohm"]) * self._target_a()
        noise = NOISE_V * float(self.world.stream(f"{self.name}.readback").standard_normal())
        return round((volt + noise) / READBACK_V) * READBACK_V

    @command("SYSTem:BEEP")
    def beep(self) -> None:
        """A tone; nothing changes."""

    # ---- list --------------------------------------------------------------------------------------

    @command("[SOURce:]LIST:CLEar")
    def clear_list(self) -> None:
        self._refuse_while_running()
        self.list_a, self.list_dwell_s = [], []

    @command("[SOURce:]LIST:CURRent", NumberList(-I_MAX, I_MAX, LIST_POINTS))
    def add_currents(self, currents_a: NDArray[np.float64]) -> None:
        self._refuse_while_running()
        if len(self.list_a) + len(currents_a) > LIST_POINTS:
            raise ScpiError(-223)
        if np.abs(currents_a).max() > self.values["limit_a"]:
            raise ScpiError(-222)
        self.list_a += currents_a.tolist()

    @query("[SOURce:]LIST:CURRent")
    def get_currents(self) -> str:
        return ",".join(self.format_number(value) for value in self.list_a) or "0"

    @query("[SOURce:]LIST:CURRent:POINts")
    def count_currents(self) -> int:
        return len(self.list_a)

    @command("[SOURce:]LIST:DWELl", NumberList(*DWELL_S, LIST_POINTS))
    def add_dwells(self, dwell_s: NDArray[np.float64]) -> None:
        self._refuse_while_running()
        if len(self.list_dwell_s) + len(dwell_s) > LIST_POINTS:
            raise ScpiError(-223)
        self.list_dwell_s += dwell_s.tolist()

    @query("[SOURce:]LIST:DWELl:POINts")
    def count_dwells(self) -> int:
        return len(self.list_dwell_s)

    @command("[SOURce:]CURRent:MODE", Choice("FIXed", "LIST"))
    def set_list_mode(self, mode: str) -> None:
        if mode == "FIX":
            self.list_start_s = -1.0
            return
        if self.values["mode"] != "CURR" or not self.list_a:
            raise ScpiError(-221)
        if len(self.list_dwell_s) not in (1, len(self.list_a)):
            raise ScpiError(-226)
        self.list_start_s = self.world.now
        self.advance(self.world.now)

    @query("[SOURce:]CURRent:MODE")
    def get_list_mode(self) -> str:
        return "LIST" if self.list_start_s >= 0 else "FIX"

    def _refuse_while_running(self) -> None:
        if self.list_start_s >= 0:
            raise ScpiError(-221)

    def _dwell_s(self) -> NDArray[np.float64]:
        dwell = np.array(self.list_dwell_s)
        return np.full(len(self.list_a), dwell[0]) if len(dwell) == 1 else dwell

    def _list_end_s(self) -> float:
        count = self.values["list_count"] or np.inf  # 0 repeats for ever
        return float(self.list_start_s + count * self._dwell_s().sum())
