"""A recorded session as a simulated bench: the instruments say again what they said, to the same messages.

Made for tests of drivers: whoever speaks to this bench must send the recorded bytes, instrument by instrument
in the recorded order. The first message that differs is kept in `differences()`, and from then on its box
does not answer. The file is the record of `hilab run --log-traffic`: one JSON object a line.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.world.clock import VirtualClock
from sim_instruments.world.contracts import FloatArray, Link, PlayTrace

Table = Mapping[str, Any]
INSTANT = Link(b"\n", 0.0, 1e12)
SHOWN = 120  # bytes of a message that a difference repeats


class Exchange(NamedTuple):
    """One line of the record: at time_s (bench time, afterwards) `kind` ("write", "answer", "clear")."""

    number: int
    time_s: float
    instrument: str
    kind: str
    data: bytes


class RecordedBench:
    """Hands out a VISA library whose instruments are recordings."""

    def __init__(self, exchanges: Sequence[Exchange], instruments: Sequence[str], report: Path | None = None):
        self.clock = VirtualClock()
        self._report = report
        self._differences: list[str] = []
        self.instruments = {
            name: RecordedInstrument(
                name, [each for each in exchanges if each.instrument == name], self.clock, self._differ
            )
            for name in instruments
        }
        self.addresses = {
            name: f"TCPIP0::{name}.recorded::inst0::INSTR".replace("_", "-") for name in instruments
        }
        self.visa_library = InProcessLibrary(
            _NoWorld(),
            self.clock,
            {self.addresses[name]: box for name, box in self.instruments.items()},
        )

    def _differ(self, text: str) -> None:
        self._differences.append(text)
        if self._report is not None:
            self._report.write_text("\n".join(self._differences), encoding="utf-8")

    def differences(self) -> list[str]:
        """What was sent otherwise than recorded, first of each instrument, and what is left at the end."""
        left = [
            f"{box.name}: exchange {box.pending[0].number} was not repeated: {_short(box.pending[0].data)}"
            for box in self.instruments.values()
            if box.pending and not box.lost
        ]
        return self._differences + left

    def snapshot(self) -> bytes:
        """A recording has no state to go back to."""
        return b""

    def restore(self, state: bytes) -> None:
        raise ValueError("a recorded session cannot be put back into an earlier state")

    def close(self) -> None:
        """Nothing outlives the object."""


class _NoWorld:
    """There is no physics behind a recording."""

    now = 0.0

    def advance(self, now: float) -> None:
        self.now = now


class RecordedInstrument:
    """One box: expects the recorded messages and gives the recorded answers at the recorded times."""

    link = INSTANT
    takes_blocks = True

    def __init__(
        self,
        name: str,
        exchanges: Sequence[Exchange],
        clock: VirtualClock,
        tell: Callable[[str], None],
    ):
        self.name = name
        self.pending = deque(exchanges)
        self.lost = False
        self._clock = clock
        self._tell = tell
        self._rest = b""  # of the recorded write that is being repeated

    def message(self, data: bytes) -> None:
        if self.lost:
            return
        if not self._rest:
            recorded = self._expect("write", data)
            if recorded is None:
                return
            self._rest = recorded.data
        if not self._rest.startswith(data):
            self._differ(f"{_short(self._rest)} was recorded, and now {_short(data)} was sent")
            return
        self._rest = self._rest[len(data) :].lstrip(b"\r\n")

    def reply(self, now: float) -> bytes | None:
        ready = self.reply_ready_s()
        if ready is None or ready > now:
            return None
        parts = []
        while self.pending and self.pending[0].kind == "answer":
            parts.append(self.pending.popleft().data)
        return b"".join(parts)

    def reply_ready_s(self) -> float | None:
        if self.lost or self._rest or not (self.pending and self.pending[0].kind == "answer"):
            return None
        return self.pending[0].time_s

    def unterminated(self) -> None:
        """Nobody asked; the recording goes on."""

    def device_clear(self) -> None:
        self._rest = b""
        self._expect("clear", b"")

    def status_byte(self) -> int:
        return 0

    def trigger(self) -> None:
        """A group trigger is not part of the record."""

    def triggered(self, line: str, times_s: FloatArray, trace: PlayTrace | None) -> None:
        """Cables are not part of the record."""

    def interrupted(self) -> None:
        """The recorded box has said what it had to say of it."""

    def advance(self, now: float) -> None:
        """Time is the recording's."""

    def power_cycle(self) -> None:
        """A recording is not switched off."""

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """See `RecordedBench.restore`."""

    def _expect(self, kind: str, data: bytes) -> Exchange | None:
        """The next recorded exchange if it is of this kind; the time is then its time."""
        if self.lost:
            return None
        if not self.pending or self.pending[0].kind != kind:
            recorded = f"a {self.pending[0].kind}" if self.pending else "nothing more"
            self._differ(f"{recorded} was recorded, and now a {kind} came: {_short(data)}")
            return None
        exchange = self.pending.popleft()
        self._clock.sleep(exchange.time_s - self._clock.now())
        return exchange

    def _differ(self, text: str) -> None:
        self.lost = True
        number = self.pending[0].number if self.pending else "the last"
        self._tell(f"{self.name}, at exchange {number}: {text}")


def build(
    *,
    instruments: Mapping[str, Table],
    wires: Sequence[Table],
    devices: Mapping[str, Table],
    field: Table,
    simulation: Table,
    seed: int,
) -> RecordedBench:
    """The bench of a record. ValueError where it cannot be read.

    simulation: bench "recorded"; traffic: path of the record; report: a file for the differences, as they are
    found. Other keys are those of the bench that was recorded.
    """
    if "traffic" not in simulation:
        raise ValueError("simulation.traffic: name the record of the session")
    path = Path(str(simulation["traffic"]))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"simulation.traffic: {path} cannot be read: {error.strerror}") from error
    report = Path(str(simulation["report"])) if "report" in simulation else None
    return RecordedBench(exchanges_of(text), tuple(instruments), report)


def exchanges_of(text: str) -> list[Exchange]:
    """The exchanges of a record. ValueError naming the line that is none."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            if entry["kind"] not in ("write", "answer", "clear"):
                continue
            data = base64.b64decode(entry["base64"]) if "base64" in entry else entry["text"].encode("latin-1")
            found.append(
                Exchange(number, float(entry["time_s"]), str(entry["instrument"]), entry["kind"], data)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"simulation.traffic: line {number} is no exchange ({error})") from error
    return found


def _short(data: bytes) -> str:
    return repr(data if len(data) <= SHOWN else data[:SHOWN] + b"...")
