"""Loops and standing conditions, parameters, drifts, snapshots of one bar."""

import math

import numpy as np
import pytest

from sim_instruments.devices.hall_bar import HallBar, surroundings
from sim_instruments.devices.hall_bar_parameters import draw, physics, table
from sim_instruments.world.device import Chip
from sim_instruments.world.field import Field, FieldParameters
from sim_instruments.world.slow import OrnsteinUhlenbeck

SIX_SIGMA = 6.0


def coercive_field(bar, step_t, start_s):
    """Sweep up from negative saturation with 1 s per point; the field at which the bar is up."""
    field, now = bar.field, start_s
    bar.set_state(-1)
    target = 0.5 * bar.drawn.hn_t
    while bar.level < 0:
        field.set_coil(now, target / 4e-3, 0.0)
        now += 1.0
        bar.settle(now, 0.0, field)
        target += step_t
    return target - step_t, now


def test_the_field_loop_closes_at_065_of_the_nucleation_field(bar):
    """Mean of 60 loops of 1 s a point; the spread of one is 1.3/60 of Hn, so the mean's error is 0.003."""
    tested = bar("ideal", lag_s=1e-3)
    step = 0.002 * tested.drawn.hn_t
    now, found = 0.0, []
    for _ in range(60):
        coercive, now = coercive_field(tested, step, now)
        found.append(coercive / tested.drawn.hn_t)
        tested.field.set_coil(now, 0.0, 0.0)
        now += 1.0
        tested.settle(now, 0.0, tested.field)
    # 1 s a point in fine steps meets half a chance where the summed hazard is ln 2: the field of a single
    # second, 0.65, less ln(1/(Delta step)) / Delta of the points before it
    alone = 1 - math.log(1 / (1e-9 * math.log(2))) / tested.truth.delta
    expected = alone - math.log(1 / (tested.truth.delta * 0.002)) / tested.truth.delta
    assert alone == pytest.approx(0.65, abs=0.03)
    assert np.median(found) == pytest.approx(expected, abs=0.012)


def test_one_second_at_hc_switches_half_of_the_time(bar):
    """1,000 single seconds; six standard deviations: false alarm 2e-9."""
    tested = bar("ideal", lag_s=1e-6, delta_spread=0.0)
    hc = tested.drawn.hn_t * (1 - math.log(1 / (1e-9 * math.log(2))) / 60)
    assert hc / tested.drawn.hn_t == pytest.approx(0.65, abs=0.002)
    ups, now = 0, 0.0
    for _ in range(1000):
        tested.set_state(-1)
        tested.field.set_coil(now, hc / 4e-3, 0.0)
        tested.settle(now + 1.0, 0.0, tested.field)
        ups += tested.level > 0
        tested.field.set_coil(now + 1.0, 0.0, 0.0)
        tested.settle(now + 2.0, 0.0, tested.field)
        now += 2.0
    assert abs(ups - 500) < SIX_SIGMA * math.sqrt(250)


def test_waiting_in_many_steps_is_waiting_in_one(bar):
    """The waiting time is drawn once, so the same bar switches at the same moment however time is cut."""
    moments = []
    for step in (0.01, 0.05):
        tested = bar("ideal", lag_s=1e-6)
        tested.field.set_coil(0.0, 0.63 * tested.drawn.hn_t / 4e-3, 0.0)
        now = 0.0
        while tested.level < 0:
            now = round(now + step, 6)
            tested.settle(now, 0.0, tested.field)
        moments.append(now)
    assert moments[0] <= moments[1] < moments[0] + 0.05


def test_a_slow_field_ramp_depends_little_on_its_steps(bar):
    moments = []
    for step in (0.02, 0.5):
        tested = bar("ideal", lag_s=2.0)
        tested.field.set_coil(0.0, 0.9 * tested.drawn.hn_t / 4e-3, 0.0)
        now = 0.0
        while tested.level < 0:
            now = round(now + step, 6)
            tested.settle(now, 0.0, tested.field)
        moments.append(now)
    assert moments[0] <= moments[1] <= moments[0] + 0.5


