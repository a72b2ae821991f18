"""Opening a bench: locks, drivers, identities, and everything off before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pyvisa.errors import Error as VisaError

from hilab import paths, plugins
from hilab.bench.check import read_bench_file
from hilab.bench.clock import WallClock
from hilab.bench.file import SIM, BenchFile
from hilab.bench.locks import AddressLock
from hilab.bench.safety import make_all_safe, missing_safety, refuse_unsafe, unreached_source
from hilab.bench.station import Bench, close_quietly
from hilab.bench.traffic import TrafficLog
from hilab.bench.wear import WearLedger
from hilab.errors import BenchError, BenchFileError
from hilab.roles import Clock, Identity, SimulatedBench

TWIN_FIELD = ("tesla_per_ampere", "max_t", "assist_t")
"""Keys of [field] that concern the twin; how the coil is ramped is ours."""

TALKING_FAILED = (VisaError, OSError, ValueError)
"""What PyVISA and PyMeasure raise when an instrument does not answer, or not as it should."""


def open_bench(
    path: str | Path,
    *,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    player: str | None = None,
    traffic: str | Path | None = None,
) -> Bench:
    """Open the bench that the file at `path` describes (or a known one by name: "sot_fast").

    seed: the run's seed, for the noise of a simulated bench. overrides: dotted keys of the bench file and
    the values that replace them, such as {"simulation.setting": "ideal"}. player: the player of every batch,
    instead of the fastest that can (UsageError if this bench cannot host it). traffic: a file that every
    exchange with the instruments is written to (see `hilab.bench.traffic`).

    Raises BenchFileError with every problem of the file; BenchError when an address is held by another
    process, an instrument does not answer, answers as somebody else, or is not verified off. What was
    opened until then is made safe and closed.
    """
    path = paths.find_bench(path)
    file = read_bench_file(path, overrides)
    classes = driver_classes(file)
    with ExitStack() as undo:
        locks = lock_addresses(file, undo)
        twin = open_twin(file, seed, undo)
        clock: Clock = twin.clock if twin else WallClock()
        drivers: dict[str, Any] = {}
        log = _traffic_log(traffic, path, clock, seed, player, overrides, undo)
        try:
            for name, driver_class in classes.items():
                driver = connect(name, driver_class, file, clock, twin)
                undo.callback(close_quietly, name, driver)
                if log is not None:
                    log.attach(name, driver)
                recognise(name, driver, file, twin)
                drivers[name] = driver  # from here on it may be spoken to
            _switch_off(drivers, file, guarded=twin is None)
            ledger = WearLedger(paths.wear_file(), ledger_name(file))
            undo.callback(ledger.close)
            bench = Bench(file, path, drivers, clock, ledger, twin, locks, log)
            bench.always_play_with(player)
        except BaseException:
            hot = unreached_source(classes, drivers, file.roles)
            make_all_safe(drivers, file.roles, guarded=twin is None, hot=hot)
            raise
        undo.pop_all()
        return bench


def _traffic_log(
    target: str | Path | None,
    path: Path,
    clock: Clock,
    seed: int,
    player: str | None,
    overrides: Mapping[str, Any] | None,
    undo: ExitStack,
) -> TrafficLog | None:
    if target is None:
        return None
    session = {
        "bench": path.stem,
        "bench_file": path.read_text(encoding="utf-8"),
        "overrides": dict(overrides or {}),
        "seed": seed,
        "player": player,
    }
    log = TrafficLog(target, clock, session)
    undo.callback(log.close)
    return log


def ledger_name(file: BenchFile) -> str:
    """The sample's name in the wear ledger; the twin's pulses are not charged to the real chip."""
    return f"{file.sample} (simulated)" if file.simulated else file.sample


def driver_classes(file: BenchFile) -> dict[str, Any]:
    classes, problems = {}, []
    for name, entry in file.instruments.items():
        classes[name] = plugins.load(plugins.DRIVERS, entry.driver)
        said = missing_safety(classes[name])
        if said:
            problems.append(f"the driver {entry.driver!r} of {name!r} is refused: {said}")
    if problems:
        raise BenchError("\n".join(problems))
    return classes


def lock_addresses(file: BenchFile, undo: ExitStack) -> tuple[AddressLock, ...]:
    locks = []
    for entry in file.instruments.values():
        if entry.address != SIM:
            locks.append(AddressLock(entry.address, file.name))
            undo.callback(locks[-1].release)
    return tuple(locks)


def open_twin(file: BenchFile, seed: int, undo: ExitStack) -> SimulatedBench | None:
    """The simulated bench; it gets the tables of the bench file as plain dictionaries."""
    if not file.simulated:
        return None
    build = plugins.load(plugins.SIM_BENCHES, str((file.simulation or {})["bench"]))
    try:
        twin: SimulatedBench = build(**twin_tables(file), seed=seed)
    except ValueError as error:
        raise BenchFileError(f"the simulated bench refuses the bench file: {error}") from error
    undo.callback(close_quietly, "the simulated bench", twin)
    return twin


def twin_tables(file: BenchFile) -> dict[str, Any]:
    """What the simulated side gets of the bench file: plain tables with the file's own keys."""
    plain = file.model_dump(by_alias=True, exclude_unset=True)
    return {
        "instruments": plain["instruments"],
        "wires": plain["wires"],
        "devices": plain["devices"],
        "field": {key: value for key, value in plain.get("field", {}).items() if key in TWIN_FIELD},
        "simulation": plain.get("simulation", {}),
    }


def connect(name: str, driver_class: Any, file: BenchFile, clock: Clock, twin: SimulatedBench | None) -> Any:
    """Open does no more than open."""
    entry = file.instruments[name]
    address = twin.addresses[name] if twin else entry.address
    try:
        return driver_class(
            address,
            name=name,
            visa_library=twin.visa_library if twin else None,
            clock=clock,
            options=dict(entry.options),
        )
    except TALKING_FAILED as error:
        raise BenchError(f"{name!r} at {address} cannot be opened: {error}") from error


def recognise(name: str, driver: Any, file: BenchFile, twin: SimulatedBench | None) -> None:
    """Refuse an instrument that is not the one the driver speaks to, before anything else is sent to it."""
    address = twin.addresses[name] if twin else file.instruments[name].address
    try:
        who: Identity = driver.identify()
    except TALKING_FAILED as error:
        raise BenchError(
            f"{name!r} at {address} does not say who it is ({error}): check its address, and that it is "
            f"switched on"
        ) from error
    if driver.model_pattern not in who.model:
        raise BenchError(
            f"{name!r} at {address} answers as {who.manufacturer} {who.model}, but the driver "
            f"{file.instruments[name].driver!r} speaks to a {driver.model_pattern}: check the address; "
            f"nothing else was sent to it"
        )


def _switch_off(drivers: Mapping[str, Any], file: BenchFile, *, guarded: bool) -> None:
    """An instrument may still source from an earlier day: off and verified before the bench is used."""
    refuse_unsafe(make_all_safe(drivers, file.roles, guarded=guarded))
