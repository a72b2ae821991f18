"""A whole simulated bench on sockets."""

from __future__ import annotations

import socket
import time
from importlib.metadata import entry_points
from typing import Any

import pytest

from sim_instruments.bench import build
from sim_instruments.serve import serve, serve_bench
from sim_instruments.world.clock import WallClock

TABLES: dict[str, Any] = {
    "instruments": {
        "magnet": {"driver": "kepco_bop", "transport": "gpib"},
        "gaussmeter": {"driver": "lakeshore475", "transport": "gpib"},
    },
    "wires": [
        {"from": "magnet.out", "to": ["coil"]},
        {"from": "gaussmeter.probe", "to": ["field.perpendicular"]},
    ],
    "devices": {},
    "field": {"tesla_per_ampere": 4e-3},
    "simulation": {"setting": "ideal"},
}


def ask(address: tuple[str, int, str], *lines: str) -> str:
    with socket.create_connection(address[:2], timeout=5) as client:
        client.sendall("".join(line + "\n" for line in lines).encode())
        return client.makefile("rb").readline().decode()


def test_every_instrument_listens_and_acts_on_one_world() -> None:
    with serve_bench(**TABLES, seed=1, speed=50.0) as server:
        assert isinstance(server.bench.clock, WallClock)
        assert server.bench.clock.speed == 50.0
        host, port, resource = server.addresses["magnet"]
        assert resource == f"TCPIP0::{host}::{port}::SOCKET"
        assert server.hislip["magnet"][2] == f"TCPIP0::{host}::hislip0,{server.hislip['magnet'][1]}::INSTR"
        assert set(server.models) == {"magnet", "gaussmeter"}
        assert server.models["gaussmeter"] == "MODEL475"
        assert ask(server.addresses["magnet"], "*IDN?").startswith("KEPCO,BIT 4886")
        ask(server.addresses["magnet"], "FUNC:MODE CURR", "VOLT 20", "CURR 5", "OUTP ON", "CURR?")
        server.bench.clock.sleep(5.0)
        field_t = float(ask(server.addresses["gaussmeter"], "UNIT 2", "RDGFIELD?"))
        assert field_t == pytest.approx(0.02, rel=0.05)


def test_a_port_base_gives_the_addresses() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base = probe.getsockname()[1]
    with serve_bench(**TABLES, seed=1, port_base=base) as server:
        assert [address[1] for address in server.addresses.values()] == [base, base + 1]
        assert [address[1] for address in server.hislip.values()] == [base + 2, base + 3]
        with pytest.raises(OSError, match=f"magnet cannot listen on 127.0.0.1 port {base}"):
            serve_bench(**TABLES, seed=1, port_base=base)


def test_a_virtual_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="wall clock"):
        serve(build(**TABLES, seed=1))


def test_the_link_faults_of_a_served_bench() -> None:
    with serve_bench(**TABLES, seed=1) as server:
        server.faults["magnet"].drop(2)
        assert ask(server.addresses["magnet"], "*IDN?", "*IDN?").startswith("KEPCO")
        until_s = time.monotonic() + 5
        while server.faults["magnet"].exchanges < 2 and time.monotonic() < until_s:
            time.sleep(1e-3)  # the second question is still on its way
        with pytest.raises(ConnectionError):
            server.faults["magnet"].drop()
            if ask(server.addresses["magnet"], "*IDN?") == "":
                raise ConnectionResetError


def test_it_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="hilab.sim_servers", name="hall_bars")
    assert found.load() is serve_bench
