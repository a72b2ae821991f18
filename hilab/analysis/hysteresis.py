"""Hysteresis loops against field or current: coercive values, opening, offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hilab.frames import FloatArray

ROUNDS = 12
LEAST_SIGNIFICANCE = 5.0  # the opening must exceed its standard error by this factor
FEWEST_POINTS = 4


@dataclass(frozen=True)
class HysteresisLoop:
    """One loop; the drive is a field (T) or a current (A), the response any signal (ohm, V).

    up, down: drive at which the rising and the falling sweep switch (midway between two points);
    coercive = (up - down)/2, offset = (up + down)/2 with their standard errors (from the step of the sweep);
    opening: response of the upper minus the lower state at zero drive, sign included; centre: their mean;
    background: slope that both states share (ordinary Hall effect); noise: rms of the response around the
    fitted loop. `reason`: why there is no loop ("" if there is); then the numbers are nan.
    """

    up: float
    down: float
    coercive: float
    coercive_se: float
    offset: float
    offset_se: float
    opening: float
    opening_se: float
    centre: float
    background: float
    noise: float
    reason: str


def analyse_loop(drive: ArrayLike, response: ArrayLike) -> HysteresisLoop:
    """Fit one closed loop, drive and response (N,) in the order measured: one rising and one falling sweep.

    Model: a constant, a slope against the drive, a slow drift in time, and one step in each sweep at the
    place of least squares: single misread points, slow drift and a sloping background move the step by no
    more than a point. nan readings are left out. Raises ValueError if there are not two sweeps of 4 points
    or more.
    """
    x, y = np.asarray(drive, dtype=np.float64), np.asarray(response, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"drive and response must be two equal rows, got {x.shape} and {y.shape}")
    rising = _rising(x)
    good = np.isfinite(y) & np.isfinite(x)
    position = np.arange(x.size) / max(x.size - 1, 1) - 0.5
    up = _Branch(x[rising & good], y[rising & good], position[rising & good])
    down = _Branch(x[~rising & good], y[~rising & good], position[~rising & good])
    if min(len(up.x), len(down.x)) < FEWEST_POINTS:
        raise ValueError(f"a loop needs a rising and a falling sweep of {FEWEST_POINTS} points or more each")
    fits = [_fitted(up, down, background) for background in (0.0, _end_slope(up, down))]
    return _loop(up, down, *min(fits, key=lambda fit: fit[3]))


@dataclass(frozen=True)
class _Branch:
    """One sweep in the order measured."""

    x: FloatArray
    y: FloatArray
    t: FloatArray


def _rising(x: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(N,) True where the sweep rises; the point at a turn belongs to the sweep that leads to it."""
    step = np.sign(np.diff(x, prepend=x[0]))
    moving = np.flatnonzero(step)
    if moving.size == 0:
        raise ValueError("the drive never changes, so there is no loop")
    # Points that do not move take the direction before them; the first ones the direction that follows.
    last = np.maximum.accumulate(np.where(step != 0, np.arange(x.size), -1))
    return np.where(last >= 0, step[last], step[moving[0]]) > 0


