"""The drivers of the DMM6500 and the SR830 against their twins, in process."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np
import pytest

from drivers.keithleydmm6500 import KeithleyDMM6500
from drivers.sr830 import SR830
from hilab.errors import BenchError
from hilab.roles import Digitiser, Instrument, LockInAmplifier, Output, Reader
from sim_instruments.bench import build
from sim_instruments.world.contracts import Level, PulseTrain

LIMITS = {
    "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
    "read_max_a": 0.25e-3,
    "voltage_max_v": 20.0,
    "field_max_t": 0.1,
    "pulses_max": 1_000_000,
}
BAR = {"width_m": 2e-6, "length_m": 40e-6, "r_ohm": 8000.0, "r_hall_ohm": 1.0, "limits": LIMITS}
READ_A = 100e-6


def bench_of(name, wires, pads, others=()):
    box = {"driver": name, "address": "sim", "transport": "lan"}
    return build(
        instruments={"box": box, **dict(others)},
        wires=wires,
        devices={"bar": {**BAR, "pads": pads}},
        field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
        simulation={"bench": "hall_bars", "setting": "ideal", "sample_seed": 1, "mains_hz": 50},
        seed=7,
    )


@contextmanager
def opened(driver, bench):
    made = driver(bench.addresses["box"], name="box", visa_library=bench.visa_library, clock=bench.clock)
    made.identify()
    yield made
    made.close()


# ---- DMM6500 --------------------------------------------------------------------------------------------


@pytest.fixture
def dmm_bench():
    return bench_of(
        "keithleydmm6500",
        [{"from": "smu.digio1", "to": ["box.ext_trig"]}],
        {"current": "smu.a", "hall": "box.input"},
        [("smu", {"driver": "keithley2636b", "address": "sim"})],
    )


@pytest.fixture
def dmm(dmm_bench):
    with opened(KeithleyDMM6500, dmm_bench) as made:
        yield made


def pulse(bench, count, interval_s, sign=1.0):
    """Read pulses with an edge 5 us before each; what a window of 50 us, 11 us after the edge, sees."""
    bench.clock.sleep(count * interval_s + 1e-3)
    world = bench.world
    world.advance(bench.clock.now())
    times = world.now - 1e-3 + interval_s * (np.arange(count) - count)
    levels = np.full(count, sign * READ_A)
    trace = world.play("smu.a", PulseTrain(levels, times + 5e-6, np.full(count, 150e-6), 0.0, 20.0))
    world.trigger("smu.digio1", times, trace)
    return trace.window_v("box.input", times + 11e-6, times + 61e-6)


def sent(driver):
    lines = []
    driver.link.hook = lambda kind, content: lines.append(content.decode()) if kind == "write" else None
    return lines


def test_roles(dmm):
    assert isinstance(dmm, Instrument)
    assert isinstance(dmm, Reader)
    assert isinstance(dmm, Digitiser)
    assert dmm.line_hz == 50.0


def test_a_reading(dmm, dmm_bench):
    dmm_bench.world.set_level("smu.a", Level(READ_A, 20.0, True))
    assert dmm.configure_reader(0.05, 0.02) == 0.02
    before = dmm_bench.clock.now()
    true_v = dmm_bench.world.sense("box.input")
    assert dmm.read_v() == pytest.approx(true_v, abs=6 * dmm.noise_v(0.1, 0.02))
    took_s = dmm_bench.clock.now() - before
    assert took_s == pytest.approx(dmm.reading_s(0.02) + 2 * dmm.message_s, abs=2 * dmm.message_s)
    assert dmm.check_errors() == []


def test_open_leads_read_nothing():
    bench = bench_of("keithleydmm6500", [], {"current": "box.nothing"})
    with opened(KeithleyDMM6500, bench) as dmm:
        dmm.configure_reader(0.1, 0.02)
        assert math.isnan(dmm.read_v())


def test_arming_digitising_fetching(dmm, dmm_bench):
    armed = dmm.arm_triggered(0.05, 50e-6, 1, 0.0, 11e-6, 500)
    assert armed == dmm.digitising(0.05, 50e-6, 1, 0.0, 11e-6, 500)
    assert (armed.range_v, armed.aperture_s, armed.delay_s) == (0.1, 50e-6, pytest.approx(11e-6))
    true_v = pulse(dmm_bench, 500, 200e-6)
    assert dmm.count_now() == 500
    readings = dmm.fetch(500)
    hum_v = 30e-6
    assert np.all(np.abs(readings - true_v) < hum_v + 6 * dmm.noise_v(0.1, 50e-6))
    assert abs(np.mean(true_v)) > 30e-6
    assert np.array_equal(dmm.fetch(20, start=30), readings[30:50])
    assert not dmm.triggers_missed()
    assert dmm.check_errors() == []


def test_arming_is_one_exchange_and_short_where_nothing_changed(dmm, dmm_bench):
    lines = sent(dmm)
    dmm.arm_triggered(0.1, 50e-6, 2, 100e-6, 5e-6, 100)
    assert len(lines) == 1 and ":TRIG:BLOC:WAIT 2,EXT,ENT" in lines[0] and ":TRIG:EXT:IN:EDGE RIS" in lines[0]
    pulse(dmm_bench, 100, 400e-6)
    first = dmm.fetch(200)
    del lines[:]
    dmm.arm_triggered(0.1, 50e-6, 2, 100e-6, 5e-6, 100)
    assert lines == [":ABOR;:TRIG:EXT:IN:CLE;:INIT;:TRIG:STAT?"]
    assert dmm.count_now() == 0
    pulse(dmm_bench, 100, 400e-6)
    second = dmm.fetch(200)
    assert len(second) == 200 and not np.array_equal(first, second)


def test_a_reading_between_two_armings(dmm, dmm_bench):
    dmm.arm_triggered(0.1, 50e-6, 1, 0.0, 5e-6, 10)
    pulse(dmm_bench, 10, 400e-6)
    dmm.configure_reader(0.1, 0.02)
    assert abs(dmm.read_v()) < 1e-4
    dmm.arm_triggered(0.1, 50e-6, 1, 0.0, 5e-6, 10)
    pulse(dmm_bench, 10, 400e-6)
    assert len(dmm.fetch(10)) == 10
    assert dmm.check_errors() == []


def test_missed_triggers_are_told(dmm, dmm_bench):
    armed = dmm.arm_triggered(0.1, 200e-6, 1, 0.0, 5e-6, 100)
    assert armed.busy_s > 200e-6
    pulse(dmm_bench, 100, 200e-6)
    with pytest.raises(BenchError, match=r"50 of 100 readings are there.*some came while it was busy"):
        dmm.fetch(100)
    assert dmm.triggers_missed()
    assert any("-211" in error for error in dmm.check_errors())
    dmm.abort()


def test_the_shortest_interval_of_triggers_misses_none(dmm, dmm_bench):
    interval_s = dmm.min_trigger_interval_s(1, 50e-6, 50e-6, 5e-6)
    dmm.arm_triggered(0.1, 50e-6, 1, 50e-6, 5e-6, 300)
    dmm_bench.clock.sleep(1.0)
    dmm_bench.world.advance(dmm_bench.clock.now())
    dmm_bench.world.trigger("smu.digio1", dmm_bench.world.now - 0.5 + interval_s * np.arange(300))
    assert len(dmm.fetch(300)) == 300
    assert not dmm.triggers_missed()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((0.1, 2e-3, 1, 0.0, 0.0, 10), "aperture"),
        ((0.1, 1e-7, 1, 0.0, 0.0, 10), "aperture"),
        ((0.1, 50e-6, 2, 40e-6, 0.0, 10), "does not fit between"),
        ((0.1, 50e-6, 2, 2e-3, 0.0, 10), "apart are outside"),
        ((0.1, 50e-6, 1, 0.0, -1.0, 10), "delay"),
        ((0.1, 50e-6, 1, 0.0, 0.0, 7_000_001), "do not fit into its"),
        ((0.1, 50e-6, 1, 0.0, 0.0, 0), "do not fit into its"),
        ((2000.0, 50e-6, 1, 0.0, 0.0, 10), "beyond its largest range"),
    ],
)
def test_what_it_cannot_is_said_before_anything_is_sent(dmm, arguments, why):
    lines = sent(dmm)
    with pytest.raises(BenchError, match=why):
        dmm.arm_triggered(*arguments)
    assert lines == []


def test_another_command_set_is_refused_with_the_way_out(dmm, dmm_bench):
    dmm.write("*LANG SCPI2000")
    with pytest.raises(BenchError, match="speaks SCPI2000, not SCPI: set Menu"):
        dmm.identify()


# ---- SR830 ----------------------------------------------------------------------------------------------


@pytest.fixture
def lock_in_bench():
    return bench_of(
        "sr830",
        [
            {"from": "box.sine", "to": ["mux.1A"], "shunt_ohm": 1000.0},
            {"from": "box.input", "to": ["mux.1B"]},
        ],
        {"current": "mux.1!1", "hall": "mux.1!11"},
        [("mux", {"driver": "keithley7001", "address": "sim", "options": {"cards": ["7011"]}})],
    )


@pytest.fixture
def lock_in(lock_in_bench):
    with opened(SR830, lock_in_bench) as made:
        lock_in_bench.world.close_relay("mux.1!1")
        lock_in_bench.world.close_relay("mux.1!11")
        yield made


def test_harmonics_of_a_bar(lock_in, lock_in_bench):
    assert isinstance(lock_in, Output)
    assert isinstance(lock_in, LockInAmplifier)
    bar = lock_in_bench.world.devices["bar"]
    chosen = lock_in.configure_lock_in(137.31, 0.1, 3e-3, 12)
    assert chosen == (137.31, 0.1, 5e-3, 12)
    lock_in.set_load_ohm(1000.0 + bar._line_ohm())
    lock_in.configure_sine(0.2e-3)
    current_a = lock_in.set_sine_a(80e-6)
    assert current_a == pytest.approx(80e-6, rel=0.01)
    hall_ohm = float(bar.port_v("hall", 1.0, -1, 0.0) - bar.port_v("hall", 0.0, -1, 0.0))
    before = lock_in_bench.clock.now()
    lock_in.read_harmonic(1)
    assert lock_in_bench.clock.now() - before == pytest.approx(0.7, abs=0.05), "7 time constants at 12 dB"
    x_v, y_v = lock_in.read_harmonic(1)
    assert x_v == pytest.approx(current_a * hall_ohm, rel=0.01)
    assert abs(y_v) < 1e-6
    lock_in.read_harmonic(2)
    assert abs(complex(*lock_in.read_harmonic(2))) < 5e-6
    assert lock_in.check_errors() == []


def test_overload_is_nan(lock_in):
    lock_in.configure_lock_in(137.31, 0.01, 1e-6)
    lock_in.set_load_ohm(9000.0)
    lock_in.configure_sine(1e-3)
    lock_in.set_sine_a(100e-6)
    assert all(math.isnan(value) for value in lock_in.read_harmonic(1))


def test_currents_need_a_known_load_and_a_limit(lock_in):
    with pytest.raises(BenchError, match="load is not known"):
        lock_in.set_sine_a(1e-4)
    lock_in.set_load_ohm(9000.0)
    with pytest.raises(BenchError, match="above the limit"):
        lock_in.set_sine_a(1e-4)
    lock_in.configure_sine(1e-2)
    for current_a in (1e-7, 1e-3):
        with pytest.raises(BenchError, match="outside 4 mV to 5 V"):
            lock_in.set_sine_a(current_a)
    with pytest.raises(BenchError, match="is none"):
        lock_in.set_load_ohm(0.0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((2e5, 0.1, 1.0), "outside 0.001 Hz to 102 kHz"),
        ((1e3, 100.0, 1.0), "30 s at most"),
        ((1e3, 0.1, 2.0), "a sensitivity of 2 V"),
        ((1e3, 0.1, 1.0, 7), "slope"),
    ],
)
def test_what_the_box_would_change_silently_is_refused(lock_in, arguments, why):
    with pytest.raises(BenchError, match=why):
        lock_in.configure_lock_in(*arguments)


def test_a_harmonic_beyond_its_range_is_refused(lock_in):
    with pytest.raises(BenchError, match="configure_lock_in first"):
        lock_in.read_harmonic(1)
    lock_in.configure_lock_in(60e3, 0.1, 1.0)
    with pytest.raises(BenchError, match="beyond 102 kHz"):
        lock_in.read_harmonic(2)


def test_safe_is_the_least_sine_and_says_so(lock_in, lock_in_bench):
    twin = lock_in_bench.instruments["box"]
    lock_in.write("AUXV 3,2.5")
    assert twin.auxiliary_v[2] == 2.5
    assert not lock_in.verify_safe()
    lock_in.set_load_ohm(9000.0)
    lock_in.configure_sine(1e-3)
    lock_in.set_sine_a(3e-4)
    report = lock_in.make_safe()
    assert report.verified
    assert "4 mV rms" in report.detail and "no switch" in report.detail
    assert (twin.values["SLVL"], twin.auxiliary_v) == (0.004, [0.0] * 4)
    assert lock_in.verify_safe()
