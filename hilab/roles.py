"""Roles: what a protocol or a player needs of an instrument, as structural types.

A driver takes a role by having its methods; nothing is inherited. SI units everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hilab.frames import DeviceCard, FloatArray, FrameBatch, FramePlan, FrameReadings

WaveArray = NDArray[np.int16]


@dataclass(frozen=True)
class Identity:
    """Who answers, parsed from the instrument's own identification."""

    manufacturer: str
    model: str
    serial: str
    firmware: str


@dataclass(frozen=True)
class SafeReport:
    """Result of making one instrument safe: verified off, or not and why."""

    instrument: str
    verified: bool
    detail: str = ""


@runtime_checkable
class Clock(Protocol):
    """The bench's clock: wall time on real instruments, virtual time on an in-process simulation."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def wait(self, event: threading.Event | None, timeout_s: float) -> bool:
        """Sleep for timeout_s or until event is set; True if it is set."""
        ...


@runtime_checkable
class Instrument(Protocol):
    """Every driver. `model_pattern` is what Identity.model must contain."""

    name: str
    model_pattern: str

    def identify(self) -> Identity: ...
    def check_errors(self) -> list[str]:
        """Drain the error queue; [] when it is empty."""
        ...

    def settings(self) -> dict[str, Any]:
        """What matters of the present settings, for the run file (plain values)."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Output(Protocol):
    """A driver that can put energy into the bench. The bench refuses one without these two."""

    def make_safe(self) -> SafeReport:
        """Everything off, now, whatever another thread is doing; never raises, never longer than 1.5 s."""
        ...

    def verify_safe(self) -> bool:
        """Read back that it is off; False also when nobody answers."""
        ...


@runtime_checkable
class BiasSource(Protocol):
    """A direct current into the device, and the voltage it takes."""

    def configure_bias(self, current_max_a: float, compliance_v: float) -> None: ...
    def set_bias_a(self, current_a: float) -> None:
        """Set the level; the output is switched on with the first call after `configure_bias`."""
        ...

    def bias_off(self) -> None: ...
    def bias_voltage_v(self) -> float | None:
        """Measured voltage across the source's terminals; None where the instrument has no meter."""
        ...

    def in_compliance(self) -> bool: ...


@runtime_checkable
class PulseSource(Protocol):
    """One rectangular current pulse. Players plan with the attributes and with `pulse_s`."""

    pulse_width_s: tuple[float, float]
    """Shortest and longest pulse (s)."""
    compliance_max_v: float
    """Highest compliance voltage (V) that `configure_pulse` takes."""
    message_s: float
    """Cost of one message on the bench's clock (s)."""

    def configure_pulse(self, current_max_a: float, compliance_v: float) -> None: ...
    def pulse(self, amplitude_a: float, width_s: float) -> None:
        """Play one pulse and come back when it is over (at most 250 ms of the lock at a time)."""
        ...

    def pulse_s(self, width_s: float) -> float:
        """Time that `pulse` takes for this width (s), messages included."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A voltage. Players plan with `message_s`, `range_v`, `reading_s` and `noise_v`."""

    message_s: float
    """Cost of one message on the bench's clock (s)."""

    def configure_reader(self, range_v: float, integration_s: float) -> float:
        """Set a fixed range and the integration time; return the integration really used (s)."""
        ...

    def read_v(self) -> float:
        """One reading (V); nan on overload."""
        ...

    def noise_v(self, range_v: float, integration_s: float) -> float:
        """Expected rms noise (V) from the driver's sourced table."""
        ...

    def range_v(self, signal_v: float) -> float:
        """The smallest range (V) that holds a signal of this size; BenchError if none does."""
        ...

    def reading_s(self, integration_s: float) -> float:
        """Time that one reading takes (s), without messages."""
        ...


@runtime_checkable
class ArmSource(Protocol):
    """A small current through the sensing arms, to see whether their contacts are closed."""

    def set_arm_a(self, current_a: float) -> None:
        """Force current_a (A) through the arms; the output is switched on with the first call."""
        ...

    def arm_voltage_v(self) -> float:
        """Voltage across the arms meanwhile (V); nan on overload."""
        ...

    def arm_off(self) -> None: ...


@runtime_checkable
class Switch(Protocol):
    """Relays. Channel names are the instrument's own, such as '1!3' or '1A03'.

    A switch that can change a route with one message has `close_only(channels)`: open every other relay,
    close these, and come back when they rest (message_s + settle_s later).
    """

    settle_s: float

    def open_all(self) -> None: ...
    def close_channels(self, channels: tuple[str, ...]) -> None: ...
    def closed_channels(self) -> tuple[str, ...]: ...


@runtime_checkable
class FieldSource(Protocol):
    """The current of a coil."""

    def set_coil_a(self, current_a: float) -> None: ...
    def coil_a(self) -> float:
        """Measured coil current (A)."""
        ...

    def coil_off(self) -> None: ...


