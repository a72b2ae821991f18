"""The worlds of the training study: pinned domains (shape), and a bench moved by a known field (drift)."""

import math

import numpy as np
import pytest

from sim_instruments.devices.hall_bar_parameters import draw, physics

WIDTH_S = 100e-6
COUNT = 20_000
SIX_SIGMA = 6.0  # false alarm of one two-sided comparison: 2e-9
NO_SPREAD = {"ic0_spread": 0.0, "ic0_spread_edge_m": 0.0, "delta_spread": 0.0}


def switched(bar, write_a, start_s=0.0, reset=1.35):
    """Share of COUNT frames that end up switched."""
    i50 = float(bar.truth.i50_a(WIDTH_S))
    level = np.tile([-reset * i50, write_a], COUNT)
    start = start_s + np.arange(2 * COUNT) * 200e-6
    levels, *_ = bar.play(level, start, np.full(2 * COUNT, WIDTH_S), 0.0, bar.field)
    assert (levels[0::2] < 0).all()
    return float((levels[1::2] > 0).mean())


def test_shape_draws_floors_and_ceilings_over_their_whole_range():
    """1,000 devices; a uniform's smallest and largest of 1,000 lie in its outer 1.5 % but for 3e-7."""
    p = physics("ideal")
    drawn = [draw(p, f"d{number}", 2e-6, 40e-6, 1, True) for number in range(1000)]
    floors, ceilings = np.array([(each.floor, each.ceiling) for each in drawn]).T
    assert 0 <= floors.min() < 0.003 and 0.197 < floors.max() <= 0.2
    assert 0.6 <= ceilings.min() < 0.606 and 0.994 < ceilings.max() <= 1.0
    assert abs(np.corrcoef(floors, ceilings)[0, 1]) < 0.2
    plain = draw(p, "d1", 2e-6, 40e-6, 1, False)
    assert (plain.floor, plain.ceiling) == (0.0, 1.0) and plain.hn_t == drawn[1].hn_t


@pytest.mark.parametrize("width_m", [2e-6, 16e-6])
@pytest.mark.parametrize("at", [-10.0, -2.0, 0.0, 2.0, 8.0])
def test_in_the_shape_world_truth_and_bar_agree(bar, width_m, at):
    tested = bar("ideal", width_m, shape=True)
    truth, drawn = tested.truth, tested.drawn
    write = float(truth.i50_a(WIDTH_S)) + at * float(truth.ic0_a()) / (1.52 * truth.delta)
    expected = float(truth.p_switch(write, WIDTH_S))
    law = 1 - math.exp(-WIDTH_S / 1e-9 * math.exp(-truth.delta * (1 - write / float(truth.ic0_a()))))
    assert expected == pytest.approx(drawn.floor + (drawn.ceiling - drawn.floor) * law, rel=1e-6)
    error = math.sqrt(expected * (1 - expected) / COUNT)
    assert abs(switched(tested, write) - expected) < SIX_SIGMA * error


@pytest.mark.parametrize(("width_m", "units_per_mt"), [(2e-6, 6.84), (16e-6, 4.845)])
def test_a_millitesla_from_the_coil_moves_i50_by_known_units(bar, width_m, units_per_mt):
    """The figures of docs/reference/simulated-instruments.md; opposite for the two polarities."""
    tested = bar("ideal", width_m, **NO_SPREAD)
    truth = tested.truth
    unit_a = float(truth.ic0_a()) / (1.52 * truth.delta)
    move_t = 2e-3 / units_per_mt  # two units
    tested.field.set_coil(0.0, move_t / 4e-3, 0.01)
    tested.settle(10.0, 0.0, tested.field)
    for write, at, start in ((1.0, 1.0, 10.0), (-1.0, -1.0, 30.0)):
        # a field along z takes two units off the positive I50 and adds two to the negative one
        i50 = float(truth.i50_a(WIDTH_S)) - write * 2.0 * unit_a
        amps = write * (i50 + at * unit_a)
        reset = -write * 1.35 * i50
        level = np.tile([reset, amps], COUNT)
        times = start + np.arange(2 * COUNT) * 200e-6
        levels, *_ = tested.play(level, times, np.full(2 * COUNT, WIDTH_S), 0.0, tested.field)
        assert (levels[0::2] == np.sign(reset)).all()
        expected = 1 - math.exp(-math.log(2) * math.exp(at / 1.52))
        error = math.sqrt(expected * (1 - expected) / COUNT)
        assert abs((levels[1::2] == write).mean() - expected) < SIX_SIGMA * error + 1e-3
