"""Dry run: the protocol's own steps on a bench that plans everything and plays nothing.

Plans are the real ones, with every limit checked. Readings are drawn from a nominal two-state device, so
that a protocol that decides by what it reads takes a plausible way; its steps and times are an estimate
where it does, and exact where it does not.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from hilab.bench.accounts import Account, Accounts, pulse_energy_j
from hilab.engine.costs import long_run_warning
from hilab.engine.messages import Checkpoint, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol
from hilab.errors import BenchError, HilabError, UsageError
from hilab.frames import FlagArray, FloatArray, FrameBatch, FramePlan, FrameReadings

# The nominal device. I50 as a share of the largest allowed pulse of the same width, slope from the
# barrier of 60 kT, coercive field in the middle of what thin perpendicular films show. Chosen, not measured.
I50_SHARE = 0.5
SLOPE_SHARE = 0.011
COERCIVE_T = 0.010
SETTLE_S = 10e-3
FIELD_POLLS_S = 0.4


class CountingClock:
    """Time that passes only by being counted."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += max(0.0, seconds)

    def wait(self, event: threading.Event | None, timeout_s: float) -> bool:
        self.sleep(timeout_s)
        return event is not None and event.is_set()


class PlannedArms:
    """A source on the Hall arms that only remembers: its voltage is that of one nominal square."""

    def __init__(self, square_ohm: Callable[[], float]):
        self._square_ohm = square_ohm
        self._current_a = 0.0

    def set_arm_a(self, current_a: float) -> None:
        self._current_a = current_a

    def arm_voltage_v(self) -> float:
        return self._current_a * self._square_ohm()

    def arm_off(self) -> None:
        self._current_a = 0.0


