"""The demo's figure: loops, switching curves by width, training curves, accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hilab.analysis.switching import wilson_interval
from hilab.store import Run

# Okabe-Ito: told apart by colour-blind eyes, in this order also by their lightness.
WIDTH_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")
ARM_COLOURS = ("#000000", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#999999")
ETA_HALF = float(np.log(np.log(2.0)))


def draw(survey: Run, training: Run, path: Path) -> None:
    """Draw both runs into a PNG of five panels."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 7.4), layout="constrained")
        top = figure.subplots(2, 6, gridspec_kw={"height_ratios": (1, 1)})
        grid = top[0, 0].get_gridspec()
        for axes in top.ravel():
            axes.remove()
        colours = width_colours(survey)
        field_loops(figure.add_subplot(grid[0, 0:2]), survey, colours)
        current_loops(figure.add_subplot(grid[0, 2:4]), survey, colours)
        switching_curves(figure.add_subplot(grid[0, 4:6]), survey, colours)
        training_curves(figure.add_subplot(grid[1, 0:3]), training)
        accuracies(figure.add_subplot(grid[1, 3:6]), training)
        figure.suptitle(
            f"hilab demo: {len(survey.results['devices'])} simulated Hall bars, "
            "and a network whose hidden neurons they are",
            fontsize=11,
        )
        figure.savefig(path, dpi=130)


def width_colours(survey: Run) -> dict[float, str]:
    """A colour for each device width."""
    widths = sorted({float(one["width_m"]) for one in survey.results["devices"].values()})
    return {width: WIDTH_COLOURS[number % len(WIDTH_COLOURS)] for number, width in enumerate(widths)}


def first_of_each_width(survey: Run) -> dict[float, str]:
    """One device of each width, the first by name."""
    chosen: dict[float, str] = {}
    for name, one in survey.results["devices"].items():
        chosen.setdefault(float(one["width_m"]), name)
    return chosen


def field_loops(axes: Axes, survey: Run, colours: Mapping[float, str]) -> None:
    """Hall resistance against the measured field, one device of each width."""
    stream = survey.streams["field_loop"]
    for width, name in sorted(first_of_each_width(survey).items()):
        mine = stream["device"] == name.encode()
        r_hall = stream["r_hall_ohm"][mine]
        axes.plot(
            stream["field_t"][mine] * 1e3,
            r_hall - np.mean([r_hall.min(), r_hall.max()]),
            ".-",
            lw=0.9,
            ms=3,
            color=colours[width],
            label=f"{width * 1e6:g} µm",
        )
    axes.set(xlabel="perpendicular field (mT)", ylabel="Hall resistance, centred (Ω)", title="Field loops")
    axes.legend(frameon=False, title="width", loc="lower right", fontsize=8)


def current_loops(axes: Axes, survey: Run, colours: Mapping[float, str]) -> None:
    """Hall resistance after each write pulse, one device of each width."""
    stream = survey.streams["current_loop"]
    for width, name in sorted(first_of_each_width(survey).items()):
        mine = (stream["device"] == name.encode()) & (stream["branch"] != 0)
        r_hall = stream["r_hall_ohm"][mine]
        axes.plot(
            stream["write_a"][mine] * 1e3,
            r_hall - np.mean([r_hall.min(), r_hall.max()]),
            ".-",
            lw=0.9,
            ms=3,
            color=colours[width],
        )
    axes.set(xlabel="write pulse (mA), 100 µs", ylabel="Hall resistance, centred (Ω)", title="Current loops")


def switching_curves(axes: Axes, survey: Run, colours: Mapping[float, str]) -> None:
    """Measured probabilities with Wilson bars, and the fitted curves of all devices."""
    stream = survey.streams["switching"]
    for name, one in survey.results["devices"].items():
        colour = colours[float(one["width_m"])]
        mine = (stream["device"] == name.encode()) & (stream["n"] > 0)
        if "i50_a" not in one:
            continue
        current_ma = stream["amplitude_a"][mine] * 1e3
        n, k = stream["n"][mine], stream["k"][mine]
        low, high = wilson_interval(k, n)
        axes.errorbar(
            current_ma, k / n, [k / n - low, high - k / n], fmt=".", ms=3, lw=0.5, color=colour, alpha=0.55
        )
        fine = np.linspace(current_ma.min(), current_ma.max(), 120)
        eta = (fine * 1e-3 - one["i50_a"]) / (1.52 * one["unit_a"])
        axes.plot(fine, -np.expm1(-np.exp(ETA_HALF + eta)), lw=0.9, color=colour)
    axes.set_xscale("log")
    ticks = sorted(
        {round(float(one["i50_a"]) * 1e3, 1) for one in survey.results["devices"].values() if "i50_a" in one}
    )
    spread = [tick for number, tick in enumerate(ticks) if number == 0 or tick > 1.5 * ticks[number - 1]]
    axes.set_xticks(spread, [f"{tick:g}" for tick in spread])
    axes.minorticks_off()
    axes.set(
        xlabel="write pulse (mA), 100 µs",
        ylabel="P(switch)",
        title="Switching probability, 95 % Wilson bars",
        ylim=(-0.03, 1.03),
    )


def training_curves(axes: Axes, training: Run) -> None:
    """Accuracy at one sample after each epoch, arm by arm."""
    stream = training.streams["accuracy"]
    for number, arm in enumerate(arms(training)):
        mine = (stream["arm"] == arm.encode()) & (stream["samples"] == 1) & (stream["epoch"] > 0)
        if mine.sum() > 1:
            axes.plot(
                stream["epoch"][mine],
                stream["accuracy"][mine],
                "o-",
                ms=3,
                lw=1.2,
                color=ARM_COLOURS[number % len(ARM_COLOURS)],
                label=arm,
            )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="epoch", ylabel="test accuracy, one sample", title="Training")
    axes.legend(frameon=False, fontsize=8)


def accuracies(axes: Axes, training: Run) -> None:
    """Final accuracy of each arm at one sample, one seed."""
    names = arms(training)
    values: list[Any] = [training.results["arms"][name]["accuracy"] for name in names]
    places = np.arange(len(names))
    axes.barh(
        places, values, color=[ARM_COLOURS[n % len(ARM_COLOURS)] for n in range(len(names))], height=0.6
    )
    for place, value in zip(places, values, strict=True):
        axes.text(value + 0.004, float(place), f"{value:.1%}", va="center", fontsize=8)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(max(0.0, min(values) - 0.08), min(1.0, max(values) + 0.06))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(
        xlabel="test accuracy, one sample (axis does not start at 0)",
        title="Final accuracy, one seed: no verdict",
    )


def arms(training: Run) -> list[str]:
    """The arms in the order they were run."""
    return list(training.results["arms"])
