"""The logistic bar: its curve, its reads and wear, and the same interface as the Hall bar."""

import itertools
import math

import numpy as np
import pytest

from sim_instruments.bench import build_world
from sim_instruments.devices.sigmoid_bar import SigmoidBar, surroundings
from sim_instruments.world.device import Chip
from sim_instruments.world.field import Field, FieldParameters
from sim_instruments.world.plain import from_bytes, to_bytes

COUNT = 40_000


def made(width_m=16e-6, *, seed=7, shape=False, assist_t=0.05, setting="ideal"):
    chip = Chip(setting, 1, seed, shape)
    return SigmoidBar(
        "bar", width_m, 40e-6, chip, Field(FieldParameters(4e-3, 0.25, assist_t, **surroundings(chip)), seed)
    )


def frames(bar, write_a, count=COUNT, reset=1.35):
    level = np.empty((count, 3))
    level[:, 0], level[:, 1], level[:, 2] = -reset * bar.curve.i50_a, write_a, 0.1 * bar.curve.i50_a
    return level.ravel(), np.arange(3 * count) * 2e-4, np.full(3 * count, 1e-4)


def play(bar, train, cuts=()):
    edges = [0, *cuts, len(train[0])]
    return np.concatenate(
        [bar.play(*(each[a:b] for each in train), 0.0, bar.field)[0] for a, b in itertools.pairwise(edges)]
    )


@pytest.mark.parametrize("at", [-4.0, -1.0, 0.0, 2.0])
@pytest.mark.parametrize("shape", [False, True])
def test_frequencies_follow_the_logistic(at, shape):
    """Six standard deviations: false alarm 2e-9 each, seed fixed."""
    bar = made(shape=shape)
    curve = bar.curve
    write = curve.i50_a + at * curve.unit_a
    levels = play(bar, frames(bar, write))
    expected = curve.floor + (curve.ceiling - curve.floor) / (1 + math.exp(-at))
    assert bar.truth.p_switch(write, 1e-4) == pytest.approx(expected)
    assert (levels[0::3] == -1).all() and (levels[1::3] == levels[2::3]).all()
    error = math.sqrt(expected * (1 - expected) / COUNT)
    assert abs((levels[1::3] > 0).mean() - expected) < 6 * error


def test_the_curve_is_close_to_the_barrier_law_at_the_reference_width():
    bar = made()
    z = np.linspace(-6, 6, 200)
    x = math.log(2) * np.exp(z / 1.52)  # the barrier law in the same unit
    seen = bar.truth.p_switch(bar.curve.i50_a + z * bar.curve.unit_a, 1e-4)
    assert np.abs(seen - (1 - np.exp(-x))).max() < 0.07


def test_how_a_train_is_cut_changes_no_bit():
    whole, cut = made(setting="default"), made(setting="default")
    train = frames(whole, whole.curve.i50_a, 500)
    np.testing.assert_array_equal(play(whole, train), play(cut, train, [1, 2, 400, 401, 1203]))
    np.testing.assert_array_equal(whole.state, cut.state)
    np.testing.assert_array_equal(whole.count, cut.count)


def test_reads_do_nothing_and_wear_is_counted():
    bar = made()
    play(bar, frames(bar, bar.curve.i50_a, 100))
    wear = bar.truth.wear
    assert (wear.positive, wear.negative) == (100, 100)
    i50 = bar.curve.i50_a
    assert wear.worst_a == pytest.approx(1.35 * i50)
    joule = 100 * bar.drawn.r_xx_ohm * 1e-4 * i50**2 * (1 + 1.35**2 + 0.01)
    assert wear.energy_j == pytest.approx(joule)


def test_a_field_beyond_the_coercive_field_sets_it_and_the_torque_follows_the_assist_field():
    bar = made()
    for sign in (1, -1):
        bar.field.set_coil(bar._time, sign * 1.3 * bar.coercive_t / 4e-3, 0.01)
        bar.settle(bar._time + 20, 0.0, bar.field)
        assert bar.truth.state == sign
    strong = np.array([2.0, -2.0]) * bar.curve.i50_a
    times = np.array([0.0, 1e-3])
    for assist, expected in ((0.05, [1, -1]), (-0.05, [-1, 1])):
        other = made(assist_t=assist)
        levels, *_ = other.play(strong, times, np.full(2, 1e-4), 0.0, other.field)
        np.testing.assert_array_equal(levels, expected)
    still = made(assist_t=0.0)
    assert (still.play(20e-3 * np.array([1.0, -1.0]), times, np.full(2, 1e-4), 0.0, still.field)[0] < 0).all()


def test_a_bench_file_may_ask_for_it_and_it_goes_on_from_a_snapshot():
    card = {"width_m": 2e-6, "length_m": 40e-6, "pads": {"current": "smu.a", "hall": "smu.b"}}

    def world():
        return build_world(
            instruments={"smu": {"driver": "x"}},
            wires=[],
            devices={"d1": card},
            field={"tesla_per_ampere": 4e-3, "assist_t": 0.05},
            simulation={"device_model": "sigmoid_bar", "setting": "default"},
        )

    one, two = world(), world()
    train = frames(one.devices["d1"], one.devices["d1"].curve.i50_a, 200)
    one.advance(1.0)
    play(one.devices["d1"], train)
    two.restore(from_bytes(to_bytes(one.snapshot())))
    later = (train[0], train[1] + 1.0, train[2])
    np.testing.assert_array_equal(play(one.devices["d1"], later), play(two.devices["d1"], later))
    with pytest.raises(ValueError, match="device d1: width_m must be a length"):
        card["width_m"] = -1
        world()
