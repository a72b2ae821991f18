"""Lists, sweeps, configuration lists and the trigger model of a 2450."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keithley2450_settings import MAX_A, MAX_V, SENSE, SOURCE
from sim_instruments.instruments.keithley2450_trigger import (
    Block,
    Runner,
    Times,
    config_list_loop,
    simple_loop,
    sweep_blocks,
)
from sim_instruments.instruments.keithley6221_programmes import staircase
from sim_instruments.instruments.sourcemeter import SourceMeter
from sim_instruments.instruments.sourcemeter_tables import LIST_CHUNK, LIST_LENGTH, OVER_RANGE, POINT_MIN_S
from sim_instruments.scpi.instrument import (
    Boolean,
    Choice,
    Number,
    NumberList,
    ScpiError,
    Text,
    command,
    query,
)
from sim_instruments.scpi.parameters import unquote
from sim_instruments.world.contracts import FloatArray

BUFFER = "defbuffer1"
DELAY_MIN_S = 50e-6  # of a sweep; -1 takes the automatic delay; source: 2450 reference manual [R]
_DELAY = Number(-1, 10_000, unit="S")
_COUNT = Number(1, 268_435_455, integer=True)
_RANGE = Choice("AUTO", "BEST", "FIXed")
_LIST = {"CURR": "CurrCustomSweepList", "VOLT": "VoltCustomSweepList"}
_BLOCK = Number(1, 255, integer=True)
_TAIL = (_COUNT, Boolean(), Text())  # count, failabort, buffer
_STAIRS = (_COUNT, _RANGE, Boolean(), Boolean(), Text())  # count, range type, failabort, dual, buffer


class NumberOrText:
    """A parameter of TRIGger:LOAD."""

    def parse(self, text: str) -> float | str:
        return unquote(text) if text[:1] in ("'", '"') else float(Number().parse(text))


class Sweeps(SourceMeter):
    """A sweep is a list that is loaded as a trigger model; INITiate runs it."""

    state: ClassVar[tuple[str, ...]] = (
        *SourceMeter.state, "lists", "config", "blocks", "sweep", "stopped_at", "run_state", "ending",
    )  # fmt: skip
    target: str
    sense: str
    buffers: dict[str, Any]

    def buffer(self, name: str) -> Any:
        """The buffer of this name."""
        raise NotImplementedError

    def reset_sweeps(self) -> None:
        self.lists = {"CURR": np.empty(0), "VOLT": np.empty(0)}
        self.config: dict[str, dict[str, list[dict[str, Any]]]] = {"SOUR": {}, "SENS": {}}
        self._load([], {})
        self.ending: dict[str, Any] = {}
        self.run_state = "EMPTY"

    def _load(self, blocks: list[Block], sweep: dict[str, Any]) -> None:
        """Take a trigger model; `sweep` holds what a sweep needs beyond its blocks."""
        self._refuse_while_running()
        self.blocks, self.sweep = blocks, sweep
        self.stopped_at = 0
        self.run_state = "IDLE" if blocks else "EMPTY"

    def _refuse_while_running(self) -> None:
        if self.programme is not None or getattr(self, "run_state", "") == "WAITING":
            raise ScpiError(-221, "Settings conflict; trigger model is running")

    # ---- lists ------------------------------------------------------------------------------------------

    def _set_list(self, name: str, values: FloatArray, append: bool) -> None:
        self._refuse_while_running()
        whole = np.concatenate([self.lists[name], values]) if append else values
        if len(whole) > LIST_LENGTH:
            raise ScpiError(-223)
        self.lists[name] = whole
        self.config["SOUR"].pop(_LIST[name], None)

    @command("SOURce<1>:LIST:CURRent", NumberList(-MAX_A, MAX_A, LIST_CHUNK))
    def list_current(self, values: FloatArray) -> None:
        self._set_list("CURR", values, append=False)

    @command("SOURce<1>:LIST:CURRent:APPend", NumberList(-MAX_A, MAX_A, LIST_CHUNK))
    def append_current(self, values: FloatArray) -> None:
        self._set_list("CURR", values, append=True)

    @command("SOURce<1>:LIST:VOLTage", NumberList(-MAX_V, MAX_V, LIST_CHUNK))
    def list_voltage(self, values: FloatArray) -> None:
        self._set_list("VOLT", values, append=False)

    @command("SOURce<1>:LIST:VOLTage:APPend", NumberList(-MAX_V, MAX_V, LIST_CHUNK))
    def append_voltage(self, values: FloatArray) -> None:
        self._set_list("VOLT", values, append=True)

    @query("SOURce<1>:LIST:CURRent")
    def get_list_current(self) -> bytes:
        return self._list_text("CURR")

    @query("SOURce<1>:LIST:VOLTage")
    def get_list_voltage(self) -> bytes:
        return self._list_text("VOLT")

    def _list_text(self, name: str) -> bytes:
        if not len(self.lists[name]):
            raise ScpiError(-230)
        return ",".join([f"{value:.6E}" for value in self.lists[name].tolist()]).encode()

    @query("SOURce<1>:LIST:CURRent:POINts")
    def list_current_points(self) -> int:
        return len(self.lists["CURR"])

    @query("SOURce<1>:LIST:VOLTage:POINts")
    def list_voltage_points(self) -> int:
        return len(self.lists["VOLT"])

    # ---- sweeps ------------------------------------------------------------------------------------------

    def _sweep(
        self,
        kind: str,
        levels: FloatArray,
        delay_s: float,
        count: int,
        aborts: bool,
        buffer: str,
        start: int = 1,
    ) -> None:
        if 0 < delay_s < DELAY_MIN_S or -1 < delay_s < 0:
            raise ScpiError(-222)
        self.buffer(buffer)
        wait_s = self.source_delay_s() if delay_s < 0 else delay_s
        blocks = sweep_blocks(_LIST[kind], start, len(levels), wait_s, count, buffer)
        self._load(
            blocks,
            {
                "kind": kind,
                "levels": levels.copy(),
                "delay_s": wait_s,
                "count": count,
                "aborts": aborts,
                "buffer": buffer,
            },
        )

    def _list_sweep(
        self, kind: str, start: int, delay_s: float, count: int, aborts: bool, buffer: str
    ) -> None:
        if start > len(self.lists[kind]):
            raise ScpiError(-221)
        self._sweep(kind, self.lists[kind][start - 1 :], delay_s, count, aborts, buffer, start)

    @command("SOURce<1>:SWEep:CURRent:LIST", _COUNT, _DELAY, *_TAIL, optional=4)
    def sweep_list_current(
        self, start: int, delay_s: float = -1.0, count: int = 1, aborts: bool = True, buffer: str = BUFFER
    ) -> None:
        self._list_sweep("CURR", start, delay_s, count, aborts, buffer)

    @command("SOURce<1>:SWEep:VOLTage:LIST", _COUNT, _DELAY, *_TAIL, optional=4)
    def sweep_list_voltage(
        self, start: int, delay_s: float = -1.0, count: int = 1, aborts: bool = True, buffer: str = BUFFER
    ) -> None:
        self._list_sweep("VOLT", start, delay_s, count, aborts, buffer)

    def _stairs(self, kind: str, spacing: str, top: float, *given: Any) -> None:
        first, last, points, delay_s, *tail = given
        if max(abs(first), abs(last)) > top:
            raise ScpiError(-222)
        defaults: list[Any] = [1, "BEST", True, False, BUFFER]
        count, ranging, aborts, dual, buffer = [*tail, *defaults[len(tail) :]]
        if ranging != "FIX":
            self.values["voltage_auto" if kind == "VOLT" else "current_auto"] = True
        levels = staircase(spacing, first, last, points)
        self._sweep(
            kind, np.concatenate([levels, levels[::-1]]) if dual else levels, delay_s, count, aborts, buffer
        )

    @command(
        "SOURce<1>:SWEep:CURRent:LINear",
        Number(),
        Number(),
        Number(2, 1e6, integer=True),
        _DELAY,
        *_STAIRS,
        optional=6,
    )
    def sweep_linear_current(
        self, first: float, last: float, points: int, delay_s: float = -1.0, *tail: Any
    ) -> None:
        self._stairs("CURR", "LIN", MAX_A, first, last, points, delay_s, *tail)

    @command(
        "SOURce<1>:SWEep:VOLTage:LINear",
        Number(),
        Number(),
        Number(2, 1e6, integer=True),
        _DELAY,
        *_STAIRS,
        optional=6,
    )
    def sweep_linear_voltage(
        self, first: float, last: float, points: int, delay_s: float = -1.0, *tail: Any
    ) -> None:
        self._stairs("VOLT", "LIN", MAX_V, first, last, points, delay_s, *tail)

    @command(
        "SOURce<1>:SWEep:CURRent:LOG",
        Number(),
        Number(),
        Number(2, 1e6, integer=True),
        _DELAY,
        *_STAIRS,
        optional=6,
    )
    def sweep_log_current(
        self, first: float, last: float, points: int, delay_s: float = -1.0, *tail: Any
    ) -> None:
        self._stairs("CURR", "LOG", MAX_A, first, last, points, delay_s, *tail)

    @command(
        "SOURce<1>:SWEep:VOLTage:LOG",
        Number(),
        Number(),
        Number(2, 1e6, integer=True),
        _DELAY,
        *_STAIRS,
        optional=6,
    )
    def sweep_log_voltage(
        self, first: float, last: float, points: int, delay_s: float = -1.0, *tail: Any
    ) -> None:
        self._stairs("VOLT", "LOG", MAX_V, first, last, points, delay_s, *tail)

    # ---- configuration lists -------------------------------------------------------------------------------

    def _settings_of(self, group: str) -> dict[str, Any]:
        found = {each.key: self.values[each.key] for each in (SOURCE if group == "SOUR" else SENSE)}
        return {**found, "sense": self.sense} if group == "SENS" else found

    def _config(self, group: str, name: str) -> list[dict[str, Any]]:
        if name not in self.config[group]:
            raise ScpiError(-224, "Illegal parameter value; no such configuration list")
        return self.config[group][name]

    def _store_settings(self, group: str, name: str, place: int) -> None:
        stored = self._config(group, name)
        if place > len(stored) + 1:
            raise ScpiError(-222)
        index = (place or len(stored) + 1) - 1
        stored[index : index + 1] = [self._settings_of(group)]

    def _recall_settings(self, group: str, name: str, place: int) -> None:
        stored = self._config(group, name)
        if not 1 <= place <= len(stored):
            raise ScpiError(-222)
        found = dict(stored[place - 1])
        self.sense = found.pop("sense", self.sense)
        self.values.update(found)
        self.hold()

    def _create(self, group: str, name: str) -> None:
        if name in self.config[group]:
            raise ScpiError(-224)
        self.config[group][name] = []

    @command("SOURce<1>:CONFiguration:LIST:CREate", Text())
    def create_source_list(self, name: str) -> None:
        self._create("SOUR", name)

    @command("SENSe<1>:CONFiguration:LIST:CREate", Text())
    def create_sense_list(self, name: str) -> None:
        self._create("SENS", name)

    @command("SOURce<1>:CONFiguration:LIST:STORe", Text(), _COUNT, optional=1)
    def store_source(self, name: str, place: int = 0) -> None:
        self._store_settings("SOUR", name, place)

    @command("SENSe<1>:CONFiguration:LIST:STORe", Text(), _COUNT, optional=1)
    def store_sense(self, name: str, place: int = 0) -> None:
        self._store_settings("SENS", name, place)

    @command("SOURce<1>:CONFiguration:LIST:RECall", Text(), _COUNT, optional=1)
    def recall_source(self, name: str, place: int = 1) -> None:
        self._recall_settings("SOUR", name, place)

    @command("SENSe<1>:CONFiguration:LIST:RECall", Text(), _COUNT, optional=1)
    def recall_sense(self, name: str, place: int = 1) -> None:
        self._recall_settings("SENS", name, place)

    @command("SOURce<1>:CONFiguration:LIST:DELete", Text())
    def delete_source_list(self, name: str) -> None:
        self._config("SOUR", name)
        del self.config["SOUR"][name]

    @command("SENSe<1>:CONFiguration:LIST:DELete", Text())
    def delete_sense_list(self, name: str) -> None:
        self._config("SENS", name)
        del self.config["SENS"][name]

    @query("SOURce<1>:CONFiguration:LIST:SIZE", Text())
    def source_list_size(self, name: str) -> int:
        sizes = self._sizes()
        if name not in sizes:
            raise ScpiError(-224)
        return sizes[name]

    @query("SENSe<1>:CONFiguration:LIST:SIZE", Text())
    def sense_list_size(self, name: str) -> int:
        return len(self._config("SENS", name))

    def _sizes(self) -> dict[str, int]:
        """Entries of each source configuration list, those of the sweep lists included."""
        made = {_LIST[kind]: len(values) for kind, values in self.lists.items() if len(values)}
        return made | {name: len(stored) for name, stored in self.config["SOUR"].items()}

    def _recalled(self, name: str, place: int) -> float:
        """The level at an index of a source configuration list."""
        if name in self.config["SOUR"]:
            stored = self._config("SOUR", name)[place - 1]
            return float(stored["voltage_v" if stored["function"] == "VOLT" else "current_a"])
        kind = next(kind for kind, named in _LIST.items() if named == name)
        return float(self.lists[kind][place - 1])

    # ---- trigger model ---------------------------------------------------------------------------

    def _block(self, place: int, *block: Any) -> None:
        self._refuse_while_running()
        if place > len(self.blocks) + 1:
            raise ScpiError(-222)
        self.blocks[place - 1 : place] = [list(block)]
        self.sweep, self.run_state = {}, "IDLE"

    @command("TRIGger:BLOCk:SOURce:STATe", _BLOCK, Boolean())
    def block_source(self, place: int, on: bool) -> None:
        self._block(place, "SOUR", on)

    @command("TRIGger:BLOCk:MEASure", _BLOCK, Text(), _COUNT, optional=2)
    @command("TRIGger:BLOCk:MDIGitize", _BLOCK, Text(), _COUNT, optional=2)
    def block_measure(self, place: int, buffer: str = BUFFER, count: int = 0) -> None:
        self.buffer(buffer)
        self._block(place, "MEAS", buffer, count)

    @command("TRIGger:BLOCk:DELay:CONStant", _BLOCK, Number(167e-9, 10_000, unit="S"))
    def block_delay(self, place: int, seconds: float) -> None:
        self._block(place, "DEL", seconds)

    @command("TRIGger:BLOCk:BRANch:COUNter", _BLOCK, _COUNT, _BLOCK)
    def block_counter(self, place: int, count: int, target: int) -> None:
        self._block(place, "COUNT", count, target)

    @command("TRIGger:BLOCk:BRANch:ALWays", _BLOCK, _BLOCK)
    def block_always(self, place: int, target: int) -> None:
        self._block(place, "ALWAYS", target)

    @command("TRIGger:BLOCk:BUFFer:CLEar", _BLOCK, Text(), optional=1)
    def block_clear(self, place: int, buffer: str = BUFFER) -> None:
        self.buffer(buffer)
        self._block(place, "CLEAR", buffer)

    @command("TRIGger:BLOCk:CONFig:RECall", _BLOCK, Text(), _COUNT, optional=1)
    def block_recall(self, place: int, name: str, index: int = 1) -> None:
        self._block(place, "RECALL", name, index)

    @command("TRIGger:BLOCk:CONFig:NEXT", _BLOCK, Text())
    def block_next(self, place: int, name: str) -> None:
        self._block(place, "NEXT", name)

    @command("TRIGger:BLOCk:CONFig:PREVious", _BLOCK, Text())
    def block_previous(self, place: int, name: str) -> None:
        self._block(place, "PREV", name)

    @command("TRIGger:BLOCk:WAIT", _BLOCK, Choice("COMMand", "DISPlay", "DIGio1", "DIGio2", "NONE"))
    def block_wait(self, place: int, event: str) -> None:
        self._block(place, "WAIT", event)

    @command("TRIGger:BLOCk:NOP", _BLOCK)
    def block_nothing(self, place: int) -> None:
        self._block(place, "NOP")

    @query("TRIGger:BLOCk:LIST")
    def list_blocks(self) -> str:
        lines = [f"{place}) {' '.join(map(str, block))}" for place, block in enumerate(self.blocks, start=1)]
        return "; ".join(lines) or "Empty"

    @command("TRIGger:LOAD", Text(), *[NumberOrText()] * 5, optional=5)
    def load_model(self, template: str, *given: Any) -> None:
        numbers = [value for value in given if not isinstance(value, str)]
        names = [value for value in given if isinstance(value, str)]
        if template.lower() == "empty":
            self._load([], {})
        elif template.lower() == "simpleloop" and numbers and numbers[0] >= 1:
            buffer = names[0] if names else BUFFER
            self.buffer(buffer)
            delay_s = numbers[1] if len(numbers) > 1 else 0.0
            self._load(simple_loop(int(numbers[0]), float(delay_s), buffer), {})
        elif template.lower() == "configlist" and names:
            name = next((each for each in names if each in self._sizes()), "")
            buffer = next((each for each in names if each in self.buffers), BUFFER)
            if not name:
                raise ScpiError(-224)
            delay_s = float(numbers[0]) if numbers else 0.0
            self._load(config_list_loop(name, self._sizes()[name], delay_s, buffer), {})
        else:
            raise ScpiError(-224)

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        if self.programme is not None or self.run_state == "WAITING":
            raise ScpiError(-213)
        if not self.blocks:
            raise ScpiError(-221, "Settings conflict; trigger model is empty")
        if self.sweep:
            self._run_sweep()
        else:
            self._run_blocks(1, {})

    def _run_sweep(self) -> None:
        sweep = self.sweep
        if (sweep["kind"] == "VOLT") != self.sources_voltage:
            raise ScpiError(-221)
        levels = np.asarray(sweep["levels"], dtype=float)
        highest = float(np.abs(levels).max())
        if highest > self.source_range(highest).full * OVER_RANGE * (1 + 1e-12):
            raise ScpiError(-221)
        conversions_s = sum(self.conversion_s(each) for each in self.functions())
        dwell_s = max(POINT_MIN_S, sweep["delay_s"] + self.figures.point_s + conversions_s)
        self.target = sweep["buffer"]
        self.buffer(self.target).clear()
        self.ending = {"output": False, "waiting": False, "at": len(self.blocks), "counters": {}}
        self.values["output"] = True
        self.run_state = "RUNNING"
        every = np.ones(len(levels), dtype=np.bool_)
        self.begin(levels, np.full(len(levels), dwell_s), every, float(sweep["count"]), bool(sweep["aborts"]))

    def _run_blocks(self, first: int, counters: dict[str, int]) -> None:
        conversions_s = sum(self.conversion_s(each) for each in self.functions())
        times = Times(self.figures.point_s - self.figures.overhead_s, conversions_s + self.figures.overhead_s)
        runner = Runner(self.blocks, times, self._recalled, self._sizes(), int(self.values["count"]))
        line = runner.run(first, self.level(), bool(self.values["output"]), counters)
        self.target = line.buffer or BUFFER
        if line.cleared:
            self.buffer(self.target).clear()
        self.ending = {
            "output": line.output,
            "waiting": line.waiting,
            "at": line.at,
            "counters": line.counters,
        }
        levels, dwell_s, reads = line.arrays()
        if not len(levels):
            self.programme_over()
            return
        self.run_state = "RUNNING"
        # a level of the programme is 0 wherever its blocks have the output off
        self.values["output"] = bool(self.values["output"] or levels.any() or line.output)
        self.begin(levels, dwell_s, reads, 1.0, False)

    def level_afterwards(self, last: float) -> float:
        return self.level() if self.ending["output"] else 0.0

    def programme_over(self) -> None:
        ending = self.ending
        self.stopped_at = ending["at"]
        self.run_state = "WAITING" if ending["waiting"] else "IDLE"
        self.values["output"] = ending["output"]
        self.hold()

    def trigger(self) -> None:
        waits = self.run_state == "WAITING" and self.blocks[self.stopped_at - 1][1] in ("COMM", "NONE")
        if not waits:
            self.error(-211)
            return
        self.run_state = "IDLE"
        self._run_blocks(self.stopped_at + 1, self.ending["counters"])

    def operation_end_s(self) -> float:
        return float(np.inf) if self.run_state == "WAITING" else super().operation_end_s()

    def stop(self) -> None:
        if self.programme is not None or self.run_state == "WAITING":
            self.run_state = "ABORTED"
        super().stop()

    @command("ABORt")
    def abort(self) -> None:
        """End the trigger model; the output stays as it is."""
        self.stop()

    @query("TRIGger:STATe")
    def trigger_state(self) -> str:
        return f"{self.run_state};{self.run_state};{self.stopped_at}"
