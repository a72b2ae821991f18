"""Device-to-device report by width, and the published statements beside what was measured.

The published statements are about "Hardware in Loop Learning with Spin Stochastic Neurons" (arXiv
2305.03235). Only its abstract and a summary could be read: directions are known, numbers are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2
from scipy.stats import t as student

from hilab.frames import FloatArray

DECIDE_AT = 0.999  # one-sided confidence at which a trend is called reproduced: false alarm 1e-3


@dataclass(frozen=True)
class Spread:
    """Devices of one width: mean, its standard error, sigma and the 95 % interval of sigma."""

    width_m: float
    devices: int
    mean: float
    mean_se: float
    sigma: float
    sigma_low: float
    sigma_high: float


def spread_by_width(width_m: ArrayLike, value: ArrayLike) -> list[Spread]:
    """Mean and spread of value (D,) for each width (D,), ascending; nan values are left out.

    The interval of sigma is the chi-square one for normal values: x 0.57 to x 3.7 for 4 devices.
    """
    width, values = np.asarray(width_m, dtype=np.float64), np.asarray(value, dtype=np.float64)
    rows = []
    for one in np.unique(width):
        mine = values[(width == one) & np.isfinite(values)]
        if mine.size < 2:
            mean = float(mine.mean()) if mine.size else np.nan
            rows.append(Spread(float(one), mine.size, mean, np.nan, np.nan, np.nan, np.nan))
            continue
        free = mine.size - 1
        sigma = float(mine.std(ddof=1))
        low, high = (sigma * float(np.sqrt(free / chi2.ppf(tail, free))) for tail in (0.975, 0.025))
        rows.append(
            Spread(
                float(one), mine.size, float(mine.mean()), sigma / float(np.sqrt(mine.size)), sigma, low, high
            )
        )
    return rows


@dataclass(frozen=True)
class Trend:
    """value grows as width ** exponent (or by exponent per e-fold of width if not `relative`).

    standard_error and the 95 % interval come from the scatter of the devices around the line; `significance`
    is the one-sided probability that the exponent is truly of the sign found.
    """

    exponent: float
    standard_error: float
    low: float
    high: float
    significance: float
    points: int


def trend_with_width(width_m: ArrayLike, value: ArrayLike, *, relative: bool = True) -> Trend:
    """Straight line of ln|value| (or of value if not relative) against ln(width), all (N,).

    Errors are robust to a scatter that changes with the width (HC3), intervals are Student's. Raises
    ValueError without 2 widths and 4 values.
    """
    width, values = np.asarray(width_m, dtype=np.float64), np.asarray(value, dtype=np.float64)
    good = np.isfinite(values) & (np.abs(values) > 0 if relative else True)
    x = np.log(width[good])
    y = np.log(np.abs(values[good])) if relative else values[good]
    if np.unique(x).size < 2 or x.size < 4:
        raise ValueError(
            f"a trend with width needs 2 widths and 4 values, got {np.unique(x).size} and {x.size}"
        )
    slope, error = _robust_line(x, y)
    free = x.size - 2
    half = float(student.ppf(0.975, free)) * error
    sure = float(student.cdf(abs(slope) / error, free)) if error > 0 else 1.0
    return Trend(slope, error, slope - half, slope + half, sure, int(x.size))


def _robust_line(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    centred = x - x.mean()
    square = float(centred @ centred)
    slope = float(centred @ y) / square
    residual = y - y.mean() - slope * centred
    leverage = 1 / x.size + centred**2 / square
    error = float(np.sqrt(((centred * residual / (1 - leverage)) ** 2).sum())) / square
    return slope, error


class Row(TypedDict):
    """One published statement beside ours, as `hilab reproduce --json` prints it."""

    claim: str
    published: str
    ours: str
    standard_error: float
    holds: bool


@dataclass(frozen=True)
class Claim:
    """A published trend with the width: `sign` of the exponent it demands, and how sure the statement is."""

    name: str
    text: str
    published: str
    sign: int
    quantity: str
    relative: bool = True


_SUMMARY = "stated in a summary of the paper; direction only, no number is known"
CLAIMS: tuple[Claim, ...] = (
    Claim("loop", "the hysteresis loop shrinks as the width falls", _SUMMARY, +1, "coercive value"),
    Claim("bias", "the current needed for switching falls as the width falls", _SUMMARY, +1, "I50"),
    Claim("slope", "the slope of P(I) rises as the width falls", _SUMMARY, -1, "dP/dI at I50"),
    Claim(
        "robustness",
        "networks of larger devices are less prone to bias variation (absolute bias error)",
        _SUMMARY,
        -1,
        "accuracy lost",
        relative=False,
    ),
)


def check_claim(claim: str | Claim, width_m: ArrayLike, value: ArrayLike) -> Row:
    """Compare a claim ("loop", "bias", "slope", "robustness") with values (N,) measured at widths (N,).

    It holds if the trend has the published sign at 99.9 % one-sided confidence. Values: coercive field or
    current, I50, slope, each of one device; or for "robustness" the accuracy lost (points) of one network
    and bias draw.
    """
    chosen = claim if isinstance(claim, Claim) else next(known for known in CLAIMS if known.name == claim)
    trend = trend_with_width(width_m, value, relative=chosen.relative)
    holds = trend.significance > DECIDE_AT and np.sign(trend.exponent) == chosen.sign
    if chosen.relative:
        interval = f"({trend.low:+.3f} to {trend.high:+.3f})"
        ours = f"{chosen.quantity} proportional to width^{trend.exponent:+.3f} {interval}"
    else:
        per_doubling = np.log(2) * np.array([trend.exponent, trend.low, trend.high])
        ours = "{} {:+.2f} points per doubling of the width ({:+.2f} to {:+.2f})".format(
            chosen.quantity, *per_doubling
        )
    return Row(
        claim=chosen.text,
        published=chosen.published,
        ours=ours,
        standard_error=trend.standard_error,
        holds=bool(holds),
    )


def verdict(row: Row) -> str:
    """ "reproduced" or "not reproduced"."""
    return "reproduced" if row["holds"] else "not reproduced"


def format_rows(rows: Sequence[Row]) -> list[str]:
    """Lines for the terminal: claim, what is published, what was found, verdict."""
    lines = []
    for row in rows:
        lines.append(f"{row['claim']}: {verdict(row)}")
        lines.append(f"    published: {row['published']}")
        lines.append(f"    ours:      {row['ours']}, standard error {row['standard_error']:.2g}")
    return lines