class PlanningBench:
    """A bench that checks, plans, prices and counts, and touches no instrument.

    bench: an open `hilab.bench.Bench`; only its description, limits, wear record and planner are used.
    """

    simulated = False

    def __init__(self, bench: Any, seed: int = 0):
        self._bench = bench
        self.clock = CountingClock()
        self.stop = threading.Event()
        self.devices = bench.devices
        self.frames = 0
        self.relay_moves = 0
        self.pulses: dict[str, tuple[int, int]] = {}
        self.players: Counter[str] = Counter()
        self.limits_used: dict[str, dict[str, float]] = {}
        self._accounts = Accounts(self.clock)
        self._random = np.random.default_rng(seed)
        self._state = dict.fromkeys(bench.devices, -1.0)
        self._field_t = 0.0
        self._routed = ""

    def __getattr__(self, name: str) -> Any:
        """What describes the bench is the bench's own; whatever would reach an instrument is refused."""
        if name in (
            "name",
            "sample",
            "operator",
            "note",
            "path",
            "file",
            "shunt",
            "integration_s",
            "pulse_width_s",
            "has_role",
            "suitable_players",
            "card",
        ):
            return getattr(self._bench, name)
        raise UsageError(
            f"this protocol uses bench.{name}, which a dry run cannot plan: run it without --dry-run"
        )

    # ---- frames -----------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch, player: str | None = None) -> FramePlan:
        plan: FramePlan = self._bench.plan(batch, player, prepare=False)
        return plan

    def play(self, plan: FramePlan, on_chunk: Callable[[int], None] | None = None) -> FrameReadings:
        """Count the plan's cost; readings of nominal devices without noise, in the order asked."""
        batch = plan.actual
        start_s = self.clock.now()
        self._pass(plan)
        self.frames += len(batch)
        self.relay_moves += plan.relay_moves
        self.players[plan.player] += len(batch)
        self._count_pulses(plan.pulses, plan.energy_j)
        self._accounts.played(plan)
        self._use_batch(batch)
        state, after_reset = self._switched(batch, plan.order)
        hall = np.array([self.devices[name].r_hall_ohm for name in batch.devices])[batch.device] / 2
        times = np.empty(len(batch))
        times[plan.order] = start_s + plan.duration_s * (np.arange(len(batch)) + 1) / max(1, len(batch))
        flags: FlagArray = np.zeros(len(batch), dtype=np.uint16)
        reset_v = batch.read_a * hall * after_reset if batch.verify_reset else np.full(len(batch), np.nan)
        if on_chunk is not None:
            on_chunk(len(batch))
        return FrameReadings(batch.read_a * hall * state, batch.read_a.copy(), times, flags, reset_v)

    def _pass(self, plan: FramePlan) -> None:
        """Let the plan's time pass, by kind; what it does not tell by kind is playing."""
        for kind, seconds in plan.spent_s.items():
            with self._accounts.spending(kind):
                self.clock.sleep(seconds)
        with self._accounts.spending("play"):
            self.clock.sleep(plan.duration_s - sum(plan.spent_s.values()))

    def _switched(self, batch: FrameBatch, order: Any) -> tuple[FloatArray, FloatArray]:
        """(state after the write, state after the reset) of every frame, +1 or -1, played in this order."""
        written, after_reset = np.empty(len(batch)), np.empty(len(batch))
        for number, name in enumerate(batch.devices):
            mine = order[batch.device[order] == number]
            resets = batch.reset_a[mine] if batch.reset_count else np.zeros(len(mine))
            pulses = np.column_stack([resets, batch.write_a[mine]]).ravel()
            widths = np.tile([batch.reset_width_s, batch.write_width_s], len(mine))
            states = self._state_after(name, pulses, widths)
            after_reset[mine], written[mine] = states[0::2], states[1::2]
        return written, after_reset

    def _state_after(self, device: str, pulses: FloatArray, widths: FloatArray) -> FloatArray:
        """State after each of these pulses: one that switches sets its sign, another changes nothing."""
        if not len(pulses):
            return pulses
        limits = self.devices[device].limits
        per_width = {width: limits.current_max_a(width) for width in np.unique(widths)}
        i50 = I50_SHARE * np.array([per_width[width] for width in widths])
        steepness = np.clip((np.abs(pulses) - i50) / (SLOPE_SHARE * i50), -50, 50)
        switched = self._random.random(len(pulses)) < 1 / (1 + np.exp(-steepness))
        last = np.maximum.accumulate(np.where(switched, np.arange(len(pulses)), -1))
        states = np.where(last >= 0, np.sign(pulses)[last], self._state[device])
        self._state[device] = float(states[-1])
        return np.asarray(states, dtype=np.float64)

    # ---- by hand ----------------------------------------------------------------------------------

    def read_port(
        self,
        device: str,
        port: str,
        current_a: float,
        *,
        reversals: int = 1,
        integration_s: float = 0.02,
        settle_s: float | None = None,
    ) -> Any:
        from hilab.bench.reading import PortReading

        card = self._bench.card(device)
        self._use(device, "read", abs(current_a), card.limits.read_max_a, "A (read_max_a)")
        reads = 2 * reversals or 1
        self.sleep(reads * (integration_s + (SETTLE_S if settle_s is None else settle_s)))
        resistance = {"hall": card.r_hall_ohm / 2 * self._state[device]}.get(port, card.r_ohm)
        even_v = 0.0 if reversals else math.nan
        return PortReading(
            current_a * resistance, even_v, current_a, current_a * card.r_ohm, False, False, self.clock.now()
        )

    def pulse(self, device: str, amplitude_a: float, width_s: float) -> None:
        card = self._bench.card(device)
        self._use(device, "pulse", abs(amplitude_a), card.limits.current_max_a(width_s), "A (pulse_max_a)")
        energy_j = pulse_energy_j(amplitude_a, width_s, card.r_ohm)
        self._count_pulses({device: (int(amplitude_a > 0), int(amplitude_a < 0))}, {device: energy_j})
        self._state_after(device, np.array([amplitude_a]), np.array([width_s]))
        with self._accounts.spending("play"):
            self.clock.sleep(width_s)

    def set_field(self, field_t: float, *, tolerance_t: float = 5e-5, timeout_s: float = 30) -> Any:
        from hilab.bench.field import FieldReading

        entry = self.file.field
        if entry is None:
            raise BenchError(f"the bench {self.name!r} has no field: it needs [field] and its two roles")
        total_t = math.hypot(field_t, entry.assist_t)
        for name, card in self.devices.items():
            self._use(name, "field", total_t, card.limits.field_max_t, "T (field_max_t)")
        if abs(field_t) > entry.max_t * (1 + 1e-9):
            raise BenchError(
                f"a field of {field_t:g} T is above the limit of {entry.max_t:g} T (field.max_t)"
            )
        coil_a = field_t / entry.tesla_per_ampere
        self.sleep(abs(field_t - self._field_t) / entry.tesla_per_ampere / entry.ramp_a_per_s + FIELD_POLLS_S)
        self._field_t = field_t
        if abs(field_t) > COERCIVE_T:
            self._state = dict.fromkeys(self._state, math.copysign(1.0, field_t))
        return FieldReading(field_t, field_t, True, coil_a, self.clock.now())

    def field_off(self) -> None:
        self._field_t = 0.0

    def route(self, device: str, port: str = "hall") -> None:
        self._routed = self._bench.card(device).name

    def role(self, name: str) -> Any:
        """A stand-in for the source on the Hall arms; other instruments cannot be planned."""
        self._bench.instrument_name(name)  # KeyError naming the role if nobody plays it
        if name != "arm_source":
            raise UsageError(
                f"this protocol drives the {name} itself, which a dry run cannot plan: "
                "run it without --dry-run"
            )
        return PlannedArms(self._square_ohm)

    def _square_ohm(self) -> float:
        card = self.devices[self._routed] if self._routed else next(iter(self.devices.values()))
        return float(card.r_ohm * card.width_m / card.length_m)

    def sleep(self, seconds: float) -> None:
        with self._accounts.spending("settle"):
            self.clock.sleep(seconds)

    def spending(self, kind: str) -> AbstractContextManager[None]:
        return self._accounts.spending(kind)

    def account(self) -> Account:
        return self._accounts.total()

    def check_stop(self) -> None:
        """A dry run is not stopped: it is over at once."""

    def wear(self, device: str) -> tuple[int, int]:
        """Wear so far, the planned pulses included."""
        before, planned = self._bench.wear(device), self.pulses.get(device, (0, 0))
        return before[0] + planned[0], before[1] + planned[1]

    def snapshot(self) -> bytes | None:
        return None

    # ---- counting ---------------------------------------------------------------------------------

    def _count_pulses(self, counts: Mapping[str, tuple[int, int]], energy_j: Mapping[str, float]) -> None:
        self._accounts.count(counts, energy_j)
        for device, (positive, negative) in counts.items():
            before = self.pulses.get(device, (0, 0))
            self.pulses[device] = (before[0] + positive, before[1] + negative)

    def _use_batch(self, batch: FrameBatch) -> None:
        for number in np.unique(batch.device):
            mine, name = batch.device == number, batch.devices[number]
            limits = self.devices[name].limits
            for amplitudes, width_s in (
                (batch.reset_a, batch.reset_width_s),
                (batch.write_a, batch.write_width_s),
            ):
                largest_a = float(np.abs(amplitudes[mine]).max())
                self._use(name, "pulse", largest_a, limits.current_max_a(width_s), "A (pulse_max_a)")
            self._use(
                name, "read", float(np.abs(batch.read_a[mine]).max()), limits.read_max_a, "A (read_max_a)"
            )

    def _use(self, device: str, kind: str, value: float, limit: float, unit: str) -> None:
        """Note the share of a limit that is used; BenchError above it (the tolerance is the quantisation)."""
        if not value <= limit * 1.02:
            raise BenchError(f"{device}: {kind} {value:g} is above the limit of {limit:g} {unit}")
        used = self.limits_used.setdefault(device, {})
        used[kind] = max(used.get(kind, 0.0), value / limit)


