"""The gaussmeter's commands, ranges, noise and errors, message by message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from sim_instruments.instruments.lakeshore475 import NOISE, RANGES_T, LakeShore475, engineering
from sim_instruments.world.contracts import Link


class FieldWorld:
    """A field that a test sets, and time."""

    def __init__(self, field_t: float = 0.0):
        self.now = 0.0
        self.true_t = field_t

    def stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng(20261122)

    def field_t(self, probe: str) -> float:
        assert probe == "gaussmeter.probe"
        return self.true_t


@pytest.fixture
def world() -> FieldWorld:
    return FieldWorld(0.03)


@pytest.fixture
def meter(world: FieldWorld) -> LakeShore475:
    return make(world)


def make(world: Any, **options: Any) -> LakeShore475:
    return LakeShore475("gaussmeter", world, Link(b"\n", 5e-3, 1e6), options)


def ask(meter: Any, text: str) -> str:
    meter.message(text.encode())
    reply = meter.reply(meter.world.now)
    assert reply is not None, text
    assert reply.endswith(b"\r\n")
    return str(reply[:-2].decode())


def events(meter: Any) -> int:
    return int(ask(meter, "*ESR?"))


def test_identity(meter: LakeShore475) -> None:
    manufacturer, model, *_ = ask(meter, "*IDN?").split(",")
    assert (manufacturer, model) == ("LSCI", "MODEL475")


@pytest.mark.parametrize(
    ("unit", "expected"), [(1, 300.0), (2, 0.03), (3, 300.0), (4, 0.03 / (4e-7 * np.pi))]
)
def test_units(meter: LakeShore475, unit: int, expected: float) -> None:
    meter.message(b"UNIT %d" % unit)
    assert float(ask(meter, "RDGFIELD?")) == pytest.approx(expected, rel=1e-3)
    assert ask(meter, "UNIT?") == str(unit)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "+000.000E+00"),
        (0.045, "+045.000E-03"),
        (-1.5, "-001.500E+00"),
        (0.9999999, "+001.000E+00"),
        (35e3, "+035.000E+03"),
        (-2.5e-7, "-250.000E-09"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert engineering(value) == text
    assert float(text) == pytest.approx(value, abs=abs(value) * 1e-3)


def test_autorange_shows_the_range_and_a_fixed_range_overflows(
    meter: LakeShore475, world: FieldWorld
) -> None:
    ask(meter, "RDGFIELD?")
    assert ask(meter, "RANGE?") == "2"
    meter.message(b"RANGE 1")
    assert ask(meter, "AUTO?") == "0"
    assert ask(meter, "RDGFIELD?") == "OL"
    meter.message(b"AUTO 1")
    assert float(ask(meter, "RDGFIELD?")) == pytest.approx(300.0, rel=1e-2)
    world.true_t, world.now = 1.2, 1.0
    ask(meter, "RDGFIELD?")
    assert ask(meter, "RANGE?") == "4"


@pytest.mark.parametrize(("digits", "rate_hz"), [(1, 100.0), (2, 30.0), (3, 10.0)])
def test_a_reading_lasts_for_one_period(
    meter: LakeShore475, world: FieldWorld, digits: int, rate_hz: float
) -> None:
    meter.message(b"RDGMODE 1,%d,1,1,1" % digits)
    world.now = 10.0
    first = ask(meter, "RDGFIELD?")
    world.true_t, world.now = 0.02, 10.0 + 0.9 / rate_hz
    assert ask(meter, "RDGFIELD?") == first
    world.now = 10.0 + 1.1 / rate_hz
    assert float(ask(meter, "RDGFIELD?")) == pytest.approx(200.0, rel=1e-2)


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_noise_and_resolution_of_a_range(meter: LakeShore475, world: FieldWorld, digits: int) -> None:
    """Standard deviation of 2,000 readings within 8 % of the table: 5 sigma, so a false alarm in 1e-6."""
    rate_hz, steps = {1: (100.0, 3.5e3), 2: (30.0, 3.5e4), 3: (10.0, 3.5e5)}[digits]
    meter.message(b"UNIT 1;AUTO 0;RANGE 2;RDGMODE 1,%d,1,1,1" % digits)
    readings = []
    for number in range(2000):
        world.now = (number + 0.5) / rate_hz
        readings.append(meter._reading_t())
    step_t = RANGES_T[1] / steps
    assert np.allclose(np.array(readings) / step_t, np.round(np.array(readings) / step_t), atol=1e-3)
    offsets = np.arange(-40, 41)  # what rounding makes of the noise: the field stands on a whole step
    rms_t = NOISE.rms(RANGES_T[1], 1 / rate_hz)
    chances = np.diff(norm.cdf((np.append(offsets, 41) - 0.5) * step_t / rms_t))
    expected_t = step_t * np.sqrt(np.sum(chances * offsets**2))
    assert np.std(readings) == pytest.approx(expected_t, rel=0.08)
    assert np.mean(readings) == pytest.approx(0.03, abs=5 * expected_t / np.sqrt(2000))


def test_relative_readings(meter: LakeShore475, world: FieldWorld) -> None:
    meter.message(b"UNIT 2;REL 1,2")
    world.true_t, world.now = 0.031, 1.0
    assert float(ask(meter, "RDGREL?")) == pytest.approx(1e-3, abs=2e-5)
    meter.message(b"RELSP 0.02;REL 1,1")
    assert float(ask(meter, "RDGREL?")) == pytest.approx(11e-3, abs=2e-5)
    assert ask(meter, "REL?") == "1,1"
    assert float(ask(meter, "RELSP?")) == 0.02


def test_zeroing_the_probe_takes_its_time(world: FieldWorld) -> None:
    meter = make(world, zero_offset_t=1e-3)
    meter.message(b"UNIT 2")
    assert float(ask(meter, "RDGFIELD?")) == pytest.approx(0.031, abs=2e-5)
    meter.message(b"ZPROBE")
    meter.message(b"RDGFIELD?")
    assert meter.reply(world.now) is None
    ready = meter.reply_ready_s()
    assert ready == pytest.approx(5.0)
    assert float(meter.reply(ready) or b"nan") == pytest.approx(0.03, abs=2e-5)


@pytest.mark.parametrize(
    ("text", "bit"),
    [
        ("SYST:ERR?", 32),
        ("RDGFIELD", 32),
        ("UNIT", 32),
        ("UNIT 2,3", 32),
        ("UNIT two", 32),
        ("UNIT? 2", 32),
        ("UNIT inf", 32),
        ("*WAI", 32),
        ("*TRG", 32),
        ("UNIT 5", 16),
        ("UNIT 1.5", 16),
        ("RANGE 0", 16),
        ("RDGMODE 2,1,1,1,1", 16),
        ("*ESE 256", 16),
    ],
)
def test_a_bad_command_changes_nothing_but_the_event_register(
    meter: LakeShore475, text: str, bit: int
) -> None:
    assert events(meter) == 128
    before = {key: value for key, value in meter.snapshot().items() if key != "event"}
    meter.message(text.encode())
    assert {key: value for key, value in meter.snapshot().items() if key != "event"} == before
    assert events(meter) == bit
    assert events(meter) == 0


def test_several_commands_in_one_message(meter: LakeShore475) -> None:
    assert ask(meter, "unit 2; UNIT?;AUTO?") == "2;1"


def test_query_errors_and_the_status_byte(meter: LakeShore475) -> None:
    events(meter)
    meter.message(b"*ESE 4;*SRE 32")
    meter.message(b"UNIT?")
    assert meter.status_byte() == 16
    meter.message(b"AUTO?")
    assert meter.reply(0.0) == b"1\r\n"
    assert meter.reply(0.0) is None
    assert meter.status_byte() == 32 + 64
    meter.unterminated()
    assert events(meter) == 4


def test_factory_settings_and_reset(meter: LakeShore475) -> None:
    meter.message(b"UNIT 2;*RST")
    assert ask(meter, "UNIT?") == "2", "*RST restores the power-up settings"
    meter.message(b"DFLT 99")
    assert ask(meter, "UNIT?") == "1"


def test_a_snapshot_holds_everything(meter: LakeShore475, world: FieldWorld) -> None:
    meter.message(b"UNIT 2;CMODE 1;CSETP 0.01;*ESE 7;REL 1,2")
    meter.message(b"RDGFIELD?")
    state = meter.snapshot()
    other = make(world)
    other.restore(state)
    assert other.snapshot() == state
    assert other.reply(0.0) == meter.reply(0.0)
    assert ask(other, "CMODE?;CSETP?;*ESE?") == "1;+010.000E-03;7"


def test_unknown_options_are_refused(world: FieldWorld) -> None:
    with pytest.raises(ValueError, match="'gaussmeter': unknown option 'probe'"):
        make(world, probe="HST")
