"""Faults of a link that a test switches on: dropped and half-open connections, a silent box, a late reply."""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal

Moment = Literal["before", "during", "after"]


class Fate(Enum):
    """What happens to one exchange."""

    PLAIN = auto()
    DROP_BEFORE = auto()
    DROP_DURING = auto()
    DROP_AFTER = auto()
    SWALLOW = auto()
    LATE = auto()
    HALF_OPEN = auto()


_PLAIN = Fate.PLAIN
_DROPS = {"before": Fate.DROP_BEFORE, "during": Fate.DROP_DURING, "after": Fate.DROP_AFTER}


class LinkFaults:
    """What is wrong with the link of one instrument; nothing until a test arms it.

    An exchange is one program message with its reply, if it has one. `at` counts them from the moment
    of arming: 1 is the next one. The box itself goes on in every case: what it sources, it sources.
    """

    def __init__(self) -> None:
        self.exchanges = 0  # program messages that reached the link so far
        self.hung = False  # the box neither executes nor answers
        self.down = False  # nobody can connect
        self._armed: dict[int, Fate] = {}
        self._stays_down = False

    def drop(self, at: int = 1, when: Moment = "before", *, stays_down: bool = False) -> None:
        """Break every connection at the at-th exchange.

        before: the message does not arrive. during: it is executed, but its reply is lost and the
        writer is told of a failure (a socket tells it with the next read). after: the whole exchange
        comes through, then the link is dead. New connections are accepted unless stays_down.
        """
        if when not in _DROPS:
            raise ValueError(f"a link drops before, during or after an exchange, not {when!r}")
        self._arm(at, _DROPS[when])
        self._stays_down = stays_down

    def hang(self, at: int = 1) -> None:
        """From the at-th exchange on the box takes messages and does nothing; its programme plays on."""
        self._arm(at, Fate.SWALLOW)

    def late_reply(self, at: int = 1) -> None:
        """The reply to the at-th exchange arrives with the next one: the reader is one reply behind."""
        self._arm(at, Fate.LATE)

    def half_open(self, at: int = 1) -> None:
        """From the at-th exchange on the present connections lead nowhere, and nobody tells the client.

        As when a router forgets them: writes succeed, reads wait in vain, new connections are good.
        """
        self._arm(at, Fate.HALF_OPEN)

    def repair(self) -> None:
        """The link works again; what was swallowed or lost stays so."""
        self.hung = self.down = False
        self._armed.clear()

    def next_fate(self) -> Fate:
        """Count one exchange and say what becomes of it (for transports)."""
        self.exchanges += 1
        if not self._armed and not self.hung:
            return _PLAIN
        fate = self._armed.pop(self.exchanges, Fate.PLAIN)
        if fate is Fate.SWALLOW:
            self.hung = True
        elif fate in _DROPS.values():
            self.down = self._stays_down
        return Fate.SWALLOW if self.hung and fate is Fate.PLAIN else fate

    def _arm(self, at: int, fate: Fate) -> None:
        if at < 1:
            raise ValueError(f"exchanges are counted from 1, the next one; got {at}")
        self._armed[self.exchanges + at] = fate
