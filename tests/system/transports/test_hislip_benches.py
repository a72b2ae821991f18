"""Every instrument of every bench over HiSLIP, spoken to through PyVISA and pyvisa-py.

PyVISA takes the port of a HiSLIP server in the device name: TCPIP::host::hislip0,port::INSTR.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pyvisa

from hilab import paths
from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from sim_instruments.serve import Server, serve_bench

BENCHES = ("sot_classic", "sot_fast", "sot_digitiser", "sot_waveform", "sot_smu")


@pytest.fixture(scope="module", params=BENCHES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    tables = twin_tables(read_bench_file(paths.find_bench(request.param)))
    tables["simulation"] |= {"setting": "ideal"}
    with serve_bench(**tables, seed=7, speed=20.0) as running:
        yield running


@pytest.fixture(scope="module")
def waveform() -> Iterator[Server]:
    tables = twin_tables(read_bench_file(paths.find_bench("sot_waveform")))
    with serve_bench(**tables, seed=7, speed=20.0) as running:
        yield running


@pytest.fixture(scope="module")
def manager() -> Iterator[Any]:
    manager = pyvisa.ResourceManager("@py")
    yield manager
    manager.close()


def open_one(manager: Any, server: Server, name: str) -> Any:
    return manager.open_resource(
        server.hislip[name][2], read_termination="\n", write_termination="\n", timeout=5000
    )


def test_everybody_answers_with_the_same_name_as_on_the_raw_socket(server: Server, manager: Any) -> None:
    for name, model in server.models.items():
        with open_one(manager, server, name) as box:
            for _ in range(3):
                assert model in box.query("*IDN?")


def test_device_clear_and_status_byte_of_everybody(server: Server, manager: Any) -> None:
    for name, model in server.models.items():
        with open_one(manager, server, name) as box:
            box.clear()
            assert box.read_stb() & 0x10 == 0
            assert model in box.query("*IDN?")


def test_megabytes_up_and_down(waveform: Server, manager: Any) -> None:
    codes = np.full(1_000_000, 0x0A0A, dtype=np.int16)  # a line feed in every byte
    with open_one(manager, waveform, "awg") as awg:
        awg.write("SOUR1:DATA:VOL:CLE")
        awg.write_binary_values("SOUR1:DATA:ARB:DAC feeds,", codes, datatype="h", is_big_endian=True)
        assert int(awg.query("SOUR1:DATA:ATTR:POIN? feeds")) == len(codes)
        assert awg.query("SYST:ERR?").startswith("+0")
    count = 50_000
    with open_one(manager, waveform, "dmm") as dmm:
        dmm.write('*RST;:TRAC:POIN 60000,"defbuffer1"')
        dmm.write(':DIG:FUNC "VOLT";:DIG:VOLT:RANG 10;:DIG:VOLT:SRAT 1000000;:DIG:COUN 50000')
        dmm.write(':TRAC:TRIG:DIG "defbuffer1";:FORM:DATA REAL;:FORM:BORD SWAP')
        dmm.query("*OPC?")
        assert int(float(dmm.query(':TRAC:ACT? "defbuffer1"'))) == count
        values = dmm.query_binary_values(
            f':TRAC:DATA? 1,{count},"defbuffer1",READ', datatype="d", data_points=count
        )
        assert len(values) == count
        assert np.isfinite(values).all()


def test_a_device_clear_ends_the_wait_for_a_long_reading(waveform: Server, manager: Any) -> None:
    with open_one(manager, waveform, "dmm") as dmm:
        dmm.write(':SENS:FUNC "VOLT:DC";:SENS:VOLT:NPLC 12;:SENS:COUN 1000')
        dmm.write(":READ?")
        dmm.clear()
        dmm.write("*RST")
        assert "DMM6500" in dmm.query("*IDN?")


def test_a_message_before_the_answer_is_query_interrupted(waveform: Server, manager: Any) -> None:
    with open_one(manager, waveform, "awg") as awg:
        awg.write("*CLS")
        awg.write("*IDN?")
        awg.write("SYST:ERR?")
        assert awg.read().startswith("-410")  # the name was dropped, as HiSLIP asks
