"""Coverage of the fitted intervals against the simulator's truth, through the instruments' bytes.

    python tests/benchmarks/coverage_check.py [--chips 40] [--setting ideal|default]

Each chip is a survey of 16 devices: 21 amplitudes, 100 samples each, five rounds. Truth is the device's
apparent curve at the times and temperatures of its own frames. Prints the share of devices whose 95 %
interval covers it, the pulls, and the exact binomial coverage of the Wilson intervals beside the observed.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binom

import hilab
from hilab.analysis.switching import wilson_interval
from protocols._locate import FRAMES_TO_LOCATE

QUANTITIES = ("i50", "slope", "delta", "ic0")
SUFFIX = {"i50": "_a", "slope": "_per_a", "delta": "", "ic0": "_a"}
WIDTH_S = 100e-6


@dataclass
class Found:
    """Estimates, intervals and truths of all devices; Wilson points (k, n, true P)."""

    rows: list[dict[str, tuple[float, float, float, float, float]]] = field(default_factory=list)
    points: list[tuple[int, int, float]] = field(default_factory=list)
    missing: int = 0


def survey_chip(found: Found, sample_seed: int, setting: str, out: str, trials: int = 100) -> None:
    """Survey one chip and compare it with its truth."""
    overrides = {"simulation.setting": setting, "simulation.sample_seed": sample_seed}
    with hilab.open_bench("sot_fast", seed=sample_seed, overrides=overrides) as bench:
        run = hilab.run("switching_probability", bench, {"trials": trials}, out=out, seed=sample_seed)
        truth = bench._twin.world.truth  # the simulator's secret: tests may ask, hilab never does
        frames, switching = run.streams["frames"], run.streams["switching"]
        for name in bench.devices:
            one = run.results["devices"][name]
            if "reason" in one:
                found.missing += 1
                continue
            times = frames["time_s"][(frames["device"] == name.encode())][FRAMES_TO_LOCATE:]
            found.rows.append(compare(one, truth[name], times))
            mine = switching["device"] == name.encode()
            add_points(found, switching, mine, truth[name], times)


def compare(one: dict[str, float], truth: Any, times: Any) -> dict[str, tuple[float, ...]]:
    """(estimate, error, low, high, truth) of each quantity."""
    apparent = truth.apparent(WIDTH_S, times, heat_k=truth.heat_k(times))
    true = {
        "i50": apparent.i50_a.mean(),
        "slope": apparent.slope_per_a.mean(),
        "delta": apparent.delta.mean(),
        "ic0": apparent.ic0_a.mean(),
    }
    row = {}
    for key in QUANTITIES:
        suffix = SUFFIX[key]
        row[key] = (
            one[f"{key}{suffix}"],
            one[f"{key}_error{suffix}"],
            one[f"{key}_low{suffix}"],
            one[f"{key}_high{suffix}"],
            float(true[key]),
        )
    return row


def add_points(found: Found, switching: Any, mine: Any, truth: Any, times: Any) -> None:
    """The measured points of one device with their true probability (mean over its frames)."""
    some = times[:: max(1, len(times) // 200)]
    for amplitude, k, n in zip(
        switching["amplitude_a"][mine], switching["k"][mine], switching["n"][mine], strict=True
    ):
        p = float(truth.p_switch(amplitude, WIDTH_S, some, heat_k=truth.heat_k(some)).mean())
        found.points.append((int(k), int(n), p))


def report(found: Found) -> dict[str, tuple[float, float, float]]:
    """{quantity: (coverage, mean pull, standard deviation of the pulls)}."""
    figures = {}
    for key in QUANTITIES:
        values = np.array([row[key] for row in found.rows])
        estimate, error, low, high, truth = values.T
        pull = (estimate - truth) / error
        figures[key] = (
            float(((low <= truth) & (truth <= high)).mean()),
            float(pull.mean()),
            float(pull.std(ddof=1)),
        )
    return figures


def wilson_report(found: Found) -> tuple[float, float, float, int]:
    """(observed coverage, exact binomial coverage, its standard error, points) for true P in 0.02 to 0.98."""
    points = np.array([point for point in found.points if 0.02 <= point[2] <= 0.98])
    k, n, p = points[:, 0].astype(int), points[:, 1].astype(int), points[:, 2]
    low, high = wilson_interval(k, n)
    observed = ((low <= p) & (p <= high)).mean()
    exact = np.array([exact_coverage(count, chance) for count, chance in zip(n, p, strict=True)])
    error = np.sqrt((exact * (1 - exact)).sum()) / len(exact)
    return float(observed), float(exact.mean()), float(error), len(points)


def exact_coverage(n: int, p: float) -> float:
    """Chance that the Wilson interval of n samples covers p."""
    k = np.arange(n + 1)
    low, high = wilson_interval(k, np.full(n + 1, n))
    return float(binom.pmf(k, n, p)[(low <= p) & (p <= high)].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chips", type=int, default=40)
    parser.add_argument("--setting", default="ideal", choices=["ideal", "default", "hard"])
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    found = Found()
    with tempfile.TemporaryDirectory() as out:
        for chip in range(arguments.chips):
            survey_chip(found, chip, arguments.setting, out, arguments.trials)
    print(f"{arguments.setting}: {len(found.rows)} devices, {found.missing} without a fit")
    for key, (coverage, mean, spread) in report(found).items():
        print(f"  {key:6s} 95 % intervals cover {coverage:6.1%}   pulls {mean:+.3f} +- {spread:.3f}")
    observed, exact, error, points = wilson_report(found)
    print(f"  Wilson: {observed:.2%} of {points} points covered, exact {exact:.2%} +- {error:.2%}")


if __name__ == "__main__":
    main()