def dry_run(protocol: Protocol[Any], bench: Any) -> dict[str, Any]:
    """Run the protocol's steps on a planning bench; what it would do and cost, as plain values.

    Keys: protocol, parameters, steps (messages by kind), rows by stream, frames, frames by player,
    bench_time_s, relay_moves, pulses {device: [positive, negative]}, pulses_left, limits_used
    {device: {kind: share of the limit}}, bench_time {kind: s}, energy_j {device: J}, plans (who plays, with
    which times, and why), warnings (sentences). Raises what the run itself would raise for its limits.
    """
    planning = PlanningBench(bench, protocol.seed)
    steps: Counter[str] = Counter()
    rows: Counter[str] = Counter(dict.fromkeys(protocol.streams(), 0))
    for message in protocol.steps(planning):  # type: ignore[arg-type]  # a stand-in for the real bench
        steps[_kind(message)] += 1
        if isinstance(message, Reading):
            rows[message.stream] += max(
                np.size(values) if np.ndim(values) < 2 else len(values) for values in _arrays(message)
            )
    left = {
        name: planning.devices[name].limits.pulses_max - sum(planning.wear(name)) for name in planning.pulses
    }
    costs = planning.account().results()
    warning = long_run_warning(protocol, planning.clock.now())
    return {
        "protocol": protocol.name,
        "parameters": protocol.params.model_dump(mode="json"),
        "steps": dict(steps),
        "rows": dict(rows),
        "frames": planning.frames,
        "players": dict(planning.players),
        "bench_time_s": planning.clock.now(),
        "relay_moves": planning.relay_moves,
        "pulses": {name: list(counts) for name, counts in planning.pulses.items()},
        "pulses_left": left,
        "limits_used": planning.limits_used,
        "bench_time": costs["bench_time"],
        "energy_j": costs["energy_j"],
        "plans": costs["plans"],
        "warnings": [warning] if warning else [],
    }


def _kind(message: Message) -> str:
    if not isinstance(message, (Reading, Progress, Checkpoint, Result)):
        raise HilabError(f"the protocol yielded a {type(message).__name__}, which is no message")
    return type(message).__name__.lower()


def _arrays(message: Reading) -> list[Any]:
    return [np.asarray(values) for values in message.columns.values()]
