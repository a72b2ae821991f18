"""Cables, relays and pads: which device port lies on which instrument terminal right now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Pad = tuple[str, str]  # (device, port)
PORTS = ("current", "hall", "longitudinal")
ENVIRONMENT = ("coil", "field.perpendicular", "field.in_plane")
SHUNT_KEYS = ("shunt_ohm", "shunt_tolerance", "shunt_taps")
REMEMBERED = 500  # states of the relays whose connections are kept
MULTIPLEXERS = {"7011": (("A", 1, 10), ("B", 11, 20), ("C", 21, 30), ("D", 31, 40))}  # bank, channels
MATRICES = {"7072": ("ABCDEFGH", 12)}  # rows, columns; rows of one letter are joined over all slots
CARDS = (*MULTIPLEXERS, *MATRICES)


@dataclass(frozen=True)
class Relay:
    """One two-pole relay joins the line `common` ('mux.1A', 'matrix.A') to the pad at `place`.

    A multiplexer's place belongs to one relay ('mux.1!3'), a matrix's is a column ('matrix.1 column 03').
    """

    name: str
    common: str
    place: str


@dataclass(frozen=True)
class ShuntWire:
    """A resistor in series with the line of `terminal`; taps is where its taps lead to, if anywhere."""

    terminal: str
    ohm: float
    tolerance: float
    taps: str | None

    @property
    def name(self) -> str:
        return shunt_name(self.terminal)


def shunt_name(terminal: str) -> str:
    """What stands for the device in the pad of a shunt's taps."""
    return f"shunt:{terminal}"


def relays_of(instrument: str, cards: Sequence[str]) -> dict[str, Relay]:
    """Every relay of a switch with these cards in slots 1, 2 ... ("" is an empty slot)."""
    found: list[Relay] = []
    for slot, card in enumerate(cards, start=1):
        if card in MULTIPLEXERS:
            for bank, first, last in MULTIPLEXERS[card]:
                names = [f"{instrument}.{slot}!{channel}" for channel in range(first, last + 1)]
                found += [Relay(name, f"{instrument}.{slot}{bank}", name) for name in names]
        elif card in MATRICES:
            rows, columns = MATRICES[card]
            for column in range(1, columns + 1):
                place = f"{instrument}.{slot} column {column:02d}"
                found += [
                    Relay(f"{instrument}.{slot}{row}{column:02d}", f"{instrument}.{row}", place)
                    for row in rows
                ]
        elif card:
            raise ValueError(
                f"instrument {instrument}: no card {card!r} for slot {slot}; known cards: {', '.join(CARDS)}"
            )
    return {relay.name: relay for relay in found}


class Wiring:
    """The graph from terminals over relays to pads. Lines are two-pole and ideal.

    `connections` maps each terminal to the pads that it reaches now, over any chain of closed relays;
    the mapping is replaced, never changed, so that whoever keeps one keeps the wiring of that moment.
    `shunts` maps a source's terminal to the resistor in its line.
    """

    def __init__(
        self,
        instruments: Mapping[str, Mapping[str, Any]],
        wires: Sequence[Mapping[str, Any]],
        pads: Mapping[str, Mapping[str, str]],
    ):
        self.relays: dict[str, Relay] = {}
        self._switches: set[str] = set()
        for name, table in instruments.items():
            mine = relays_of(name, table.get("options", {}).get("cards", ()))
            self.relays |= mine
            if mine:
                self._switches.add(name)
        self.shunts: dict[str, ShuntWire] = {}
        self._names = set(instruments)
        self._commons = {relay.common for relay in self.relays.values()}
        self._behind_relays = {relay.place for relay in self.relays.values()}
        self._relay_ends = self._commons | self._behind_relays
        self._cables: dict[str, list[str]] = {}
        for number, wire in enumerate(wires, start=1):
            self._add_wire(number, wire)
        self._place: dict[str, Pad] = {}
        for device, ports in pads.items():
            self._add_pads(device, ports)
        for shunt in self.shunts.values():
            if shunt.taps is not None:
                self._add_pad(f"shunt of {shunt.terminal}", shunt.taps, (shunt.name, "taps"))
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

    def far_ends(self, terminal: str) -> tuple[str, ...]:
        """Everything that plain cables join to this terminal, in either direction."""
        backwards = [start for start, ends in self._cables.items() if terminal in ends]
        return (*self._cables.get(terminal, ()), *backwards)

    def terminals_on(self, relay: str) -> tuple[str, ...]:
        """Terminals on either side of this relay now."""
        found = self._reached((self.relay(relay).common,)) | self._reached((self.relay(relay).place,))
        return tuple(start for start, ends in self._cables.items() if found.intersection(ends))

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
        return self._place.get(self.relay(relay).place)

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
        reached: dict[str, tuple[Pad, ...]] = {}
        for terminal, ends in self._cables.items():
            found = self._reached(ends)
            reached[terminal] = tuple(self._place[place] for place in sorted(found) if place in self._place)
        for place, pad in self._place.items():
            if place not in self._behind_relays:
                reached[place] = (*reached.get(place, ()), pad)
        return reached

    def _reached(self, starts: Iterable[str]) -> set[str]:
        """Lines and places that closed relays join to these."""
        found, fresh = set(), [start for start in starts if start in self._relay_ends]
        while fresh:
            here = fresh.pop()
            if here not in found:
                found.add(here)
                joined = [self.relays[name] for name in self._closed]
                fresh += [relay.place for relay in joined if relay.common == here]
                fresh += [relay.common for relay in joined if relay.place == here]
        return found

    def _add_wire(self, number: int, wire: Mapping[str, Any]) -> None:
        where = f"wire {number}"
        unknown = set(wire) - {"from", "to", *SHUNT_KEYS}
        if unknown or "from" not in wire or "to" not in wire:
            raise ValueError(
                f"{where}: a wire has the keys 'from' and 'to' and may have {', '.join(SHUNT_KEYS)},"
                f" got {sorted(wire)}"
            )
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
        self._add_shunt(where, start, wire)

    def _add_shunt(self, where: str, terminal: str, wire: Mapping[str, Any]) -> None:
        ohm, tolerance, taps = (wire.get(key) for key in SHUNT_KEYS)
        tolerance = 0.0 if tolerance is None else tolerance
        if ohm is None:
            if taps is not None:
                raise ValueError(f"{where}: shunt_taps without shunt_ohm")
            return
        if not _is_number(ohm) or not 0 < ohm < float("inf"):
            raise ValueError(f"{where}: shunt_ohm must be a positive number, got {ohm!r}")
        if not _is_number(tolerance) or not 0 <= tolerance < 1:
            raise ValueError(f"{where}: shunt_tolerance must be 0 or more and below 1, got {tolerance!r}")
        if taps is not None and not isinstance(taps, str):
            raise ValueError(f"{where}: shunt_taps must name a relay, got {taps!r}")
        self.shunts[terminal] = ShuntWire(terminal, float(ohm), float(tolerance), taps)

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
            self._add_pad(f"device {device}, port {port}", place, (device, port))

    def _add_pad(self, where: str, place: str, pad: Pad) -> None:
        if place in self.relays:
            place = self.relays[place].place
        else:
            self._check_terminal(where, place)
            if place.partition(".")[0] in self._switches:
                raise ValueError(f"{where}: there is no relay {place!r} on this bench")
        if place in self._place:
            other, taken = self._place[place]
            raise ValueError(f"{where}: {place!r} already holds port {taken} of {other}")
        self._place[place] = pad


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
