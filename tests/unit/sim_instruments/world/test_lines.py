"""Voltage pulses, shunts, matrix cards, trigger cables and windows of time."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.bench import build_world
from sim_instruments.world import Level, PulseTrain
from sim_instruments.world.plain import from_bytes, to_bytes

W2 = {"width_m": 2e-6, "length_m": 40e-6}
TABLES = {
    "instruments": {
        "awg": {"driver": "x"},
        "dmm": {"driver": "x"},
        "matrix": {"driver": "x", "options": {"cards": ["7072", "7072"]}},
    },
    "wires": [
        {
            "from": "awg.ch1",
            "to": ["matrix.A"],
            "shunt_ohm": 100.0,
            "shunt_tolerance": 0.01,
            "shunt_taps": "matrix.2B12",
        },
        {"from": "dmm.input", "to": ["matrix.B"]},
        {"from": "awg.ch2", "to": ["dmm.ext_trig"], "shunt_ohm": None, "shunt_tolerance": 1e-3},
    ],
    "devices": {
        "d1": {**W2, "pads": {"current": "matrix.1A01", "hall": "matrix.1B02"}},
        "d2": {**W2, "pads": {"current": "matrix.2A01", "hall": "matrix.2B02"}},
    },
    "field": {"tesla_per_ampere": 4e-3, "assist_t": 0.05},
    "simulation": {"setting": "ideal", "sample_seed": 1},
}


def built(**changes):
    tables = copy.deepcopy(TABLES)
    for name, value in changes.items():
        tables[name] = value
    return build_world(**tables, seed=3)


def volts(levels, start=0.0, width=1e-4, gap=1e-4, limit=float("inf"), base=0.0):
    begin = start + np.arange(len(levels)) * (width + gap)
    return PulseTrain(
        np.asarray(levels, float), begin, np.full(len(levels), width), base, limit, True, series_ohm=50.0
    )


def line_ohm(world, name="d1"):
    return world.devices[name].load("current", 0.0, 0.0).ohm


def test_a_voltage_pulse_drives_what_source_shunt_and_line_let_through():
    w = built()
    w.close_relay("matrix.1A01")
    w.advance(1.0)
    ohm, shunt = line_ohm(w), w.shunts["awg.ch1"].ohm
    trace = w.play("awg.ch1", volts([4.0, -2.0, 0.0]))
    current = np.array([4.0, -2.0, 0.0]) / (50 + shunt + ohm)
    np.testing.assert_allclose(trace.current_a, current, rtol=1e-12)
    np.testing.assert_allclose(trace.voltage_v, current * (shunt + ohm), rtol=1e-12)
    np.testing.assert_allclose(trace.sensed_v("awg.ch1"), trace.voltage_v)
    assert not trace.compliance.any()
    assert w.truth["d1"].wear.worst_a == pytest.approx(current[0])
    w.set_level("awg.ch1", Level(4.0, float("inf"), True, voltage_mode=True, series_ohm=50.0))
    assert w.source_state("awg.ch1")[:2] == pytest.approx((trace.voltage_v[0], current[0]))


def test_a_voltage_pulse_into_nothing_stands_open_and_a_limit_holds_the_current():
    w = built()
    w.advance(1.0)
    trace = w.play("awg.ch1", volts([4.0]))
    assert (trace.current_a[0], trace.voltage_v[0], trace.compliance[0]) == (0.0, 4.0, False)
    w.close_relay("matrix.1A01")
    trace = w.play("awg.ch1", volts([4.0, -4.0, 0.1], start=0.5, limit=1e-4))
    np.testing.assert_allclose(trace.current_a[:2], [1e-4, -1e-4])
    np.testing.assert_array_equal(trace.compliance, [True, True, False])


def test_a_bar_that_blows_leaves_a_voltage_source_open():
    w = built()
    w.close_relay("matrix.1A01")
    w.advance(1.0)
    trace = w.play("awg.ch1", volts([30.0] * 200))
    died = int(np.argmax(trace.current_a == 0.0))
    assert 0 < died < 200 and (trace.voltage_v[died:] == 30.0).all() and not trace.compliance.any()


def test_the_shunts_taps_show_the_current_and_its_value_lies_in_its_tolerance():
    w = built()
    shunt = w.shunts["awg.ch1"].ohm
    assert shunt != 100.0 and abs(shunt - 100.0) <= 1.0
    assert built().shunts["awg.ch1"].ohm == shunt
    other = built(simulation={**TABLES["simulation"], "sample_seed": 2}).shunts["awg.ch1"].ohm
    assert other != shunt
    w.close_relay("matrix.1A01")
    w.advance(1.0)
    assert np.isnan(w.play("awg.ch1", volts([1.0])).sensed_v("dmm.input")).all()
    w.close_relay("matrix.2B12")
    trace = w.play("awg.ch1", volts([1.0, -1.0], start=0.5, base=0.1))
    np.testing.assert_allclose(trace.sensed_v("dmm.input"), trace.current_a * shunt)
    np.testing.assert_allclose(trace.sensed_base_v("dmm.input"), -0.1 * trace.current_a[1] * shunt)
    w.set_level("awg.ch1", Level(1.0, float("inf"), True, voltage_mode=True, series_ohm=50.0))
    assert w.sense("dmm.input") == pytest.approx(trace.current_a[0] * shunt)
    w.set_level("awg.ch1", Level(0.0, 1.0, False))
    assert w.sense("dmm.input") == 0.0
    assert not w.faults


def test_rows_are_one_line_over_all_cards_and_any_row_reaches_a_column():
    w = built()
    w.close_relay("matrix.2A01")
    assert w.wiring.connections["awg.ch1"] == (("d2", "current"),)
    w.close_relay("matrix.1A01")
    assert w.wiring.connections["awg.ch1"] == (("d1", "current"), ("d2", "current"))
    w.open_relay("matrix.2A01")
    w.close_relay("matrix.1B01")  # the reader across the current line
    w.set_level("awg.ch1", Level(1.0, float("inf"), True, voltage_mode=True, series_ohm=50.0))
    current = w.source_state("awg.ch1")[1]
    assert w.sense("dmm.input") == pytest.approx(current * line_ohm(w))


def test_a_chain_of_rows_and_columns_conducts():
    w = built()
    for relay in ("matrix.1A05", "matrix.1C05", "matrix.1C01"):
        w.close_relay(relay)
    assert w.wiring.connections["awg.ch1"] == (("d1", "current"),)
    w.open_relay("matrix.1C05")
    assert w.wiring.connections["awg.ch1"] == ()


def test_a_matrix_relay_on_a_live_column_switches_hot():
    w = built()
    w.close_relay("matrix.1A01")
    w.set_level("awg.ch1", Level(1.0, float("inf"), True, voltage_mode=True, series_ohm=50.0))
    w.close_relay("matrix.1B02")
    assert not w.faults
    w.close_relay("matrix.1B01")
    assert "hot switching: relay matrix.1B01 closed while awg.ch1 sources 1" in w.faults[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shunt_ohm": -1.0}, "shunt_ohm must be a positive number"),
        ({"shunt_ohm": True}, "shunt_ohm must be a positive number"),
        ({"shunt_ohm": 100.0, "shunt_tolerance": 1.5}, "shunt_tolerance must be"),
        ({"shunt_taps": "matrix.1B12"}, "shunt_taps without shunt_ohm"),
        ({"shunt_ohm": 100.0, "shunt_taps": "matrix.1A02"}, "already holds port hall of d1"),
        ({"shunt_ohm": 100.0, "shunt_taps": "matrix.9B12"}, "there is no relay 'matrix.9B12'"),
    ],
)
def test_a_bad_shunt_gets_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        built(wires=[{"from": "awg.ch1", "to": ["matrix.A"], **change}])


def test_a_trigger_reaches_whoever_is_on_the_cable():
    class Meter:
        name = "dmm"
        heard = ()

        def triggered(self, line, times_s, trace):
            self.heard = (line, list(times_s), trace)

    w, meter = built(), Meter()
    w.advance(1.0)
    w.add_instrument(meter)
    trace = w.play("awg.ch1", volts([1.0]))
    w.trigger("awg.ch2", np.array([0.1, 0.2]), trace)
    assert meter.heard == ("dmm.ext_trig", [0.1, 0.2], trace)
    meter.heard = ()
    w.trigger("awg.ch9", np.array([0.3]))
    w.trigger("awg.ch1", np.array([0.3]))
    assert meter.heard == ()


def test_series_resistance_is_part_of_the_snapshot():
    w = built()
    w.close_relay("matrix.1A01")
    w.set_level("awg.ch1", Level(1.0, float("inf"), True, voltage_mode=True, series_ohm=50.0))
    again = built()
    again.restore(from_bytes(to_bytes(w.snapshot())))
    assert again.source_state("awg.ch1") == w.source_state("awg.ch1")


def by_steps(trace, terminal, start, stop, steps=20000):
    """The same mean, from many samples of the pulses' and the gaps' voltages."""
    times = start + (np.arange(steps) + 0.5) * (stop - start) / steps
    train = trace.train
    index = np.searchsorted(train.start_s, times, side="right") - 1
    inside = (index >= 0) & (times < train.start_s[index] + train.width_s[index])
    on, off = trace.sensed_v(terminal), trace.sensed_base_v(terminal)
    first = trace.window_v(terminal, np.array([train.start_s[0] - 1e-3]), np.array([train.start_s[0] - 5e-4]))
    return np.where(inside, on[index], np.where(index < 0, first[0], off[index])).mean()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from([-6.0, 0.5, 7.0, -1.0]), min_size=1, max_size=6),
    st.lists(st.tuples(st.floats(-1e-4, 8e-4), st.floats(1e-6, 6e-4)), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.3]),
)
def test_a_window_is_the_mean_over_pulses_and_gaps(levels, windows, base):
    w = built()
    for relay in ("matrix.1A01", "matrix.1B02"):
        w.close_relay(relay)
    w.advance(1.0)
    trace = w.play("awg.ch1", volts(levels, width=7e-5, gap=5e-5, base=base))
    begin, length = np.array(sorted(windows)).T
    for terminal in ("awg.ch1", "dmm.input"):
        seen = trace.window_v(terminal, begin, begin + length)
        wanted = [by_steps(trace, terminal, a, a + n) for a, n in zip(begin, length, strict=True)]
        size = np.abs(trace.sensed_v(terminal)).max()
        np.testing.assert_allclose(seen, wanted, atol=1e-3 * size)


def test_a_window_inside_one_pulse_is_exactly_what_is_sensed():
    w = built()
    for relay in ("matrix.1A01", "matrix.1B02"):
        w.close_relay(relay)
    w.advance(1.0)
    trace = w.play("awg.ch1", volts([-6.0, 0.8, 7.0, 0.8, -0.8]))
    start, width = trace.train.start_s, trace.train.width_s
    seen = trace.window_v("dmm.input", start + 0.25 * width, start + 0.75 * width)
    np.testing.assert_allclose(seen, trace.sensed_v("dmm.input"), rtol=1e-12)
    ohm = w.truth["d1"].r_ahe_ohm
    assert seen[3] - seen[1] == pytest.approx(trace.current_a[1] * ohm)
    assert np.isnan(trace.window_v("nobody.x", start, start + width)).all()
    at = np.array([start[1] + 1e-5])
    assert trace.window_v("awg.ch1", at, at) == pytest.approx(trace.voltage_v[1])


def test_windows_that_do_not_ascend_are_refused():
    w = built()
    w.close_relay("matrix.1A01")
    w.advance(1.0)
    trace = w.play("awg.ch1", volts([1.0, 1.0]))
    for begin, end in (([2e-4, 1e-4], [3e-4, 2e-4]), ([2e-4], [1e-4])):
        with pytest.raises(ValueError, match="windows must open in ascending order"):
            trace.window_v("awg.ch1", np.array(begin), np.array(end))
