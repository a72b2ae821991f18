"""PyMeasure's own KeithleyDMM6500 and SR830 on a simulated bench, over TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments.keithley import KeithleyDMM6500
from pymeasure.instruments.srs import SR830
from pymeasure.instruments.srs.sr830 import ERRStatus, LIAStatus

from sim_instruments.serve import serve_bench
from sim_instruments.world.contracts import Level

LF = {"read_termination": "\n", "write_termination": "\n"}
LIMITS = {
    "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
    "read_max_a": 0.25e-3,
    "voltage_max_v": 20.0,
    "field_max_t": 0.1,
    "pulses_max": 1_000_000,
}
BAR = {"width_m": 2e-6, "length_m": 40e-6, "r_ohm": 8000.0, "r_hall_ohm": 1.0, "limits": LIMITS}
READ_A = 100e-6
SERIES_OHM = 1000.0


def boxes(*names: str) -> dict[str, dict[str, str]]:
    drivers = {"dmm": "keithleydmm6500", "lockin": "sr830", "smu": "keithley2636b"}
    return {name: {"driver": drivers[name], "address": "sim", "transport": "lan"} for name in names}


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    """A DMM6500 on the arms of a bar that a 2636B drives; an SR830 with a bar of its own."""
    with serve_bench(
        instruments=boxes("dmm", "smu", "lockin"),
        wires=[{"from": "smu.digio1", "to": ["dmm.ext_trig"]}],
        devices={
            "bar_1": {**BAR, "pads": {"current": "smu.a", "hall": "dmm.input"}},
            "bar_2": {**BAR, "pads": {"current": "lockin.sine", "hall": "lockin.input"}},
        },
        field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
        simulation={"bench": "hall_bars", "setting": "ideal", "sample_seed": 1, "mains_hz": 50},
        seed=7,
        speed=20.0,
    ) as server:
        yield server
        assert server.bench.world.faults == []


@pytest.fixture
def dmm(served: Any, connect: Callable[..., Any]) -> Iterator[Any]:
    instrument = connect(served, "dmm", KeithleyDMM6500, write_termination="\n")
    instrument.reset()
    yield instrument
    assert instrument.check_errors() == []


@pytest.fixture
def lock_in(served: Any, connect: Callable[..., Any]) -> Any:
    instrument = connect(served, "lockin", SR830, **LF)
    instrument.reset()
    instrument.clear()
    return instrument


# ---- DMM6500 ---------------------------------------------------------------------------------------------


def test_command_set_and_function(dmm: Any) -> None:
    assert "DMM6500" in dmm.id
    assert dmm.command_set == "SCPI"
    assert dmm.mode == "voltage"
    assert dmm.line_frequency == 50
    assert dmm.terminals_used == "FRONT"


def test_the_voltage_of_the_hall_arms(dmm: Any, served: Any, sense: Callable[[Any, str], float]) -> None:
    with served.bench.visa_library.bench_lock:
        served.bench.world.set_level("smu.a", Level(READ_A, 20.0, True))
    try:
        dmm.measure_voltage(0.05)
        assert dmm.voltage_range == 0.1
        dmm.voltage_nplc = 5
        true_v = sense(served, "dmm.input")
        assert abs(true_v) > 20e-6
        assert dmm.voltage == pytest.approx(true_v, abs=1e-6)
        relative_v = dmm.acquire_relative()
        assert relative_v == pytest.approx(true_v, abs=1e-6)
        dmm.enable_relative()
        assert dmm.voltage == pytest.approx(0.0, abs=1e-6)
    finally:
        with served.bench.visa_library.bench_lock:
            served.bench.world.set_level("smu.a", Level(0.0, 20.0, False))


def test_settings_of_the_active_function(dmm: Any) -> None:
    dmm.nplc = 0.5
    dmm.range = 10
    dmm.autozero_enabled = False
    dmm.digits = 5
    assert (dmm.nplc, dmm.range, dmm.autozero_enabled, dmm.digits) == (0.5, 10, False, 5)
    assert dmm.aperture == pytest.approx(0.01)
    assert dmm.auto_range_status() is False
    dmm.auto_range()
    assert dmm.autorange_enabled is True
    assert dmm.enable_filter(count=3) == "1"
    assert dmm.disable_filter() == "0"
    dmm.trigger_single_autozero()
    dmm.displayed_text("hilab", "reads")
    assert len(dmm.system_time) > 10


def test_buffers_and_formats(dmm: Any) -> None:
    dmm.buffer_points = 50
    assert dmm.buffer_size == 50
    dmm.nplc = 0.1
    dmm.write(":SENS:COUN 20")
    assert abs(dmm.voltage) < 1e-3
    assert dmm.points_in_buffer == 20
    for name in ("ASC", "REAL", "SRE"):
        dmm.data_format = name
        assert dmm.data_format == name
    dmm.data_format = "ASC"
    assert len(dmm.values(":TRAC:DATA? 1,20")) == 20


def test_a_triggered_burst_with_raw_commands(dmm: Any, served: Any) -> None:
    dmm.write(':DIG:FUNC "VOLT";:DIG:VOLT:RANG 0.1;SRAT 10000;APER 50e-6')
    dmm.write(':TRIG:EXT:IN:EDGE RIS;:TRIG:EXT:IN:CLE;:TRIG:LOAD "Empty";:TRIG:BLOC:BUFF:CLEAR 1')
    dmm.write(':TRIG:BLOC:WAIT 2,EXT,ENT;:TRIG:BLOC:MDIG 3,"defbuffer1",2;:TRIG:BLOC:BRAN:COUN 4,10,2;:INIT')
    assert dmm.ask("TRIG:STAT?").startswith(("RUNNING", "WAITING"))
    bench = served.bench
    with bench.visa_library.bench_lock:
        bench.world.advance(bench.clock.now())
        bench.world.trigger("smu.digio1", bench.world.now - 1e-3 * np.arange(0.9, -0.1, -0.1))
    # a pass takes 1 + 100 + 50 + 20 us: of ten edges 100 us apart every second one is taken
    assert dmm.points_in_buffer == 10
    dmm.write(":ABOR")
    assert dmm.ask("SYST:ERR?").startswith("-211,")


@pytest.mark.xfail(
    strict=True, reason="PyMeasure lets 15 mains cycles through where the mains have 50 Hz: 12 are allowed"
)
def test_integration_is_cut_to_what_the_box_takes(dmm: Any) -> None:
    dmm.nplc = 15
    taken = dmm.nplc
    dmm.write("SYST:CLE")
    assert taken == 12


# ---- SR830 -----------------------------------------------------------------------------------------------


def test_settings_of_the_lock_in(lock_in: Any) -> None:
    assert lock_in.id.startswith("Stanford_Research_Systems,SR830,")
    lock_in.sine_voltage = 0.25
    lock_in.frequency = 1234.5
    lock_in.phase = -30
    lock_in.harmonic = 2
    lock_in.sensitivity = 2e-3
    lock_in.time_constant = 0.03
    lock_in.filter_slope = 24
    lock_in.filter_synchronous = True
    lock_in.input_config = "A - B"
    lock_in.input_coupling = "DC"
    lock_in.input_notch_config = "Line"
    lock_in.reserve = "Low Noise"
    lock_in.aux_out_2 = -1.5
    assert (lock_in.sine_voltage, lock_in.frequency, lock_in.phase, lock_in.harmonic) == (
        0.25,
        1234.5,
        -30,
        2,
    )
    assert (lock_in.sensitivity, lock_in.time_constant, lock_in.filter_slope) == (2e-3, 0.03, 24)
    assert (lock_in.input_config, lock_in.input_coupling, lock_in.input_notch_config) == (
        "A - B",
        "DC",
        "Line",
    )
    assert (lock_in.reserve, lock_in.filter_synchronous, lock_in.aux_out_2) == ("Low Noise", True, -1.5)
    assert lock_in.reference_source == "Internal"
    assert lock_in.err_status == ERRStatus.NO_ERROR


def test_the_first_harmonic_of_a_bar(lock_in: Any, served: Any) -> None:
    bar = served.bench.world.devices["bar_2"]
    lock_in.frequency = 137.3
    lock_in.sine_voltage = 1.0
    lock_in.time_constant = 0.03
    lock_in.sensitivity = 5e-3
    hall_ohm = float(bar.port_v("hall", 1.0, bar.level, 0.0) - bar.port_v("hall", 0.0, bar.level, 0.0))
    expected_v = hall_ohm / (50.0 + bar._line_ohm())
    served.bench.clock.sleep(1.0)
    assert lock_in.x == pytest.approx(expected_v, rel=1e-3)
    x_v, y_v = lock_in.xy
    assert (x_v, lock_in.magnitude) == (
        pytest.approx(expected_v, rel=1e-3),
        pytest.approx(abs(expected_v), rel=1e-3),
    )
    assert abs(y_v) < 1e-6
    x_v, frequency_hz = lock_in.snap("X", "Frequency")
    assert frequency_hz == pytest.approx(137.3)
    assert lock_in.lia_status & (LIAStatus.REF_UNLOCK | LIAStatus.INPUT_OVERLOAD) == 0
    assert not lock_in.is_out_of_range()
    lock_in.sine_voltage = 0.004


def test_the_buffer_of_the_lock_in(lock_in: Any, served: Any) -> None:
    lock_in.adapter.connection.timeout = 300  # PyMeasure reads a binary answer until nothing comes
    lock_in.reset_buffer()
    lock_in.sample_frequency = 64
    assert lock_in.sample_frequency == 64
    lock_in.start_scan()
    served.bench.clock.sleep(2.0)
    lock_in.pause_scan()
    count = lock_in.buffer_count
    assert count > 60
    points = lock_in.get_buffer(1, 0, 20)
    assert len(points) == 20
    assert np.all(np.isfinite(points))


@pytest.mark.xfail(strict=True, reason="PyMeasure takes the answer of two numbers for one")
def test_a_display_of_the_lock_in(lock_in: Any) -> None:
    lock_in.channel1 = "R"
    assert lock_in.channel1 == "R"


def test_a_display_of_the_lock_in_is_set(lock_in: Any) -> None:
    lock_in.channel1 = "R"
    assert lock_in.ask("DDEF? 1").strip() == "1,0"


@pytest.mark.xfail(
    strict=True, reason="PyMeasure sends the factor 10 where the box wants its place in the list"
)
def test_offset_and_expand_of_the_lock_in(lock_in: Any) -> None:
    lock_in.set_scaling("X", 5.0, 10)
    assert lock_in.get_scaling("X") == (5.0, 10)
