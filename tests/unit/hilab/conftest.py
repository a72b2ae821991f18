"""A laboratory's plug-in distribution in a temporary folder, and bench files that use it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ENTRY_POINTS = """
[hilab.drivers]
lab_source = labkit:Source
lab_unsafe = labkit:Unsafe
lab_hanging = labkit:Hanging
lab_reader = labkit:Reader
lab_switch = labkit:Switch
lab_magnet = labkit:Magnet
lab_meter = labkit:Meter
[hilab.players]
lab = labkit:Player
[hilab.sim_benches]
lab = labkit:build
[hilab.protocols]
blink = labkit:Blink
"""

BENCH = """\
format = 1
name = "lab"
sample = "chip-7"

[instruments.src]
driver = "lab_source"
address = "sim"

[instruments.dvm]
driver = "lab_reader"
address = "sim"

[instruments.mux]
driver = "lab_switch"
address = "sim"
options = { cards = ["7011"] }

[instruments.magnet]
driver = "lab_magnet"
address = "sim"

[instruments.probe]
driver = "lab_meter"
address = "sim"

[roles]
pulse_source = "src"
bias_source = "src"
reader = "dvm"
switch = "mux"
field_source = "magnet"
field_meter = "probe"

[[wires]]
from = "src.out"
to = ["mux.1A"]

[[wires]]
from = "dvm.in"
to = ["mux.1B"]

[[wires]]
from = "magnet.out"
to = ["coil"]

[[wires]]
from = "probe.tip"
to = ["field.perpendicular"]

[field]
tesla_per_ampere = 4e-3
max_t = 0.04
assist_t = 0.03

[kinds.bar]
width_m = 2e-6
length_m = 40e-6
r_ohm = 1000
r_hall_ohm = 1.0
[kinds.bar.limits]
pulse_max_a = [ { width_s = 100e-6, current_a = 2e-3 }, { width_s = 1.0, current_a = 1e-3 } ]
read_max_a = 0.2e-3
voltage_max_v = 10.0
field_max_t = 0.1
pulses_max = 1000

[devices]
bar1 = { kind = "bar", pads = { current = "mux.1!1", hall = "mux.1!11" } }
bar2 = { kind = "bar", pads = { current = "mux.1!2", hall = "mux.1!12" } }

[simulation]
bench = "lab"
"""


def install(folder: Path, name: str, module: Path, entry_points: str, *, record: bool = True) -> None:
    """What pip would leave in a site-packages folder, made by hand."""
    folder.mkdir(exist_ok=True)
    (folder / module.name).write_text(module.read_text(encoding="utf-8"), encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    if record:
        files = [module.name, *(f"{info.name}/{file}" for file in ("METADATA", "entry_points.txt", "RECORD"))]
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files), encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder on sys.path in which the laboratory's distribution `labkit` lies."""
    folder = tmp_path / "site"
    install(folder, "labkit", Path(__file__).with_name("labkit.py"), ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield folder
    sys.modules.pop("labkit", None)


@pytest.fixture
def lab(site: Path) -> ModuleType:
    """The installed module."""
    return importlib.import_module("labkit")


@pytest.fixture
def bench_file(site: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the laboratory's bench file, with (old, new) replacements of its text."""

    def write(*changes: tuple[str, str]) -> Path:
        text = BENCH
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "lab.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


REAL_ADDRESSES = tuple(
    (f'driver = "lab_{kind}"\naddress = "sim"', f'driver = "lab_{kind}"\naddress = "GPIB0::{number}::INSTR"')
    for number, kind in enumerate(("source", "reader", "switch", "magnet", "meter"), start=1)
)
NO_SIMULATION = ('[simulation]\nbench = "lab"\n', "")


@pytest.fixture
def real_bench_file(bench_file: Callable[..., Path]) -> Callable[..., Path]:
    """The same bench with VISA addresses: the drivers speak to `labkit.REAL`."""

    def write(*changes: tuple[str, str]) -> Path:
        return bench_file(*REAL_ADDRESSES, NO_SIMULATION, *changes)

    return write
