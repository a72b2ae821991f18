"""`hilab reproduce spin-neurons`: "Hardware in Loop Learning with Spin Stochastic Neurons".

arXiv 2305.03235.

What is published: directions of four trends with the device's width, and that hardware-in-loop training
reaches "equivalent software performance". Stack, widths, fits, network, data set and accuracies are not
known, so no number here is compared with a number of the paper.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hilab
from hilab.analysis.survey import Row, format_rows
from hilab.cli.output import duration, say, write_json, write_table
from hilab.cli.progress import ProgressLine
from hilab.errors import HilabError
from hilab.store import Run
from hilab.studies.controls import control_row, control_rows
from hilab.studies.training_study import (
    DEVICE_ARMS,
    FEW_ARMS,
    SOFTWARE_ARMS,
    STUDY_SETS,
    WORLDS,
    Job,
    jobs_of,
    loss_table,
    plain_words,
    train_all,
    training_rows,
)

SYSTEM = "spin-neurons"
OUT = Path("reproduce-out")
SURVEY_BENCH = "sot_fast"
BENCH = "sot_waveform"
"""Where the networks are trained: the fastest of the embedded benches."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    seeds: int
    survey: Mapping[str, Any]
    bias: Mapping[str, Any]
    training: Mapping[str, Any]
    worlds: tuple[str, ...]
    sets: tuple[str, ...]
    arms: tuple[str, ...]
    software_arms: tuple[str, ...]
    deep: Mapping[str, Any] | None


FULL = Size(
    10,
    {"points": 21, "trials": 100, "loop_points": 41},
    {"draws": 6, "test_images": 1000},
    {
        "images": 10_000,
        "epochs": 3,
        "test_images": 10_000,
        "epoch_test_images": 0,
        "samples": 20,
        "sample_images": 250,
    },
    WORLDS,
    STUDY_SETS,
    DEVICE_ARMS,
    SOFTWARE_ARMS,
    {
        "hidden": [400, 400],
        "images": 10_000,
        "epochs": 3,
        "test_images": 10_000,
        "epoch_test_images": 0,
        "samples": 8,
    },
)
QUICK = Size(
    2,
    {"points": 13, "trials": 50, "rounds": 2, "loop_points": 41},
    {
        "absolute_a": [44e-6],
        "relative": [0.04],
        "draws": 8,
        "test_images": 200,
        "images": 3000,
        "epochs": 3,
        "trials": 50,
        "points": 13,
    },
    {
        "images": 1500,
        "epochs": 2,
        "batch_size": 25,
        "learning_rate": 3e-3,
        "test_images": 1000,
        "epoch_test_images": 0,
        "trials": 50,
    },
    ("static",),
    ("2 um", "all"),
    FEW_ARMS,
    (),
    None,
)


def reproduce(*, quick: bool, json: bool) -> int:
    """Run the study and print the published statements beside ours; returns the exit code."""
    size = QUICK if quick else FULL
    began = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    # Every seed is a chip of its own, so its wear must not be charged to one sample's budget.
    os.environ["HILAB_HOME"] = str((OUT / "home").resolve())
    rows = trend_rows(size)
    results = train(size)
    losses = loss_table([one for one in results if one["devices"] != DEEP])
    deep = next((one for one in results if one["devices"] == DEEP), None)
    rows += training_rows(losses)
    figure = OUT / "study.png"
    from hilab.studies.study_figure import draw

    draw(losses, figure)
    if json:
        document = {"system": SYSTEM, "rows": rows, "training": losses, "deep": deep, "runs": results}
        write_json({**document, "quick": quick})
    else:
        tell(rows, losses, deep)
        if quick:
            write_table([["quick: too few images and seeds for a verdict on training"]])
    say(f"done in {duration(time.monotonic() - began)}; run files in {OUT}, figure {figure}")
    return 0


# ---- trends with the width ------------------------------------------------------------------------


