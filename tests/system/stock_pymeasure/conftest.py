"""Simulated benches on sockets, and PyMeasure's own classes connected to them through pyvisa-py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pyvisa

SPEED = 20.0  # bench seconds in one second


def serve(name: str) -> Any:
    """The bench file of that name, served on free ports of this machine."""
    from hilab import paths
    from hilab.bench.check import read_bench_file
    from hilab.bench.opening import twin_tables
    from sim_instruments.serve import serve_bench

    tables = twin_tables(read_bench_file(paths.find_bench(name)))
    tables["simulation"] |= {"setting": "ideal"}
    return serve_bench(**tables, seed=7, speed=SPEED)


@pytest.fixture(scope="module")
def manager() -> Iterator[Any]:
    manager = pyvisa.ResourceManager("@py")
    yield manager
    manager.close()


@pytest.fixture(scope="module")
def classic() -> Iterator[Any]:
    with serve("sot_classic") as server:
        yield server
        assert server.bench.world.faults == [], "wiring faults, such as relays that moved under current"


@pytest.fixture(scope="module")
def fast() -> Iterator[Any]:
    with serve("sot_fast") as server:
        yield server
        assert server.bench.world.faults == [], "wiring faults, such as relays that moved under current"


@pytest.fixture
def connect(manager: Any) -> Iterator[Callable[..., Any]]:
    """connect(server, name) gives a plain resource, connect(server, name, Class) a PyMeasure instrument."""
    opened: list[Any] = []

    def open_one(server: Any, name: str, stock: Any = None, **keywords: Any) -> Any:
        address = server.addresses[name][2]
        if stock is None:
            resource = manager.open_resource(
                address, read_termination="\n", write_termination="\n", timeout=5000
            )
            opened.append(resource)
            return resource
        instrument = stock(address, visa_library="@py", timeout=5000, **keywords)
        opened.append(instrument.adapter)
        return instrument

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def route(connect: Callable[..., Any]) -> Iterator[Callable[..., None]]:
    """Close the 7001's channels with raw commands; everything is open again afterwards."""
    used: list[Any] = []

    def close(server: Any, *channels: str) -> None:
        switch = connect(server, "mux")
        used.append(switch)
        switch.write("ROUT:OPEN ALL")
        switch.write(f"ROUT:CLOS (@{','.join(channels)})")
        assert switch.query(f"ROUT:CLOS? (@{','.join(channels)})") == ",".join("1" for _ in channels)

    yield close
    for switch in used:
        switch.write("ROUT:OPEN ALL")
        switch.query("*OPC?")


@pytest.fixture
def sense() -> Callable[[Any, str], float]:
    """sense(server, terminal): the true voltage there now."""

    def true_v(server: Any, terminal: str) -> float:
        bench = server.bench
        with bench.visa_library.bench_lock:
            bench.world.advance(bench.clock.now())
            return float(bench.world.sense(terminal))

    return true_v
