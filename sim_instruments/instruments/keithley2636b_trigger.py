"""The trigger commands of the 2636B: timers, blenders, the channels' trigger models, *TRG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_instruments.instruments.keithley2636b_buffer import ReadingBuffer
from sim_instruments.instruments.keithley2636b_digio import DigitalLines
from sim_instruments.instruments.keithley2636b_events import (
    ARM,
    ARMED,
    ENDPULSE,
    IDLE,
    MEASURE,
    MEASURE_COMPLETE,
    PULSE_COMPLETE,
    SOURCE,
    SOURCE_COMPLETE,
    SWEEP_COMPLETE,
    SWEEPING,
    TRIGGER_EVENT,
    Blender,
    Channel,
    Timer,
    blender_event,
    channel_event,
    detector_event,
    timer_event,
)
from sim_instruments.instruments.keithley2636b_settings import SWITCH, choice, integer, number, setting
from sim_instruments.instruments.keithley2636b_smu import Smu
from sim_instruments.instruments.keithley2636b_sweep import Programme, Run
from sim_instruments.instruments.keithley2636b_tables import (
    SOURCE_S,
    TIMER_COUNT_MAX,
    TIMER_LIST_MEAN_S,
    TIMER_MAX_S,
    TIMER_MIN_S,
    TIMER_STEP_S,
)
from sim_instruments.tsp.box import TspBox
from sim_instruments.tsp.errors import ParameterError, TspError
from sim_instruments.tsp.runtime import Attribute, Wait
from sim_instruments.world.contracts import FloatArray

TIMERS, BLENDERS, BLENDER_INPUTS = 8, 6, 4
STIMULUS = integer(0, 10_000)
TIMER_DEFAULTS: dict[str, Any] = {"delays": [10e-6], "count": 1, "passthrough": 0, "stimulus": 0}
BLENDER_DEFAULTS: dict[str, Any] = {"orenable": 0, "stimuli": [0] * BLENDER_INPUTS}
CHANNEL_DEFAULTS: dict[str, Any] = {
    "count": 1, "arms": 1, "arm": 0, "source": 0, "measure": 0, "endpulse": 0, "autoclear": 0,
    "source_action": 0, "measure_action": 0, "endpulse_action": 0, "endsweep_action": 0,
    "limitv": 0.0, "limiti": 0.0, "kind": "", "measures": "",
}  # fmt: skip


class TriggerSystem:
    """Settings of everything that triggers, and the programme that runs (None when all is idle)."""

    def __init__(self, box: TspBox, smus: Mapping[str, Smu], lines: DigitalLines):
        self.box = box
        self.lines = lines
        self.smus = smus
        self.timers: dict[int, dict[str, Any]] = {n: dict(TIMER_DEFAULTS) for n in range(1, TIMERS + 1)}
        self.blenders: dict[int, dict[str, Any]] = {
            n: {"orenable": 0, "stimuli": [0] * BLENDER_INPUTS} for n in range(1, BLENDERS + 1)
        }
        self.channels: dict[str, dict[str, Any]] = {name: dict(CHANNEL_DEFAULTS) for name in smus}
        self.levels: dict[str, FloatArray] = {name: np.zeros(1) for name in smus}
        self.targets: dict[str, list[ReadingBuffer]] = {name: [] for name in smus}
        self.programme: Programme | None = None

    def reset(self) -> None:
        for timer in self.timers.values():
            timer.update(TIMER_DEFAULTS)
        for blender in self.blenders.values():
            blender.update(orenable=0, stimuli=[0] * BLENDER_INPUTS)
        for name in self.smus:
            self.reset_channel(name)

    def reset_channel(self, name: str) -> None:
        self.channels[name].update(CHANNEL_DEFAULTS)
        self.levels[name] = np.zeros(1)
        self.targets[name] = []

    # ---- running ----

    def initiate(self, smu: Smu) -> None:
        """Start a channel's sweep; returns at once, the sweep goes on by itself."""
        if self.run_of(smu) is not None:
            raise ParameterError(-213, "Init ignored")
        store = self.channels[smu.name]
        if not store["count"] or not store["arms"]:
            raise ParameterError(-221, "Settings conflict: this simulated box refuses sweeps without an end")
        if self.programme is None or self.programme.over:
            self.programme = Programme(
                self.box.time, self._timer_specs(), self._blender_specs(), self.lines.outputs()
            )
        run = self._run(smu, store, self.programme.start_s)
        for buffer in run.buffers:
            if not buffer.settings["appendmode"]:
                buffer.clear()
        self.programme.add(run)

    def _run(self, smu: Smu, store: Mapping[str, Any], start_s: float) -> Run:
        sources = bool(store["source_action"]) and bool(smu.source["output"]) and bool(store["kind"])
        kind = store["kind"] if sources else ""
        measures = store["measures"] if store["measure_action"] else ""
        repeats = int(smu.measure["count"])
        limit_key = "limiti" if kind == "v" else "limitv"
        channel = Channel(
            smu.number,
            self.box.time - start_s,
            store["arms"],
            store["count"],
            (store["arm"], store["source"], store["measure"], store["endpulse"]),
            max(smu.source["delay"], 0.0 if store["source"] or not sources else SOURCE_S),
            bool(measures),
            max(smu.measure["delay"], 0.0),
            smu.aperture_s + (repeats - 1) * smu.busy_s,
            repeats * smu.busy_s,
        )
        return Run(
            smu,
            channel,
            smu.quantised(kind, self.levels[smu.name]) if kind else np.zeros(1),
            kind,
            abs(store[limit_key] or smu.source[limit_key]),
            bool(store["endpulse_action"]),
            bool(store["endsweep_action"]),
            measures,
            list(self.targets[smu.name]) if measures else [],
            repeats,
            smu.aperture_s,
            smu.busy_s,
        )

    def run_of(self, smu: Smu) -> Run | None:
        return None if self.programme is None else self.programme.run_of(smu)

    def abort(self, smu: Smu) -> None:
        run = self.run_of(smu)
        if run is not None and self.programme is not None:
            self.programme.abort(run, self.box.time)

    def advance(self, now: float) -> None:
        if self.programme is not None and not self.programme.over:
            self.programme.advance(now)

    def event(self, number_: int) -> None:
        """An event from outside: *TRG or a detector set by a script."""
        if self.programme is not None and not self.programme.over:
            self.programme.event(self.box.time, number_)

    def wait_complete(self) -> Wait | None:
        """Until every sweep is over."""
        self.advance(self.box.time)
        if self.programme is None or self.programme.over:
            return None
        finish_s = self.programme.finish_s()
        return Wait(finish_s, self._completed) if finish_s > self.box.time else None

    def _completed(self) -> None:
        self.advance(self.box.time)

    def _timer_specs(self) -> tuple[Timer, ...]:
        return tuple(
            Timer(n, np.array(each["delays"]), each["count"], bool(each["passthrough"]), each["stimulus"])
            for n, each in self.timers.items()
            if each["stimulus"]
        )

    def _blender_specs(self) -> tuple[Blender, ...]:
        return tuple(
            Blender(n, bool(each["orenable"]), tuple(each["stimuli"]))
            for n, each in self.blenders.items()
            if any(each["stimuli"])
        )

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        """Settings; readings into buffers that scripts made are not kept."""
        names = {
            name: [_buffer_name(self.smus, each) for each in kept] for name, kept in self.targets.items()
        }
        return {
            "timers": {str(n): dict(each, delays=list(each["delays"])) for n, each in self.timers.items()},
            "blenders": {
                str(n): dict(each, stimuli=list(each["stimuli"])) for n, each in self.blenders.items()
            },
            "channels": {name: dict(each) for name, each in self.channels.items()},
            "levels": dict(self.levels),
            "targets": names,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for n, timer in self.timers.items():
            timer.update(state["timers"][str(n)])
        for n, blender in self.blenders.items():
            blender.update(state["blenders"][str(n)])
        for name in self.smus:
            self.channels[name].update(state["channels"][name])
            self.levels[name] = np.asarray(state["levels"][name])
            places = state["targets"][name]
            self.targets[name] = [self.smus[smu].buffers[buffer] for smu, buffer in places if smu]
            if len(self.targets[name]) != len(self.channels[name]["measures"]):
                self.targets[name], self.channels[name]["measures"] = [], ""

    # ---- for scripts: trigger ----

    def namespace(self) -> dict[Any, Any]:
        """The global table `trigger`."""
        return {
            "EVENT_ID": TRIGGER_EVENT,
            "clear": lambda: None,
            "timer": {n: self._timer(n, store) for n, store in self.timers.items()},
            "blender": {n: self._blender(n, store) for n, store in self.blenders.items()},
        }

    def _timer(self, n: int, store: dict[str, Any]) -> dict[str, Any]:
        def set_delay(value: Any) -> None:
            store["delays"] = [_delay(value)]

        def set_list(value: Any) -> None:
            delays = [_delay(float(each)) for each in self.box.runtime.numbers(value)]
            if not delays:
                raise TspError("bad value: a table of at least one delay expected")
            if len(delays) > 1 and sum(delays) / len(delays) < TIMER_LIST_MEAN_S - 1e-12:
                raise ParameterError(1103, "Parameter too small: the delays of a list average at least 50 us")
            store["delays"] = delays

        return {
            "EVENT_ID": timer_event(n),
            "delay": Attribute(lambda: store["delays"][0], set_delay),
            "delaylist": Attribute(lambda: self.box.runtime.list_of(store["delays"]), set_list),
            "count": setting(store, "count", integer(0, TIMER_COUNT_MAX)),
            "passthrough": _flag(store, "passthrough"),
            "stimulus": setting(store, "stimulus", STIMULUS),
            "overrun": Attribute(lambda: False),
            "clear": lambda: None,
            "reset": lambda: store.update(TIMER_DEFAULTS),
        }

    def _blender(self, n: int, store: dict[str, Any]) -> dict[str, Any]:
        def at(index: int) -> Attribute:
            def change(value: Any) -> None:
                store["stimuli"][index] = STIMULUS(value)

            return Attribute(lambda: store["stimuli"][index], change)

        return {
            "EVENT_ID": blender_event(n),
            "orenable": _flag(store, "orenable"),
            "stimulus": {index + 1: at(index) for index in range(BLENDER_INPUTS)},
            "overrun": Attribute(lambda: False),
            "clear": lambda: None,
            "reset": lambda: store.update(orenable=0, stimuli=[0] * BLENDER_INPUTS),
        }

    # ---- for scripts: smuX.trigger ----

    def channel_namespace(self, smu: Smu) -> dict[str, Any]:
        """smuX.trigger."""
        store = self.channels[smu.name]

        def stage(key: str, detector: int, **more: Any) -> dict[str, Any]:
            return {
                "stimulus": setting(store, key, STIMULUS),
                "set": lambda: self.event(detector_event(smu.number, detector)),
                **more,
            }

        return {
            "count": setting(store, "count", integer(0, 2**31)),
            "autoclear": setting(store, "autoclear", SWITCH),
            "initiate": lambda: self.initiate(smu),
            "arm": stage("arm", ARM, count=setting(store, "arms", integer(0, 2**31))),
            "source": stage("source", SOURCE, **self._source_stage(smu, store)),
            "measure": stage("measure", MEASURE, **self._measure_stage(smu, store)),
            "endpulse": stage("endpulse", ENDPULSE, action=setting(store, "endpulse_action", SWITCH)),
            "endsweep": {"action": setting(store, "endsweep_action", SWITCH)},
            "SWEEPING_EVENT_ID": channel_event(smu.number, SWEEPING),
            "ARMED_EVENT_ID": channel_event(smu.number, ARMED),
            "SOURCE_COMPLETE_EVENT_ID": channel_event(smu.number, SOURCE_COMPLETE),
            "MEASURE_COMPLETE_EVENT_ID": channel_event(smu.number, MEASURE_COMPLETE),
            "PULSE_COMPLETE_EVENT_ID": channel_event(smu.number, PULSE_COMPLETE),
            "SWEEP_COMPLETE_EVENT_ID": channel_event(smu.number, SWEEP_COMPLETE),
            "IDLE_EVENT_ID": channel_event(smu.number, IDLE),
        }

    def _source_stage(self, smu: Smu, store: dict[str, Any]) -> dict[str, Any]:
        def levels(kind: str, values: FloatArray) -> None:
            if not len(values) or not np.isfinite(values).all():
                raise TspError("bad argument: a table of at least one number expected")
            highest = 1.5 * 1.01 if kind == "i" else 200 * 1.01
            if np.abs(values).max() > highest:
                raise ParameterError(1102, "Parameter too big")
            smu.source_range(kind, float(np.abs(values).max()))  # refuses what a fixed range cannot source
            self.levels[smu.name] = values
            store["kind"] = kind

        def listed(kind: str) -> Any:
            return lambda values: levels(kind, self.box.runtime.numbers(values))

        def linear(kind: str) -> Any:
            return lambda start, stop, points: levels(kind, np.linspace(start, stop, _points(points)))

        def logarithmic(kind: str) -> Any:
            def sweep(start: float, stop: float, points: float, asymptote: float = 0.0) -> None:
                first, last = start - asymptote, stop - asymptote
                if not first * last > 0:
                    raise ParameterError(-221, "Settings conflict: the asymptote lies in the sweep")
                levels(
                    kind, asymptote + np.copysign(np.geomspace(abs(first), abs(last), _points(points)), first)
                )

            return sweep

        return {
            "action": setting(store, "source_action", choice(0, 1)),
            "limitv": setting(store, "limitv", number(0, 200)),
            "limiti": setting(store, "limiti", number(0, 1.5)),
            **{f"list{kind}": listed(kind) for kind in "iv"},
            **{f"linear{kind}": linear(kind) for kind in "iv"},
            **{f"log{kind}": logarithmic(kind) for kind in "iv"},
        }

    def _measure_stage(self, smu: Smu, store: dict[str, Any]) -> dict[str, Any]:
        def into(kinds: str) -> Any:
            def choose(*buffers: Any) -> None:
                if len(buffers) != len(kinds):
                    raise TspError(f"bad argument: {len(kinds)} reading buffer(s) expected")
                self.targets[smu.name] = [smu.buffer_of(each) for each in buffers]
                store["measures"] = kinds

            return choose

        return {
            "action": setting(store, "measure_action", choice(0, 1)),
            **{kinds: into(kinds) for kinds in ("v", "i", "iv")},
        }


def _buffer_name(smus: Mapping[str, Smu], wanted: ReadingBuffer) -> list[str]:
    for smu in smus.values():
        for name, buffer in smu.buffers.items():
            if buffer is wanted:
                return [smu.name, name]
    return ["", ""]


def _delay(value: Any) -> float:
    checked = float(number(0.0, TIMER_MAX_S)(value))
    if checked < TIMER_MIN_S - TIMER_STEP_S / 2:
        raise ParameterError(1103, "Parameter too small")
    return float(round(checked / TIMER_STEP_S) * TIMER_STEP_S)


def _points(value: Any) -> int:
    return int(integer(1, 1_000_000)(value))


def _flag(store: dict[str, Any], key: str) -> Attribute:
    """A boolean attribute (scripts write true or false; 0 and 1 as well)."""

    def change(value: Any) -> None:
        if not isinstance(value, bool) and value not in (0, 1):
            raise TspError("bad value: a boolean expected")
        store[key] = int(bool(value))

    return Attribute(lambda: bool(store[key]), change)
