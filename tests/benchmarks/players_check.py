"""Every player: frames a second of bench time and of real time, predicted against observed misreading.

    python tests/benchmarks/players_check.py [--seeds N]

With --seeds N the shift of every player's switching curve against the truth is measured on every bench that
can host it, with N seeds (the case and the statistic are those of the conformance suite): mean and standard
deviation of shift over standard error should be 0 and 1.

Ideal setting, one device. Half of the frames are written with a pulse that surely switches, half are not
written, so that every state is known; the read current is lowered until a few per cent are misread. Planned
is what the plan says from the nominal opening, expected the same for this device's own opening, observed what
was counted.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

import hilab
from hilab.frames import FrameBatch, PlanRefused

CASES = (  # player, bench, frames, widths (s), integration (s)
    ("keithley2636b_tsp", "sot_fast", 8000, 100e-6, 2e-3),
    ("software_loop", "sot_fast", 4000, 100e-6, 2e-3),
    ("software_loop", "sot_classic", 4000, 100e-6, 2e-3),
    ("keithley6221_pulse_delta", "sot_classic", 8000, 1e-3, 0.9e-3),
    ("keithley6221_list", "sot_classic", 8000, 4.5e-3, 2e-3),
    ("keithley2636b_digitiser", "sot_digitiser", 8000, 100e-6, 20e-6),
    ("keithley2450_list", "sot_smu", 8000, 1e-3, 2e-3),
)
SUITE = Path(__file__).parents[1] / "system" / "players" / "conformance" / "conftest.py"
DEVICE = "w2_d1"
WANTED = 0.03


def batch(bench: Any, count: int, read_a: float, width_s: float, integration_s: float) -> FrameBatch:
    """Frames of known outcome: every other one is written."""
    i50_a = float(bench._twin.world.truth[DEVICE].i50_a(width_s))
    written = np.arange(count) % 2
    return FrameBatch.of(
        [DEVICE],
        np.zeros(count, dtype=np.int64),
        1.2 * i50_a * written,
        -1.2 * i50_a,
        read_a,
        reset_width_s=width_s,
        write_width_s=width_s,
        integration_s=integration_s,
    )


def read_current(bench: Any, player: str, width_s: float, integration_s: float) -> float:
    """The read current at which the plan predicts about WANTED misread."""
    low, high = 1e-7, 1.5e-4
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        try:
            plan = bench.plan(batch(bench, 4, middle, width_s, integration_s), player)
            misread = plan.misread_probability[DEVICE]
        except PlanRefused:  # the states cannot be told apart at all
            misread = 0.5
        low, high = (middle, high) if misread > WANTED else (low, middle)
    return high


def measure(player: str, bench_name: str, count: int, width_s: float, integration_s: float) -> str:
    """One line of the table."""
    overrides = {"simulation.setting": "ideal", "misread_limit": 0.45}
    with hilab.open_bench(bench_name, seed=5, overrides=overrides) as bench:
        read_a = read_current(bench, player, width_s, integration_s)
        plan = bench.plan(batch(bench, count, read_a, width_s, integration_s), player)
        bench.play(bench.plan(batch(bench, 20, read_a, width_s, integration_s), player))
        bench_began, began = bench.clock.now(), time.perf_counter()
        readings = bench.play(plan)
        real_s, bench_s = time.perf_counter() - began, bench.clock.now() - bench_began
        set_state = np.arange(count) % 2 == 1
        opening = readings.voltage_v[set_state].mean() - readings.voltage_v[~set_state].mean()
        threshold = readings.voltage_v.mean()
        wrong = ((readings.voltage_v > threshold) == (set_state if opening < 0 else ~set_state)).mean()
        # The plan knows the nominal opening only; the comparison allows for this device's own.
        own = bench._twin.world.truth[DEVICE].loop_ohm / bench.devices[DEVICE].r_hall_ohm
        expected = float(norm.sf(norm.isf(plan.misread_probability[DEVICE]) * own))
        error = np.sqrt(expected * (1 - expected) / count)
        return (
            f"{player:25s} {bench_name:12s} {count / bench_s:8.1f} {count / real_s:10.0f} "
            f"{plan.misread_probability[DEVICE]:9.4f} {expected:9.4f} {wrong:9.4f} +- {error:.4f}"
            f"   read {read_a * 1e6:.1f} uA"
        )


def shifts(seeds: int) -> None:
    """Shift against the truth, in logistic units, of every case over many seeds."""
    spec = importlib.util.spec_from_file_location("conformance", SUITE)
    assert spec is not None and spec.loader is not None
    suite = importlib.util.module_from_spec(spec)
    sys.modules["conformance"] = suite
    spec.loader.exec_module(suite)
    print(f"{'case':45s} {'mean shift':>10s} {'error':>7s} {'mean z':>7s} {'sd z':>6s} {'max |z|':>8s}")
    for case in suite.cases():
        found = [suite.shift_and_variance(suite.measure(case, seed=100 + seed)) for seed in range(seeds)]
        shift, error = np.array(found).T[0], np.sqrt(np.array(found).T[1])
        z = shift / error
        print(
            f"{case!s:45s} {shift.mean():10.4f} {error.mean():7.4f} {z.mean():7.2f} {z.std(ddof=1):6.2f} "
            f"{np.abs(z).max():8.2f}",
            flush=True,
        )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=0)
    seeds = options.parse_args().seeds
    if seeds:
        shifts(seeds)
        return
    print(
        f"{'player':25s} {'bench':12s} {'frames/s':>8s} {'real':>10s} "
        f"{'planned':>9s} {'expected':>9s} {'observed':>9s}"
    )
    for player, bench_name, count, width_s, integration_s in CASES:
        print(measure(player, bench_name, count, width_s, integration_s), flush=True)


if __name__ == "__main__":
    main()
