"""The record of every exchange with the instruments: written line by line, read again, replayed.

One JSON object a line. The first ("session") holds the bench file and the seed; "run" what was run; "write",
"answer" and "clear" the bytes that went over the wire, with the time on the bench's clock after them. Bytes
that are printable stand as text, others in base64.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hilab.errors import BenchError, UsageError
from hilab.roles import Clock

log = logging.getLogger(__name__)

FORMAT = 1
EXCHANGES = ("write", "answer", "clear")


class TrafficLog:
    """Writes the record; told by the links of all instruments, from any thread. BenchError if it cannot."""

    def __init__(self, path: str | Path, clock: Clock, session: Mapping[str, Any]):
        self.path = Path(path)
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise BenchError(f"the traffic cannot be logged to {path}: {error.strerror}") from error
        self.note("session", format=FORMAT, **session)

    def attach(self, name: str, driver: Any) -> None:
        """Listen to a driver; one whose exchanges cannot be heard is named in the record and in the log."""
        if not hasattr(driver, "record_traffic"):
            log.warning("the traffic of %s is not logged: its driver has no record_traffic", name)
            self.note("unheard", who=name)
            return
        driver.record_traffic(lambda kind, data: self._exchange(name, kind, data))

    def note(self, kind: str, **values: Any) -> None:
        """A line that is no exchange: "session", "run", "end"."""
        self._line({"kind": kind, "time_s": self._clock.now(), "unix_s": time.time(), **values})

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _exchange(self, name: str, kind: str, data: bytes) -> None:
        self._line(
            {
                "time_s": self._clock.now(),
                "unix_s": time.time(),
                "instrument": name,
                "kind": kind,
                **as_json(data),
            }
        )

    def _line(self, values: Mapping[str, Any]) -> None:
        text = json.dumps(values)
        with self._lock:
            if not self._file.closed:
                self._file.write(text + "\n")


def as_json(data: bytes) -> dict[str, str]:
    """{"text": ...} for printable bytes, else {"base64": ...}."""
    text = data.decode("ascii", errors="replace")
    if text.isascii() and text.rstrip("\r\n").isprintable():
        return {"text": text}
    return {"base64": base64.b64encode(data).decode()}


def read_traffic(path: str | Path) -> list[dict[str, Any]]:
    """All lines of a record. UsageError where it is none; a last line cut off by a kill is left away."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the record {path} cannot be read: {getattr(error, 'strerror', error)}") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):
                break
            raise UsageError(f"{path}, line {number}: no line of a traffic record") from None
        if not isinstance(entry, dict) or "kind" not in entry:
            raise UsageError(f"{path}, line {number}: no line of a traffic record")
        entries.append(entry)
    if not entries or entries[0].get("kind") != "session":
        raise UsageError(f"{path} is no traffic record (made by: hilab run ... --log-traffic FILE)")
    return entries


def exchanges_in_order(entries: Iterable[Mapping[str, Any]]) -> list[tuple[float, str, str, bytes]]:
    """(time_s, instrument, kind, bytes) of every exchange, as they happened."""
    return [
        (float(entry["time_s"]), str(entry["instrument"]), str(entry["kind"]), bytes_of(entry))
        for entry in entries
        if entry["kind"] in EXCHANGES
    ]


def bytes_of(entry: Mapping[str, Any]) -> bytes:
    """The bytes of one exchange."""
    if "base64" in entry:
        return base64.b64decode(entry["base64"])
    return str(entry.get("text", "")).encode("ascii")