def test_a_standing_current_switches_too_and_drives_a_loop(bar):
    tested = bar("ideal")
    now, seen = 0.0, {}
    ic0 = float(tested.truth.ic0_a())
    ramp = np.concatenate([np.linspace(0, 1, 51), np.linspace(1, -1, 101), np.linspace(-1, 1, 101)])
    before = tested.level
    for part in ramp:
        now += 1.0
        tested.settle(now, 0.9 * part * ic0, tested.field)
        if tested.level != before:
            seen[np.sign(tested.level)] = 0.9 * part
            before = tested.level
    assert seen[1.0] == pytest.approx(0.63, abs=0.06) and seen[-1.0] == pytest.approx(-0.63, abs=0.06)


def test_a_strong_field_heals_an_incomplete_reversal(bar):
    tested = bar("hard", lag_s=1e-3)
    i50 = float(tested.truth.i50_a(1e-4))
    tested.play(np.array([1.2 * i50]), np.array([0.0]), np.array([1e-4]), 0.0, tested.field)
    assert 0 < tested.level < 1
    tested.field.set_coil(1.0, 0.9 * tested.drawn.hn_t / 4e-3, 0.0)
    tested.settle(2.0, 0.0, tested.field)
    assert tested.level == 1.0


def test_hours_of_idling_cost_nothing_and_change_nothing(bar):
    tested = bar("hard", 2e-6)
    tested.settle(36_000.0, 0.0, tested.field)
    assert tested.level == -1.0 and tested.count[1] == 1


def test_a_tilt_acts_oppositely_on_both_polarities(bar):
    straight, tilted = bar("ideal"), bar("ideal", tilt_deg=1.0)
    up = float(tilted.truth.ic0_a(polarity=1)) / float(straight.truth.ic0_a())
    down = float(tilted.truth.ic0_a(polarity=-1)) / float(straight.truth.ic0_a())
    shift = 0.05 * math.sin(math.radians(1.0)) / straight.drawn.hn_t
    assert sorted([up, down]) == pytest.approx([1 - shift, 1 + shift], abs=2e-3)
    assert float(tilted.truth.i50_a(1e-4, polarity=1)) != float(tilted.truth.i50_a(1e-4, polarity=-1))


def test_the_hall_voltage_has_all_its_parts(bar):
    tested = bar("ideal", 2e-6, offset_v=0.0)
    up, down = (float(tested.port_v("hall", 1e-4, level, 0.0)) for level in (1.0, -1.0))
    assert up - down == pytest.approx(1e-4 * tested.truth.r_ahe_ohm)
    assert abs(up + down) / 2 == pytest.approx(1e-4 * 400 * 0.1e-6 / 2e-6, rel=0.51)
    tested.field.set_coil(0.0, 10.0, 0.0)
    later = float(tested.port_v("hall", 1e-4, 1.0, 100.0))
    assert later - up == pytest.approx(1e-4 * 0.025 * 0.04)
    assert float(tested.port_v("longitudinal", 1e-4, 1.0, 0.0)) == pytest.approx(1e-4 * 400 * 20 / 2)
    assert tested.load("current", 0.0, 0.0).ohm == pytest.approx(8000, abs=60)


def test_thermal_voltage_follows_the_joule_heat(bar):
    tested = bar("hard", emf_drift_v=0.0)
    cold = float(tested.port_v("hall", 0.0, 1.0, 0.0))
    tested.settle(5.0, 4e-3, tested.field)
    hot = float(tested.port_v("hall", 0.0, 1.0, 5.0))
    assert hot - cold == pytest.approx(0.5e-6 * 180 * 16e-3, rel=0.01)
    assert float(tested.port_v("hall", 0.0, 1.0, 20.0)) == pytest.approx(cold, abs=1e-9)


def test_the_draw_depends_on_sample_and_name_only():
    p = physics("default")
    one = draw(p, "w2_d1", 2e-6, 40e-6, 1, False)
    assert one == draw(p, "w2_d1", 2e-6, 40e-6, 1, False)
    assert one.delta == draw(physics("ideal"), "w2_d1", 2e-6, 40e-6, 1, False).delta
    assert one.delta != draw(p, "w2_d2", 2e-6, 40e-6, 1, False).delta
    assert one.delta != draw(p, "w2_d1", 2e-6, 40e-6, 2, False).delta


