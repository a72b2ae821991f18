"""Measuring switching probabilities: rounds of randomised amplitudes, counted, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from hilab.analysis.switching import lag1_autocorrelation, wilson_interval
from hilab.engine.messages import Column, Progress, Reading
from hilab.frames import FloatArray, FrameBatch, IntArray
from protocols._common import Steps, device_column, frame_reading
from protocols._locate import UNIT_OF_I50, Located, Timing

if TYPE_CHECKING:
    from hilab.bench import Bench

SWITCHING_COLUMNS: Mapping[str, Column] = {
    "device": Column("S32"),
    "width_m": Column("f8", "m"),
    "write_width_s": Column("f8", "s"),
    "amplitude_a": Column("f8", "A"),
    "n": Column("i8"),
    "k": Column("i8"),
    "failed_resets": Column("i8"),
    "p_switch": Column("f8"),
    "p_low": Column("f8"),
    "p_high": Column("f8"),
}


@dataclass(frozen=True)
class Sigmoid:
    """Counts of one device: all arrays (A,), ascending in amplitude; round_n, round_k (R, A) of each round.

    lag1 is the autocorrelation between successive frames, each outcome relative to its amplitude's mean.
    """

    device: str
    write_width_s: float
    amplitude_a: FloatArray
    n: IntArray
    k: IntArray
    failed_resets: IntArray
    round_n: IntArray
    round_k: IntArray
    lag1: float
    lag1_error: float


def amplitudes_around(i50_a: float, points: int, span_units: float) -> FloatArray:
    """(points,) amplitudes centred on I50, +-span_units logistic units of a typical device."""
    return i50_a * (1 + UNIT_OF_I50 * np.linspace(-span_units, span_units, points))


def measure_sigmoids(
    bench: Bench,
    located: Mapping[str, Located],
    amplitudes: Mapping[str, FloatArray],
    *,
    trials: int,
    rounds: int,
    timing: Timing,
    verify_reset: bool,
    random: np.random.Generator,
    record: bool = True,
) -> Steps[dict[str, Sigmoid]]:
    """Play `trials` samples of each amplitude in `rounds` rounds over all devices; returns {device: Sigmoid}.

    Amplitudes are shuffled within a device and round, so that drift spreads over the curve instead of
    bending it. A frame whose reset failed is counted as such and not in n. Each device's counts are
    published when its last round is done.
    """
    devices = list(located)
    share = np.full(rounds, trials // rounds) + (np.arange(rounds) < trials % rounds)
    counts = {name: np.zeros((3, rounds, len(amplitudes[name])), dtype=np.int64) for name in devices}
    history: dict[str, list[tuple[IntArray, IntArray]]] = {name: [] for name in devices}
    total = rounds * len(devices)
    for round_number, samples in enumerate(share):
        for number, name in enumerate(devices):
            level = random.permutation(np.repeat(np.arange(len(amplitudes[name])), samples))
            batch = _batch(located[name], amplitudes[name][level], timing, verify_reset)
            plan = bench.plan(batch)
            readings = bench.play(plan)
            if record:
                yield frame_reading(plan, readings)
            readout = located[name].readout
            failed = readings.clean & verify_reset & readout.is_set(readings.reset_voltage_v)
            valid = readings.clean & ~failed
            switched = readout.is_set(readings.voltage_v)
            width = len(amplitudes[name])
            counts[name][0, round_number] = np.bincount(level[valid], minlength=width)
            counts[name][1, round_number] = np.bincount(level[valid & switched], minlength=width)
            counts[name][2, round_number] = np.bincount(level[failed], minlength=width)
            history[name].append((level[valid], switched[valid].astype(np.int64)))
            yield Progress(round_number * len(devices) + number + 1, total, name)
    sigmoids = {}
    for name in devices:
        sigmoid = _summary(name, timing, amplitudes[name], counts[name], history[name])
        sigmoids[name] = sigmoid
        yield switching_reading(bench, sigmoid)
    return sigmoids


def _batch(located: Located, write_a: FloatArray, timing: Timing, verify_reset: bool) -> FrameBatch:
    return FrameBatch.of(
        [located.device],
        np.zeros(len(write_a), dtype=np.int64),
        write_a,
        located.reset_a,
        located.read_a,
        **asdict(timing),
        verify_reset=verify_reset,
    )


def _summary(
    name: str,
    timing: Timing,
    amplitude_a: FloatArray,
    counts: IntArray,
    history: Sequence[tuple[IntArray, IntArray]],
) -> Sigmoid:
    level = np.concatenate([levels for levels, _ in history])
    switched = np.concatenate([bits for _, bits in history])
    together = lag1_autocorrelation(switched, level, np.zeros(len(level)))
    n, k, failed = counts.sum(axis=1)
    return Sigmoid(
        name,
        timing.write_width_s,
        amplitude_a,
        n,
        k,
        failed,
        counts[0],
        counts[1],
        together.value,
        together.standard_error,
    )


def switching_reading(bench: Bench, sigmoid: Sigmoid) -> Reading:
    """The rows of the `switching` stream for one device."""
    count = len(sigmoid.amplitude_a)
    low, high = wilson_interval(sigmoid.k, sigmoid.n)
    with np.errstate(invalid="ignore"):
        p_switch = sigmoid.k / sigmoid.n
    return Reading(
        "switching",
        {
            "device": np.repeat(device_column([sigmoid.device]), count),
            "width_m": np.full(count, bench.devices[sigmoid.device].width_m),
            "write_width_s": np.full(count, sigmoid.write_width_s),
            "amplitude_a": sigmoid.amplitude_a,
            "n": sigmoid.n,
            "k": sigmoid.k,
            "failed_resets": sigmoid.failed_resets,
            "p_switch": p_switch,
            "p_low": low,
            "p_high": high,
        },
    )
