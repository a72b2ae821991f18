"""How fast the hot paths are. Each is checked once in every run; to measure:

    pytest -s tests/benchmarks/test_speed.py --benchmark-enable

The rate (printed, and `items_per_s` in what --benchmark-json writes) is frames, pulses or rows over the best
time. Nothing is asserted about time, because it depends on the machine and on what else it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hilab
from hilab.engine.messages import Column
from hilab.frames import FrameBatch, FrameReadings
from hilab.store import RunInfo, RunWriter, load_run
from sim_instruments.devices.hall_bar import HallBar, surroundings
from sim_instruments.world.device import Chip
from sim_instruments.world.field import Field, FieldParameters

FRAMES = 10_000
TRAIN = 30_000
ROWS = 10_000
DEVICES = [f"w{width}_d{number}" for width in (2, 4, 8, 16) for number in (1, 2, 3, 4)]


def measured(benchmark: Any, items: int, work: Any, rounds: int = 20) -> Any:
    """Run work (once where benchmarks are disabled) and note how many items a second it did at best."""
    result = benchmark.pedantic(work, rounds=rounds, warmup_rounds=2)
    if benchmark.stats is not None:
        benchmark.extra_info["items_per_s"] = rate = items / benchmark.stats.stats.min
        print(f"{rate:,.0f} a second at best")
    return result


@pytest.fixture
def fast_bench() -> Iterator[Any]:
    with hilab.open_bench("sot_fast", seed=1, overrides={"simulation.setting": "ideal"}) as bench:
        yield bench


def frames(bench: Any, devices: list[str], rng: np.random.Generator) -> FrameBatch:
    """FRAMES frames that alternate over the devices, written around each one's nominal I50."""
    cards = [bench.devices[name] for name in devices]
    device = np.arange(FRAMES) % len(devices)
    i50_a = np.array([card.nominal.i50_a for card in cards])[device]
    read_a = np.array([0.5 * card.limits.read_max_a for card in cards])[device]
    return FrameBatch.of(
        devices, device, i50_a * rng.normal(1.0, 0.05, FRAMES), -1.2 * i50_a, read_a, integration_s=2e-3
    )


@pytest.mark.parametrize("count", [4, 16])
def test_frames_of_the_tsp_player_through_all_bytes(benchmark: Any, fast_bench: Any, count: int) -> None:
    rng = np.random.default_rng(1)
    devices = DEVICES[:count]

    def play() -> FrameReadings:
        plan = fast_bench.plan(frames(fast_bench, devices, rng))
        assert plan.player == "keithley2636b_tsp"
        return fast_bench.play(plan)

    readings = measured(benchmark, FRAMES, play)
    assert readings.clean.all()
    assert np.isfinite(readings.voltage_v).all()


def test_pulses_of_the_device_kernel(benchmark: Any) -> None:
    chip = Chip("default", 1, 7)
    field = Field(FieldParameters(4e-3, 0.25, 0.05, **surroundings(chip)), 7)
    bar = HallBar("bar", 4e-6, 40e-6, chip, field)
    write_a = np.random.default_rng(2).normal(1.0, 0.05, TRAIN // 3) * float(bar.truth.i50_a(100e-6))
    current_a = np.stack([np.full_like(write_a, -1.3 * write_a.mean()), write_a, 0.2 * write_a], 1).ravel()
    width_s = np.full(TRAIN, 100e-6)
    start_s = 120e-6 * np.arange(TRAIN)
    begin_s = [0.0]

    def play() -> int:
        begin_s[0] += 10.0
        return bar.play(current_a, begin_s[0] + start_s, width_s, 0.0, field)[1]

    assert measured(benchmark, TRAIN, play) == TRAIN
    assert bar.truth.wear.positive > 0


def test_rows_of_a_run_file(benchmark: Any, tmp_path: Path) -> None:
    columns = {
        "device": Column("S16"),
        "amplitude_a": Column("f8", "A"),
        "voltage_v": Column("f8", "V"),
        "flags": Column("u2"),
    }
    writer = RunWriter(tmp_path / "runs", RunInfo("speed", {}), {"frames": columns})
    rng = np.random.default_rng(3)
    rows = {
        "device": np.array([name.encode() for name in DEVICES])[np.arange(ROWS) % len(DEVICES)],
        "amplitude_a": rng.normal(size=ROWS),
        "voltage_v": rng.normal(size=ROWS),
        "flags": np.arange(ROWS) % 5,
    }

    def write() -> None:
        writer.append("frames", rows)
        writer.commit()

    measured(benchmark, ROWS, write)
    writer.finish("done")
    stream = load_run(writer.path).streams["frames"]
    assert stream.rows >= ROWS
    np.testing.assert_array_equal(stream["voltage_v"][:ROWS], rows["voltage_v"])
