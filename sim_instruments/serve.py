"""A simulated bench on TCP (raw sockets and HiSLIP), for any VISA client on this machine or the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sim_instruments.transports.hislip import HislipServer
from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.transports.port import BenchClock, Port
from sim_instruments.transports.tcp import TcpServer
from sim_instruments.world.clock import WallClock
from sim_instruments.world.faults import LinkFaults


class ServableBench(Protocol):
    """What `serve` needs of a simulated bench (`sim_instruments.bench.build` makes one)."""

    @property
    def visa_library(self) -> InProcessLibrary: ...
    @property
    def clock(self) -> BenchClock: ...
    @property
    def addresses(self) -> Mapping[str, str]: ...
    def close(self) -> None: ...


class Server:
    """Simulated instruments that listen until close().

    addresses maps each instrument's name to (host, port, VISA resource name) of its raw socket, hislip to
    the same of its HiSLIP server, models to the model it answers to *IDN?, faults to the faults that can be
    armed on its link.
    """

    def __init__(self, bench: ServableBench, host: str, port_base: int):
        self.bench = bench
        ports = {name: bench.visa_library.port(address) for name, address in bench.addresses.items()}
        self.faults: dict[str, LinkFaults] = {name: port.faults for name, port in ports.items()}
        self.models = {name: _model(port) for name, port in ports.items()}
        self._tcp = TcpServer(ports, host, port_base)
        try:
            self._hislip = HislipServer(ports, host, port_base and port_base + len(ports))
        except OSError:
            self._tcp.close()
            raise
        self.addresses = {
            name: (host, number, f"TCPIP0::{host}::{number}::SOCKET")
            for name, (host, number) in self._tcp.addresses.items()
        }
        self.hislip = {
            name: (host, number, f"TCPIP0::{host}::hislip0,{number}::INSTR")
            for name, (host, number) in self._hislip.addresses.items()
        }

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connections(self, name: str) -> int:
        """How many clients that instrument's raw socket has now."""
        return self._tcp.connections(name)

    def close(self) -> None:
        """End every connection and thread, then the bench."""
        self._hislip.close()
        self._tcp.close()
        self.bench.close()


def serve(sim_bench: ServableBench, host: str = "127.0.0.1", port_base: int = 0) -> Server:
    """Serve every instrument of a simulated bench that runs on the wall clock.

    port_base 0 takes free ports, otherwise they are counted up from it: the raw sockets, then HiSLIP.
    Raises ValueError on a bench with a virtual clock (its time stands still while clients think), OSError
    for a busy port.
    """
    if not isinstance(sim_bench.clock, WallClock):
        raise ValueError('a bench on sockets runs on the wall clock: build it with simulation clock = "wall"')
    return Server(sim_bench, host, port_base)


def serve_bench(
    *,
    instruments: Mapping[str, Any],
    wires: Sequence[Mapping[str, Any]],
    devices: Mapping[str, Any],
    field: Mapping[str, Any],
    simulation: Mapping[str, Any],
    seed: int,
    host: str = "127.0.0.1",
    port_base: int = 0,
    speed: float = 1.0,
) -> Server:
    """Build the bench of a bench file's tables on the wall clock, `speed` times as fast, and serve it."""
    from sim_instruments.bench import build

    bench = build(
        instruments=instruments,
        wires=wires,
        devices=devices,
        field=field,
        simulation={**simulation, "clock": "wall", "speed": speed},
        seed=seed,
    )
    try:
        return serve(bench, host, port_base)
    except (OSError, ValueError):
        bench.close()
        raise


def _model(port: Port) -> str:
    """The model field of the instrument's own identification; '' if it has none."""
    with port.lock:
        port.instrument.message(b"*IDN?")
        reply = port.instrument.reply(port.clock.now()) or b""
    fields = reply.decode("latin-1").split(",")
    return fields[1].strip() if len(fields) > 1 else ""
