"""What hangs on a voltage source: measured across the shunt, remembered, or taken from the device's card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.players._compile import FULL_CODE
from drivers.players._planning import CONTACTS_OHM, Envelope, Peaks
from hilab.frames import DeviceCard, FrameBatch
from hilab.roles import Shunt, Station

REMEMBERED_S = 600.0  # bench time for which a measured load is believed
NOMINAL_UNCERTAINTY = 0.1  # relative, of a load that was not measured: sheet resistance and contacts
WINDOW = 0.3  # part by which a measured load may differ from the nominal one
OPEN = 0.05  # part of the asked current below which the line is open
PART_OF_READ = 0.9  # of the largest read current: what the load is measured with
INTEGRATION_S = 0.02  # of the two readings at the shunt, one mains period at 50 Hz
SETTLE_S = 1e-3  # after each change of the current
MARGIN = 1.5  # of the reader's range over the expected voltage


@dataclass(frozen=True)
class LineLoad:
    """Device, contacts and shunt in series, with its relative uncertainty.

    ohm is inf for an open line and 0 for a shorted one.
    measured_s is the time of the measurement on the bench's clock; None for the nominal load.
    """

    ohm: float
    uncertainty: float
    measured_s: float | None = None

    def fresh(self, now_s: float) -> bool:
        """True while the measurement is believed."""
        return self.measured_s is not None and now_s - self.measured_s < REMEMBERED_S

    def complaint(self, card: DeviceCard, shunt: Shunt | None) -> str:
        """Why nothing can be played into this load; '' if it is as the card lets expect."""
        expected_ohm = nominal_ohm(card, shunt)
        if math.isinf(self.ohm):
            return f"{card.name}: its current line is open (no current at the shunt); check its contacts"
        if self.ohm == 0:
            return (
                f"{card.name}: its current line is shorted (much more current at the shunt than was asked "
                "for); check its contacts and the shunt's range"
            )
        if abs(self.ohm / expected_ohm - 1) > WINDOW:
            return (
                f"{card.name}: its line has {self.ohm:.4g} ohm, not the {expected_ohm:.4g} ohm of the bench "
                f"file within {WINDOW:.0%}; check its contacts and r_ohm"
            )
        if self.measured_s is not None and not self.uncertainty <= NOMINAL_UNCERTAINTY:
            return (
                f"{card.name}: its line could be measured to {self.uncertainty:.0%} only, "
                f"{NOMINAL_UNCERTAINTY:.0%} are needed; take a larger shunt (shunt_ohm) or read_max_a"
            )
        return ""


def nominal_ohm(card: DeviceCard, shunt: Shunt | None) -> float:
    """What the card lets expect in series: line, contacts, shunt."""
    return card.r_ohm + CONTACTS_OHM + (shunt.ohm if shunt else 0.0)


def nominal_load(card: DeviceCard, shunt: Shunt | None) -> LineLoad:
    """A load that nobody measured."""
    return LineLoad(nominal_ohm(card, shunt), NOMINAL_UNCERTAINTY)


def unmeasured_complaints(
    station: Station, envelope: Envelope, peaks: Mapping[str, Peaks], batch: FrameBatch
) -> list[str]:
    """What is above the envelope if the card's resistance is too large, where no shunt can tell."""
    if station.shunt is not None:
        return []
    found = []
    for device, peak in peaks.items():
        more = 1 + NOMINAL_UNCERTAINTY
        largest = peak._replace(
            write_a=more * peak.write_a, reset_a=more * peak.reset_a, read_a=more * peak.read_a
        )
        wrong = envelope.complaints(device, largest, batch, math.inf)
        found += [
            f"{each}, with the {NOMINAL_UNCERTAINTY:.0%} more that a line may take that no shunt measures: "
            "lower the amplitude, or wire a shunt (shunt_ohm, shunt_taps)"
            for each in wrong
        ]
    return found


def measured_load(station: Station, device: str, shunt: Shunt) -> LineLoad:
    """Drive a read current both ways and measure it across the shunt.

    The source's gain error is part of the result and so drops out of the pulses that are made with it. The
    uncertainty is that of the shunt, of the two readings, and of the source's smallest step.
    """
    card, source, reader = station.devices[device], station.role("waveform_source"), station.role("reader")
    bias = station.role("bias_source")
    expected_ohm = nominal_ohm(card, shunt)
    asked_a = min(
        PART_OF_READ * card.limits.read_max_a, 0.5 * source.wave_v / (expected_ohm + source.wave_ohm)
    )
    station.route(device, "shunt")
    with station.spending("settle"):
        range_v = reader.range_v(MARGIN * asked_a * shunt.ohm)
        integration_s = reader.configure_reader(range_v, INTEGRATION_S)
        bias.set_load_ohm(expected_ohm)
        bias.configure_bias(asked_a, min(card.limits.voltage_max_v, source.wave_v))
        readings = []
        try:
            for current_a in (asked_a, -asked_a):
                bias.set_bias_a(current_a)
                station.clock.sleep(SETTLE_S)
                readings.append(reader.read_v())
                if math.isnan(readings[-1]):
                    break  # far too much current: not once more
        finally:
            bias.bias_off()
    now_s = station.clock.now()
    if math.isnan(readings[-1]):
        return LineLoad(0.0, math.inf, now_s)
    shunt_v = (readings[0] - readings[1]) / 2
    if not shunt_v > OPEN * asked_a * shunt.ohm:
        return LineLoad(math.inf, math.inf, now_s)
    driven_v = asked_a * (expected_ohm + source.wave_ohm)
    noise_v = reader.noise_v(range_v, integration_s) / math.sqrt(2)
    step_v = source.wave_v * source.wave_code_step / FULL_CODE
    uncertainty = math.hypot(shunt.tolerance, noise_v / shunt_v, step_v / math.sqrt(12) / driven_v)
    return LineLoad(driven_v / (shunt_v / shunt.ohm) - source.wave_ohm, uncertainty, now_s)
