"""Frames: the device model alone, players through all bytes, and the share of time that pulses take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hilab.speed.benches import DEVICES, WAVEFORM_READ_S, simulated, standard_batch
from hilab.speed.pymeasure_loops import Agilent33500Loop, Keithley2600Loop, bench_device, play_by_points
from hilab.speed.rows import Row, timed

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.frames import FramePlan

EVENTS = 30_000
WAVEFORM_FRAMES = 100_000
TSP_FRAMES = 10_000
LOOP_FRAMES = 60
BATCH = 6400
BATCHES = 10
MESSAGES_S = {5e-3: 0.90, 20e-3: 0.90, 50e-3: 0.85}
DOUBLE_BUFFERED = 0.95


def device_rows(rounds: int) -> Iterator[Row]:
    """Events (pulses) a second of one simulated device with its full physics, without instruments."""
    yield _device_row("device model, full physics", 20e6, rounds, setting="default")


def sigmoid_rows(rounds: int) -> Iterator[Row]:
    """The same of the device model that is nothing but a sigmoid."""
    what = "device model, per-device sigmoid"
    yield _device_row(what, 50e6, rounds, setting="default", device_model="sigmoid_bar")


def _device_row(what: str, bar: float, rounds: int, **simulation: Any) -> Row:
    with simulated("sot_fast", **simulation) as bench:
        twin: Any = bench.twin
        device, field = twin.world.part(DEVICES[0]), twin.world.field
        nominal = bench.card(DEVICES[0]).nominal
        assert nominal is not None
        random = np.random.default_rng(1)
        write_a = nominal.i50_a * random.normal(1.0, 0.03, EVENTS // 3)
        current_a = np.stack([np.full_like(write_a, -1.2 * nominal.i50_a), write_a, 0.2 * write_a], 1).ravel()
        width_s = np.tile([100e-6, 100e-6, 160e-6], EVENTS // 3)
        # A period that is the same for every frame to the last bit, as a programme's is.
        start_s = (np.arange(EVENTS // 3)[:, None] * 420e-6 + [0.0, 120e-6, 240e-6]).ravel()
        begin_s = [bench.clock.now()]

        def play() -> None:
            begin_s[0] += start_s[-1] + 1.0
            device.play(current_a, begin_s[0] + start_s, width_s, 0.0, field)

        taken = timed(play, 10 * rounds)
    how = (
        f"best of {10 * rounds} trains of {EVENTS:,} pulses, one device; median {EVENTS / taken.median_s:.3g}"
    )
    return Row(what, EVENTS / taken.best_s, "events/s", bar, how)


def waveform_rows(rounds: int) -> Iterator[Row]:
    """Frames a second of wall time through driver, bytes, simulated instruments, physics and back."""
    yield from _against_loop("sot_waveform", DEVICES[:1], WAVEFORM_FRAMES, rounds, Agilent33500Loop, 1e6)


def tsp_rows(rounds: int) -> Iterator[Row]:
    """The same on the bench whose instrument is a 2636B."""
    yield from _against_loop("sot_fast", DEVICES, TSP_FRAMES, rounds, Keithley2600Loop, None)


def _against_loop(
    bench_name: str, devices: tuple[str, ...], frames: int, rounds: int, loop_class: Any, bar: float | None
) -> Iterator[Row]:
    with simulated(bench_name) as bench:
        random = np.random.default_rng(3)
        batch = standard_batch(bench, frames, random, devices, **_read(bench))
        plan = bench.plan(batch)
        taken = timed(lambda: bench.play(bench.plan(batch)), rounds)
        ours = frames / taken.best_s
        peer = _loop_rate(bench, loop_class, rounds)
    how = (
        f"{bench_name}, batches of {frames:,} frames, devices: {len(devices)}, every amplitude another one, "
        f"planned and played in process; best of {rounds}, first call excluded; "
        f"median {frames / taken.median_s:.3g}"
    )
    if bar is not None:
        yield Row(f"standard frames, player {plan.player}", ours, "frames/s", bar, how)
    against = f"{how}; peer: best of {min(rounds, 3)} loops of {LOOP_FRAMES} frames on the same instruments"
    yield Row(
        f"player {plan.player} against a per-point loop",
        ours,
        "frames/s",
        100.0,
        against,
        peer,
        loop_class.peer_name,
        "ratio",
    )


def _loop_rate(bench: Bench, loop_class: Any, rounds: int) -> float:
    """Frames a second of the per-point loop on the same simulated instruments."""
    bench.make_safe()
    device = bench_device(bench)
    bench.route(device)
    loop = loop_class(bench)
    try:
        batch = standard_batch(bench, LOOP_FRAMES, np.random.default_rng(4), (device,))
        taken = timed(lambda: play_by_points(loop, batch), min(rounds, 3))
    finally:
        loop.close()
    return LOOP_FRAMES / taken.best_s


def busy_rows(bench_name: str = "sot_waveform") -> Iterator[Row]:
    """Share of the bench's (virtual) time in which frames are played."""
    for message_s, bar in MESSAGES_S.items():
        one, several = _shares(bench_name, message_s)
        what = f"bench busy at {message_s * 1e3:g} ms a message"
        how = (
            f"{bench_name}, virtual time: one batch of {BATCH:,} standard frames on one device, "
            f"warmed up; on {len(DEVICES)} devices {one[1]:.1%}"
        )
        yield Row(what, one[0], "of bench time", bar, how)
        if several is not None:
            how = f"{bench_name}, virtual time: {BATCHES} chunks of {BATCH:,} frames in one batch, one device"
            yield Row(f"{what}, double-buffered", several, "of bench time", DOUBLE_BUFFERED, how)


def _shares(bench_name: str, message_s: float) -> tuple[tuple[float, float], float]:
    """((share of one batch on one device, on several devices), share of many chunks on one device)."""
    random = np.random.default_rng(5)
    with simulated(bench_name, message_s=message_s) as bench:

        def share(frames: int, devices: tuple[str, ...]) -> float:
            for _ in range(2):  # scripts, ranges and loads are sent once
                plan = bench.plan(standard_batch(bench, frames, random, devices, **_read(bench)))
                start_s = bench.clock.now()
                bench.play(plan)
            return pulse_share(plan, bench.clock.now() - start_s)

        several = share(BATCH, DEVICES)
        return (share(BATCH, DEVICES[:1]), several), share(BATCHES * BATCH, DEVICES[:1])


def pulse_share(plan: FramePlan, took_s: float) -> float:
    """Part of the time that the frames themselves last."""
    return len(plan.batch) * plan.frame_s / took_s


def _read(bench: Bench) -> dict[str, Any]:
    """The read of the standard frame where a digitiser does it; what the bench needs elsewhere."""
    return {"integration_s": WAVEFORM_READ_S} if bench.has_role("digitiser") else {}


def virtual_rate(bench: Bench, plan: FramePlan) -> tuple[float, float]:
    """(frames a second of bench time, wall seconds) of a plan that is played now."""
    start_s, wall = bench.clock.now(), time.perf_counter()
    bench.play(plan)
    return len(plan.batch) / (bench.clock.now() - start_s), time.perf_counter() - wall
