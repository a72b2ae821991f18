"""Build a simulated bench from the plain tables of a bench file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from pyvisa import rname

from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.world import instrument_errors, plain
from sim_instruments.world.clock import VirtualClock, WallClock
from sim_instruments.world.contracts import Link, SimInstrument
from sim_instruments.world.device import Chip, DeviceModel
from sim_instruments.world.field import Field, FieldParameters
from sim_instruments.world.shunt import drawn
from sim_instruments.world.wiring import Wiring
from sim_instruments.world.world import World

Table = Mapping[str, Any]

LINKS = {  # cost of one message, bytes per second, terminator of replies
    "gpib": Link(b"\n", 5e-3, 1e6),
    "usb": Link(b"\n", 3e-3, 8e6),
    "lan": Link(b"\n", 2e-3, 2e6),
}
INSTRUMENT_KEYS = ("driver", "address", "transport", "options")
DEVICE_KEYS = ("kind", "width_m", "length_m", "r_ohm", "r_hall_ohm", "nominal", "limits", "pads")
FIELD_KEYS = ("tesla_per_ampere", "max_t", "assist_t")
COIL_KEYS = ("tesla_per_ampere", "time_constant_s")
SIMULATION_KEYS = (
    "bench",
    "setting",
    "sample_seed",
    "mains_hz",
    "coil",
    "latency_s",
    "device_model",
    "device",
    "shape",
    "instrument_errors",
    "open_contacts",
    "dead",
    "clock",
    "speed",
)


class SimBench:
    """A simulated bench as hilab gets it. `world` and `instruments` are for tests."""

    def __init__(
        self,
        world: World,
        clock: VirtualClock | WallClock,
        instruments: Mapping[str, SimInstrument],
        addresses: Mapping[str, str],
    ):
        self.world = world
        self.clock = clock
        self.instruments = dict(instruments)
        self.addresses = dict(addresses)
        self.visa_library = InProcessLibrary(
            world, clock, {addresses[name]: instrument for name, instrument in instruments.items()}
        )

    def snapshot(self) -> bytes:
        """The whole state (world, devices, streams, instruments, clock) as bytes."""
        with self.visa_library.bench_lock:
            return plain.to_bytes({"clock_s": self.clock.now(), "world": self.world.snapshot()})

    def restore(self, state: bytes) -> None:
        """Go back to a snapshot of a bench built from the same tables. ValueError if it is none."""
        found = plain.from_bytes(state)
        with self.visa_library.bench_lock:
            self.world.restore(found["world"])
            self.clock.jump(float(found["clock_s"]))

    def close(self) -> None:
        """Nothing outlives the object; open sessions end with their resource manager."""


def build(
    *,
    instruments: Mapping[str, Table],
    wires: Sequence[Table],
    devices: Mapping[str, Table],
    field: Table,
    simulation: Table,
    seed: int,
) -> SimBench:
    """A simulated bench from the tables of a bench file. seed is the run's, for noise and drift.

    simulation: setting ideal|default|hard, sample_seed (draws the chip), mains_hz, coil
    {tesla_per_ampere, time_constant_s}, latency_s {gpib|usb|lan: s}, device_model with its own options
    in `device`, shape (floor and ceiling of P), instrument_errors (gains and offsets a year after
    calibration), open_contacts ["w2_d1.hall"], dead ["w4_d2"], clock "virtual"|"wall" with speed.
    Everything unknown is refused with a ValueError of one sentence.
    """
    world = build_world(
        instruments=instruments, wires=wires, devices=devices, field=field, simulation=simulation, seed=seed
    )
    links = _links(_table(simulation.get("latency_s", {}), "simulation.latency_s", LINKS))
    made: dict[str, SimInstrument] = {}
    for name, table in instruments.items():
        _table(table, f"instrument {name}", INSTRUMENT_KEYS)
        transport = table.get("transport", "gpib")
        if transport not in links:
            raise ValueError(f"instrument {name}: transport {transport!r} is none of {', '.join(links)}")
        made[name] = _plugin("hilab.sim_instruments", str(table.get("driver")), f"instrument {name}")(
            name, world, links[transport], dict(table.get("options", {}))
        )
        world.add_instrument(made[name])
    return SimBench(world, _clock(simulation), made, _addresses(instruments))


def build_world(
    *,
    instruments: Mapping[str, Table],
    wires: Sequence[Table],
    devices: Mapping[str, Table],
    field: Table,
    simulation: Table,
    seed: int = 0,
) -> World:
    """Devices, wires, relays and field without the boxes: of `instruments` only names and cards count."""
    _table(simulation, "simulation", SIMULATION_KEYS)
    _table(field, "field", FIELD_KEYS)
    chip = Chip(
        setting=str(simulation.get("setting", "default")),
        sample_seed=_whole(simulation.get("sample_seed", 0), "simulation.sample_seed"),
        seed=_whole(seed, "the seed"),
        shape=bool(simulation.get("shape", False)),
        options=dict(simulation.get("device", {})),
    )
    model: DeviceModel = _plugin(
        "hilab.device_models", str(simulation.get("device_model", "hall_bar")), "simulation.device_model"
    )
    mains_hz = _number(simulation.get("mains_hz", 50), "simulation.mains_hz")
    surroundings = _field(field, simulation, model.surroundings(chip), mains_hz, chip.seed)
    made = {}
    for name, card in devices.items():
        _table(card, f"device {name}", DEVICE_KEYS)
        made[name] = model.make(name, card, chip, surroundings)
    wiring = Wiring(instruments, wires, {name: card.get("pads", {}) for name, card in devices.items()})
    shunts = [drawn(wire, chip.sample_seed) for wire in wiring.shunts.values()]
    wrong = simulation.get("instrument_errors", False)
    if not isinstance(wrong, bool):
        raise ValueError(f"simulation.instrument_errors must be true or false, got {wrong!r}")
    errors = instrument_errors.draw(instruments, chip.sample_seed) if wrong else {}
    world = World(made, wiring, surroundings, chip.seed, mains_hz, shunts, errors)
    for place in simulation.get("open_contacts", ()):
        name, _, port = str(place).partition(".")
        if name not in made or port not in devices[name].get("pads", {}):
            raise ValueError(f"simulation.open_contacts: {place!r} is no 'device.port' of this bench")
        made[name].open_ports.add(port)
    for name in simulation.get("dead", ()):
        if name not in made:
            raise ValueError(f"simulation.dead: there is no device {name!r}")
        made[name].dead = True
    return world


def _field(
    field: Table, simulation: Table, surroundings: Mapping[str, float], mains_hz: float, seed: int
) -> Field:
    coil = _table(simulation.get("coil", {}), "simulation.coil", COIL_KEYS)
    stated = field.get("tesla_per_ampere", 4e-3)
    return Field(
        FieldParameters(
            tesla_per_ampere=_number(
                coil.get("tesla_per_ampere", stated), "simulation.coil.tesla_per_ampere"
            ),
            coil_time_constant_s=_number(
                coil.get("time_constant_s", 0.25), "simulation.coil.time_constant_s"
            ),
            assist_t=_number(field.get("assist_t", 0.0), "field.assist_t", signed=True),
            mains_hz=mains_hz,
            **surroundings,
        ),
        seed,
    )


def _links(latency_s: Table) -> dict[str, Link]:
    return {
        name: Link(
            link.terminator,
            _number(latency_s.get(name, link.latency_s), f"simulation.latency_s.{name}"),
            link.bytes_per_s,
        )
        for name, link in LINKS.items()
    }


def _clock(simulation: Table) -> VirtualClock | WallClock:
    kind = simulation.get("clock", "virtual")
    if kind == "wall":
        return WallClock(_number(simulation.get("speed", 1.0), "simulation.speed"))
    if kind != "virtual":
        raise ValueError(f"simulation.clock is 'virtual' or 'wall', not {kind!r}")
    return VirtualClock()


def _addresses(instruments: Mapping[str, Table]) -> dict[str, str]:
    """A VISA resource name for each instrument, in the canonical spelling."""
    found = {}
    for number, (name, table) in enumerate(instruments.items(), start=1):
        kind = table.get("transport", "gpib")
        if kind == "lan":
            address = f"TCPIP0::{name}::inst0::INSTR"
        elif kind == "usb":
            address = f"USB0::0x05E6::0x{number:04X}::{name}::0::INSTR"
        else:
            address = f"GPIB0::{number}::INSTR"
        found[name] = str(rname.to_canonical_name(address))
    return found


def _plugin(group: str, name: str, where: str) -> Any:
    known = entry_points(group=group)
    for each in known:
        if each.name == name:
            return each.load()
    raise ValueError(f"{where}: no {name!r} is installed; known: {', '.join(sorted(known.names))}")


def _table(table: Any, where: str, known: Sequence[str] | Mapping[str, Any]) -> Table:
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table, got {table!r}")
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(known)}")
    return table


def _number(value: Any, where: str, signed: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (signed or value > 0):
        raise ValueError(f"{where} must be a {'' if signed else 'positive '}number, got {value!r}")
    return float(value)


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{where} must be a whole number, 0 or more, got {value!r}")
    return value
