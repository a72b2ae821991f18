"""However trains and readings are cut into calls, nothing changes, bit for bit."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim_instruments.world import PulseTrain

FRAMES = 60
PERIOD_S = 420e-6


def shortened(cuts, length):
    return [0, *sorted({cut for cut in cuts if 0 < cut < length}), length]


@pytest.mark.parametrize("setting", ["ideal", "default", "hard"])
@pytest.mark.parametrize("model", ["hall_bar", "sigmoid_bar"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 3 * FRAMES - 1), max_size=12),
    st.lists(st.integers(1, FRAMES - 1), max_size=8),
    st.floats(0.0, 30.0),
)
def test_cuts_of_trains_and_readings_change_no_bit(world, model, setting, pulse_cuts, reading_cuts, late_s):
    """late_s: the trains start there, and the cut one lets the world look at the clock in between."""

    def run(cuts, reads):
        w = world(seed=5, device_model=model, setting=setting, shape=True)
        for relay in ("mux.1!1", "mux.1!11"):
            w.close_relay(relay)
        w.advance(100.0)
        i50 = float(w.truth["d1"].i50_a(1e-4))
        level = np.empty((FRAMES, 3))
        level[:, 0], level[:, 2] = -1.4 * i50, 0.15 * i50
        level[:, 1] = i50 * np.random.default_rng(1).normal(1.0, 0.03, FRAMES)
        start = (late_s + np.arange(FRAMES)[:, None] * PERIOD_S + [0.0, 120e-6, 240e-6]).ravel()
        width = np.tile([100e-6, 100e-6, 160e-6], FRAMES)
        levels, seen = [], []
        for a, b in itertools.pairwise(cuts):
            trace = w.play("smu.a", PulseTrain(level.ravel()[a:b], start[a:b], width[a:b], 0.0, 40.0))
            levels.append(trace.played["d1"].level)
            mine = slice(-(-(a - 2) // 3) if a > 2 else 0, b // 3)  # reads that lie in this part
            begin = start[2::3][mine] + 20e-6
            seen.append(trace.window_v("smu.b", begin, begin + 130e-6))
        noise = [w.stream("reader").standard_normal(b - a) for a, b in itertools.pairwise(reads)]
        device = w.devices["d1"]
        return np.concatenate(levels), np.concatenate(seen), np.concatenate(noise), device

    whole = run([0, 3 * FRAMES], [0, FRAMES])
    cut = run(shortened(pulse_cuts, 3 * FRAMES), shortened(reading_cuts, FRAMES))
    np.testing.assert_array_equal(whole[0], cut[0])
    np.testing.assert_array_equal(whole[2], cut[2])
    np.testing.assert_array_equal(whole[3].state, cut[3].state)
    np.testing.assert_array_equal(whole[3].count, cut[3].count)
    np.testing.assert_array_equal(whole[1], cut[1])
