"""`hilab demo`: contacts, survey, fits and training on the embedded bench; one figure, one table."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hilab
from hilab.cli.output import duration, say, write_table
from hilab.cli.progress import ProgressLine
from hilab.errors import HilabError
from hilab.store import Run

SEED = 1
BENCH = "sot_waveform"
ARMS = (
    "software",
    "transfer_uncalibrated",
    "transfer_calibrated",
    "hil_nominal",
    "hil_calibrated_backward",
)


@dataclass(frozen=True)
class Size:
    """How much the demo measures."""

    survey: Mapping[str, Any]
    training: Mapping[str, Any]


FULL = Size(
    {"loop_points": 41, "points": 21, "trials": 100, "rounds": 5},
    {"images": 60_000, "epochs": 3, "test_images": 10_000, "epoch_test_images": 1000},
)
QUICK = Size(
    {"loop_points": 25, "points": 13, "trials": 40, "rounds": 2},
    {
        "images": 2_000,
        "epochs": 3,
        "batch_size": 25,
        "learning_rate": 3e-3,
        "test_images": 1000,
        "epoch_test_images": 200,
        "trials": 40,
    },
)


def run_demo(*, quick: bool, out: Path) -> int:
    """Run the demo into the folder `out`; returns the exit code."""
    size = QUICK if quick else FULL
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    # The demo's chip is a new one each time: its wear must not eat into anybody's budget.
    os.environ["HILAB_HOME"] = str((out / "home").resolve())
    with hilab.open_bench(BENCH, seed=SEED) as bench:
        say(f"bench {bench.name}, sample {bench.sample}, {len(bench.devices)} devices, simulated")
        contacts = _run("contact_check", bench, {}, out)
        survey = _run("device_survey", bench, size.survey, out)
        narrow = [name for name, card in bench.devices.items() if card.width_m < 3e-6]
        training = _run("hil_training", bench, {**size.training, "devices": narrow, "arms": list(ARMS)}, out)
    _tell(contacts, survey, training)
    from hilab.demo.figure import draw

    picture = out / "demo.png"
    draw(survey, training, picture)
    for run in (contacts, survey, training):
        say(f"run file {run.path}")
    say(f"figure   {picture}")
    say(f"done in {duration(time.monotonic() - began)}")
    return 0


def _run(protocol: str, bench: Any, params: Mapping[str, Any], out: Path) -> Run:
    say(f"--- {protocol}")
    with ProgressLine() as progress:
        run: Run = hilab.run(protocol, bench, params, out=out, seed=SEED, subscribers=[progress])
    if run.status != "done":
        raise HilabError(f"{protocol} ended as {run.status}; its run file {run.path} holds what was measured")
    return run


def _tell(contacts: Run, survey: Run, training: Run) -> None:
    good = contacts.results
    write_table([[f"contacts: {good['ok']} of {good['devices']} devices ok"]])
    write_table([[""]])
    write_table(
        _width_rows(survey), ("width", "devices", "coercive field", "I50", "spread of I50", "barrier")
    )
    write_table([[""]])
    write_table(_arm_rows(training), ("arm", "accuracy", "+-", "device frames", "bench time", "calibration"))
    write_table([["one seed, one draw of devices: no verdict (hilab reproduce spin-neurons has several)"]])


def _width_rows(survey: Run) -> list[list[str]]:
    spread = survey.results["spread"]
    fields = {row["width_m"]: row for row in spread.get("coercive_t", [])}
    barriers = {row["width_m"]: row for row in spread.get("delta", [])}
    rows = []
    for row in spread["i50_a"]:
        width = row["width_m"]
        rows.append(
            [
                f"{width * 1e6:g} um",
                str(row["devices"]),
                f"{fields[width]['mean'] * 1e3:.2f} mT" if width in fields else "",
                f"{row['mean'] * 1e3:.4f} mA",
                f"{row['sigma'] / row['mean']:.1%} (95 %: {row['sigma_low'] / row['mean']:.1%} "
                f"to {row['sigma_high'] / row['mean']:.1%})",
                f"{barriers[width]['mean']:.1f} kT" if width in barriers else "",
            ]
        )
    return rows


def _arm_rows(training: Run) -> list[list[str]]:
    rows = []
    for arm in training.results["arms"].values():
        frames = arm["training_frames"] + arm["test_frames"]
        rows.append(
            [
                arm["title"],
                f"{arm['accuracy']:.2%}",
                f"{arm['standard_error']:.2%}",
                f"{frames:,}",
                duration(arm["training_bench_time_s"] + arm["test_bench_time_s"]) if frames else "",
                f"{arm['calibration_frames']:,} frames" if arm["calibration_frames"] else "",
            ]
        )
    return rows
