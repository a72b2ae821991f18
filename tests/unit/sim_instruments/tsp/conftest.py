"""A TSP box without an instrument around it."""

from __future__ import annotations

import pytest

from sim_instruments.tsp.box import TspBox


class Console:
    """Types lines and reads what comes back; time passes by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.box = TspBox(lambda: self.now, lambda: 0.5, "Keithley Instruments Inc., Model 2636B, 1, 3.0.0")
        self.box.runtime.seal()

    def __call__(self, line: str) -> list[str]:
        """Replies to one message."""
        self.box.message(line.encode("latin-1"))
        return self.replies()

    def replies(self) -> list[str]:
        found = []
        while (reply := self.box.reply()) is not None:
            found.append(reply.decode("latin-1").rstrip("\n"))
        return found

    def later(self, seconds: float) -> list[str]:
        self.now += seconds
        self.box.pump(self.now)
        return self.replies()

    def errors(self) -> list[tuple[int, str]]:
        found = [(entry.code, entry.text) for entry in self.box.errors.entries]
        self.box.errors.clear()
        return found


@pytest.fixture
def console() -> Console:
    return Console()
