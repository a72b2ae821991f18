"""Read a bench file and check it as a whole: every problem at once, each one sentence with its place."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hilab import plugins
from hilab.bench.connections import connection_problems
from hilab.bench.file import (
    SIM,
    BenchFile,
    DeviceEntry,
    FieldEntry,
    InstrumentEntry,
    Kind,
    Limits,
    PulseLimit,
    Wire,
)
from hilab.bench.places import Place, describe, lines_of
from hilab.errors import BenchFileError
from hilab.roles import ROLES

Problem = tuple[Place, str]
Raw = dict[str, Any]

_KEYS = sorted(
    {"kind", "kinds"}.union(
        *(
            {info.alias or name for name, info in model.model_fields.items()}
            for model in (BenchFile, InstrumentEntry, Wire, FieldEntry, DeviceEntry, Limits, PulseLimit)
        )
    )
)


def read_bench_file(path: str | Path, overrides: Mapping[str, Any] | None = None) -> BenchFile:
    """The bench file at `path`, checked; `overrides` are dotted keys and the values that replace the file's.

    Raises BenchFileError holding every problem found, one sentence each.
    """
    path = Path(path)
    text = _text(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = str(error).replace(
            "at end of document", f"at line {len(text.splitlines())}, the end of the file"
        )
        raise BenchFileError(f"{path} is no valid TOML: {where}") from error
    except RecursionError:
        raise BenchFileError(f"{path} is no bench file: its values are nested too deeply") from None
    for key, value in (overrides or {}).items():
        _override(raw, key, value)
    merged = _merged(raw)
    problems = list(_all_problems(raw, merged))
    if problems:
        lines = lines_of(text)
        raise BenchFileError([f"{path}, {describe(place, lines)}: {said}" for place, said in problems])
    return BenchFile.model_validate(merged)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        from hilab.paths import bench_files

        known = ", ".join(known.stem for known in bench_files())
        raise BenchFileError(f"there is no bench file {path} (known by name: {known})") from None
    except IsADirectoryError:
        raise BenchFileError(f"{path} is a folder: name the bench file in it") from None
    except UnicodeDecodeError as error:
        raise BenchFileError(f"{path} is no bench file: it is not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise BenchFileError(f"the bench file {path} cannot be read: {error.strerror}") from error


def _override(raw: Raw, dotted: str, value: Any) -> None:
    """Set raw[a][b] for the key 'a.b'; a table is merged into the file's, anything else replaces it."""
    *parents, last = dotted.split(".")
    table = raw
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise BenchFileError(
                f"the override {dotted!r} does not fit: {parent!r} is no table in the bench file"
            )
    if isinstance(value, Mapping) and isinstance(table.get(last), dict):
        table[last] = _over(table[last], value)
    else:
        table[last] = copy.deepcopy(value)


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> Raw:
    """base with the values of top; tables are merged."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _merged(raw: Raw) -> Raw:
    """The file with its kinds merged into the devices, as far as they are tables."""
    merged = {key: value for key, value in raw.items() if key != "kinds"}
    kinds, devices = _tables(raw, "kinds"), raw.get("devices")
    if isinstance(devices, dict):
        merged["devices"] = {
            name: _with_kind(device, kinds) if isinstance(device, dict) else device
            for name, device in devices.items()
        }
    return merged


def _with_kind(device: Raw, kinds: Mapping[str, Raw]) -> Raw:
    own = {key: value for key, value in device.items() if key != "kind"}
    kind = device.get("kind")
    return _over(kinds.get(kind, {}), own) if isinstance(kind, str) else own


def _tables(raw: Raw, name: str) -> dict[str, Raw]:
    """The sub-tables of raw[name]; what is no table is left out (and reported elsewhere)."""
    table = raw.get(name)
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if isinstance(value, dict)}


def _all_problems(raw: Raw, merged: Raw) -> Iterator[Problem]:
    bad_kinds = set()
    for place, said in _kind_problems(raw):
        bad_kinds.add(place[1])
        yield place, said
    yield from _device_kind_problems(raw)
    yield from _shape_problems(raw, merged, bad_kinds)
    instruments = _valid(InstrumentEntry, _tables(raw, "instruments"))
    yield from _driver_problems(instruments)
    yield from _address_problems(instruments)
    yield from _simulation_problems(raw, instruments)
    yield from _role_problems(raw)
    yield from connection_problems(raw, instruments)


def _kind_problems(raw: Raw) -> Iterator[Problem]:
    kinds = raw.get("kinds", {})
    if not isinstance(kinds, dict):
        return
    for name, kind in kinds.items():
        yield from _errors(Kind, kind, ("kinds", name))


def _device_kind_problems(raw: Raw) -> Iterator[Problem]:
    kinds = _tables(raw, "kinds")
    for name, device in _tables(raw, "devices").items():
        kind = device.get("kind")
        if kind is not None and kind not in kinds:
            yield ("devices", name, "kind"), plugins.unknown("device kind", str(kind), kinds)


def _shape_problems(raw: Raw, merged: Raw, bad_kinds: set[str | int]) -> Iterator[Problem]:
    """What the models say about the merged file; what comes from a bad kind is said once, there."""
    devices, kinds = _tables(raw, "devices"), _tables(raw, "kinds")
    for place, said in _errors(BenchFile, merged, ()):
        if place[0] == "devices" and len(place) > 2:
            device = devices.get(str(place[1]), {})
            kind = device.get("kind")
            blamed = kind is not None and (kind in bad_kinds or kind not in kinds)
            if blamed and place[2] not in device:
                continue
        yield place, said


def _errors(model: type[BaseModel], value: Any, place: Place) -> Iterator[Problem]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            yield (*place, *found["loc"]), _sentence(found)


def _sentence(found: Any) -> str:
    """One of pydantic's errors in the words of this program."""
    key, got, bound = found["loc"][-1] if found["loc"] else "", found["input"], found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            return f"unknown key {key!r}{plugins.nearest(str(key), _KEYS)}"
        case "missing":
            return f"the key {key!r} is missing"
        case "greater_than":
            return f"must be above {bound['gt']:g}, got {got!r}"
        case "less_than":
            return f"must be below {bound['lt']:g}, got {got!r}"
        case "value_error":
            return str(bound["error"])
        case "model_type":
            return f"must be a table, got {got!r}"
        case _:
            said = found["msg"].removeprefix("Input should be ")
            return f"must be {said}, got {got!r}" if said != found["msg"] else f"{said}, got {got!r}"


