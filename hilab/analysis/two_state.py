"""Two-state split of Hall readings: which voltage is which state, and how often a reading is mistaken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr

from hilab.frames import FloatArray

MIN_SEPARATION = 3.0  # in sigma; below, half of 13 % of the readings would be misread
FEWEST_READINGS = 8
FEWEST_OF_A_STATE = 3
EM_ROUNDS = 60
STRAY_SHARE = 0.002  # small, so that a state held by 1 % of the readings is not taken for strays


@dataclass(frozen=True)
class TwoStates:
    """The two levels of a device's readings.

    low_v, high_v: levels (V); threshold_v midway; sigma_v: noise of one reading; separation:
    (high - low) / sigma; misread_probability: chance that one reading falls on the wrong side.
    occupied: were both states seen? If not, and nothing was known before, only one level exists: low_v equals
    high_v, threshold_v is nan. note: why, in one sentence ("" if both were seen).
    """

    low_v: float
    high_v: float
    threshold_v: float
    sigma_v: float
    separation: float
    misread_probability: float
    occupied: bool
    note: str = ""


def split_two_states(voltage_v: ArrayLike, known: TwoStates | None = None) -> TwoStates:
    """Find the two levels in readings (N,) in volt; nan (overload, missing) is left out.

    Finds a state that holds down to 1 % of the readings, and says so when only one state is there. With
    `known` (an earlier split of the same device and read current) its levels and threshold stay, and only
    noise and occupation are new. Raises ValueError with fewer than 8 readings.
    """
    values = np.asarray(voltage_v, dtype=np.float64).ravel()
    values = np.sort(values[np.isfinite(values)])
    if values.size < FEWEST_READINGS:
        raise ValueError(
            f"{values.size} readings are too few to find two states, {FEWEST_READINGS} are needed"
        )
    if known is not None and np.isfinite(known.threshold_v):
        return _against_known(values, known)
    low, high, sigma, weight = _mixture(values)
    if not _two_are_there(values, low, high, sigma, weight):
        level, noise = float(np.median(values)), _robust_sigma(values - np.median(values))
        return TwoStates(
            level,
            level,
            np.nan,
            noise,
            0.0,
            0.5,
            False,
            "all readings lie in one state, the other was not seen",
        )
    return _levels(low, high, sigma, occupied=True, note="")


def bits(voltage_v: ArrayLike, two_states: TwoStates) -> NDArray[np.uint8]:
    """1 where the reading lies above the threshold, 0 below (nan reads 0: mask with `readings.clean`).

    Raises ValueError when the split has no threshold because only one state was seen.
    """
    if not np.isfinite(two_states.threshold_v):
        raise ValueError(
            "readings cannot be turned into bits: only one state was seen, so there is no threshold"
        )
    return (np.asarray(voltage_v, dtype=np.float64) > two_states.threshold_v).astype(np.uint8)


def _levels(low: float, high: float, sigma: float, *, occupied: bool, note: str) -> TwoStates:
    separation = (high - low) / sigma if sigma > 0 else np.inf
    misread = float(ndtr(-separation / 2))
    return TwoStates(low, high, (low + high) / 2, sigma, float(separation), misread, occupied, note)


def _robust_sigma(deviations: FloatArray) -> float:
    """Standard deviation from the median absolute deviation: intermediate levels do not widen it."""
    sigma = 1.4826 * float(np.median(np.abs(deviations)))
    return sigma if sigma > 0 else float(np.std(deviations))


def _against_known(values: FloatArray, known: TwoStates) -> TwoStates:
    upper = values > known.threshold_v
    deviations = np.concatenate(
        [side - np.median(side) for side in (values[~upper], values[upper]) if side.size]
    )
    occupied = bool(min(upper.sum(), (~upper).sum()) >= FEWEST_OF_A_STATE)
    note = "" if occupied else f"all readings lie in the {'upper' if upper.mean() > 0.5 else 'lower'} state"
    return _levels(known.low_v, known.high_v, _robust_sigma(deviations), occupied=occupied, note=note)


def _best_cut(values: FloatArray) -> int:
    """The cut of sorted values that makes two groups of one common width most likely."""
    n = values.size
    shifted = values - values.mean()
    sums, squares = np.cumsum(shifted)[:-1], np.cumsum(shifted**2)
    left = np.arange(1, n)
    right = n - left
    within = squares[-1] - sums**2 / left - sums**2 / right
    scale = max(float(within.min()), 1e-12 * float(squares[-1]), np.finfo(float).tiny)
    score = left * np.log(left / n) + right * np.log(right / n) - n / 2 * np.log(np.maximum(within, scale))
    allowed = np.minimum(left, right) >= min(FEWEST_OF_A_STATE, n // 3)
    return int(left[allowed][np.argmax(score[allowed])])


def _log_densities(values: FloatArray, low: float, high: float, sigma: float, weight: float) -> FloatArray:
    """(2, N) log of weight times normal density of the lower and the upper state."""
    levels = np.array([[low], [high]])
    weights = np.log(np.array([[1 - weight], [weight]]))
    return np.asarray(weights - np.log(sigma) - 0.5 * ((values - levels) / sigma) ** 2)


def _mixture(values: FloatArray) -> tuple[float, float, float, float]:
    """(low, high, sigma, share of the upper state) of two equally wide normals, by EM."""
    cut = _best_cut(values)
    low, high, weight = float(values[:cut].mean()), float(values[cut:].mean()), 1 - cut / values.size
    floor = 1e-9 * max(float(values[-1] - values[0]), np.finfo(float).tiny)
    sigma = max(
        float(
            np.sqrt((((values[:cut] - low) ** 2).sum() + ((values[cut:] - high) ** 2).sum()) / values.size)
        ),
        floor,
    )
    for _ in range(EM_ROUNDS):
        logs = _log_densities(values, low, high, sigma, weight)
        upper = expit(logs[1] - logs[0])
        share = float(np.clip(upper.mean(), 1e-6, 1 - 1e-6))
        low, before = float(((1 - upper) @ values) / max(float((1 - upper).sum()), 1e-12)), low
        high = float((upper @ values) / max(float(upper.sum()), 1e-12))
        square = (1 - upper) @ (values - low) ** 2 + upper @ (values - high) ** 2
        sigma, weight = max(float(np.sqrt(square / values.size)), floor), share
        if abs(low - before) < 1e-6 * sigma:
            break
    return _sharpened(values, low, high, sigma, weight)


def _sharpened(
    values: FloatArray, low: float, high: float, sigma: float, weight: float
) -> tuple[float, float, float, float]:
    """Medians instead of means where the states lie well apart: intermediate levels do not pull them."""
    if high - low < 6 * sigma:
        return low, high, sigma, weight
    upper = values > (low + high) / 2
    low, high = float(np.median(values[~upper])), float(np.median(values[upper]))
    robust = _robust_sigma(values - np.where(upper, high, low))
    return low, high, robust if robust > 0 else sigma, float(upper.mean())


def _two_are_there(values: FloatArray, low: float, high: float, sigma: float, weight: float) -> bool:
    """Both states hold readings, lie apart, and two levels explain the readings clearly better than one."""
    held = weight * values.size
    if min(held, values.size - held) < FEWEST_OF_A_STATE - 0.5 or high - low < MIN_SEPARATION * sigma:
        return False
    spread = float(np.std(values))
    two = np.logaddexp(*_log_densities(values, low, high, sigma, weight))
    one = -np.log(spread) - 0.5 * ((values - values.mean()) / spread) ** 2
    # Intermediate Hall levels fit no level: a few of them must not outweigh all the others.
    stray = np.log(STRAY_SHARE / float(np.ptp(values)))
    gain = float((np.logaddexp(two, stray) - np.logaddexp(one, stray)).sum())
    return bool(2 * gain > 3 * np.log(values.size) + 15)
