"""Loops with noise, misreads, background and drift."""

import numpy as np
import pytest

from hilab.analysis.hysteresis import analyse_loop, mean_loop

STEP = 0.05


def loop(
    coercive: float,
    *,
    offset: float = 0.1,
    slope: float = 0.3,
    drift: float = 0.2,
    noise: float = 0.02,
    misread: float = 0.0,
    sign: float = 1.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    drive = np.concatenate([np.arange(-1, 1.001, STEP), np.arange(1, -1.001, -STEP)])
    rising = np.arange(drive.size) < drive.size // 2
    state = np.where(rising, drive > offset + coercive, drive > offset - coercive)
    response = sign * state + slope * drive + drift * np.arange(drive.size) / drive.size
    response = response + noise * random.normal(size=drive.size)
    wrong = random.random(drive.size) < misread
    return drive, np.where(wrong, response + sign * np.where(state, -1, 1), response)


@pytest.mark.parametrize("slope", [0.0, 3.0, -3.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_coercive_value_and_offset_to_within_a_step(slope: float, sign: float) -> None:
    found = analyse_loop(*loop(0.43, slope=slope, sign=sign))
    assert not found.reason
    assert found.coercive == pytest.approx(0.43, abs=STEP / 2)
    assert found.offset == pytest.approx(0.1, abs=STEP / 2)
    assert found.opening == pytest.approx(sign, abs=0.08)
    assert found.background == pytest.approx(slope, abs=0.1)


def test_misread_points_do_not_move_it() -> None:
    found = [analyse_loop(*loop(0.43, misread=0.02, seed=seed)).coercive for seed in range(100)]
    error = np.abs(np.array(found) - 0.43)
    assert np.median(error) < STEP / 2
    assert (error < 2 * STEP).mean() > 0.95


def test_standard_error_is_the_scatter_over_places_of_the_switch() -> None:
    truth = np.linspace(0.4, 0.5, 41)
    found = [analyse_loop(*loop(value, offset=value / 7)) for value in truth]
    scatter = np.std([one.coercive - value for one, value in zip(found, truth, strict=True)])
    assert 0.5 < scatter / found[0].coercive_se < 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"coercive": 2.0}, "too short|does not change"),
        ({"coercive": 0.0, "offset": 0.03}, "no hysteresis"),
        ({"coercive": 0.43, "sign": 0.0}, "does not change"),
    ],
)
def test_what_is_no_loop_says_why(arguments: dict[str, float], reason: str) -> None:
    found = analyse_loop(*loop(**arguments))
    assert any(part in found.reason for part in reason.split("|"))
    assert np.isnan(found.coercive)


def test_lost_readings_and_bad_input() -> None:
    drive, response = loop(0.43)
    response[::7] = np.nan
    assert analyse_loop(drive, response).coercive == pytest.approx(0.43, abs=1.5 * STEP)
    with pytest.raises(ValueError, match="rising and a falling"):
        analyse_loop(drive[: drive.size // 2], response[: drive.size // 2])
    with pytest.raises(ValueError, match="never changes"):
        analyse_loop(np.ones(20), np.ones(20))
    with pytest.raises(ValueError, match="equal rows"):
        analyse_loop(drive, response[1:])


def test_mean_over_loops() -> None:
    loops = [analyse_loop(*loop(0.43 + 0.02 * seed, seed=seed)) for seed in range(5)]
    mean = mean_loop([*loops, analyse_loop(*loop(2.0))])
    assert mean.loops == 5
    assert mean.coercive == pytest.approx(0.47, abs=STEP)
    assert mean.coercive_se > 0
    with pytest.raises(ValueError, match=r"too short|does not change"):
        mean_loop([analyse_loop(*loop(2.0))])
