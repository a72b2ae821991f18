"""The factory script KIPulse: pulse trains by one call, with its own complaints.

What it refuses comes back as `false, message` and never enters the error queue (bench.md 2.5 [D]).
InitiatePulseTest blocks: the script that called it goes on when the train is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_instruments.instruments.keithley2636b_buffer import ReadingBuffer
from sim_instruments.instruments.keithley2636b_events import Timing
from sim_instruments.instruments.keithley2636b_smu import AMPS, VOLTS, Smu
from sim_instruments.instruments.keithley2636b_sweep import Programme, Run, fixed_channel
from sim_instruments.instruments.keithley2636b_trigger import TriggerSystem
from sim_instruments.tsp.box import TspBox
from sim_instruments.tsp.runtime import Wait
from sim_instruments.world.contracts import FloatArray

MEASURE_MARGIN_S = 60e-6  # from the end of the aperture to the end of the pulse: vendor example [D]
DUAL_LEAD_S = 40e-6  # InitiatePulseTestDual: the first pulse outlasts the second by more than this [D]
TON_MIN_S, TOFF_MIN_S = 100e-6, 50e-6  # [R]

Answer = tuple[bool, str]


class RefusalError(Exception):
    """What KIPulse answers with false."""


@dataclass(frozen=True)
class Train:
    """One configured pulse test."""

    smu: Smu
    kind: str  # i or v: what is pulsed
    bias: float
    levels: FloatArray
    limit: float
    ton_s: float
    toff_s: float
    buffer: ReadingBuffer


class KiPulse:
    def __init__(self, box: TspBox, smus: Mapping[str, Smu], triggers: TriggerSystem):
        self.box = box
        self._smus = smus
        self._triggers = triggers
        self._trains: dict[int, Train] = {}

    def commands(self) -> dict[str, Any]:
        """Global functions of the factory script."""
        return {
            "ConfigPulseIMeasureV": lambda *args: self._answer(self._config, "i", "flat", args),
            "ConfigPulseVMeasureI": lambda *args: self._answer(self._config, "v", "flat", args),
            "ConfigPulseIMeasureVSweepLin": lambda *args: self._answer(self._config, "i", "linear", args),
            "ConfigPulseVMeasureISweepLin": lambda *args: self._answer(self._config, "v", "linear", args),
            "ConfigPulseIMeasureVSweepLog": lambda *args: self._answer(self._config, "i", "log", args),
            "ConfigPulseVMeasureISweepLog": lambda *args: self._answer(self._config, "v", "log", args),
            "InitiatePulseTest": lambda *args: self._answer(self._initiate, args),
            "InitiatePulseTestDual": lambda *args: self._answer(self._initiate, args),
            "QueryPulseConfig": lambda *args: self._answer(self._query, args),
        }

    def _answer(self, action: Any, *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except RefusalError as refusal:
            return False, str(refusal)

    # ---- configure ----

    def _config(self, kind: str, shape: str, arguments: tuple[Any, ...]) -> Answer:
        """(smu, bias, level | start, stop, limit, ton, toff, points, buffer, tag, ...)"""
        count = 9 if shape == "flat" else 10
        if len(arguments) < count:
            raise RefusalError(f"{count} arguments expected, got {len(arguments)}.")
        smu = self._smu(arguments[0])
        numbers = [self._number(each) for each in arguments[1 : count - 2]]
        buffer = self.box.runtime.owner_of(arguments[count - 2])
        if not isinstance(buffer, ReadingBuffer):
            raise RefusalError("buffer is not a reading buffer.")
        tag = int(self._number(arguments[count - 1]))
        *head, limit, ton_s, toff_s, points = numbers
        if points < 1:
            raise RefusalError("points must be 1 or more.")
        bias, levels = head[0], _levels(shape, head[1:], int(points))
        if ton_s < TON_MIN_S or toff_s < TOFF_MIN_S:
            raise RefusalError("ton or toff is too short.")
        train = Train(smu, kind, bias, levels, abs(limit), ton_s, toff_s, buffer)
        self._check(train)
        self._trains[tag] = train
        return True, f"Pulse {tag} configured."

    def _check(self, train: Train) -> None:
        """The settings that must be right before a pulse test."""
        smu, kind = train.smu, train.kind
        other = "v" if kind == "i" else "i"
        if smu.source[f"autorange{kind}"]:
            raise RefusalError(f"{smu.name}.source.autorange{kind} must be off.")
        if smu.measure[f"autorange{other}"]:
            raise RefusalError(f"{smu.name}.measure.autorange{other} must be off.")
        if not train.buffer.settings["appendmode"]:
            raise RefusalError("The reading buffer's appendmode must be 1.")
        highest = max(abs(train.bias), float(np.abs(train.levels).max()))
        if highest > smu.source[f"range{kind}"] * 1.01:
            raise RefusalError("A level is beyond the source range.")
        if smu.aperture_s + MEASURE_MARGIN_S > train.ton_s:
            raise RefusalError(f"{smu.name}.measure.nplc is too long for ton.")

    def _smu(self, value: Any) -> Smu:
        for name, smu in self._smus.items():
            if self.box.runtime.same(value, self.box.runtime.user_value(name)):
                return smu
        raise RefusalError("smu is not a SMU.")

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RefusalError("A number was expected.")
        return float(value)

    # ---- run ----

    def _initiate(self, tags: tuple[Any, ...]) -> Any:
        trains = [self._train(tag) for tag in tags]
        if not trains:
            raise RefusalError("A tag was expected.")
        if len(trains) == 2:
            first, second = trains
            if (
                first.smu is second.smu
                or first.ton_s - second.ton_s <= DUAL_LEAD_S
                or first.toff_s != second.toff_s
            ):
                raise RefusalError("The two pulses do not fit together.")
        for train in trains:
            self._check(train)
            if not train.smu.source["output"]:
                raise RefusalError(f"{train.smu.name} output must be on.")
            if train.smu.source["func"] != (AMPS if train.kind == "i" else VOLTS):
                raise RefusalError(f"{train.smu.name} sources the wrong function.")
            if self._triggers.run_of(train.smu) is not None:
                raise RefusalError(f"{train.smu.name} is busy.")
        programme = Programme(self.box.time, (), ())
        programme.fixed = True
        for train in trains:
            train.smu.source[f"level{train.kind}"] = train.bias
            train.smu.apply()
            programme.add(self._run(train))
        self._triggers.programme = programme
        end_s = max(run.timing.finish_s for run in programme.runs if run.timing is not None)
        return Wait(end_s, self._ended)

    def _ended(self) -> Answer:
        self._triggers.advance(self.box.time)
        return True, "Pulse Test completed."

    def _run(self, train: Train) -> Run:
        smu, count = train.smu, len(train.levels)
        starts: FloatArray = self.box.time + np.arange(count, dtype=np.float64) * (train.ton_s + train.toff_s)
        ends = starts + train.ton_s
        measures = ends - MEASURE_MARGIN_S - smu.aperture_s
        timing = Timing(starts, measures, ends, float(ends[-1] + train.toff_s))
        return Run(
            smu,
            fixed_channel(smu.number),
            smu.quantised(train.kind, train.levels),
            train.kind,
            train.limit,
            False,
            False,
            "v" if train.kind == "i" else "i",
            [train.buffer],
            1,
            smu.aperture_s,
            smu.busy_s,
            timing,
        )

    def _query(self, tags: tuple[Any, ...]) -> dict[str, Any]:
        """QueryPulseConfig(tag): a table of the configuration."""
        if not tags:
            raise RefusalError("A tag was expected.")
        train = self._train(tags[0])
        return {
            "smu": train.smu.name,
            "bias": train.bias,
            "start": float(train.levels[0]),
            "stop": float(train.levels[-1]),
            "limit": train.limit,
            "ton": train.ton_s,
            "toff": train.toff_s,
            "points": len(train.levels),
        }

    def _train(self, tag: Any) -> Train:
        train = self._trains.get(int(self._number(tag)))
        if train is None:
            raise RefusalError(f"Pulse {int(tag)} is not configured.")
        return train

    # ---- snapshot ----

    def snapshot(self) -> list[Any]:
        kept = []
        for tag, train in self._trains.items():
            name = next((name for name, buffer in train.smu.buffers.items() if buffer is train.buffer), None)
            if name is not None:
                numbers = [train.bias, train.limit, train.ton_s, train.toff_s]
                kept.append([tag, train.smu.name, train.kind, numbers, train.levels, name])
        return kept

    def restore(self, state: list[Any]) -> None:
        self._trains = {}
        for tag, smu_name, kind, numbers, levels, buffer in state:
            smu = self._smus[smu_name]
            bias, limit, ton_s, toff_s = numbers
            self._trains[int(tag)] = Train(
                smu, kind, bias, np.asarray(levels), limit, ton_s, toff_s, smu.buffers[buffer]
            )


def _levels(shape: str, ends: list[float], points: int) -> FloatArray:
    if shape == "flat":
        return np.full(points, ends[0])
    start, stop = ends
    if shape == "linear":
        return np.linspace(start, stop, points)
    if not start * stop > 0:
        raise RefusalError("start and stop must have the same sign and not be zero.")
    return np.geomspace(start, stop, points)
