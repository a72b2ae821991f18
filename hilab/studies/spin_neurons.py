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
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import hilab
from hilab.analysis.survey import Row, format_rows
from hilab.cli.output import duration, say, write_json, write_table
from hilab.cli.progress import ProgressLine
from hilab.errors import HilabError
from hilab.store import Run
from hilab.studies.controls import control_row, control_rows

SYSTEM = "spin-neurons"
OUT = Path("reproduce-out")
ARMS = (
    "software",
    "transfer_uncalibrated",
    "transfer_calibrated",
    "hil_nominal",
    "hil_calibrated_backward",
)
STATIC = {"simulation.setting": "ideal"}
"""The static world of the training study: devices differ, nothing drifts or heats."""
NARROW_M = 3e-6
ABSTRACT = "abstract: equivalent software performance; no accuracy is known"
MARGINS = {  # points below software that hilab sets itself; the paper gives no number
    "hil_calibrated_backward": 1.2,
    "hil_nominal": 3.0,
    "transfer_calibrated": 0.5,
}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    seeds: int
    survey: Mapping[str, Any]
    bias: Mapping[str, Any]
    training: Mapping[str, Any]


FULL = Size(
    4,
    {"points": 21, "trials": 100, "loop_points": 41},
    {"draws": 6, "test_images": 1000},
    # Accuracy at one sample is the mean over four samples: it estimates the same with less noise.
    {"images": 10_000, "epochs": 10, "test_images": 10_000, "epoch_test_images": 0, "samples": 4},
)
QUICK = Size(
    2,
    {"points": 13, "trials": 50, "rounds": 2, "loop_points": 25},
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
)


@dataclass(frozen=True)
class Job:
    """One training run: a seed, and which devices of the chip serve as neurons."""

    seed: int
    devices: str
    params: Mapping[str, Any]
    out: str


def reproduce(*, quick: bool, json: bool) -> int:
    """Run the study and print the published statements beside ours; returns the exit code."""
    size = QUICK if quick else FULL
    began = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    # Every seed is a chip of its own, so its wear must not be charged to one sample's budget.
    os.environ["HILAB_HOME"] = str((OUT / "home").resolve())
    rows = trend_rows(size)
    results = train_all(size)
    losses = loss_table(results)
    rows += training_rows(losses)
    if json:
        write_json({"system": SYSTEM, "rows": rows, "training": losses, "runs": results, "quick": quick})
    else:
        tell(rows, losses)
        if quick:
            write_table([["quick: too few images and seeds for a verdict on training"]])
    say(f"done in {duration(time.monotonic() - began)}; run files in {OUT}")
    return 0


# ---- trends with the width ------------------------------------------------------------------------


def trend_rows(size: Size) -> list[Row]:
    """The four trends on one chip in the default setting, and the controls that must fail."""
    with hilab.open_bench("sot_fast", seed=1) as bench:
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


