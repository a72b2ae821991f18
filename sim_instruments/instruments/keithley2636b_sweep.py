"""Running sweeps of the 2636B: pulses played and readings taken as the world's time passes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim_instruments.instruments.keithley2636b_buffer import ReadingBuffer
from sim_instruments.instruments.keithley2636b_digio import Output
from sim_instruments.instruments.keithley2636b_events import Blender, Channel, Network, Timer, Timing
from sim_instruments.instruments.keithley2636b_smu import Smu, State
from sim_instruments.instruments.keithley2636b_vector import event_times, resolve
from sim_instruments.world.contracts import BoolArray, FloatArray, Level, PlayTrace, PulseTrain

SETTLE_S = 12e-6  # time constant of source and meter from 100 uA up: 0.1 % after 80 us; source: sheet [R]
SETTLED = 15  # time constants after which nothing of the step is left
ROUNDING_S = 1e-9
PROBE_V = 1e-3  # what measures the line's resistance for a voltage sweep


@dataclass
class Run:
    """One channel's sweep. levels cycle; kind '' sources nothing. measures: '' or the readings of each
    measure action, one buffer each; repeats readings for each action, each_s apart."""

    smu: Smu
    channel: Channel
    levels: FloatArray
    kind: str
    limit: float
    hold_pulse: bool
    hold_sweep: bool
    measures: str
    buffers: Sequence[ReadingBuffer]
    repeats: int
    aperture_s: float
    each_s: float
    timing: Timing | None = None  # absolute times
    played: int = 0
    measured: int = 0
    ended: bool = False
    idle: dict[str, float] = field(default_factory=dict)  # last seen between pulses, by terminal

    def ends_s(self) -> FloatArray:
        """(n,) when each pulse ends, inf for one that has no end yet."""
        timing = self._timing()
        starts, ends = timing.source_s, timing.end_s
        if self.hold_pulse:
            last = timing.finish_s if len(ends) == len(starts) else np.inf
            return np.append(starts[1:], last)
        return np.append(ends, np.full(len(starts) - len(ends), np.inf))

    def level_of(self, first: int, stop: int) -> FloatArray:
        """Levels of pulses first..stop-1."""
        return self.levels[np.arange(first, stop) % len(self.levels)]

    def _timing(self) -> Timing:
        assert self.timing is not None
        return self.timing


@dataclass
class Edges:
    """Rising edges of a digital line: absolute times, ascending, and how many were reported."""

    terminal: str
    times_s: FloatArray
    told: int = 0


class Programme:
    """All channels that sweep together, what joins them, and the digital lines that follow their events."""

    def __init__(
        self,
        start_s: float,
        timers: tuple[Timer, ...],
        blenders: tuple[Blender, ...],
        outputs: tuple[Output, ...] = (),
    ):
        self.start_s = start_s
        self.outputs = outputs
        self.edges = [Edges(output.terminal, np.empty(0)) for output in outputs]
        self.timers = timers
        self.blenders = blenders
        self.runs: list[Run] = []
        self.external: list[tuple[float, int]] = []
        self.fixed = False  # restored from a snapshot: its times stand, whatever happens outside
        self._stale = False

    def add(self, run: Run) -> None:
        """A channel joins (its start time stands in run.channel)."""
        self.runs.append(run)
        self._stale = run.timing is None

    def event(self, time_s: float, number: int) -> None:
        """Something outside happened: *TRG, or a script sets a detector."""
        if not self.fixed:
            self.external.append((time_s - self.start_s, number))
            self._stale = True

    def refresh(self) -> None:
        """Resolve the network anew if a channel or an event has joined; the past does not change by it."""
        if not self._stale:
            return
        self._stale = False
        live = [run for run in self.runs if not run.ended]
        network = Network(
            tuple(run.channel for run in self.runs), self.timers, self.blenders, tuple(self.external)
        )
        timings = resolve(network)
        for run in live:
            run.timing = _shifted(timings[run.channel.number], self.start_s)
        for output, edges in zip(self.outputs, self.edges, strict=True):
            edges.times_s = event_times(network, output.event) + output.after_s + self.start_s

    def finish_s(self) -> float:
        """When the last channel is idle again; inf if one waits for ever."""
        self.refresh()
        return max((run.timing.finish_s for run in self.runs if not run.ended and run.timing), default=0.0)

    def run_of(self, smu: Smu) -> Run | None:
        """The channel's sweep while it is not idle."""
        return next((run for run in self.runs if run.smu is smu and not run.ended), None)

    @property
    def over(self) -> bool:
        return all(run.ended for run in self.runs)

    # ---- time ----

    def advance(self, now: float) -> None:
        """Play every pulse that has ended, take every reading that is complete, end what is finished."""
        self.refresh()
        traces = {id(run): trace for run in self.runs if (trace := self._play(run, now)) is not None}
        for run in self.runs:
            self._measure(run, traces, now)
        self._tell_edges(traces, now)
        for run in self.runs:
            if not run.ended and run.timing is not None and run.timing.finish_s <= now + ROUNDING_S:
                self._end(run)

    def _tell_edges(self, traces: Mapping[int, _Played], now: float) -> None:
        """Report the edges within the pulses that were just played, or up to now where nothing sources."""
        if not self.edges:
            return
        driver = next((run for run in self.runs if run.kind and run.timing), None)
        played = traces.get(id(driver)) if driver is not None else None
        until_s = now
        if driver is not None and not driver.ended:
            until_s = float(driver.ends_s()[driver.played - 1]) if driver.played else -np.inf
        world = self.runs[0].smu.owner.world
        for edges in self.edges:
            stop = int(np.searchsorted(edges.times_s, min(until_s, now), side="right"))
            if stop > edges.told:
                times = edges.times_s[edges.told : stop]
                edges.told = stop
                world.trigger(edges.terminal, times, played.trace if played is not None else None)

    def abort(self, run: Run, now: float) -> None:
        """Cut a channel's sweep at now: the pulse under way ends here."""
        self.refresh()
        assert run.timing is not None
        timing = run.timing
        starts = timing.source_s[timing.source_s < now - ROUNDING_S]
        ends = np.minimum(run.ends_s()[: len(starts)], now)
        measures = timing.measure_s[timing.measure_s + run.aperture_s <= now + ROUNDING_S]
        run.timing = Timing(starts, measures, ends, now)
        run.hold_pulse = run.hold_sweep = False
        self.advance(now)

    def _end(self, run: Run) -> None:
        run.ended = True
        if run.hold_sweep and run.kind == "i" and run.played:
            last = float(run.level_of(run.played - 1, run.played)[0])
            run.smu.hold(Level(last, run.limit, True))

    def _play(self, run: Run, now: float) -> _Played | None:
        """Play the run's pulses that ended by now."""
        if not run.kind or run.ended or run.timing is None:
            return None
        ends = run.ends_s()
        stop = int(np.searchsorted(ends, now + ROUNDING_S, side="right"))
        first = run.played
        if stop <= first:
            return None
        starts = run.timing.source_s[first:stop]
        levels = run.smu.driven(run.kind, run.level_of(first, stop))
        limit = run.limit
        if run.kind == "v":
            levels, limit = self._currents(run, levels)
        train = PulseTrain(levels, starts, ends[first:stop] - starts, run.smu.base_a, limit)
        trace = run.smu.owner.world.play(run.smu.terminal, train)
        run.played = stop
        if trace.compliance.any():
            run.smu.limit_seen = True
        return _Played(first, trace)

    def _currents(self, run: Run, levels_v: FloatArray) -> tuple[FloatArray, float]:
        """Voltage pulses as current pulses: the world plays currents only, and the lines are ohmic.
        The current limit bounds them; the voltage across an open line is the pulse's own."""
        world, smu = run.smu.owner.world, run.smu
        held = smu.level()
        world.set_level(smu.terminal, Level(PROBE_V, 1.0, True, voltage_mode=True))
        _, high_a, _ = world.source_state(smu.terminal)
        world.set_level(smu.terminal, Level(-PROBE_V, 1.0, True, voltage_mode=True))
        _, low_a, _ = world.source_state(smu.terminal)
        world.set_level(smu.terminal, held)
        siemens = (high_a - low_a) / (2 * PROBE_V)
        currents = np.clip(levels_v * siemens, -run.limit, run.limit)
        return currents, float(np.abs(levels_v).max())

    # ---- readings ----

    def _measure(self, run: Run, traces: Mapping[int, _Played], now: float) -> None:
        """Take the readings whose aperture is over, as far as the pulses that they look at are played."""
        if not run.measures or run.ended or run.timing is None:
            return
        starts = _repeated(run.timing.measure_s, run.repeats, run.each_s)
        stop = int(np.searchsorted(starts + run.aperture_s, now + ROUNDING_S, side="right"))
        driver = run if run.kind else next((each for each in self.runs if each.kind and each.timing), None)
        if driver is None or driver.timing is None:
            begin = starts[run.measured : stop]
            if len(begin):
                self._store(run, begin, run.smu.state().repeated(len(begin)), np.zeros(len(begin)))
            run.measured = max(run.measured, stop)
            return
        middles = starts[run.measured : stop] + run.aperture_s / 2
        pulse = _pulse_under(driver, middles)
        ready = int(np.searchsorted(pulse, driver.played, side="left"))
        begin, pulse = starts[run.measured : run.measured + ready], pulse[:ready]
        played = traces.get(id(driver))
        if len(begin):
            state, sources = self._seen(run, driver, played, begin, pulse)
            self._store(run, begin, state, sources)
        run.measured += ready
        if played is not None:
            played.keep_idle(run, driver)

    def _seen(
        self, run: Run, driver: Run, played: _Played | None, begin_s: FloatArray, pulse: Any
    ) -> tuple[State, FloatArray]:
        """What the readings see: the pulse under them for the part of the aperture that it covers, with
        its settling, and the level between pulses for the rest."""
        assert driver.timing is not None
        idle = run.idle.get(run.smu.terminal)
        if idle is None and (played is None or (pulse < played.first).any()):
            idle = float(run.smu.state().voltage_v[-1])
        if played is None:
            return _spread_voltage(run.smu, idle or 0.0, len(begin_s)), np.full(
                len(begin_s), driver.smu.base_a
            )
        here = np.clip(pulse - played.first, 0, len(played.trace.current_a) - 1)
        earlier = pulse < played.first
        start = driver.timing.source_s[np.maximum(pulse, 0)]
        end = driver.ends_s()[np.maximum(pulse, 0)]
        weight = _weight(begin_s, run.aperture_s, start, end)
        weight[earlier] = 0.0
        inside = weight > 0.5
        on_v, off_v, limited = played.seen_by(run, driver)
        before = off_v[here]
        if earlier.any():
            before = np.where(earlier, idle, before)
        voltage = before + (on_v[here] - before) * weight
        current = np.zeros(len(begin_s))
        sources = current
        if run is driver:
            base = driver.smu.base_a
            current = base + (played.trace.current_a[here] - base) * weight
            if any(buffer.settings["collectsourcevalues"] for buffer in run.buffers):
                levels = driver.levels[np.maximum(pulse, 0) % len(driver.levels)]
                sources = np.where(inside, levels, base)
        return State(voltage, current, limited[here] & (inside | (run is not driver))), sources

    def _store(self, run: Run, begin_s: FloatArray, state: State, sources: FloatArray) -> None:
        statuses = run.smu.statuses(state)
        for kind, buffer in zip(run.measures, run.buffers, strict=True):
            buffer.append(run.smu.reading(kind, state), begin_s, sources, statuses)

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        """Times and progress; the network is resolved and not needed any more but for outside events."""
        self.refresh()
        return {
            "start_s": self.start_s,
            "runs": [_run_state(run) for run in self.runs if not run.ended],
            "edges": [[edges.terminal, edges.times_s, edges.told] for edges in self.edges],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], smus: Mapping[str, Smu]) -> Programme:
        programme = cls(float(state["start_s"]), (), ())
        programme.fixed = True
        programme.runs = [_run_of(each, smus) for each in state["runs"]]
        programme.edges = [
            Edges(terminal, np.asarray(times), int(told)) for terminal, times, told in state["edges"]
        ]
        return programme


