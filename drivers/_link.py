"""The wire to one instrument, and what every driver shares: lock, time-outs, errors in words, safe state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pyvisa
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments import Instrument
from pyvisa.constants import ResourceAttribute

from hilab.errors import BenchError
from hilab.roles import Clock, Identity, SafeReport

ANSWER_S = 2.0  # time-out of an ordinary query
SAFE_ANSWER_S = 0.2  # time-out of a query while the box is made safe
SAFE_LOCK_S = 0.5  # how long make_safe waits for whoever speaks to the box
OPEN_S = 0.3  # time-out for opening a session of its own out of band
CHUNK = 1 << 20  # bytes that one read of the session may bring: a whole answer, not its 20 kB parts
MAX_ERRORS = 50  # no error queue is longer; protects against a box that repeats itself

LINK_ERRORS = (BenchError, pyvisa.errors.Error, OSError, ValueError)

Exchange = Callable[[str, bytes], None]
"""Told of every exchange before it happens: ("write" | "read" | "clear", payload; empty for a read)."""

Record = Callable[[str, bytes], None]
"""Told of every exchange after it happened: ("write" | "answer" | "clear", the bytes on the wire)."""


class Link(VISAAdapter):
    """PyMeasure's VISA adapter with one lock, an exchange hook and errors that say what, where and how.

    The lock is held for one message and its reply and never while waiting for a programme.
    visa_library: None (the system's VISA), a choice such as "@py", or a library object.
    """

    connection: Any

    def __init__(
        self,
        address: Any,
        name: str,
        visa_library: Any = None,
        terminator: str = "\n",
        open_s: float | None = None,
    ):
        self.name = name
        self.resource = address
        self.address = str(address)
        self.visa_library = visa_library
        self.terminator = terminator
        self.lock = threading.RLock()
        self.hook: Exchange | None = None
        self.record: Record | None = None
        self.answer_s = ANSWER_S
        self.closed = False
        self._owed = (
            False  # an answer did not come: it may still come, and must not be taken for the next one
        )
        settings: dict[str, Any] = {"read_termination": terminator, "write_termination": terminator}
        if open_s is not None:
            settings["open_timeout"] = int(1000 * open_s)
        with self._in_words("could not be opened"):
            super().__init__(address, visa_library or "", timeout=int(1000 * ANSWER_S), **settings)
            self.connection.chunk_size = CHUNK

    @contextmanager
    def answers_within(self, seconds: float) -> Iterator[None]:
        """Another time-out (s) for the reads of this block."""
        before = self.answer_s
        self._set_timeout(seconds)
        try:
            yield
        finally:
            self._set_timeout(before)

    def device_clear(self) -> None:
        """Forget what the box was about to say and what it was being told (IEEE 488.1 clear)."""
        with self.lock, self._in_words("did not take a device clear"):
            if self.hook is not None:
                self.hook("clear", b"")
            self.connection.clear()
            self._owed = False
            if self.record is not None:
                self.record("clear", b"")

    def close(self) -> None:
        """Close the session; a second call does nothing."""
        if not getattr(self, "closed", True):
            self.closed = True
            super().close()

    def swap(self, other: Link) -> None:
        """Exchange sessions with another link to the same address (this one's is dead)."""
        self.connection, other.connection = other.connection, self.connection
        self._owed = False

    def read_block(self, count: int) -> bytes:
        """The body of an indefinite-length block: '#0', count bytes, terminator."""
        with self._any_byte():
            raw = bytes(self.read_bytes(count + 2 + len(self.terminator)))
        if raw[:2] != b"#0" or not raw.endswith(self.terminator.encode()):
            raise BenchError(
                f"{self.name} at {self.address} sent something else than the expected block of {count} "
                f"bytes (it starts with {raw[:20]!r}): read its error queue and start it again"
            )
        return raw[2:-1]

    @contextmanager
    def _any_byte(self) -> Iterator[None]:
        """In binary data a byte that looks like the terminator ends nothing: one read instead of hundreds."""
        with self.lock, self._in_words("did not take a setting of its session"):
            self.connection.set_visa_attribute(ResourceAttribute.termchar_enabled, False)
        try:
            yield
        finally:
            with suppress(pyvisa.errors.Error):  # of a dead session it does not matter
                self.connection.set_visa_attribute(ResourceAttribute.termchar_enabled, True)

    def _write(self, command: str, **kwargs: Any) -> None:
        with self.lock, self._in_words(f"did not take {_short(command)!r}"):
            if self._owed:
                self.device_clear()
            if self.hook is not None:
                self.hook("write", command.encode())
            self.connection.write(command, **kwargs)
            if self.record is not None:
                self.record("write", f"{command}{self.terminator}".encode())

    def _write_bytes(self, content: bytes, **kwargs: Any) -> None:
        with self.lock, self._in_words(f"did not take {len(content)} bytes"):
            if self.hook is not None:
                self.hook("write", content)
            self.connection.write_raw(content, **kwargs)
            if self.record is not None:
                self.record("write", bytes(content))

    def _read(self, **kwargs: Any) -> str:
        with self.lock, self._in_words(f"did not answer within {self.answer_s:g} s"):
            if self.hook is not None:
                self.hook("read", b"")
            self._owed = True
            answer = str(self.connection.read(**kwargs))
            self._owed = False
            if self.record is not None:
                self.record("answer", f"{answer}{self.terminator}".encode())
            return answer

    def _read_bytes(self, count: int, break_on_termchar: bool = False, **kwargs: Any) -> bytes:
        with self.lock, self._in_words(f"did not send {count} bytes within {self.answer_s:g} s"):
            if self.hook is not None:
                self.hook("read", b"")
            self._owed = True
            content = bytes(super()._read_bytes(count, break_on_termchar, **kwargs))
            self._owed = False
            if self.record is not None:
                self.record("answer", content)
            return content

    def _set_timeout(self, seconds: float) -> None:
        self.answer_s = seconds
        with suppress(pyvisa.errors.Error):  # of a dead session it does not matter
            self.connection.timeout = int(1000 * seconds)

    @contextmanager
    def _in_words(self, trouble: str) -> Iterator[None]:
        try:
            yield
        except (pyvisa.errors.Error, OSError, ValueError) as error:
            raise BenchError(
                f"{self.name} at {self.address} {trouble} ({_short(str(error), 120)}): "
                "check its power, its cable and the address in the bench file"
            ) from error


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


class _Attempt(NamedTuple):
    """A report, or why there is none: nobody could be reached."""

    report: SafeReport | None
    trouble: str


class VisaDriver(Instrument):
    """Base of every driver here, in front of PyMeasure's class of the instrument.

    Opening sends nothing. The first command that is not an identification is preceded by `_take_over`,
    which forces the output off, because nobody knows what the box was doing.
    """

    name: str
    model_pattern: str = ""
    terminator: str = "\n"
    known_options: tuple[str, ...] = ()
    off_commands: tuple[str, ...] = ()
    message_s: float = 5e-3  # cost of one message on the bench's clock; measured by `identify`

    # PyMeasure looks at every attribute in Python, only to hide limits of dynamic properties from reading.
    __getattribute__ = object.__getattribute__

    def __init__(
        self,
        address: Any,
        *,
        name: str,
        visa_library: Any = None,
        clock: Clock,
        options: Mapping[str, Any] | None = None,
    ):
        self._taken_over = False
        self.clock = clock
        self.bench_options = dict(options or {})
        unknown = sorted(set(self.bench_options) - set(self.known_options))
        if unknown:
            known = ", ".join(self.known_options) or "none"
            raise BenchError(
                f"{name}: unknown option {', '.join(unknown)}; {type(self).__name__} knows: {known}"
            )
        self.link = Link(address, name, visa_library, self.terminator)
        self._start(name)

    def _start(self, name: str) -> None:
        """PyMeasure's own constructor, on our link."""
        super().__init__(self.link, name)

    # ---- speaking -------------------------------------------------------------------------------

    def write(self, command: str, **kwargs: Any) -> None:
        """Send one command; the very first one is preceded by what forces the output off."""
        if not self._taken_over and not command.startswith("*IDN"):
            self._taken_over = True
            self._take_over()
        self.link.write(command, **kwargs)

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a query and return its answer as one exchange under the lock."""
        with self.link.lock:
            self.write(command)
            if query_delay:
                self.clock.sleep(query_delay)
            return str(self.link.read())

    def number(self, command: str) -> float:
        """The answer of a query as a number; BenchError if it is none."""
        answer = self.ask(command)
        try:
            return float(answer)
        except ValueError:
            raise BenchError(
                f"{self.name}: {command!r} was answered with {_short(answer)!r} instead of a number; "
                "another program may be speaking to it"
            ) from None

    def _take_over(self) -> None:
        for command in self.off_commands:
            self.link.write(command)

    # ---- Instrument -----------------------------------------------------------------------------

    def identify(self) -> Identity:
        """Who answers at the address (maker, model, serial number, firmware)."""
        start = self.clock.now()
        fields = [field.strip() for field in self.ask("*IDN?").split(",")]
        self.message_s = self.clock.now() - start
        maker, model, serial, *rest = [*fields, "", "", ""]
        return Identity(maker, model, serial, ",".join(rest).strip(", "))

    def check_errors(self) -> list[str]:
        """Drain the error queue; [] when it is empty."""
        found = []
        for _ in range(MAX_ERRORS):
            answer = self.ask("SYST:ERR?").strip()
            if answer.split(",")[0].strip() in ("0", "+0"):
                break
            found.append(answer)
        return found

    def settings(self) -> dict[str, Any]:
        """Present settings for the run file, as plain values."""
        return {"address": self.link.address, **self.bench_options}

    def record_traffic(self, told: Record | None) -> None:
        """Tell this of every exchange from now on, with the bytes on the wire; None for nobody."""
        self.link.record = told

    def close(self) -> None:
        """Close the session. What the box sources goes on: make it safe before."""
        self.link.close()

    # ---- Output (drivers that can put energy into the bench) -------------------------------------

    def make_safe(self) -> SafeReport:
        """Everything off and verified, whatever another thread is doing; never raises, 1.5 s at most."""
        self._taken_over = True
        return self._reach(self._off_and_look, tries=2)

    def verify_safe(self) -> bool:
        """Read back that everything is off; False also when nobody answers."""
        return self._reach(self._look, tries=1).verified

    def _reach(self, action: Callable[[Link], SafeReport], tries: int) -> SafeReport:
        """Do it through the driver's session, or through a new one where that is dead or held by somebody.

        tries: how often the box is told when it answers that something is still on.
        """
        got_lock = self.link.lock.acquire(timeout=SAFE_LOCK_S)
        try:
            first = self._attempt(action, self.link) if got_lock else _Attempt(None, "somebody speaks to it")
            if first.report is not None and (first.report.verified or tries == 1):
                return first.report
            second = self._through_new_session(action, adopt=got_lock)
            return (
                second.report or first.report or SafeReport(self.name, False, second.trouble or first.trouble)
            )
        finally:
            if got_lock:
                self.link.lock.release()

    def _through_new_session(self, action: Callable[[Link], SafeReport], adopt: bool) -> _Attempt:
        """With adopt the driver goes on with the new session if somebody answers there."""
        try:
            spare = Link(self.link.resource, self.name, self.link.visa_library, self.link.terminator, OPEN_S)
        except LINK_ERRORS as error:
            return _Attempt(None, _short(str(error), 200))
        spare.hook, spare.record = self.link.hook, self.link.record
        attempt = self._attempt(action, spare)
        if adopt and attempt.report is not None:
            self.link.swap(spare)
        with suppress(*LINK_ERRORS):
            spare.close()
        return attempt

    def _attempt(self, action: Callable[[Link], SafeReport], link: Link) -> _Attempt:
        try:
            with link.answers_within(SAFE_ANSWER_S):
                return _Attempt(action(link), "")
        except LINK_ERRORS as error:
            return _Attempt(None, _short(str(error), 200))

    def _off_and_look(self, link: Link) -> SafeReport:
        with suppress(*LINK_ERRORS):  # an answer may be half read or late: nobody must take it for ours
            link.device_clear()
        self._switch_off(link)
        return self._look(link)

    def _look(self, link: Link) -> SafeReport:
        still_on = self._still_on(link)
        return SafeReport(self.name, not still_on, still_on or "off, read back")

    def _switch_off(self, link: Link) -> None:
        for command in self.off_commands:
            link.write(command)

    def _still_on(self, link: Link) -> str:
        """What is still on, in words; '' if nothing is. Speaks through `link` only."""
        raise NotImplementedError


def ask_through(link: Link, query: str) -> str:
    """A query through this very link (the driver's own or a spare one)."""
    with link.lock:
        link.write(query)
        return str(link.read()).strip()
