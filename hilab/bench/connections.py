"""Does every role reach what it needs, and every pad an instrument?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hilab.bench.file import InstrumentEntry, Wire
from hilab.bench.places import Place
from hilab.bench.wiring import Channel, Wiring
from hilab.plugins import unknown

Problem = tuple[Place, str]
Pads = Mapping[tuple[str, str], str]

COIL = "coil"
FIELD = "field"

# role -> the ports of a device, one of which its instrument must reach
REACHES: Mapping[str, tuple[str, ...]] = {
    "pulse_source": ("current",),
    "bias_source": ("current",),
    "reader": ("hall", "longitudinal"),
    "arm_source": ("hall",),
    "waveform_source": ("current",),
    "digitiser": ("hall", "longitudinal"),
}

SOURCES = ("pulse_source", "bias_source", "waveform_source")


def connection_problems(
    raw: Mapping[str, Any], instruments: Mapping[str, InstrumentEntry]
) -> Iterator[Problem]:
    """Everything that is wrong with wires, pads and what the roles reach; broken entries are passed over."""
    named = raw.get("instruments")
    names = set(named) if isinstance(named, dict) else set()
    wires = _wires(raw)
    pads = _pads(raw)
    wiring = Wiring(instruments, wires.values())
    yield from _wire_problems(wires, names, wiring)
    yield from _pad_problems(pads, names, wiring)
    yield from shunt_problems(wires, _text_values(raw.get("roles")), pads, wiring)
    yield from _port_problems(raw)
    yield from _role_problems(raw, pads, wiring, set(instruments))


def _wires(raw: Mapping[str, Any]) -> dict[int, Wire]:
    found = {}
    tables = raw.get("wires")
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        try:
            found[index] = Wire.model_validate(table)
        except ValidationError:
            continue  # already reported by the whole file's model
    return found


def _pads(raw: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(device, port) -> pad, for what is well-formed."""
    devices = raw.get("devices")
    found = {}
    for name, device in (devices if isinstance(devices, dict) else {}).items():
        pads = device.get("pads") if isinstance(device, dict) else None
        for port, pad in (pads if isinstance(pads, dict) else {}).items():
            if isinstance(pad, str):
                found[name, port] = pad
    return found


