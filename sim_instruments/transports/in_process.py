"""The simulated bench as a VISA library object: `pyvisa.ResourceManager(InProcessLibrary(...))`.

It implements what PyVISA's message-based resources and PyMeasure's VISAAdapter ask of a VISA library,
after the VISA specification (VPP-4.3): END, termination characters, time-outs, locks, serial poll.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

from pyvisa import constants, errors, highlevel, rname
from pyvisa.constants import AccessModes, EventAttribute, EventType, ResourceAttribute, StatusCode
from pyvisa.typing import VISAEventContext, VISARMSession, VISASession
from pyvisa.util import LibraryPath

from sim_instruments.transports.port import BenchClock, BenchWorld, LinkLostError, Port
from sim_instruments.transports.visa_attributes import READ_ONLY, acceptable, defaults
from sim_instruments.world.contracts import SimInstrument
from sim_instruments.world.faults import LinkFaults

POLL_S = 0.01  # first look again for a reply that nobody has announced; later in steps of a tenth of the wait
LONGEST_WAIT_S = 86_400.0  # an infinite time-out ends here: in virtual time nobody else could end it
REQUESTING_SERVICE = 0x40

_numbers = itertools.count(1)
_SUCCESS = StatusCode.success  # looking up a member of an enumeration costs more than a read
_MORE = StatusCode.success_max_count_read
_TERMINATED = StatusCode.success_termination_character_read


class Session:
    """What the library keeps for one open resource."""

    __slots__ = (
        "attributes", "debt_s", "generation", "number", "pending", "port",
        "send_end", "stop_at", "timeout_s", "unread", "where",
    )  # fmt: skip

    def __init__(self, number: int, port: Port, attributes: dict[ResourceAttribute, Any]):
        self.number = number
        self.port = port
        self.attributes = attributes
        self.generation = port.generation
        self.unread = b""  # a reply of which `where` bytes are read
        self.where = 0
        self.pending = b""  # written without END so far
        self.debt_s = 0.0  # transfer time of short replies, paid with the next message
        self.attributes_changed()

    def attributes_changed(self) -> None:
        """Take over what reads and writes need of the attributes."""
        milliseconds = self.attributes[ResourceAttribute.timeout_value]
        infinite = milliseconds == constants.VI_TMO_INFINITE
        self.timeout_s = LONGEST_WAIT_S if infinite else milliseconds / 1000.0
        stops = self.attributes[ResourceAttribute.termchar_enabled]
        self.stop_at = bytes([self.attributes[ResourceAttribute.termchar]]) if stops else b""
        self.send_end = bool(self.attributes[ResourceAttribute.send_end_enabled])

    def forget_replies(self) -> None:
        self.unread = b""
        self.where = 0


class InProcessLibrary(highlevel.VisaLibraryBase):
    """A VISA library whose resources are simulated instruments.

    instruments maps VISA resource names to them; clock and world are the bench's. Every wait (bus cost,
    reply not ready, time-out) is a sleep on that clock, never with the world's lock held. `bench_lock`
    guards world and instruments; take it to look at them from outside while the bench is in use.
    """

    def __new__(
        cls, world: BenchWorld, clock: BenchClock, instruments: Mapping[str, SimInstrument]
    ) -> InProcessLibrary:
        # PyVISA returns the same object for equal paths, and PyMeasure closes everything at "unset".
        path = LibraryPath(f"simulated-bench-{next(_numbers)}")
        return cast(InProcessLibrary, super().__new__(cls, path))

    def __init__(self, world: BenchWorld, clock: BenchClock, instruments: Mapping[str, SimInstrument]):
        self.clock = clock
        self.bench_lock = threading.RLock()
        self.ports = {
            _canonical(name): Port(instrument, world, clock, self.bench_lock)
            for name, instrument in instruments.items()
        }
        if len(self.ports) != len(instruments):
            raise ValueError("two simulated instruments have the same VISA address")
        self._sessions: dict[int, Session | None] = {}  # None: a resource manager
        self._handles = itertools.count(1000)
        self._locks: dict[Port, tuple[str, list[int]]] = {}  # key ("" is exclusive), holders with repeats

    @staticmethod
    def get_debug_info() -> dict[str, str]:
        return {"Version": "in-process simulation"}

    def port(self, resource_name: str) -> Port:
        """The connector of the instrument at this address. Raises KeyError if nothing is there."""
        return self.ports[_canonical(resource_name)]

    def link_faults(self, resource_name: str) -> LinkFaults:
        """The faults that can be armed on the link at this address."""
        return self.port(resource_name).faults

    @property
    def open_sessions(self) -> dict[int, str]:
        """Resource names of all open sessions by their numbers (for whoever looks for leaks)."""
        return {
            number: str(session.attributes[ResourceAttribute.resource_name])
            for number, session in list(self._sessions.items())
            if session is not None
        }

    # ---- sessions ---------------------------------------------------------------------------------

    def open_default_resource_manager(self) -> tuple[VISARMSession, StatusCode]:
        handle = next(self._handles)
        self._sessions[handle] = None
        return VISARMSession(handle), self._status(handle, StatusCode.success)

    def list_resources(self, session: VISARMSession, query: str = "?*::INSTR") -> tuple[str, ...]:
        return tuple(rname.filter(list(self.ports), query))

    def open(
        self,
        session: VISARMSession,
        resource_name: str,
        access_mode: AccessModes = AccessModes.no_lock,
        open_timeout: int | None = constants.VI_TMO_IMMEDIATE,
    ) -> tuple[VISASession, StatusCode]:
        try:
            parsed = rname.parse_resource_name(resource_name)
        except rname.InvalidResourceName:
            return VISASession(0), self._status(None, StatusCode.error_invalid_resource_name)
        port = self.ports.get(str(parsed))
        if port is None or port.faults.down:
            return VISASession(0), self._status(None, StatusCode.error_resource_not_found)
        handle = next(self._handles)
        self._sessions[handle] = Session(handle, port, defaults(parsed, session))
        if access_mode == AccessModes.exclusive_lock:
            try:
                self.lock(VISASession(handle), access_mode, int(open_timeout or 0))
            except errors.VisaIOError:
                del self._sessions[handle]
                raise
        return VISASession(handle), self._status(handle, StatusCode.success)

    def close(self, session: VISASession | VISARMSession | VISAEventContext) -> StatusCode:
        with self.bench_lock:
            closed = self._sessions.pop(session, None)
            if closed is not None:
                self._release(closed, everything=True)
        self._last_status_in_session.pop(session, None)
        return StatusCode.success

    # ---- messages ---------------------------------------------------------------------------------

    def write(self, session: VISASession, data: bytes) -> tuple[int, StatusCode]:
        here = self._usable(session)
        port = here.port
        count = len(data)
        self.clock.sleep(port.latency_s + count * port.byte_s + here.debt_s)
        here.debt_s = 0.0
        if here.pending:
            data, here.pending = here.pending + data, b""
        if not here.send_end:
            here.pending = data
            return count, self._succeed(session, _SUCCESS)
        try:
            with self.bench_lock:
                if here.generation != port.generation:
                    if here.generation <= port.half_open:
                        return count, self._succeed(session, _SUCCESS)
                    raise LinkLostError
                here.forget_replies()
                for message in port.messages(data):
                    port.deliver(message, here)
        except LinkLostError:
            return 0, self._status(session, StatusCode.error_connection_lost)
        return count, self._succeed(session, _SUCCESS)

    def read(self, session: VISASession, count: int) -> tuple[bytes, StatusCode]:
        here = self._usable(session)
        reply, start = here.unread, here.where
        if start >= len(reply):
            failure = self._fetch(here)
            if failure is not None:
                return b"", self._status(session, failure)
            reply, start = here.unread, 0
        length = len(reply)
        stop = start + count
        if stop >= length:
            stop, status = length, _SUCCESS
        else:
            status = _MORE
        if here.stop_at:
            found = reply.find(here.stop_at, start, stop)
            if found >= 0:
                stop, status = found + 1, _TERMINATED
        here.where = stop
        chunk = reply if stop - start == length else reply[start:stop]
        return chunk, self._succeed(session, status)

    def _fetch(self, here: Session) -> StatusCode | None:
        """Wait for the next reply and keep it in the session; the error if none comes in time."""
        port, clock = here.port, self.clock
        started = now = clock.now()
        deadline = started + here.timeout_s
        if here.generation <= port.half_open:
            clock.sleep(here.timeout_s)
            return StatusCode.error_timeout
        while True:
            with self.bench_lock:
                if here.generation != port.generation and not port.said_farewell_to(here):
                    return StatusCode.error_connection_lost
                reply, ready = port.take(now)
                if reply is not None:
                    break
                if here.generation != port.generation:
                    return StatusCode.error_connection_lost
                if now >= deadline:
                    port.gave_up(now)
                    return StatusCode.error_timeout
            if ready is not None and now < ready < math.inf:
                again = ready
            else:
                again = now + max(POLL_S, (now - started) / 10.0)
            clock.sleep(min(again, deadline) - now)
            if self._sessions.get(here.number) is not here:
                return StatusCode.error_connection_lost  # closed by another thread meanwhile
            now = max(clock.now(), min(again, deadline))  # whatever rounding did to the sum
        here.unread, here.where = reply, 0
        transfer_s = len(reply) * port.byte_s
        if transfer_s > 0.1 * port.latency_s:
            clock.sleep(transfer_s)
        else:
            here.debt_s += transfer_s
        return None

    # ---- interface messages -------------------------------------------------------------------------

    def clear(self, session: VISASession) -> StatusCode:
        here = self._usable(session)
        with self.bench_lock:
            for other in list(self._sessions.values()):
                if other is not None and other.port is here.port:
                    other.forget_replies()
                    other.pending = b""
        return self._signal(here, here.port.clear)

    def read_stb(self, session: VISASession) -> tuple[int, StatusCode]:
        here = self._usable(session)
        value = 0

        def poll() -> bool:
            nonlocal value
            status = here.port.status_byte()
            value = 0 if status is None else status
            return status is not None

        status = self._signal(here, poll)
        if here.where < len(here.unread):
            value |= 0x10  # the rest of a reply is still to be read
        return value, status

    def assert_trigger(self, session: VISASession, protocol: constants.TriggerProtocol) -> StatusCode:
        here = self._usable(session)
        return self._signal(here, here.port.trigger)

    def gpib_control_ren(self, session: VISASession, mode: constants.RENLineOperation) -> StatusCode:
        """Remote and local change nothing here: the simulated boxes have no front panel."""
        self._usable(session)
        return self._status(session, StatusCode.success)

    def flush(self, session: VISASession, mask: constants.BufferOperation) -> StatusCode:
        here = self._usable(session)
        with self.bench_lock:
            if mask & (
                constants.BufferOperation.discard_read_buffer
                | constants.BufferOperation.discard_read_buffer_no_io
                | constants.BufferOperation.discard_receive_buffer
            ):
                here.forget_replies()
        return self._status(session, StatusCode.success)

    def _signal(self, here: Session, action: Callable[[], bool]) -> StatusCode:
        """Do something that needs no message; a box that does not react costs the time-out."""
        self.clock.sleep(here.port.latency_s + here.debt_s)
        here.debt_s = 0.0
        with self.bench_lock:
            half_open = here.generation <= here.port.half_open
            if here.generation != here.port.generation and not half_open:
                return self._status(here.number, StatusCode.error_connection_lost)
            done = not half_open and action()
        if done:
            return self._status(here.number, StatusCode.success)
        self.clock.sleep(here.timeout_s)
        return self._status(here.number, StatusCode.error_timeout)

    # ---- service requests ---------------------------------------------------------------------------

    def enable_event(
        self,
        session: VISASession,
        event_type: EventType,
        mechanism: constants.EventMechanism,
        context: None = None,
    ) -> StatusCode:
        if event_type != EventType.service_request or mechanism != constants.EventMechanism.queue:
            return self._status(session, StatusCode.error_nonsupported_mechanism)
        return self._status(session, StatusCode.success)

    def disable_event(
        self, session: VISASession, event_type: EventType, mechanism: constants.EventMechanism
    ) -> StatusCode:
        return StatusCode.success

    def discard_events(
        self, session: VISASession, event_type: EventType, mechanism: constants.EventMechanism
    ) -> StatusCode:
        return StatusCode.success

    def wait_on_event(
        self, session: VISASession, in_event_type: EventType, timeout: int
    ) -> tuple[EventType, VISAEventContext, StatusCode]:
        here = self._usable(session)
        wait_s = LONGEST_WAIT_S if timeout == constants.VI_TMO_INFINITE else timeout / 1000.0
        started = self.clock.now()
        while True:
            with self.bench_lock:
                if here.generation != here.port.generation:
                    status = StatusCode.error_connection_lost
                    break
                if (here.port.status_byte() or 0) & REQUESTING_SERVICE:
                    status = StatusCode.success
                    break
            passed = self.clock.now() - started
            if passed >= wait_s:
                status = StatusCode.error_timeout
                break
            self.clock.sleep(min(max(POLL_S, passed / 100.0), wait_s - passed))
        context = VISAEventContext(next(self._handles))
        return EventType.service_request, context, self._status(session, status)

    # ---- attributes and locks -----------------------------------------------------------------------

    def get_attribute(
        self, session: Any, attribute: ResourceAttribute | EventAttribute
    ) -> tuple[Any, StatusCode]:
        here = self._sessions.get(session)
        if here is None:
            if attribute == EventAttribute.event_type:
                return EventType.service_request, StatusCode.success
            return 0, self._status(session, StatusCode.error_nonsupported_attribute)
        try:
            value = here.attributes[cast(ResourceAttribute, attribute)]
        except KeyError:
            return 0, self._status(session, StatusCode.error_nonsupported_attribute)
        return value, self._status(session, StatusCode.success)

    def set_attribute(
        self, session: VISASession, attribute: ResourceAttribute, attribute_state: Any
    ) -> StatusCode:
        here = self._session(session)
        if attribute not in here.attributes:
            return self._status(session, StatusCode.error_nonsupported_attribute)
        if attribute in READ_ONLY:
            return self._status(session, StatusCode.error_attribute_read_only)
        if not acceptable(attribute, attribute_state):
            return self._status(session, StatusCode.error_nonsupported_attribute_state)
        here.attributes[attribute] = attribute_state
        here.attributes_changed()
        return self._status(session, StatusCode.success)

    def lock(
        self, session: VISASession, lock_type: Any, timeout: int, requested_key: str | None = None
    ) -> tuple[str, StatusCode]:
        here = self._session(session)
        shared = lock_type == constants.Lock.shared
        deadline = self.clock.now() + timeout / 1000.0
        while True:
            with self.bench_lock:
                key, holders = self._locks.get(here.port, ("", []))
                others = any(number != here.number for number in holders)
                if not others or (shared and key and requested_key in (None, key)):
                    key = (key or requested_key or f"key-{here.number}") if shared else ""
                    self._locks[here.port] = (key, [*holders, here.number])
                    return key, self._status(session, StatusCode.success)
            remaining = deadline - self.clock.now()
            if remaining <= 0:
                return "", self._status(session, StatusCode.error_resource_locked)
            self.clock.sleep(min(POLL_S, remaining))

    def unlock(self, session: VISASession) -> StatusCode:
        here = self._session(session)
        with self.bench_lock:
            held = self._release(here)
        return self._status(session, StatusCode.success if held else StatusCode.error_session_not_locked)

    def _release(self, here: Session, everything: bool = False) -> bool:
        key, holders = self._locks.get(here.port, ("", []))
        if here.number not in holders:
            return False
        kept = list(holders)
        while here.number in kept:
            kept.remove(here.number)
            if not everything:
                break
        if kept:
            self._locks[here.port] = (key, kept)
        else:
            del self._locks[here.port]
        return True

    # ---- the small print ----------------------------------------------------------------------------

    def _session(self, session: Any) -> Session:
        here = self._sessions.get(session)
        if here is None:
            raise errors.VisaIOError(StatusCode.error_invalid_object)
        return here

    def _usable(self, session: VISASession) -> Session:
        """The session, if nobody else has locked its instrument."""
        here = self._sessions.get(session)
        if here is None:
            raise errors.VisaIOError(StatusCode.error_invalid_object)
        if self._locks:
            holders = self._locks.get(here.port, ("", []))[1]
            if holders and here.number not in holders:
                raise errors.VisaIOError(StatusCode.error_resource_locked)
        return here

    def _succeed(self, session: int, status: StatusCode) -> StatusCode:
        self._last_status = self._last_status_in_session[cast(VISASession, session)] = status
        return status

    def _status(self, session: int | None, status: StatusCode) -> StatusCode:
        """PyVISA's book-keeping of the last status; raises VisaIOError for errors."""
        self._last_status = status
        if session is not None:
            self._last_status_in_session[cast(VISASession, session)] = status
        if status < 0:
            raise errors.VisaIOError(status)
        return status


def _canonical(resource_name: str) -> str:
    """The address as PyVISA writes it."""
    return str(rname.parse_resource_name(resource_name))
