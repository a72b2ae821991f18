"""Links to the real simulated boxes, in process and over TCP: reconnects, broken links, terminators."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import pyvisa
from pyvisa.constants import StatusCode

from hilab import paths
from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from sim_instruments.bench import build
from sim_instruments.serve import serve_bench

FAILURES = (pyvisa.errors.VisaIOError, OSError)  # a socket's end arrives as either
TERMINATORS = {"gaussmeter": "\r\n"}


class Bench:
    """A bench file's twin with connections to its boxes, whichever way they go."""

    def __init__(self, name: str, tcp: bool):
        tables = twin_tables(read_bench_file(paths.find_bench(name)))
        if tcp:
            self.server: Any = serve_bench(**tables, seed=3, speed=20.0)
            self.sim = self.server.bench
            self.addresses = {key: value[2] for key, value in self.server.addresses.items()}
            self.manager = pyvisa.ResourceManager("@py")
        else:
            self.server = None
            self.sim = build(**tables, seed=3)
            self.addresses = dict(self.sim.addresses)
            self.manager = pyvisa.ResourceManager(self.sim.visa_library)

    def open(self, name: str, **settings: Any) -> Any:
        settings = {"read_termination": TERMINATORS.get(name, "\n"), "timeout": 1000, **settings}
        return self.manager.open_resource(self.addresses[name], write_termination="\n", **settings)

    def faults(self, name: str) -> Any:
        return self.sim.visa_library.link_faults(self.sim.addresses[name])

    def level_a(self, terminal: str) -> float:
        """The current that a source terminal really drives now."""
        with self.sim.visa_library.bench_lock:
            self.sim.world.advance(self.sim.clock.now())
            return float(self.sim.world.source_state(terminal)[1])

    def close(self) -> None:
        self.manager.close()
        (self.server or self.sim).close()

    def power_cycle(self) -> None:
        """Links mended, boxes as after power-on, relays open."""
        library = self.sim.visa_library
        with library.bench_lock:
            for name, instrument in self.sim.instruments.items():
                self.faults(name).repair()
                instrument.power_cycle()


@pytest.fixture(scope="module", params=["in process", "tcp"])
def benches(request: pytest.FixtureRequest) -> Iterator[dict[str, Bench]]:
    opened = {name: Bench(f"sot_{name}", request.param == "tcp") for name in ("fast", "classic")}
    yield opened
    for bench in opened.values():
        bench.close()


@pytest.fixture
def fast(benches: dict[str, Bench]) -> Iterator[Bench]:
    yield benches["fast"]
    benches["fast"].power_cycle()


@pytest.fixture
def classic(benches: dict[str, Bench]) -> Iterator[Bench]:
    yield benches["classic"]
    benches["classic"].power_cycle()


def route(bench: Bench) -> None:
    with bench.open("mux") as switch:
        switch.write("ROUT:CLOS (@1!5,1!15)")
        assert switch.query("ROUT:CLOS? (@1!5,1!15)") == "1,1"


SOURCING = "smua.source.func=0 smua.source.rangei=1e-3 smua.source.limitv=5 smua.source.output=1"


def test_the_error_queue_of_the_2636b_survives_a_reconnect(fast: Bench) -> None:
    with fast.open("smu") as smu:
        smu.write("this is no lua")
        assert float(smu.query("print(errorqueue.count)")) == 1
    with fast.open("smu") as smu:
        assert float(smu.query("print(errorqueue.count)")) == 1
        code, message = smu.query("print(errorqueue.next())").split("\t")[:2]
        assert float(code) < 0
        assert message
        assert float(smu.query("print(errorqueue.count)")) == 0


def test_the_error_queue_of_the_6221_survives_a_dropped_link(classic: Bench) -> None:
    with classic.open("source") as source:
        source.write("SOUR:PDEL:WIDT 500e-9")
        source.query("*STB?")
        classic.faults("source").drop()
        with pytest.raises(FAILURES):
            source.query("*IDN?")
    with classic.open("source") as source:
        assert source.query("SYST:ERR?").startswith("-222")
        assert source.query("SYST:ERR?") == '0,"No error"'


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_dropped_link_leaves_the_source_on_until_somebody_switches_it_off(fast: Bench, when: Any) -> None:
    route(fast)
    with fast.open("smu") as smu:
        smu.write(SOURCING)
        smu.write("smua.source.leveli=2e-4")
        smu.query("print(1)")
        fast.faults("smu").drop(1, when)
        with suppress(*FAILURES):
            smu.write("smua.source.leveli=1e-4")
            smu.query("print(smua.source.leveli)")
        with pytest.raises(FAILURES):
            smu.query("print(2)")
    expected_a = 2e-4 if when == "before" else 1e-4
    assert fast.level_a("smu.a") == pytest.approx(expected_a, rel=1e-2)
    with fast.open("smu") as smu:
        assert float(smu.query("print(smua.source.output)")) == 1
        smu.write("smua.source.output=0")
        assert float(smu.query("print(smua.source.output)")) == 0
    assert fast.level_a("smu.a") == 0


