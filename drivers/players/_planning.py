"""What all players need to plan: order of play, device limits, predicted misreading, counted pulses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from drivers._ranges import Range, smallest_range
from hilab.errors import BenchError
from hilab.frames import (
    SPENT,
    DeviceCard,
    FloatArray,
    FrameBatch,
    FramePlan,
    IntArray,
    Load,
    PlanRefused,
)
from hilab.roles import Station, lacking

CONTACTS_OHM = 100.0  # two probes or pads on the current line, on top of its nominal resistance
SIGNAL_MARGIN = 1.5  # of the reader's range over the expected signal
MISALIGNMENT = 0.01  # part of the current line's resistance that Hall arms may pick up
HOPELESS = 0.1  # a player refuses when it would take one state for the other more often than this
BYTES_PER_S = 2e6  # transfer of long messages and answers
REMEMBERED = 10_000  # entries of a cache
RELAY_MESSAGES = 1  # of a switch that opens the old and closes the new in one
SOURCE_OFF_MESSAGES = 1  # look whether the source is off before the relays move


@dataclass(frozen=True)
class Grouped:
    """A batch in playing order: order (N,), and for each run of one device its index, start and stop."""

    order: IntArray
    device: IntArray
    start: IntArray
    stop: IntArray

    def __len__(self) -> int:
        return len(self.device)


def grouped(batch: FrameBatch) -> Grouped:
    """Group by device, stable within each, or keep the order asked where the batch is `ordered`."""
    if batch.ordered:
        order = np.arange(len(batch))
        start = np.flatnonzero(np.diff(batch.device, prepend=-1))
        return Grouped(order, batch.device[start], start, np.append(start[1:], len(batch)))
    # 16-bit keys let numpy sort by radix
    keys = batch.device.astype(np.uint16) if len(batch.devices) < 65_536 else batch.device
    counts = np.bincount(batch.device, minlength=len(batch.devices))
    stop = counts.cumsum()
    used = counts.nonzero()[0]
    return Grouped(np.argsort(keys, kind="stable"), used, (stop - counts)[used], stop[used])


class Peaks(NamedTuple):
    """Extremes of one device's frames in a batch (A), and how many frames it has."""

    write_a: float
    reset_a: float
    read_a: float
    read_least_a: float
    frames: int


def peaks_by_device(batch: FrameBatch, groups: Grouped) -> dict[str, Peaks]:
    """Largest |write|, |reset|, |read| and smallest |read| of each device."""
    if not len(groups):
        return {}
    extremes = [_extremes(values, groups) for values in (batch.write_a, batch.reset_a, batch.read_a)]
    highest, lowest = [high for _, high in extremes], extremes[2][0]
    counts = (groups.stop - groups.start).tolist()
    found: dict[str, Peaks] = {}
    for index, write, reset, read, least, frames in zip(
        groups.device.tolist(), *highest, lowest, counts, strict=True
    ):
        name = batch.devices[index]
        seen = found.get(name)
        if seen is not None:
            write, reset, read = max(write, seen.write_a), max(reset, seen.reset_a), max(read, seen.read_a)
            least, frames = min(least, seen.read_least_a), frames + seen.frames
        found[name] = Peaks(write, reset, read, least, frames)
    return found


def pulses_by_device(batch: FrameBatch, groups: Grouped) -> dict[str, tuple[int, int]]:
    """(positive, negative) pulses for each device; the same as `batch.pulses()`, in one pass."""
    if not len(groups):
        return {}
    counts = (*_signs(batch.write_a, groups), *_signs(batch.reset_a, groups))
    counted: dict[str, tuple[int, int]] = {}
    for index, plus, minus, up, down in zip(groups.device.tolist(), *counts, strict=True):
        positive, negative = counted.get(batch.devices[index], (0, 0))
        counted[batch.devices[index]] = (
            positive + plus + batch.reset_count * up,
            negative + minus + batch.reset_count * down,
        )
    return counted


