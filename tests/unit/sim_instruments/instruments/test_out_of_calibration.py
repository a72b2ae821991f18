"""What `simulation.instrument_errors` does to what comes out of a source and what a meter says."""

import numpy as np
import pytest
import pyvisa

from sim_instruments.bench import build

W16 = {"width_m": 16e-6, "length_m": 40e-6}


def bench(instruments, wires, pads, **simulation):
    return build(
        instruments={name: {"driver": driver, "address": "sim"} for name, driver in instruments.items()},
        wires=wires,
        devices={"d1": {**W16, "pads": pads}},
        field={"tesla_per_ampere": 4e-3, "assist_t": 0.05},
        simulation={"setting": "ideal", "sample_seed": 1, **simulation},
        seed=1,
    )


def session(made, name):
    manager = pyvisa.ResourceManager(made.visa_library)
    return manager.open_resource(made.addresses[name], write_termination="\n", read_termination="\n")


def classic(**simulation):
    return bench(
        {"source": "keithley6221", "nvm": "keithley2182a"},
        [
            {"from": "source.rs232", "to": ["nvm.rs232"]},
            {"from": "source.trigger_link", "to": ["nvm.trigger_link"]},
        ],
        {"current": "source.out", "hall": "nvm.ch1"},
        **simulation,
    )


def test_the_6221_sources_and_the_2182a_reads_with_its_own_error():
    made = classic(instrument_errors=True)
    wrong, off = made.world.instrument_errors("source"), made.world.instrument_errors("nvm")
    box, meter = session(made, "source"), session(made, "nvm")
    box.write("CURR:COMP 20;RANG 2e-3;:CURR 1e-3;:OUTP ON")
    true_a = made.world.source_state("source.out")[1]
    assert true_a == pytest.approx(1e-3 * wrong.source_gain + 2e-3 * wrong.source_offset, rel=1e-12)
    assert true_a != 1e-3
    meter.write("SENS:VOLT:RANG 0.01;NPLC 5")
    true_v = made.world.sense("nvm.ch1")
    read = np.mean([float(meter.query("READ?")) for _ in range(20)])
    assert read == pytest.approx(true_v * off.read_gain + 0.01 * off.read_offset, abs=6 * 6e-8 / 20**0.5)
    box.write("CURR 0")
    assert made.world.source_state("source.out")[1] == 0.0


def test_pulse_delta_pulses_are_wrong_by_the_sources_error():
    seen = {}
    for wrong in (False, True):
        made = classic(instrument_errors=wrong)
        box = session(made, "source")
        box.write("CURR:RANG 2e-2")
        box.write("SOUR:PDEL:HIGH 5e-3;LOW 0;WIDT 1e-4;SDEL 5e-5;COUN 3;LME 2;INT 5;:SOUR:PDEL:ARM")
        box.write("INIT:IMM")
        made.clock.jump(made.clock.now() + 5.0)
        made.world.advance(made.clock.now())
        seen[wrong] = made.world.truth["d1"].wear.worst_a
    errors = made.world.instrument_errors("source")
    assert seen[False] == pytest.approx(5e-3)
    assert seen[True] == pytest.approx(5e-3 * errors.source_gain + 20e-3 * errors.source_offset)


def test_the_2636b_sources_and_reads_with_its_error():
    made = bench({"smu": "keithley2636b"}, [], {"current": "smu.a", "hall": "smu.b"}, instrument_errors=True)
    wrong = made.world.instrument_errors("smu")
    box = session(made, "smu")
    for line in (
        "smua.source.func=smua.OUTPUT_DCAMPS smub.source.func=smub.OUTPUT_DCAMPS",
        "smua.source.rangei=1e-3 smua.source.leveli=0.5e-3 smua.source.limitv=20 smua.source.output=1",
        "smub.source.leveli=0 smub.source.output=1 smub.measure.rangev=0.2 smub.measure.nplc=1",
        "smua.measure.nplc=1 smua.measure.rangei=1e-3",
    ):
        box.write(line)
    true_a = made.world.source_state("smu.a")[1]
    assert true_a == pytest.approx(0.5e-3 * wrong.source_gain + 1e-3 * wrong.source_offset, rel=1e-9)
    assert made.world.source_state("smu.b")[1] == 0.0
    true_v = made.world.sense("smu.b")
    read = float(box.query("print(smub.measure.v())"))
    assert abs(0.2 * wrong.read_offset) > 2e-5
    assert read == pytest.approx(true_v * wrong.read_gain + 0.2 * wrong.read_offset, abs=2e-5)