Seen = tuple[FloatArray, FloatArray, BoolArray]


@dataclass(frozen=True)
class _Played:
    """A stretch of pulses that was played just now; first is the number of its first pulse."""

    first: int
    trace: PlayTrace
    views: dict[str, Seen] = field(default_factory=dict)

    def seen_by(self, run: Run, driver: Run) -> Seen:
        """(voltage in each pulse, voltage after it, limited) at the run's terminals."""
        if run.smu.terminal not in self.views:
            self.views[run.smu.terminal] = self._seen_by(run, driver)
        return self.views[run.smu.terminal]

    def _seen_by(self, run: Run, driver: Run) -> Seen:
        if run is driver:
            idle = np.zeros(len(self.trace.voltage_v))
            if driver.smu.base_a:
                idle = idle + run.smu.owner.world.source_state(run.smu.terminal)[0]
            return self.trace.voltage_v, idle, self.trace.compliance
        on = run.smu.seen_idle(self.trace.sensed_v(run.smu.terminal))
        off = run.smu.seen_idle(self.trace.sensed_base_v(run.smu.terminal))
        return on.voltage_v, off.voltage_v, on.compliance

    def keep_idle(self, run: Run, driver: Run) -> None:
        run.idle[run.smu.terminal] = float(self.seen_by(run, driver)[1][-1])


