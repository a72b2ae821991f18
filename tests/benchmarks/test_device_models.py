"""How fast the device models and the world are. Each is played once in every run; to measure:

    pytest -s tests/benchmarks/test_device_models.py --benchmark-enable

The standard frame is 100 us reset, 20 us, 100 us write, 20 us, 160 us read; every pulse is an event. The
rate is events over the best time. Nothing is asserted about time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim_instruments.bench import build_world
from sim_instruments.devices import hall_bar, sigmoid_bar
from sim_instruments.world import PulseTrain
from sim_instruments.world.device import Chip
from sim_instruments.world.field import Field, FieldParameters

FRAMES = 10_000
PERIOD_S = 420e-6
MODELS = {"hall_bar": hall_bar, "sigmoid_bar": sigmoid_bar}
CARD = {"width_m": 2e-6, "length_m": 40e-6}


def standard_frames(i50_a: float, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(level, start, width), each (3 frames,), with writes spread around I50."""
    level = np.empty((frames, 3))
    level[:, 0], level[:, 2] = -1.3 * i50_a, 0.15 * i50_a
    level[:, 1] = i50_a * np.random.default_rng(1).normal(1.0, 0.02, frames)
    start = np.arange(frames)[:, None] * PERIOD_S + [0.0, 120e-6, 240e-6]
    return level.ravel(), start.ravel(), np.tile([100e-6, 100e-6, 160e-6], frames)


def rated(benchmark: Any, events: int, work: Any, rounds: int = 200) -> None:
    """Run work (once where benchmarks are disabled) and note its events a second at best."""
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=2)
    if benchmark.stats is not None:
        benchmark.extra_info["items_per_s"] = rate = events / benchmark.stats.stats.min
        print(f"{rate / 1e6:.1f} M events a second at best")


@pytest.mark.parametrize("setting", ["ideal", "default", "hard"])
@pytest.mark.parametrize("name", MODELS)
def test_a_train_of_standard_frames(benchmark: Any, name: str, setting: str) -> None:
    model = MODELS[name]
    chip = Chip(setting, 1, 7)
    field = Field(FieldParameters(4e-3, 0.25, 0.05, **model.surroundings(chip)), 7)
    bar = model.make("bar", CARD, chip, field)
    level, start, width = standard_frames(float(bar.truth.i50_a(1e-4)), FRAMES)

    def play() -> None:
        nonlocal start
        bar.play(level, start, width, 0.0, field)
        start = start + FRAMES * PERIOD_S

    rated(benchmark, len(level), play)
    assert bar.truth.wear.positive > 0 and bar.truth.wear.negative > 0


@pytest.mark.parametrize("frames", [1, 600, 10_000])
def test_a_load_through_the_world_and_its_reading_windows(benchmark: Any, frames: int) -> None:
    """One play and one set of reading windows: what a batch costs besides the instruments."""
    world = build_world(
        instruments={"awg": {"driver": "x"}, "dmm": {"driver": "x"}},
        wires=[],
        devices={"d1": {**CARD, "pads": {"current": "awg.ch1", "hall": "dmm.input"}}},
        field={"tesla_per_ampere": 4e-3, "assist_t": 0.05},
        simulation={"setting": "default"},
    )
    ohm = 50.0 + world.devices["d1"].load("current", 0.0, 0.0).ohm
    level, start, width = standard_frames(ohm * float(world.truth["d1"].i50_a(1e-4)), frames)
    seen = np.empty(0)

    def play() -> None:
        nonlocal seen
        begin = start + world.now
        world.advance(world.now + frames * PERIOD_S)
        train = PulseTrain(level, begin, width, 0.0, float("inf"), True, series_ohm=50.0)
        trace = world.play("awg.ch1", train)
        seen = trace.window_v("dmm.input", begin[2::3] + 20e-6, begin[2::3] + 150e-6)

    rated(benchmark, 3 * frames, play)
    assert seen.shape == (frames,) and np.isfinite(seen).all()