def _extremes(values: FloatArray, groups: Grouped) -> tuple[list[float], list[float]]:
    """(smallest, largest) of |values| in each run of one device."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return [abs(low)] * len(groups), [abs(high)] * len(groups)
    sizes = np.abs(values[groups.order])
    return (
        np.minimum.reduceat(sizes, groups.start).tolist(),
        np.maximum.reduceat(sizes, groups.start).tolist(),
    )


def _signs(values: FloatArray, groups: Grouped) -> tuple[list[int], list[int]]:
    """(positive, negative) values in each run of one device."""
    whole = (groups.stop - groups.start).tolist()
    none = [0] * len(groups)
    if values.min() > 0:
        return whole, none
    if values.max() < 0:
        return none, whole
    sorted_values = values[groups.order]
    positive, negative = (
        np.add.reduceat(which, groups.start, dtype=np.int64).tolist()
        for which in (sorted_values > 0, sorted_values < 0)
    )
    return positive, negative


def misread_probability(read_a: float, r_hall_ohm: float, noise_v: float) -> float:
    """Chance that a reading lies on the wrong side of the middle between the two states."""
    half_opening_v = read_a * r_hall_ohm / 2
    return 0.5 * math.erfc(half_opening_v / noise_v / math.sqrt(2)) if noise_v > 0 else 0.0


def signal_v(card: DeviceCard, read_a: float) -> float:
    """Largest voltage to expect at the Hall arms while reading, misalignment included."""
    return SIGNAL_MARGIN * read_a * (card.r_hall_ohm + MISALIGNMENT * card.r_ohm)


class Envelope:
    """Device limits at given widths, remembered: a training run plans thousands of equal batches."""

    def __init__(self, devices: Mapping[str, DeviceCard]):
        self._devices = devices
        self._limit_a: dict[tuple[str, float], float] = {}
        self._chance: dict[tuple[str, float, float, float], float] = {}

    def misread(self, device: str, peaks: Peaks, integration_s: float, noise_v: Callable[[], float]) -> float:
        """Chance of taking one state for the other; noise_v is only asked for what was not asked before."""
        key = (device, peaks.read_a, peaks.read_least_a, integration_s)
        if key not in self._chance:
            if len(self._chance) > REMEMBERED:
                self._chance.clear()
            opening_ohm = self._devices[device].r_hall_ohm
            self._chance[key] = misread_probability(peaks.read_least_a, opening_ohm, noise_v())
        return self._chance[key]

    def pulse_max_a(self, device: str, width_s: float) -> float:
        """Largest current (A) that the device bears for width_s (s)."""
        key = (device, width_s)
        if key not in self._limit_a:
            self._limit_a[key] = self._devices[device].limits.current_max_a(width_s)
        return self._limit_a[key]

    def complaints(self, device: str, peaks: Peaks, actual: FrameBatch, compliance_v: float) -> list[str]:
        """Every limit of the device that its frames would exceed, in sentences."""
        if self._within(device, peaks, actual, compliance_v):
            return []
        card = self._devices[device]
        limits = card.limits
        found = []
        for what, current_a, width_s in (
            ("write", peaks.write_a, actual.write_width_s),
            ("reset", peaks.reset_a if actual.reset_count else 0.0, actual.reset_width_s),
        ):
            allowed_a = self.pulse_max_a(device, width_s)
            if current_a > allowed_a * (1 + 1e-9):
                found.append(
                    f"{device}: {what} amplitude {current_a:.4g} A is above the {allowed_a:.4g} A "
                    f"the device bears for {width_s:.3g} s"
                )
        if peaks.read_a > limits.read_max_a * (1 + 1e-9):
            found.append(
                f"{device}: read current {peaks.read_a:.4g} A is above its limit of {limits.read_max_a:.4g} A"
            )
        needed_v = max(peaks.write_a, peaks.reset_a, peaks.read_a) * (card.r_ohm + CONTACTS_OHM)
        if needed_v > compliance_v * (1 + 1e-9):
            found.append(
                f"{device}: its {card.r_ohm:.4g} ohm need {needed_v:.3g} V, above the {compliance_v:.3g} V "
                "allowed; lower the amplitude"
            )
        return found

    def _within(self, device: str, peaks: Peaks, actual: FrameBatch, compliance_v: float) -> bool:
        """The same in short, for the many plans that exceed nothing."""
        card = self._devices[device]
        highest_a = compliance_v / (card.r_ohm + CONTACTS_OHM)
        return (
            peaks.write_a <= min(self.pulse_max_a(device, actual.write_width_s), highest_a)
            and peaks.reset_a <= min(self.pulse_max_a(device, actual.reset_width_s), highest_a)
            and peaks.read_a <= min(card.limits.read_max_a, highest_a)
        )


@dataclass(frozen=True)
class Judgement:
    """What planning found of a batch: its grouping, extremes, source ranges, misreading, and every reason
    against it. ranges is empty for a source without ranges of its own."""

    groups: Grouped
    peaks: Mapping[str, Peaks]
    ranges: Mapping[str, Range]
    chances: Mapping[str, float]
    reasons: tuple[str, ...]

    def on_digits(self, actual: FrameBatch) -> FrameBatch:
        """The batch with its amplitudes on the digits of each device's source range."""
        steps = np.array([self.ranges[name].step if name in self.ranges else 1.0 for name in actual.devices])
        step = steps[actual.device]
        return replace(
            actual,
            write_a=quantised(actual.write_a, step),
            reset_a=quantised(actual.reset_a, step),
            read_a=quantised(actual.read_a, step),
        )


