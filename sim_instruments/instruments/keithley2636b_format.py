"""How the 2636B writes numbers: print, printnumber, printbuffer, ASCII or binary."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim_instruments.instruments.keithley2636b_buffer import ReadingBuffer
from sim_instruments.instruments.keithley2636b_settings import choice, integer, setting
from sim_instruments.tsp.box import TspBox
from sim_instruments.tsp.errors import TspError
from sim_instruments.tsp.runtime import Attribute
from sim_instruments.world.contracts import FloatArray

ASCII, REAL32, REAL64 = 1, 2, 3
BIG, LITTLE = 0, 1
DEFAULTS = {"data": ASCII, "byteorder": LITTLE, "asciiprecision": 6}  # byte order: [R]
BLOCK_START = b"#0"  # source: 2600B reference, binary formats [R]


class Format:
    def __init__(self, box: TspBox):
        self.box = box
        self.settings: dict[str, Any] = dict(DEFAULTS)

    def reset(self) -> None:
        self.settings.update(DEFAULTS)
        self.apply()

    def apply(self) -> None:
        self.box.runtime.precision(self.settings["asciiprecision"])

    def namespace(self) -> dict[str, Any]:
        """The global table `format`."""
        return {
            "ASCII": ASCII, "REAL32": REAL32, "SREAL": REAL32, "REAL64": REAL64,
            "REAL": REAL64, "DREAL": REAL64,
            "NORMAL": BIG, "BIGENDIAN": BIG, "NETWORK": BIG, "SWAPPED": LITTLE, "LITTLEENDIAN": LITTLE,
            "data": setting(self.settings, "data", choice(ASCII, REAL32, REAL64)),
            "byteorder": setting(self.settings, "byteorder", choice(BIG, LITTLE)),
            "asciiprecision": Attribute(
                lambda: self.settings["asciiprecision"],
                setting(self.settings, "asciiprecision", integer(1, 16), self.apply).set,
            ),
        }  # fmt: skip

    def print_numbers(self, *values: Any) -> None:
        """printnumber(...)"""
        if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values):
            raise TspError("bad argument to printnumber: numbers expected")
        self._send(np.array(values, dtype=np.float64))

    def print_buffer(self, first: Any, last: Any, *columns: Any) -> None:
        """printbuffer(first, last, column, ...): entries of each column in turn."""
        found = [self._column(each) for each in columns]
        if not found:
            raise TspError("bad argument to printbuffer: a reading buffer expected")
        start, stop = int(first), int(last)
        if start < 1 or stop < start or stop > min(len(each) for each in found):
            raise TspError(f"printbuffer: entries {start} to {stop} are not in the buffer")
        self._send(np.column_stack([each[start - 1 : stop] for each in found]).ravel())

    def _column(self, value: Any) -> FloatArray:
        owner = self.box.runtime.owner_of(value)
        if isinstance(owner, ReadingBuffer):
            return owner.column("readings")
        if isinstance(owner, tuple):
            buffer, name = owner
            return buffer.column(name)  # type: ignore[no-any-return]
        if self.box.runtime.lua_kind(value) == "table":
            return self.box.runtime.numbers(value)
        raise TspError("bad argument to printbuffer: a reading buffer expected")

    def _send(self, values: FloatArray) -> None:
        if self.settings["data"] == ASCII:
            digits = self.settings["asciiprecision"] - 1
            self.box.say(", ".join([f"{value:.{digits}e}" for value in values.tolist()]))
            return
        order = "<" if self.settings["byteorder"] == LITTLE else ">"
        size = 4 if self.settings["data"] == REAL32 else 8
        with np.errstate(over="ignore"):
            self.box.replies.append(BLOCK_START + values.astype(f"{order}f{size}").tobytes() + b"\n")
