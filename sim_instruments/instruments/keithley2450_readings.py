"""Readings of a 2450: READ?, FETCh?, MEASure?, and the TRACe subsystem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keithley2450_buffer import ELEMENTS, ELEMENTS_MAX, ReadingBuffer, sent
from sim_instruments.instruments.sourcemeter import Points, SourceMeter
from sim_instruments.scpi.instrument import Choice, Later, Number, ScpiError, Text, command, query
from sim_instruments.scpi.parameters import unquote
from sim_instruments.world.contracts import FloatArray

DEFAULTS = ("defbuffer1", "defbuffer2")
_WORDS = Choice(
    "READing", "SOURce", "RELative", "SEConds", "FRACtional", "STATus", "SOURSTATus", "DATE", "TIME",
    "TSTamp", "FORMatted", "SOURFORMatted", "UNIT", "SOURUNIT",
)  # fmt: skip
_STYLE = Choice("STANdard", "COMPact", "FULL")
STATISTICS: Mapping[str, Callable[[FloatArray], Any]] = {
    "AVER": np.mean,
    "MAX": np.max,
    "MIN": np.min,
    "STDD": np.std,
}


class Element:
    """A buffer's name in quotation marks (given back with a leading mark) or the word for an element."""

    def parse(self, text: str) -> str:
        if text[:1] in ("'", '"'):
            return '"' + unquote(text)
        return _short(_WORDS.parse(text))


def _short(word: str) -> str:
    """TST for TSTAMP, SOURSTAT for SOURSTATUS and so on: the name that buffers know."""
    if word in ELEMENTS:
        return word
    return max((name for name in ELEMENTS if word.startswith(name)), key=len)


_WANTED = (Element(),) * (ELEMENTS_MAX + 1)