def _pulse_under(driver: Run, middles_s: FloatArray) -> Any:
    """(n,) number of the last pulse that began before each reading's middle, -1 for none."""
    assert driver.timing is not None
    starts = driver.timing.source_s
    first = driver.played - len(middles_s)
    if first >= 0 and len(middles_s):  # usually each pulse that was just played has one reading
        mine = starts[first : driver.played]
        if (mine <= middles_s).all() and (middles_s[:-1] < mine[1:]).all():
            end = starts[driver.played] if driver.played < len(starts) else np.inf
            if middles_s[-1] < end:
                return np.arange(first, driver.played)
    return np.searchsorted(starts, middles_s, side="right") - 1


def _weight(begin_s: FloatArray, aperture_s: float, start_s: FloatArray, end_s: FloatArray) -> FloatArray:
    """(n,) how much of a pulse's level a reading sees: covered part of its aperture, less settling."""
    settled = (begin_s - start_s).min() > SETTLED * SETTLE_S
    if settled and (end_s - begin_s).min() >= aperture_s:
        return np.ones(len(begin_s))
    covered = np.clip(
        (np.minimum(begin_s + aperture_s, end_s) - np.maximum(begin_s, start_s)) / aperture_s, 0, 1
    )
    since = np.maximum(begin_s - start_s, 0.0)
    unsettled = np.exp(-since / SETTLE_S) * (-np.expm1(-aperture_s / SETTLE_S)) * SETTLE_S / aperture_s
    return covered * (1 - unsettled)  # type: ignore[no-any-return]