def _end_slope(up: _Branch, down: _Branch) -> float:
    """Slope of the response where the states are settled: the first third of each sweep."""
    slopes = []
    for branch in (up, down):
        head = slice(0, max(3, len(branch.x) // 3))
        x = branch.x[head] - branch.x[head].mean()
        if (x**2).sum() > 0:
            slopes.append(float((x @ branch.y[head]) / (x**2).sum()))
    return float(np.median(slopes)) if slopes else 0.0


def _step_place(values: FloatArray) -> int:
    """Points before the single step that explains the values best in least squares."""
    n = values.size
    sums = np.cumsum(values - values.mean())[:-1]
    left = np.arange(1, n)
    return int(left[np.argmax(sums**2 / left + sums**2 / (n - left))])


def _fitted(up: _Branch, down: _Branch, background: float) -> tuple[int, int, FloatArray, float, FloatArray]:
    """(step in the rising, in the falling sweep, coefficients, sum of squares, covariance / noise^2)."""
    drift = 0.0
    x, y, t = (np.concatenate([getattr(up, part), getattr(down, part)]) for part in "xyt")
    cuts: tuple[int, int] = (0, 0)
    for _ in range(ROUNDS):
        before = cuts
        cuts = (
            _step_place(up.y - background * up.x - drift * up.t),
            _step_place(down.y - background * down.x - drift * down.t),
        )
        state = np.concatenate(
            [
                np.where(np.arange(len(up.x)) < cuts[0], -0.5, 0.5),
                np.where(np.arange(len(down.x)) < cuts[1], 0.5, -0.5),
            ]
        )
        scale = float(np.abs(x).max()) or 1.0
        design = np.stack([np.ones_like(x), x / scale, t, state], axis=1)
        coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
        background, drift = float(coefficients[1]) / scale, float(coefficients[2])
        if cuts == before:
            break
    residual = y - design @ coefficients
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = coefficients.copy()
    coefficients[1] = background
    return cuts[0], cuts[1], coefficients, float(residual @ residual), inverse


def _loop(
    up: _Branch,
    down: _Branch,
    cut_up: int,
    cut_down: int,
    fit: FloatArray,
    squares: float,
    inverse: FloatArray,
) -> HysteresisLoop:
    noise = float(np.sqrt(squares / max(len(up.x) + len(down.x) - 6, 1)))
    opening, opening_se = float(fit[3]), noise * float(np.sqrt(inverse[3, 3]))
    reason = ""
    if not abs(opening) > LEAST_SIGNIFICANCE * opening_se:
        reason = "no loop: the response does not change between two states"
    switch_up, step_up = _between(up, cut_up)
    switch_down, step_down = _between(down, cut_down)
    coercive = (switch_up - switch_down) / 2
    if not reason and coercive <= 0.1 * max(step_up, step_down):
        reason = "no loop: both sweeps switch at the same drive, there is no hysteresis"
    if not reason and (_ends_alone(up, cut_up) or _ends_alone(down, cut_down)):
        reason = "the sweep is too short: a switch lies at its very end"
    error = float(np.hypot(step_up, step_down)) / np.sqrt(12) / 2
    if reason:
        nan = float("nan")
        return HysteresisLoop(
            nan, nan, nan, nan, nan, nan, nan, nan, float(fit[0]), float(fit[1]), noise, reason
        )
    return HysteresisLoop(
        switch_up,
        switch_down,
        coercive,
        error,
        (switch_up + switch_down) / 2,
        error,
        opening,
        opening_se,
        float(fit[0]),
        float(fit[1]),
        noise,
        "",
    )


def _between(branch: _Branch, cut: int) -> tuple[float, float]:
    before, after = branch.x[cut - 1], branch.x[cut]
    return float((before + after) / 2), float(abs(after - before))


def _ends_alone(branch: _Branch, cut: int) -> bool:
    return cut < 2 or cut > len(branch.x) - 2


@dataclass(frozen=True)
class LoopMean:
    """Mean over repeated loops with the standard error of the mean (one loop: its own error)."""

    coercive: float
    coercive_se: float
    offset: float
    offset_se: float
    opening: float
    opening_se: float
    loops: int


def mean_loop(loops: list[HysteresisLoop]) -> LoopMean:
    """Average the loops that have one. Raises ValueError with the first reason if none has."""
    good = [loop for loop in loops if not loop.reason]
    if not good:
        raise ValueError(loops[0].reason if loops else "no loop was measured")

    def mean(name: str) -> tuple[float, float]:
        values = np.array([getattr(loop, name) for loop in good])
        own = float(np.sqrt(np.mean([getattr(loop, f"{name}_se") ** 2 for loop in good]) / len(good)))
        scatter = float(values.std(ddof=1) / np.sqrt(len(good))) if len(good) > 1 else 0.0
        return float(values.mean()), max(own, scatter)

    return LoopMean(*mean("coercive"), *mean("offset"), *mean("opening"), len(good))
