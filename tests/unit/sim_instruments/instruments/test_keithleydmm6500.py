"""The DMM6500: readings, the digitiser on external triggers, buffers, trigger model, errors."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sim_instruments.bench import build_world
from sim_instruments.instruments.keithleydmm6500 import KeithleyDMM6500
from sim_instruments.instruments.keithleydmm6500_converter import NOISE, PICKUP_V
from sim_instruments.scpi.errors import TEXTS
from sim_instruments.scpi.tree import Node
from sim_instruments.world import plain
from sim_instruments.world.contracts import Level, Link, PulseTrain

LIMITS = {
    "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
    "read_max_a": 0.25e-3,
    "voltage_max_v": 20.0,
    "field_max_t": 0.1,
    "pulses_max": 1_000_000,
}
BAR = {"width_m": 2e-6, "length_m": 40e-6, "r_ohm": 8000.0, "r_hall_ohm": 1.0, "limits": LIMITS}
READ_A = 100e-6
DIGITISE = (
    ':SENS:DIG:FUNC "VOLT";:SENS:DIG:VOLT:RANG 0.1;:SENS:DIG:VOLT:INP AUTO;:SENS:DIG:VOLT:APER AUTO;'
    ":SENS:DIG:VOLT:SRAT {rate};:SENS:DIG:VOLT:APER {aperture}"
)
ARM = (
    ':TRAC:POIN {points};:TRAC:FILL:MODE ONCE;:TRIG:EXT:IN:EDGE RIS;:TRIG:EXT:IN:CLE;:TRIG:LOAD "Empty";'
    ":TRIG:BLOC:BUFF:CLEAR 1;:TRIG:BLOC:WAIT 2,EXT,{clear};:TRIG:BLOC:DEL:CONS 3,{delay};"
    ':TRIG:BLOC:MDIG 4,"defbuffer1",{count};:TRIG:BLOC:BRAN:COUN 5,{triggers},2;:INIT'
)


class Box:
    """A DMM6500 on the Hall arms of a bar whose current line a source without a box drives."""

    def __init__(self, port: str = "hall", wrong: bool = False, **options: Any):
        device = {**BAR, "pads": {"current": "smu.a"} | ({port: "dmm.input"} if port else {})}
        self.world = build_world(
            instruments={"smu": {}, "dmm": {"driver": "keithleydmm6500"}},
            wires=[{"from": "smu.digio1", "to": ["dmm.ext_trig"]}],
            devices={"bar": device},
            field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
            simulation={
                "bench": "hall_bars",
                "setting": "ideal",
                "sample_seed": 1,
                "mains_hz": 50,
                "instrument_errors": wrong,
            },
            seed=7,
        )
        self.dmm = KeithleyDMM6500("dmm", self.world, Link(b"\n", 0.0, 1e9), options)
        self.world.add_instrument(self.dmm)

    def tell(self, *messages: str) -> None:
        for message in messages:
            self.dmm.message(message.encode("latin-1"))

    def ask_bytes(self, message: str) -> bytes:
        self.tell(message)
        ready = self.dmm.reply_ready_s()
        assert ready is not None, f"{message} has no answer: {self.errors()}"
        self.world.advance(ready)
        reply = self.dmm.reply(self.world.now)
        assert reply is not None
        return reply.removesuffix(b"\n")

    def ask(self, message: str) -> str:
        return self.ask_bytes(message).decode("latin-1")

    def numbers(self, message: str) -> np.ndarray:
        return np.array([float(word) for word in self.ask(message).split(",")])

    def readings(self) -> np.ndarray:
        count = int(self.ask("TRAC:ACT?"))
        raw = self.ask_bytes(f'FORM:DATA REAL;:TRAC:DATA? 1,{count},"defbuffer1",READ')
        assert raw[:2] == b"#0"
        return np.frombuffer(raw[2:], "<f8")

    def errors(self) -> list[int]:
        found = []
        while (code := int(self.ask("SYST:ERR?").split(",")[0])) != 0:
            found.append(code)
        return found

    def wait(self, seconds: float) -> None:
        self.world.advance(self.world.now + seconds)

    def arm(
        self,
        triggers: int,
        rate: int = 10_000,
        aperture: float = 50e-6,
        delay: float = 10e-6,
        count: int = 1,
        clear: str = "ENT",
    ) -> None:
        self.tell(DIGITISE.format(rate=rate, aperture=aperture))
        points = max(10, triggers * count)
        self.tell(ARM.format(points=points, clear=clear, delay=delay, count=count, triggers=triggers))

    def edges(self, count: int, interval_s: float, current_a: float = READ_A, cuts: int = 1) -> np.ndarray:
        """Let `count` read pulses pass, each with an edge 5 us before it; the true means come back."""
        self.wait(count * interval_s + 1e-3)
        times = self.world.now - 1e-3 + interval_s * (np.arange(count) - count)
        levels = np.full(count, current_a)
        train = PulseTrain(levels, times + 5e-6, np.full(count, 0.5 * interval_s), 0.0, 20.0)
        trace = self.world.play("smu.a", train)
        for part in np.array_split(times, cuts):
            self.world.trigger("smu.digio1", part, trace)
        opens = times + 11e-6
        return trace.window_v("dmm.input", opens, opens + 50e-6)


@pytest.fixture
def box() -> Box:
    return Box()


# ---- messages ---------------------------------------------------------------------------------------


def test_identity_language_and_an_empty_queue(box: Box) -> None:
    assert box.ask("*IDN?").startswith("KEITHLEY INSTRUMENTS,MODEL DMM6500,")
    assert box.ask("*LANG?") == "SCPI"
    assert box.ask("SYST:ERR?") == '0,"No error;0;0 0"'


def test_errors_carry_severity_and_date(box: Box) -> None:
    box.wait(90.5)
    box.tell("SENS:VOLT:FROB 1")
    assert box.ask("SYST:ERR:COUN?") == "1"
    assert box.ask("SYST:ERR?") == '-113,"Undefined header;1;2026/01/01 00:01:30.500"'
    assert box.ask("SYST:ERR:COUN?") == "0"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("SENS:DIG:VOLT:SRAT 2e6", -222),
        ("SENS:DIG:VOLT:SRAT 500", -222),
        ("SENS:DIG:VOLT:APER 2e-3", -222),
        ("SENS:DIG:VOLT:SRAT 1000;SENS:DIG:VOLT:APER 1e-3;SENS:DIG:VOLT:SRAT 10000", -221),
        ("SENS:DIG:VOLT:SRAT 100000;SENS:DIG:VOLT:APER 20e-6", -221),
        ("SENS:VOLT:NPLC 13", -222),
        ("SENS:VOLT:RANG 2000", -222),
        ('SENS:FUNC "CURR"', -241),
        ('SENS:DIG:FUNC "CURR"', -241),
        ("SENS:FUNC VOLT", -104),
        ("TRIG:BLOC:DEL:CONS 1, 1e-9", -222),
        ('TRIG:BLOC:MDIG 3,"defbuffer1",1', -221),
        ('TRIG:BLOC:MDIG 1,"nosuch",1', -224),
        ("TRIG:BLOC:WAIT 1,BLUE", -224),
        ('TRIG:LOAD "GradeBinning"', -224),
        ('TRIG:LOAD "SimpleLoop"', -109),
        ("INIT", -221),
        ("TRAC:POIN 8000000", -225),
        ('TRAC:MAKE "mine",5', -222),
        ('TRAC:MAKE "defbuffer1",100', 1115),
        ('TRAC:DEL "defbuffer1"', -221),
        ("TRAC:DATA? 1,1", -222),
        ("FETC?", -230),
        ("FORM:DATA HEX", -224),
        ("SOUR:VOLT 1", -113),
        ("DIG:VOLT:NPLC 1", -113),
        ("*TRG", -211),
    ],
)
def test_refusals(box: Box, message: str, code: int) -> None:
    *before, last = message.split(";")
    box.tell(*before)
    kept = box.dmm.snapshot()["values"], box.dmm.aperture_s
    box.tell(last)
    assert (box.dmm.snapshot()["values"], box.dmm.aperture_s) == kept
    assert box.errors() == [code]


def test_a_published_programme_for_one_triggered_burst_runs_as_written(box: Box) -> None:
    for line in (
        "*RST",
        ":DIG:FUNC 'VOLT'",
        ":TRACE:MAKE 'vDataBuffer', 1005",
        ":DIG:VOLT:SRATE 1000",
        ":DIG:VOLT:APER AUTO",
        ":DIG:COUNT 1000",
        ":TRIG:EXT:IN:CLE",
        ":TRIG:EXT:IN:EDGE RIS",
        ":TRIG:BLOCK:BUFF:CLEAR 1",
        ":TRIG:BLOCK:WAIT 1, EXT",
        ":TRIG:BLOCK:MDIG 2, 'vDataBuffer', 1000",
        ":TRIG:BLOCK:NOTIFY 3, 1",
        ":TRIG:EXT:OUT:LOG POS",
        "TRIG:EXT:OUT:STIM NOTIFY1",
        "INIT",
    ):
        box.tell(line)
    box.wait(0.1)
    box.world.trigger("smu.digio1", np.array([box.world.now]))
    assert int(box.ask(":TRAC:ACTUAL? 'vDataBuffer'")) == 0
    box.wait(0.5)
    assert int(box.ask(":TRAC:ACTUAL? 'vDataBuffer'")) == pytest.approx(500, abs=1)
    box.wait(0.6)
    assert len(box.numbers(":TRAC:DATA? 1, 1000, 'vDataBuffer', READ")) == 1000
    assert box.errors() == []


# ---- readings over mains cycles ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [
        ("NPLC 1", 40.3e-3),
        ("NPLC 1;AZER OFF", 20.3e-3),
        ("NPLC 0.1;AZER OFF", 2.3e-3),
        ("NPLC 1;AZER OFF;AVER:COUN 5;:VOLT:AVER ON", 101.5e-3),
    ],
)
def test_a_reading_takes_its_time(box: Box, setting: str, seconds: float) -> None:
    box.tell(f"SENS:VOLT:{setting}")
    before = box.world.now
    box.ask("READ?")
    assert box.world.now - before == pytest.approx(seconds)


def test_a_reading_is_the_standing_voltage_on_the_smallest_range(box: Box) -> None:
    box.world.set_level("smu.a", Level(READ_A, 20.0, True))
    box.tell("SENS:VOLT:RANG 0.05;INP AUTO")
    assert box.ask("SENS:VOLT:RANG?;RANG:AUTO?") == "1.000000E-01;0"
    true_v = box.world.sense("dmm.input")
    assert float(box.ask("READ?")) == pytest.approx(true_v, abs=6 * NOISE.rms(0.1, 0.02))
    assert abs(true_v) > 20e-6


def test_counts_and_elements(box: Box) -> None:
    last = box.ask('SENS:VOLT:NPLC 0.1;:SENS:COUN 5;:READ? "defbuffer1",READ,REL,UNIT,STAT')
    reading, since, unit, status = last.split(",")
    assert (unit, float(status)) == ("Volt DC", 0.0)
    assert float(since) == pytest.approx(4 * (2 * 2e-3 + 0.3e-3))
    assert box.ask("TRAC:ACT?;:TRAC:ACT:STAR?;:TRAC:ACT:END?") == "5;1;5"
    assert box.numbers("TRAC:DATA? 1,5")[-1] == float(reading)
    assert box.ask("FETC?") == reading


def test_a_reading_that_is_interrupted_is_given_up(box: Box) -> None:
    box.tell("SENS:VOLT:NPLC 10", "READ?", "SENS:VOLT:NPLC 1")
    assert box.errors() == [-410]
    assert box.ask("SENS:VOLT:NPLC?") == "1.000000E+00"
    assert box.ask("TRAC:ACT?") == "0"


def test_open_leads_float_unless_ten_megohm_pull_them_down() -> None:
    box = Box(port="")
    assert abs(float(box.ask("SENS:VOLT:RANG 0.1;:READ?"))) < 1e-5
    assert float(box.ask("SENS:VOLT:INP AUTO;:READ?")) == pytest.approx(9.9e37)


def test_relative_readings(box: Box) -> None:
    box.world.set_level("smu.a", Level(READ_A, 20.0, True))
    box.tell("SENS:VOLT:RANG 0.1;NPLC 10;REL:ACQ;:SENS:VOLT:REL:STAT ON")
    assert float(box.ask("READ?")) == pytest.approx(0.0, abs=1e-6)
    assert float(box.ask("SENS:VOLT:REL?")) == pytest.approx(box.world.sense("dmm.input"), abs=1e-6)


def test_errors_of_the_instrument_are_in_the_readings() -> None:
    box = Box(wrong=True)
    box.world.set_level("smu.a", Level(READ_A, 20.0, True))
    wrong = box.world.instrument_errors("dmm")
    assert wrong.read_offset != 0.0
    reading = float(box.ask("SENS:VOLT:RANG 0.1;NPLC 10;:READ?"))
    expected = box.world.sense("dmm.input") * wrong.read_gain + 0.1 * wrong.read_offset
    assert reading == pytest.approx(expected, abs=6 * NOISE.rms(0.1, 0.2))


# ---- digitiser ----------------------------------------------------------------------------------------


def test_a_burst_without_a_trigger(box: Box) -> None:
    box.tell(DIGITISE.format(rate=1000, aperture="AUTO"), ":DIG:COUN 20")
    assert float(box.ask("DIG:VOLT:APER?")) == pytest.approx(1e-3)
    assert box.ask("SENS:FUNC?;:DIG:FUNC?") == '"NONE";"VOLT"'
    before = box.world.now
    box.ask("READ?")
    assert box.world.now - before == pytest.approx(20e-3)
    assert np.diff(box.numbers('TRAC:DATA? 1,20,"defbuffer1",REL')) == pytest.approx(1e-3)


@pytest.mark.parametrize("aperture", [10e-6, 200e-6])
def test_noise_of_an_aperture(aperture: float) -> None:
    """20,000 readings: the rms is known to 0.5 %; five of these (false alarms: 6e-7)."""
    box = Box(mains_pickup_v=0.0)
    box.tell(DIGITISE.format(rate=5000, aperture=aperture), ":DIG:COUN 20000")
    box.ask("READ?")
    given = {10e-6: 10e-6, 200e-6: 1.2e-6}[aperture]
    assert np.std(box.readings()) == pytest.approx(given, rel=0.025)


def test_mains_pickup_is_averaged_over_each_window() -> None:
    box = Box()
    box.tell(DIGITISE.format(rate=1000, aperture=1e-3), ":DIG:COUN 2000")
    box.ask("READ?")
    times = box.numbers('FORM:DATA ASC;:FORM:ASC:PREC 12;:TRAC:DATA? 1,2000,"defbuffer1",REL')
    turn = np.exp(-2j * np.pi * 50 * times)
    amplitude = 2 * abs(np.mean(box.readings() * turn))
    # noise of the amplitude: 0.5 uV * sqrt(2 / 2000) = 16 nV
    assert amplitude == pytest.approx(PICKUP_V * np.sinc(0.05), abs=80e-9)


def test_a_triggered_reading_is_the_mean_over_its_window() -> None:
    """Pulses of 50 us: windows of 50 us lie half in a pulse."""
    box = Box(mains_pickup_v=0.0)
    box.arm(triggers=400)
    true_v = box.edges(400, 100e-6)
    readings = box.readings()
    assert len(readings) == 400
    rms = NOISE.rms(0.1, 50e-6)
    assert np.std(readings - true_v) == pytest.approx(rms, rel=0.18)  # 5 standard deviations
    assert np.mean(readings - true_v) == pytest.approx(0.0, abs=5 * rms / 20)
    assert abs(np.mean(true_v)) > 20e-6
    assert box.ask("TRIG:STAT?") == "IDLE;IDLE;5"
    assert box.errors() == []


def test_two_readings_of_a_trigger_lie_at_the_sample_interval() -> None:
    box = Box(mains_pickup_v=0.0)
    box.arm(triggers=500, rate=1000, aperture=100e-6, count=2)
    box.wait(2.0)
    times = box.world.now - 1.9 + 3e-3 * np.arange(500)
    train = PulseTrain(np.full(500, READ_A), times + 5e-6, np.full(500, 300e-6), 0.0, 20.0)
    trace = box.world.play("smu.a", train)
    box.world.trigger("smu.digio1", times, trace)
    pairs = box.readings().reshape(-1, 2)
    inside, outside = trace.sensed_v("dmm.input")[0], trace.sensed_base_v("dmm.input")[0]
    within = 5 * NOISE.rms(0.1, 100e-6) / np.sqrt(500)
    assert pairs.mean(axis=0) == pytest.approx([inside, outside], abs=within)
    assert abs(inside - outside) > 10 * within
    since = box.numbers('FORM:DATA ASC;:FORM:ASC:PREC 12;:TRAC:DATA? 1,4,"defbuffer1",REL')
    assert since == pytest.approx([0.0, 1e-3, 3e-3, 4e-3], abs=1e-9)


def test_how_triggers_are_cut_into_calls_changes_nothing() -> None:
    found = []
    for cuts in (1, 7, 100):
        box = Box()
        box.arm(triggers=100, count=2, rate=20_000)
        box.edges(100, 400e-6, cuts=cuts)
        found.append(box.readings())
    assert len(found[0]) == 200
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_overload_of_the_digitiser() -> None:
    box = Box(port="longitudinal")
    box.arm(triggers=20)
    true_v = box.edges(20, 400e-6, current_a=-READ_A)
    assert np.all(true_v < -0.13)
    assert np.all(box.readings() == -9.9e37)


# ---- triggers -----------------------------------------------------------------------------------------


def test_triggers_that_come_too_fast_are_missed(box: Box) -> None:
    """A pass takes 1 + 10 + 50 + 20 us: of edges 50 us apart every second one is taken."""
    box.arm(triggers=1000)
    box.edges(100, 50e-6)
    assert box.ask("TRAC:ACT?;:TRIG:EXT:IN:OVER?") == "50;1"
    assert box.dmm.missed == 50
    assert box.errors() == [-211]
    assert box.ask("TRIG:STAT?").startswith("RUNNING;RUNNING;2")
    box.wait(0.2)
    assert box.ask("TRIG:STAT?").startswith("WAITING;WAITING;2")
    box.tell("ABOR")
    assert box.ask("TRIG:STAT?").startswith("ABORTED")


def test_a_trigger_that_came_while_busy_is_kept_if_the_wait_forgets_none(box: Box) -> None:
    box.arm(triggers=10, clear="NEV")
    now = box.world.now
    box.wait(1.0)
    box.world.trigger("smu.digio1", now + np.array([0.1, 0.1 + 30e-6]))
    box.wait(0.1)
    since = box.numbers('FORM:ASC:PREC 12;:TRAC:DATA? 1,2,"defbuffer1",REL')
    assert since[1] == pytest.approx(81e-6, abs=1e-9), "the second pass begins late, when the first is over"
    assert box.errors() == []


def test_an_old_trigger_starts_a_model_whose_wait_does_not_forget_it(box: Box) -> None:
    box.tell("TRIG:EXT:IN:EDGE RIS")
    for clear, taken in (("NEV", 1), ("ENT", 0)):
        box.world.trigger("smu.digio1", np.array([box.world.now]))
        box.tell(
            ARM.replace(":TRIG:EXT:IN:CLE;", "").format(points=10, clear=clear, delay=0, count=1, triggers=5)
        )
        box.wait(0.1)
        assert int(box.ask("TRAC:ACT?")) == taken
        box.tell("ABOR")


def test_falling_edge_is_the_default_and_takes_no_rising_one(box: Box) -> None:
    assert box.ask("TRIG:EXT:IN:EDGE?") == "FALL"
    box.arm(triggers=5)
    box.tell("TRIG:EXT:IN:EDGE FALL")
    box.edges(5, 1e-3)
    assert box.ask("TRAC:ACT?") == "0"


def test_completion_waits_for_the_last_trigger(box: Box) -> None:
    box.arm(triggers=3)
    box.tell("*OPC?")
    box.wait(5.0)
    assert box.dmm.reply(box.world.now) is None
    box.edges(3, 1e-3)
    assert box.dmm.reply(box.world.now) == b"1\n"


def test_settings_are_refused_while_the_model_runs(box: Box) -> None:
    box.arm(triggers=3)
    box.tell("SENS:DIG:VOLT:RANG 10", 'SENS:FUNC "VOLT"', "TRAC:POIN 50", "INIT")
    assert box.errors() == [-221, -221, -221, -213]


@pytest.mark.parametrize(
    ("template", "count"),
    [('"SimpleLoop", 12, 0.01, "defbuffer1"', 12), ('"DurationLoop", 0.5, 0.01', 10)],
)
def test_templates_without_a_trigger(box: Box, template: str, count: int) -> None:
    box.tell(f"TRIG:LOAD {template}", "INIT")
    assert box.ask("*OPC?") == "1"
    assert int(box.ask("TRAC:ACT?")) == count
    assert box.errors() == []
    assert box.world.now == pytest.approx(count * (0.01 + 40.3e-3 + 20e-6), rel=1e-3)


def test_a_loop_until_an_event(box: Box) -> None:
    box.tell("TRIG:EXT:IN:EDGE RIS", "TRAC:POIN 20", "SENS:VOLT:NPLC 0.1")
    box.tell('TRIG:LOAD "LoopUntilEvent", EXT, 50, ENT, 0, "defbuffer1"', "INIT")
    box.wait(1.0)
    assert box.ask("TRIG:STAT?").startswith("RUNNING")
    box.world.trigger("smu.digio1", np.array([box.world.now]))
    box.wait(0.1)
    assert box.ask("TRIG:STAT?").startswith("IDLE")
    stamps = box.numbers('FORM:ASC:PREC 12;:TRAC:DATA? 1,20,"defbuffer1",REL')
    seconds = box.numbers('TRAC:DATA? 1,20,"defbuffer1",SEC')
    assert len(stamps) == 20
    assert list(seconds) == [0.0] * 10 + [1.0] * 10, "half of the buffer before the event, half after it"


def test_loops_inside_loops(box: Box) -> None:
    box.tell("SENS:VOLT:NPLC 0.1", 'TRIG:LOAD "Empty"', "TRIG:BLOC:DEL:CONS 1, 0.01")
    box.tell(
        'TRIG:BLOC:MEAS 2,"defbuffer1",2', "TRIG:BLOC:BRAN:COUN 3,5,2", "TRIG:BLOC:BRAN:COUN 4,3,1", "INIT"
    )
    assert box.ask("*OPC?") == "1"
    assert box.ask("TRAC:ACT?") == "30"
    gaps = np.diff(box.numbers('FORM:ASC:PREC 12;:TRAC:DATA? 1,30,"defbuffer1",REL'))
    assert np.flatnonzero(gaps > 0.01).tolist() == [9, 19]


@pytest.mark.parametrize(
    "blocks",
    [
        ("DEL:CONS 1,0.1", "WAIT 2,EXT", 'MDIG 3,"defbuffer1",1', "BRAN:COUN 4,3,1"),
        ('MDIG 1,"defbuffer1",INF',),
        ('MDIG 1,"defbuffer1",1', 'MDIG 2,"defbuffer2",1', "BRAN:COUN 3,3,1"),
        ('MDIG 1,"defbuffer1",1', "BRAN:COUN 2,3,2"),
    ],
)
def test_what_the_simulation_does_not_play_is_refused_at_the_start(box: Box, blocks: tuple[str, ...]) -> None:
    box.tell('TRIG:LOAD "Empty"', *(f"TRIG:BLOC:{block}" for block in blocks), "INIT")
    assert box.errors() == [-221]
    assert box.dmm.run is None


# ---- buffers --------------------------------------------------------------------------------------------


def test_binary_formats_and_byte_orders(box: Box) -> None:
    box.tell(DIGITISE.format(rate=10_000, aperture="AUTO"), ":DIG:COUN 10")
    box.ask("READ?")
    text = box.numbers("FORM:ASC:PREC 16;:TRAC:DATA? 1,10")
    for data, order, kind in (("REAL", "SWAP", "<f8"), ("REAL", "NORM", ">f8"), ("SRE", "SWAP", "<f4")):
        raw = box.ask_bytes(f"FORM:DATA {data};:FORM:BORD {order};:TRAC:DATA? 1,10")
        assert raw[:2] == b"#0"
        assert np.frombuffer(raw[2:], kind) == pytest.approx(text, rel=1e-6)
    two = box.ask_bytes('FORM:DATA REAL;:FORM:BORD SWAP;:TRAC:DATA? 1,10,"defbuffer1",READ,REL')
    assert np.frombuffer(two[2:], "<f8").reshape(10, 2)[:, 0] == pytest.approx(text)
    box.tell('TRAC:DATA? 1,10,"defbuffer1",UNIT')
    assert box.errors() == [-221]


def test_a_buffer_that_is_filled_once_ends_the_run(box: Box) -> None:
    box.arm(triggers=100)
    box.tell("ABOR", "TRAC:POIN 10", "INIT")
    box.edges(30, 1e-3)
    assert box.ask("TRAC:ACT?") == "10"
    assert box.errors() == [4915]
    assert box.ask("TRIG:STAT?").startswith("ABORTED")


def test_a_continuous_buffer_keeps_the_newest(box: Box) -> None:
    box.tell("TRAC:POIN 10;:TRAC:FILL:MODE CONT;:SENS:VOLT:NPLC 0.1;:SENS:COUN 25;:READ?")
    box.wait(1.0)
    box.dmm.reply(box.world.now)
    newest = box.numbers("TRAC:DATA? 1,10")
    assert len(newest) == 10
    assert float(box.ask("FETC?")) == newest[-1]
    assert box.errors() == []


def test_seven_million_readings_are_all_there_are(box: Box) -> None:
    box.tell("TRAC:POIN 10,'defbuffer2';:TRAC:POIN 6999990,'defbuffer1'")
    assert box.errors() == []
    box.tell('TRAC:MAKE "mine",10')
    assert box.errors() == [-225]
    box.tell("TRAC:POIN 10", 'TRAC:MAKE "mine",0', 'TRAC:DEL "mine"')
    assert box.errors() == []


def test_a_full_buffer_requests_service_once_it_is_mapped(box: Box) -> None:
    box.tell(":STAT:OPER:MAP 0, 4918, 4917;:STAT:OPER:ENAB 1;*SRE 128", "TRAC:POIN 10;:SENS:COUN 10")
    box.ask("SENS:VOLT:NPLC 0.1;:READ?")
    assert box.dmm.status_byte() & (64 | 128) == 64 | 128


# ---- the whole ------------------------------------------------------------------------------------------


def test_a_snapshot_in_the_middle_of_a_run_goes_on_the_same(box: Box) -> None:
    box.arm(triggers=40, count=2, rate=20_000)
    box.edges(10, 400e-6)
    state = plain.from_bytes(plain.to_bytes(box.world.snapshot()))
    box.edges(30, 400e-6)
    first = box.readings()
    box.world.restore(state)
    assert box.ask("TRAC:ACT?") == "20"
    box.edges(30, 400e-6)
    assert np.array_equal(box.readings(), first)
    assert len(first) == 80


def test_no_python_runs_for_each_reading() -> None:
    """The number of Python calls does not depend on the number of triggers."""
    counts = []
    for triggers in (1000, 20_000):
        box = Box()
        box.arm(triggers=triggers, count=2, rate=20_000)
        box.wait(triggers * 4e-4 + 1)
        times = box.world.now - 0.5 + 4e-4 * (np.arange(triggers) - triggers)
        train = PulseTrain(np.full(triggers, READ_A), times, np.full(triggers, 2e-4), 0.0, 20.0)
        trace = box.world.play("smu.a", train)
        calls = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            box.world.trigger("smu.digio1", times, trace)
        finally:
            sys.setprofile(None)
        assert len(box.readings()) == 2 * triggers
        counts.append(calls)
    assert counts[1] < counts[0] + 50
    assert counts[1] < 1000


def headers(node: Node[Any], path: str = "") -> Iterator[str]:
    for word, child in sorted(node.children.items()):
        here = f"{path}:{word}" if path else word
        if child.leaf is not None:
            yield here
        yield from headers(child, here)


def test_random_commands(box: Box) -> None:
    """1500 random commands and queries of the whole tree, with time and triggers between them."""
    arguments = (
        *(
            "",
            "0",
            "1",
            "5",
            "1e-3",
            "1000",
            "-1",
            "1e9",
            "ON",
            "MAX",
            "EXT",
            "'defbuffer1'",
            "'VOLT'",
            "AUTO",
        ),
        *(
            "1,'defbuffer1',3",
            "1,EXT,ENT",
            "2,5,1",
            "1,2",
            "'SimpleLoop',5",
            "1,1,'defbuffer1',READ",
            "ONCE",
            "x'",
        ),
    )
    known = list(headers(box.dmm.tree.root))
    draw = random.Random(20261122)
    assert len(known) > 100
    for _ in range(1500):
        box.tell(f"{draw.choice(known)}{draw.choice(('', '', '?'))} {draw.choice(arguments)}")
        box.wait(draw.choice((0.0, 1e-4, 0.01, 0.3)))
        box.dmm.reply(box.world.now)
        if draw.random() < 0.1:
            box.world.trigger("smu.digio1", box.world.now - np.array([1e-5, 0.0]))
        assert {code for code, _ in box.dmm.errors.state()} <= set(TEXTS) | {1115, 4915}
    state = plain.from_bytes(plain.to_bytes(box.world.snapshot()))
    box.world.restore(state)
    assert plain.to_bytes(box.world.snapshot()) == plain.to_bytes(state)
    box.dmm.power_cycle()
    assert box.ask("*OPC?") == "1"
