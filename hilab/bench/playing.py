"""Frame batches: which player plays them, what forbids it, and what they cost the devices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hilab import plugins
from hilab.bench.accounts import Accounts
from hilab.bench.choice import Choice, chosen
from hilab.bench.wear import WearLedger
from hilab.errors import UsageError
from hilab.frames import DeviceCard, Flag, FloatArray, FrameBatch, FramePlan, FrameReadings, PlanRefused
from hilab.roles import Player, Station

SLACK = 1 + 1e-9
"""A current equal to its limit is allowed, whatever rounding did to it."""

AHEAD = 1000
"""One part in so many of a device's pulse budget may be counted before it is asked for."""


class Playing:
    """Plans batches with the fastest suitable player and plays them, with the wear counted beforehand."""

    def __init__(self, station: Station, ledger: WearLedger, accounts: Accounts, misread_limit: float):
        self._station = station
        self._ledger = ledger
        self._accounts = accounts
        self._misread_limit = misread_limit
        self._players: dict[str, Player] = {}
        self._unsuitable: dict[str, str] | None = None
        self._fastest: dict[Any, Choice] = {}
        self.asked_for: str | None = None
        """The player of every batch, if the user chose one."""

    def always(self, player: str | None) -> None:
        """Play everything with this player (None: with the fastest). UsageError if this bench cannot."""
        if player is not None:
            suitable = self.suitable()
            if player not in suitable:
                raise UsageError(plugins.unknown("player", player, suitable))
            if suitable[player]:
                raise UsageError(f"the player {player} cannot play on this bench: {suitable[player]}")
        self.asked_for = player

    def suitable(self) -> dict[str, str]:
        """player -> why it cannot play on this bench; '' if it can."""
        if self._unsuitable is None:
            self._unsuitable = {
                name: plugins.load(plugins.PLAYERS, name).unsuitable(self._station)
                for name in plugins.names(plugins.PLAYERS)
            }
        return dict(self._unsuitable)

    def plan(self, batch: FrameBatch, player: str | None, prepare: bool = True) -> FramePlan:
        """The fastest plan that nothing forbids; PlanRefused with every reason otherwise.

        prepare lets players measure what they must know beforehand; without it nothing is sent.
        """
        player = player or self.asked_for
        self._refuse_nonsense(batch)
        if player is None and (known := self._fastest.get(_alike(batch))):
            try:
                return _explained(self._planned(known.player, batch, prepare), known)
            except PlanRefused:
                pass  # perhaps another player can; if not, all reasons are said below
        plans, choice = self._compared(batch, player, prepare)
        if player is None:
            self._fastest[_alike(batch)] = choice
        return _explained(plans[choice.player], choice)

    def choice(self, batch: FrameBatch, player: str | None, prepare: bool = True) -> Choice:
        """Which player would play the batch, and why; PlanRefused if none can."""
        self._refuse_nonsense(batch)
        return self._compared(batch, player or self.asked_for, prepare)[1]

    def play(
        self, plan: FramePlan, on_chunk: Callable[[int], None] | None, stop: threading.Event
    ) -> FrameReadings:
        """Count the pulses, play, and take back those of programmes that were never started."""
        player = self._player(plan.player)
        devices = self._station.devices
        ahead = {name: devices[name].limits.pulses_max // AHEAD for name in plan.pulses}
        self._ledger.debit(plan.pulses, ahead)
        self._accounts.count(plan.pulses, plan.energy_j)
        self._accounts.played(plan)
        readings = player.play(plan, on_chunk=on_chunk, stop=stop)
        unplayed = never_started(plan, readings)
        if unplayed.size:
            spared = plan.batch.take(unplayed).pulses()
            self._ledger.credit(spared)
            self._accounts.take_back(spared, _share_of_energy(plan, spared))
        return readings

    def _refuse_nonsense(self, batch: FrameBatch) -> None:
        unknown = sorted(set(batch.devices) - set(self._station.devices))
        if unknown:
            raise PlanRefused([plugins.unknown("device", name, self._station.devices) for name in unknown])
        if not len(batch):
            raise PlanRefused(["the batch holds no frames"])

    def _compared(
        self, batch: FrameBatch, player: str | None, prepare: bool
    ) -> tuple[dict[str, FramePlan], Choice]:
        """The plans of all players that can (or of the one asked for), and which is to be played."""
        plans: dict[str, FramePlan] = {}
        refused: dict[str, tuple[str, ...]] = {}
        for name in self._candidates(player):
            try:
                plans[name] = self._planned(name, batch, prepare)
            except PlanRefused as error:
                refused[name] = error.reasons
        if not plans:
            raise PlanRefused(_without_repetition(refused))
        if player is None:
            refused |= {name: (reason,) for name, reason in self.suitable().items() if reason}
        return plans, chosen(plans, refused, player)

    def _planned(self, name: str, batch: FrameBatch, prepare: bool) -> FramePlan:
        """The player's checked plan; PlanRefused with its reasons."""
        player = self._player(name)
        if prepare and hasattr(player, "prepare"):
            refuse_outside(
                batch, self._station.devices
            )  # nobody measures for a batch that must not be played
            with self._accounts.spending("settle"):
                player.prepare(batch)
        return self._checked(player.plan(batch))

    def _candidates(self, player: str | None) -> list[str]:
        suitable = self.suitable()
        if player is None:
            chosen = [name for name, reason in suitable.items() if not reason]
            if not chosen:
                raise PlanRefused([f"{name}: {reason}" for name, reason in suitable.items()])
            return chosen
        if player not in suitable:
            raise UsageError(plugins.unknown("player", player, suitable))
        if suitable[player]:
            raise PlanRefused([f"{player}: {suitable[player]}"])
        return [player]

    def _player(self, name: str) -> Player:
        if name not in self._players:
            self._players[name] = plugins.load(plugins.PLAYERS, name)(self._station)
        return self._players[name]

    def _checked(self, plan: FramePlan) -> FramePlan:
        """The plan itself, if envelope, misread limit and wear budget allow it."""
        devices = self._station.devices
        reasons = [
            *envelope_reasons(plan.batch, devices),
            *_misread_reasons(plan, self._misread_limit),
            *wear_reasons(plan.pulses, devices, self._ledger.all()),
        ]
        if reasons:
            raise PlanRefused(reasons)
        return plan


def _explained(plan: FramePlan, choice: Choice) -> FramePlan:
    """The plan with the reason of its choice as its last note."""
    return replace(plan, notes=(*plan.notes, choice.why))


def envelope_reasons(batch: FrameBatch, devices: Mapping[str, DeviceCard]) -> Iterator[str]:
    """One sentence for each amplitude of each device that is above what it may bear."""
    cards = [devices[name] for name in batch.devices]
    asked = [
        ("read", batch.read_a, [card.limits.read_max_a for card in cards], "read_max_a"),
        (
            "write",
            batch.write_a,
            [card.limits.current_max_a(batch.write_width_s) for card in cards],
            f"pulse_max_a at {batch.write_width_s * 1e6:g} us",
        ),
    ]
    if batch.reset_count:
        limits = [card.limits.current_max_a(batch.reset_width_s) for card in cards]
        asked.append(("reset", batch.reset_a, limits, f"pulse_max_a at {batch.reset_width_s * 1e6:g} us"))
    for what, amplitude_a, limits, key in asked:
        for name, got_a, limit_a in _above(batch, amplitude_a, limits):
            yield (
                f"{name}: a {what} amplitude of {got_a * 1e3:.4g} mA is above its envelope of "
                f"{limit_a * 1e3:.4g} mA ({key})"
            )
        volts = [card.limits.voltage_max_v / card.r_ohm for card in cards]
        for name, got_a, limit_a in _above(batch, amplitude_a, volts):
            yield (
                f"{name}: a {what} amplitude of {got_a * 1e3:.4g} mA needs more than voltage_max_v across "
                f"the line, which allows {limit_a * 1e3:.4g} mA"
            )


def refuse_outside(batch: FrameBatch, devices: Mapping[str, DeviceCard]) -> None:
    """PlanRefused if an amplitude is above what its device may bear."""
    reasons = list(envelope_reasons(batch, devices))
    if reasons:
        raise PlanRefused(reasons)


def _above(
    batch: FrameBatch, amplitude_a: FloatArray, limits: Iterable[float]
) -> Iterator[tuple[str, float, float]]:
    """(device, largest amplitude, limit) where a device's limit is exceeded."""
    limit_a = np.array(list(limits))
    if max(amplitude_a.max(), -amplitude_a.min()) <= limit_a.min():
        return  # no need to look at each frame
    size_a = np.abs(amplitude_a)
    over = size_a > limit_a[batch.device] * SLACK
    if over.any():
        for number in np.unique(batch.device[over]):
            largest_a = size_a[over & (batch.device == number)].max()
            yield batch.devices[number], float(largest_a), float(limit_a[number])


def _misread_reasons(plan: FramePlan, limit: float) -> Iterator[str]:
    for name, chance in plan.misread_probability.items():
        if not chance <= limit:
            read_a = np.abs(plan.batch.read_a[plan.batch.device == plan.batch.devices.index(name)]).min()
            yield (
                f"{name}: a read of {read_a * 1e3:.3g} mA over {plan.batch.integration_s * 1e3:.3g} ms "
                f"cannot tell the states apart (misread probability {chance:.2g}, limit {limit:.2g}): "
                f"read longer or with more current"
            )


def wear_reasons(
    pulses: Mapping[str, tuple[int, int]],
    devices: Mapping[str, DeviceCard],
    counted: Mapping[str, tuple[int, int]],
) -> Iterator[str]:
    """One sentence for each device whose pulse budget would be exceeded."""
    for name, asked in pulses.items():
        had, budget = sum(counted.get(name, (0, 0))), devices[name].limits.pulses_max
        if had + sum(asked) > budget:
            yield (
                f"{name}: {sum(asked)} more pulses on top of {had} are above its budget of {budget} "
                f"(pulses_max): use another device, or name a fresh sample"
            )


def never_started(plan: FramePlan, readings: FrameReadings) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Frames of the programmes after the one that was in flight when playing ended.

    The first programme with a missing frame may have been running: its pulses stay counted, so that the
    counted wear is never less than the true wear.
    """
    missing = (readings.flags & np.uint16(int(Flag.MISSING))) != 0
    if not missing.any():
        return np.empty(0, dtype=np.int64)
    unplayed = []
    in_flight = False
    for load in plan.loads:
        frames = plan.order[load.start : load.stop]
        if in_flight and missing[frames].all():
            unplayed.append(frames)
        in_flight = in_flight or bool(missing[frames].any())
    return np.concatenate(unplayed) if unplayed else np.empty(0, dtype=np.int64)


def _share_of_energy(plan: FramePlan, pulses: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """The part of each device's energy that these pulses of the plan stand for."""
    return {
        name: plan.energy_j.get(name, 0.0) * sum(counts) / max(1, sum(plan.pulses[name]))
        for name, counts in pulses.items()
    }


def _alike(batch: FrameBatch) -> Any:
    """Batches with the same key are played fastest by the same player."""
    return (
        len(batch).bit_length(),
        batch.reset_width_s,
        batch.write_width_s,
        batch.reset_count,
        batch.reset_gap_s,
        batch.reset_wait_s,
        batch.read_wait_s,
        batch.integration_s,
        batch.verify_reset,
        batch.ordered,
    )


def _without_repetition(refused: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Reasons that all players share once, the others with the player's name."""
    shared = set.intersection(*(set(reasons) for reasons in refused.values())) if refused else set()
    first = next(iter(refused.values()), ())
    said = [reason for reason in first if reason in shared]
    for name, reasons in refused.items():
        said += [f"{name}: {reason}" for reason in reasons if reason not in shared]
    return said
