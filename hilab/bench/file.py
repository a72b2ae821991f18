"""The bench file: its tables as typed models. `hilab.bench.check` reads and checks one as a whole."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hilab.frames import DeviceCard, DeviceLimits, NominalCurve

SIM = "sim"
"""The address of an instrument that the simulated twin plays."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Table(BaseModel):
    """A table of the bench file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class InstrumentEntry(Table):
    """[instruments.NAME]: which driver speaks to which address."""

    driver: Name
    address: Name
    transport: Literal["gpib", "usb", "lan"] = "gpib"
    options: dict[str, Any] = {}


class Wire(Table):
    """[[wires]]: a two-pole cable from a terminal to one or more others."""

    source: Name = Field(alias="from")
    to: list[Name] = Field(min_length=1)
    shunt_ohm: Positive | None = None
    """A resistor in series with the line: the current is measured across it."""
    shunt_tolerance: Positive = 1e-3
    """Relative uncertainty of the shunt."""
    shunt_taps: Name | None = None
    """The relay ("matrix.1B12") that puts the shunt's taps on the reader."""


class FieldEntry(Table):
    """[field]: the perpendicular coil and the permanent assist field."""

    tesla_per_ampere: Positive
    max_t: Positive
    assist_t: float = Field(0.0, allow_inf_nan=False)
    step_a: Positive = 0.25
    """Largest change of the coil current in one go (A)."""
    ramp_a_per_s: Positive = 5.0
    """Rate of change of the coil current (A/s)."""


class PulseLimit(Table):
    """Largest current for one pulse width."""

    width_s: Positive
    current_a: Positive


class Limits(Table):
    """What a device may bear."""

    pulse_max_a: list[PulseLimit] = Field(min_length=1)
    read_max_a: Positive
    voltage_max_v: Positive
    field_max_t: Positive
    pulses_max: int = Field(gt=0, strict=False)  # 1e9 is a float in TOML

    @field_validator("pulse_max_a")
    @classmethod
    def _ascending(cls, pairs: list[PulseLimit]) -> list[PulseLimit]:
        widths = [pair.width_s for pair in pairs]
        if any(later <= earlier for earlier, later in pairwise(widths)):
            raise ValueError(f"pulse widths must ascend, got {widths}")
        return pairs

    def frozen(self) -> DeviceLimits:
        """The same for frames and players."""
        return DeviceLimits(
            pulse_max=tuple((pair.width_s, pair.current_a) for pair in self.pulse_max_a),
            read_max_a=self.read_max_a,
            voltage_max_v=self.voltage_max_v,
            field_max_t=self.field_max_t,
            pulses_max=self.pulses_max,
        )


class Nominal(Table):
    """[kinds.NAME.nominal]: the switching curve the design promises, known without measuring a device."""

    i50_a: Positive
    unit_a: Positive
    write_width_s: Positive = 100e-6
    i50_spread_a: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Expected standard deviation of I50 from device to device (A); 0 where it is not known."""

    def frozen(self) -> NominalCurve:
        """The same for protocols."""
        return NominalCurve(self.i50_a, self.unit_a, self.write_width_s, self.i50_spread_a)


class Kind(Table):
    """[kinds.NAME]: what devices share."""

    width_m: Positive
    length_m: Positive
    r_ohm: Positive
    r_hall_ohm: Positive
    limits: Limits
    nominal: Nominal | None = None


class DeviceEntry(Kind):
    """A device after its kind was merged in."""

    pads: dict[Name, Name] = Field(min_length=1)

    def card(self, name: str) -> DeviceCard:
        """The device as players and protocols see it."""
        return DeviceCard(
            name=name,
            width_m=self.width_m,
            length_m=self.length_m,
            r_ohm=self.r_ohm,
            r_hall_ohm=self.r_hall_ohm,
            limits=self.limits.frozen(),
            ports=dict(self.pads),
            nominal=self.nominal.frozen() if self.nominal else None,
        )


class BenchFile(Table):
    """A whole bench file, kinds merged into the devices. `simulation` is handed to the twin unread."""

    format: Literal[1]
    name: Name
    sample: Name
    operator: str = ""
    note: str = ""
    misread_limit: float = Field(1e-3, gt=0, lt=0.5)
    """Largest accepted chance of taking one state for the other in a reading."""
    integration_s: Positive = 2e-3
    """Integration of a frame's reading where a protocol does not say."""
    pulse_width_s: Positive = 100e-6
    """Width of reset and write pulses where a protocol does not say."""
    instruments: dict[Name, InstrumentEntry] = Field(min_length=1)
    roles: dict[Name, Name] = Field(min_length=1)
    wires: list[Wire] = Field(min_length=1)
    field: FieldEntry | None = None
    devices: dict[Name, DeviceEntry] = Field(min_length=1)
    simulation: dict[str, Any] | None = None

    @property
    def simulated(self) -> bool:
        """True if the simulated twin plays the instruments."""
        return any(entry.address == SIM for entry in self.instruments.values())