@pytest.mark.parametrize("width_um", [2, 16])
def test_the_spread_is_as_stated(width_um):
    """1,500 devices: the standard deviation is known to 1.8 %, the limits stand at six times that."""
    p = physics("default")
    drawn = [draw(p, f"d{i}", width_um * 1e-6, 40e-6, 5, False) for i in range(1500)]
    ic0 = np.array([1 / d.tesla_per_ampere for d in drawn])
    expected = math.hypot(0.015, 0.08 / width_um)
    assert ic0.std() / ic0.mean() == pytest.approx(expected, rel=0.11)
    assert np.std([d.delta for d in drawn]) == pytest.approx(0.05 * 60, rel=0.11)
    assert np.std([d.r_ahe_ohm for d in drawn]) == pytest.approx(0.05, rel=0.11)
    assert all(1e-3 <= d.failure <= 3e-3 and 0.85 <= d.reversed_part <= 0.95 for d in drawn)


def test_every_parameter_has_a_source_and_all_settings():
    for name, row in table().items():
        assert row["source"].startswith("chosen"), name
        assert set(row) - {"unit", "source"} in ({"value"}, {"ideal", "default", "hard"}), name


def test_wrong_settings_are_refused_with_a_sentence(bar):
    with pytest.raises(ValueError, match=r"'easy' is none of ideal, default, hard"):
        physics("easy")
    with pytest.raises(ValueError, match="no parameter 'delt'"):
        physics("ideal", {"delt": 1.0})
    with pytest.raises(ValueError, match=r"simulation.device.delta must be a number, got 'x'"):
        physics("ideal", {"delta": "x"})


def test_negative_controls_break_the_trends(bar):
    assert bar("ideal", 2e-6, delta_width_power=2.0, delta_spread=0.0).truth.delta == pytest.approx(60 / 64)
    assert float(bar("ideal", 2e-6, hn_shrinks=0.0).truth.hn_t()) == pytest.approx(20e-3)
    flat = {"ic0_width_power": 0.0, "hn_shrinks": 0.0, "ic0_spread": 0.0, "ic0_spread_edge_m": 0.0}
    found = [float(bar("ideal", w, **flat).truth.ic0_a()) for w in (2e-6, 16e-6)]
    assert found[0] == pytest.approx(found[1])


def test_drift_has_its_size_and_correlation_and_no_memory_of_questions():
    """20,000 correlation times: standard deviation to 1 %, correlation to 0.01; limits at six times that."""
    drift = OrnsteinUhlenbeck(1, "x", 0.003, 100.0)
    times = np.arange(0, 2e6, 10.0)
    values = drift.at(times)
    assert values.std() == pytest.approx(0.003, rel=0.06)
    assert np.corrcoef(values[10:], values[:-10])[0, 1] == pytest.approx(math.exp(-1), abs=0.06)
    fresh = OrnsteinUhlenbeck(1, "x", 0.003, 100.0)
    assert float(fresh.at(12_345.6)) == float(drift.at(12_345.6))
    assert not np.allclose(OrnsteinUhlenbeck(2, "x", 0.003, 100.0).at(times[:50]), values[:50])


def test_a_snapshot_brings_back_every_bit(bar):
    tested = bar("hard", 4e-6)
    i50 = float(tested.truth.i50_a(1e-4))
    rng = np.random.default_rng(3)

    def go(start):
        amps = rng.choice([-1.3, 1.0], 500) * i50
        return tested.play(amps, start + np.arange(500) * 4e-4, np.full(500, 1e-4), 0.0, tested.field)[0]

    go(0.0)
    kept, randomness = tested.snapshot(), rng.bit_generator.state
    first = go(1.0)
    after = tested.snapshot()
    tested.restore(kept)
    rng.bit_generator.state = randomness
    np.testing.assert_array_equal(first, go(1.0))
    for name, value in tested.snapshot().items():
        np.testing.assert_array_equal(value, after[name])


def test_run_seed_changes_the_noise_and_not_the_chip():
    bars = []
    for seed in (1, 2):
        chip = Chip("ideal", 1, seed)
        field = Field(FieldParameters(4e-3, 0.25, 0.05, **surroundings(chip)), seed)
        bars.append(HallBar("w2", 2e-6, 40e-6, chip, field))
    assert bars[0].drawn == bars[1].drawn
    i50 = float(bars[0].truth.i50_a(1e-4))
    amps = np.tile([-1.3 * i50, i50], 100)
    seen = [b.play(amps, np.arange(200) * 1e-3, np.full(200, 1e-4), 0.0, b.field)[0] for b in bars]
    assert (seen[0] != seen[1]).any()
