"""A laboratory's own drivers, player, simulated bench and protocol, for tests to install as a distribution.

The instruments are a board of plain values (no bytes): what is tested with them is hilab's bench and its
command line, not instruments.
"""

from __future__ import annotations

import json
import math
import time
from typing import ClassVar

import numpy as np
from pydantic import Field

from hilab.engine.messages import Checkpoint, Column, Progress, Reading, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from hilab.errors import BenchError
from hilab.frames import Flag, FramePlan, FrameReadings, Load, PlanRefused
from hilab.roles import Identity, SafeReport


class Clock:
    """Time that passes by waiting."""

    def __init__(self):
        self.time_s = 0.0

    def now(self):
        return self.time_s

    def sleep(self, seconds):
        self.time_s += max(0.0, seconds)

    def wait(self, event, timeout_s):
        if event is not None and event.is_set():
            return True
        self.sleep(timeout_s)
        return False


class Board:
    """All instruments of the bench: what they were told, and what they hold."""

    def __init__(self):
        self.told = []
        self.level_a = 0.5  # somebody left the source on
        self.on = True
        self.coil_a = 0.0
        self.closed = set()
        self.hung = set()
        self.models = {}
        self.offset_t = 1e-3  # a stray field that no current tells
        self.state = 1.0

    def tell(self, name, what):
        self.told.append((name, what))
        if name in self.hung:
            raise BenchError(f"{name} did not answer")


REAL = Board()
"""What drivers with a real address speak to."""


class LabBench:
    """The simulated bench: a board and a clock."""

    def __init__(self, instruments, simulation):
        self.visa_library = Board()
        self.clock = Clock()
        self.addresses = {name: f"BOARD::{name}" for name in instruments}
        self.visa_library.models = dict(simulation.get("models", {}))
        self.visa_library.hung = set(simulation.get("hung", ()))
        self.closed = False

    def snapshot(self):
        return json.dumps({"state": self.visa_library.state}).encode()

    def restore(self, state):
        self.visa_library.state = json.loads(state)["state"]

    def close(self):
        self.closed = True


def build(*, instruments, wires, devices, field, simulation, seed):
    """Factory of the simulated bench. Strict with its own table."""
    unknown = set(simulation) - {"bench", "models", "hung"}
    if unknown:
        raise ValueError(f"simulation: unknown key {sorted(unknown)[0]!r}")
    return LabBench(instruments, simulation)


class Box:
    """What every driver here has."""

    model_pattern = "LAB"

    def __init__(self, address, *, name, visa_library, clock, options):
        self.name, self.address, self.clock, self.options = name, address, clock, options
        self.board = REAL if visa_library is None else visa_library
        self.closed = False

    def identify(self):
        self.board.tell(self.name, "*IDN?")
        return Identity("ACME", self.board.models.get(self.name, f"LAB-{type(self).__name__}"), "1", "1.0")

    def check_errors(self):
        return []

    def settings(self):
        return {"address": self.address}

    def close(self):
        self.closed = True


class Source(Box):
    """Pulse source and bias source with a meter."""

    pulse_width_s = (1e-6, 1.0)
    compliance_max_v = 100.0
    message_s = 5e-3

    def configure_bias(self, current_max_a, compliance_v):
        self.board.tell(self.name, "configure bias")

    def set_bias_a(self, current_a):
        self.board.tell(self.name, f"bias {current_a:g}")
        self.board.level_a, self.board.on = current_a, True

    def bias_off(self):
        self.board.tell(self.name, "bias off")
        self.board.level_a, self.board.on = 0.0, False

    def bias_voltage_v(self):
        return self.board.level_a * 1000.0

    def in_compliance(self):
        return False

    def configure_pulse(self, current_max_a, compliance_v):
        self.board.tell(self.name, "configure pulse")

    def pulse(self, amplitude_a, width_s):
        self.board.tell(self.name, f"pulse {amplitude_a:g}")
        self.board.state = math.copysign(1.0, amplitude_a)

    def make_safe(self):
        try:
            self.board.tell(self.name, "safe")
        except BenchError as error:
            return SafeReport(self.name, False, str(error))
        self.board.level_a, self.board.on = 0.0, False
        return SafeReport(self.name, True)

    def verify_safe(self):
        return not self.board.on and self.name not in self.board.hung


class Unsafe(Box):
    """A source that cannot be switched off."""

    def set_bias_a(self, current_a):
        self.board.tell(self.name, f"bias {current_a:g}")


class Hanging(Source):
    """A source whose make_safe hangs, as no driver should."""

    def make_safe(self):
        time.sleep(3.0)
        return SafeReport(self.name, True)


