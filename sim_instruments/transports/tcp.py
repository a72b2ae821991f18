"""Simulated instruments on raw TCP sockets: one listening port each, one thread for each connection."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from sim_instruments.transports.framing import Framer
from sim_instruments.transports.port import LinkLostError, Port

MESSAGE_LIMIT = 4 << 20  # bytes of one program message; a longer one ends the connection
CONNECTIONS_PER_INSTRUMENT = 8
RECEIVE_BYTES = 1 << 16
LOOK_S = 0.1  # how often an idle connection looks whether it has something to send, or shall end
SEND_LIMIT_S = 10.0  # a client that does not read for so long is let go
JOIN_LIMIT_S = 5.0
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
LONGEST_NAP_S = 1.0  # bench time between two looks at a reply that is to come
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class TcpServer:
    """Serves ports by name until close(). addresses maps each name to (host, port).

    port_base 0 takes free ports; otherwise the instruments listen on port_base, port_base + 1, ... in
    the order of `ports`. Raises OSError naming the instrument when an address cannot be had.
    """

    def __init__(self, ports: Mapping[str, Port], host: str = "127.0.0.1", port_base: int = 0):
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[_Connection, str] = {}
        self._selector = selectors.DefaultSelector()
        self.addresses: dict[str, tuple[str, int]] = {}
        try:
            for number, (name, port) in enumerate(ports.items()):
                self._listen(name, port, host, port_base and port_base + number)
        except OSError:
            self._close_listeners()
            raise
        self._acceptor = threading.Thread(target=self._accept, name="simulated instruments: accept")
        self._acceptor.start()

    def __enter__(self) -> TcpServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, end every connection, wait for all threads. A second call does nothing."""
        self._stop.set()
        self._acceptor.join(JOIN_LIMIT_S)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.hang_up()
        for connection in connections:
            connection.join(JOIN_LIMIT_S)

    def connections(self, name: str) -> int:
        """How many clients the instrument of that name has now."""
        with self._lock:
            return sum(owner == name for owner in self._connections.values())

    def _listen(self, name: str, port: Port, host: str, number: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows: REUSEADDR would share a busy port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, number))
            listener.listen(CONNECTIONS_PER_INSTRUMENT)
            listener.setblocking(False)
        except (OSError, OverflowError) as error:
            listener.close()
            raise OSError(f"{name} cannot listen on {host} port {number}: {error}") from error
        self.addresses[name] = (host, listener.getsockname()[1])
        self._selector.register(listener, selectors.EVENT_READ, (name, port))

    def _accept(self) -> None:
        try:
            while not self._stop.is_set():
                for key, _ in self._selector.select(LOOK_S):
                    name, port = key.data
                    with suppress(OSError):  # the client has gone again
                        client, _ = key.fileobj.accept()  # type: ignore[union-attr]
                        self._welcome(name, port, client)
        finally:
            self._close_listeners()

    def _welcome(self, name: str, port: Port, client: socket.socket) -> None:
        with self._lock:
            taken = sum(owner == name for owner in self._connections.values())
            if taken >= CONNECTIONS_PER_INSTRUMENT or port.faults.down or self._stop.is_set():
                client.close()
                return
            connection = _Connection(name, port, client, self._stop, self._farewell)
            self._connections[connection] = name
        connection.start()

    def _farewell(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.pop(connection, None)

    def _close_listeners(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


class _Connection(threading.Thread):
    """One client of one instrument."""

    def __init__(
        self,
        name: str,
        port: Port,
        client: socket.socket,
        stop: threading.Event,
        farewell: Callable[[_Connection], None],
    ):
        super().__init__(name=f"simulated instruments: {name}")
        self._port = port
        self._client = client
        self._stop_event = stop
        self._farewell = farewell
        with port.lock:
            self._generation = port.generation

    def hang_up(self) -> None:
        """Wake the thread out of whatever it waits for."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        framer = Framer(MESSAGE_LIMIT, self._port.blocks)
        try:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client.settimeout(LOOK_S)
            while not self._stop_event.is_set() and self._generation == self._port.generation:
                data = self._receive()
                if data == b"":
                    break
                if data is None:
                    self._send_replies()
                    continue
                for message in framer.feed(data):
                    self._exchange(message)
        except (OSError, OverflowError, LinkLostError):
            # The client has gone, does not read, sends without end, or a fault cuts the line.
            with suppress(OSError):
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        finally:
            self._client.close()
            self._farewell(self)

    def _receive(self) -> bytes | None:
        """Bytes; b"" when the client has closed; None when nothing came for a while."""
        try:
            data = self._client.recv(RECEIVE_BYTES)
        except TimeoutError:
            return None
        if _QUICKACK is not None:
            # A client that writes twice before it reads would wait 40 ms for the first write's receipt.
            self._client.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return data

    def _exchange(self, message: bytes) -> None:
        with self._port.lock:
            if self._generation != self._port.generation:
                raise LinkLostError
            self._port.deliver(message, self)
        self._send_replies()

    def _send_replies(self) -> None:
        """Send what the instrument has to say to this client, waiting for what it has announced."""
        port = self._port
        while not self._stop_event.is_set():
            with port.lock:
                if port.last_writer is not self:
                    return  # what is queued now answers another client
                now = port.clock.now()
                reply, ready = port.take(now)
            if reply is not None:
                self._send(reply)
            elif ready is None:
                return
            else:
                port.clock.wait(self._stop_event, min(max(ready - now, 1e-4), LONGEST_NAP_S))

    def _send(self, reply: bytes) -> None:
        self._client.settimeout(SEND_LIMIT_S)
        self._client.sendall(reply)
        self._client.settimeout(LOOK_S)
