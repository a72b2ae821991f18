"""From counts to parameters: fits of measured switching curves, widened by the drift seen between rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hilab.analysis.fits import SwitchingFits, fit_arrhenius, fit_logistic, nearest_logistic
from hilab.engine.messages import Column, Reading
from hilab.frames import FloatArray
from protocols._common import Steps, device_column
from protocols._sigmoid import Sigmoid

if TYPE_CHECKING:
    from hilab.bench import Bench

Figures: TypeAlias = dict[str, Any]

FIT_COLUMNS: Mapping[str, Column] = {
    "device": Column("S32"),
    "width_m": Column("f8", "m"),
    "write_width_s": Column("f8", "s"),
    "i50_a": Column("f8", "A"),
    "i50_error_a": Column("f8", "A"),
    "i50_low_a": Column("f8", "A"),
    "i50_high_a": Column("f8", "A"),
    "slope_per_a": Column("f8", "1/A"),
    "slope_error_per_a": Column("f8", "1/A"),
    "slope_low_per_a": Column("f8", "1/A"),
    "slope_high_per_a": Column("f8", "1/A"),
    "unit_a": Column("f8", "A"),
    "delta": Column("f8"),
    "delta_error": Column("f8"),
    "delta_low": Column("f8"),
    "delta_high": Column("f8"),
    "ic0_a": Column("f8", "A"),
    "ic0_error_a": Column("f8", "A"),
    "ic0_low_a": Column("f8", "A"),
    "ic0_high_a": Column("f8", "A"),
    "drift_a": Column("f8", "A"),
    "lapse": Column("f8"),
    "p_value": Column("f8"),
    "logistic_i50_a": Column("f8", "A"),
    "logistic_expected_i50_a": Column("f8", "A"),
    "logistic_p_value": Column("f8"),
    "lag1": Column("f8"),
    "lag1_error": Column("f8"),
}


def fit_sigmoids(bench: Bench, sigmoids: Mapping[str, Sigmoid], tau0_s: float) -> Steps[dict[str, Figures]]:
    """Fit every device; yields rows of the `fits` stream, returns {device: figures or {"reason": ...}}."""
    figures: dict[str, Figures] = {}
    lapse = lapses(sigmoids)
    first = {name: _fit(sigmoid, tau0_s, 0.0, lapse[name]) for name, sigmoid in sigmoids.items()}
    drift = pooled_drift([(sigmoids[name], fit) for name, fit in first.items() if fit.ok[0]])
    for name, sigmoid in sigmoids.items():
        plain = first[name]
        if not plain.ok[0]:
            figures[name] = {"reason": plain.reason[0]}
            continue
        drift_a = drift * abs(float(plain.i50_a.value[0]))
        fit = _fit(sigmoid, tau0_s, drift_a, lapse[name])
        row = fit_row(sigmoid, fit, drift_a)
        figures[name] = {key: float(value) for key, value in row.items()}
        yield Reading(
            "fits",
            {
                "device": device_column([name]),
                "width_m": [bench.devices[name].width_m],
                "write_width_s": [sigmoid.write_width_s],
                **{key: [value] for key, value in row.items()},
            },
        )
    return figures


def lapses(sigmoids: Mapping[str, Sigmoid]) -> dict[str, float]:
    """Share of reversals that fail whatever the pulse, from each device's failed resets.

    The resets were far stronger than I50, so what failed there fails in a write too. Few failures are seen,
    so each device's count is drawn towards the mean of all by two failures' worth. 0 where resets were not
    read.
    """
    failed = {name: int(one.failed_resets.sum()) for name, one in sigmoids.items()}
    frames = {name: failed[name] + int(one.n.sum()) for name, one in sigmoids.items()}
    mean = sum(failed.values()) / max(1, sum(frames.values()))
    if mean == 0:
        return dict.fromkeys(sigmoids, 0.0)
    return {name: min(0.4, (failed[name] + 2) / (frames[name] + 2 / mean)) for name in sigmoids}


def _fit(sigmoid: Sigmoid, tau0_s: float, drift_a: float, lapse: float) -> SwitchingFits:
    return fit_arrhenius(
        sigmoid.amplitude_a,
        sigmoid.k,
        sigmoid.n,
        width_s=sigmoid.write_width_s,
        tau0_s=tau0_s,
        drift_a=drift_a,
        lapse=lapse,
    )


def fit_row(sigmoid: Sigmoid, fit: SwitchingFits, drift_a: float) -> dict[str, float]:
    """The figures of one device's fit, named as the columns of the stream."""
    logistic = fit_logistic(sigmoid.amplitude_a, sigmoid.k, sigmoid.n, width_s=sigmoid.write_width_s)
    nearest = nearest_logistic(fit, sigmoid.amplitude_a, sigmoid.n)
    row: dict[str, float] = {}
    for key, suffix, estimate in (
        ("i50", "_a", fit.i50_a),
        ("slope", "_per_a", fit.slope_per_a),
        ("delta", "", fit.delta),
        ("ic0", "_a", fit.ic0_a),
    ):
        row[f"{key}{suffix}"] = float(estimate.value[0])
        row[f"{key}_error{suffix}"] = float(estimate.standard_error[0])
        row[f"{key}_low{suffix}"] = float(estimate.low[0])
        row[f"{key}_high{suffix}"] = float(estimate.high[0])
    return {
        **row,
        "unit_a": float(fit.unit_a.value[0]),
        "drift_a": drift_a,
        "lapse": float(fit.lapse[0]),
        "p_value": float(fit.p_value[0]),
        "logistic_i50_a": float(logistic.i50_a.value[0]),
        "logistic_expected_i50_a": float(nearest.i50_a.value[0]),
        "logistic_p_value": float(logistic.p_value[0]),
        "lag1": sigmoid.lag1,
        "lag1_error": sigmoid.lag1_error,
    }


def round_shifts(sigmoid: Sigmoid, fit: SwitchingFits) -> tuple[FloatArray, FloatArray]:
    """(shift of I50 (R,), its variance by chance (R,)) of each round against the fitted curve, in ampere.

    One step of the likelihood's score: every amplitude serves as an anchor with the weight of its slope.
    """
    step = 0.05 * float(fit.unit_a.value[0])
    here = fit.probability(sigmoid.amplitude_a)[0]
    ahead = fit.probability(sigmoid.amplitude_a + step)[0]
    slope = (ahead - here) / step
    variance = np.maximum(here * (1 - here), 1e-9)
    information = (sigmoid.round_n * (slope**2 / variance)).sum(axis=1)
    score = ((sigmoid.round_k - sigmoid.round_n * here) * (slope / variance)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -score / information, 1 / information


def pooled_drift(fitted: list[tuple[Sigmoid, SwitchingFits]]) -> float:
    """Relative standard deviation that drift between rounds adds to a fitted I50, pooled over devices.

    What the rounds' shifts scatter beyond chance, divided by the number of rounds. 0 with one round.
    """
    excess = []
    for sigmoid, fit in fitted:
        shift, chance = round_shifts(sigmoid, fit)
        seen = np.isfinite(shift) & np.isfinite(chance)
        if seen.sum() < 2:
            continue
        scatter = shift[seen].var(ddof=1) - chance[seen].mean()
        excess.append(scatter / seen.sum() / float(fit.i50_a.value[0]) ** 2)
    return float(np.sqrt(max(0.0, float(np.mean(excess))))) if excess else 0.0
