"""The reference pages name every command, option, key and default that the code has, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hilab.bench import file as tables
from hilab.cli.main import app
from hilab.roles import ROLES
from sim_instruments.bench import COIL_KEYS, SIMULATION_KEYS

Commands = dict[str, Any]


def commands(group: Any = None, path: str = "") -> Commands:
    """'bench check' -> the command, for all that the program has."""
    found: Commands = {}
    for name, each in (group or typer.main.get_command(app)).commands.items():
        found |= commands(each, f"{path}{name} ") if hasattr(each, "commands") else {f"{path}{name}": each}
    return found


def sections(text: str, level: int) -> dict[str, str]:
    """Heading -> its text up to the next heading of this or a higher level."""
    marks = "#" * level
    parts = re.split(rf"^{marks} (.+)$", text, flags=re.MULTILINE)
    ends = [re.split(rf"^#{{1,{level}}} ", part, flags=re.MULTILINE)[0] for part in parts[2::2]]
    return dict(zip(parts[1::2], ends, strict=True))


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row but the headings."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip()[1:-1].split("|")]


# ---- command line -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def command_page(docs: Path) -> dict[str, str]:
    text = (docs / "reference" / "command-line.md").read_text(encoding="utf-8")
    found = sections(text, 3)
    return {re.sub(r"`hilab ([a-z -]*[a-z]).*`", r"\1", heading): body for heading, body in found.items()}


def test_every_command_is_described_and_no_other(command_page: dict[str, str]) -> None:
    assert set(command_page) == set(commands())


@pytest.mark.parametrize("name", commands())
def test_every_option_is_described_with_its_default(command_page: dict[str, str], name: str) -> None:
    options = [each for each in commands()[name].params if each.param_type_name == "option"]
    described = {cells[0].partition(",")[0].strip("`"): cells for cells in rows(command_page[name])}
    assert set(described) == {option.opts[0] for option in options}
    for option in options:
        if option.required:
            assert described[option.opts[0]][2] == "required"
        elif isinstance(option.default, (int, float, str)) and not isinstance(option.default, bool):
            assert described[option.opts[0]][2] == f"`{option.default}`"


# ---- bench file -------------------------------------------------------------------------------------

TABLES = {
    "The file": tables.BenchFile,
    "[instruments.NAME]": tables.InstrumentEntry,
    "[[wires]]": tables.Wire,
    "[field]": tables.FieldEntry,
    "[kinds.NAME]": tables.Kind,
    "[kinds.NAME.limits]": tables.Limits,
    "pulse_max_a": tables.PulseLimit,
    "[kinds.NAME.nominal]": tables.Nominal,
    "[devices]": tables.DeviceEntry,
}
ELSEWHERE = {"kinds": "merged into the devices before they are checked", "kind": "the same"}


@pytest.fixture(scope="module")
def bench_page(docs: Path) -> dict[str, dict[str, list[str]]]:
    """Heading -> key -> cells (key, unit, default, meaning)."""
    text = (docs / "reference" / "bench-file.md").read_text(encoding="utf-8")
    return {
        heading.strip("`"): {cells[0].strip("`"): cells for cells in rows(body)}
        for heading, body in sections(text, 2).items()
    }


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_of_a_table_is_described_with_its_default(
    bench_page: dict[str, dict[str, list[str]]], heading: str
) -> None:
    model: type[BaseModel] = TABLES[heading]
    inherited = set(tables.Kind.model_fields) if model is tables.DeviceEntry else set()
    fields = {info.alias or name: info for name, info in model.model_fields.items() if name not in inherited}
    described = bench_page[heading]
    assert set(described) - set(ELSEWHERE) == set(fields)
    for key, info in fields.items():
        default = described[key][2]
        if info.is_required():
            assert default == "required", key
        elif info.default in (None, ""):
            assert default == "", key
        elif info.default is not PydanticUndefined and info.default != {}:
            value = default.strip('`"')
            assert value == info.default or float(value) == info.default, key


def test_roles_and_the_simulation_table_are_described(
    bench_page: dict[str, dict[str, list[str]]],
) -> None:
    assert set(bench_page["[roles]"]) == set(ROLES)
    assert set(bench_page["[simulation]"]) == set(SIMULATION_KEYS)
    assert set(bench_page["[simulation.coil]"]) == set(COIL_KEYS)
