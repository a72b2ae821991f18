"""HiSLIP servers (IVI-6.1, version 1.0, synchronized mode): one port an instrument, two channels a client.

The synchronous channel carries messages and replies, the asynchronous one device clear, status, locks and
the size of messages. Overlapped mode, service requests, encryption and logins are not offered. Raw socket
connections take no part in the locks.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress

from sim_instruments.transports.hislip_locks import LockAnswer, Locks
from sim_instruments.transports.hislip_messages import (
    HEADER_BYTES,
    Complaint,
    Fatal,
    Kind,
    Message,
    PoorHeaderError,
    TooLargeError,
    encode,
    receive,
)
from sim_instruments.transports.port import Port
from sim_instruments.transports.tcp import LOOK_S, MESSAGE_LIMIT, SEND_LIMIT_S, Connection, TcpServer

VERSION = 0x0100  # 1.0
VENDOR = int.from_bytes(b"SI", "big")
SUB_ADDRESS = b"hislip0"
CLIENT_SIZE = 1 << 20  # of a message to a client that has not said its own
SHORTEST_NAP_S = 2e-4
CATCH_UP_S = 0.5  # how long a status query waits for the synchronous channel to take what was sent before


class HislipServer(TcpServer):
    """Serves ports by name until close(). addresses maps each name to (host, port)."""

    connections_max = 16  # two for each client

    def __init__(self, ports: Mapping[str, Port], host: str = "127.0.0.1", port_base: int = 0):
        self.sessions: dict[int, Session] = {}
        self.locks: dict[Port, Locks] = {port: Locks() for port in ports.values()}
        self._numbers = itertools.count(1)
        super().__init__(ports, host, port_base)

    def _connection(self, name: str, port: Port, client: socket.socket) -> Connection:
        return _Channel(name, port, client, self._stop, self._farewell, self)

    def new_session(self, synchronous: _Channel) -> Session:
        """A session for a client whose synchronous channel has come."""
        session = Session(next(self._numbers) & 0xFFFF, synchronous, self.locks[synchronous.port])
        self.sessions[session.number] = session
        return session

    def end_session(self, session: Session) -> None:
        """Both channels go down together."""
        self.sessions.pop(session.number, None)
        session.locks.leave(session)
        session.over.set()
        for channel in (session.synchronous, session.asynchronous):
            if channel is not None:
                channel.hang_up()


class Session:
    """What the two channels of one client share."""

    def __init__(self, number: int, synchronous: _Channel, locks: Locks):
        self.number = number
        self.synchronous = synchronous
        self.asynchronous: _Channel | None = None
        self.locks = locks
        self.over = threading.Event()
        self.clearing = threading.Event()  # between AsyncDeviceClear and DeviceClearComplete
        self.undelivered = False  # a reply was sent and the client has not said that it read it
        self.client_size = CLIENT_SIZE
        self.taking = threading.Lock()  # held while the synchronous channel takes a message
        self._async_send = threading.Lock()

    def tell_async(self, data: bytes) -> None:
        """Send on the asynchronous channel, from either thread."""
        if self.asynchronous is not None:
            with self._async_send:
                self.asynchronous.send(data)

    def noted(self, message: Message) -> None:
        """Its control code says whether the last reply was read to the end."""
        if message.control & 1:
            self.undelivered = False


class _Channel(Connection):
    """One of a client's two connections; the first message says which."""

    def __init__(self, *arguments: object):
        *common, server = arguments
        super().__init__(*common)  # type: ignore[arg-type]
        self._server: HislipServer = server  # type: ignore[assignment]
        self._message = bytearray()
        self._id = 0  # of the message that the replies answer

    def serve(self) -> None:
        self.client.settimeout(SEND_LIMIT_S)
        session = None
        try:
            first = receive(self.client, len(SUB_ADDRESS) + 256)
            if first is None:
                return
            if first.kind == Kind.INITIALIZE:
                session = self._open(first)
                self._synchronous(session)
            elif first.kind == Kind.ASYNC_INITIALIZE and (
                found := self._server.sessions.get(first.parameter)
            ):
                session = found
                session.asynchronous = self
                session.tell_async(encode(Kind.ASYNC_INITIALIZE_RESPONSE, 0, VENDOR))
                self._asynchronous(session)
            else:
                self._fatal(Fatal.BAD_INITIALIZATION, "a connection begins with an Initialize message")
        except PoorHeaderError:
            self._fatal(Fatal.POOR_HEADER, "no HiSLIP header")
        except TooLargeError:
            self._fatal(Fatal.BAD_INITIALIZATION, "a sub-address of that length is none")
        finally:
            if session is not None:
                self._server.end_session(session)

    def _open(self, first: Message) -> Session:
        session = self._server.new_session(self)
        version = min(VERSION, first.parameter >> 16)
        self.send(encode(Kind.INITIALIZE_RESPONSE, 0, version << 16 | session.number))
        return session

    def _fatal(self, code: Fatal, text: str) -> None:
        with suppress(OSError):
            self.send(encode(Kind.FATAL_ERROR, code, 0, text.encode()))
            self.client.shutdown(socket.SHUT_WR)
            while self._arrives(LOOK_S) and self.client.recv(1 << 16):
                pass  # closing with bytes unread would reset the line before the client has read why

    def _complain(self, code: Complaint, text: str) -> None:
        self.send(encode(Kind.ERROR, code, 0, text.encode()))

    def _next(self, limit: int) -> Message | None:
        """The message that has begun to arrive; one that is too long is dropped with a complaint."""
        self.client.settimeout(SEND_LIMIT_S)
        try:
            return receive(self.client, limit)
        except TooLargeError:
            self._complain(Complaint.TOO_LARGE, f"a message of more than {limit} bytes")
            return Message(Kind.ERROR)

    def _arrives(self, within_s: float) -> bool:
        try:
            return bool(select.select([self.client], [], [], within_s)[0])
        except ValueError as error:  # the other channel has ended both
            raise OSError("the connection is closed") from error

    # ---- synchronous channel ---------------------------------------------------------------------

    def _synchronous(self, session: Session) -> None:
        look_s = LOOK_S
        while self.alive and not session.over.is_set():
            if not self._arrives(look_s):
                look_s = self._send_replies(session)
                continue
            with session.taking:
                message = self._next(MESSAGE_LIMIT)
                if message is None or not self._take(session, message):
                    return
            self.acknowledge_at_once()
            look_s = self._send_replies(session)

    def _take(self, session: Session, message: Message) -> bool:
        """Do what a message asks; False when the connection ends."""
        if self.half_open:
            return True
        if message.kind == Kind.DEVICE_CLEAR_COMPLETE:
            self._message.clear()
            session.undelivered = False
            session.clearing.clear()
            self.send(encode(Kind.DEVICE_CLEAR_ACKNOWLEDGE))
        elif message.kind in (Kind.DATA, Kind.DATA_END, Kind.TRIGGER):
            if session.asynchronous is None:
                self._fatal(Fatal.ONE_CHANNEL_ONLY, "the asynchronous channel is missing")
                return False
            if not session.clearing.is_set():
                self._take_data(session, message)
        elif message.kind == Kind.FATAL_ERROR:
            return False
        elif message.kind == Kind.INITIALIZE:
            self._fatal(Fatal.BAD_INITIALIZATION, "this connection is initialized")
            return False
        elif message.kind != Kind.ERROR:
            self._complain(Complaint.UNKNOWN_TYPE, f"message type {message.kind} is not for this channel")
        return True

    def _take_data(self, session: Session, message: Message) -> None:
        session.noted(message)
        if not self._message:
            self._interrupt_if_unread(session, message.parameter)
        if message.kind != Kind.TRIGGER:
            if len(self._message) + len(message.payload) > MESSAGE_LIMIT:
                self._message.clear()
                self._complain(Complaint.TOO_LARGE, f"a message of more than {MESSAGE_LIMIT} bytes")
                return
            self._message += message.payload
        if message.kind == Kind.DATA:
            return
        if not self._wait_for_lock(session):
            return
        self._id = message.parameter
        if message.kind == Kind.TRIGGER:
            with self.port.lock:
                self.port.last_writer = self
                self.port.trigger()
            return
        whole, self._message = bytes(self._message), bytearray()
        for each in self.port.messages(whole):
            self.deliver(each, self)

    def _interrupt_if_unread(self, session: Session, message_id: int) -> None:
        """A new message before the reply was read: both channels say so, and the box notes an error."""
        with self.port.lock:
            pending = self.port.last_writer is self and self.port.expects_reader()
            if session.undelivered and not pending:  # of a reply that it still has, the box notes it itself
                self.port.interrupted()
        if session.undelivered or pending:
            session.undelivered = False
            self.send(encode(Kind.INTERRUPTED, 0, message_id))
            session.tell_async(encode(Kind.ASYNC_INTERRUPTED, 0, message_id))

    def _wait_for_lock(self, session: Session) -> bool:
        """Messages of others stay where they are while somebody holds the instrument."""
        while not session.locks.may_use(session):
            if session.over.wait(LOOK_S / 10) or session.clearing.is_set() or not self.alive:
                self._message.clear()
                return False
        return True

    def _send_replies(self, session: Session) -> float:
        """Send what the instrument has to say; the time until it is worth looking again (s)."""
        port = self.port
        while not session.clearing.is_set():
            with port.lock:
                if port.last_writer is not self or self.half_open:
                    return LOOK_S
                now = port.clock.now()
                reply, ready = port.take(now)
            if reply is None:
                if ready is None:
                    return LOOK_S
                speed = float(getattr(port.clock, "speed", 1.0))
                return min(max((ready - now) / speed, SHORTEST_NAP_S), LOOK_S)
            self._send_reply(session, reply)
        return LOOK_S

    def _send_reply(self, session: Session, reply: bytes) -> None:
        """In messages of the client's size; the last one carries END."""
        session.undelivered = True
        size = max(1, session.client_size - HEADER_BYTES)
        view = memoryview(reply)
        while len(view) > size:
            self.send(encode(Kind.DATA, 0, self._id, view[:size]))
            view = view[size:]
        self.send(encode(Kind.DATA_END, 0, self._id, view))

    # ---- asynchronous channel ---------------------------------------------------------------------

    def _asynchronous(self, session: Session) -> None:
        while self.alive and not session.over.is_set():
            if not self._arrives(LOOK_S):
                continue
            message = self._next(1 << 12)
            if message is None or message.kind == Kind.FATAL_ERROR:
                return
            answer = b"" if self.half_open else self._answer(session, message)
            if answer and not self.half_open:  # it may have become so meanwhile
                session.tell_async(answer)

    def _answer(self, session: Session, message: Message) -> bytes:
        """What the server says to a message on this channel; b"" for nothing."""
        match message.kind:
            case Kind.ASYNC_MAX_MESSAGE_SIZE if len(message.payload) == 8:
                session.client_size = max(HEADER_BYTES + 1, int.from_bytes(message.payload, "big"))
                size = (MESSAGE_LIMIT + HEADER_BYTES).to_bytes(8, "big")
                return encode(Kind.ASYNC_MAX_MESSAGE_SIZE_RESPONSE, 0, 0, size)
            case Kind.ASYNC_DEVICE_CLEAR:
                return self._clear(session)
            case Kind.ASYNC_STATUS_QUERY:
                return self._status(session, message)
            case Kind.ASYNC_LOCK:
                return encode(Kind.ASYNC_LOCK_RESPONSE, self._lock(session, message))
            case Kind.ASYNC_LOCK_INFO:
                exclusive, holders = session.locks.info()
                return encode(Kind.ASYNC_LOCK_INFO_RESPONSE, int(exclusive), holders)
            case Kind.ASYNC_REMOTE_LOCAL_CONTROL:  # the simulated boxes have no front panel
                return encode(Kind.ASYNC_REMOTE_LOCAL_RESPONSE)
            case Kind.ERROR:
                return b""
            case _:
                text = f"message type {message.kind} is not for this channel"
                return encode(Kind.ERROR, Complaint.UNKNOWN_TYPE, 0, text.encode())

    def _lock(self, session: Session, message: Message) -> LockAnswer:
        if message.control == 0:
            return session.locks.release(session)
        return session.locks.request(session, bytes(message.payload), message.parameter / 1000.0)

    def _clear(self, session: Session) -> bytes:
        """The synchronous channel drops everything until the client says that it has done the same."""
        session.clearing.set()
        with self.port.lock:
            reacts = self.port.clear()
        return encode(Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE) if reacts else b""

    def _status(self, session: Session, message: Message) -> bytes:
        """The status byte when all that was sent before is taken; a reply on its way counts as available."""
        session.noted(message)
        synchronous, end_s = session.synchronous, CATCH_UP_S
        while end_s > 0 and (synchronous._arrives(0) or session.taking.locked()):
            end_s -= LOOK_S / 50
            session.over.wait(LOOK_S / 50)
        with self.port.lock:
            status = self.port.status_byte()
        if status is None:
            return b""
        return encode(Kind.ASYNC_STATUS_RESPONSE, status | (0x10 if session.undelivered else 0))