class Reader(Box):
    """A voltmeter with a thermal offset; it overloads above its range."""

    message_s = 5e-3

    def range_v(self, signal_v):
        return signal_v

    def configure_reader(self, range_v, integration_s):
        self.board.tell(self.name, f"range {range_v:.3g}")
        self.full_scale_v = range_v
        return integration_s

    def read_v(self):
        leak = 300.0 if len(self.board.closed) > 1 else 0.0
        voltage_v = self.board.level_a * (0.5 * self.board.state + leak) + 2e-6
        return voltage_v if abs(voltage_v) <= self.full_scale_v else math.nan

    def noise_v(self, range_v, integration_s):
        return 1e-9


class Switch(Box):
    """Relays that remember whether they were switched under current."""

    settle_s = 0.01

    def open_all(self):
        self._move("open")
        self.board.closed = set()

    def close_channels(self, channels):
        self._move(f"close {','.join(channels)}")
        self.board.closed |= set(channels)

    def closed_channels(self):
        return tuple(sorted(self.board.closed))

    def _move(self, what):
        self.board.tell(self.name, what)
        assert not self.board.on, "relays moved under current"


class Magnet(Box):
    """A coil supply."""

    def set_coil_a(self, current_a):
        self.board.tell(self.name, f"coil {current_a:.4g}")
        self.board.coil_a = current_a

    def coil_a(self):
        return self.board.coil_a

    def coil_off(self):
        self.board.tell(self.name, "coil off")
        self.board.coil_a = 0.0

    def make_safe(self):
        self.coil_off()
        return SafeReport(self.name, True)

    def verify_safe(self):
        return self.board.coil_a == 0.0


class Meter(Box):
    """A gaussmeter."""

    def read_field_t(self):
        return 4.2e-3 * self.board.coil_a + self.board.offset_t


class Player:
    """Plays nothing really: the sign of the write is the state; two frames to a programme."""

    name = "lab"
    refuse: ClassVar[tuple[str, ...]] = ()

    def __init__(self, station):
        self.station = station

    @classmethod
    def unsuitable(cls, station):
        return "" if type(station.role("reader")).__name__ == "Reader" else "no reader of ours"

    def plan(self, batch):
        if self.refuse:
            raise PlanRefused(self.refuse)
        count = len(batch)
        loads = tuple(Load(batch.devices[0], start, min(start + 2, count)) for start in range(0, count, 2))
        misread = dict.fromkeys(batch.devices, 0.2 if batch.integration_s < 0.001 else 1e-09)
        return FramePlan(
            self.name, batch, batch, np.arange(count), loads, 1e-3, 1e-3 * count, 1, batch.pulses(), misread
        )

    def play(self, plan, *, on_chunk=None, stop=None):
        batch = plan.batch
        played = FrameReadings.missing(len(batch))
        for load in plan.loads:
            if stop is not None and stop.is_set():
                break
            part = plan.order[load.start : load.stop]
            played.voltage_v[part] = batch.read_a[part] * np.sign(batch.write_a[part]) / 2
            played.flags[part] &= ~np.uint16(int(Flag.MISSING))
            if on_chunk is not None:
                on_chunk(load.stop)
        return played


class BlinkParams(ProtocolParams):
    """Of `Blink`."""

    devices: list[str] = Field(["bar1"], description="which devices")
    write_a: float = Field(1e-3, gt=0, le=1.0, description="write amplitude")
    frames: int = Field(4, ge=1, le=100, description="how many frames")
    fail: bool = Field(False, description="raise an exception in the middle")


class Blink(Protocol[BlinkParams]):
    """Write up and down in turn and read.

    It shows that a laboratory's own protocol is an equal of ours.
    """

    name = "blink"
    Params = BlinkParams
    resumable = True

    def streams(self):
        return {"blinks": {"voltage_v": Column("f8", "V")}}

    def steps(self, bench):
        from hilab.frames import FrameBatch

        count = self.params.frames
        voltages = list(self.restored["voltages"]) if self.restored else []
        for number in range(len(voltages), count):
            sign = -1.0 if number % 2 else 1.0
            batch = FrameBatch.of(self.params.devices, 0, sign * self.params.write_a, 0.0, 1e-4)
            voltages.append(float(bench.play(bench.plan(batch)).voltage_v[0]))
            yield Reading("blinks", {"voltage_v": voltages[-1:]})
            yield Progress(number + 1, count, "blink")
            yield Checkpoint({"voltages": voltages})
            if self.params.fail and number + 1 == count // 2:
                raise BenchError("the probe was lifted: land it again")
        yield Result({"mean_v": float(np.mean(voltages))})
