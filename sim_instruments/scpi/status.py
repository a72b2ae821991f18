"""Status registers and the error queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim_instruments.scpi.errors import TEXTS


class Register:
    """Condition, event and enable registers of one group (OPERation, MEASurement, QUEStionable)."""

    def __init__(self) -> None:
        self.condition = 0
        self.event = 0
        self.enable = 0

    def set(self, bits: int, on: bool = True) -> None:
        """Change condition bits; a bit that rises is latched in the event register."""
        before = self.condition
        self.condition = before | bits if on else before & ~bits
        self.event |= self.condition & ~before

    def latch(self, bits: int) -> None:
        """Record events that have no lasting condition."""
        self.event |= bits

    def take_event(self) -> int:
        """Read and clear the event register."""
        event, self.event = self.event, 0
        return event

    @property
    def summary(self) -> bool:
        """Whether an enabled event is recorded."""
        return bool(self.event & self.enable)

    def state(self) -> dict[str, int]:
        return {"condition": self.condition, "event": self.event, "enable": self.enable}

    def restore(self, state: Mapping[str, int]) -> None:
        self.condition, self.event, self.enable = state["condition"], state["event"], state["enable"]


class ErrorQueue:
    """Oldest first; when it is full the newest entry becomes -350 and later errors are lost."""

    def __init__(self, depth: int):
        self.depth = depth
        self._entries: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, code: int, text: str) -> None:
        if len(self._entries) < self.depth:
            self._entries.append((code, text))
        else:
            self._entries[-1] = (-350, TEXTS[-350])

    def take(self) -> tuple[int, str]:
        """The oldest entry, removed; (0, 'No error') if there is none."""
        return self._entries.pop(0) if self._entries else (0, TEXTS[0])

    def clear(self) -> None:
        self._entries.clear()

    def state(self) -> list[Any]:
        return [list(entry) for entry in self._entries]

    def restore(self, entries: list[Any]) -> None:
        self._entries = [(int(code), str(text)) for code, text in entries]