@runtime_checkable
class FieldMeter(Protocol):
    """The field at the probe."""

    def read_field_t(self) -> float: ...


@dataclass(frozen=True)
class WaveSetup:
    """Two waves that one trigger starts: a wave of frames once, and a short marker wave `cycles` times.

    full_scale_v is the open-circuit voltage of code 32767. The marker's codes are 0 (low) or 32767 (high); a
    rising edge triggers whatever its channel is wired to.
    """

    wave: str
    sample_s: float
    full_scale_v: float
    marker: str
    marker_sample_s: float
    cycles: int


@runtime_checkable
class WaveformSource(Protocol):
    """Waves of open-circuit volts behind a resistance on one channel, trigger edges on another.

    Waves are int16 codes, 32767 being full scale; a name is used once until `forget_waves`. Before the
    trigger and after the end the output rests at the wave's first sample, which must be 0.
    """

    message_s: float
    """Cost of one message on the bench's clock (s)."""
    wave_v: float
    """Largest open-circuit voltage (V)."""
    wave_ohm: float
    """Resistance behind which it stands (ohm)."""
    wave_code_step: int
    """Codes that the converter tells apart are multiples of it."""
    wave_sample_s: tuple[float, float]
    """Shortest and longest sample (s)."""
    wave_samples: tuple[int, int]
    """Fewest and most samples of one wave."""
    wave_memory: int
    """Samples that the memory of one channel holds, all waves together."""
    start_s: float
    """From the trigger to the first sample, at most (s)."""
    waves: Mapping[str, int] | None
    """Samples of each wave that this driver put into memory; None while that is not known (after `forget`, a
    reset, at first): then the next step is `forget_waves`."""

    def set_load_ohm(self, ohm: float) -> None:
        """What hangs on the output (device, contacts, shunt), without the source's own resistance."""
        ...

    def wave_full_scale_v(self, peak_v: float) -> float:
        """The smallest full scale (V, open circuit) that holds peak_v; BenchError if none does."""
        ...

    def limit_waves(self, current_max_a: float, voltage_max_v: float) -> None:
        """No message: the largest current (A) and voltage across the load (V) that a wave may reach."""
        ...

    def upload_waves(self, waves: Mapping[str, WaveArray]) -> None:
        """One message: put waves of frames into memory by name; allowed while another one is played."""
        ...

    def upload_marker(self, name: str, codes: WaveArray) -> None:
        """One message: put a marker wave into the second channel's memory."""
        ...

    def forget_waves(self) -> None:
        """One message: outputs off, both memories empty (nothing frees a part of them)."""
        ...

    def arm_waves(self, setup: WaveSetup, codes: WaveArray | None = None) -> None:
        """One message: select both waves, one burst on the bus trigger, outputs on at rest.

        With codes the wave is uploaded first, in the same message. `waves_ready` belongs to it.
        """
        ...

    def waves_ready(self) -> None:
        """Back as soon as the box can take the trigger: the answer to `arm_waves`."""
        ...

    def trigger_waves(self) -> None:
        """One message: start what is armed; back as soon as it runs."""
        ...

    def end_waves(self) -> list[str]:
        """One exchange: both outputs off; what the box complains of ([] if of nothing)."""
        ...

    def stop_waves(self) -> None:
        """One message: abort, both outputs off."""
        ...


class Digitised(Protocol):
    """What a digitiser was really set to: times in s, range in V.

    Reading k of a trigger is the mean over aperture_s from delay_s + k * interval_s after the edge on; busy_s
    after an edge the box takes the next one.
    """

    range_v: float
    aperture_s: float
    readings_per_trigger: int
    interval_s: float
    delay_s: float
    triggers: int
    busy_s: float


@runtime_checkable
class Digitiser(Protocol):
    """Short readings of a voltage that an external trigger starts, into a buffer."""

    message_s: float
    """Cost of one message on the bench's clock (s)."""
    aperture_s: tuple[float, float]
    """Shortest and longest aperture (s); also the longest interval of readings."""
    buffer_max: int
    """Readings that one programme can take."""
    mains_v: float
    """Amplitude of mains pick-up to reckon with in an aperture that is no whole mains period (V)."""

    def range_v(self, signal_v: float) -> float:
        """The smallest range (V) that holds a signal of this size; BenchError if none does."""
        ...

    def noise_v(self, range_v: float, integration_s: float) -> float:
        """Expected rms noise (V) of one reading with this aperture, mains pick-up apart."""
        ...

    def digitising(
        self,
        range_v: float,
        aperture_s: float,
        readings_per_trigger: int,
        interval_s: float,
        delay_s: float,
        triggers: int,
    ) -> Digitised:
        """What `arm_triggered` would set, without sending anything; BenchError says what cannot be."""
        ...

    def arm_triggered(
        self,
        range_v: float,
        aperture_s: float,
        readings_per_trigger: int,
        interval_s: float,
        delay_s: float,
        triggers: int,
    ) -> Digitised:
        """One exchange: empty the buffer and wait for so many triggers."""
        ...

    def fetch(self, count: int, start: int = 0) -> FloatArray:
        """One exchange: (count,) readings since the arming from index start on (V, nan on overload).

        Also while more are being taken. BenchError if there are fewer.
        """
        ...

    def count_now(self) -> int:
        """One exchange: readings taken since the arming."""
        ...

    def abort(self) -> None:
        """One message: stop; what was read stays in the buffer."""
        ...


