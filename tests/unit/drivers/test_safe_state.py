"""make_safe: everything off and read back, or a report that says why not, in 1.5 s at most."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from drivers.keithley2400 import Keithley2400
from drivers.keithley2450 import Keithley2450
from drivers.keithley2636b import Keithley2636B
from drivers.keithley6221 import Keithley6221
from drivers.keithley7001 import Keithley7001
from drivers.kepco_bop import KepcoBOP
from sim_instruments.world.clock import WallClock

SMU_STATE = "print(smua.source.output,smub.source.output,smua.source.leveli,smub.source.leveli)"


@contextmanager
def silent_server():
    """A socket that takes connections and everything sent, and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)
    held, done = [], threading.Event()

    def serve():
        while not done.is_set():
            try:
                held.append(server.accept()[0])
            except TimeoutError:
                continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"TCPIP0::127.0.0.1::{server.getsockname()[1]}::SOCKET", held
    finally:
        done.set()
        thread.join()
        for connection in held:
            connection.close()
        server.close()


@pytest.mark.parametrize(
    ("driver", "off"),
    [
        (Keithley6221, b":OUTP OFF\n"),
        (Keithley2450, b":OUTP OFF\n"),
        (Keithley2400, b":OUTP OFF\n"),
        (Keithley2636B, b"smua.source.output=0\n"),
        (Keithley7001, b":ROUT:OPEN ALL\n"),
        (KepcoBOP, b"CURR 0\nOUTP OFF\n"),
    ],
)
def test_a_box_that_never_answers_is_switched_off_all_the_same_and_reported_in_time(driver, off):
    with silent_server() as (address, held):
        instrument = driver(address, name="dead", visa_library="@py", clock=WallClock())
        start = time.monotonic()
        report = instrument.make_safe()
        took = time.monotonic() - start
        assert not report.verified
        assert "did not" in report.detail
        assert took < 1.5
        for connection in held:
            assert off in connection.recv(1000)
        assert not instrument.verify_safe()
        instrument.close()


def test_a_lock_that_somebody_holds_is_not_waited_for_longer_than_half_a_second():
    with silent_server() as (address, held):
        instrument = Keithley6221(address, name="busy", visa_library="@py", clock=WallClock())
        release, taken = threading.Event(), threading.Event()

        def hold():
            with instrument.link.lock:
                taken.set()
                release.wait(5)

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait(5)
        start = time.monotonic()
        report = instrument.make_safe()
        took = time.monotonic() - start
        release.set()
        holder.join()
        assert not report.verified
        assert 0.4 < took < 1.5
        assert len(held) == 2  # it spoke through a session of its own
        held[1].settimeout(1)
        assert held[1].recv(1000).startswith(b":SOUR:SWE:ABOR\n:SOUR:WAVE:ABOR\n:SOUR:CLE\n:OUTP OFF\n")
        instrument.close()


@pytest.mark.parametrize(
    ("driver", "answers", "detail"),
    [
        (Keithley6221, {":OUTP?": "0", ":SOUR:CURR?": "0"}, ""),
        (Keithley6221, {":OUTP?": "1"}, "still on"),
        (Keithley6221, {":OUTP?": "0", ":SOUR:CURR?": "1E-3"}, "level is 0.001"),
        (Keithley2636B, {SMU_STATE: "0.0\t0.0\t0.0\t0.0"}, ""),
        (Keithley2636B, {SMU_STATE: "0.0\t1.0\t0.0\t0.0"}, "channel B is still on"),
        (Keithley7001, {":ROUT:CLOS:STAT?": "(@)"}, ""),
        (Keithley7001, {":ROUT:CLOS:STAT?": "(@2!3)"}, "still closed: 2!3"),
        (KepcoBOP, {"OUTP?": "0", "CURR?": "0"}, ""),
        (KepcoBOP, {"OUTP?": "1", "CURR?": "2.5"}, "still on"),
    ],
)
def test_off_is_read_back(scripted, clock, driver, answers, detail):
    wire = scripted(answers)
    instrument = driver(wire, name="box", clock=clock)
    report = instrument.make_safe()
    assert report.verified == (not detail)
    assert detail in report.detail
    assert instrument.verify_safe() == report.verified


def test_a_coil_is_ramped_down_not_cut_off(scripted, clock):
    wire = scripted({"OUTP?": ["1", "0"], "CURR?": ["8", "0"]})
    assert KepcoBOP(wire, name="magnet", clock=clock).make_safe().verified
    levels = [float(line.split()[1]) for line in wire.sent if line.startswith("CURR ")]
    assert levels == [7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert wire.sent.index("OUTP OFF") > wire.sent.index("CURR 1")


@pytest.mark.parametrize("first", ["1.2E-6 from before", "1"])
def test_it_clears_the_box_and_tries_a_second_time(scripted, clock, first):
    wire = scripted({":OUTP?": [first, "0"], ":SOUR:CURR?": "0"})
    instrument = Keithley6221(wire, name="source", clock=clock)
    seen = []
    instrument.link.hook = lambda kind, payload: seen.append(kind)
    assert instrument.make_safe().verified
    assert seen[0] == "clear"
    assert seen.count("clear") == 2
