"""What several write widths say: the barrier from I50 against ln(width), and tau0 itself where it shows.

Below Ic0 the law is ln(-ln(1 - P)) = ln t_p - (ln tau0 + Delta) + (Delta/Ic0) I: widths and amplitudes
together determine Delta/Ic0 and the sum ln tau0 + Delta, never the two parts. tau0 by itself shows only
where P saturates at 1 - exp(-t_p/tau0) above Ic0, that is with widths not much longer than tau0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import xlogy

from hilab.analysis.fits import LN2, fit_arrhenius
from hilab.frames import FloatArray

HALF_CHI2_95 = 1.92  # fall of the log likelihood at the ends of a 95 % interval


@dataclass(frozen=True)
class WidthLine:
    """I50 = ic0_a - step_a ln(t_p/(tau0 ln 2)); delta = ic0_a/step_a at the assumed tau0_s."""

    ic0_a: float
    ic0_se_a: float
    delta: float
    delta_se: float
    step_a: float
    step_se_a: float
    chi_square: float
    points: int
    tau0_s: float


def fit_width_line(
    width_s: ArrayLike, i50_a: ArrayLike, i50_se_a: ArrayLike, tau0_s: float = 1e-9
) -> WidthLine:
    """Weighted straight line of I50 against ln(width), all (W,), at least two different widths.

    Its delta is independent of the slope of P(I): heating separates the two.
    """
    width, i50, error = (np.asarray(values, dtype=np.float64) for values in (width_s, i50_a, i50_se_a))
    used = np.isfinite(i50) & (error > 0)
    if np.unique(width[used]).size < 2:
        raise ValueError("the barrier from pulse widths needs I50 at two different widths or more")
    x, y, weight = np.log(width[used] / (tau0_s * LN2)), i50[used], error[used] ** -2
    design = np.stack([np.ones_like(x), -x], axis=1)
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    ic0, step = covariance @ (design.T @ (weight * y))
    delta = ic0 / step
    gradient = np.array([1 / step, -ic0 / step**2])
    return WidthLine(
        float(ic0),
        float(np.sqrt(covariance[0, 0])),
        float(delta),
        float(np.sqrt(gradient @ covariance @ gradient)),
        float(step),
        float(np.sqrt(covariance[1, 1])),
        float((weight * (y - design @ np.array([ic0, step])) ** 2).sum()),
        int(used.sum()),
        tau0_s,
    )


@dataclass(frozen=True)
class FreeTau0:
    """Fit over several widths with tau0 free.

    rate_per_a = Delta/Ic0 and barrier_sum = ln(tau0 / 1 s) + Delta hold in any case. If `identified`, tau0_s
    has a 95 % interval and delta, ic0_a go with it; if not, only tau0_high_s is a bound, the others are
    nan, and `note` says so.
    """

    rate_per_a: float
    barrier_sum: float
    identified: bool
    tau0_s: float
    tau0_low_s: float
    tau0_high_s: float
    delta: float
    ic0_a: float
    note: str


def fit_tau0(write_a: ArrayLike, width_s: ArrayLike, k: ArrayLike, n: ArrayLike) -> FreeTau0:
    """Neel-Arrhenius likelihood with tau0 free, points (A,) of one device: amplitude, width, k of n.

    Raises ValueError when the longest width's points show no transition to start from.
    """
    points = _Points(
        *np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (write_a, width_s, k, n)))
    )
    start = points.start()
    free = points.best(start, -np.inf)
    grid = np.linspace(np.log(points.width.min()) - 12, np.log(points.width.max()) + 1, 53)
    profile = [points.best(start, ln_tau0) for ln_tau0 in grid]
    values = np.array([fit[0] for fit in profile])
    peak = int(np.argmax(values))
    around = (grid[max(peak - 1, 0)], grid[min(peak + 1, len(grid) - 1)])
    ln_tau0 = float(
        minimize_scalar(lambda trial: -points.best(start, trial)[0], bounds=around, method="bounded").x
    )
    best = points.best(start, ln_tau0)
    level = best[0] - HALF_CHI2_95

    def below(trial: float) -> float:
        return points.best(start, trial)[0] - level

    high = _crossing(below, ln_tau0, float(grid[-1]) + 4)
    if free[0] > level:
        _, alpha, beta = free
        note = (
            "tau0 is not determined by these widths: only ln(tau0) + Delta is. A width close to tau0, "
            "where P stays below 1 at large amplitudes, would determine it"
        )
        nan = float("nan")
        return FreeTau0(beta, -alpha, False, nan, 0.0, float(np.exp(high)), nan, nan, note)
    _, alpha, beta = best
    low = _crossing(below, ln_tau0, float(grid[0]) - 4)
    delta = -alpha - ln_tau0
    return FreeTau0(
        beta,
        -alpha,
        True,
        float(np.exp(ln_tau0)),
        float(np.exp(low)),
        float(np.exp(high)),
        delta,
        delta / beta,
        "",
    )


def _crossing(function: Callable[[float], float], inside: float, outside: float) -> float:
    if function(outside) > 0:
        return outside
    return float(brentq(function, inside, outside, xtol=1e-4))


@dataclass(frozen=True)
class _Points:
    write: FloatArray
    width: FloatArray
    k: FloatArray
    n: FloatArray

    def start(self) -> FloatArray:
        """(alpha, beta) from the width whose transition is seen most steeply."""
        found = []
        for width in np.unique(self.width):
            mine = self.width == width
            fit = fit_arrhenius(
                self.write[mine], self.k[mine], self.n[mine], width_s=width, tau0_s=width / 1e5
            )
            if fit.ok[0]:
                rate = 2 * float(fit.slope_per_a.value[0]) / LN2
                offset = np.log(LN2) - rate * float(fit.i50_a.value[0]) - np.log(width)
                found.append((rate, offset))
        if not found:
            raise ValueError("no write width shows a transition, so there is nothing to fit")
        rate, offset = max(found)
        return np.array([offset, rate])

    def best(self, start: FloatArray, ln_tau0: float) -> tuple[float, float, float]:
        """(log likelihood, alpha, beta) at the best line for this tau0 (-inf: no saturation)."""
        centre = float(self.write.mean())
        scale = float(np.ptp(self.write)) or 1.0

        def loss(trial: FloatArray) -> float:
            eta = np.minimum(
                np.log(self.width) + trial[0] + trial[1] * (self.write - centre) / scale,
                np.log(self.width) - ln_tau0,
            )
            m = np.exp(np.clip(eta, -40, 6))
            p = -np.expm1(-m)
            return float((-xlogy(self.k, p) + (self.n - self.k) * m).sum())

        first = np.array([start[0] + start[1] * centre, start[1] * scale])
        found = minimize(
            loss, first, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 2000}
        )
        beta = float(found.x[1] / scale)
        return -float(found.fun), float(found.x[0] - beta * centre), beta
