"""Number 12 of the checklist on the benches' own boxes: half-open lines, busy boxes, -410 and -420."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pyvisa
from pyvisa.constants import StatusCode

from hilab import paths
from hilab.bench import Bench, open_bench
from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from sim_instruments.bench import SimBench, build

QUERIED = ("sot_classic", "source"), ("sot_classic", "nvm"), ("sot_waveform", "awg"), ("sot_waveform", "dmm")


def twin(name: str) -> SimBench:
    return build(**twin_tables(read_bench_file(paths.find_bench(name))), seed=3)


def opened(sim: SimBench, name: str) -> Any:
    manager = pyvisa.ResourceManager(sim.visa_library)
    return manager.open_resource(
        sim.addresses[name], read_termination="\n", write_termination="\n", timeout=1000
    )


@pytest.fixture(params=["sot_fast", "sot_classic", "sot_waveform"])
def bench(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("HILAB_HOME", str(tmp_path))
    with open_bench(request.param, overrides={"simulation.setting": "ideal"}) as found:
        yield found


def test_a_source_on_a_half_open_line_is_switched_off_through_a_new_session(bench: Bench) -> None:
    source: Any = bench.role("bias_source")
    bench.route("w4_d1")
    source.configure_bias(0.4e-3, 5.0)
    source.set_bias_a(0.2e-3)
    sim: Any = bench._twin
    name = bench.instrument_name("bias_source")
    (terminal,) = [wire.source for wire in bench.file.wires if "A" in wire.to[0] and name in wire.source]
    assert abs(sim.world.source_state(terminal)[1]) == pytest.approx(0.2e-3, rel=0.05)
    sim.visa_library.link_faults(sim.addresses[name]).half_open()
    before = bench.clock.now()
    report = source.make_safe()
    assert report.verified, report.detail
    assert bench.clock.now() - before < 1.5
    assert sim.world.source_state(terminal)[1] == 0.0
    assert source.identify().model  # the driver goes on with the new session


@pytest.mark.parametrize("arm", ["SOUR:PDEL:ARM", "SOUR:WAVE:ARM"])
def test_the_6221_answers_late_while_it_arms(arm: str) -> None:
    sim = twin("sot_classic")
    source = opened(sim, "source")
    assert sim.clock.now() < 0.1
    source.write(arm)
    before = sim.clock.now()
    source.timeout = 100
    source.write("*IDN?")
    with pytest.raises(pyvisa.errors.VisaIOError) as caught:
        source.read()
    assert caught.value.error_code == StatusCode.error_timeout
    source.timeout = 10_000
    assert "6221" in source.read()  # the answer comes when it has armed
    assert sim.clock.now() - before > 0.15


@pytest.mark.parametrize(("bench_name", "box"), QUERIED)
def test_a_query_that_is_not_read_is_interrupted(bench_name: str, box: str) -> None:
    instrument = opened(twin(bench_name), box)
    instrument.write("*CLS")
    instrument.write("*IDN?")
    instrument.write("*ESE?")  # before the name was read
    instrument.read()
    assert instrument.query("SYST:ERR?").startswith("-410")


@pytest.mark.parametrize(("bench_name", "box"), QUERIED)
def test_reading_what_nobody_asked_for_is_unterminated(bench_name: str, box: str) -> None:
    instrument = opened(twin(bench_name), box)
    instrument.write("*CLS")
    with pytest.raises(pyvisa.errors.VisaIOError):
        instrument.read()
    assert instrument.query("SYST:ERR?").startswith("-420")
