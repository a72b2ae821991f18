"""The training study of the spin neurons: worlds, sets of devices, jobs, and what is concluded from them.

Worlds (device-model section 4): static (devices differ, nothing else happens), shape (pinned domains give
each device a floor and a ceiling of its switching probability), drift (after the calibration a perpendicular
field moves every switching curve by about two logistic units). Each seed is a chip of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import hilab
from hilab.analysis.survey import Row
from hilab.errors import HilabError
from hilab.store import Run

SOFTWARE_ARMS = ("deterministic_sigmoid", "deterministic_binary")
"""They know no devices: run once for each seed, beside the software network."""
DEVICE_ARMS = (
    "transfer_uncalibrated",
    "transfer_calibrated",
    "variation_aware",
    "hil_straight_through",
    "hil_nominal",
    "hil_calibrated_backward",
    "hil_calibrated_forward",
    "hil_fine_tuned",
)
FEW_ARMS = ("transfer_uncalibrated", "transfer_calibrated", "hil_nominal", "hil_calibrated_backward")
WORLDS = ("static", "shape", "drift")
SETS: Mapping[str, Callable[[float], bool]] = {
    "2 um": lambda width_m: width_m < 3e-6,
    "16 um": lambda width_m: width_m > 12e-6,
    "all": lambda width_m: True,
    "deep": lambda width_m: True,
}
"""Which devices of the chip serve as neurons; "deep" is the set of the deeper network."""
STUDY_SETS = ("2 um", "16 um", "all")
WHERE = {"2 um": "four devices of 2 um", "16 um": "four of 16 um", "all": "all sixteen"}
DRIFT_FIELD_T = {"2 um": -0.29e-3, "16 um": -0.41e-3, "all": -0.36e-3}
"""Two logistic units: 2 Hn(w) / (1.52 Delta), against the write pulses (device-model section 1)."""
BARS = {  # points below software, in the static world
    ("2 um", "hil_calibrated_backward"): 0.8,
    ("2 um", "hil_nominal"): 2.5,
    ("16 um", "hil_calibrated_backward"): 0.3,
    ("16 um", "hil_nominal"): 1.0,
}
LEAST_TRANSFER_LOSS = 4.0  # median points that an uncalibrated transfer loses at 2 um
LEAST_SHAPE_GAIN = 0.5  # points by which HIL beats calibrated transfer in the shape world
LOOPED = {
    "hil_calibrated_backward": "HIL (calibrated backward)",
    "hil_calibrated_forward": "HIL (calibrated forward and backward)",
    "hil_fine_tuned": "one HIL epoch on top of the software network",
}
NOT_PUBLISHED = "not in the paper's abstract"
ABSTRACT = "abstract: equivalent software performance; no accuracy is known"


@dataclass(frozen=True)
class Job:
    """One training run in a process of its own."""

    world: str
    devices: str
    seed: int
    bench: str
    params: Mapping[str, Any]
    out: str
    instrument_errors: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """Place of its world and set in a table."""
        return WORLDS.index(self.world), list(SETS).index(self.devices)

    def __hash__(self) -> int:
        return hash((self.world, self.devices, self.seed))


def jobs_of(
    bench: str,
    seeds: Sequence[int],
    params: Mapping[str, Any],
    out: str,
    *,
    worlds: Sequence[str] = WORLDS,
    sets: Sequence[str] = STUDY_SETS,
    arms: Sequence[str] = DEVICE_ARMS,
    software_arms: Sequence[str] = SOFTWARE_ARMS,
    instrument_errors: bool = False,
) -> list[Job]:
    """Every seed, world and set. The software arms go with the first world and set of each seed."""
    jobs = []
    for seed in seeds:
        for number, (world, devices) in enumerate((world, one) for world in worlds for one in sets):
            extra = software_arms if number == 0 else ()
            chosen = {**params, "arms": ["software", *extra, *arms]}
            jobs.append(Job(world, devices, seed, bench, chosen, out, instrument_errors))
    return jobs


def train_all(
    jobs: Sequence[Job], ledger: Path, tell: Callable[[int, Mapping[str, Any]], None]
) -> list[dict[str, Any]]:
    """All jobs, as many at a time as there are cores; tell(done, result) after each.

    Every result goes into the ledger (a line of JSON) at once; a job that stands there is not run again.
    """
    known = _read(ledger)
    found = {job: known[_key(job)] for job in jobs if _key(job) in known}
    left = [job for job in jobs if job not in found]
    workers = max(1, min(len(left), os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(train_one, job): job for job in left}
        try:
            for future in as_completed(futures):
                job = futures[future]
                found[job] = future.result()
                with ledger.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({"job": _key(job), "result": found[job]}) + "\n")
                tell(len(found), found[job])
        except BrokenProcessPool as error:
            raise HilabError(
                f"a training process was killed from outside (is the memory full?); {len(found)} of "
                f"{len(jobs)} runs are kept: start the same command again to go on"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [found[job] for job in sorted(jobs, key=lambda job: (job.order, job.seed))]


def _key(job: Job) -> str:
    """What a result belongs to: equal for equal jobs only."""
    return json.dumps(asdict(job), sort_keys=True)


def _read(ledger: Path) -> dict[str, dict[str, Any]]:
    """Results of an earlier start; a line that a crash cut short is passed over."""
    found = {}
    for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        found[str(entry["job"])] = entry["result"]
    return found


def train_one(job: Job) -> dict[str, Any]:
    """One training run; returns the arms' figures."""
    began = time.monotonic()
    simulation: dict[str, Any] = {
        "simulation.setting": "ideal",  # nothing drifts or heats unless the world says so
        "simulation.sample_seed": job.seed,
        "simulation.shape": job.world == "shape",
    }
    if job.instrument_errors:
        simulation["simulation.instrument_errors"] = True
    with hilab.open_bench(job.bench, seed=job.seed, overrides=simulation) as bench:
        belongs = SETS[job.devices]
        devices = [name for name, card in bench.devices.items() if belongs(card.width_m)]
        params = {**job.params, "devices": devices}
        if job.world == "drift":
            params["drift_field_t"] = DRIFT_FIELD_T[job.devices]
        run: Run = hilab.run("hil_training", bench, params, out=job.out, seed=job.seed)
    if run.status != "done":
        raise HilabError(f"training with seed {job.seed} ended as {run.status}; its run file is {run.path}")
    return {
        "world": job.world,
        "devices": job.devices,
        "seed": job.seed,
        "arms": run.results["arms"],
        "wall_s": time.monotonic() - began,
        "bench_time_s": run.bench_time_s,
        "run_file": str(run.path),
    }


