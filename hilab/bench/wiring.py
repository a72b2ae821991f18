"""Who is connected to what, as the bench file draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hilab.bench.file import InstrumentEntry, Wire

# Channels of one bank of a switch card, and the banks' letters. [Keithley 7011: quad 1x10 multiplexer]
CARDS: Mapping[str, tuple[int, str]] = {"7011": (10, "ABCD")}


@dataclass(frozen=True)
class Channel:
    """A relay 'mux.1!3': instrument, slot and number on the card."""

    instrument: str
    slot: int
    number: int

    @staticmethod
    def parse(pad: str) -> Channel | None:
        """None if the pad is a plain terminal; ValueError if it is no well-formed channel."""
        instrument, _, rest = pad.partition(".")
        if "!" not in rest:
            return None
        slot, _, number = rest.partition("!")
        if not (slot.isdigit() and number.isdigit()):
            raise ValueError(f"{pad!r} is no channel: write it like 'mux.1!3' (instrument.slot!channel)")
        return Channel(instrument, int(slot), int(number))

    @property
    def relay(self) -> str:
        """The instrument's own name of it, such as '1!3'."""
        return f"{self.slot}!{self.number}"


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
        per_bank, banks = CARDS.get(cards[channel.slot - 1], (0, ""))
        if banks and not 1 <= channel.number <= per_bank * len(banks):
            return f"a card {cards[channel.slot - 1]} has channels 1 to {per_bank * len(banks)}"
        return ""

    def common(self, channel: Channel) -> str | None:
        """The common terminal ('mux.1A') that the channel closes to; None for a card of an unknown kind."""
        cards = self._cards(channel.instrument)
        if not 1 <= channel.slot <= len(cards):
            return None
        per_bank, banks = CARDS.get(cards[channel.slot - 1], (0, ""))
        bank = (channel.number - 1) // per_bank if per_bank else 0
        return f"{channel.instrument}.{channel.slot}{banks[bank]}" if 0 <= bank < len(banks) else None

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

    def _cards(self, instrument: str) -> list[str]:
        entry = self._instruments.get(instrument)
        cards = entry.options.get("cards", []) if entry else []
        return [str(card) for card in cards] if isinstance(cards, list) else []
