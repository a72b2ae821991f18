"""One careful reading of a voltage at a device's port, with current reversal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hilab.errors import BenchError
from hilab.frames import DeviceCard

if TYPE_CHECKING:
    from hilab.bench.station import Bench

SETTLE_S = 10e-3
"""Between setting a current and reading, unless told otherwise (cables, input filters)."""

HALL_OFFSET = 0.01
"""Share of the line's resistance that may leak into the Hall arms (misalignment); sets the first range."""

RANGE_MAX_V = 100.0


@dataclass(frozen=True)
class PortReading:
    """voltage_v is the part that follows the current (half the difference of both polarities), even_v the
    rest.

    source_v: voltage across the current line, None where the source has no meter. overload: a reading was
    beyond the largest range (voltage_v is then nan). time_s on the bench's clock, at the end.
    """

    voltage_v: float
    even_v: float
    current_a: float
    source_v: float | None
    compliance: bool
    overload: bool
    time_s: float


def read_port(
    bench: Bench,
    device: str,
    port: str,
    current_a: float,
    *,
    reversals: int = 1,
    integration_s: float = 0.02,
    settle_s: float | None = None,
) -> PortReading:
    """See `Bench.read_port`."""
    card = bench.card(device)
    _refuse(card, current_a, reversals)
    bench.route(device, port)
    shunt = bench.shunt if port == "shunt" else None
    expected_ohm = shunt.ohm if shunt else _expected_ohm(card, port)
    bias = bench.role("bias_source")
    reader = None if port == "current" else bench.role("reader")
    wait_s = SETTLE_S if settle_s is None else settle_s
    bias.configure_bias(card.limits.read_max_a, compliance_v(bias, card))
    polarities = [+1.0, -1.0] * reversals or [+1.0]
    try:
        samples = [
            _sample(bench, bias, reader, expected_ohm, sign * current_a, integration_s, wait_s)
            for sign in polarities
        ]
    finally:
        bias.bias_off()
    voltage, source, compliance = (np.array(values, dtype=float) for values in zip(*samples, strict=True))
    signs = np.array(polarities)
    has_meter = not np.isnan(source).all()
    if reader is None:
        voltage = source
    return PortReading(
        voltage_v=float(np.mean(signs * voltage)),
        even_v=float(np.mean(voltage)) if reversals else math.nan,
        current_a=current_a,
        source_v=float(np.mean(signs * source)) if has_meter else None,
        compliance=bool(compliance.any()),
        overload=reader is not None and bool(np.isnan(voltage).any()),
        time_s=bench.clock.now(),
    )


def compliance_v(source: Any, card: DeviceCard) -> float:
    """The voltage limit to ask for (V): the device's, or the source's own where that is lower."""
    return min(card.limits.voltage_max_v, float(getattr(source, "compliance_max_v", math.inf)))


def _refuse(card: DeviceCard, current_a: float, reversals: int) -> None:
    limit = card.limits.read_max_a
    if not (math.isfinite(current_a) and 0 < abs(current_a) <= limit * (1 + 1e-9)):
        raise BenchError(
            f"{card.name}: a read current of {current_a:g} A is outside its envelope: it must not be 0 "
            f"and at most {limit:g} A (read_max_a)"
        )
    if reversals < 0:
        raise BenchError(f"reversals must be 0 or more, got {reversals}")


def _sample(
    bench: Bench,
    bias: Any,
    reader: Any,
    expected_ohm: float,
    current_a: float,
    integration_s: float,
    settle_s: float,
) -> tuple[float, float, bool]:
    """(voltage, source voltage or nan, in compliance) at one polarity."""
    bias.set_bias_a(current_a)
    bench.sleep(settle_s)
    voltage_v = math.nan if reader is None else _read(reader, abs(current_a) * expected_ohm, integration_s)
    source_v = bias.bias_voltage_v()
    return voltage_v, math.nan if source_v is None else source_v, bias.in_compliance()


def _expected_ohm(card: DeviceCard, port: str) -> float:
    """Largest voltage that one ampere may bring at the port; sets the first range."""
    share = 1.0 if port == "longitudinal" else HALL_OFFSET
    return card.r_hall_ohm + share * card.r_ohm


def _read(reader: Any, range_v: float, integration_s: float) -> float:
    """A reading on the smallest range that holds it; nan if none does. A read does not change the device."""
    while range_v <= RANGE_MAX_V:
        reader.configure_reader(range_v, integration_s)
        voltage_v = float(reader.read_v())
        if not math.isnan(voltage_v):
            return voltage_v
        range_v *= 10
    return math.nan
