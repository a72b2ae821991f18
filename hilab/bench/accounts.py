"""What the bench's time went into, and what the devices got: booked as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from hilab.frames import SPENT, FramePlan
from hilab.roles import Clock

UNBOOKED = "host"
"""Time in which nobody says what the bench does: the program works, or waits for something else."""


TIMES = (
    "reset_width_s",
    "write_width_s",
    "reset_gap_s",
    "reset_wait_s",
    "read_wait_s",
    "integration_s",
)
"""The times of a batch that a player may have to change."""


@dataclass(frozen=True)
class Played:
    """Batches that one player played with the same times: what was asked, what was done, and why so.

    notes are those of the first plan; quantisation_a, amplitude_uncertainty and misread_probability the
    largest of all.
    """

    player: str
    requested: Mapping[str, float]
    actual: Mapping[str, float]
    frames: int
    batches: int
    quantisation_a: float
    amplitude_uncertainty: float
    misread_probability: float
    notes: tuple[str, ...]

    def and_(self, other: Played) -> Played:
        """Both together, of the same key."""
        return replace(
            self,
            frames=self.frames + other.frames,
            batches=self.batches + other.batches,
            quantisation_a=max(self.quantisation_a, other.quantisation_a),
            amplitude_uncertainty=max(self.amplitude_uncertainty, other.amplitude_uncertainty),
            misread_probability=max(self.misread_probability, other.misread_probability),
        )

    def without(self, earlier: Played) -> Played:
        """What was played after `earlier`."""
        return replace(self, frames=self.frames - earlier.frames, batches=self.batches - earlier.batches)


PlayedKey = tuple[str, tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Account:
    """spent_s: bench time (s) by the kinds of `SPENT`; pulses (positive, negative) and energy (J) of the
    pulses by device; played: the plans that were played, those with the same player and times together."""

    spent_s: Mapping[str, float] = field(default_factory=dict)
    pulses: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    energy_j: Mapping[str, float] = field(default_factory=dict)
    played: Mapping[PlayedKey, Played] = field(default_factory=dict)

    def since(self, earlier: Account) -> Account:
        """What was added after `earlier`."""
        rest = {
            key: one.without(earlier.played[key]) if key in earlier.played else one
            for key, one in self.played.items()
        }
        return self._combined(earlier, -1, {key: one for key, one in rest.items() if one.batches})

    def plus(self, other: Account) -> Account:
        """Both together."""
        played = dict(self.played)
        for key, one in other.played.items():
            played[key] = played[key].and_(one) if key in played else one
        return self._combined(other, +1, played)

    def _combined(self, other: Account, sign: int, played: Mapping[PlayedKey, Played]) -> Account:
        def pair(name: str) -> tuple[int, int]:
            mine, theirs = self.pulses.get(name, (0, 0)), other.pulses.get(name, (0, 0))
            return mine[0] + sign * theirs[0], mine[1] + sign * theirs[1]

        pulsed = {name: pair(name) for name in {**self.pulses, **other.pulses}}
        return Account(
            _added(self.spent_s, other.spent_s, sign),
            {name: counts for name, counts in pulsed.items() if any(counts)},
            _added(self.energy_j, other.energy_j, sign),
            played,
        )

    def results(self) -> dict[str, Any]:
        """As a run's results hold it: bench_time {kind: s}, pulses {device: {polarity: n}}, energy_j
        {device: J} and plans (requested against actual times, who played, and why)."""
        return {
            "bench_time": {kind: round(self.spent_s.get(kind, 0.0), 9) for kind in SPENT},
            "pulses": {
                name: {"positive": positive, "negative": negative}
                for name, (positive, negative) in self.pulses.items()
            },
            "energy_j": {name: float(f"{energy:.9g}") for name, energy in self.energy_j.items()},
            "plans": [asdict(one) for one in self.played.values()],
        }

    @classmethod
    def from_results(cls, results: Mapping[str, Any]) -> Self:
        """The account that `results()` of another one tells; an empty one where it is not told."""
        pulses = results.get("pulses", {})
        played = [Played(**{**one, "notes": tuple(one["notes"])}) for one in results.get("plans", ())]
        return cls(
            dict(results.get("bench_time", {})),
            {name: (int(counts["positive"]), int(counts["negative"])) for name, counts in pulses.items()},
            dict(results.get("energy_j", {})),
            {_key(one): one for one in played},
        )


def _key(one: Played) -> PlayedKey:
    return one.player, tuple(one.requested.values()), tuple(one.actual.values())


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
        self._played: dict[PlayedKey, Played] = {}

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

    def played(self, plan: FramePlan) -> None:
        """Remember a plan that is played."""
        one = Played(
            plan.player,
            {name: getattr(plan.batch, name) for name in TIMES},
            {name: getattr(plan.actual, name) for name in TIMES},
            len(plan.batch),
            1,
            plan.quantisation_a,
            plan.amplitude_uncertainty,
            max(plan.misread_probability.values(), default=0.0),
            plan.notes,
        )
        key = _key(one)
        self._played[key] = self._played[key].and_(one) if key in self._played else one

    def total(self) -> Account:
        """Everything up to now."""
        self._book()
        return Account(dict(self._spent_s), dict(self._pulses), dict(self._energy_j), dict(self._played))

    def jumped(self) -> None:
        """The clock was put to another time (a simulated bench was restored): nothing passed meanwhile."""
        self._booked_until_s = self._clock.now()

    def _book(self) -> None:
        now_s = self._clock.now()
        self._spent_s[self._kinds[-1]] += now_s - self._booked_until_s
        self._booked_until_s = now_s


def pulse_energy_j(amplitude_a: float, width_s: float, r_ohm: float) -> float:
    """Energy (J) of one rectangular pulse into a resistance."""
    return amplitude_a**2 * width_s * r_ohm
