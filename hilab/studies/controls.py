"""Negative controls: samples that break a published trend. The checker must not call them reproduced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hilab.analysis.fits import LN2, fit_arrhenius
from hilab.analysis.survey import Row, check_claim
from hilab.frames import FloatArray

WIDTH_M = np.repeat([2e-6, 4e-6, 8e-6, 16e-6], 4)
TAU0_S, PULSE_S = 1e-9, 100e-6
AMPLITUDES, TRIALS = 21, 100


@dataclass(frozen=True)
class Law:
    """How Ic0 (A), the barrier (kT) and the nucleation field (T) go with the width (m)."""

    ic0_a: Callable[[FloatArray], FloatArray]
    delta: Callable[[FloatArray], FloatArray]
    hn_t: Callable[[FloatArray], FloatArray]


def _hn_t(width_m: FloatArray) -> FloatArray:
    return 20e-3 / (1 + 1e-6 / width_m)


def _ic0_a(width_m: FloatArray) -> FloatArray:
    return 8e-3 * (width_m * _hn_t(width_m)) / (16e-6 * _hn_t(np.array(16e-6)))


def _flat(value: float) -> Callable[[FloatArray], FloatArray]:
    return lambda width_m: np.full_like(width_m, value)


AS_PUBLISHED = Law(_ic0_a, _flat(60.0), _hn_t)
CONTROLS: dict[str, tuple[str, Law]] = {
    "barrier proportional to width squared": (
        "slope",
        Law(_ic0_a, lambda width_m: 60.0 * (width_m / 4e-6) ** 2, _hn_t),
    ),
    "critical current independent of the width": ("bias", Law(_flat(2e-3), _flat(60.0), _hn_t)),
    "nucleation field independent of the width": ("loop", Law(_ic0_a, _flat(60.0), _flat(20e-3))),
}


def measured(law: Law, random: np.random.Generator) -> dict[str, FloatArray]:
    """What a survey of 16 devices drawn from the law would find: loop, bias and slope, each (16,).

    Switching counts are drawn and fitted; the loop's coercive field carries the spread of Ic0 and a reading
    error of 0.2 mT. A device whose counts cannot be fitted is nan.
    """
    spread = 1 + np.hypot(0.015, 80e-9 / WIDTH_M) * random.standard_normal(16)
    ic0 = law.ic0_a(WIDTH_M) * spread
    delta = np.maximum(law.delta(WIDTH_M) * (1 + 0.05 * random.standard_normal(16)), 1.0)
    ln_ratio = np.log(PULSE_S / (TAU0_S * LN2))
    i50 = ic0 * (1 - ln_ratio / delta)
    write = i50[:, None] + np.linspace(-5, 5, AMPLITUDES) * (ic0 / (1.52 * delta))[:, None]
    p = -np.expm1(-PULSE_S / TAU0_S * np.exp(-delta[:, None] * np.maximum(0, 1 - write / ic0[:, None])))
    k = random.binomial(TRIALS, p)
    fits = fit_arrhenius(np.abs(write), k, np.full(k.shape, TRIALS), width_s=PULSE_S)
    loop = 0.65 * law.hn_t(WIDTH_M) * spread + 0.2e-3 * random.standard_normal(16)
    return {"loop": loop, "bias": fits.i50_a.value, "slope": fits.slope_per_a.value}


def control_rows(seed: int) -> list[Row]:
    """One row for each control; `holds` must be False in all of them."""
    rows = []
    for number, (name, (claim, law)) in enumerate(CONTROLS.items()):
        found = measured(law, np.random.default_rng([seed, number]))
        rows.append(control_row(check_claim(claim, WIDTH_M, found[claim]), name))
    return rows


def control_row(row: Row, name: str) -> Row:
    """The row of a claim that was checked on a sample made to break it."""
    return Row(
        claim=f"negative control ({name}): {row['claim']}",
        published="must not be reproduced: the sample was made to break the trend",
        ours=row["ours"],
        standard_error=row["standard_error"],
        holds=row["holds"],
    )