def _valid(model: type[InstrumentEntry], tables: Mapping[str, Raw]) -> dict[str, InstrumentEntry]:
    found = {}
    for name, table in tables.items():
        try:
            found[name] = model.model_validate(table)
        except ValidationError:
            continue  # already reported by the whole file's model
    return found


def _driver_problems(instruments: Mapping[str, InstrumentEntry]) -> Iterator[Problem]:
    known = plugins.names(plugins.DRIVERS)
    for name, entry in instruments.items():
        if entry.driver not in known:
            yield ("instruments", name, "driver"), plugins.unknown("driver", entry.driver, known)


def _address_problems(instruments: Mapping[str, InstrumentEntry]) -> Iterator[Problem]:
    real = {name: entry.address for name, entry in instruments.items() if entry.address != SIM}
    if real and len(real) < len(instruments):
        mixed = ", ".join(sorted(set(instruments) - set(real)))
        yield (
            ("instruments", next(iter(real)), "address"),
            f"real and simulated addresses are mixed: give {mixed} an address too, or all of them {SIM!r}",
        )
    seen: dict[str, str] = {}
    for name, address in real.items():
        from hilab.bench.locks import canonical

        place: Place = ("instruments", name, "address")
        try:
            address = canonical(address)
        except ValueError as error:
            yield place, str(error)
            continue
        if address in seen:
            yield place, f"{address} is the address of {seen[address]!r} already"
        seen.setdefault(address, name)


def _simulation_problems(raw: Raw, instruments: Mapping[str, InstrumentEntry]) -> Iterator[Problem]:
    simulated = any(entry.address == SIM for entry in instruments.values())
    table = raw.get("simulation")
    if not simulated:
        if table is not None and instruments:
            yield ("simulation",), "the addresses are real: delete the [simulation] tables"
        return
    if not isinstance(table, dict):
        yield ("simulation",), f"addresses are {SIM!r} but there is no table [simulation]: add one"
        return
    known, name = plugins.names(plugins.SIM_BENCHES), table.get("bench")
    if name is None:
        yield ("simulation", "bench"), f"the key 'bench' is missing (known: {', '.join(known)})"
    elif name not in known:
        yield ("simulation", "bench"), plugins.unknown("simulated bench", str(name), known)


def _role_problems(raw: Raw) -> Iterator[Problem]:
    """A laboratory's protocol may need roles that we do not know, so only near misses are refused."""
    roles = raw.get("roles")
    known = _tables(raw, "instruments")
    for role, name in (roles if isinstance(roles, dict) else {}).items():
        if isinstance(name, str) and name not in known:
            yield ("roles", role), plugins.unknown("instrument", name, known)
        near = plugins.nearest(role, ROLES)
        if role not in ROLES and near:
            yield ("roles", role), f"unknown role {role!r}{near}"
