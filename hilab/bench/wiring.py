"""Who is connected to what, as the bench file draws it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hilab.bench.file import InstrumentEntry, Wire

# Channels of one bank of a multiplexer card, and the banks' letters. [Keithley 7011: quad 1x10 multiplexer]
MULTIPLEXERS: Mapping[str, tuple[int, str]] = {"7011": (10, "ABCD")}

# Rows and columns of a matrix card; rows of one letter are one line over all slots. [Keithley 7072 in a 707B]
MATRICES: Mapping[str, tuple[str, int]] = {"7072": ("ABCDEFGH", 12)}

_MULTIPLEXER_CHANNEL = re.compile(r"(\d+)!(\d+)")
_CROSSPOINT = re.compile(r"(\d)([A-H])(\d\d)")
_LIKE_A_CROSSPOINT = re.compile(r"\d+[A-Za-z]\d+")


@dataclass(frozen=True)
class Channel:
    """A relay: 'mux.1!3' (slot, number on the card) or the crosspoint 'matrix.1A03' (slot, row, column)."""

    instrument: str
    slot: int
    number: int
    row: str = ""

    @staticmethod
    def parse(pad: str) -> Channel | None:
        """None if the pad is a plain terminal; ValueError if it is no well-formed channel."""
        instrument, _, rest = pad.partition(".")
        if "!" in rest:
            if match := _MULTIPLEXER_CHANNEL.fullmatch(rest):
                return Channel(instrument, int(match[1]), int(match[2]))
            raise ValueError(f"{pad!r} is no channel: write it like 'mux.1!3' (instrument.slot!channel)")
        if match := _CROSSPOINT.fullmatch(rest):
            return Channel(instrument, int(match[1]), int(match[3]), match[2])
        if _LIKE_A_CROSSPOINT.fullmatch(rest):
            raise ValueError(
                f"{pad!r} is no crosspoint: write it like 'matrix.1A03' (slot, row A to H, column)"
            )
        return None

    @property
    def relay(self) -> str:
        """The instrument's own name of it, such as '1!3' or '1A03'."""
        return f"{self.slot}{self.row}{self.number:02d}" if self.row else f"{self.slot}!{self.number}"

    @property
    def place(self) -> str:
        """Where the pad lies: of a matrix the column, whatever row it is written with."""
        if self.row:
            return f"column {self.number} of slot {self.slot} of {self.instrument}"
        return f"{self.instrument}.{self.relay}"


class Wiring:
    """The cables of a bench file as a graph of terminals."""

    def __init__(self, instruments: Mapping[str, InstrumentEntry], wires: Iterable[Wire]):
        self._instruments = instruments
        self._ends: dict[str, set[str]] = {}
        for wire in wires:
            for end in wire.to:
                self._ends.setdefault(wire.source, set()).add(end)
                self._ends.setdefault(end, set()).add(wire.source)

    def others(self, terminal: str) -> set[str]:
        """What a plain cable connects the terminal with."""
        return self._ends.get(terminal, set())

    def missing_channel(self, channel: Channel) -> str:
        """Why the card has no such channel; '' if it has, or the card is of an unknown kind."""
        cards = self._cards(channel.instrument)
        if not cards:
            return ""
        if not 1 <= channel.slot <= len(cards):
            return f"{channel.instrument!r} has no card in slot {channel.slot}"
        card = cards[channel.slot - 1]
        if not card:
            return f"slot {channel.slot} of {channel.instrument!r} is empty"
        if card in MULTIPLEXERS:
            per_bank, banks = MULTIPLEXERS[card]
            last = per_bank * len(banks)
            fits = not channel.row and 1 <= channel.number <= last
            return "" if fits else f"a card {card} has channels 1 to {last}"
        if card in MATRICES:
            rows, columns = MATRICES[card]
            fits = channel.row in rows and channel.row != "" and 1 <= channel.number <= columns
            example = f"1{rows[0]}01 to 1{rows[-1]}{columns:02d}"
            return "" if fits else f"a card {card} has crosspoints such as {example}"
        return ""

    def common(self, channel: Channel) -> str | None:
        """The line that the channel closes to ('mux.1A', 'matrix.A'); None for a card of an unknown kind."""
        if self.missing_channel(channel) or not self._known(channel):
            return None
        if channel.row:
            return f"{channel.instrument}.{channel.row}"
        per_bank, banks = MULTIPLEXERS[self._cards(channel.instrument)[channel.slot - 1]]
        return f"{channel.instrument}.{channel.slot}{banks[(channel.number - 1) // per_bank]}"

    def lines(self, instrument: str) -> list[str]:
        """Where cables can end on a switch; [] if it is none, or has a card of an unknown kind."""
        found: dict[str, None] = {}
        for slot, card in enumerate(self._cards(instrument), start=1):
            if card in MULTIPLEXERS:
                found |= dict.fromkeys(f"{instrument}.{slot}{bank}" for bank in MULTIPLEXERS[card][1])
            elif card in MATRICES:
                found |= dict.fromkeys(f"{instrument}.{row}" for row in MATRICES[card][0])
            elif card:
                return []
        return list(found)

    def instruments_at(self, pad: str) -> set[str]:
        """Names of the instruments that can be connected with the pad."""
        channel = Channel.parse(pad)
        if channel is None:
            terminals = {pad} | self.others(pad)
        elif (common := self.common(channel)) is not None:
            terminals = self.others(common)
        else:  # a card we do not know: any cable that ends on its switch may lead there
            ends = [end for end in self._ends if end.startswith(f"{channel.instrument}.")]
            terminals = set().union(*(self.others(end) for end in ends))
        owners = {terminal.partition(".")[0] for terminal in terminals}
        switch = {channel.instrument} if channel else set()
        return (owners & set(self._instruments)) - switch

    def _known(self, channel: Channel) -> bool:
        cards = self._cards(channel.instrument)
        return 1 <= channel.slot <= len(cards) and cards[channel.slot - 1] in {*MULTIPLEXERS, *MATRICES}

    def _cards(self, instrument: str) -> list[str]:
        entry = self._instruments.get(instrument)
        cards = entry.options.get("cards", []) if entry else []
        return [str(card) for card in cards] if isinstance(cards, list) else []