def trend_rows(size: Size) -> list[Row]:
    """The four trends on one chip in the default setting, and the controls that must fail."""
    with hilab.open_bench(SURVEY_BENCH, seed=1) as bench:
        survey = _run("device_survey", bench, size.survey)
        bias = _run("bias_variation", bench, {**size.bias, "kinds": ["absolute", "relative"]})
    rows: list[Row] = list(survey.results["trends"])
    rows.append(bias.results["trends"]["absolute"])
    rows += control_rows(seed=1)
    relative: Row = bias.results["trends"]["relative"]
    rows.append(control_row(relative, "bias error relative to I50 instead of absolute"))
    return rows


def _run(protocol: str, bench: Any, params: Mapping[str, Any]) -> Run:
    say(f"--- {protocol}")
    with ProgressLine() as progress:
        run: Run = hilab.run(protocol, bench, params, out=OUT, seed=1, subscribers=[progress])
    if run.status != "done":
        raise HilabError(f"{protocol} ended as {run.status}; its run file {run.path} holds what was measured")
    return run


# ---- training ---------------------------------------------------------------------------------------

DEEP = "deep"


def train(size: Size) -> list[dict[str, Any]]:
    """Every world, set of devices and seed, as many at a time as there are cores; the deep network first."""
    out = str(OUT)
    jobs = jobs_of(
        BENCH,
        range(size.seeds),
        size.training,
        out,
        worlds=size.worlds,
        sets=size.sets,
        arms=size.arms,
        software_arms=size.software_arms,
    )
    if size.deep:
        params = {**size.deep, "arms": ["software", "hil_calibrated_backward"]}
        jobs.insert(0, Job("static", DEEP, 0, BENCH, params, out))
    began = time.monotonic()
    say(f"--- hil_training: {len(jobs)} runs, seeds 0 to {size.seeds - 1}, each seed a chip of its own")

    def told(done: int, one: Mapping[str, Any]) -> None:
        left = duration((time.monotonic() - began) / done * (len(jobs) - done))
        shown = ", ".join(f"{name} {arm['accuracy']:.2%}" for name, arm in one["arms"].items())
        say(f"{done}/{len(jobs)}, {left} left  {one['world']}, {one['devices']}, seed {one['seed']}: {shown}")

    return train_all(jobs, OUT / "study.jsonl", told)


# ---- telling ------------------------------------------------------------------------------------------


def tell(rows: Sequence[Row], losses: Sequence[Mapping[str, Any]], deep: Mapping[str, Any] | None) -> None:
    """The whole report on the terminal."""
    write_table([[line] for line in format_rows(rows)])
    write_table([[""]])
    write_table(
        [_loss_row(entry) for entry in losses],
        (
            "world",
            "devices",
            "arm",
            "software",
            "points lost",
            "one-sided 95 % bounds",
            "many samples",
            "device frames",
            "calibration",
            "bench time",
        ),
    )
    if deep is not None:
        write_table([[""]])
        write_table(_deep_rows(deep), ("784-400-400-10, all sixteen", "one pass", "8 passes averaged"))
    write_table([[line] for line in plain_words(losses)])


def _loss_row(entry: Mapping[str, Any]) -> list[str]:
    many = entry["many_samples"]
    return [
        entry["world"],
        entry["devices"],
        entry["title"],
        f"{entry['software_accuracy']:.2%}",
        f"{entry['mean']:+.2f}",
        f"{entry['lower']:+.2f} .. {entry['upper']:+.2f}",
        f"{many['mean']:+.2f}",
        f"{entry['device_frames']:,.0f}",
        f"{entry['calibration_frames']:,.0f}",
        duration(entry["bench_time_s"]),
    ]


def _deep_rows(deep: Mapping[str, Any]) -> list[list[str]]:
    return [
        [arm["title"], f"{arm['accuracy']:.2%}", f"{arm['accuracy_mean']:.2%}"]
        for arm in deep["arms"].values()
    ]
