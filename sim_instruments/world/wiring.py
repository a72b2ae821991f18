"""Cables, relays and pads: which device port lies on which instrument terminal right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Pad = tuple[str, str]  # (device, port)
PORTS = ("current", "hall", "longitudinal")
ENVIRONMENT = ("coil", "field.perpendicular", "field.in_plane")
REMEMBERED = 500  # states of the relays whose connections are kept
CARDS = {"7011": (("A", 1, 10), ("B", 11, 20), ("C", 21, 30), ("D", 31, 40))}  # bank, first, last channel


@dataclass(frozen=True)
class Relay:
    """One two-pole relay: its name 'mux.1!3' and the common of its bank, 'mux.1A'."""

    name: str
    common: str


def relays_of(instrument: str, cards: Sequence[str]) -> dict[str, Relay]:
    """Every relay of a switch with these cards in slots 1, 2 ... ("" is an empty slot)."""
    found = {}
    for slot, card in enumerate(cards, start=1):
        if not card:
            continue
        if card not in CARDS:
            raise ValueError(
                f"instrument {instrument}: no card {card!r} for slot {slot}; known cards: {', '.join(CARDS)}"
            )
        for bank, first, last in CARDS[card]:
            for channel in range(first, last + 1):
                name = f"{instrument}.{slot}!{channel}"
                found[name] = Relay(name, f"{instrument}.{slot}{bank}")
    return found


class Wiring:
    """The graph from terminals over relays to pads. Lines are two-pole and ideal.

    `connections` maps each terminal to the pads that it reaches now; the mapping is replaced, never
    changed, so that whoever keeps one keeps the wiring of that moment.
    """

    def __init__(
        self,
        instruments: Mapping[str, Mapping[str, Any]],
        wires: Sequence[Mapping[str, Any]],
        pads: Mapping[str, Mapping[str, str]],
    ):
        self.relays: dict[str, Relay] = {}
        for name, table in instruments.items():
            self.relays |= relays_of(name, table.get("options", {}).get("cards", ()))
        self._names = set(instruments)
        self._commons = {relay.common for relay in self.relays.values()}
        self._cables: dict[str, list[str]] = {}
        for number, wire in enumerate(wires, start=1):
            self._add_wire(number, wire)
        self._place: dict[str, Pad] = {}
        for device, ports in pads.items():
            self._add_pads(device, ports)
        self._closed: set[str] = set()
        self._seen: dict[frozenset[str], Mapping[str, tuple[Pad, ...]]] = {}
        self.connections = self._connect()

    @property
    def closed(self) -> tuple[str, ...]:
        """Names of the closed relays, sorted."""
        return tuple(sorted(self._closed))

    def other_end(self, terminal: str) -> str | None:
        """What a plain cable joins to this terminal; None if nothing is wired there."""
        if terminal in self._cables:
            return self._cables[terminal][0]
        return next((start for start, ends in self._cables.items() if terminal in ends), None)

    def terminals_on(self, relay: str) -> tuple[str, ...]:
        """Terminals wired to the common of this relay's bank."""
        common = self.relay(relay).common
        return tuple(start for start, ends in self._cables.items() if common in ends)

    def terminals_at(self, pad: Pad) -> tuple[str, ...]:
        """Terminals that reach this pad now."""
        return tuple(terminal for terminal, pads in self.connections.items() if pad in pads)

    def relay(self, name: str) -> Relay:
        """The relay of this name. Raises ValueError if no card has it."""
        if name not in self.relays:
            raise ValueError(f"there is no relay {name!r} on this bench")
        return self.relays[name]

    def pad_of(self, relay: str) -> Pad | None:
        """The pad behind this relay; None where nothing is connected."""
        return self._place.get(relay)

    def set_closed(self, relay: str, closed: bool) -> None:
        """Close or open one relay."""
        self.relay(relay)
        if closed:
            self._closed.add(relay)
        else:
            self._closed.discard(relay)
        self.connections = self._connect()

    def restore(self, closed: Sequence[str]) -> None:
        """Exactly these relays are closed."""
        self._closed = {self.relay(name).name for name in closed}
        self.connections = self._connect()

    def _connect(self) -> Mapping[str, tuple[Pad, ...]]:
        """What each terminal reaches with these relays; the usual states come again and again."""
        state = frozenset(self._closed)
        if state not in self._seen:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[state] = self._connected()
        return self._seen[state]

    def _connected(self) -> Mapping[str, tuple[Pad, ...]]:
        behind: dict[str, list[Pad]] = {}
        for name in sorted(self._closed):
            pad = self._place.get(name)
            if pad is not None:
                behind.setdefault(self.relays[name].common, []).append(pad)
        reached: dict[str, tuple[Pad, ...]] = {}
        for terminal, ends in self._cables.items():
            reached[terminal] = tuple(pad for end in ends for pad in behind.get(end, ()))
        for place, pad in self._place.items():
            if place not in self.relays:
                reached[place] = (*reached.get(place, ()), pad)
        return reached

    def _add_wire(self, number: int, wire: Mapping[str, Any]) -> None:
        where = f"wire {number}"
        unknown = set(wire) - {"from", "to"}
        if unknown or "from" not in wire or "to" not in wire:
            raise ValueError(f"{where}: a wire has exactly the keys 'from' and 'to', got {sorted(wire)}")
        start, ends = wire["from"], wire["to"]
        if not isinstance(start, str) or not isinstance(ends, list | tuple) or not ends:
            raise ValueError(f"{where}: 'from' is a terminal and 'to' a list of them")
        if start in self._cables:
            raise ValueError(f"{where}: terminal {start!r} has a wire already; name all its ends in one 'to'")
        self._check_terminal(where, start)
        for end in ends:
            if end not in ENVIRONMENT and end not in self._commons:
                self._check_terminal(where, end)
        self._cables[start] = list(ends)

    def _check_terminal(self, where: str, terminal: str) -> None:
        name, _, rest = str(terminal).partition(".")
        if name not in self._names or not rest:
            raise ValueError(
                f"{where}: {terminal!r} names no instrument of this bench"
                f" (instruments: {', '.join(sorted(self._names))})"
            )

    def _add_pads(self, device: str, ports: Mapping[str, str]) -> None:
        for port, place in ports.items():
            if port not in PORTS:
                raise ValueError(f"device {device}: no port {port!r}; a Hall bar has {', '.join(PORTS)}")
            if place not in self.relays:
                self._check_terminal(f"device {device}, port {port}", place)
            if place in self._place:
                other, taken = self._place[place]
                raise ValueError(
                    f"device {device}, port {port}: {place!r} already holds port {taken} of {other}"
                )
            self._place[place] = (device, port)
