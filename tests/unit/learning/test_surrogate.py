"""Surrogates, calibrations and the assignment of neurons to devices."""

import numpy as np
import pytest

from hilab.analysis.fits import fit_arrhenius
from hilab.learning.arms import ARMS, in_order
from hilab.learning.assignment import Assignment
from hilab.learning.study import ChipLaw, calibrate, named_stream
from hilab.learning.surrogate import Calibrations, Surrogate

WIDTHS = [2e-6, 2e-6, 16e-6, 16e-6]


def chip(seed: int = 0) -> Surrogate:
    return ChipLaw().draw(WIDTHS, named_stream(seed, "chip"))


def test_curve_is_the_neel_arrhenius_law() -> None:
    ic0, delta = 1e-3, 60.0
    curve = Surrogate.from_arrhenius(["a"], [2e-6], [ic0], [delta], pulse_s=1e-4)
    current = np.linspace(0.7e-3, 0.9e-3, 41)
    true = 1 - np.exp(-1e-4 / 1e-9 * np.exp(-delta * (1 - current / ic0)))
    np.testing.assert_allclose(curve.probability(np.zeros(41, dtype=int), current), true, rtol=1e-12)
    assert curve.i50_a[0] == pytest.approx(0.802e-3, rel=1e-3)  # the table of the paper notes
    assert curve.unit_a[0] == pytest.approx(ic0 / (1.52 * delta))


@pytest.mark.parametrize("law", ["arrhenius", "logistic"])
def test_slope_is_the_derivative(law: str) -> None:
    curve = Surrogate(("a", "b"), [1, 1], [1e-3, -2e-3], [1e-5, -2e-5], law)  # type: ignore[arg-type]
    device = np.repeat([0, 1], 50)
    current = curve.i50_a[device] + np.tile(np.linspace(-7, 5, 50), 2) * curve.unit_a[device]
    step = 1e-4 * curve.unit_a[device]
    numeric = (curve.probability(device, current + step) - curve.probability(device, current - step)) / (
        2 * step
    )
    np.testing.assert_allclose(curve.slope_per_a(device, current), numeric, rtol=1e-4, atol=1e-6 / 1e-5)
    np.testing.assert_allclose(curve.probability(np.array([0, 1]), curve.i50_a), 0.5)


def test_fits_give_back_the_curves() -> None:
    true = chip()
    measured, fits = calibrate(true, named_stream(0, "calibration"), samples=2000)
    assert fits.ok.all()
    assert np.abs((measured.i50_a - true.i50_a) / true.unit_a).max() < 0.08
    np.testing.assert_allclose(measured.unit_a, true.unit_a, rtol=0.05)
    failed = fit_arrhenius([1e-3, 2e-3], [0, 0], [9, 9], width_s=1e-4)
    with pytest.raises(ValueError, match=r"w2_d1: no transition seen"):
        Surrogate.from_fits(failed, ["w2_d1"], [2e-6])


def test_calibration_switch() -> None:
    true = chip()
    nominal = ChipLaw().nominal(WIDTHS)
    calibrations = Calibrations(nominal, true)
    mean = calibrations.get("per-width")
    assert mean.i50_a[0] == mean.i50_a[1] == pytest.approx(true.i50_a[:2].mean())
    assert mean.i50_a[2] != mean.i50_a[0]
    assert calibrations.get("per-device") is true
    assert calibrations.get("nominal") is nominal
    assert nominal.i50_a[0] != mean.i50_a[0]
    with pytest.raises(ValueError, match="only a simulation knows"):
        calibrations.get("ideal")
    with pytest.raises(ValueError, match="choose one of"):
        calibrations.get("perfect")


def test_spread_of_the_drawn_chips_is_the_model_s() -> None:
    draws = [ChipLaw().draw(WIDTHS, named_stream(seed, "chip")) for seed in range(800)]
    nominal = ChipLaw().nominal(WIDTHS)
    ic0 = np.array([d.i50_a / nominal.i50_a for d in draws]).reshape(800, 2, 2)
    # I50 = Ic0 (1 - 11.9/Delta): 5 % of Delta add 0.247 * 5 % of I50
    expected = np.hypot(np.hypot(0.015, 80e-9 / np.array([2e-6, 16e-6])), 0.247 * 0.05)
    np.testing.assert_allclose(ic0.std(axis=(0, 2)), expected, rtol=0.11)  # 4.5 standard errors
    assert draws[0].devices == ("w2_d1", "w2_d2", "w16_d1", "w16_d2")


def test_shift_moves_by_logistic_units() -> None:
    true = chip()
    moved = true.shifted([1, -2, 0, 0.5])
    np.testing.assert_allclose((moved.i50_a - true.i50_a) / true.unit_a, [1, -2, 0, 0.5], atol=1e-9)


def test_state_is_plain_and_restores() -> None:
    true = chip()
    again = Surrogate.restored(true.state())
    np.testing.assert_array_equal(again.i50_a, true.i50_a)
    assert (again.devices, again.law) == (true.devices, true.law)
    assert true.choose(["w16_d2", "w2_d1"]).i50_a.tolist() == [true.i50_a[3], true.i50_a[0]]


@pytest.mark.parametrize(
    ("i50", "unit", "law", "words"),
    [
        ([1.0], [1.0, 1.0], "arrhenius", "one finite number"),
        ([1.0, np.nan], [1.0, 1.0], "arrhenius", "one finite number"),
        ([1.0, 1.0], [1.0, 0.0], "arrhenius", "zero"),
        ([1.0, 1.0], [1.0, 1.0], "cubic", "law"),
    ],
)
def test_impossible_curves_are_refused(i50: list[float], unit: list[float], law: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Surrogate(("a", "b"), [1, 1], i50, unit, law)  # type: ignore[arg-type]


def test_round_robin() -> None:
    laid = Assignment.round_robin(10, ["a", "b", "c", "d"])
    assert laid.device.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert laid.slot.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert laid.slots == 3
    again = Assignment.restored(laid.state())
    np.testing.assert_array_equal(again.device, laid.device)
    with pytest.raises(ValueError, match="at least one"):
        Assignment.round_robin(3, [])


def test_arms_come_after_what_they_start_from() -> None:
    names = [arm.name for arm in in_order(("transfer_calibrated", "hil_nominal"))]
    assert names == ["software", "transfer_calibrated", "hil_nominal"]
    assert not ARMS["transfer_uncalibrated"].needs_measured
    assert not ARMS["hil_nominal"].needs_measured
    assert ARMS["hil_calibrated_backward"].needs_measured
    with pytest.raises(ValueError, match="unknown arm nonsense"):
        in_order(("software", "nonsense"))
