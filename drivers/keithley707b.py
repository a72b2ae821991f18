"""Keithley 707B switching matrix (TSP). Command set: bench notes 2.8."""

from __future__ import annotations

import re
from typing import Any

from pymeasure.instruments import Instrument, SCPIMixin

from drivers._link import MAX_ERRORS, Link, VisaDriver, ask_through
from hilab.errors import BenchError

CHANNEL = re.compile(r"[1-6][A-H]\d\d")
SETTLE_S = 0.01  # two times 5 ms: the box opens all old relays before it closes a new one
CLOSED = 'print(channel.getclose("allslots"))'


class Keithley707B(VisaDriver, SCPIMixin, Instrument):
    """Driver `keithley707b`: switch. Channels are crosspoints, '1A03' is slot 1, row A, column 3.

    A command that moves relays ends when they have settled, so the answer that follows it says so.
    """

    model_pattern = "707B"
    known_options = ("cards",)
    off_commands = ('channel.open("allslots")',)
    settle_s = SETTLE_S

    def open_all(self) -> None:
        """Open every relay. Sources must be off: relays are switched cold."""
        self.write('channel.open("allslots")')

    def close_channels(self, channels: tuple[str, ...]) -> None:
        """Close these crosspoints as well (closures add up)."""
        if channels:
            self.write(f'channel.close("{self._list(channels)}")')

    def close_only(self, channels: tuple[str, ...]) -> None:
        """Exactly these crosspoints are closed, read back, and at rest: one message and its answer."""
        answer = self.ask(f'channel.exclusiveclose("{self._list(channels)}") {CLOSED}')
        closed = CHANNEL.findall(answer)
        if set(closed) != set(channels):
            raise BenchError(
                f"{self.name}: asked to close {', '.join(channels) or 'nothing'}, it reports "
                f"{', '.join(closed) or 'nothing'} ({'; '.join(self.check_errors()) or 'no error queued'}): "
                "check the cards in its slots"
            )

    def closed_channels(self) -> tuple[str, ...]:
        """The crosspoints that are closed now, as the instrument reports them."""
        return tuple(CHANNEL.findall(self.ask(CLOSED)))

    def check_errors(self) -> list[str]:
        """Drain the error queue (it survives reconnects); [] when it is empty."""
        found = []
        for _ in range(min(int(self.number("print(errorqueue.count)")), MAX_ERRORS)):
            code, _tab, text = self.ask("print(errorqueue.next())").strip().partition("\t")
            found.append(f"{int(float(code))}, {text.split(chr(9))[0]}")
        return found

    def settings(self) -> dict[str, Any]:
        """Cards and closed crosspoints."""
        return super().settings() | {"closed": list(self.closed_channels())}

    def _list(self, channels: tuple[str, ...]) -> str:
        wrong = [channel for channel in channels if not CHANNEL.fullmatch(channel)]
        if wrong:
            raise BenchError(
                f"{self.name}: {wrong[0]!r} is no crosspoint; write it like '1A03' (slot, row, column)"
            )
        return ",".join(channels)

    def _take_over(self) -> None:
        """Nothing: relays that somebody left closed are opened by the bench once its sources are off."""

    def _still_on(self, link: Link) -> str:
        closed = CHANNEL.findall(ask_through(link, CLOSED))
        return f"still closed: {', '.join(closed)}" if closed else ""