def _text_values(table: Any) -> dict[str, str]:
    found = table if isinstance(table, dict) else {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _wire_problems(wires: Mapping[int, Wire], names: set[str], wiring: Wiring) -> Iterator[Problem]:
    for index, wire in wires.items():
        for key, terminal in [("from", wire.source), *(("to", end) for end in wire.to)]:
            owner, dot, rest = terminal.partition(".")
            place: Place = ("wires", index, key)
            if terminal == COIL or (owner == FIELD and rest):
                continue
            if not dot or not rest:
                yield place, f"{terminal!r} is no terminal: write it like 'smu.a' (instrument.terminal)"
            elif owner not in names:
                yield place, f"{terminal!r}: {unknown('instrument', owner, names)}"
            elif (lines := wiring.lines(owner)) and terminal not in lines:
                yield place, f"{terminal!r} is no line of the switch: it has {', '.join(lines)}"


def _pad_problems(pads: Pads, names: set[str], wiring: Wiring) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    dead_ends: dict[str, list[tuple[Place, str]]] = {}
    for (device, port), pad in pads.items():
        place: Place = ("devices", device, "pads", port)
        owner, dot, rest = pad.partition(".")
        if not dot or not rest:
            yield place, f"{pad!r} is no pad: write a channel like 'mux.1!3' or a terminal like 'smu.b'"
            continue
        if owner not in names:
            yield place, f"{pad!r}: {unknown('instrument', owner, names)}"
            continue
        try:
            common = _dead_end(pad, wiring)
        except ValueError as error:
            yield place, str(error)
        else:
            if common:
                dead_ends.setdefault(common, []).append((place, f"{device}.{port}"))
        spot = place_of(pad)
        if spot in taken:
            yield place, f"{device}.{port} and {taken[spot]} lie on one pad, {spot}: give each its own"
        taken.setdefault(spot, f"{device}.{port}")
    for common, there in dead_ends.items():
        which = ", ".join(name for _, name in there)
        yield there[0][0], f"nobody is wired to {common}, where {which} lie: add a wire to it"


def place_of(pad: str) -> str:
    """What two pads must not share: the terminal, the channel, or the column of a matrix."""
    try:
        channel = Channel.parse(pad)
    except ValueError:
        return pad
    return channel.place if channel else pad


def shunt_problems(
    wires: Mapping[int, Wire], roles: Mapping[str, str], pads: Pads, wiring: Wiring
) -> Iterator[Problem]:
    """What is wrong with resistors in series with a source's line."""
    taken = {place_of(pad): f"{device}.{port}" for (device, port), pad in pads.items()}
    sources = {roles[role] for role in SOURCES if role in roles}
    seen: dict[str, str] = {}
    for index, wire in wires.items():
        if wire.shunt_ohm is None:
            for key in ("shunt_taps", "shunt_tolerance"):
                if key in wire.model_fields_set:
                    yield ("wires", index, key), f"{key} without shunt_ohm: give the resistance too"
            continue
        owner, place = wire.source.partition(".")[0], ("wires", index, "shunt_ohm")
        if owner not in sources:
            yield place, f"a shunt lies in the line of a source, and {owner!r} has the role of none"
        elif owner in seen:
            yield place, f"{owner!r} has a shunt at {seen[owner]} already: one is enough"
        seen.setdefault(owner, wire.source)
        if wire.shunt_taps is None:
            yield place, "the shunt has no taps: name the relay that puts them on the reader (shunt_taps)"
        elif said := _tap_problem(wire.shunt_taps, roles.get("reader", ""), taken, wiring):
            yield ("wires", index, "shunt_taps"), said


def _tap_problem(taps: str, reader: str, taken: Mapping[str, str], wiring: Wiring) -> str:
    try:
        channel = Channel.parse(taps)
    except ValueError as error:
        return str(error)
    if channel is None:
        return f"{taps!r} is no relay: write it like 'matrix.1B12' or 'mux.1!20'"
    if missing := wiring.missing_channel(channel):
        return f"there is no channel {taps}: {missing}"
    if channel.place in taken:
        return f"the taps and {taken[channel.place]} lie on one pad, {channel.place}: give each its own"
    if reader not in wiring.instruments_at(taps):
        return f"a wire is missing: no terminal of the reader {reader!r} reaches the shunt's taps at {taps}"
    return ""


def _dead_end(pad: str, wiring: Wiring) -> str:
    """The common terminal that the pad closes to if nobody is wired there, else ''.

    Raises ValueError if there is no such channel.
    """
    channel = Channel.parse(pad)
    if channel is None:
        return ""
    missing = wiring.missing_channel(channel)
    if missing:
        raise ValueError(f"there is no channel {pad}: {missing}")
    if wiring.instruments_at(pad):
        return ""
    return wiring.common(channel) or f"a terminal of {channel.instrument}"


def _port_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    devices = raw.get("devices")
    for name, device in (devices if isinstance(devices, dict) else {}).items():
        pads = device.get("pads") if isinstance(device, dict) else None
        if isinstance(pads, dict) and pads and "current" not in pads:
            yield ("devices", name, "pads"), f"{name} has no pad 'current': no source can reach it"


def _role_problems(
    raw: Mapping[str, Any], pads: Pads, wiring: Wiring, instruments: set[str]
) -> Iterator[Problem]:
    roles = raw.get("roles")
    for role, name in (roles if isinstance(roles, dict) else {}).items():
        if name not in instruments:
            continue
        if role in REACHES and pads and not _reaches(name, REACHES[role], pads, wiring):
            ports = " or ".join(REACHES[role])
            yield (
                ("roles", role),
                f"a wire is missing: no terminal of {name!r} reaches the pad {ports} of a device",
            )
        if role == "field_source" and not _wired_to(name, wiring.others(COIL)):
            yield ("roles", role), f"a wire is missing: no terminal of {name!r} leads to the {COIL!r}"
        if role == "field_meter" and not _wired_to(name, _field_ends(raw, wiring)):
            yield (
                ("roles", role),
                f"a wire is missing: no terminal of {name!r} leads to 'field.perpendicular'",
            )
        if role == "field_source" and raw.get("field") is None:
            yield ("roles", role), "there is a field source but no table [field] with its limit: add one"


def _reaches(name: str, ports: tuple[str, ...], pads: Pads, wiring: Wiring) -> bool:
    for (_, port), pad in pads.items():
        if port in ports:
            try:
                at = wiring.instruments_at(pad)
            except ValueError:
                continue  # a malformed channel, already reported
            if name in at:
                return True
    return False


def _wired_to(name: str, terminals: set[str]) -> bool:
    return any(terminal.partition(".")[0] == name for terminal in terminals)


def _field_ends(raw: Mapping[str, Any], wiring: Wiring) -> set[str]:
    ends = {
        end for wire in _wires(raw).values() for end in [wire.source, *wire.to] if end.startswith(f"{FIELD}.")
    }
    return set().union(*(wiring.others(end) for end in ends))
