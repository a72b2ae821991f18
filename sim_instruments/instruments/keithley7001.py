"""Keithley 7001 switch mainframe with 7011 quad 1x10 multiplexer cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sim_instruments.scpi.instrument import (
    Boolean,
    Channels,
    Choice,
    Number,
    ScpiError,
    ScpiInstrument,
    Setting,
    command,
    query,
)
from sim_instruments.world.contracts import Link, World

CARD_CHANNELS = {"7011": 40}  # source: bench file convention, four banks of ten
SLOTS = 2
RELAY_TIME_S = 5e-3  # source: bench.md 2.8, reed cards 1 to 5 ms; 3 to 20 ms for the whole operation


class Keithley7001(ScpiInstrument):
    """Closing adds to what is closed. Relays act at once in the world; *OPC? answers when they have settled.

    options: cards, the model in each slot ("" leaves it empty), at most two.
    """

    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 7001,9876,A01"
    option_defaults: ClassVar[Mapping[str, Any]] = {"cards": ()}
    memories = range(0, 5)
    registers = ("OPER", "QUES")
    state = ("closed", "scan_list", "scan_position", "settled_s")
    settings = (
        Setting("break_before_make", "[ROUTe:]CONFigure:BBMake", Boolean(), True),
        Setting("settling_1_s", "[ROUTe:]CONFigure:SLOT1:STIMe", Number(0, 99999.999), 0.0),
        Setting("settling_2_s", "[ROUTe:]CONFigure:SLOT2:STIMe", Number(0, 99999.999), 0.0),
        Setting("trigger_source", "TRIGger:SOURce", Choice("HOLD", "BUS"), "HOLD"),
        Setting("display", "DISPlay:ENABle", Boolean(), True),
    )

    def __init__(self, name: str, world: World, link: Link, options: Mapping[str, Any]):
        cards = tuple(options.get("cards", ()))
        unknown = [card for card in cards if card not in (*CARD_CHANNELS, "")]
        if unknown or len(cards) > SLOTS:
            raise ValueError(
                f"instrument '{name}': cards {list(cards)} do not fit; a 7001 has {SLOTS} slots for "
                f"{', '.join(CARD_CHANNELS)} or ''"
            )
        self.cards = cards
        self.closed: list[str] = []
        self.scan_list: list[str] = []
        super().__init__(name, world, link, options)

    def on_reset(self) -> None:
        self._move(close=[], open_=list(self.closed))
        self.scan_list = []
        self.scan_position = -1

    def operation_end_s(self) -> float:
        return self.settled_s

    def trigger(self) -> None:
        """Step to the next channel of the scan list."""
        if self.values["trigger_source"] != "BUS" or self.scan_position + 1 >= len(self.scan_list):
            self.error(-211)
            return
        before = (
            self.scan_list[self.scan_position : self.scan_position + 1] if self.scan_position >= 0 else []
        )
        self.scan_position += 1
        self._move(close=[self.scan_list[self.scan_position]], open_=before)

    # ---- commands ----------------------------------------------------------------------------------

    @command("[ROUTe:]CLOSe", Channels())
    def close_channels(self, channels: tuple[str, ...]) -> None:
        self._move(close=self._checked(channels), open_=[])

    @query("[ROUTe:]CLOSe", Channels())
    def are_closed(self, channels: tuple[str, ...]) -> str:
        return ",".join("1" if channel in self.closed else "0" for channel in self._checked(channels))

    @query("[ROUTe:]CLOSe:STATe")
    def closed_list(self) -> str:
        ordered = sorted(self.closed, key=lambda channel: [int(part) for part in channel.split("!")])
        return f"(@{','.join(ordered)})"

    @command("[ROUTe:]OPEN", Channels(takes_all=True))
    def open_channels(self, channels: tuple[str, ...]) -> None:
        self._move(close=[], open_=list(self.closed) if channels == ("ALL",) else self._checked(channels))

    @query("[ROUTe:]OPEN", Channels())
    def are_open(self, channels: tuple[str, ...]) -> str:
        return ",".join("0" if channel in self.closed else "1" for channel in self._checked(channels))

    @command("[ROUTe:]SCAN[:LIST]", Channels())
    def set_scan_list(self, channels: tuple[str, ...]) -> None:
        self.scan_list = self._checked(channels)
        self.scan_position = -1

    @query("[ROUTe:]SCAN[:LIST]")
    def get_scan_list(self) -> str:
        return f"(@{','.join(self.scan_list)})"

    @command("ABORt")
    def abort(self) -> None:
        self.scan_position = -1

    @query("SYSTem:CTYPe<1-2>")
    def card_type(self, slot: int) -> str:
        return (self.cards[slot - 1] if slot <= len(self.cards) else "") or "NONE"

    # ---- relays ------------------------------------------------------------------------------------

    def _checked(self, items: tuple[str, ...]) -> list[str]:
        """Channels of a list with ranges such as 1!1:1!4 spelled out; -222 for one that is not there."""
        channels: list[str] = []
        for item in items:
            ends = [self._channel(text) for text in item.split(":")]
            if len(ends) == 1:
                channels.append(f"{ends[0][0]}!{ends[0][1]}")
            elif len(ends) == 2 and ends[0][0] == ends[1][0] and ends[0][1] <= ends[1][1]:
                channels += [f"{ends[0][0]}!{number}" for number in range(ends[0][1], ends[1][1] + 1)]
            else:
                raise ScpiError(-222)
        return channels

    def _channel(self, text: str) -> tuple[int, int]:
        parts = [part.strip() for part in text.split("!")]
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise ScpiError(-170)
        slot, number = int(parts[0]), int(parts[1])
        card = self.cards[slot - 1] if 1 <= slot <= len(self.cards) else ""
        if not 1 <= number <= CARD_CHANNELS.get(card, 0):
            raise ScpiError(-222)
        return slot, number

    def _move(self, close: list[str], open_: list[str]) -> None:
        moving = [channel for channel in open_ if channel in self.closed]
        for channel in moving:
            self.closed.remove(channel)
            self.world.open_relay(f"{self.name}.{channel}")
        for channel in close:
            if channel not in self.closed:
                self.closed.append(channel)
                moving.append(channel)
                self.world.close_relay(f"{self.name}.{channel}")
        extra_s = max((self.values[f"settling_{channel[0]}_s"] for channel in moving), default=0.0)
        self.settled_s = self.world.now + (RELAY_TIME_S + extra_s if moving else 0.0)