def _repeated(starts_s: FloatArray, repeats: int, each_s: float) -> FloatArray:
    if repeats == 1:
        return starts_s
    return (starts_s[:, None] + each_s * np.arange(repeats)).ravel()


def _spread_voltage(smu: Smu, voltage_v: float, count: int) -> State:
    limited = smu.state().compliance[-1]
    return State(np.full(count, voltage_v), np.zeros(count), np.full(count, limited))


def _shifted(timing: Timing, by_s: float) -> Timing:
    return Timing(
        timing.source_s + by_s, timing.measure_s + by_s, timing.end_s + by_s, timing.finish_s + by_s
    )


def _run_state(run: Run) -> dict[str, Any]:
    assert run.timing is not None
    names = {id(buffer): name for name, buffer in run.smu.buffers.items()}
    kept = [names.get(id(buffer), "") for buffer in run.buffers]
    return {
        "smu": run.smu.name,
        "levels": run.levels,
        "plain": [run.kind, run.limit, run.hold_pulse, run.hold_sweep, run.repeats],
        "pace": [run.aperture_s, run.each_s],
        "measures": [[kind, name] for kind, name in zip(run.measures, kept, strict=True) if name],
        "times": [run.timing.source_s, run.timing.measure_s, run.timing.end_s, run.timing.finish_s],
        "progress": [run.played, run.measured],
        "idle": dict(run.idle),
        "number": run.channel.number,
    }


def _run_of(state: Mapping[str, Any], smus: Mapping[str, Smu]) -> Run:
    smu = smus[state["smu"]]
    kind, limit, hold_pulse, hold_sweep, repeats = state["plain"]
    aperture_s, each_s = state["pace"]
    source_s, measure_s, end_s, finish_s = state["times"]
    timing = Timing(np.asarray(source_s), np.asarray(measure_s), np.asarray(end_s), float(finish_s))
    run = Run(
        smu,
        fixed_channel(int(state["number"])),
        np.asarray(state["levels"]),
        kind,
        float(limit),
        bool(hold_pulse),
        bool(hold_sweep),
        "".join(measured for measured, _ in state["measures"]),
        [smu.buffers[name] for _, name in state["measures"]],
        int(repeats),
        float(aperture_s),
        float(each_s),
        timing,
    )
    run.played, run.measured = (int(each) for each in state["progress"])
    run.idle = dict(state["idle"])
    return run


def fixed_channel(number: int) -> Channel:
    """The stand-in for the trigger model of a sweep whose times are given."""
    return Channel(number, 0.0, 1, 1, (0, 0, 0, 0), 0.0, False, 0.0, 0.0, 0.0)
