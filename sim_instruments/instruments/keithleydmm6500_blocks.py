"""The commands that put the DMM6500's trigger model together, block by block or from a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim_instruments.instruments import keithleydmm6500_programme as programme
from sim_instruments.instruments.keithleydmm6500_memory import BUFFER, ENDLESS, ReadingMemory
from sim_instruments.instruments.keithleydmm6500_programme import Block
from sim_instruments.instruments.keithleydmm6500_settings import COUNT_MAX, DELAY_S
from sim_instruments.scpi.instrument import Choice, Number, ScpiError, Text, command, query
from sim_instruments.scpi.parameters import Parameter, quote


class Count:
    """Readings of a measure block: a number, AUTO (0: what the count setting says) or INFinite."""

    def parse(self, text: str) -> float:
        """The count; -222, -104."""
        if text.upper() == "AUTO":
            return 0.0
        return float(Number(1, 55_000_000, integer=True, infinite=True).parse(text))


class Raw:
    """A parameter as it was typed: the templates have parameters of their own."""

    def parse(self, text: str) -> str:
        """The text."""
        return text


EVENTS = Choice("EXTernal", "DISPlay", "NONE", "COMMand")
FORGETS = Choice("ENTer", "NEVer")
NUMBER = Number(1, 63, integer=True)
DELAY = Number(0, DELAY_S[1], unit="S")
_REST: dict[str, Parameter] = {"delay_s": DELAY, "buffer": BUFFER}
# template -> its parameters in order, and how many must be given; source: 2450 manual, recalled [R]
TEMPLATES: Mapping[str, tuple[Mapping[str, Parameter], int]] = {
    "empty": ({}, 0),
    "simpleloop": ({"count": Number(1, COUNT_MAX, integer=True), **_REST}, 1),
    "durationloop": ({"duration_s": Number(500e-9, 1e5, unit="S"), **_REST}, 1),
    "loopuntilevent": ({"event": EVENTS, "position": Number(0, 100), "clear": FORGETS, **_REST}, 2),
}


class TriggerBlocks(ReadingMemory):
    """The part of the DMM6500 that holds the blocks: number -> a Block's fields."""

    blocks: dict[str, list[Any]]
    ended: str

    def on_reset(self) -> None:
        super().on_reset()
        self.blocks = {}
        self.ended = "EMPTY"  # what TRIGger:STATe? says when nothing runs

    def _put(self, number: int, block: Block) -> None:
        self.check_idle()
        if block.buffer:
            self.buffers[block.buffer].count(0.0)
        if number > len(self.blocks) + 1:
            raise ScpiError(-221, "Settings conflict; blocks are numbered without a gap")
        self.blocks[str(number)] = list(block)
        self.ended = "IDLE"

    @command("TRIGger:BLOCk:BUFFer:CLEar", NUMBER, BUFFER, optional=1)
    def block_clear(self, number: int, buffer: str = "defbuffer1") -> None:
        self._put(number, Block(programme.CLEAR, buffer))

    @command("TRIGger:BLOCk:WAIT", NUMBER, EVENTS, FORGETS, Choice("OR", "AND"), optional=2)
    def block_wait(self, number: int, event: str, forgets: str = "NEV", logic: str = "OR") -> None:
        if event != "EXT":
            raise ScpiError(-241, "Hardware missing; only the external trigger is connected")
        self._put(number, Block(programme.WAIT, number=float(forgets == "ENT")))

    @command("TRIGger:BLOCk:DELay:CONStant", NUMBER, DELAY)
    def block_delay(self, number: int, delay_s: float) -> None:
        if 0 < delay_s < DELAY_S[0]:
            raise ScpiError(-222)
        self._put(number, Block(programme.DELAY, number=delay_s))

    @command("TRIGger:BLOCk:MDIGitize", NUMBER, BUFFER, Count(), optional=2)
    @command("TRIGger:BLOCk:DIGitize", NUMBER, BUFFER, Count(), optional=2)
    @command("TRIGger:BLOCk:MEASure", NUMBER, BUFFER, Count(), optional=2)
    def block_measure(self, number: int, buffer: str = "defbuffer1", count: float = 0.0) -> None:
        self._put(number, Block(programme.MEASURE, buffer, count))

    @command("TRIGger:BLOCk:BRANch:COUNter", NUMBER, Number(1, COUNT_MAX, integer=True), NUMBER)
    def block_counter(self, number: int, count: int, target: int) -> None:
        self._put(number, Block(programme.COUNTER, number=float(count), target=target))

    @command("TRIGger:BLOCk:BRANch:ALWays", NUMBER, NUMBER)
    def block_always(self, number: int, target: int) -> None:
        self._put(number, Block(programme.COUNTER, number=ENDLESS, target=target))

    @command("TRIGger:BLOCk:NOTify", NUMBER, Number(1, 8, integer=True))
    @command("TRIGger:BLOCk:NOP", NUMBER, Number(1, 8, integer=True), optional=1)
    def block_nothing(self, number: int, event: int = 0) -> None:
        self._put(number, Block(programme.NOTHING))

    @query("TRIGger:BLOCk:LIST")
    def list_blocks(self) -> str:
        return quote("; ".join(f"{number}) {block[0].upper()}" for number, block in self.blocks.items()))

    @command("TRIGger:LOAD", Text(), *[Raw()] * 5, optional=5)
    def load(self, name: str, *arguments: str) -> None:
        """A template; 'Empty' has no blocks."""
        self.check_idle()
        template = name.lower()
        if template not in TEMPLATES:
            raise ScpiError(-224, f"Illegal parameter value; the template {name} is not simulated")
        parameters, required = TEMPLATES[template]
        if len(arguments) < required:
            raise ScpiError(-109)
        if len(arguments) > len(parameters):
            raise ScpiError(-108)
        values = {
            key: parameter.parse(text)
            for (key, parameter), text in zip(parameters.items(), arguments, strict=False)
        }
        loop = self._loop(template, values)
        self.blocks, self.ended = {}, "EMPTY"
        for number, block in enumerate(loop, start=1):
            self._put(number, block)

    def _loop(self, template: str, values: Mapping[str, Any]) -> list[Block]:
        """The blocks of a template: clear, delay, measure, branch to the delay."""
        if template == "empty":
            return []
        name = values.get("buffer", "defbuffer1")
        if template == "simpleloop":
            branch = Block(programme.COUNTER, number=float(values["count"]), target=2)
        elif template == "durationloop":
            branch = Block(programme.ELAPSED, number=values["duration_s"], target=2)
        else:
            if values["event"] != "EXT":
                raise ScpiError(-241, "Hardware missing; only the external trigger is connected")
            after = self.buffers[name].size * (1 - values.get("position", 50.0) / 100)
            branch = Block(programme.EVENT, number=float(round(after)), target=2)
        return [
            Block(programme.CLEAR, name),
            Block(programme.DELAY, number=values.get("delay_s", 0.0)),
            Block(programme.MEASURE, name),
            branch,
        ]
