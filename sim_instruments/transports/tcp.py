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

MESSAGE_LIMIT = 64 << 20  # bytes of one program message; a longer one ends the connection
CONNECTIONS_PER_INSTRUMENT = 8
RECEIVE_BYTES = 1 << 18
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

    connections_max = CONNECTIONS_PER_INSTRUMENT

    def __init__(self, ports: Mapping[str, Port], host: str = "127.0.0.1", port_base: int = 0):
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[Connection, str] = {}
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
            listener.listen(self.connections_max)
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
            if taken >= self.connections_max or port.faults.down or self._stop.is_set():
                client.close()
                return
            connection = self._connection(name, port, client)
            self._connections[connection] = name
        connection.start()

    def _connection(self, name: str, port: Port, client: socket.socket) -> Connection:
        """A thread for this client."""
        return _RawConnection(name, port, client, self._stop, self._farewell)

    def _farewell(self, connection: Connection) -> None:
        with self._lock:
            self._connections.pop(connection, None)

    def _close_listeners(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


class Connection(threading.Thread):
    """One client of one instrument, on a thread of its own: `serve` runs until it comes back or fails."""

    def __init__(
        self,
        name: str,
        port: Port,
        client: socket.socket,
        stop: threading.Event,
        farewell: Callable[[Connection], None],
    ):
        super().__init__(name=f"simulated instruments: {name}")
        self.port = port
        self.client = client
        self.stopping = stop
        self._farewell = farewell
        with port.lock:
            self.generation = port.generation

    def hang_up(self) -> None:
        """Wake the thread out of whatever it waits for."""
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.client.settimeout(LOOK_S)
            self.serve()
        except (OSError, OverflowError, LinkLostError):
            # The client has gone, does not read, sends without end, or a fault cuts the line.
            with suppress(OSError):
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        finally:
            self.client.close()
            self._farewell(self)

    def serve(self) -> None:
        """Speak with the client."""
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        """False when the server ends or the link was cut."""
        connected = self.generation == self.port.generation or self.half_open
        return connected and not self.stopping.is_set()

    @property
    def half_open(self) -> bool:
        """The line leads nowhere any more, and the client has not been told."""
        return self.generation <= self.port.half_open

    def acknowledge_at_once(self) -> None:
        """A client that writes twice before it reads would wait 40 ms for the first write's receipt."""
        if _QUICKACK is not None:
            self.client.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def send(self, data: bytes) -> None:
        """Send all of it; OSError if the client does not read."""
        self.client.settimeout(SEND_LIMIT_S)
        self.client.sendall(data)
        self.client.settimeout(LOOK_S)

    def deliver(self, message: bytes, writer: object) -> None:
        """Hand one program message to the instrument; LinkLostError if the link is cut."""
        with self.port.lock:
            if self.half_open:
                return
            if self.generation != self.port.generation:
                raise LinkLostError
            self.port.deliver(message, writer)


class _RawConnection(Connection):
    """A client that ends its messages with the instrument's terminator."""

    def serve(self) -> None:
        framer = Framer(MESSAGE_LIMIT, self.port.blocks, self.port.terminators)
        buffer = memoryview(bytearray(RECEIVE_BYTES))
        while self.alive:
            try:
                count = self.client.recv_into(buffer)
            except TimeoutError:
                self._send_replies()
                continue
            if not count:
                return
            self.acknowledge_at_once()
            for message in framer.feed(buffer[:count]):
                self.deliver(message, self)
                self._send_replies()

    def _send_replies(self) -> None:
        """Send what the instrument has to say to this client, waiting for what it has announced."""
        port = self.port
        while not self.stopping.is_set():
            with port.lock:
                if port.last_writer is not self or self.half_open:
                    return  # what is queued now answers another client
                now = port.clock.now()
                reply, ready = port.take(now)
            if reply is not None:
                self.send(reply)
            elif ready is None:
                return
            else:
                port.clock.wait(self.stopping, min(max(ready - now, 1e-4), LONGEST_NAP_S))
