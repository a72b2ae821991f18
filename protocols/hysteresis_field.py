"""Anomalous Hall loop against the perpendicular field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hilab.analysis.hysteresis import HysteresisLoop, analyse_loop
from hilab.engine.messages import Column, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from protocols._common import Steps, check_reads, chosen_devices, device_column, read_currents

if TYPE_CHECKING:
    from hilab.bench import Bench


class HysteresisFieldParams(ProtocolParams):
    """What hysteresis_field can be told."""

    devices: list[str] = Field([], description="devices to measure; all when empty")
    field_max_t: float = Field(
        0.02, gt=0, le=3, description="the loop runs from -field_max to +field_max and back"
    )
    points: int = Field(41, ge=5, le=1001, description="fields on each branch")
    read_a: float | None = Field(
        None, gt=0, description="read current; a tenth of the device's read limit if not given"
    )
    reversals: int = Field(
        1, ge=0, le=10, description="current reversals of one reading; 0 reads one polarity"
    )
    integration_s: float = Field(0.1, gt=0, le=10, description="integration of one reading")


class HysteresisField(Protocol[HysteresisFieldParams]):
    """Hall resistance of each device while the perpendicular field goes up and down once.

    The field is measured at every point with the gaussmeter, never computed from the coil current.
    All devices are read at each field, since the field settles more slowly than the relays.
    """

    name: ClassVar[str] = "hysteresis_field"
    Params = HysteresisFieldParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {"field_loop": FIELD_LOOP_COLUMNS}

    def check(self, bench: Bench) -> None:
        devices = chosen_devices(bench, self.params.devices)
        check_reads(bench, devices, read_currents(bench, devices, self.params.read_a, FIELD_READ_FRACTION))
        bench.check_field(self.params.field_max_t)

    def steps(self, bench: Bench) -> Iterator[Message]:
        figures = yield from field_loops(bench, self.params)
        yield Result({"field_loop": figures})


# The read current drives the device too: at a tenth of the limit it moves the loop by 2.5 % of Ic0 / Hn.
FIELD_READ_FRACTION = 0.1

FIELD_LOOP_COLUMNS: Mapping[str, Column] = {
    "device": Column("S32"),
    "branch": Column("i4"),
    "field_t": Column("f8", "T"),
    "field_asked_t": Column("f8", "T"),
    "r_hall_ohm": Column("f8", "ohm"),
    "v_even_v": Column("f8", "V"),
    "time_s": Column("f8", "s"),
}


def field_loops(bench: Bench, params: HysteresisFieldParams) -> Steps[dict[str, dict[str, float | str]]]:
    """Measure the loops; returns {device: {coercive_t, offset_t, opening_ohm, ...}}."""
    devices = chosen_devices(bench, params.devices)
    currents = read_currents(bench, devices, params.read_a, FIELD_READ_FRACTION)
    up = np.linspace(-params.field_max_t, params.field_max_t, params.points)
    fields = np.concatenate([up, up[::-1]])
    branches = np.repeat([1, -1], params.points)
    rows: dict[str, list[tuple[float, float]]] = {device: [] for device in devices}
    for number, (asked_t, branch) in enumerate(zip(fields, branches, strict=True)):
        field = bench.set_field(float(asked_t))
        columns: dict[str, list[Any]] = {name: [] for name in FIELD_LOOP_COLUMNS if name != "device"}
        for device, current_a in zip(devices, currents, strict=True):
            reading = bench.read_port(
                device,
                "hall",
                float(current_a),
                reversals=params.reversals,
                integration_s=params.integration_s,
            )
            r_hall_ohm = reading.voltage_v / current_a
            rows[device].append((field.measured_t, r_hall_ohm))
            values = (branch, field.measured_t, asked_t, r_hall_ohm, reading.even_v, reading.time_s)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
        yield Reading("field_loop", {"device": device_column(devices), **columns})
        yield Progress(number + 1, len(fields), f"{field.measured_t * 1e3:+.2f} mT")
    bench.field_off()
    figures = {}
    for device, points in rows.items():
        field_t, r_hall = (np.array(values) for values in zip(*points, strict=True))
        loop = analyse_loop(field_t, r_hall)
        figures[device] = loop_figures(loop, "t")
    return figures


def loop_figures(loop: HysteresisLoop, unit: str) -> dict[str, float | str]:
    """What is told of a loop: coercive value, offset, opening and errors, or the reason for none."""
    if loop.reason:
        return {"reason": loop.reason}
    return {
        f"coercive_{unit}": loop.coercive,
        f"coercive_error_{unit}": loop.coercive_se,
        f"offset_{unit}": loop.offset,
        "opening_ohm": loop.opening,
        "opening_error_ohm": loop.opening_se,
    }