class Readings(SourceMeter):
    """Buffers by name; a READ? appends to its buffer."""

    state: ClassVar[tuple[str, ...]] = ("asked", "target")

    def rows(self, points: Points) -> FloatArray:
        """(n, 7) readings as buffers hold them."""
        raise NotImplementedError

    def reset_readings(self) -> None:
        """Only the two default buffers, empty."""
        self.buffers = {name: ReadingBuffer() for name in DEFAULTS}
        self.target = DEFAULTS[0]  # of the trigger model that runs
        self.asked: list[Any] = []  # buffer and elements of the READ? under way

    def buffer(self, name: str) -> ReadingBuffer:
        """The buffer of this name; -224 if there is none."""
        if name not in self.buffers:
            raise ScpiError(-224, "Illegal parameter value; no such reading buffer")
        return self.buffers[name]

    # ---- one after the other --------------------------------------------------------------------------

    @query("READ", *_WANTED, optional=len(_WANTED))
    def read_now(self, *wanted: str) -> Later:
        """SENSe:COUNt readings; the answer holds the last one."""
        if self.programme is not None:
            raise ScpiError(-221)
        name, elements = _split(wanted)
        self.buffer(name)
        one_s = sum(self.conversion_s(each) for each in self.functions()) + self.figures.overhead_s
        one_s += self.source_delay_s()
        self.asked = [name, list(elements), one_s, self.world.now + self.figures.answer_s]
        return Later(self.asked[3] + int(self.values["count"]) * one_s, "taken")

    def taken(self) -> bytes:
        """What READ? took."""
        name, elements, one_s, start_s = self.asked
        count = int(self.values["count"])
        rows = self.rows(self.present(count, start_s + one_s * np.arange(1, count + 1)))
        kept = self.buffer(name)
        kept.add(rows)
        return self._sent(rows[-1:], float(kept.rows()[0, 2]), elements)

    @query("FETCh", *_WANTED, optional=len(_WANTED))
    def fetch(self, *wanted: str) -> bytes:
        name, elements = _split(wanted)
        rows = self.buffer(name).rows()
        if not len(rows):
            raise ScpiError(-230)
        return self._sent(rows[-1:], float(rows[0, 2]), elements)

    def _measure(self, function: str, wanted: tuple[str, ...]) -> Later:
        self.sense = function
        return self.read_now(*wanted)

    @query("MEASure", *_WANTED, optional=len(_WANTED))
    def measure(self, *wanted: str) -> Later:
        return self.read_now(*wanted)

    @query("MEASure:VOLTage[:DC]", *_WANTED, optional=len(_WANTED))
    def measure_voltage(self, *wanted: str) -> Later:
        return self._measure("VOLT", wanted)

    @query("MEASure:CURRent[:DC]", *_WANTED, optional=len(_WANTED))
    def measure_current(self, *wanted: str) -> Later:
        return self._measure("CURR", wanted)

    @query("MEASure:RESistance", *_WANTED, optional=len(_WANTED))
    def measure_resistance(self, *wanted: str) -> Later:
        return self._measure("RES", wanted)

    def _sent(self, rows: FloatArray, first_s: float, elements: Any) -> bytes:
        swapped = self.values["order"] == "SWAP"
        return sent(rows, first_s, elements, str(self.values["data_format"]), swapped)

    # ---- TRACe ----------------------------------------------------------------------------------------

    @command("TRACe:MAKE", Text(31), Number(10, 6_875_000, integer=True), _STYLE, optional=1)
    def make_buffer(self, name: str, size: int, style: str = "STAN") -> None:
        if name in DEFAULTS or not name:
            raise ScpiError(-224)
        self.buffers[name] = ReadingBuffer(size, style, "ONCE")

    @command("TRACe:DELete", Text())
    def delete_buffer(self, name: str) -> None:
        if name in DEFAULTS:
            raise ScpiError(-224)
        self.buffer(name)
        del self.buffers[name]

    @command("TRACe:CLEar", Text(), optional=1)
    def clear_buffer(self, name: str = DEFAULTS[0]) -> None:
        self.buffer(name).clear()

    @command("TRACe:POINts", Number(1, 6_875_000, integer=True), Text(), optional=1)
    def resize_buffer(self, size: int, name: str = DEFAULTS[0]) -> None:
        kept = self.buffer(name)
        if size < 10:
            raise ScpiError(-222)
        kept.size = size
        kept.clear()

    @query("TRACe:POINts", Text(), optional=1)
    def buffer_size(self, name: str = DEFAULTS[0]) -> int:
        return self.buffer(name).size

    @query("TRACe:ACTual", Text(), optional=1)
    @query("TRACe:ACTual:END", Text(), optional=1)
    def buffer_count(self, name: str = DEFAULTS[0]) -> int:
        return self.buffer(name).count

    @query("TRACe:ACTual:STARt", Text(), optional=1)
    def buffer_first(self, name: str = DEFAULTS[0]) -> int:
        return min(1, self.buffer(name).count)

    @command("TRACe:FILL:MODE", Choice("ONCE", "CONTinuous"), Text(), optional=1)
    def set_fill(self, mode: str, name: str = DEFAULTS[0]) -> None:
        self.buffer(name).fill = mode

    @query("TRACe:FILL:MODE", Text(), optional=1)
    def get_fill(self, name: str = DEFAULTS[0]) -> str:
        return self.buffer(name).fill

    @query(
        "TRACe:DATA",
        Number(1, 1e7, integer=True),
        Number(1, 1e7, integer=True),
        *_WANTED,
        optional=len(_WANTED),
    )
    def get_data(self, first: int, last: int, *wanted: str) -> bytes:
        name, elements = _split(wanted)
        kept = self.buffer(name)
        if not first <= last <= kept.count:
            raise ScpiError(-222)
        rows = kept.rows()
        return self._sent(rows[first - 1 : last], float(rows[0, 2]), elements)

    @command("TRACe:STATistics:CLEar", Text(), optional=1)
    def clear_statistics(self, name: str = DEFAULTS[0]) -> None:
        self.buffer(name)

    def _statistic(self, kind: str, name: str) -> float:
        kept = self.buffer(name)
        if not kept.count:
            raise ScpiError(-230)
        return float(STATISTICS[kind](kept.rows()[:, 0]))

    @query("TRACe:STATistics:AVERage", Text(), optional=1)
    def get_mean(self, name: str = DEFAULTS[0]) -> float:
        return self._statistic("AVER", name)

    @query("TRACe:STATistics:MAXimum", Text(), optional=1)
    def get_maximum(self, name: str = DEFAULTS[0]) -> float:
        return self._statistic("MAX", name)

    @query("TRACe:STATistics:MINimum", Text(), optional=1)
    def get_minimum(self, name: str = DEFAULTS[0]) -> float:
        return self._statistic("MIN", name)

    @query("TRACe:STATistics:STDDev", Text(), optional=1)
    def get_deviation(self, name: str = DEFAULTS[0]) -> float:
        return self._statistic("STDD", name)


def _split(wanted: tuple[str, ...]) -> tuple[str, list[str]]:
    """(buffer, elements) of the parameters of a query; -224 for a buffer in another place than the first."""
    name, rest = DEFAULTS[0], list(wanted)
    if rest and rest[0].startswith('"'):
        name = rest.pop(0)[1:]
    if any(word.startswith('"') for word in rest) or len(rest) > ELEMENTS_MAX:
        raise ScpiError(-224)
    return name, rest or ["READ"]