# ---- what is concluded ------------------------------------------------------------------------------


def loss_table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points below software of every arm, world and set, paired over all seeds, with one-sided bounds."""
    from hilab.learning.study import paired_loss

    table = []
    for world, devices in dict.fromkeys((one["world"], one["devices"]) for one in results):
        mine = [one["arms"] for one in results if (one["world"], one["devices"]) == (world, devices)]
        software = [arms["software"] for arms in mine]
        for arm in mine[0]:
            if arm == "software":
                continue
            figures = [arms[arm] for arms in mine]
            one = paired_loss(_column(software, "accuracy"), _column(figures, "accuracy"))
            many = paired_loss(_column(software, "accuracy_mean"), _column(figures, "accuracy_mean"))
            table.append(
                {
                    "world": world,
                    "devices": devices,
                    "arm": arm,
                    "title": figures[0]["title"],
                    "software_accuracy": float(np.mean(_column(software, "accuracy"))),
                    **asdict(one),
                    "samples": figures[0]["samples"],
                    "sample_images": figures[0].get("sample_images", 0),
                    "software_accuracy_mean": float(np.mean(_column(software, "accuracy_mean"))),
                    "many_samples": asdict(many),
                    "device_frames": _mean(figures, "training_frames") + _mean(figures, "test_frames"),
                    "calibration_frames": _mean(figures, "calibration_frames"),
                    "bench_time_s": _mean(figures, "training_bench_time_s")
                    + _mean(figures, "test_bench_time_s"),
                }
            )
    return table


def _column(figures: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [float(one[key]) for one in figures]


def _mean(figures: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean(_column(figures, key)))


def gains(losses: Sequence[Mapping[str, Any]], arm: str, over: str) -> dict[tuple[str, str], Any]:
    """(world, set) -> points that `arm` gains over another arm, paired over seeds, with bounds."""
    from hilab.learning.study import paired_loss

    draws = {(one["world"], one["devices"], one["arm"]): np.array(one["draws"]) for one in losses}
    found = {}
    for world, devices, name in draws:
        if name == arm and (world, devices, over) in draws:
            lost = draws[world, devices, over] - draws[world, devices, arm]
            found[world, devices] = paired_loss(lost / 100, np.zeros(len(lost)))
    return found


def training_rows(losses: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for every statement that hilab makes about training, with its bound."""
    rows = [_bar_row(entry) for entry in losses if _has_bar(entry)]
    for arm, title in LOOPED.items():
        for (world, devices), gain in gains(losses, arm, "transfer_calibrated").items():
            if world != "static":  # there nothing is left to gain: said in plain words below the table
                rows.append(_gain_row(world, devices, title, gain))
    return rows


