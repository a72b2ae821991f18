"""HiSLIP messages (IVI-6.1): 16 bytes of header, then a payload of a length that the header states."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

_HEADER = struct.Struct("!2sBBIQ")
HEADER_BYTES = _HEADER.size


class Kind(IntEnum):
    """Message types that a server of version 1.0 needs."""

    INITIALIZE = 0
    INITIALIZE_RESPONSE = 1
    FATAL_ERROR = 2
    ERROR = 3
    ASYNC_LOCK = 4
    ASYNC_LOCK_RESPONSE = 5
    DATA = 6
    DATA_END = 7
    DEVICE_CLEAR_COMPLETE = 8
    DEVICE_CLEAR_ACKNOWLEDGE = 9
    ASYNC_REMOTE_LOCAL_CONTROL = 10
    ASYNC_REMOTE_LOCAL_RESPONSE = 11
    TRIGGER = 12
    INTERRUPTED = 13
    ASYNC_INTERRUPTED = 14
    ASYNC_MAX_MESSAGE_SIZE = 15
    ASYNC_MAX_MESSAGE_SIZE_RESPONSE = 16
    ASYNC_INITIALIZE = 17
    ASYNC_INITIALIZE_RESPONSE = 18
    ASYNC_DEVICE_CLEAR = 19
    ASYNC_STATUS_QUERY = 21
    ASYNC_STATUS_RESPONSE = 22
    ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 23
    ASYNC_LOCK_INFO = 24
    ASYNC_LOCK_INFO_RESPONSE = 25


class Fatal(IntEnum):
    """Control codes of FatalError: the connection ends."""

    POOR_HEADER = 1
    ONE_CHANNEL_ONLY = 2
    BAD_INITIALIZATION = 3
    TOO_MANY_CLIENTS = 4


class Complaint(IntEnum):
    """Control codes of Error: the message is dropped, the connection goes on."""

    UNKNOWN_TYPE = 1
    UNKNOWN_CONTROL = 2
    TOO_LARGE = 4


@dataclass(frozen=True)
class Message:
    """One message; kind is a number because a client may send types that nobody knows."""

    kind: int
    control: int = 0
    parameter: int = 0
    payload: bytes | bytearray = b""


class PoorHeaderError(Exception):
    """What came is no HiSLIP message."""


class TooLargeError(Exception):
    """A payload beyond the limit; it has been read and dropped."""


def encode(kind: Kind, control: int = 0, parameter: int = 0, payload: bytes | memoryview = b"") -> bytes:
    """A message as bytes."""
    return _HEADER.pack(b"HS", kind, control, parameter, len(payload)) + bytes(payload)


def receive(client: socket.socket, limit: int) -> Message | None:
    """The next message; None when the client has closed.

    Raises PoorHeaderError, TooLargeError for a payload of more than `limit` bytes, OSError.
    """
    header = bytearray(HEADER_BYTES)
    if not _fill(client, header):
        return None
    prologue, kind, control, parameter, length = _HEADER.unpack(header)
    if prologue != b"HS":
        raise PoorHeaderError
    if length > limit:
        _drop(client, length)
        raise TooLargeError
    payload = bytearray(length)
    if not _fill(client, payload):
        return None
    return Message(kind, control, parameter, payload)


def _fill(client: socket.socket, buffer: bytearray) -> bool:
    """Read until the buffer is full; False if the client closes before."""
    view = memoryview(buffer)
    while view:
        count = client.recv_into(view)
        if not count:
            return False
        view = view[count:]
    return True


def _drop(client: socket.socket, count: int) -> None:
    buffer = memoryview(bytearray(1 << 16))
    while count:
        got = client.recv_into(buffer[: min(count, len(buffer))])
        if not got:
            return
        count -= got
