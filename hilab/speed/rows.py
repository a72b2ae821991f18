"""One line of the table of speeds, and how things are timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds that the best and the median of several rounds took."""

    best_s: float
    median_s: float


def timed(work: Callable[[], Any], rounds: int) -> Timing:
    """Do it once for everything that is done only once, then time it `rounds` times."""
    work()
    return timed_hot(work, rounds)


def timed_hot(work: Callable[[], Any], rounds: int) -> Timing:
    """Time what is warm already."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return Timing(min(taken), statistics.median(taken))


@dataclass(frozen=True)
class Row:
    """What was measured: ours and the peer's figure in the same unit, measured in the same run.

    bar: what is asked of ours, or of the ratio where bar_on is "ratio"; at_most: smaller is better.
    ours None: not measured, `how` says why. The ratio is how many times better ours is than the peer's.
    """

    what: str
    ours: float | None
    unit: str
    bar: float
    how: str
    peer: float | None = None
    peer_name: str = ""
    bar_on: str = "ours"
    at_most: bool = False

    @property
    def ratio(self) -> float | None:
        if self.ours is None or self.peer is None or not self.ours or not self.peer:
            return None
        return self.peer / self.ours if self.at_most else self.ours / self.peer

    @property
    def met(self) -> bool | None:
        """Is the bar met? None where nothing was measured."""
        value = self.ratio if self.bar_on == "ratio" else self.ours
        if value is None:
            return None
        return value <= self.bar if self.at_most and self.bar_on == "ours" else value >= self.bar

    def document(self) -> dict[str, Any]:
        """For JSON."""
        names = (
            "what",
            "ours",
            "unit",
            "peer",
            "peer_name",
            "ratio",
            "bar",
            "bar_on",
            "at_most",
            "met",
            "how",
        )
        return {name: getattr(self, name) for name in names}


def unmeasured(what: str, unit: str, bar: float, why: str, **others: Any) -> Row:
    """A row without a figure, and why."""
    return Row(what, None, unit, bar, why, **others)