def judged(
    actual: FrameBatch,
    envelope: Envelope,
    limit_v: Callable[[str], float],
    noise_v: Callable[[str, Peaks, float], float],
    *,
    reader: str,
    ranges: Sequence[Range] = (),
    source: str = "",
) -> Judgement:
    """Hold a batch (times as the instruments can do them) against the devices' limits, the source's ranges
    and the reader's noise. noise_v(device, peaks, integration_s); limit_v(device) is the compliance."""
    groups = grouped(actual)
    peaks = peaks_by_device(actual, groups)
    chosen: dict[str, Range] = {}
    chances: dict[str, float] = {}
    reasons = [] if len(actual) else ["the batch holds no frame"]
    for device, peak in peaks.items():
        reasons += envelope.complaints(device, peak, actual, limit_v(device))
        if ranges and (found := source_range(ranges, actual, peak)):
            chosen[device] = found
        elif ranges:
            reasons.append(f"{device}: no source range of the {source} holds its amplitudes")
        noise = partial(noise_v, device, peak, actual.integration_s)
        chances[device] = envelope.misread(device, peak, actual.integration_s, noise)
        reasons += hopeless(device, chances[device], reader)
    return Judgement(groups, peaks, chosen, chances, tuple(reasons))


def source_range(ranges: Sequence[Range], batch: FrameBatch, peak: Peaks) -> Range | None:
    """The smallest range that holds all amplitudes of one device; None if none does."""
    highest_a = max(peak.write_a, peak.read_a, peak.reset_a if batch.reset_count else 0.0)
    return smallest_range(ranges, highest_a)


def priced(
    player: str,
    batch: FrameBatch,
    actual: FrameBatch,
    found: Judgement,
    devices: Mapping[str, DeviceCard],
    *,
    loads: tuple[Load, ...],
    frame_s: float,
    spent_s: Mapping[str, float],
    relay_moves: int,
    notes: tuple[str, ...] = (),
    amplitude_uncertainty: float = 0.0,
) -> FramePlan:
    """The plan with all that it costs: time by kind (`SPENT`), pulses and energy of each device."""
    return FramePlan(
        player=player,
        batch=batch,
        actual=actual,
        order=found.groups.order,
        loads=loads,
        frame_s=frame_s,
        duration_s=sum(spent_s.values()),
        relay_moves=relay_moves,
        pulses=pulses_by_device(batch, found.groups),
        misread_probability=found.chances,
        notes=notes,
        spent_s={kind: spent_s.get(kind, 0.0) for kind in SPENT},
        energy_j=energy_by_device(actual, devices),
        quantisation_a=float(np.abs(actual.write_a - batch.write_a).max()) if len(batch) else 0.0,
        amplitude_uncertainty=amplitude_uncertainty,
    )


