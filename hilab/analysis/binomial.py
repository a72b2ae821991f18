"""Binomial regression of k out of n on current, for many devices at once, with two links.

`cloglog`, ln(-ln(1 - P)), makes the Neel-Arrhenius law a straight line in the current; `logit` is the
logistic curve. The likelihood of both is concave, so Fisher scoring finds its only maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, xlogy

from hilab.frames import FloatArray, IntArray

ROUNDS = 60
ENUMERATE_BELOW = 25.0  # variance of k below which its deviance is not yet chi-square


@dataclass(frozen=True)
class Link:
    """probability(eta), and from (eta, k, n): score dl/deta, expected and observed -d2l/deta2."""

    probability: Callable[[FloatArray], FloatArray]
    terms: Callable[[FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
    inverse: Callable[[FloatArray], FloatArray]


def _gompertz(eta: FloatArray) -> FloatArray:
    return np.asarray(-np.expm1(-np.exp(np.clip(eta, -40, 6))))


def _gompertz_terms(
    eta: FloatArray, k: FloatArray, n: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    m = np.exp(np.clip(eta, -40, 6))  # expected events in the pulse
    p = -np.expm1(-m)
    q = np.exp(-m)
    return m * (k / p - n), n * m**2 * q / p, n * m - k * m / p + k * m**2 * q / p**2


def _logistic_terms(
    eta: FloatArray, k: FloatArray, n: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    p = expit(eta)
    weight = n * p * (1 - p)
    return k - n * p, weight, weight


def lapsed_cloglog(lapse: FloatArray) -> Link:
    """The cloglog link under a ceiling of 1 - lapse, lapse (D,) between 0 and 1/2: reversals that fail
    whatever the pulse."""
    reach = 1.0 - lapse[:, None]

    def probability(eta: FloatArray) -> FloatArray:
        return np.asarray(reach * _gompertz(eta))

    def terms(eta: FloatArray, k: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        m = np.exp(np.clip(eta, -40, 6))
        p = np.minimum(reach * -np.expm1(-m), 1 - 1e-12)
        slope = reach * m * np.exp(-m)
        pull = k / p - (n - k) / (1 - p)
        expected = n * slope**2 / (p * (1 - p))
        observed = (k / p**2 + (n - k) / (1 - p) ** 2) * slope**2 - pull * slope * (1 - m)
        return pull * slope, expected, observed

    return Link(probability, terms, CLOGLOG.inverse)


CLOGLOG = Link(_gompertz, _gompertz_terms, lambda p: np.log(-np.log1p(-p)))
LOGIT = Link(expit, _logistic_terms, lambda p: np.log(p / (1 - p)))


@dataclass(frozen=True)
class Lines:
    """eta = a + b (x - centre) / scale for each device: all (D,), covariance (D, 2, 2) of (a, b).

    converged False where the likelihood has no finite maximum; the numbers there mean nothing.
    """

    a: FloatArray
    b: FloatArray
    centre: FloatArray
    scale: FloatArray
    covariance: FloatArray
    converged: NDArray[np.bool_]

    def eta(self, x: FloatArray) -> FloatArray:
        """(D, A) predictor at x (D, A)."""
        place = (x - self.centre[:, None]) / self.scale[:, None]
        return self.a[:, None] + self.b[:, None] * place


def fit_lines(x: FloatArray, k: FloatArray, n: FloatArray, link: Link) -> Lines:
    """Maximum likelihood of the line for x, k, n (D, A); points with n = 0 count nothing."""
    used = n > 0
    total = np.maximum(used.sum(axis=1), 1)
    centre = np.where(used, x, 0).sum(axis=1) / total
    scale = np.sqrt(np.where(used, (x - centre[:, None]) ** 2, 0).sum(axis=1) / total)
    scale = np.where(scale > 0, scale, 1.0)
    place = np.where(used, (x - centre[:, None]) / scale[:, None], 0.0)
    a, b = _start(place, k, n, link)
    converged = np.zeros(len(a), dtype=bool)
    for _ in range(ROUNDS):
        score, expected, _ = link.terms(a[:, None] + b[:, None] * place, k, n)
        step = _solve(_information(place, expected), place, score)
        length = np.abs(step).max(axis=1)
        step *= np.minimum(1.0, 3.0 / np.maximum(length, 1e-300))[:, None]
        a, b = a + step[:, 0], b + step[:, 1]
        converged = length < 1e-8 * (1 + np.abs(a) + np.abs(b))
        if converged.all():
            break
    observed = link.terms(a[:, None] + b[:, None] * place, k, n)[2]
    return Lines(a, b, centre, scale, _inverse(_information(place, observed)), converged)


def _start(place: FloatArray, k: FloatArray, n: FloatArray, link: Link) -> tuple[FloatArray, FloatArray]:
    """Weighted straight line through the transformed, slightly shrunk shares."""
    eta = link.inverse((k + 0.5) / (n + 1.0))
    weight = link.terms(eta, k, n)[1]
    information = _information(place, weight)
    start = _solve(information, place, weight * eta)
    return start[:, 0], start[:, 1]


def _information(place: FloatArray, weight: FloatArray) -> FloatArray:
    """(D, 2, 2) information of (a, b) from the weights (D, A)."""
    w0, w1, w2 = weight.sum(axis=1), (weight * place).sum(axis=1), (weight * place**2).sum(axis=1)
    return np.stack([np.stack([w0, w1], axis=-1), np.stack([w1, w2], axis=-1)], axis=-2)


def _inverse(information: FloatArray) -> FloatArray:
    determinant = information[:, 0, 0] * information[:, 1, 1] - information[:, 0, 1] ** 2
    determinant = np.where(determinant > 1e-300, determinant, np.inf)
    adjugate = np.stack(
        [
            np.stack([information[:, 1, 1], -information[:, 0, 1]], axis=-1),
            np.stack([-information[:, 0, 1], information[:, 0, 0]], axis=-1),
        ],
        axis=-2,
    )
    return np.asarray(adjugate / determinant[:, None, None])


def _solve(information: FloatArray, place: FloatArray, score: FloatArray) -> FloatArray:
    right = np.stack([score.sum(axis=1), (score * place).sum(axis=1)], axis=-1)
    return np.asarray((_inverse(information) @ right[:, :, None])[:, :, 0])


def deviance_terms(k: FloatArray, n: FloatArray, p: FloatArray) -> FloatArray:
    """Contribution of each point to the binomial deviance of k in n against p; same shape."""
    p = np.clip(p, 1e-300, 1 - 1e-16)
    share = k / np.maximum(n, 1)
    return np.asarray(2 * (xlogy(k, share / p) + xlogy(n - k, (1 - share) / (1 - p))))


def deviance_moments(n: IntArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of a point's deviance if p is true; same shape as p.

    A point with P near 0 or 1 contributes far less than the 1 of a chi-square, so its moments are summed over
    every possible k.
    """
    samples = np.asarray(n, dtype=np.float64)
    mean, variance = np.where(samples > 0, 1.0, 0.0), np.where(samples > 0, 2.0, 0.0)
    spread = samples * p * (1 - p)
    small = (samples > 0) & (spread < ENUMERATE_BELOW)
    if not small.any():
        return mean, variance
    # Work from the rarer outcome, so that the sum is short however large n is.
    rare, count = np.minimum(p, 1 - p)[small], samples[small]
    last = int(min(float(count.max()), float((count * rare).max() + 12 * np.sqrt(ENUMERATE_BELOW) + 20)))
    k = np.arange(last + 1.0)
    rare, count = np.clip(rare, 1e-300, 0.5)[:, None], count[:, None]
    possible = k <= count
    inside = np.where(possible, k, 0.0)
    log_mass = (
        gammaln(count + 1)
        - gammaln(inside + 1)
        - gammaln(count - inside + 1)
        + xlogy(inside, rare)
        + (count - inside) * np.log1p(-rare)
    )
    mass = np.where(possible, np.exp(log_mass), 0.0)
    terms = deviance_terms(inside, np.broadcast_to(count, inside.shape), np.broadcast_to(rare, inside.shape))
    first = (mass * terms).sum(axis=1)
    mean[small], variance[small] = first, (mass * terms**2).sum(axis=1) - first**2
    return mean, variance
