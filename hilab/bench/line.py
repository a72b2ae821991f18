"""What a voltage source drives before a pulse by hand: measured at the shunt, remembered for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hilab.errors import BenchError
from hilab.frames import DeviceCard

if TYPE_CHECKING:
    from hilab.bench.station import Bench

REMEMBERED_S = 600.0  # bench time for which a measured line is believed
PART_OF_READ = 0.5  # of the largest read current: what a line is measured with
OPEN = 0.05  # part of the asked current below which a line is open
WINDOW = 0.3  # part by which a line may differ from the device's card
UNMEASURED = 0.1  # part by which the line of a bench without a shunt may differ from the card


class Lines:
    """The lines of the devices behind a source that must be told its load (`set_load_ohm`)."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}  # device -> load (ohm), time of measurement (s)

    def forget(self) -> None:
        """Measure again: the bench's clock may have jumped, or somebody touched the probes."""
        self._known.clear()

    def load_ohm(self, bench: Bench, card: DeviceCard, source: Any) -> float | None:
        """Device, contacts and shunt in series (ohm); None where the source need not be told.

        Without a shunt this is the card's own resistance. BenchError where the line is open, shorted or not
        as the card says.
        """
        if not hasattr(source, "set_load_ohm"):
            return None
        if bench.shunt is None:
            return card.r_ohm
        found = self._known.get(card.name)
        if found is None or not 0 <= bench.clock.now() - found[1] < REMEMBERED_S:
            found = measured_ohm(bench, card, source), bench.clock.now()
            self._known[card.name] = found
        return found[0]


def limit_part(bench: Bench, source: Any) -> float:
    """The part of a device's limits that may be asked for: less where nobody can measure its line."""
    unmeasured = hasattr(source, "set_load_ohm") and bench.shunt is None
    return 1 / (1 + UNMEASURED) if unmeasured else 1.0


def measured_ohm(bench: Bench, card: DeviceCard, source: Any) -> float:
    """Read the current at the shunt while a part of the read current is asked for."""
    shunt = bench.shunt
    assert shunt is not None  # the caller looked
    asked_a = PART_OF_READ * card.limits.read_max_a
    expected_ohm = card.r_ohm + shunt.ohm  # what `route` tells the source
    reading = bench.read_port(card.name, "shunt", asked_a)
    flows_a = reading.voltage_v / shunt.ohm
    if flows_a <= OPEN * asked_a:
        raise BenchError(
            f"{card.name}: its current line is open (no current at the shunt), so nothing was pulsed; "
            "check its contacts"
        )
    output_ohm = float(getattr(source, "output_ohm", 0.0))
    ohm = asked_a * (expected_ohm + output_ohm) / flows_a - output_ohm
    if not abs(ohm / expected_ohm - 1) <= WINDOW:
        raise BenchError(
            f"{card.name}: its line has {ohm:.4g} ohm, not the {expected_ohm:.4g} ohm of the bench file "
            f"within {WINDOW:.0%}, so nothing was pulsed; check its contacts and r_ohm"
        )
    return ohm
