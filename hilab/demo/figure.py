"""The demo's figure: loops, switching curves by width, training curves, accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from hilab.analysis.switching import wilson_interval
from hilab.store import Run

# Okabe-Ito: told apart by colour-blind eyes, in this order also by their lightness.
WIDTH_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")
ARM_COLOURS = ("#000000", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#999999")
ETA_HALF = float(np.log(np.log(2.0)))


def draw(survey: Run, training: Run, path: Path) -> None:
    """Draw both runs into a PNG: loops and switching curves above, training below."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13.5, 7.6), layout="constrained")
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 0.95), hspace=0.04)[:, 0]
        colours = width_colours(survey)
        loops, curves = above.subfigures(1, 2, width_ratios=(1, 1))
        left, right = loops.subplots(1, 2)
        field_loops(left, survey, colours)
        current_loops(right, survey, colours)
        switching_curves(curves, survey, colours)
        left, right = below.subplots(1, 2)
        training_curves(left, training)
        accuracies(right, training)
        figure.suptitle(
            f"hilab demo: {len(survey.results['devices'])} simulated Hall bars, "
            "and a network whose hidden neurons they are",
            fontsize=11,
        )
        figure.savefig(path, dpi=120)


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
    axes.legend(frameon=False, title="width", loc="center", fontsize=8)


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


def switching_curves(figure: SubFigure, survey: Run, colours: Mapping[float, str]) -> None:
    """Measured probabilities with Wilson bars and fitted curves of all devices, a panel for each width."""
    panels = np.atleast_1d(figure.subplots(1, len(colours), sharey=True))
    for axes, (width, colour) in zip(panels, colours.items(), strict=True):
        for name, one in survey.results["devices"].items():
            if float(one["width_m"]) == width and "i50_a" in one:
                switching_curve(axes, survey, name, one, colour)
        axes.set(title=f"{width * 1e6:g} µm", ylim=(-0.03, 1.03))
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_ylabel("P(switch), 95 % Wilson bars")
    figure.supxlabel("write pulse (mA), 100 µs", fontsize=9)
    figure.suptitle("Switching probability, all devices of a width together", fontsize=10.5)


def switching_curve(axes: Axes, survey: Run, name: str, one: Mapping[str, Any], colour: str) -> None:
    """One device: points, bars, fit."""
    stream = survey.streams["switching"]
    mine = (stream["device"] == name.encode()) & (stream["n"] > 0)
    current_ma, n, k = stream["amplitude_a"][mine] * 1e3, stream["n"][mine], stream["k"][mine]
    low, high = wilson_interval(k, n)
    bars = [k / n - low, high - k / n]
    axes.errorbar(current_ma, k / n, bars, fmt=".", ms=3, lw=0.6, color=colour, alpha=0.6)
    fine = np.linspace(current_ma.min(), current_ma.max(), 120)
    eta = (fine * 1e-3 - one["i50_a"]) / (1.52 * one["unit_a"])
    axes.plot(fine, -np.expm1(-np.exp(ETA_HALF + eta)), lw=0.9, color=colour)


def training_curves(axes: Axes, training: Run) -> None:
    """Accuracy at one sample after each epoch, on the first test images, arm by arm."""
    stream = training.streams["accuracy"]
    images = training.parameters["epoch_test_images"]
    for number, (arm, figures) in enumerate(training.results["arms"].items()):
        mine = (stream["arm"] == arm.encode()) & (stream["final"] == 0)
        if mine.any():
            axes.plot(
                stream["epoch"][mine],
                stream["accuracy"][mine],
                "o-",
                ms=3,
                lw=1.2,
                color=ARM_COLOURS[number % len(ARM_COLOURS)],
                label=figures["title"],
            )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="accuracy, one sample", title=f"Training: first {images:,} test images")
    axes.legend(frameon=False, fontsize=8)


def accuracies(axes: Axes, training: Run) -> None:
    """Final accuracy of each arm at one sample, one seed."""
    arms = list(training.results["arms"].values())
    values: list[float] = [float(arm["accuracy"]) for arm in arms]
    places = np.arange(len(arms))
    colours = [ARM_COLOURS[number % len(ARM_COLOURS)] for number in range(len(arms))]
    axes.barh(places, values, xerr=[arm["standard_error"] for arm in arms], color=colours, height=0.6)
    for place, arm, value in zip(places, arms, values, strict=True):
        axes.text(
            value + arm["standard_error"] + 0.004, float(place), f"{value:.1%}", va="center", fontsize=8
        )
    axes.set_yticks(places, [arm["title"] for arm in arms])
    axes.invert_yaxis()
    axes.set_xlim(max(0.0, min(values) - 0.08), min(1.0, max(values) + 0.06))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(
        xlabel="test accuracy, one sample (the axis does not start at 0)",
        title=f"Final accuracy, {training.parameters['test_images']:,} test images; one seed, no verdict",
    )
