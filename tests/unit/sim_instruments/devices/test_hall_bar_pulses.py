"""Pulse trains: exact sequence, exact statistics, independent of how a train is cut."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sim_instruments.devices import hall_bar_kernel as kernel
from sim_instruments.devices.counter_random import uniform

WIDTH_S = 100e-6
SIX_SIGMA = 6.0  # false alarm of one two-sided comparison: 2e-9


def frames(bar, write_a, count, *, reset=1.35, gap_s=20e-6, read_a=0.0, start_s=0.0, read_s=160e-6):
    """(level, start, width) of count frames: reset, write (scalar or array), read."""
    i50 = float(bar.truth.i50_a(WIDTH_S))
    level = np.empty((count, 3))
    level[:, 0], level[:, 1], level[:, 2] = -reset * i50, write_a, read_a
    width = np.tile([WIDTH_S, WIDTH_S, read_s], (count, 1))
    begin = start_s + np.concatenate([[0.0], np.cumsum(width + gap_s)[:-1]])
    return level.ravel(), begin, width.ravel()


def play(bar, train, cuts=()):
    """The state level after each pulse of a train that is cut at these places."""
    parts = []
    edges = [0, *cuts, len(train[0])]
    for begin, end in itertools.pairwise(edges):
        parts.append(bar.play(*(each[begin:end] for each in train), 0.0, bar.field)[0])
    return np.concatenate(parts)


@pytest.mark.parametrize("setting", ["ideal", "default", "hard"])
def test_how_a_train_is_cut_changes_no_bit(bar, setting):
    whole, cut = bar(setting), bar(setting)
    write = np.random.default_rng(0).normal(1.0, 0.03, 400) * float(whole.truth.i50_a(WIDTH_S))
    train = frames(whole, write, 400)
    cuts = sorted({*np.random.default_rng(1).integers(1, 1199, 40).tolist(), 1, 2, 3})
    np.testing.assert_array_equal(play(whole, train), play(cut, train, cuts))
    np.testing.assert_array_equal(whole.state, cut.state)
    np.testing.assert_array_equal(whole.count, cut.count)


def test_idle_time_between_the_parts_changes_no_bit(bar):
    straight, idling = bar(), bar()
    first = frames(straight, 0.6 * float(straight.truth.ic0_a()), 50)
    second = frames(straight, 0.8 * float(straight.truth.ic0_a()), 50, start_s=10.0)
    expected = np.concatenate([play(straight, first), play(straight, second)])
    got = [play(idling, first)]
    for until in np.linspace(1.0, 10.0, 7):
        idling.settle(float(until), 0.0, idling.field)
    got.append(play(idling, second))
    np.testing.assert_array_equal(expected, np.concatenate(got))


def reference(bar, train):
    """The same law, step by step in plain Python, sharing nothing but the random numbers."""
    p, drawn, key = bar.physics, bar.drawn, bar._key
    tau = [p["heat_tau_1_s"], p["heat_tau_2_s"], p["heat_tau_3_s"]]
    local = 16e-6 / drawn.width_m
    rth = [p["heat_1_k_per_w"] * local, p["heat_2_k_per_w"] * local, p["heat_3_k_per_w"]]
    efficiency = bar.field.in_plane_t / math.hypot(bar.field.in_plane_t, p["h_dmi_t"])
    torque = drawn.tesla_per_ampere * efficiency
    threshold = p["wear_from"] * drawn.hn_t / (drawn.tesla_per_ampere * 0.05 / math.hypot(0.05, p["h_dmi_t"]))
    state, level, residual, heats, clock = -1, -1.0, False, [0.0, 0.0, 0.0], 0.0
    levels = []
    for number, (amps, begin, width) in enumerate(zip(*train, strict=True)):
        power = drawn.r_xx_ohm * amps**2
        heats = [x * math.exp(-(begin - clock) / t) for x, t in zip(heats, tau, strict=True)]
        mean = 0.0
        for k in range(3):
            hot, decay = rth[k] * power, math.exp(-width / tau[k])
            mean += hot + (heats[k] - hot) * (1 - decay) * tau[k] / width
            heats[k] = hot + (heats[k] - hot) * decay
        clock = begin + width
        weak = 1 + p["ic0_per_kelvin"] * mean
        barrier_t = float(bar.truth.hn_t(begin)) * (weak if p["heating"] else 1.0)
        h = (torque * amps + float(bar.truth.stray_t(begin))) / barrier_t
        leave = drawn.delta * (1 - p["residual_lowers"] * residual) * max(0.0, 1 + state * h)
        back = drawn.delta * max(0.0, 1 - state * h)
        rates = [math.exp(-leave) / p["tau0_s"], math.exp(-back) / p["tau0_s"]]
        chance = rates[0] / sum(rates) * (1 - math.exp(-sum(rates) * width))
        h50 = 1 - math.log(width / (p["tau0_s"] * math.log(2))) / drawn.delta
        driven, against = abs(amps) > threshold, state * amps * torque < 0
        if driven and against:
            chance *= 1 - drawn.failure
        if uniform(key, number, np.uint64(0)) < chance:
            state = -state
            level, residual = state * (drawn.reversed_part if driven else 1.0), driven
            if driven and uniform(key, number, np.uint64(1)) < drawn.intermediate:
                level *= 0.3 + 0.6 * uniform(key, number, np.uint64(2))
        elif driven and not against and state * h > 0.6:
            residual = False
            if abs(level) < drawn.reversed_part:
                level = state * drawn.reversed_part
        if driven and state * amps * torque > 0 and abs(h) > p["back_switching_from"] * h50:
            excess = min(0.3, p["back_switching"] * (abs(h) / (p["back_switching_from"] * h50) - 1))
            if uniform(key, number, np.uint64(3)) < excess:
                state, residual = -state, True
                level = state * drawn.reversed_part
        levels.append(level)
    return np.array(levels)


@pytest.mark.parametrize("setting", ["ideal", "hard"])
@pytest.mark.parametrize("width_m", [2e-6, 16e-6])
def test_the_sequence_is_exact(bar, setting, width_m):
    tested = bar(setting, width_m)
    i50 = float(tested.truth.i50_a(WIDTH_S))
    write = np.random.default_rng(2).choice([-1.0, 0.0, 0.95, 0.99, 1.0, 1.02, 1.5, 1.7], 600) * i50
    train = frames(tested, write, 600, reset=1.45, read_a=0.12 * i50)
    levels = play(tested, train)
    np.testing.assert_allclose(levels, reference(bar(setting, width_m), train), rtol=1e-12)
    assert len(np.unique(np.sign(levels[1::3]))) == 2


@pytest.mark.parametrize("at", [-3.0, -1.0, 0.0, 1.0, 3.0])
def test_frequencies_follow_the_barrier_law(bar, at):
    """40,000 frames at each amplitude; six standard deviations: false alarm 2e-9 each, seed fixed."""
    tested = bar("ideal")
    truth, count = tested.truth, 40_000
    write = float(truth.i50_a(WIDTH_S)) + at * float(truth.ic0_a()) / (1.52 * truth.delta)
    switched = play(tested, frames(tested, write, count))[1::3] > 0
    x = WIDTH_S / 1e-9 * math.exp(-truth.delta * (1 - write / float(truth.ic0_a())))
    expected = 1 - math.exp(-x)
    assert truth.p_switch(write, WIDTH_S) == pytest.approx(expected, rel=1e-9)
    assert abs(switched.mean() - expected) < SIX_SIGMA * math.sqrt(expected * (1 - expected) / count)


def test_the_two_rates_reach_equilibrium(bar):
    """A barrier of 8: both rates count. False alarm 2e-9, seed fixed."""
    tested = bar("ideal", delta=8.0, delta_spread=0.0)
    tested.settle(1e-9, 0.0, tested.field)
    count, width = 40_000, 3e-6
    amps = 0.05 * tested.ic0_nominal_a
    train = np.full(count, amps), np.arange(count) * 10e-6, np.full(count, width)
    ups, state, expected = 0, -1.0, 0.0
    levels = play(tested, train)
    h = amps * tested.bar.torque_t_per_a / tested.bar.hn_t
    up, down = (math.exp(-8 * (1 - s * h)) / 1e-9 for s in (1, -1))
    before = np.concatenate([[-1.0], levels[:-1]])
    for state, leave in ((-1.0, up), (1.0, down)):
        mine = before == state
        ups = (levels[mine] != state).mean()
        # the gaps switch as well: two segments at h and at 0
        stay = np.array([[1 - _p(leave, up + down, width)]])
        gap = math.exp(-8) / 1e-9
        flip_gap = 0.5 * (1 - math.exp(-2 * gap * 7e-6))
        other = down if state < 0 else up
        expected = (1 - flip_gap) * (1 - stay[0, 0]) + flip_gap * (1 - _p(other, up + down, width))
        assert abs(ups - expected) < SIX_SIGMA * math.sqrt(expected * (1 - expected) / mine.sum())


def _p(leave, total, time):
    return leave / total * (1 - math.exp(-total * time))


def test_i50_and_slope_are_those_of_the_law(bar):
    truth = bar("ideal").truth
    ic0, delta = float(truth.ic0_a()), truth.delta
    for width in (1e-6, 100e-6, 10e-3):
        i50 = ic0 * (1 - math.log(width / (1e-9 * math.log(2))) / delta)
        assert float(truth.i50_a(width)) == pytest.approx(i50, rel=1e-9)
        seen = truth.apparent(width)
        assert float(seen.slope_per_a) == pytest.approx(0.5 * math.log(2) * delta / ic0, rel=1e-3)
        assert float(seen.ic0_a) == pytest.approx(ic0, rel=1e-3)
        assert float(seen.delta) == pytest.approx(delta, rel=1e-3)


def test_the_reference_bar_and_the_widths(bar):
    plain = {"ic0_spread": 0.0, "ic0_spread_edge_m": 0.0, "delta_spread": 0.0}
    found = {w: float(bar("ideal", w * 1e-6, **plain).truth.ic0_a()) for w in (2, 4, 8, 16)}
    assert found[16] == pytest.approx(8e-3)
    for width, ic0 in found.items():
        assert ic0 == pytest.approx(8e-3 * width / 16 * (1 + 1 / 16) / (1 + 1 / width))


def test_no_assist_field_no_switching_and_the_sign_inverts(bar):
    without = bar("ideal", assist_t=0.0)
    strong = 2.0 * without.ic0_nominal_a * np.tile([1.0, -1.0], 50)
    times = np.arange(100) * 1e-3
    levels, *_ = without.play(strong, times, np.full(100, WIDTH_S), 0.0, without.field)
    assert (levels == -1.0).all()
    for assist in (0.05, -0.05):
        tested = bar("ideal", assist_t=assist)
        levels, *_ = tested.play(0.65 * strong, times, np.full(100, WIDTH_S), 0.0, tested.field)
        np.testing.assert_array_equal(levels, np.sign(assist) * np.sign(strong))


def test_reads_are_no_pulses_and_disturb_nothing(bar):
    tested = bar()
    tested.set_state(1)
    amps = -0.25 * tested.ic0_nominal_a
    levels = play(tested, (np.full(5000, amps), np.arange(5000) * 3e-3, np.full(5000, 2e-3)))
    assert (levels == 1.0).all()
    assert (tested.truth.wear.positive, tested.truth.wear.negative) == (0, 0)


def test_wear_counts_what_really_came(bar):
    tested = bar()
    i50 = float(tested.truth.i50_a(WIDTH_S))
    play(tested, frames(tested, i50, 100, read_a=0.1 * i50))
    wear = tested.truth.wear
    assert (wear.positive, wear.negative) == (100, 100)
    assert wear.worst_a == pytest.approx(1.35 * i50)
    joule = 100 * tested.drawn.r_xx_ohm * i50**2 * (WIDTH_S * (1 + 1.35**2) + 160e-6 * 0.01)
    assert wear.energy_j == pytest.approx(joule)
    tested.settle(1.0, 0.5 * i50, tested.field)
    tested.settle(2.0, 0.5 * i50, tested.field)
    assert tested.truth.wear.positive == 101


def test_a_far_too_large_current_kills_and_opens_the_line(bar):
    tested = bar()
    amps = np.full(1000, 1.1 * tested.heat.blow_a)
    _, survived, _ = tested.play(amps, np.arange(1000) * 1e-3, np.full(1000, WIDTH_S), 0.0, tested.field)
    assert 0 < survived < 1000 and tested.truth.dead
    assert np.isinf(tested.load("current", 0.0, 1.0).ohm)
    envelope = bar()
    play(envelope, (np.full(1000, 0.64 * envelope.heat.blow_a), np.arange(1000) * 1e-3, np.full(1000, 1e-4)))
    assert envelope.truth.wear.damage < 1e-6


def test_heat_at_the_stated_frame_rate_is_about_five_kelvin(bar):
    tested = bar("default", 16e-6)
    i50 = float(tested.truth.i50_a(WIDTH_S))
    period, count = 1 / 2500, 15_000
    start = (np.arange(count)[:, None] * period + [0.0, 120e-6]).ravel()
    amps = np.tile([-1.3 * i50, i50], count)
    tested.play(amps, start, np.full(2 * count, WIDTH_S), 0.0, tested.field)
    assert 4.0 < tested.state[kernel.HEAT_3] < 6.0
    cold = bar("ideal", 16e-6)
    cold.play(amps, start, np.full(2 * count, WIDTH_S), 0.0, cold.field)
    assert cold.state[kernel.HEAT_3] == 0.0


def test_truth_with_heat_and_failures_predicts_the_frequency(bar):
    """default: heat, drift and failures on. Six standard deviations: false alarm 2e-9, seed fixed."""
    tested = bar("default", 16e-6)
    write, count = float(tested.truth.i50_a(WIDTH_S)), 60_000
    train = frames(tested, write, count, read_s=2e-3)
    levels = np.concatenate(
        [play(tested, [each[i : i + 3000] for each in train]) for i in range(0, 3 * count, 3000)]
    )
    started = levels[0::3] < 0
    times = train[1][1::3]
    chance = tested.truth.p_switch(
        write, WIDTH_S, times, heat_k=tested.truth.heat_k(times), residual=_had_to_reverse(levels)
    )
    assert abs(chance.mean() - 0.5) > 0.015
    found, expected = (levels[1::3] > 0)[started], chance[started]
    error = math.sqrt((expected * (1 - expected)).sum())
    assert abs(found.sum() - expected.sum()) < SIX_SIGMA * error


def test_incomplete_reversal_and_intermediate_levels(bar):
    """Shares of intermediate levels within six standard deviations: false alarm 2e-9."""
    tested = bar("hard")
    count = 20_000
    levels = play(tested, frames(tested, 1.1 * float(tested.truth.i50_a(WIDTH_S)), count, reset=1.2))
    size = np.abs(levels[1::3][(levels[0::3] < 0) & (levels[1::3] > 0)])
    full = np.isclose(size, tested.drawn.reversed_part)
    share = tested.drawn.intermediate
    assert tested.truth.loop_ohm == pytest.approx(tested.truth.r_ahe_ohm * size.max())
    assert abs((~full).mean() - share) < SIX_SIGMA * math.sqrt(share * (1 - share) / len(size))


def test_a_residual_domain_correlates_neighbouring_bits(bar):
    """Lag-1 correlation: above 5 sigma with a strong effect, below without (false alarm 6e-7)."""
    count = 30_000
    found = {}
    for lowers in (0.0, 0.006):
        tested = bar("hard", ic0_drift=0.0, chuck_swing_k=0.0, heating=0.0, residual_lowers=lowers)
        bits = play(tested, frames(tested, float(tested.truth.i50_a(WIDTH_S)), count, reset=1.25))[1::3] > 0
        found[lowers] = np.corrcoef(bits[1:], bits[:-1])[0, 1] * math.sqrt(count)
    assert abs(found[0.0]) < 5 < found[0.006]


def test_back_switching_sets_in_above_its_onset(bar):
    tested = bar("default", heating=0.0, failure_min=0.0, failure_max=0.0)
    i50 = float(tested.truth.i50_a(WIDTH_S))
    below = play(tested, frames(tested, 1.25 * i50, 3000, reset=1.2))[1::3]
    above = play(tested, frames(tested, 1.7 * i50, 3000, reset=1.2, start_s=10.0))[1::3]
    assert (below > 0).all() and 0.02 < (above < 0).mean() < 0.2


def test_the_shape_option_gives_a_floor_and_a_ceiling_but_a_reset_works(bar):
    tested = bar("ideal", shape=True)
    drawn, i50, count = tested.drawn, float(tested.truth.i50_a(WIDTH_S)), 20_000
    assert 0 < drawn.floor < 0.2 and 0.6 < drawn.ceiling < 1
    for amps, expected in ((0.85 * i50, drawn.floor), (1.12 * i50, drawn.ceiling)):
        levels = play(tested, frames(tested, amps, count, reset=1.35, start_s=tested._time + 1))
        assert (levels[0::3] == -1).all()
        error = math.sqrt(expected * (1 - expected) / count)
        assert abs((levels[1::3] > 0).mean() - expected) < SIX_SIGMA * error + 1e-4


def test_the_random_numbers_are_uniform_and_independent():
    """Kolmogorov-Smirnov and serial correlation; false alarm 1e-4 each, keys fixed."""
    numbers = np.arange(100_000)
    draws = []
    for key in (np.array([1, 2], np.uint64), np.array([2, 1], np.uint64)):
        for lane in (0, 3):
            draws.append(np.array([uniform(key, int(i), np.uint64(lane)) for i in numbers[:25_000]]))
    for mine in draws:
        assert stats.kstest(mine, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(mine[1:], mine[:-1])[0, 1]) * math.sqrt(len(mine)) < 3.9
    for i, mine in enumerate(draws):
        for other in draws[:i]:
            assert abs(np.corrcoef(mine, other)[0, 1]) * math.sqrt(len(mine)) < 4.5


def _had_to_reverse(levels):
    """Whether each frame's reset pulse found the bar up."""
    return np.concatenate([[-1.0], levels[2:-1:3]]) > 0
