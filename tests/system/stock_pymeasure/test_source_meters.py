"""PyMeasure's own Keithley2450 and Keithley2400 on the bench of one source-meter, over TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments.keithley import Keithley2400, Keithley2450, keithley2400, keithley2450

from hilab import paths
from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from sim_instruments.serve import serve_bench

DEVICE = ("1!5", "1!15")  # w4_d1: current line, Hall arms
READ_A = 0.2e-3
SPEED = 20.0
LF = {"read_termination": "\n", "write_termination": "\n"}


@pytest.fixture(scope="module", params=["keithley2450", "keithley2400"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    tables = twin_tables(
        read_bench_file(paths.find_bench("sot_smu"), {"instruments.smu.driver": request.param})
    )
    tables["simulation"] |= {"setting": "ideal"}
    with serve_bench(**tables, seed=7, speed=SPEED) as running:
        running.model = request.param
        yield running
        assert running.bench.world.faults == [], "wiring faults, such as relays that moved under current"


@pytest.fixture
def smu(
    server: Any, connect: Callable[..., Any], route: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    for module in (keithley2450, keithley2400):
        monkeypatch.setattr(module.time, "sleep", lambda seconds: None)  # 20 ms at each step of a ramp
    route(server, *DEVICE)
    stock = Keithley2450 if server.model == "keithley2450" else Keithley2400
    instrument = connect(server, "smu", stock, **LF)
    instrument.reset()
    if stock is Keithley2400:
        instrument.reset_data_format()
    yield instrument
    instrument.disable_source()
    assert instrument.ask("*OPC?").strip() == "1"


def only(server: Any, model: str) -> None:
    if server.model != model:
        pytest.skip(f"of the {model}")


def apply_current(smu: Any) -> None:
    """What `apply_current` of both classes does; the 2400's is deprecated."""
    smu.source_mode = "current"
    smu.source_current_range = 1e-3
    smu.compliance_voltage = 5


def test_source_current_and_measure(server: Any, smu: Any, sense: Callable[[Any, str], float]) -> None:
    apply_current(smu)
    smu.source_current = READ_A
    if server.model == "keithley2450":
        smu.measure_voltage(nplc=1)
    smu.enable_source()
    assert smu.source_enabled
    assert smu.source_current == pytest.approx(READ_A)
    voltage_v = smu.voltage
    assert voltage_v == pytest.approx(sense(server, "smu.force"), rel=2e-3)
    assert voltage_v / READ_A == pytest.approx(4000, rel=0.15), "the bar's current line with its contacts"
    assert smu.check_errors() == []


def test_remote_sense_reads_the_hall_arms(server: Any, smu: Any, sense: Callable[[Any, str], float]) -> None:
    apply_current(smu)
    smu.write(":SENS:FUNC 'VOLT'")
    smu.write(":SENS:VOLT:RSEN ON" if server.model == "keithley2450" else ":SYST:RSEN ON")
    smu.voltage_range = 0.2
    smu.voltage_nplc = 1
    measured_v, true_v = [], []
    for current_a in (READ_A, -READ_A):
        smu.source_current = current_a
        smu.enable_source()
        measured_v.append(smu.voltage)
        true_v.append(sense(server, "smu.sense"))
    assert np.ptp(measured_v) == pytest.approx(np.ptp(true_v), abs=30e-6)
    assert abs(measured_v[0]) < 0.05, "arms, not the line"
    assert smu.check_errors() == []


def test_voltage_source_ramps_and_shuts_down(server: Any, smu: Any) -> None:
    smu.source_mode = "voltage"
    smu.source_voltage_range = 2
    smu.compliance_current = 1e-3
    smu.enable_source()
    smu.ramp_to_voltage(0.4, steps=5)
    assert smu.source_voltage == pytest.approx(0.4)
    if server.model == "keithley2450":
        smu.measure_current(nplc=1, current=1e-3, auto_range=False)
    assert smu.current == pytest.approx(0.4 / 4000, rel=0.15)
    smu.shutdown()
    assert smu.source_voltage == 0.0
    assert not smu.source_enabled


def test_settings_read_back(server: Any, smu: Any) -> None:
    smu.source_current_range = 1e-2
    smu.compliance_voltage = 12.0
    smu.voltage_nplc = 0.1
    smu.source_mode = "current"
    assert (smu.source_current_range, smu.compliance_voltage, smu.voltage_nplc, smu.source_mode) == (
        0.01, 12.0, 0.1, "current",
    )  # fmt: skip
    if server.model == "keithley2400":
        smu.output_off_state = "HIMP"
        assert smu.wires == 2
        smu.wires = 4
        assert smu.wires == 4
        assert smu.line_frequency == 50
        assert smu.front_terminals_enabled
        smu.auto_zero_enabled = False
        assert not smu.auto_zero_enabled
        smu.source_delay = 1e-3
        assert not smu.source_delay_auto_enabled
        smu.filter_count = 5
        smu.display_enabled = False
    else:
        smu.source_current_delay = 1e-3
        assert smu.source_current_delay_auto is False
        smu.current_output_off_state = "HIMP"
        smu.voltage_filter_count = 5
        smu.wires = 4
        assert smu.wires == 4
    smu.beep(1000, 0.1)
    assert smu.check_errors() == []


def test_the_buffer_of_a_2400(server: Any, smu: Any) -> None:
    only(server, "keithley2400")
    apply_current(smu)
    smu.source_current = READ_A
    smu.write(":SENS:FUNC 'VOLT'")
    smu.config_buffer(20)
    smu.enable_source()
    smu.start_buffer()
    smu.wait_for_buffer(interval=0.0)
    data = smu.buffer_data.reshape(20, 5)
    assert data[:, 0] == pytest.approx(READ_A * 4000, rel=0.15)
    assert smu.mean_voltage == pytest.approx(data[:, 0].mean(), rel=1e-5)
    assert smu.check_errors() == []
    found = smu.measure_all()
    assert found["resistance"] == pytest.approx(found["voltage"] / found["current"], rel=1e-2)


def test_a_2450_fills_its_own_buffer(server: Any, smu: Any) -> None:
    only(server, "keithley2450")
    apply_current(smu)
    smu.measure_voltage(nplc=0.1)
    smu.source_current = READ_A
    smu.enable_source()
    smu.buffer_points = 100
    assert smu.buffer_points == 100
    values = [smu.voltage for _ in range(5)]
    assert smu.means == pytest.approx(np.mean(values), rel=1e-4)
    assert smu.maximums == pytest.approx(max(values), rel=1e-5)


@pytest.mark.xfail(
    strict=True, raises=TypeError, reason="PyMeasure takes the 2450's one mean for a list of three"
)
def test_stock_bug_the_mean_voltage_of_a_2450(server: Any, smu: Any) -> None:
    only(server, "keithley2450")
    smu.measure_voltage(nplc=0.1)
    smu.enable_source()
    assert smu.voltage == pytest.approx(smu.mean_voltage)


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="PyMeasure's buffer commands are those of a 2400; a 2450 says -113 (pymeasure #1200)",
)
def test_stock_bug_the_buffer_of_a_2450(server: Any, smu: Any) -> None:
    only(server, "keithley2450")
    smu.check_errors()
    smu.write(":STAT:PRES;*CLS;:STAT:MEAS:ENAB 512;")
    smu.write(":TRAC:FEED SENSE;:TRAC:FEED:CONT NEXT;")
    assert smu.check_errors() == []