def train_all(size: Size) -> list[dict[str, Any]]:
    """Every seed on the four narrowest and on all sixteen devices, two runs at a time."""
    jobs = [
        Job(seed, devices, {**size.training, "arms": list(ARMS)}, str(OUT))
        for devices in ("2 um", "all")
        for seed in range(size.seeds)
    ]
    say(f"--- hil_training: {len(jobs)} runs, seeds 0 to {size.seeds - 1}, each on a chip of its own")
    results = []
    workers = max(1, min(len(jobs), os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(train_one, job): job for job in jobs}
        for future in as_completed(futures):
            job, arms = futures[future], future.result()
            results.append({"seed": job.seed, "devices": job.devices, "arms": arms})
            shown = ", ".join(f"{name} {arm['accuracy']:.2%}" for name, arm in arms.items())
            say(f"{len(results)}/{len(jobs)}  {job.devices}, seed {job.seed}: {shown}")
    return sorted(results, key=lambda one: (one["devices"], one["seed"]))


def train_one(job: Job) -> dict[str, Any]:
    """One training run in a process of its own; returns the arms' figures."""
    overrides = {**STATIC, "simulation.sample_seed": job.seed}
    with hilab.open_bench("sot_fast", seed=job.seed, overrides=overrides) as bench:
        cards = bench.devices.items()
        devices = [name for name, card in cards if job.devices == "all" or card.width_m < NARROW_M]
        params = {**job.params, "devices": devices}
        run: Run = hilab.run("hil_training", bench, params, out=job.out, seed=job.seed)
    if run.status != "done":
        raise HilabError(f"training with seed {job.seed} ended as {run.status}; its run file is {run.path}")
    arms: dict[str, Any] = run.results["arms"]
    return arms


def loss_table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points below software of each arm and set of devices, paired over all seeds, with 95 % bounds."""
    from hilab.learning.study import paired_loss

    table = []
    for devices in dict.fromkeys(one["devices"] for one in results):
        mine = [one["arms"] for one in results if one["devices"] == devices]
        software = [arms["software"]["accuracy"] for arms in mine]
        for arm in ARMS[1:]:
            loss = paired_loss(software, [arms[arm]["accuracy"] for arms in mine])
            figures = [arms[arm] for arms in mine]
            table.append(
                {
                    "devices": devices,
                    "arm": arm,
                    "title": figures[0]["title"],
                    "software_accuracy": float(np.mean(software)),
                    **asdict(loss),
                    "device_frames": _mean(figures, "training_frames") + _mean(figures, "test_frames"),
                    "calibration_frames": _mean(figures, "calibration_frames"),
                    "bench_time_s": _mean(figures, "training_bench_time_s")
                    + _mean(figures, "test_bench_time_s"),
                }
            )
    return table


def _mean(figures: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean([one[key] for one in figures]))


def training_rows(losses: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The published statement on accuracy, and what else is told of the arms."""
    rows = []
    for entry in losses:
        margin = MARGINS.get(entry["arm"])
        where = "four devices of 2 um" if entry["devices"] == "2 um" else "all sixteen devices"
        bound = f"{entry['mean']:+.2f} points below software, 95 % bound {entry['upper']:+.2f}"
        draws = ", ".join(f"{draw:+.1f}" for draw in entry["draws"])
        rows.append(
            Row(
                claim=f"{entry['title']}, {where}"
                + (f": less than {margin} points below software" if margin else ": points below software"),
                published=ABSTRACT if entry["arm"].startswith("hil") else "not in the paper's abstract",
                ours=f"{bound} (each draw: {draws})",
                standard_error=float(entry["standard_error"]),
                holds=bool(entry["upper"] < margin) if margin else bool(entry["mean"] > 0),
            )
        )
    return rows


# ---- telling ------------------------------------------------------------------------------------------


def tell(rows: Sequence[Row], losses: Sequence[Mapping[str, Any]]) -> None:
    """The whole report on the terminal."""
    write_table([[line] for line in format_rows(rows)])
    write_table([[""]])
    write_table(
        [
            [
                entry["devices"],
                entry["title"],
                f"{entry['software_accuracy']:.2%}",
                f"{entry['mean']:+.2f}",
                f"{entry['lower']:+.2f} .. {entry['upper']:+.2f}",
                f"{entry['device_frames']:,.0f}",
                f"{entry['calibration_frames']:,.0f}",
                duration(entry["bench_time_s"]),
            ]
            for entry in losses
        ],
        (
            "devices",
            "arm",
            "software",
            "points lost",
            "one-sided 95 % bounds",
            "device frames",
            "calibration",
            "bench time",
        ),
    )
    write_table([[line] for line in plain_words(losses)])


def plain_words(losses: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where training in the loop does not beat a calibrated transfer, said plainly."""
    lines = [""]
    by_key = {(entry["devices"], entry["arm"]): entry for entry in losses}
    for devices in dict.fromkeys(entry["devices"] for entry in losses):
        transfer = by_key[devices, "transfer_calibrated"]
        for arm in ("hil_nominal", "hil_calibrated_backward"):
            looped = by_key[devices, arm]
            gain = np.array(transfer["draws"]) - np.array(looped["draws"])
            verb = "beats" if gain.mean() > 0 else "does not beat"
            lines.append(
                f"{devices}: {looped['title']} {verb} calibrated transfer: {gain.mean():+.2f} points, "
                f"for {looped['device_frames'] / transfer['device_frames']:.0f} times the device frames"
            )
    lines.append("MNIST, 784-100-10 and the devices are hilab's choice; the paper's are not known.")
    return lines