def _gain_row(world: str, devices: str, title: str, gain: Any) -> Row:
    """What an arm in the loop gains over calibrated transfer."""
    least = LEAST_SHAPE_GAIN if world == "shape" else 0.0
    beats = f"beats calibrated transfer by more than {least}" if least else "beats calibrated transfer"
    draws = ", ".join(f"{draw:+.1f}" for draw in gain.draws)
    return Row(
        claim=f"{world} world, {WHERE[devices]}: {title} {beats}",
        published=NOT_PUBLISHED,
        ours=f"{gain.mean:+.2f} points, 95 % bound {gain.lower:+.2f} (draws: {draws})",
        standard_error=gain.standard_error,
        holds=bool(gain.lower > least),
    )


def _has_bar(entry: Mapping[str, Any]) -> bool:
    key = (entry["devices"], entry["arm"])
    return entry["world"] == "static" and (key in BARS or key == ("2 um", "transfer_uncalibrated"))


def _bar_row(entry: Mapping[str, Any]) -> Row:
    draws = ", ".join(f"{draw:+.1f}" for draw in entry["draws"])
    median = float(np.median(entry["draws"]))
    ours = f"{entry['mean']:+.2f} points below software, 95 % bound {entry['upper']:+.2f} (draws: {draws})"
    if entry["arm"] == "transfer_uncalibrated":
        claim, holds = f"loses {LEAST_TRANSFER_LOSS} points or more (median)", median >= LEAST_TRANSFER_LOSS
        ours = f"median {median:+.2f}; {ours}"
    else:
        bar = BARS[entry["devices"], entry["arm"]]
        claim, holds = f"less than {bar} points below software", bool(entry["upper"] < bar)
    return Row(
        claim=f"static world, {WHERE[entry['devices']]}: {entry['title']}: {claim}",
        published=ABSTRACT if entry["arm"].startswith("hil") else NOT_PUBLISHED,
        ours=ours,
        standard_error=float(entry["standard_error"]),
        holds=holds,
    )


def plain_words(losses: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where training in the loop does not beat a calibrated transfer, said plainly."""
    lines = [""]
    frames = {(one["world"], one["devices"], one["arm"]): one["device_frames"] for one in losses}
    for arm, title in {"hil_nominal": "HIL (nominal)", **LOOPED}.items():
        for (world, devices), gain in gains(losses, arm, "transfer_calibrated").items():
            verdict = "no verdict against"
            if gain.lower > 0:
                verdict = "beats"
            elif gain.upper < 0:
                verdict = "does not beat"
            times = frames[world, devices, arm] / frames[world, devices, "transfer_calibrated"]
            lines.append(
                f"{world}, {devices}: {title} {verdict} calibrated transfer: {gain.mean:+.2f} points "
                f"({gain.lower:+.2f} .. {gain.upper:+.2f}), for {times:.0f} times the device frames"
            )
    lines.append("MNIST, the networks and the devices are hilab's choice; the paper's are not known.")
    return lines
