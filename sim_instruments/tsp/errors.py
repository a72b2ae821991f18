"""What can go wrong inside a TSP box, and its error queue."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

QUEUE_DEPTH = 100  # [R] depth of the 2600B's error queue


class TspError(Exception):
    """Ends the script that caused it. `code` goes to the error queue with the text."""

    def __init__(self, text: str, code: int = -286):
        self.code = code
        super().__init__(text)


class ParameterError(Exception):
    """A setting the box refuses: queued, the old value stays, the script goes on [R]."""

    def __init__(self, code: int, text: str):
        self.code = code
        self.text = text
        super().__init__(text)


@dataclass(frozen=True)
class ErrorEntry:
    code: int
    text: str
    severity: int
    node: int


EMPTY = ErrorEntry(0, "Queue Is Empty", 0, 0)
OVERFLOW = ErrorEntry(-350, "Queue overflow", 20, 1)


class ErrorQueue:
    """Oldest first; when full the last entry says so. Outlives every connection."""

    def __init__(self) -> None:
        self.entries: deque[ErrorEntry] = deque()

    def put(self, code: int, text: str, severity: int = 20) -> None:
        if len(self.entries) >= QUEUE_DEPTH:
            self.entries[-1] = OVERFLOW
        else:
            self.entries.append(ErrorEntry(code, text, severity, 1))

    def next(self) -> ErrorEntry:
        return self.entries.popleft() if self.entries else EMPTY

    def clear(self) -> None:
        self.entries.clear()

    def __len__(self) -> int:
        return len(self.entries)
