"""What subscribers of a run are told, always after it is safe in the file. Frozen: share them freely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hilab.engine.messages import Column
from hilab.roles import SafeReport


@dataclass(frozen=True)
class RunStarted:
    """The run file is open. parameters as the protocol took them; streams as it declared them."""

    path: Path
    protocol: str
    parameters: Mapping[str, Any]
    streams: Mapping[str, Mapping[str, Column]]


@dataclass(frozen=True)
class Rows:
    """New rows of a stream, several readings together; first_row is the number of the first one."""

    stream: str
    first_row: int
    columns: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TimeLeft:
    """Progress, with the time left in wall and bench seconds (nan while nothing is known)."""

    done: float
    total: float
    text: str
    wall_left_s: float
    bench_left_s: float


@dataclass(frozen=True)
class CheckpointStored:
    """Checkpoint number `sequence` is in the file."""

    sequence: int


@dataclass(frozen=True)
class ResultStored:
    """All results so far."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class Happened:
    """Pause, resume, abort, a dropped subscriber: kind and one sentence."""

    kind: str
    text: str


@dataclass(frozen=True)
class RunEnded:
    """The bench was made safe and the file is closed."""

    status: str
    reason: str
    safe_reports: tuple[SafeReport, ...]


Notice = RunStarted | Rows | TimeLeft | CheckpointStored | ResultStored | Happened | RunEnded
Subscriber = Callable[[Notice], object]