@runtime_checkable
class LockInAmplifier(Protocol):
    """Harmonics of a voltage while the instrument's own sine drives a line (harmonic Hall measurements)."""

    message_s: float
    """Cost of one message on the bench's clock (s)."""

    def set_load_ohm(self, ohm: float) -> None:
        """What hangs on the sine output (device, contacts, series resistor), without its own resistance."""
        ...

    def configure_sine(self, current_max_a: float) -> None:
        """Largest rms current (A) that may be asked for; the sine goes to its least."""
        ...

    def set_sine_a(self, current_a: float) -> float:
        """An rms current (A) through the load; what it really is."""
        ...

    def sine_off(self) -> None:
        """The least that the sine can do; not every box can switch it off."""
        ...

    def configure_lock_in(
        self, frequency_hz: float, time_constant_s: float, sensitivity_v: float, slope_db: int = 12
    ) -> tuple[float, float, float, int]:
        """Frequency (Hz), filter (s, dB an octave), full scale (V rms); what was really set."""
        ...

    def read_harmonic(self, harmonic: int) -> tuple[float, float]:
        """(x_v, y_v), rms, in phase and in quadrature with sin(harmonic * omega * t), once the filter has
        settled; nan on overload."""
        ...

    def noise_v(self, time_constant_s: float, slope_db: int = 12) -> float:
        """Expected rms noise (V) of each of the two."""
        ...


ROLES: Mapping[str, type] = {
    "pulse_source": PulseSource,
    "bias_source": BiasSource,
    "reader": Reader,
    "arm_source": ArmSource,
    "switch": Switch,
    "field_source": FieldSource,
    "field_meter": FieldMeter,
    "waveform_source": WaveformSource,
    "digitiser": Digitiser,
    "lock_in": LockInAmplifier,
}
"""What a driver must have to take a role of the bench file. A laboratory may add roles of its own."""


def lacking(driver: object, role: str) -> tuple[str, ...]:
    """Methods and attributes of a role in `ROLES` that a driver does not have."""
    contract = ROLES[role]
    wanted = {*vars(contract), *contract.__annotations__}
    return tuple(sorted(name for name in wanted if not name.startswith("_") and not hasattr(driver, name)))


@dataclass(frozen=True)
class Shunt:
    """A resistor in series with the current line (ohm), and its relative uncertainty."""

    ohm: float
    tolerance: float


class Station(Protocol):
    """What a player sees of the bench."""

    clock: Clock
    devices: Mapping[str, DeviceCard]

    def role(self, name: str) -> Any:
        """The driver that plays this role ("pulse_source", "bias_source", "reader", "switch", ...).

        Raises KeyError naming the role when the bench has none.
        """
        ...

    def route(self, device: str, port: str = "hall") -> None:
        """Connect the device's current line to the source and `port` to the reader.

        Cold switching: sources are at zero and off before any relay moves. No-op if already so.
        """
        ...

    def instrument_name(self, role: str) -> str: ...

    def spending(self, kind: str) -> AbstractContextManager[None]:
        """Bench time that passes inside is booked as this kind (one of `hilab.frames.SPENT`)."""
        ...

    @property
    def shunt(self) -> Shunt | None:
        """The resistor in series with the pulse source's line; None without one.

        `route(device, "shunt")` puts its taps on the reader.
        """
        ...


class Player(Protocol):
    """A strategy that plays frame batches on the instruments at hand. Built as Player(station).

    A player that must measure before it can plan (the load of a voltage source) has `prepare(batch)`: the
    bench calls it before `plan`, a planning bench does not. `plan` itself sends nothing.
    """

    name: str

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """Why this bench cannot host the player; '' if it can."""
        ...

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check, quantise, split and price the batch; PlanRefused with every reason at once."""
        ...

    def play(
        self,
        plan: FramePlan,
        *,
        on_chunk: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> FrameReadings:
        """Play the plan. on_chunk(frames done) after each load.

        When stop is set: abort the instrument's programme, return what was measured, the rest MISSING.
        """
        ...


class SimulatedBench(Protocol):
    """What a factory of the entry-point group `hilab.sim_benches` returns. hilab looks no further inside."""

    visa_library: Any
    clock: Clock
    addresses: Mapping[str, str]

    def snapshot(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...
    def close(self) -> None: ...
