"""What the bench's time went into, and what the devices got: booked as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from hilab.frames import SPENT
from hilab.roles import Clock

UNBOOKED = "host"
"""Time in which nobody says what the bench does: the program works, or waits for something else."""


@dataclass(frozen=True)
class Account:
    """spent_s: bench time (s) by the kinds of `SPENT`; pulses (positive, negative) and energy (J) of the
    pulses by device."""

    spent_s: Mapping[str, float] = field(default_factory=dict)
    pulses: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    energy_j: Mapping[str, float] = field(default_factory=dict)

    def since(self, earlier: Account) -> Account:
        """What was added after `earlier`."""
        return self._combined(earlier, -1)

    def plus(self, other: Account) -> Account:
        """Both together."""
        return self._combined(other, +1)

    def _combined(self, other: Account, sign: int) -> Account:
        def pair(name: str) -> tuple[int, int]:
            mine, theirs = self.pulses.get(name, (0, 0)), other.pulses.get(name, (0, 0))
            return mine[0] + sign * theirs[0], mine[1] + sign * theirs[1]

        pulsed = {name: pair(name) for name in {**self.pulses, **other.pulses}}
        return Account(
            _added(self.spent_s, other.spent_s, sign),
            {name: counts for name, counts in pulsed.items() if any(counts)},
            _added(self.energy_j, other.energy_j, sign),
        )

    def results(self) -> dict[str, Any]:
        """As a run's results hold it: bench_time {kind: s}, pulses {device: {polarity: n}}, energy_j."""
        return {
            "bench_time": {kind: self.spent_s.get(kind, 0.0) for kind in SPENT},
            "pulses": {
                name: {"positive": positive, "negative": negative}
                for name, (positive, negative) in self.pulses.items()
            },
            "energy_j": dict(self.energy_j),
        }

    @classmethod
    def from_results(cls, results: Mapping[str, Any]) -> Self:
        """The account that `results()` of another one tells; an empty one where it is not told."""
        pulses = results.get("pulses", {})
        return cls(
            dict(results.get("bench_time", {})),
            {name: (int(counts["positive"]), int(counts["negative"])) for name, counts in pulses.items()},
            dict(results.get("energy_j", {})),
        )


def _added(mine: Mapping[str, float], theirs: Mapping[str, float], sign: int) -> dict[str, float]:
    sums = {name: mine.get(name, 0.0) + sign * theirs.get(name, 0.0) for name in {**mine, **theirs}}
    return {name: value for name, value in sums.items() if value}


class Accounts:
    """The bench's books. One thread works on the bench at a time, and only that one books."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._kinds = [UNBOOKED]
        self._booked_until_s = clock.now()
        self._spent_s = dict.fromkeys(SPENT, 0.0)
        self._pulses: dict[str, tuple[int, int]] = {}
        self._energy_j: dict[str, float] = {}

    @contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Bench time that passes inside is of this kind, or of a block's inside it. ValueError if there is
        no such kind."""
        if kind not in self._spent_s:
            raise ValueError(f"no bench time is of kind {kind!r}; there are: {', '.join(SPENT)}")
        self._book()
        self._kinds.append(kind)
        try:
            yield
        finally:
            self._book()
            self._kinds.pop()

    def count(self, pulses: Mapping[str, tuple[int, int]], energy_j: Mapping[str, float]) -> None:
        """Add pulses (positive, negative) and energy (J) by device."""
        for name, (positive, negative) in pulses.items():
            before = self._pulses.get(name, (0, 0))
            self._pulses[name] = (before[0] + positive, before[1] + negative)
        for name, energy in energy_j.items():
            self._energy_j[name] = self._energy_j.get(name, 0.0) + energy

    def take_back(self, pulses: Mapping[str, tuple[int, int]], energy_j: Mapping[str, float]) -> None:
        """Undo a part of `count`: it was never played."""
        self.count(
            {name: (-positive, -negative) for name, (positive, negative) in pulses.items()},
            {name: -energy for name, energy in energy_j.items()},
        )

    def total(self) -> Account:
        """Everything up to now."""
        self._book()
        return Account(dict(self._spent_s), dict(self._pulses), dict(self._energy_j))

    def _book(self) -> None:
        now_s = self._clock.now()
        # a simulated bench may have been put back to an earlier moment
        self._spent_s[self._kinds[-1]] += max(0.0, now_s - self._booked_until_s)
        self._booked_until_s = now_s


def pulse_energy_j(amplitude_a: float, width_s: float, r_ohm: float) -> float:
    """Energy (J) of one rectangular pulse into a resistance."""
    return amplitude_a**2 * width_s * r_ohm
