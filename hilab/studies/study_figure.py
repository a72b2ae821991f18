"""The training study as a figure: points below software of every arm, by world and set of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SET_COLOURS = {"2 um": "#D55E00", "16 um": "#0072B2", "all": "#009E73"}  # Okabe-Ito
SET_MARKERS = {"2 um": "o", "16 um": "s", "all": "D"}


def draw(losses: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A PNG: one panel for each world, one line for each arm; every draw, the mean and its 90 % interval."""
    worlds = list(dict.fromkeys(one["world"] for one in losses))
    arms = {one["arm"]: one["title"] for one in losses if not one["arm"].startswith("deterministic")}
    figure = Figure(figsize=(4.4 * len(worlds) + 2.2, 1.0 + 0.5 * len(arms)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(worlds), sharey=True))
    for axes, world in zip(panels, worlds, strict=True):
        _world(axes, [one for one in losses if one["world"] == world], list(arms))
        axes.set_title(f"{world} world", fontsize=10)
        axes.set_xlabel("points below software")
    panels[0].set_yticks(range(len(arms)), list(arms.values()), fontsize=8)
    panels[0].invert_yaxis()
    panels[-1].legend(loc="lower right", fontsize=8, title="devices")
    figure.suptitle(
        "Accuracy lost against the software network, one sample, full MNIST test set", fontsize=11
    )
    figure.savefig(path, dpi=130)


def _world(axes: Axes, losses: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> None:
    sets = list(dict.fromkeys(one["devices"] for one in losses))
    for one in losses:
        if one["arm"] not in arms:
            continue
        row = arms.index(one["arm"]) + 0.22 * (sets.index(one["devices"]) - (len(sets) - 1) / 2)
        colour = SET_COLOURS[one["devices"]]
        axes.plot(one["draws"], np.full(len(one["draws"]), row), "|", color=colour, alpha=0.45, ms=7)
        label = one["devices"] if one["arm"] == arms[0] else None
        marker = SET_MARKERS[one["devices"]]
        reach = [[max(one["mean"] - one["lower"], 0.0)], [max(one["upper"] - one["mean"], 0.0)]]
        if not np.isfinite(reach).all():
            reach = [[0.0], [0.0]]
        axes.errorbar(
            [one["mean"]], [row], xerr=reach, fmt=marker, color=colour, ms=5, capsize=2, lw=1.2, label=label
        )
    axes.axvline(0.0, color="0.5", lw=0.8)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xticks([-1, 0, 1, 2, 5, 10, 20, 50], ["-1", "0", "1", "2", "5", "10", "20", "50"])
    axes.grid(axis="x", lw=0.4, alpha=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
