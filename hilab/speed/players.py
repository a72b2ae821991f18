"""Benches and players: what a frame costs on each, and what an epoch of training would.

The figures are those of `plan()` for one mini-batch of 64 images through 100 neurons on four devices, checked
against a batch that is really played.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hilab.errors import HilabError
from hilab.frames import PlanRefused
from hilab.paths import bench_files
from hilab.speed.benches import DEVICES, WAVEFORM_READ_S, simulated, standard_batch

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.frames import FrameBatch, FramePlan

MESSAGES_S = (5e-3, 20e-3, 50e-3)
BATCH = 6400
EPOCH_FRAMES = 60_000 * 100
COLUMNS = (
    "way",
    "bench",
    "player",
    "message_s",
    "frames_per_s",
    "pulse_share",
    "misread",
    "epoch_s",
    "pulses_per_device",
)


@dataclass(frozen=True)
class Way:
    """One way of playing frames: title, bench, player, times that differ from the standard frame, and how
    many frames are really played to check the plan."""

    title: str
    bench: str
    player: str
    times: tuple[tuple[str, float], ...] = ()
    played: int = BATCH


_SLOW = (("reset_width_s", 2e-3), ("write_width_s", 2e-3), ("integration_s", 1e-3))
_LIST_6221 = (("reset_width_s", 5e-3), ("write_width_s", 5e-3), ("integration_s", 2e-3))
_LIST_2450 = (("reset_width_s", 1e-3), ("write_width_s", 1e-3))
_DIGITISED = (("integration_s", WAVEFORM_READ_S),)
WAYS = (
    Way("single shot", "sot_fast", "software_loop", (), 200),
    Way("single shot, 6221", "sot_classic", "software_loop", (), 40),
    Way("pulse delta", "sot_classic", "keithley6221_pulse_delta", _SLOW, 640),
    Way("list, 6221", "sot_classic", "keithley6221_list", _LIST_6221, 640),
    Way("list, 2450", "sot_smu", "keithley2450_list", _LIST_2450, 640),
    Way("TSP", "sot_fast", "keithley2636b_tsp"),
    Way("digitiser", "sot_digitiser", "keithley2636b_digitiser"),
    Way("waveform", "sot_waveform", "waveform", _DIGITISED),
    Way("waveform, baseline", "sot_waveform", "waveform_baseline", _DIGITISED),
)


def table(quick: bool) -> Iterator[dict[str, Any]]:
    """One line for each way and message cost; a way that this installation cannot play says why."""
    known = {path.stem for path in bench_files()}
    for way in WAYS:
        for message_s in MESSAGES_S[:1] if quick else MESSAGES_S:
            line = dict.fromkeys(COLUMNS) | {
                "way": way.title,
                "bench": way.bench,
                "player": way.player,
                "message_s": message_s,
            }
            if way.bench not in known:
                yield line | {"how": "there is no such bench file"}
                continue
            try:
                yield line | _measured(way, message_s)
            except (HilabError, PlanRefused) as error:
                yield line | {"how": f"refused: {' '.join(str(error).split())[:200]}"}


def _measured(way: Way, message_s: float) -> dict[str, Any]:
    with simulated(way.bench, message_s=message_s) as bench:
        plan = _plan(bench, way, BATCH)
        took_s, predicted_s = _checked(bench, way)
    rate = BATCH / plan.duration_s
    pulses = [sum(counts) for counts in plan.pulses.values()]
    return {
        "frames_per_s": rate,
        "pulse_share": BATCH * _pulses_s(plan.batch) / plan.duration_s,
        "misread": max(plan.misread_probability.values()),
        "epoch_s": EPOCH_FRAMES / rate,
        "pulses_per_device": round(max(pulses) / BATCH * EPOCH_FRAMES),
        "how": (
            f"planned {plan.duration_s:.4g} s for {BATCH} frames on {len(DEVICES)} devices; "
            f"{way.played} played in {took_s:.4g} s where {predicted_s:.4g} s were planned"
        ),
    }


def _pulses_s(batch: FrameBatch) -> float:
    """Pulses, waits and integration of one frame as asked: what no player can be faster than (s)."""
    resets_s = batch.reset_count * batch.reset_width_s + batch.reset_wait_s
    return resets_s + batch.write_width_s + batch.read_wait_s + batch.integration_s


def _plan(bench: Bench, way: Way, frames: int) -> FramePlan:
    batch = standard_batch(bench, frames, np.random.default_rng(6), DEVICES, **dict(way.times))
    return bench.plan(batch, way.player)


def _checked(bench: Bench, way: Way) -> tuple[float, float]:
    """(time that a batch took, time that was planned), the second time it is played."""
    took_s = planned_s = 0.0
    for _ in range(2):  # scripts, loads and ranges are sent with the first
        plan = _plan(bench, way, way.played)
        start_s = bench.clock.now()
        bench.play(plan)
        took_s, planned_s = bench.clock.now() - start_s, plan.duration_s
    return took_s, planned_s
