"""How fast standard frames go through the waveform bench: plan, driver, bytes, boxes, physics and back.

Each is checked once in every run; to measure:

    pytest -s tests/benchmarks/test_waveform_speed.py --benchmark-enable

The rate (printed, and `items_per_s` in what --benchmark-json writes) is frames over the best time; the first
call, which compiles, is not counted. Nothing is asserted about time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import hilab
from drivers.players._compile import compile_frames, frame_wave
from hilab.frames import FrameBatch, FrameReadings

FRAMES = 100_000
BATCH = 10_000
AMPLITUDES = 16
STANDARD = {"integration_s": 160e-6}


def measured(benchmark: Any, items: int, work: Callable[[], Any]) -> Any:
    """Run work (once where benchmarks are disabled) and note how many items a second it did at best."""
    result = benchmark.pedantic(work, rounds=7, warmup_rounds=2)
    if benchmark.stats is not None:
        stats = benchmark.stats.stats
        benchmark.extra_info["items_per_s"] = rate = items / stats.min
        print(f"{rate:,.0f} a second at best, {items / stats.median:,.0f} in the median")
    return result


@pytest.fixture(params=["ideal", "default"])
def bench(request: Any) -> Iterator[Any]:
    with hilab.open_bench("sot_waveform", seed=1, overrides={"simulation.setting": request.param}) as opened:
        yield opened


def frames(bench: Any, count: int, devices: list[str]) -> FrameBatch:
    """Frames on these devices in turn, with 16 amplitudes around each one's nominal I50."""
    rng = np.random.default_rng(1)
    device = np.arange(count) % len(devices)
    cards = [bench.devices[name] for name in devices]
    i50_a = np.array([card.nominal.i50_a for card in cards])[device]
    read_a = np.array([0.5 * card.limits.read_max_a for card in cards])[device]
    levels = rng.choice(np.linspace(0.9, 1.1, AMPLITUDES), count)
    return FrameBatch.of(devices, device, i50_a * levels, -1.2 * i50_a, read_a, **STANDARD)


def test_standard_frames_of_one_device(benchmark: Any, bench: Any) -> None:
    batch = frames(bench, FRAMES, ["w4_d1"])

    def play() -> FrameReadings:
        return bench.play(bench.plan(batch, "waveform"))

    readings = measured(benchmark, FRAMES, play)
    assert readings.clean.all()
    assert np.ptp(readings.voltage_v / readings.current_a) > 0.5


def test_batches_of_training_over_four_devices(benchmark: Any, bench: Any) -> None:
    batch = frames(bench, BATCH, ["w2_d1", "w2_d2", "w2_d3", "w2_d4"])

    def play() -> FrameReadings:
        return bench.play(bench.plan(batch, "waveform"))

    readings = measured(benchmark, BATCH, play)
    assert readings.clean.all()


def test_frames_to_wave(benchmark: Any) -> None:
    write_a = np.random.default_rng(2).normal(1e-3, 1e-4, FRAMES)
    batch = FrameBatch.of(["w4"], np.zeros(FRAMES, int), write_a, -2e-3, 3e-4, **STANDARD)
    frame = frame_wave(batch, 1e-9)
    assert frame is not None
    order = np.arange(FRAMES)

    def compiled() -> Any:
        return compile_frames(frame, batch, order, 4200.0, 10.0, code_step=4, reversed_read=True)

    codes = measured(benchmark, FRAMES, compiled)
    assert len(codes) == 1 + 20 * FRAMES
