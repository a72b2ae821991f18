"""Raw sockets: framing, terminators, bad clients, and a clean end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sim_instruments.transports import tcp
from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.transports.tcp import TcpServer
from sim_instruments.world.clock import WallClock
from sim_instruments.world.contracts import Link

ADDRESS = "GPIB0::9::INSTR"


@pytest.fixture
def bench(box: Any, one_box_world: Any) -> InProcessLibrary:
    return InProcessLibrary(one_box_world, WallClock(speed=10.0), {ADDRESS: box})


@pytest.fixture
def server(bench: InProcessLibrary) -> Iterator[TcpServer]:
    with TcpServer({"box": bench.port(ADDRESS)}) as running:
        yield running


def connect(server: TcpServer) -> socket.socket:
    client = socket.create_connection(server.addresses["box"], timeout=5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def line(client: socket.socket, end: bytes = b"\n") -> bytes:
    received = b""
    while not received.endswith(end):
        chunk = client.recv(1)
        if not chunk:
            break
        received += chunk
    return received


def wait_until(condition: Any) -> bool:
    end = time.monotonic() + 5
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.01)
    return True


def test_queries_in_one_packet_and_in_single_bytes(server: TcpServer, box: Any) -> None:
    with connect(server) as client:
        client.sendall(b"LEVEL 3\nLEVEL?\r\nCOUNT?\r")
        assert (line(client), line(client)) == (b"3\n", b"3\n")
        for byte in b"HELLO?\n":
            client.sendall(bytes([byte]))
        assert line(client) == b"HELLO?\n"


def test_terminators_inside_a_block_are_data(server: TcpServer, box: Any) -> None:
    with connect(server) as client:
        client.sendall(b"X #15\n\r")
        client.sendall(b"\n#2\nCOUNT?\n")
        assert line(client) == b"2\n"
    assert box.executed == [b"X #15\n\r\n#2", b"COUNT?"]


def test_a_large_block_comes_back_whole(server: TcpServer) -> None:
    with connect(server) as client:
        client.sendall(b"DATA? 1000000\n")
        expected = b"#71000000" + (bytes(range(256)) * 3907)[:1_000_000] + b"\n"
        received = b""
        while len(received) < len(expected):
            received += client.recv(1 << 20)
        assert received == expected


def test_a_reply_waits_until_it_is_ready(server: TcpServer) -> None:
    with connect(server) as client:
        client.sendall(b"MEAS? 1.0\n")
        start = time.monotonic()
        assert line(client) == b"1.5\n"
        assert 0.08 < time.monotonic() - start < 2.0  # bench time runs ten times as fast


def test_the_box_survives_a_reconnect(server: TcpServer, box: Any) -> None:
    with connect(server) as client:
        client.sendall(b"LEVEL 2\nLEVEL?\nHALF A LINE")
        assert line(client) == b"2\n"  # it has arrived before the link is cut
    with connect(server) as client:
        client.sendall(b"LEVEL?\n")
        assert line(client) == b"2\n"
    assert b"HALF A LINE" not in b"".join(box.executed)


def test_replies_go_to_the_client_that_asked(server: TcpServer) -> None:
    with connect(server) as first, connect(server) as second:
        first.sendall(b"FIRST?\n")
        assert line(first) == b"FIRST?\n"
        second.sendall(b"SECOND?\n")
        assert line(second) == b"SECOND?\n"
        first.settimeout(0.3)
        with pytest.raises(TimeoutError):
            first.recv(1)


def test_garbage_reaches_the_box_as_messages_and_harms_nothing(server: TcpServer, box: Any) -> None:
    garbage = bytes(range(256)) * 64
    with connect(server) as client:
        client.sendall(garbage + b"\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with connect(server) as client:
        client.sendall(b"LEVEL?\n")
        assert line(client) == b"0\n"


def test_a_line_without_end_is_cut_off(server: TcpServer, box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MESSAGE_LIMIT", 10_000)
    with connect(server) as client, pytest.raises(OSError):
        for _ in range(100):
            client.sendall(b"x" * 10_000)
            client.settimeout(0.05)
            try:
                if client.recv(1) == b"":
                    raise ConnectionResetError
            except TimeoutError:
                pass
    assert wait_until(lambda: server.connections("box") == 0)
    assert box.executed == []


def test_a_client_that_never_reads_is_let_go(
    server: TcpServer, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "SEND_LIMIT_S", 0.2)
    with connect(server) as client:
        client.sendall(b"DATA? 30000000\n")
        assert wait_until(lambda: box.executed and server.connections("box") == 0)
    with connect(server) as client:
        client.sendall(b"LEVEL?\n")
        assert line(client) == b"0\n"


def test_too_many_connections_are_refused(server: TcpServer) -> None:
    clients = [connect(server) for _ in range(tcp.CONNECTIONS_PER_INSTRUMENT)]
    try:
        assert wait_until(lambda: server.connections("box") == len(clients))
        with connect(server) as extra:
            assert extra.recv(1) == b""
        clients[0].sendall(b"LEVEL?\n")
        assert line(clients[0]) == b"0\n"
    finally:
        for client in clients:
            client.close()
    assert wait_until(lambda: server.connections("box") == 0)


def test_closing_ends_waiting_and_idle_connections(bench: InProcessLibrary) -> None:
    server = TcpServer({"box": bench.port(ADDRESS)})
    with connect(server) as waiting, connect(server) as idle:
        waiting.sendall(b"MEAS? 10000\n")
        assert wait_until(lambda: server.connections("box") == 2)
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 2.0
        assert idle.recv(1) == b""
    server.close()
    with pytest.raises(OSError):
        connect(server)


def test_a_busy_port_is_named(server: TcpServer, bench: InProcessLibrary) -> None:
    taken = server.addresses["box"][1]
    with pytest.raises(OSError, match=f"mux cannot listen on 127.0.0.1 port {taken}"):
        TcpServer({"mux": bench.port(ADDRESS)}, port_base=taken)


def test_a_port_base_counts_up(bench: InProcessLibrary) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base = probe.getsockname()[1]
    port = bench.port(ADDRESS)
    with TcpServer({"one": port, "two": port}, port_base=base) as server:
        assert server.addresses == {"one": ("127.0.0.1", base), "two": ("127.0.0.1", base + 1)}


def test_a_box_may_end_its_messages_with_nul(box: Any, one_box_world: Any) -> None:
    """As a 4200A-SCS does in both directions; line ends are nothing special to it."""
    box.link = Link(b"\0", 0.0, 1e9)
    library = InProcessLibrary(one_box_world, WallClock(), {ADDRESS: box})
    with TcpServer({"box": library.port(ADDRESS)}) as server, connect(server) as client:
        client.sendall(b"FIRST?\nLINE\0SECOND?\0")
        assert (line(client, b"\0"), line(client, b"\0")) == (b"FIRST?\nLINE\0", b"SECOND?\0")
    assert library.port(ADDRESS).messages(b"A\nB\0C\0") == [b"A\nB", b"C"]
