"""The SR830: four-letter messages, silent limits, filter, noise, and harmonics of what its sine does."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from sim_instruments.bench import build_world
from sim_instruments.instruments.sr830 import SR830
from sim_instruments.instruments.sr830_detector import Detector, Drive
from sim_instruments.instruments.sr830_filter import INPUT_NOISE_V, Filter, stationary
from sim_instruments.instruments.sr830_settings import SETTINGS
from sim_instruments.world import plain
from sim_instruments.world.contracts import Link, PulseTrain

LIMITS = {
    "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
    "read_max_a": 0.25e-3,
    "voltage_max_v": 20.0,
    "field_max_t": 0.1,
    "pulses_max": 1_000_000,
}
BAR = {"width_m": 2e-6, "length_m": 40e-6, "r_ohm": 8000.0, "r_hall_ohm": 1.0, "limits": LIMITS}
SERIES_OHM, SINE_OHM = 100.0, 50.0


class Bench:
    """A Hall bar: the sine behind a resistor on its current line, the input on its Hall arms."""

    def __init__(self, assist_t: float = 0.05, wrong: bool = False, **options: Any):
        self.world = build_world(
            instruments={"sr": {"driver": "sr830"}, "mux": {"options": {"cards": ["7011"]}}},
            wires=[
                {"from": "sr.sine", "to": ["mux.1A"], "shunt_ohm": SERIES_OHM},
                {"from": "sr.input", "to": ["mux.1B"]},
            ],
            devices={"bar": {**BAR, "pads": {"current": "mux.1!1", "hall": "mux.1!11"}}},
            field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": assist_t},
            simulation={
                "bench": "hall_bars",
                "setting": "ideal",
                "sample_seed": 1,
                "mains_hz": 50,
                "instrument_errors": wrong,
            },
            seed=7,
        )
        self.sr = SR830("sr", self.world, Link(b"\n", 0.0, 1e9), {"mains_pickup_v": 0.0} | options)
        self.world.add_instrument(self.sr)
        self.bar: Any = self.world.devices["bar"]

    def connect(self) -> None:
        self.world.close_relay("mux.1!1")
        self.world.close_relay("mux.1!11")

    def tell(self, *messages: str) -> None:
        for message in messages:
            self.sr.message(message.encode("latin-1"))

    def ask(self, message: str) -> str:
        self.tell(message)
        ready = self.sr.reply_ready_s()
        assert ready is not None, f"{message} has no answer"
        self.world.advance(ready)
        reply = self.sr.reply(self.world.now)
        assert reply is not None
        return reply.decode("latin-1").removesuffix("\n")

    def numbers(self, message: str) -> list[float]:
        return [float(word) for word in self.ask(message).split(",")]

    def wait(self, seconds: float) -> None:
        self.world.advance(self.world.now + seconds)

    def harmonic(self, number: int) -> complex:
        self.tell(f"HARM {number}")
        self.wait(1.5)
        x_v, y_v = self.numbers("SNAP?1,2")
        return complex(x_v, y_v)

    def sine_a(self, rms_v: float) -> float:
        return rms_v / (SINE_OHM + SERIES_OHM + self.bar._line_ohm())


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- messages -------------------------------------------------------------------------------------------


def test_identity_and_standard_settings(bench: Bench) -> None:
    assert bench.ask("*IDN?") == "Stanford_Research_Systems,SR830,s/n12345,ver1.07"
    bench.tell("SLVL 0.1;FREQ 33;OFLT 3", "*RST")
    assert [bench.ask(f"{each}?") for each in ("SLVL", "FREQ", "OFLT", "SENS", "OFSL", "PHAS")] == [
        "1", "1000", "8", "26", "1", "0",
    ], "a reset puts 1 V on the sine output"  # fmt: skip


@pytest.mark.parametrize("message", ["SLVL0.100", "SLVL 0.1", "slvl 0.1001", ";;SLVL 0.1 ;"])
def test_blanks_and_cases_do_not_matter_and_the_sine_has_steps(bench: Bench, message: str) -> None:
    bench.tell(message)
    assert float(bench.ask("SLVL?")) == 0.1
    assert bench.ask("*ESR?") == "128"


@pytest.mark.parametrize(
    ("message", "bit"),
    [
        ("SLVL 6", 16), ("SLVL 0.001", 16), ("FREQ 2e5", 16), ("SENS 27", 16), ("OFLT 20", 16),
        ("OUTP? 5", 16),
        ("AUXV 1,11", 16), ("SNAP? 1", 32), ("SENS", 32), ("SENS 1,2", 32), ("SOUR 1", 32), ("SYST:ERR?", 32),
        ("FREQ abc", 32), ("TRCA? 1,0,1", 16), ("RSET 3", 16),
    ],
)  # fmt: skip
def test_what_is_not_taken_shows_in_the_event_byte_only(bench: Bench, message: str, bit: int) -> None:
    bench.ask("*ESR?")
    before = dict(bench.sr.values)
    bench.tell(message)
    assert bench.sr.reply_ready_s() is None
    assert bench.sr.values == before
    assert bench.ask("*ESR?") == str(bit)
    assert bench.ask("*ESR?") == "0"


def test_limits_that_depend_on_each_other_are_applied_without_a_word(bench: Bench) -> None:
    bench.ask("*ESR?")
    bench.tell("FREQ 1000;HARM 500")
    assert bench.ask("HARM?") == "102"
    bench.tell("FREQ 50000")
    assert float(bench.ask("FREQ?")) == 1000.0
    bench.tell("HARM 1;FREQ 100;OFLT 16")
    assert bench.ask("OFLT?") == "16"
    bench.ask("LIAS?")
    bench.tell("FREQ 300")
    assert bench.ask("OFLT?") == "13", "30 s is the longest time constant above 200 Hz"
    assert int(bench.ask("LIAS?")) & 48 == 48
    bench.tell("OFLT 15")
    assert bench.ask("OFLT?") == "13"
    bench.tell("PHAS 270")
    assert float(bench.ask("PHAS?")) == -90.0
    assert bench.ask("*ESR?") == "0"


def test_status_bytes_their_bits_and_enables(bench: Bench) -> None:
    assert bench.ask("*STB?") == "3"
    bench.tell("*ESE 16;SENS 99")
    assert int(bench.ask("*STB?")) & 32
    assert bench.ask("*ESR? 4") == "1"
    assert bench.ask("*ESR?") == "128", "only the bit that was read is cleared"
    bench.tell("LIAE 3,1;*SRE 8;FMOD 0")
    bench.wait(0.1)
    assert bench.sr.status_byte() & (8 | 64) == 8 | 64, "the reference is not locked: nothing is at REF IN"
    assert bench.ask("LIAS? 3") == "1"
    assert bench.ask("ERRS?") == "0"


def test_auxiliary_outputs_and_displays(bench: Bench) -> None:
    bench.tell("AUXV 2,-3.1234", "DDEF 1,1,0")
    assert [bench.ask(f"AUXV? {channel}") for channel in (1, 2)] == ["0.000", "-3.123"]
    bench.connect()
    bench.wait(2.0)
    assert bench.ask("OUTR? 1") == bench.ask("OUTP? 3")
    assert bench.numbers("SNAP? 3,9,10") == [bench.numbers("OUTP? 3")[0], 1000.0, bench.numbers("OUTP? 3")[0]]


# ---- filter and noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stages", "left"), [(1, np.exp(-2.0)), (2, 3 * np.exp(-2.0)), (4, 0.857123)])
def test_the_filter_settles_as_equal_stages_do(stages: int, left: float) -> None:
    """After two time constants exp(-2) sum_k 2^k / k! of a step is still lacking, however it is cut."""
    for cuts in (1, 7):
        filter_ = Filter()
        for _ in range(cuts):
            filter_.feed(1.0, 0.2 / cuts, 0.1, stages)
        assert filter_.output(stages).real == pytest.approx(1 - left, abs=1e-6)


@pytest.mark.parametrize(("stages", "bandwidth"), [(1, 1 / 4), (2, 1 / 8), (3, 3 / 32), (4, 5 / 64)])
def test_noise_has_the_bandwidth_of_the_filter(stages: int, bandwidth: float) -> None:
    """4,000 outputs five time constants apart, X and Y: the rms is known to 0.8 %; five of these."""
    assert stationary(0.3, stages)[-1, -1] == pytest.approx(INPUT_NOISE_V**2 * bandwidth / 0.3)
    filter_, generator = Filter(), np.random.default_rng(5)
    found = []
    for _ in range(4000):
        filter_.stir(1.5, 0.3, stages, generator)
        found.append(filter_.output(stages))
    rms = np.sqrt(np.mean(np.abs(found) ** 2) / 2)
    assert rms == pytest.approx(INPUT_NOISE_V * np.sqrt(bandwidth / 0.3), rel=0.05)
    steps = np.diff(np.array(found[:2]))
    assert np.all(steps != 0)


def test_noise_is_slow_when_it_is_read_fast() -> None:
    filter_, generator = Filter(), np.random.default_rng(5)
    filter_.stir(100.0, 1.0, 2, generator)
    before = filter_.output(2)
    filter_.stir(1e-3, 1.0, 2, generator)
    assert abs(filter_.output(2) - before) < 0.05 * INPUT_NOISE_V


# ---- detection -------------------------------------------------------------------------------------------


class Given:
    """A world in which the input follows the sine by a given law."""

    now = 0.0

    def __init__(self, law: Any):
        self.law = law

    def play(self, terminal: str, train: PulseTrain) -> Any:
        assert np.all(train.start_s[1:] >= train.start_s[:-1] + train.width_s[:-1])
        assert train.start_s[0] + train.width_s[0] <= self.now + 1e-12 or len(train.start_s) > 1
        assert train.voltage_mode and train.series_ohm == SINE_OHM
        world = self

        class Trace:
            def sensed_v(self, reader: str) -> np.ndarray:
                return np.asarray(world.law(train.level_a))

        return Trace()


@pytest.mark.parametrize("stretch_s", [1.0, 0.0037, 0.1])
@pytest.mark.parametrize(
    ("law", "harmonic", "expected"),
    [
        (lambda volt: volt, 1, 1.0),
        (lambda volt: volt, 2, 0.0),
        (lambda volt: volt + 3.0, 1, 1.0),
        (lambda volt: np.abs(volt), 2, -4j / (3 * np.pi)),
        (lambda volt: np.abs(volt), 1, 0.0),
        (lambda volt: volt**3 / 2.0, 1, 3 / 4),
        (lambda volt: volt**3 / 2.0, 3, -1 / 4),
    ],
)
def test_harmonics_of_known_laws(law: Any, harmonic: int, expected: complex, stretch_s: float) -> None:
    """A sine of 1 V rms: |sin| has -4/(3 pi) cos(2 w t), sin^3 has 3/4 sin(w t) - 1/4 sin(3 w t)."""
    world: Any = Given(law)
    detector = Detector(world, "sr.sine", "sr.input")
    fed = []
    for number in range(1, 1 + round(1.0 / stretch_s)):
        world.now = number * stretch_s
        fed += detector.advance(world.now, Drive(1.0, 77.0, harmonic))
    total_s = sum(each.seconds for each in fed)
    assert total_s == pytest.approx(1.0, abs=2 / 77)
    mean = sum(each.value * each.seconds for each in fed) / total_s
    assert mean == pytest.approx(expected, abs=0.008)


def test_the_first_harmonic_is_the_hall_resistance(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;FREQ 137.3;SENS 23;OFLT 7")
    current_a = bench.sine_a(1.0)
    found = []
    for sign in (1, -1):
        bench.bar.set_state(sign)
        hall_ohm = float(bench.bar.port_v("hall", 1.0, sign, 0.0) - bench.bar.port_v("hall", 0.0, sign, 0.0))
        found.append(bench.harmonic(1))
        assert found[-1].real == pytest.approx(current_a * hall_ohm, rel=1e-4)
        assert abs(found[-1].imag) < 1e-7
    opening_ohm = (found[0] - found[1]).real / current_a
    assert opening_ohm == pytest.approx(bench.bar.drawn.r_ahe_ohm, rel=0.01)
    assert bench.world.faults == []


def test_a_sine_that_does_not_switch_makes_no_second_harmonic(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;FREQ 137.3;SENS 23;OFLT 7")
    assert np.sqrt(2) * bench.sine_a(1.0) < 0.3 * bench.bar.ic0_nominal_a
    assert abs(bench.harmonic(2)) < 30e-9, "twenty times less than the tenth of a percent of the first one"


def test_a_sine_that_switches_makes_even_harmonics_that_turn_with_the_assist_field() -> None:
    """The state follows the current: its voltage is like |I| from the switching point on."""
    found = {}
    for assist_t in (0.05, -0.05):
        bench = Bench(assist_t)
        bench.connect()
        bench.tell("SLVL 5.0;FREQ 137.3;SENS 26;OFLT 7")
        assert np.sqrt(2) * bench.sine_a(5.0) > 0.9 * bench.bar.ic0_nominal_a
        found[assist_t] = bench.harmonic(2)
    assert abs(found[0.05]) > 50e-6
    assert found[-0.05] == pytest.approx(-found[0.05], rel=0.1)


def test_a_long_stretch_costs_little_and_settles_the_filter(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;FREQ 777;OFLT 10;SENS 23")
    bench.wait(3600.0)
    settled = bench.numbers("SNAP?1,2")
    bench.wait(1.0)
    assert bench.numbers("SNAP?1,2") == pytest.approx(settled, abs=1e-7)
    assert bench.bar.count[0] < 50_000


def test_open_leads_and_unlocked_reference_read_noise(bench: Bench) -> None:
    bench.tell("SLVL 1.0;OFLT 8")
    bench.wait(2.0)
    assert abs(complex(*bench.numbers("SNAP?1,2"))) < 1e-7
    bench.connect()
    bench.tell("FMOD 0")
    bench.wait(5.0)
    assert abs(complex(*bench.numbers("SNAP?1,2"))) < 1e-7
    assert int(bench.ask("LIAS?")) & 8


def test_outputs_end_at_109_percent_and_the_input_overloads(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;SENS 14;RMOD 2")
    bench.ask("LIAS?")
    bench.wait(3.0)
    assert bench.numbers("OUTP?1")[0] == pytest.approx(1.09 * 100e-6)
    assert int(bench.ask("LIAS?")) & 5 == 5
    bench.tell("AGAN")
    bench.wait(2.0)
    bench.ask("LIAS?")
    bench.wait(1.0)
    assert int(bench.ask("LIAS?")) == 0
    assert bench.ask("SENS?") == "19", "5 mV is the smallest range that holds 2.8 mV"


def test_phase_and_auto_phase(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;SENS 20;PHAS 30")
    bench.wait(2.0)
    magnitude_v, theta = bench.numbers("SNAP?3,4")
    assert theta == pytest.approx(-30.0, abs=0.05)
    bench.tell("APHS")
    assert float(bench.ask("PHAS?")) == pytest.approx(0.0, abs=0.05)
    bench.wait(2.0)
    assert bench.numbers("SNAP?1,2") == pytest.approx([magnitude_v, 0.0], abs=1e-6)


def test_mains_pickup_beats_near_the_mains_frequency() -> None:
    for frequency, notch, expected in (
        (50.0, 0, 30e-6 / np.sqrt(2)),
        (50.0, 1, 0.9e-6 / np.sqrt(2)),
        (777.0, 0, 0),
    ):
        bench = Bench(mains_pickup_v=30e-6)
        bench.tell(f"FREQ {frequency};ILIN {notch};OFLT 8;OFSL 3")
        bench.wait(2.0)
        assert bench.numbers("OUTP?3")[0] == pytest.approx(expected, abs=50e-9)


def test_gain_errors_of_the_box() -> None:
    bench = Bench(wrong=True)
    wrong = bench.world.instrument_errors("sr")
    assert wrong.read_gain != 1.0 != wrong.source_gain
    bench.connect()
    bench.tell("SLVL 1.0;SENS 23")
    found = bench.harmonic(1).real / bench.sine_a(1.0)
    hall_ohm = float(bench.bar.port_v("hall", 1.0, -1, 0.0) - bench.bar.port_v("hall", 0.0, -1, 0.0))
    assert found == pytest.approx(hall_ohm * wrong.read_gain * wrong.source_gain, rel=1e-4)


def test_stored_points_and_their_binary_transfer(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;SENS 20;OFLT 6;SRAT 10;SEND 0;REST;STRT")
    assert int(bench.ask("*STB?")) & 1 == 0
    bench.wait(1.0)
    bench.tell("PAUS")
    count = int(bench.ask("SPTS?"))
    assert count == 64
    bench.tell(f"TRCB?1,0,{count}")
    raw = bench.sr.reply(bench.world.now)
    values = np.frombuffer(raw.removesuffix(b"\n"), "<f4")
    assert values == pytest.approx(
        [float(each) for each in bench.ask(f"TRCA?1,0,{count}").split(",")[:-1]], rel=1e-5
    )
    assert values[-1] == pytest.approx(bench.numbers("OUTP?1")[0], rel=1e-3)
    assert values[0] < 0.9 * values[-1], "the filter settles while points are stored"


# ---- the whole --------------------------------------------------------------------------------------------


def test_a_snapshot_goes_on_the_same(bench: Bench) -> None:
    bench.connect()
    bench.tell("SLVL 1.0;FREQ 137.3;OFLT 7;STRT")
    bench.wait(0.123)
    state = plain.from_bytes(plain.to_bytes(bench.world.snapshot()))
    bench.wait(0.3)
    first = bench.ask("SNAP?1,2;SPTS?")
    bench.world.restore(state)
    bench.wait(0.3)
    assert bench.ask("SNAP?1,2;SPTS?") == first


def test_random_messages(bench: Bench) -> None:
    """1500 random commands and queries; the box answers, refuses with an event bit, or keeps quiet."""
    known = [*SETTINGS, *bench.sr._commands, *bench.sr._queries, "TRCB", "ABCD"]
    arguments = ("", "0", "1", "2", "1,2", "1,1,1", "1,0,5", "1e3", "-1", "x", "0.5", "1e99", "nan")
    draw = random.Random(20261122)
    bench.connect()
    for _ in range(1500):
        bench.tell(f"{draw.choice(known)}{draw.choice(('', '?'))}{draw.choice(arguments)}")
        bench.wait(draw.choice((0.0, 1e-4, 0.01, 0.1)))
        bench.sr.reply(bench.world.now)
        for key, row in SETTINGS.items():
            assert row.low <= bench.sr.values[key] <= row.high
    state = plain.from_bytes(plain.to_bytes(bench.world.snapshot()))
    bench.world.restore(state)
    assert plain.to_bytes(bench.world.snapshot()) == plain.to_bytes(state)
    bench.sr.power_cycle()
    assert bench.ask("SLVL?") == "1"
