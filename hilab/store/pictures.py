"""A sensible first picture of a stream, drawn without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hilab.store.reader import Run, Stream

# First match wins: what is drawn against what, with the error bar's ends where a stream has them.
PAIRS = (
    ("amplitude_a", "p_switch"),
    ("reset_a", "p_reset"),
    ("field_t", "r_hall_ohm"),
    ("current_a", "r_hall_ohm"),
    ("pulse_a", "r_hall_ohm"),
    ("width_s", "p_switch"),
    ("epoch", "accuracy"),
)
GROUPS = ("device", "arm", "width_m", "seed")
GROUPS_MAX = 16
POINTS_MAX = 20_000
LOOPS = frozenset({"field_t", "current_a", "pulse_a"})


def draw_stream(run: Run, stream: Stream, path: Path) -> bool:
    """Draw the stream into a PNG file; False if it holds nothing to draw."""
    pair = chosen_pair(stream)
    if pair is None or stream.rows == 0:
        return False
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label, mine in _groups(stream):
        _draw(axes, stream, pair, mine, label)
    axes.set_xlabel(_label(stream, pair[0]) if pair[0] else "row")
    axes.set_ylabel(_label(stream, pair[1]))
    axes.set_title(f"{run.protocol}: {stream.name}  {run.sample}", parse_math=False, fontsize=10)
    if len(axes.lines) > 1:
        axes.legend(fontsize=7, ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    return True


def chosen_pair(stream: Stream) -> tuple[str, str] | None:
    """(x, y) columns of the picture; x is "" where rows are simply counted."""
    for pair in PAIRS:
        if all(name in stream.units for name in pair):
            return pair
    numeric = [name for name, values in stream.items() if values.ndim == 1 and values.dtype.kind in "iuf"]
    quantities = [name for name in numeric if name not in GROUPS]
    if len(quantities) >= 2:
        return quantities[0], quantities[1]
    return ("", quantities[0]) if quantities else None


def _groups(stream: Stream) -> list[tuple[str, NDArray[np.bool_]]]:
    """One curve for each device (or arm, ...), up to a number that can be told apart."""
    for name in GROUPS:
        if name in stream.units and stream[name].ndim == 1:
            values = np.unique(stream[name])
            if 1 < len(values) <= GROUPS_MAX:
                return [(_text(value), stream[name] == value) for value in values]
    return [("", np.ones(stream.rows, dtype=bool))]


def _draw(axes: Any, stream: Stream, pair: tuple[str, str], mine: NDArray[np.bool_], label: str) -> None:
    y = stream[pair[1]][mine]
    x = stream[pair[0]][mine] if pair[0] else np.arange(len(y))
    if pair[0] not in LOOPS:
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    step = max(1, len(y) // POINTS_MAX)
    axes.plot(x[::step], y[::step], ".-", markersize=4, linewidth=0.8, label=label.replace("_", " ") or None)


def _label(stream: Stream, name: str) -> str:
    unit = stream.units[name]
    return f"{name} ({unit})" if unit else name


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else f"{value:g}"