def test_a_hung_box_keeps_sourcing_and_answers_nobody(classic: Bench) -> None:
    route(classic)
    with classic.open("source", timeout=300) as source:
        source.write("SOUR:CURR:COMP 10;:SOUR:CURR 2e-4;:OUTP ON")
        assert source.query("OUTP?") == "1"
        classic.faults("source").hang()
        source.write("SOUR:CLE")
        with pytest.raises(pyvisa.errors.VisaIOError) as caught:
            source.query("OUTP?")
        assert caught.value.error_code == StatusCode.error_timeout
    assert classic.level_a("source.out") == pytest.approx(2e-4, rel=1e-2)
    classic.faults("source").repair()
    with classic.open("source") as source:
        source.write("SOUR:CLE")
        assert source.query("OUTP?") == "0"
    assert classic.level_a("source.out") == 0


def test_a_late_reply_of_the_nanovoltmeter_arrives_at_the_next_query(classic: Bench) -> None:
    with classic.open("nvm", timeout=500) as meter:
        classic.faults("nvm").late_reply(1)
        with pytest.raises(pyvisa.errors.VisaIOError) as caught:
            meter.query("SENS:VOLT:NPLC?")
        assert caught.value.error_code == StatusCode.error_timeout
        assert float(meter.query("*IDN?")) == 5.0, "the reply to the question before"
        assert "MODEL 2182A" in meter.read()
        assert meter.query("SYST:ERR?") == '0,"No error"'


def test_a_reading_that_takes_longer_than_the_time_out_comes_later(classic: Bench) -> None:
    route(classic)
    with classic.open("nvm", timeout=100) as meter:
        meter.write("SENS:VOLT:RANG 0.1;NPLC 10;DFIL:STAT ON;TCON REP;COUN 20")
        meter.write("READ?")
        with pytest.raises(pyvisa.errors.VisaIOError):
            meter.read()
        meter.timeout = 60_000
        assert float(meter.read()) == pytest.approx(0.0, abs=1e-3)
        assert meter.query("SYST:ERR?") == '0,"No error"'


REPLY_ENDS = {"source": b"\n", "nvm": b"\n", "mux": b"\n", "magnet": b"\n", "gaussmeter": b"\r\n"}


@pytest.mark.parametrize("name", REPLY_ENDS)
def test_every_box_ends_its_replies_its_own_way(classic: Bench, name: str) -> None:
    with classic.open(name) as box:
        box.write("*IDN?")
        reply = box.read_raw()
    end = REPLY_ENDS[name]
    assert reply.endswith(end)
    assert reply.count(b"\n") == 1
    assert reply.count(b"\r") == end.count(b"\r")


def test_trailing_blanks_of_an_identity_stay(classic: Bench) -> None:
    with classic.open("source") as source:
        assert source.query("*IDN?").endswith("  /700x ")
    with classic.open("nvm") as meter:
        assert meter.query("*IDN?").endswith("  /A02  ")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_messages_may_end_in_lf_cr_or_both(classic: Bench, fast: Bench, end: str) -> None:
    with classic.open("source") as source, fast.open("smu") as smu:
        source.write("SOUR:CURR 1e-6" + end + "SOUR:CURR?", termination=end)
        assert float(source.read()) == pytest.approx(1e-6)
        smu.write("x = 3" + end + "print(x + 1)", termination=end)
        assert float(smu.read()) == 4.0


def test_a_message_without_terminator_on_a_socket_waits_for_it() -> None:
    bench = Bench("sot_fast", tcp=True)
    try:
        host, port, _ = bench.server.addresses["smu"]
        with socket.create_connection((host, port), timeout=5) as client:
            client.sendall(b"print(40")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(5)
            client.sendall(b" + 2)\n")
            assert float(client.makefile("rb").readline()) == 42.0
    finally:
        bench.close()
