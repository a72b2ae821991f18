"""A list and its binary read-out over a socket, where a block may hold the byte that ends a line."""

from __future__ import annotations

import numpy as np
import pytest

from drivers._list_sweep import ListSetup
from drivers.keithley2400 import Keithley2400
from drivers.keithley2450 import Keithley2450
from hilab import paths
from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from sim_instruments.serve import serve_bench
from sim_instruments.world.clock import WallClock

SPEED = 20.0


@pytest.mark.parametrize("driver", [Keithley2450, Keithley2400])
def test_2500_levels_come_back_whole(driver: type[Keithley2450] | type[Keithley2400]) -> None:
    model = {"instruments.smu.driver": driver.__name__.lower()}
    tables = twin_tables(read_bench_file(paths.find_bench("sot_smu"), model))
    tables["simulation"] |= {"setting": "ideal"}
    clock = WallClock(SPEED)
    with serve_bench(**tables, seed=7, speed=SPEED) as server:
        with server.bench.visa_library.bench_lock:
            for relay in ("mux.1!5", "mux.1!15"):  # w4_d1: current line, Hall arms
                server.bench.world.close_relay(relay)
        smu = driver(server.addresses["smu"][2], name="smu", visa_library="@py", clock=clock)
        assert driver.model_pattern in smu.identify().model
        smu.configure_list(ListSetup(1e-3, 10.0, 0.2, 0.01, 1e-3), 1e-3)
        levels_a = np.tile([1e-4, -1e-4, 0.0, 5e-5, -5e-5], 500)
        smu.sweep.start(levels_a.tolist())
        clock.sleep(2.5)
        while not smu.sweep.state().over:
            clock.sleep(0.1)
        data = smu.sweep.fetch(smu.sweep.state().readings)
        assert len(data.voltage_v) == 2500
        assert b"\n" in data.voltage_v.astype("<f4").tobytes(), "the case that this test is about"
        smu.sweep.check_times(data)
        assert smu.check_errors() == []
        assert smu.make_safe().verified
        smu.close()
