"""Switching statistics: counts, intervals, and the check that the outcomes are independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from hilab.frames import FloatArray, IntArray


def wilson_interval(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Wilson score interval (low, high) of a probability from k successes in n samples; nan where n = 0."""
    successes, samples = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if (successes < 0).any() or (successes > samples).any():
        raise ValueError("k must lie between 0 and n")
    z2 = float(norm.ppf(0.5 + confidence / 2)) ** 2
    n_safe = np.where(samples > 0, samples, np.nan)
    p = successes / n_safe
    centre = (p + z2 / (2 * n_safe)) / (1 + z2 / n_safe)
    half = np.sqrt(z2 * (p * (1 - p) / n_safe + z2 / (4 * n_safe**2))) / (1 + z2 / n_safe)
    low = np.where(successes == 0, np.where(samples > 0, 0.0, np.nan), centre - half)
    high = np.where(successes == samples, np.where(samples > 0, 1.0, np.nan), centre + half)
    return np.asarray(low), np.asarray(high)


@dataclass(frozen=True)
class Autocorrelation:
    """Lag-1 autocorrelation of outcomes, its standard error under independence, and the pairs it rests on."""

    value: float
    standard_error: float
    pairs: int


def lag1_autocorrelation(
    bits: ArrayLike, groups: ArrayLike, sequence: ArrayLike | None = None
) -> Autocorrelation:
    """Lag-1 autocorrelation of bits (N,) given in the order they were played; free of the 1/n bias.

    groups (N,): frames that share one probability (device and amplitude); each bit counts relative to its
    group's mean. Without `sequence` a pair is two successive bits of one group (fixed amplitude). With
    `sequence` (N,), such as the device, a pair is two successive frames of one sequence whatever their
    amplitudes: this is what finds a frame that disturbs the next when amplitudes are interleaved. nan if no
    group varies.
    """
    outcome = np.asarray(bits, dtype=np.float64)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    count = np.bincount(group)
    residual = outcome - (np.bincount(group, outcome) / count)[group]
    squares = np.bincount(group, residual**2)
    variance = (squares / np.maximum(count - 1, 1))[group]  # of one bit, by its group
    chain = group if sequence is None else np.unique(np.asarray(sequence), return_inverse=True)[1]
    order = np.argsort(chain, kind="stable")
    first, second = order[:-1], order[1:]
    paired = chain[first] == chain[second]
    first, second = first[paired], second[paired]
    scale = np.sqrt(variance[first] * variance[second])
    # Two residuals of one group of n share its mean: their expected product is -variance / n.
    expected = np.where(group[first] == group[second], -variance[first] / count[group[first]], 0.0)
    total = float(scale.sum())
    if total <= 0:
        return Autocorrelation(np.nan, np.nan, len(first))
    value = float((residual[first] * residual[second] - expected).sum()) / total
    return Autocorrelation(value, float(np.sqrt((scale**2).sum())) / total, len(first))


@dataclass(frozen=True)
class SwitchingTable:
    """Counts by device and write amplitude: all arrays (rows,).

    device indexes into devices; k of n samples switched; failed_resets of the frames played at this point
    started from the wrong state and are not among the n.
    """

    devices: tuple[str, ...]
    device: IntArray
    write_a: FloatArray
    write_width_s: float
    k: IntArray
    n: IntArray
    failed_resets: IntArray

    @property
    def p_switch(self) -> FloatArray:
        """(rows,) k / n; nan where n = 0."""
        return np.where(self.n > 0, self.k / np.maximum(self.n, 1), np.nan)

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Wilson intervals (low, high) of the rows."""
        return wilson_interval(self.k, self.n, confidence)

    def padded(self) -> tuple[FloatArray, IntArray, IntArray]:
        """(write_a, k, n), each (devices, most amplitudes), padded with n = 0: the input of the fits."""
        rows = [np.flatnonzero(self.device == number) for number in range(len(self.devices))]
        shape = (len(rows), max((len(row) for row in rows), default=0))
        write, k, n = np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for number, row in enumerate(rows):
            write[number, : len(row)] = self.write_a[row]
            k[number, : len(row)], n[number, : len(row)] = self.k[row], self.n[row]
        return write, k, n


def tabulate(
    devices: Sequence[str],
    device: ArrayLike,
    write_a: ArrayLike,
    bits: ArrayLike,
    *,
    write_width_s: float,
    reset_failed: ArrayLike | None = None,
    usable: ArrayLike | None = None,
) -> SwitchingTable:
    """Count outcomes (N,) by device and amplitude.

    Frames with reset_failed are counted apart, frames that are not usable not at all.
    """
    index = np.asarray(device, dtype=np.int64)
    amplitude = np.asarray(write_a, dtype=np.float64)
    switched = np.asarray(bits).astype(bool)
    failed = _mask(reset_failed, index.shape, default=False)
    good = _mask(usable, index.shape, default=True)
    rows, place = np.unique(
        np.stack([index.astype(np.float64), amplitude], axis=1), axis=0, return_inverse=True
    )
    place = place.ravel()

    def count(mask: NDArray[np.bool_]) -> IntArray:
        return np.bincount(place[mask], minlength=len(rows)).astype(np.int64)

    return SwitchingTable(
        tuple(devices),
        rows[:, 0].astype(np.int64),
        rows[:, 1],
        write_width_s,
        k=count(good & ~failed & switched),
        n=count(good & ~failed),
        failed_resets=count(good & failed),
    )


def _mask(values: ArrayLike | None, shape: tuple[int, ...], *, default: bool) -> NDArray[np.bool_]:
    return np.full(shape, default) if values is None else np.asarray(values).astype(bool)
