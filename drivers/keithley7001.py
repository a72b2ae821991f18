"""Keithley 7001 switch system with multiplexer cards. Command set: bench notes 2.8."""

from __future__ import annotations

import re
from typing import Any

from pymeasure.instruments import Instrument, SCPIMixin

from drivers._link import Link, VisaDriver, ask_through
from hilab.errors import BenchError

CHANNEL = re.compile(r"\d+!\d+(?:!\d+)?")
SETTLE_S = 0.01  # a 7011 card's relays need 3 ms [R]; the cables a little more


class Keithley7001(VisaDriver, SCPIMixin, Instrument):
    """Driver `keithley7001`: switch. Channels are named as on the front panel, '1!3' is slot 1, channel 3."""

    model_pattern = "7001"
    known_options = ("cards",)
    off_commands = (":ROUT:OPEN ALL",)
    settle_s = SETTLE_S

    def open_all(self) -> None:
        """Open every relay. Sources must be off: relays are switched cold."""
        self.write(":ROUT:OPEN ALL")

    def close_channels(self, channels: tuple[str, ...]) -> None:
        """Close these channels as well (closures add up)."""
        self._refuse_wrong(channels)
        if channels:
            self.write(f":ROUT:CLOS (@{','.join(channels)})")

    def close_only(self, channels: tuple[str, ...]) -> None:
        """Open everything, close these, and let them come to rest: one message."""
        self._refuse_wrong(channels)
        closing = f";:ROUT:CLOS (@{','.join(channels)})" if channels else ""
        self.write(f":ROUT:OPEN ALL{closing}")
        self.clock.sleep(self.settle_s)

    def closed_channels(self) -> tuple[str, ...]:
        """The channels that are closed now, as the instrument reports them."""
        return tuple(CHANNEL.findall(self.ask(":ROUT:CLOS:STAT?")))

    def settings(self) -> dict[str, Any]:
        """Cards and closed channels."""
        return super().settings() | {"closed": list(self.closed_channels())}

    def _refuse_wrong(self, channels: tuple[str, ...]) -> None:
        wrong = [channel for channel in channels if not CHANNEL.fullmatch(channel)]
        if wrong:
            raise BenchError(f"{self.name}: {wrong[0]!r} is no channel; write it like '1!3' (slot!channel)")

    def _take_over(self) -> None:
        """Nothing: relays that somebody left closed are opened by the bench once its sources are off."""

    def _still_on(self, link: Link) -> str:
        closed = CHANNEL.findall(ask_through(link, ":ROUT:CLOS:STAT?"))
        return f"still closed: {', '.join(closed)}" if closed else ""
