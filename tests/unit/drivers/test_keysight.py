"""The drivers of the two Keysight generators, over bytes, on their simulated twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pymeasure.instruments.keysight.keysight81160A import Keysight81160AChannel

from drivers import keysight33600a, keysight81160a
from drivers.keysight33600a import Keysight33600A, Waveform
from drivers.keysight81160a import Keysight81160A
from hilab.errors import BenchError
from hilab.roles import BiasSource, Instrument, Output, PulseSource
from sim_instruments.bench import build

BAR = {
    "width_m": 2e-6,
    "length_m": 40e-6,
    "r_ohm": 8000.0,
    "r_hall_ohm": 1.0,
    "limits": {
        "pulse_max_a": [{"width_s": 1e-3, "current_a": 1.5e-3}],
        "read_max_a": 0.25e-3,
        "voltage_max_v": 20.0,
        "field_max_t": 0.1,
        "pulses_max": 1_000_000,
    },
    "pads": {"current": "awg.ch1", "hall": "mux.in"},
}
BOTH = pytest.mark.parametrize("kind", ["keysight33600a", "keysight81160a"])
FRAME = np.zeros(20, np.int16)
FRAME[1:6], FRAME[7:12], FRAME[13:20] = -30000, 20000, 4000


class Wired:
    """A driver, its twin and what the world was told to play."""

    def __init__(self, kind: str):
        self.bench = build(
            instruments={"awg": {"driver": kind, "transport": "lan"}, "mux": {"driver": "keithley7001"}},
            wires=[],
            devices={"bar": BAR},
            field={"tesla_per_ampere": 4e-3, "max_t": 0.045, "assist_t": 0.05},
            simulation={"bench": "hall_bars", "setting": "ideal", "sample_seed": 1, "mains_hz": 50},
            seed=7,
        )
        self.played: list[tuple[Any, Any]] = []
        play = self.bench.world.play

        def remembered(terminal: str, train: Any) -> Any:
            trace = play(terminal, train)
            if terminal == "awg.ch1" and len(train.start_s):
                self.played.append((train, trace))
            return trace

        self.bench.world.play = remembered  # type: ignore[method-assign]
        driver = {"keysight33600a": Keysight33600A, "keysight81160a": Keysight81160A}[kind]
        self.driver: Any = driver(
            self.bench.addresses["awg"],
            name="awg",
            visa_library=self.bench.visa_library,
            clock=self.bench.clock,
            options={},
        )
        self.twin = self.bench.instruments["awg"]

    @property
    def line_ohm(self) -> float:
        """What the source really drives now."""
        return float(self.bench.world.devices["bar"].load("current", 0.0, self.bench.world.now).ohm)

    def currents(self) -> Any:
        return np.concatenate([trace.current_a for _, trace in self.played])

    def widths(self) -> Any:
        return np.concatenate([train.width_s for train, _ in self.played])


@pytest.fixture
def wired() -> Iterator[Callable[[str], Wired]]:
    made: list[Wired] = []

    def one(kind: str) -> Wired:
        made.append(Wired(kind))
        return made[-1]

    yield one
    for each in made:
        assert each.driver.check_errors() == []
        assert each.driver.make_safe().verified
        assert each.bench.world.faults == []
        each.driver.close()


@BOTH
def test_they_take_their_roles(scripted, clock, kind):
    driver = {"keysight33600a": Keysight33600A, "keysight81160a": Keysight81160A}[kind]
    made = driver(scripted(), name="awg", clock=clock)
    for role in (Instrument, Output, PulseSource, BiasSource):
        assert isinstance(made, role), role


@BOTH
@pytest.mark.parametrize("amplitude_a", [1e-3, -1e-3, 2e-5])
def test_a_pulse_drives_its_current_through_the_known_load(wired, kind, amplitude_a):
    bench = wired(kind)
    source = bench.driver
    source.set_load_ohm(bench.line_ohm)
    source.configure_pulse(1.2e-3, 10.0)
    before_s = bench.bench.clock.now()
    source.pulse(amplitude_a, 1e-4)
    assert bench.bench.clock.now() - before_s == pytest.approx(source.pulse_s(1e-4), abs=5e-3)
    source.bias_off()
    assert_allclose(bench.currents(), [amplitude_a], rtol=1e-3)
    assert_allclose(bench.widths(), [1e-4], rtol=1e-9)


@BOTH
def test_pulses_and_bias_in_turn_as_the_software_loop_does_it(wired, kind):
    bench = wired(kind)
    source = bench.driver
    source.set_load_ohm(bench.line_ohm)
    source.configure_bias(1.2e-3, 10.0)
    source.configure_pulse(1.2e-3, 10.0)
    for _ in range(2):
        source.pulse(-1.1e-3, 1e-4)
        source.pulse(0.9e-3, 2e-4)
        source.set_bias_a(1e-4)
        state = bench.bench.world.source_state("awg.ch1")
        assert state[1] == pytest.approx(1e-4, rel=1e-3)
        source.set_bias_a(-1e-4)
        assert bench.bench.world.source_state("awg.ch1")[1] == pytest.approx(-1e-4, rel=1e-3)
        source.bias_off()
        assert bench.bench.world.source_state("awg.ch1")[1] == 0.0
    pulses = [trace.current_a for train, trace in bench.played if train.width_s[0] < 1e-3]
    assert_allclose(np.concatenate(pulses), [-1.1e-3, 0.9e-3] * 2, rtol=1e-3)


@BOTH
def test_no_output_before_the_load_is_known_and_none_beyond_a_limit(scripted, clock, kind):
    driver = {"keysight33600a": Keysight33600A, "keysight81160a": Keysight81160A}[kind]
    wire = scripted()
    source = driver(wire, name="awg", clock=clock)
    source.configure_pulse(1e-3, 9.0)
    wire.sent.clear()
    for refused, why in (
        (lambda: source.pulse(1e-4, 1e-4), "the load, which is not known"),
        (lambda: source.set_bias_a(1e-4), "the load, which is not known"),
        (lambda: source.set_load_ohm(float("nan")), "measure the line first"),
    ):
        with pytest.raises(BenchError, match=why):
            refused()
    source.set_load_ohm(8000.0)
    for refused, why in (
        (lambda: source.pulse(1.01e-3, 1e-4), r"limit of 0\.001 A"),
        (lambda: source.set_bias_a(-1.01e-3), r"limit of 0\.001 A"),
        (lambda: source.pulse(1e-3, 1e-7), "outside 1e-06"),
        (lambda: source.configure_bias(1e-3, 11.0), "outside 0 to 10 V"),
    ):
        with pytest.raises(BenchError, match=why):
            refused()
    source.set_load_ohm(9500.0)
    with pytest.raises(BenchError, match=r"9\.5 V across the load is above the limit of 9 V"):
        source.pulse(1e-3, 1e-4)
    source.set_load_ohm(12e3)
    with pytest.raises(BenchError, match=r"12\.05 V, and it gives 10 V at most"):
        source.pulse(1e-3, 1e-4)
    assert wire.sent == []


# ---- 33600A -----------------------------------------------------------------------------------------


def waveform(frames: int = 50, **changes: Any) -> Waveform:
    return Waveform(1, np.tile(FRAME, frames), **{"full_v": 10.0, "sample_rate_hz": 5e4} | changes)


def test_arming_costs_one_message_and_plays_what_was_asked(wired):
    bench = wired("keysight33600a")
    source = bench.driver
    source.set_load_ohm(bench.line_ohm)
    source.configure_pulse(1.3e-3, 10.0)
    source.prepare_waveforms()
    sent = []
    source.link.hook = lambda kind, payload: sent.append((kind, payload))
    marker = Waveform(2, np.repeat(np.array([0, 32767], np.int16), 20), 3.3, 5e4, cycles=10)
    source.arm(waveform(), marker, trigger=True)
    assert [kind for kind, _ in sent] == ["write"]
    source.link.hook = None
    assert source.ask("*OPC?").strip() == "1"
    currents = np.tile(np.array([-30000, 20000, 4000]) / 32767 * 10 / (bench.line_ohm + 50), 50)
    assert_allclose(bench.currents(), currents, rtol=1e-4)
    assert_allclose(bench.widths()[:3], [1e-4, 1e-4, 1.4e-4], rtol=1e-6)
    bench.played.clear()
    source.trigger()  # it stays armed
    source.ask("*OPC?")
    assert len(bench.currents()) == 150
    source.outputs(False)


def test_stopping_in_the_middle(wired):
    bench = wired("keysight33600a")
    source = bench.driver
    source.set_load_ohm(bench.line_ohm)
    source.configure_pulse(1.3e-3, 10.0)
    source.prepare_waveforms((1,))
    source.arm(waveform(1000), trigger=True)
    bench.bench.clock.sleep(0.1)
    assert source.make_safe().verified
    assert source.verify_safe()
    bench.bench.clock.sleep(1.0)
    bench.bench.world.advance(bench.bench.clock.now())
    assert 0 < len(bench.currents()) < 3000


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"codes": np.zeros(31, np.int16)}, "outside 32 to"),
        ({"codes": np.zeros(40)}, "int16"),
        ({"codes": np.full(40, -32768, np.int16)}, "end at -32767"),
        ({"full_v": 10.1}, "full scale"),
        ({"sample_rate_hz": 1e9}, "samples/s"),
        ({"cycles": 0}, "cycles"),
        ({"codes": np.full(40, 32767, np.int16)}, r"limit of 0\.0012 A"),
        ({"codes": np.full(40, -32767, np.int16)}, r"limit of 0\.0012 A"),
    ],
)
def test_a_waveform_that_cannot_be_played_is_refused_before_a_byte(scripted, clock, changes, why):
    wire = scripted()
    source = Keysight33600A(wire, name="awg", clock=clock)
    source.set_load_ohm(8000.0)
    source.configure_pulse(1.2e-3, 10.0)
    with pytest.raises(BenchError, match="prepare_waveforms"):
        source.arm(waveform())
    source.prepare_waveforms()
    wire.sent.clear()
    with pytest.raises(BenchError, match=why):
        source.arm(waveform(**{key: each for key, each in changes.items() if key != "codes"})
                   if "codes" not in changes
                   else Waveform(1, changes["codes"], 10.0, 5e4))  # fmt: skip
    assert wire.sent == []


def test_the_memory_of_the_box_is_the_drivers_limit(scripted, clock):
    source = Keysight33600A(scripted(), name="awg", clock=clock, options={"memory_points": 1_000_000})
    assert source.memory_points == 1_000_000
    assert Keysight33600A(scripted(), name="awg", clock=clock).memory_points == keysight33600a.MEMORY_POINTS


# ---- 81160A -----------------------------------------------------------------------------------------

BIPOLAR = [[0.0, -1.0, 0.0], [-1.0, -0.5], [-1.0, 0.1], [0.0, 0.0], [0.25, -0.5, 1.0]]


@pytest.mark.parametrize("volts", BIPOLAR)
def test_waveforms_are_scaled_by_their_largest_magnitude(scripted, clock, volts):
    source = Keysight81160A(scripted(), name="awg", clock=clock)
    codes = source.ch_1._preprocess_waveform(np.array(volts))
    largest = max(np.abs(volts).max(), 1e-300)
    assert np.abs(codes).max() <= keysight81160a.CODE_MAX
    assert_allclose(codes, np.array(volts) / largest * keysight81160a.CODE_MAX, atol=0.5)


@pytest.mark.parametrize("volts", BIPOLAR[:4])
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_pymeasures_own_scaling_is_wrong_for_the_shapes_of_reset_pulses(volts):
    """Why the driver has a scaling of its own; should this fail, PyMeasure has mended it."""
    codes = Keysight81160AChannel._preprocess_waveform(None, np.array(volts))
    right = keysight81160a.scaled(volts, float(np.abs(volts).max()) or 1.0)
    assert np.abs(codes - right.astype(float)).max() > 4000


def test_a_bipolar_waveform_reaches_the_device_as_asked(wired):
    bench = wired("keysight81160a")
    source = bench.driver
    source.set_load_ohm(bench.line_ohm)
    source.configure_pulse(0.6e-3, 6.0)
    asked_a = np.array([0.0, -5e-4, -5e-4, 0.0, 1e-4, 0.0])
    source.load_waveform(asked_a, 6e-4)
    source.trigger()
    source.ask("*OPC?")
    assert_allclose(bench.currents(), [-5e-4, -5e-4, 1e-4], atol=5e-4 / 8191)
    assert_allclose(bench.widths(), 1e-4, rtol=1e-6)
    for refused, why in (
        (asked_a * 1.3, r"limit of 0\.0006 A"),
        ([1e-4], "2 to"),
        ([0.0, float("nan")], "finite"),
    ):
        with pytest.raises(BenchError, match=why):
            source.load_waveform(refused, 1e-3)
    source.bias_off()


def test_scaling_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match="exceeds its full scale"):
        keysight81160a.scaled([0.0, -1.1], 1.0)
    with pytest.raises(ValueError, match="finite"):
        keysight81160a.scaled([0.0, np.inf], 1.0)
