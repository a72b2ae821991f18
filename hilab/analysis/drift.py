"""Drift of a device during a measurement, from an anchor amplitude that is repeated all along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class DriftTerm:
    """sigma_a: rms wandering of I50 (A) around its mean over the run; upper_a: its one-sided 95 % upper
    bound; blocks: stretches of time that were compared."""

    sigma_a: float
    upper_a: float
    blocks: int

    @property
    def fit_a(self) -> float:
        """Standard deviation (A) that drift adds to I50 fitted to amplitudes interleaved over the run."""
        return self.sigma_a / float(np.sqrt(self.blocks))


def drift_from_anchor(bits: ArrayLike, time_s: ArrayLike, slope_per_a: float, blocks: int = 20) -> DriftTerm:
    """Wandering of I50 from outcomes (N,) at one amplitude near I50, played at time_s (N,) all through a run.

    The share of ones in `blocks` stretches of time scatters by chance and by drift; what exceeds chance, over
    the slope dP/dI, is the drift. Raises ValueError with fewer than 4 frames a block.
    """
    outcome, time = np.asarray(bits, dtype=np.float64), np.asarray(time_s, dtype=np.float64)
    if blocks < 3 or outcome.size < 4 * blocks:
        raise ValueError(
            f"{outcome.size} anchor frames do not fill {blocks} blocks of 4 or more (and 3 blocks)"
        )
    if not slope_per_a:
        raise ValueError("the slope at the anchor is zero: its outcomes say nothing about the current")
    parts = np.array_split(outcome[np.argsort(time, kind="stable")], blocks)
    shares = np.array([part.mean() for part in parts])
    chance = np.array([part.var(ddof=1) / part.size for part in parts])
    excess = float(shares.var(ddof=1) - chance.mean())
    error = float(shares.var(ddof=1) * np.sqrt(2 / (blocks - 1)))
    scale = abs(slope_per_a)
    return DriftTerm(
        float(np.sqrt(max(excess, 0.0))) / scale,
        float(np.sqrt(max(excess, 0.0) + 1.645 * error)) / scale,
        blocks,
    )
