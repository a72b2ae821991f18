"""The wire to one instrument, and what every driver shares: lock, time-outs, errors in words, safe state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pyvisa
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments import Instrument

from hilab.errors import BenchError
from hilab.roles import Clock, Identity, SafeReport

ANSWER_S = 2.0  # time-out of an ordinary query
SAFE_ANSWER_S = 0.2  # time-out of a query while the box is made safe
SAFE_LOCK_S = 0.5  # how long make_safe waits for whoever speaks to the box
OPEN_S = 0.3  # time-out for opening a session of its own out of band
MAX_ERRORS = 50  # no error queue is longer; protects against a box that repeats itself

LINK_ERRORS = (BenchError, pyvisa.errors.Error, OSError, ValueError)

Exchange = Callable[[str, bytes], None]
"""Told of every exchange before it happens: ("write" | "read" | "clear", payload; empty for a read)."""


class Link(VISAAdapter):
    """PyMeasure's VISA adapter with one lock, an exchange hook and errors that say what, where and how.

    The lock is held for one message and its reply and never while waiting for a programme.
    visa_library: None (the system's VISA), a choice such as "@py", or a library object.
    """

    def __init__(
        self,
        address: Any,
        name: str,
        visa_library: Any = None,
        terminator: str = "\n",
        open_s: float | None = None,
    ):
        self.name = name
        self.address = str(address)
        self.visa_library = visa_library
        self.terminator = terminator
        self.lock = threading.RLock()
        self.hook: Exchange | None = None
        self.answer_s = ANSWER_S
        self.closed = False
        settings: dict[str, Any] = {"read_termination": terminator, "write_termination": terminator}
        if open_s is not None:
            settings["open_timeout"] = int(1000 * open_s)
        with self._in_words("could not be opened"):
            super().__init__(address, visa_library or "", timeout=int(1000 * ANSWER_S), **settings)

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

    def close(self) -> None:
        """Close the session; a second call does nothing."""
        if not getattr(self, "closed", True):
            self.closed = True
            super().close()

    def read_block(self, count: int) -> bytes:
        """The body of an indefinite-length block: '#0', count bytes, terminator."""
        raw = bytes(self.read_bytes(count + 2 + len(self.terminator)))
        if raw[:2] != b"#0" or not raw.endswith(self.terminator.encode()):
            raise BenchError(
                f"{self.name} at {self.address} sent something else than the expected block of {count} "
                f"bytes (it starts with {raw[:20]!r}): read its error queue and start it again"
            )
        return raw[2:-1]

    def _write(self, command: str, **kwargs: Any) -> None:
        with self.lock, self._in_words(f"did not take {_short(command)!r}"):
            if self.hook is not None:
                self.hook("write", command.encode())
            self.connection.write(command, **kwargs)

    def _write_bytes(self, content: bytes, **kwargs: Any) -> None:
        with self.lock, self._in_words(f"did not take {len(content)} bytes"):
            if self.hook is not None:
                self.hook("write", content)
            self.connection.write_raw(content, **kwargs)

    def _read(self, **kwargs: Any) -> str:
        with self.lock, self._in_words(f"did not answer within {self.answer_s:g} s"):
            if self.hook is not None:
                self.hook("read", b"")
            return str(self.connection.read(**kwargs))

    def _read_bytes(self, count: int, break_on_termchar: bool = False, **kwargs: Any) -> bytes:
        with self.lock, self._in_words(f"did not send {count} bytes within {self.answer_s:g} s"):
            if self.hook is not None:
                self.hook("read", b"")
            return bytes(super()._read_bytes(count, break_on_termchar, **kwargs))

    def _set_timeout(self, seconds: float) -> None:
        self.answer_s = seconds
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

    def close(self) -> None:
        """Close the session. What the box sources goes on: make it safe before."""
        self.link.close()

    # ---- Output (drivers that can put energy into the bench) -------------------------------------

    def make_safe(self) -> SafeReport:
        """Everything off and verified, whatever another thread is doing; never raises, 1.5 s at most."""
        got_lock = self.link.lock.acquire(timeout=SAFE_LOCK_S)
        try:
            self._taken_over = True
            if not got_lock:
                return self._safe_out_of_band()
            with suppress(*LINK_ERRORS):
                report = self._safe_through(self.link)
                if report.verified:
                    return report
            return self._safe_through(self.link)
        except LINK_ERRORS as error:
            return SafeReport(self.name, False, _short(str(error), 200))
        finally:
            if got_lock:
                self.link.lock.release()

    def verify_safe(self) -> bool:
        """Read back that everything is off; False also when nobody answers."""
        try:
            with self.link.lock, self.link.answers_within(SAFE_ANSWER_S):
                return not self._still_on(self.link)
        except LINK_ERRORS:
            return False

    def _safe_through(self, link: Link) -> SafeReport:
        with link.answers_within(SAFE_ANSWER_S):
            with suppress(*LINK_ERRORS):  # an answer may be half read or late: nobody must take it for ours
                link.device_clear()
            self._switch_off(link)
            still_on = self._still_on(link)
        return SafeReport(self.name, not still_on, still_on or "off, read back")

    def _safe_out_of_band(self) -> SafeReport:
        """Somebody holds the lock and does not let go: clear the box, speak through another session."""
        spare = Link(self.link.address, self.name, self.link.visa_library, self.link.terminator, OPEN_S)
        spare.hook = self.link.hook
        try:
            return self._safe_through(spare)
        finally:
            spare.close()

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
