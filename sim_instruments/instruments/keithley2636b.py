"""Keithley 2636B dual SourceMeter: TSP, two channels on the terminals '<name>.a' and '<name>.b'.

What the box does comes from bench.md 2.5, 3.2 and 5.3 and the manual pages named there; assumptions are
marked [R] where they are made. Not simulated: TSP-Link, digital inputs, contact check, calibration, sweeps
without an end, overlapped single measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim_instruments.instruments.keithley2636b_digio import DigitalLines
from sim_instruments.instruments.keithley2636b_events import TRIGGER_EVENT
from sim_instruments.instruments.keithley2636b_format import Format
from sim_instruments.instruments.keithley2636b_kipulse import KiPulse
from sim_instruments.instruments.keithley2636b_smu import Smu
from sim_instruments.instruments.keithley2636b_sweep import Programme
from sim_instruments.instruments.keithley2636b_trigger import STIMULUS, TriggerSystem
from sim_instruments.tsp.box import TspBox
from sim_instruments.tsp.runtime import Attribute
from sim_instruments.world.contracts import Link, World

IDENTITY = "Keithley Instruments Inc., Model 2636B, 1398687, 3.0.0"
OPTIONS = ("mains_hz",)
SWEEPING_BIT, MEASUREMENT_BIT, OPERATION_BIT = 8, 1, 128


class Keithley2636B:
    """contracts.SimInstrument."""

    takes_blocks = False  # a script may hold "#12": every line end counts

    def __init__(self, name: str, world: World, link: Link, options: Mapping[str, Any]):
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise ValueError(
                f"instrument {name}: the 2636B has no option {unknown[0]!r}; known: {', '.join(OPTIONS)}"
            )
        self.name = name
        self.world = world
        self.link = link
        self.mains_hz = float(options.get("mains_hz", getattr(world, "mains_hz", 50.0)))
        if self.mains_hz not in (50.0, 60.0):
            raise ValueError(f"instrument {name}: mains_hz must be 50 or 60, got {self.mains_hz:g}")
        self.box = TspBox(lambda: world.now, lambda: float(world.stream(f"{name}.script").random()), IDENTITY)
        self.smus: Mapping[str, Smu] = {
            f"smu{letter}": Smu(self, name, letter, number) for number, letter in enumerate("ab")
        }
        self.format = Format(self.box)
        self.lines = DigitalLines(name, world.trigger, lambda: self.box.time)
        self.triggers = TriggerSystem(self.box, self.smus, self.lines)
        self.pulses = KiPulse(self.box, self.smus, self.triggers)
        self._timer_s = 0.0
        self._opc = False
        self.box.on_time = self._caught_up
        self._define()

    # ---- transport ----

    def message(self, data: bytes) -> None:
        self.triggers.advance(self.world.now)
        self.box.message(data)

    def reply(self, now: float) -> bytes | None:
        return self.box.reply()

    def reply_ready_s(self) -> float | None:
        """A script that still runs may print later: the time at which it goes on next."""
        if self.box.replies:
            return self.world.now
        waiting = self.box.waiting_until_s()
        return None if waiting is None or waiting == float("inf") else waiting

    def unterminated(self) -> None:
        self.box.errors.put(-420, "Query UNTERMINATED")

    def device_clear(self) -> None:
        """Input, replies and the running script go; the error queue, sweeps and outputs stay."""
        self.box.device_clear()

    def status_byte(self) -> int:
        return self.box.status_byte() | self._summary()

    def trigger(self) -> None:
        self.box.time = max(self.box.time, self.world.now)
        self._external_event()
        if self.box.waiting_until_s() == float("inf") and self.triggers.programme is not None:
            self.box.runtime.wait_until_s = self.triggers.programme.finish_s()  # it was in waitcomplete()

    def advance(self, now: float) -> None:
        self.box.pump(now)
        self.triggers.advance(now)
        for smu in self.smus.values():
            smu.catch_up(now)

    def power_cycle(self) -> None:
        """Outputs off, scripts, buffers and errors gone."""
        for smu in self.smus.values():
            self.abort_sweep(smu)
            for buffer in smu.buffers.values():
                buffer.clear()
            smu.made = 0
        self.box.abort_script()
        self.box.errors.clear()
        self.box.restart()
        self._define()
        self.reset()

    # ---- for the channels ----

    def sweeping(self, smu: Smu) -> bool:
        return self.triggers.run_of(smu) is not None

    def abort_sweep(self, smu: Smu) -> None:
        self.triggers.abort(smu)

    def _caught_up(self) -> None:
        self.triggers.advance(self.box.time)

    # ---- commands ----

    def reset(self) -> None:
        """reset(): everything but buffers, scripts and the error queue."""
        for smu in self.smus.values():
            self.reset_channel(smu)
        self.triggers.reset()
        self.lines.reset()
        self.format.reset()

    def reset_channel(self, smu: Smu) -> None:
        self.abort_sweep(smu)
        self.triggers.reset_channel(smu.name)
        smu.reset()

    def _define(self) -> None:
        runtime = self.box.runtime
        for name, smu in self.smus.items():
            members = smu.namespace(self.triggers.channel_namespace(smu))
            members["reset"] = lambda smu=smu: self.reset_channel(smu)
            runtime.define(name, members)
        channels = {name: runtime.user_value(name) for name in self.smus}
        node = {
            **channels,
            "model": "2636B",
            "serialno": "1398687",
            "revision": "3.0.0",
            "linefreq": Attribute(lambda: self.mains_hz),
            "reset": self.reset,
            "prompts": 0,
            "showerrors": 0,
        }
        commands: dict[str, Any] = {
            "localnode": node,
            "node": {1: node},
            "trigger": self.triggers.namespace(),
            "digio": self.lines.namespace(STIMULUS),
            "format": self.format.namespace(),
            "status": self._status(),
            "reset": self.reset,
            "waitcomplete": lambda *_: self.triggers.wait_complete(),
            "opc": self._note_opc,
            "printbuffer": self.format.print_buffer,
            "printnumber": self.format.print_numbers,
            "timer": {"reset": self._reset_timer, "measure": {"t": lambda: self.box.time - self._timer_s}},
            "display": _display(),
            "beeper": {"enable": Attribute(lambda: 1, lambda _: None), "beep": lambda *_: None},
            "__trigger": self._external_event,
            "__esr": self._read_esr,
            **self.pulses.commands(),
        }
        for name, value in commands.items():
            runtime.define(name, value)
        runtime.seal()
        self.format.apply()

    def _reset_timer(self) -> None:
        self._timer_s = self.box.time

    def _external_event(self) -> None:
        self.triggers.event(TRIGGER_EVENT)

    def _note_opc(self) -> None:
        self._opc = True

    def _read_esr(self) -> str:
        done = self._opc and not any(self.sweeping(smu) for smu in self.smus.values())
        if done:
            self._opc = False
        return str(int(done))

    # ---- status: the bits that programmes poll; names as documented, bits [R] ----

    def _sweeping_bits(self) -> int:
        self.triggers.advance(self.box.time)
        return sum(2 << smu.number for smu in self.smus.values() if self.sweeping(smu))

    def _limit_bits(self, clear: bool) -> int:
        bits = 0
        for smu in self.smus.values():
            if clear:
                bits |= (2 << smu.number) if smu.limit_seen else 0
                smu.limit_seen = False
            else:
                bits |= (2 << smu.number) if smu.in_compliance() else 0
        return bits

    def _summary(self) -> int:
        sweeping = any(self.sweeping(smu) for smu in self.smus.values())
        limited = any(smu.limit_seen for smu in self.smus.values())
        return (OPERATION_BIT if sweeping else 0) | (MEASUREMENT_BIT if limited else 0)

    def _status(self) -> dict[str, Any]:
        limits = {
            "condition": Attribute(lambda: self._limit_bits(clear=False)),
            "event": Attribute(lambda: self._limit_bits(clear=True)),
            "SMUA": 2,
            "SMUB": 4,
        }
        return {
            "condition": Attribute(self.status_byte),
            "reset": lambda: None,
            "operation": {
                "condition": Attribute(lambda: SWEEPING_BIT if self._sweeping_bits() else 0),
                "SWEEPING": SWEEPING_BIT,
                "sweeping": {"condition": Attribute(self._sweeping_bits), "SMUA": 2, "SMUB": 4},
            },
            "measurement": {"voltage_limit": limits},
        }

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        """A script under way and buffers made by makebuffer are not part of it."""
        triggers = self.triggers
        running = triggers.programme is not None and not triggers.programme.over
        return {
            "box": self.box.snapshot(),
            "smus": {name: smu.snapshot() for name, smu in self.smus.items()},
            "format": dict(self.format.settings),
            "triggers": triggers.snapshot(),
            "lines": self.lines.snapshot(),
            "programme": triggers.programme.snapshot() if running and triggers.programme else {},
            "pulses": self.pulses.snapshot(),
            "timer_s": self._timer_s,
            "opc": self._opc,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.box.abort_script()
        self.box.restart()
        self._define()
        for name, smu in self.smus.items():
            smu.restore(state["smus"][name])
        self.format.settings.update(state["format"])
        self.format.apply()
        self.triggers.restore(state["triggers"])
        self.lines.restore(state["lines"])
        programme = state["programme"]
        self.triggers.programme = Programme.restored(programme, self.smus) if programme else None
        self.pulses.restore(state["pulses"])
        self._timer_s = float(state["timer_s"])
        self._opc = bool(state["opc"])
        self.box.restore(state["box"])


def _display() -> dict[str, Any]:
    """The front panel: everything is accepted, nothing is shown."""
    store = {"screen": 0}
    quiet = ("clear", "settext", "setcursor", "trigger", "sendkey", "gettext")
    return {
        **{name: (lambda *_: None) for name in quiet},
        "screen": Attribute(lambda: store["screen"], lambda value: store.update(screen=value)),
        "SMUA": 0,
        "SMUB": 1,
        "SMUA_SMUB": 2,
        "USER": 3,
    }
