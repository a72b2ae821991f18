"""The field at the devices: the coil is ramped, the gaussmeter has the last word."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hilab.bench.file import FieldEntry
from hilab.errors import BenchError
from hilab.frames import DeviceCard
from hilab.roles import Clock, FieldMeter, FieldSource

POLL_S = 0.1
"""Between two readings of the gaussmeter while the field settles."""

QUIET_READINGS = 4
"""So many readings in a row must agree within the tolerance."""

MARGIN = 1.1
"""A measured field beyond this multiple of the limit means that coil and gaussmeter disagree."""

COIL_TOLERANCE = 0.05
"""Accepted relative difference between the coil current asked for and measured."""


@dataclass(frozen=True)
class FieldReading:
    """The field asked for and the one measured (T); settled False if it did not come to rest in time."""

    requested_t: float
    measured_t: float
    settled: bool
    coil_a: float
    time_s: float


class FieldControl:
    """Coil supply and gaussmeter together. `sleep` is the bench's: it raises when the run is stopped."""

    def __init__(
        self,
        source: FieldSource,
        meter: FieldMeter,
        entry: FieldEntry,
        clock: Clock,
        sleep: Callable[[float], None],
    ):
        self._source = source
        self._meter = meter
        self._entry = entry
        self._clock = clock
        self._sleep = sleep
        self._coil_a: float | None = 0.0
        self._offset_a = 0.0  # what the gaussmeter taught: remanence, stray field

    @property
    def energised(self) -> bool:
        """True if the coil may carry a current."""
        return self._coil_a != 0.0

    def switched_off(self) -> None:
        """The safe state has switched the coil off."""
        self._coil_a = 0.0

    def forget(self) -> None:
        """The coil may carry any current now: the next ramp starts from what is measured."""
        self._coil_a, self._offset_a = None, 0.0

    def refuse(self, field_t: float, cards: Iterable[DeviceCard]) -> None:
        """BenchError if the field is above the coil's limit or what a device on the chuck may bear."""
        if not (math.isfinite(field_t) and abs(field_t) <= self._entry.max_t * (1 + 1e-9)):
            raise BenchError(
                f"a field of {field_t:g} T is above the limit of {self._entry.max_t:g} T (field.max_t)"
            )
        total_t = math.hypot(field_t, self._entry.assist_t)
        for card in cards:
            if total_t > card.limits.field_max_t:
                raise BenchError(
                    f"a field of {field_t:g} T ({total_t:g} T with the assist field) is above the envelope "
                    f"of {card.name}: {card.limits.field_max_t:g} T (field_max_t)"
                )

    def set(self, field_t: float, tolerance_t: float, timeout_s: float) -> FieldReading:
        """Ramp, wait until the gaussmeter rests, correct until it reads field_t within the tolerance."""
        deadline = self._clock.now() + timeout_s
        per_ampere = self._entry.tesla_per_ampere
        coil_a = field_t / per_ampere + self._offset_a
        while True:
            self._ramp(self._bounded(coil_a))
            measured_t, quiet = self._settle(tolerance_t, deadline)
            self._check(measured_t)
            error_t = field_t - measured_t
            if abs(error_t) <= tolerance_t or not quiet or self._clock.now() >= deadline:
                break
            coil_a = self._bounded(coil_a + error_t / per_ampere)
            if coil_a == self._coil_a:
                break  # the coil is at its limit
        self._offset_a = (self._coil_a or 0.0) - field_t / per_ampere
        settled = quiet and abs(error_t) <= tolerance_t
        return FieldReading(field_t, measured_t, settled, self._source.coil_a(), self._clock.now())

    def off(self) -> None:
        """Ramp to zero and switch the coil supply off."""
        if self.energised:
            self._ramp(0.0)
        self._source.coil_off()

    def _bounded(self, coil_a: float) -> float:
        limit = MARGIN * self._entry.max_t / self._entry.tesla_per_ampere
        return min(max(coil_a, -limit), limit)

    def _ramp(self, target_a: float) -> None:
        start_a = self._source.coil_a() if self._coil_a is None else self._coil_a
        steps = max(1, math.ceil(abs(target_a - start_a) / self._entry.step_a))
        pause_s = abs(target_a - start_a) / steps / self._entry.ramp_a_per_s
        self._coil_a = None  # until the ramp is over
        for step in range(1, steps + 1):
            self._source.set_coil_a(start_a + (target_a - start_a) * step / steps)
            self._sleep(pause_s)
        self._coil_a = target_a

    def _settle(self, tolerance_t: float, deadline: float) -> tuple[float, bool]:
        """(mean of the last readings, whether they agree)."""
        last: deque[float] = deque(maxlen=QUIET_READINGS)
        while True:
            self._sleep(POLL_S)
            last.append(self._meter.read_field_t())
            quiet = len(last) == QUIET_READINGS and max(last) - min(last) <= tolerance_t
            if quiet or self._clock.now() >= deadline:
                return sum(last) / len(last), quiet

    def _check(self, measured_t: float) -> None:
        """Stop where the instruments contradict each other: some supplies reject a setpoint silently."""
        asked_a, coil_a = self._coil_a or 0.0, self._source.coil_a()
        if abs(coil_a - asked_a) > COIL_TOLERANCE * abs(asked_a) + self._entry.step_a:
            raise BenchError(
                f"the coil supply holds {coil_a:g} A instead of {asked_a:g} A: check its limits and its coil"
            )
        if not abs(measured_t) <= MARGIN * self._entry.max_t:
            raise BenchError(
                f"the gaussmeter reads {measured_t:g} T, beyond the limit of {self._entry.max_t:g} T: "
                f"check the probe and tesla_per_ampere"
            )
