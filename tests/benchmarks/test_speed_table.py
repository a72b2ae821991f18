"""The rows of `hilab speed` under pytest-benchmark: ours and the peers, on the same simulated instruments.

    pytest tests/benchmarks/test_speed_table.py --benchmark-enable --benchmark-json=speed.json

Without --benchmark-enable everything is done once. Nothing is asserted about time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilab.speed import training
from hilab.speed.benches import DEVICES, WAVEFORM_READ_S, simulated, standard_batch
from hilab.speed.playing import busy_rows
from hilab.speed.pymeasure_loops import Agilent33500Loop, Keithley2600Loop, play_by_points
from hilab.speed.storage import csv_rate, run_file_rate

FRAMES = 16_000
LOOP_FRAMES = 20
STEPS = 5


def rate(benchmark: Any, items: int, work: Any, rounds: int = 7) -> Any:
    """Run work (once where benchmarks are disabled); items a second stand in the extra info."""
    result = benchmark.pedantic(work, rounds=rounds, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["items_per_s"] = items / benchmark.stats.stats.min
    return result


@pytest.fixture(scope="module")
def waveform() -> Iterator[Any]:
    with simulated("sot_waveform") as bench:
        yield bench


def test_standard_frames_of_the_waveform_player(benchmark: Any, waveform: Any) -> None:
    batch = standard_batch(waveform, FRAMES, np.random.default_rng(1), integration_s=WAVEFORM_READ_S)
    readings = rate(benchmark, FRAMES, lambda: waveform.play(waveform.plan(batch, "waveform")))
    assert readings.clean.all()


@pytest.mark.parametrize(
    ("name", "loop_class"), [("sot_waveform", Agilent33500Loop), ("sot_fast", Keithley2600Loop)]
)
def test_per_point_loops_of_pymeasure(benchmark: Any, name: str, loop_class: Any) -> None:
    with simulated(name) as bench:
        bench.route(DEVICES[0])
        loop = loop_class(bench)
        batch = standard_batch(bench, LOOP_FRAMES, np.random.default_rng(2), DEVICES[:1])
        voltage_v = rate(benchmark, LOOP_FRAMES, lambda: play_by_points(loop, batch), 3)
        loop.close()
    assert np.isfinite(voltage_v).all()


def test_the_bench_is_busy_with_pulses(benchmark: Any) -> None:
    """Virtual time: no benchmark of this machine, but a row of the table."""
    rows = benchmark.pedantic(lambda: list(busy_rows()), rounds=1)
    shares = [row.ours for row in rows]
    assert len(rows) == 6 and all(0.5 < share < 1 for share in shares)
    single, double = shares[0::2], shares[1::2]
    assert single == sorted(single, reverse=True), "slower messages leave less time for pulses"
    assert all(many > one for one, many in zip(single, double, strict=True))


@pytest.mark.parametrize("place", ["bench", "surrogate", "plain"])
def test_training_784_100_10(benchmark: Any, waveform: Any, place: str) -> None:
    from hilab.learning.idx import load_mnist
    from hilab.learning.neurons import BenchNeurons, SurrogateNeurons
    from hilab.learning.plain import plain_rate

    data = load_mnist(None, train_images=3000, test_images=1).train
    curves = training.nominal_curves(waveform)
    size = training.BATCH_SIZE

    def train() -> float:
        if place == "plain":
            return plain_rate(data, training.HIDDEN, size, STEPS)
        neurons: Any = SurrogateNeurons(curves, np.random.default_rng(0))
        if place == "bench":
            neurons = BenchNeurons(waveform, DEVICES, training.readout(waveform))
        return training.training_rate(data, neurons, curves, STEPS)

    assert rate(benchmark, STEPS * size, train, 3) > 0


@pytest.mark.parametrize(("blocks", "size"), [(20, 1000), (500, 1)])
def test_rows_with_a_live_subscriber(benchmark: Any, tmp_path: Path, blocks: int, size: int) -> None:
    assert rate(benchmark, blocks * size, lambda: run_file_rate(tmp_path, blocks, size), 3) > 0


def test_rows_of_pymeasures_csv(benchmark: Any, tmp_path: Path) -> None:
    numbers = iter(range(100))
    count = 1000
    assert rate(benchmark, count, lambda: csv_rate(tmp_path / f"{next(numbers)}.csv", count), 3) > 0
    lines = (tmp_path / "0.csv").read_text().splitlines()
    assert sum(not line.startswith("#") for line in lines) == count + 1


def test_help_starts(benchmark: Any) -> None:
    command = [sys.executable, "-m", "hilab", "--help"]
    done = benchmark.pedantic(
        lambda: subprocess.run(command, check=True, capture_output=True, text=True), rounds=3
    )
    assert "speed" in done.stdout
