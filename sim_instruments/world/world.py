"""The physical side of a bench: one place where currents, fields, relays and devices meet.

Physics is lazy: a device lives through time only when something touches it, and then exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim_instruments.world import passes
from sim_instruments.world.circuit import Node, drive, drive_pulses, parallel
from sim_instruments.world.contracts import (
    NO_ERRORS,
    FloatArray,
    InstrumentErrors,
    Level,
    PlayTrace,
    PulseTrain,
    SimInstrument,
)
from sim_instruments.world.device import Device
from sim_instruments.world.field import Field
from sim_instruments.world.shunt import Shunt
from sim_instruments.world.streams import Streams
from sim_instruments.world.trace import NO_LEVELS, DeviceTrace, Trace
from sim_instruments.world.wiring import Pad, Wiring, shunt_name

TIMING_S = 1e-9  # what rounding may add up to in a train's times


class World:
    """Implements `contracts.World`; made by `sim_instruments.bench.build_world`.

    faults collects what was done wrongly with cables and relays; truth maps each device to its own.
    """

    def __init__(
        self,
        devices: Mapping[str, Device],
        wiring: Wiring,
        field: Field,
        seed: int,
        mains_hz: float = 50.0,
        shunts: Sequence[Shunt] = (),
        errors: Mapping[str, InstrumentErrors] | None = None,
    ):
        self.now = 0.0
        self.mains_hz = mains_hz
        self.devices = dict(devices)
        self.truth: dict[str, Any] = {name: device.truth for name, device in devices.items()}
        self.shunts = {shunt.terminal: shunt for shunt in shunts}
        self.faults: list[str] = []
        self._errors = dict(errors or {})
        self._parts: dict[str, Device | Shunt] = self.devices | {
            shunt_name(shunt.terminal): shunt for shunt in shunts
        }
        self.wiring = wiring
        self.field = field
        self._streams = Streams(seed)
        self._levels: dict[str, Level] = {}
        self._coils: dict[str, float] = {}
        self._instruments: dict[str, SimInstrument] = {}

    # ---- instruments and time ---------------------------------------------------------------------

    def add_instrument(self, instrument: SimInstrument) -> None:
        """Put an instrument on the bench."""
        if instrument.name in self._instruments:
            raise ValueError(f"two instruments are called {instrument.name!r}")
        self._instruments[instrument.name] = instrument

    def instrument(self, name: str) -> Any:
        """The simulated instrument of that name. Raises KeyError."""
        return self._instruments[name]

    def instrument_errors(self, name: str) -> InstrumentErrors:
        """How that instrument is out of calibration; unity and zero by default."""
        return self._errors.get(name, NO_ERRORS)

    def advance(self, now: float) -> None:
        """Time goes on to `now`: instruments play what ended by then. Earlier times change nothing."""
        self.now = max(self.now, now)
        for instrument in self._instruments.values():
            instrument.advance(self.now)

    def stream(self, name: str) -> np.random.Generator:
        """The named random stream."""
        return self._streams(name)

    # ---- sources --------------------------------------------------------------------------------------

    def set_level(self, terminal: str, level: Level) -> None:
        """The source terminal changes what it holds, from now on."""
        if level == self._levels.get(terminal):
            return
        self._settle(terminal)
        self._levels[terminal] = level
        self._check_sources(terminal)

    def source_state(self, terminal: str) -> tuple[float, float, bool]:
        """(voltage_v, current_a, in compliance) at a source terminal now."""
        level = self._levels.get(terminal)
        if level is None:
            return 0.0, 0.0, False
        self._settle(terminal)
        return drive(self._node(terminal), level)

    def play(self, terminal: str, train: PulseTrain) -> Trace:
        """Play a train that lies in the past; see `contracts.World.play`.

        Of two devices in parallel each gets its share; one that dies leaves the line only after the train.
        """
        self._check_train(terminal, train)
        self._check_sources(terminal, pulsing=True)
        connections = self.wiring.connections
        pads = connections.get(terminal, ())
        if len(train.start_s):
            self._settle(terminal, float(train.start_s[0]))
        node = self._node(terminal)
        current, compliance = drive_pulses(node, train)
        base_v, base_a, _ = drive(
            node, Level(train.base_a, train.limit_v, True, train.voltage_mode, train.series_ohm)
        )
        played: dict[str, DeviceTrace] = {}
        alive = len(current)
        for (name, port), share in zip(pads, node.shares, strict=True):
            if port != "current" or share == 0.0:
                continue
            mine = current if share == 1.0 else current * share
            device = self.devices[name]
            before = device.level, device.warm_k
            level, survived, warm_k = device.play(
                mine, train.start_s, train.width_s, base_a * share, self.field
            )
            if survived < len(level):
                mine = mine.copy()
                mine[survived:] = 0.0
                if len(pads) == 1:
                    current, compliance, alive = mine, compliance.copy(), survived
                    compliance[survived:] = (not train.voltage_mode) & (train.level_a[survived:] != 0)
            played[name] = DeviceTrace(mine, base_a * share, level, warm_k, *before)
        if terminal in self.shunts:
            played[shunt_name(terminal)] = DeviceTrace(current, base_a, NO_LEVELS, NO_LEVELS, 0.0, 0.0)
        return Trace(self, terminal, train, connections, played, node, current, compliance, base_v, alive)

    # ---- readers --------------------------------------------------------------------------------------

    def sense(self, terminal: str) -> float:
        """True voltage across a reader's terminal pair now; nan if connected to nothing."""
        pads = self.wiring.connections.get(terminal, ())
        if not pads:
            return float("nan")
        self._settle(terminal)
        level, node = self._levels.get(terminal), self._node(terminal)
        if level is not None and level.connected:
            floating = node.open and not level.value and not level.voltage_mode
            return float("nan") if floating else self.source_state(terminal)[0]
        if not any(port == "current" for _, port in pads):
            return float("nan") if node.open else node.emf_v
        return self._line_v(pads)

    def part(self, name: str) -> Device | Shunt:
        """What a pad belongs to: a device, or the shunt of a line."""
        return self._parts[name]

    # ---- relays ----------------------------------------------------------------------------------------

    def close_relay(self, channel: str) -> None:
        """A relay closes now. Closing under a live source is a recorded fault."""
        self._move_relay(channel, True)

    def open_relay(self, channel: str) -> None:
        """A relay opens now. Opening under current is a recorded fault."""
        self._move_relay(channel, False)

    # ---- field -----------------------------------------------------------------------------------------

    def set_coil(self, terminal: str, current_a: float, time_constant_s: float) -> None:
        """The coil supply heads for current_a; the slower of coil (L/R) and supply sets the lag."""
        if self.wiring.other_end(terminal) != "coil":
            return
        for name in self.devices:
            self._settle_device(name, self.now)
        self.field.set_coil(self.now, current_a, time_constant_s)

    def coil_a(self, terminal: str) -> float:
        """Current in the coil now; 0 where no coil is wired."""
        return float(self.field.coil_a(self.now)) if self.wiring.other_end(terminal) == "coil" else 0.0

    def field_t(self, probe: str) -> float:
        """True field along a gaussmeter's probe axis now (T); the stray field where the probe lies about."""
        where = self.wiring.other_end(probe)
        if where == "field.perpendicular":
            return float(self.field.field_at(self.now))
        if where == "field.in_plane":
            return self.field.in_plane_t
        return self.field.parameters.stray_t

    # ---- cables ----------------------------------------------------------------------------------------

    def wired(self, terminal: str) -> str | None:
        """The other end of a plain cable; None if nothing is wired."""
        return self.wiring.other_end(terminal)

    def trigger(self, line: str, times_s: FloatArray, trace: PlayTrace | None = None) -> None:
        """A trigger output went high; whoever hangs on its cable and has trigger inputs is told."""
        for end in self.wiring.far_ends(line):
            listener = self._instruments.get(end.partition(".")[0])
            triggered = getattr(listener, "triggered", None)
            if triggered is not None:
                triggered(end, times_s, trace)

    def fault(self, text: str) -> None:
        """Record a wiring fault, with the time."""
        self.faults.append(f"{self.now:.6f} s: {text}")

    # ---- snapshot ---------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that is not fixed by how the bench was built, instruments included."""
        return {
            "now": self.now,
            "faults": list(self.faults),
            "streams": self._streams.snapshot(),
            "levels": {
                name: [each.value, each.limit, each.connected, each.voltage_mode, each.series_ohm]
                for name, each in self._levels.items()
            },
            "relays": list(self.wiring.closed),
            "field": self.field.snapshot(),
            "devices": {name: device.snapshot() for name, device in self.devices.items()},
            "instruments": {name: each.snapshot() for name, each in self._instruments.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of the same bench. ValueError if it was another one."""
        for what, mine in (("devices", self.devices), ("instruments", self._instruments)):
            if set(state[what]) != set(mine):
                raise ValueError(f"the snapshot is of a bench with other {what}: {sorted(state[what])}")
        self.now = float(state["now"])
        self.faults[:] = state["faults"]
        self._streams.restore(state["streams"])
        self._levels = {
            name: Level(float(value), float(limit), bool(connected), bool(mode), float(series))
            for name, (value, limit, connected, mode, series) in state["levels"].items()
        }
        self.wiring.restore(state["relays"])
        self.field.restore(state["field"])
        for name, inner in state["devices"].items():
            self.devices[name].restore(inner)
        for name, inner in state["instruments"].items():
            self._instruments[name].restore(inner)

    # ---- inside -----------------------------------------------------------------------------------------

    def standing_a(self, name: str) -> float:
        """Current through a device's current line, or a shunt, from the standing levels now."""
        part = self._parts[name]
        if isinstance(part, Shunt):
            level = self._levels.get(part.terminal)
            return drive(self._node(part.terminal), level)[1] if level else 0.0
        total = 0.0
        for terminal, level in self._levels.items():
            if not level.connected or level.value == 0:
                continue
            pads = self.wiring.connections.get(terminal, ())
            if (name, "current") in pads:
                node = self._node(terminal)
                total += drive(node, level)[1] * node.shares[pads.index((name, "current"))]
        return total

    def _node(self, terminal: str) -> Node:
        """What a terminal is connected to, a shunt in its line included.

        Pads that only sense need the device's standing current.
        """
        pads = self.wiring.connections.get(terminal, ())
        node = parallel(
            [
                self._parts[name].load(port, 0.0 if port == "current" else self.standing_a(name), self.now)
                for name, port in pads
            ]
        )
        return node.behind(self._shunt_ohm(terminal))

    def _shunt_ohm(self, terminal: str) -> float:
        shunt = self.shunts.get(terminal)
        return shunt.ohm if shunt else 0.0

    def _line_v(self, pads: tuple[Pad, ...]) -> float:
        """Voltage on a line with current pads, set by whoever drives it; nan if nobody does."""
        for terminal, level in self._levels.items():
            if level.connected and set(pads) & set(self.wiring.connections.get(terminal, ())):
                voltage, current, _ = drive(self._node(terminal), level)
                return voltage - current * self._shunt_ohm(terminal)
        return 0.0

    def _settle(self, terminal: str, until_s: float | None = None) -> None:
        """Bring the devices on this terminal's line up to a time (now)."""
        for name in dict.fromkeys(name for name, _ in self.wiring.connections.get(terminal, ())):
            if name in self.devices:
                self._settle_device(name, self.now if until_s is None else until_s)

    def _settle_device(self, name: str, until_s: float) -> None:
        self.devices[name].settle(until_s, self.standing_a(name), self.field)

    def _live(self, terminal: str) -> bool:
        level = self._levels.get(terminal)
        return level is not None and level.connected and level.value != 0

    def _move_relay(self, channel: str, close: bool) -> None:
        relay = self.wiring.relay(channel)
        if (channel in self.wiring.closed) == close:
            return
        terminals = self.wiring.terminals_on(channel)
        live = [terminal for terminal in terminals if self._live(terminal)]
        if live:
            verb = "closed" if close else "opened"
            value = self._levels[live[0]].value
            self.fault(f"hot switching: relay {relay.name} {verb} while {live[0]} sources {value:g}")
        pad = self.wiring.pad_of(channel)
        if pad is not None and pad[0] in self.devices:
            self._settle_device(pad[0], self.now)
        for terminal in terminals:
            self._settle(terminal)
        self.wiring.set_closed(channel, close)
        for terminal in terminals:
            self._check_sources(terminal)

    def _check_sources(self, terminal: str, pulsing: bool = False) -> None:
        """Two connected sources on one line, one of them live, is a fault."""
        mine = self._levels.get(terminal)
        if not pulsing and (mine is None or not mine.connected):
            return
        pads = set(self.wiring.connections.get(terminal, ()))
        for other, level in self._levels.items():
            if other == terminal or not level.connected:
                continue
            shared = pads & set(self.wiring.connections.get(other, ()))
            if shared and (pulsing or self._live(terminal) or self._live(other)):
                device, port = sorted(shared)[0]
                self.fault(f"two sources on one line: {terminal} and {other} at {device} {port}")

    def _check_train(self, terminal: str, train: PulseTrain) -> None:
        count = len(train.start_s)
        if not (len(train.level_a) == len(train.width_s) == count):
            raise ValueError(f"a pulse train of {terminal} has arrays of different lengths")
        if not count:
            return
        found = passes.order(train.start_s, train.width_s, self.now, TIMING_S)
        if found == passes.OVERLAPS:
            raise ValueError(f"the pulses of a train of {terminal} overlap or have no width")
        if found == passes.LATE:
            last = train.start_s[-1] + train.width_s[-1]
            raise ValueError(f"a pulse train of {terminal} ends at {last} s, after now ({self.now} s)")
