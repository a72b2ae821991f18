"""What a protocol's generator yields to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Column:
    """One column of a stream: numpy dtype name ("f8", "u2", "S32"), unit, length of a fixed vector."""

    dtype: str = "f8"
    unit: str = ""
    length: int = 1


@dataclass(frozen=True)
class Reading:
    """Rows for one stream: each column an array of the same length (or scalars for one row).

    The engine writes and flushes them, then tells the subscribers.
    """

    stream: str
    columns: Mapping[str, ArrayLike]


@dataclass(frozen=True)
class Progress:
    """done of total (any unit), with a short text; the engine adds the time left."""

    done: float
    total: float
    text: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """Plain state (numbers, strings, bytes, lists, dicts, numpy arrays) from which steps() can go on."""

    state: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """Final figures, JSON-able; several are merged."""

    values: Mapping[str, Any]


Message = Reading | Progress | Checkpoint | Result
