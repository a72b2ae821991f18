"""Device-to-device report, and the published trends with their negative controls."""

import numpy as np
import pytest
from scipy.stats import norm

from hilab.analysis.survey import check_claim, format_rows, spread_by_width, trend_with_width, verdict

WIDTH = np.repeat([2e-6, 4e-6, 8e-6, 16e-6], 4)


def test_interval_of_sigma_from_four_devices() -> None:
    row = spread_by_width([2e-6] * 4, [1.0, 2.0, 3.0, 4.0])[0]
    assert row.sigma_low / row.sigma == pytest.approx(0.566, abs=0.001)
    assert row.sigma_high / row.sigma == pytest.approx(3.73, abs=0.01)
    assert row.mean == 2.5
    random = np.random.default_rng(1)
    rows = [spread_by_width([2e-6] * 4, random.normal(size=4))[0] for _ in range(1000)]
    covered = np.mean([row.sigma_low <= 1 <= row.sigma_high for row in rows])
    assert abs(covered - 0.95) < norm.ppf(1 - 5e-5) * np.sqrt(0.95 * 0.05 / 1000)  # false alarm 1e-4


def test_a_lost_device_is_left_out() -> None:
    rows = spread_by_width([2e-6, 2e-6, 4e-6], [1.0, np.nan, 3.0])
    assert [row.devices for row in rows] == [1, 1]
    assert np.isnan(rows[0].sigma)


def chip(
    seed: int, *, ic0_power: float = 1, delta_power: float = 0, hn_power: float = 1
) -> dict[str, np.ndarray]:
    """Coercive field, I50 and slope of 16 devices as in device-model section 1, or with a law changed."""
    random = np.random.default_rng(seed)
    scatter = 1 + np.hypot(0.015, 80e-9 / WIDTH) * random.normal(size=16)
    ic0 = 8e-3 * (WIDTH / 16e-6) ** ic0_power * scatter
    delta = 60 * (WIDTH / 4e-6) ** delta_power * (1 + 0.05 * random.normal(size=16))
    shrink = 1 / (1 + 1e-6 / WIDTH) if hn_power else np.full(16, 0.8)
    return {
        "loop": 13e-3 * shrink * scatter * (1 + 0.05 * random.normal(size=16)),
        "bias": ic0 * (1 - np.log(1e5 / np.log(2)) / np.maximum(delta, 15)),
        "slope": 0.35 * delta / ic0,
    }


def losses(seed: int, *, relative: bool) -> tuple[np.ndarray, np.ndarray]:
    """(width, points lost) of networks with an absolute bias error, or with one relative to I50."""
    random = np.random.default_rng(seed)
    width = np.repeat([2e-6, 4e-6, 8e-6, 16e-6], 5)
    expected = np.full(20, 3.0) if relative else 0.8 * (16e-6 / width) ** 1.5
    return width, expected * (1 + 0.3 * random.normal(size=20)) + 0.2 * random.normal(size=20)


@pytest.mark.parametrize("seed", range(20))
def test_published_trends_are_reproduced_on_devices_that_have_them(seed: int) -> None:
    values = chip(seed)
    assert all(check_claim(name, WIDTH, values[name])["holds"] for name in ("loop", "bias", "slope"))
    assert check_claim("robustness", *losses(seed, relative=False))["holds"]


@pytest.mark.parametrize("seed", range(20))
def test_negative_controls_are_not_reproduced(seed: int) -> None:
    """Each control holds by chance with a probability of 1e-3: 80 checks, false alarm 8 %, seeds fixed."""
    rows = [
        check_claim("slope", WIDTH, chip(seed, delta_power=2)["slope"]),
        check_claim("bias", WIDTH, chip(seed, ic0_power=0)["bias"]),
        check_claim("loop", WIDTH, chip(seed, hn_power=0)["loop"]),
        check_claim("robustness", *losses(seed, relative=True)),
    ]
    assert not any(row["holds"] for row in rows)
    text = "\n".join(format_rows(rows))
    assert text.count("not reproduced") == 4


def test_exponent_and_interval_of_a_known_power() -> None:
    inside = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        trend = trend_with_width(WIDTH, WIDTH**0.7 * np.exp(0.05 * random.normal(size=16)))
        inside.append(trend.low <= 0.7 <= trend.high)
    assert 0.89 < np.mean(inside) < 0.995


def test_row_is_what_reproduce_prints() -> None:
    row = check_claim("bias", WIDTH, chip(1)["bias"])
    assert set(row) == {"claim", "published", "ours", "standard_error", "holds"}
    assert verdict(row) == "reproduced"
    assert "no number is known" in row["published"]
    with pytest.raises(ValueError, match="2 widths"):
        trend_with_width([1e-6] * 5, np.ones(5))