def energy_by_device(actual: FrameBatch, devices: Mapping[str, DeviceCard]) -> dict[str, float]:
    """Energy (J) of the reset and write pulses in each device, at its nominal resistance."""
    each = actual.write_width_s * np.square(actual.write_a)
    if actual.reset_count:
        each += actual.reset_count * actual.reset_width_s * np.square(actual.reset_a)
    square_s = np.bincount(actual.device, weights=each, minlength=len(actual.devices))
    return {
        name: float(square_s[number]) * devices[name].r_ohm
        for number, name in enumerate(actual.devices)
        if square_s[number]
    }


def route_s(station: Station) -> float:
    """Time of one change of route (s): looking that the source is off, opening, closing, settling."""
    switch = switch_of(station)
    if switch is None:
        return 0.0
    source_s = SOURCE_OFF_MESSAGES * float(station.role("pulse_source").message_s)
    return source_s + RELAY_MESSAGES * float(switch.message_s) + float(switch.settle_s)


def switch_of(station: Station) -> Any:
    """The driver of the bench's relays; None where pads lie on the instruments."""
    try:
        return station.role("switch")
    except KeyError:
        return None


def unfilled_roles(station: Station, roles: Sequence[str]) -> str:
    """Which of these roles nobody has; '' if all are filled."""
    for role in roles:
        try:
            station.role(role)
        except KeyError:
            return f"the bench has no {role}"
    return ""


def missing_roles(station: Station, roles: Sequence[str]) -> str:
    """Why these roles are not filled: nobody has one, or its driver lacks parts of it; '' if they are."""
    unfilled = unfilled_roles(station, roles)
    if unfilled:
        return unfilled
    for role in roles:
        missing = lacking(station.role(role), role)
        if missing:
            return f"the driver of the {role} {station.instrument_name(role)!r} has no {', '.join(missing)}"
    return ""


def unknown_devices(batch: FrameBatch, devices: Mapping[str, DeviceCard]) -> list[str]:
    """Names in the batch that the bench does not have, in sentences."""
    return [f"{name}: the bench has no such device" for name in batch.devices if name not in devices]


def hopeless(device: str, chance: float, what: str) -> list[str]:
    """A sentence if the states cannot be told apart at all."""
    if chance <= HOPELESS:
        return []
    return [
        f"{device}: {what} cannot tell its states apart (a misread probability of {chance:.2g}); "
        "raise the read current or integrate longer"
    ]


def refuse(reasons: list[str]) -> None:
    """PlanRefused with all reasons, if there are any."""
    if reasons:
        raise PlanRefused(reasons)


def quantised(values: FloatArray, step: FloatArray | float) -> FloatArray:
    """Values as the instrument can set them."""
    return np.rint(values / step) * step


def loads_of(batch: FrameBatch, groups: Grouped, frames_max: int) -> tuple[Load, ...]:
    """One load for each run of one device, split where it has more than frames_max frames."""
    runs = zip(groups.device.tolist(), groups.start.tolist(), groups.stop.tolist(), strict=True)
    return tuple(
        Load(batch.devices[index], at, min(at + frames_max, stop))
        for index, start, stop in runs
        for at in range(start, stop, frames_max)
    )


def still_fits(
    envelope: Envelope, device: str, peak: Peaks, actual: FrameBatch, limit_v: float, step_a: float
) -> None:
    """The last look before bytes go out, whatever made the plan: BenchError where a limit is exceeded.

    Half a digit (step_a) is forgiven: quantisation may lift an amplitude that met its limit exactly.
    """
    lowered = peak._replace(
        write_a=peak.write_a - step_a / 2, reset_a=peak.reset_a - step_a / 2, read_a=peak.read_a - step_a / 2
    )
    wrong = envelope.complaints(device, lowered, actual, limit_v)
    if wrong:
        raise BenchError(f"the plan does not fit the bench any more: {wrong[0]}")
