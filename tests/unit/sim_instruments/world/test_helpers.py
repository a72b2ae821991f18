"""Noise tables, plain snapshots, wiring refusals."""

import numpy as np
import pytest

from sim_instruments.bench import build, build_world
from sim_instruments.world import NoiseTable
from sim_instruments.world.plain import from_bytes, to_bytes

ROWS = [
    (0.1, 1e-3, 10e-6, "invented for this test"),
    (0.1, 1e-1, 1e-6, "invented for this test"),
    (10.0, 1e-3, 1e-3, "invented for this test"),
]


def test_noise_is_interpolated_log_log():
    noise = NoiseTable.of(ROWS)
    assert noise.rms(0.1, 1e-2) == pytest.approx(10e-6 / np.sqrt(10))
    assert noise.rms(0.1, 1e-4) == pytest.approx(10e-6 * np.sqrt(10))
    assert noise.rms(0.1, 10.0) == pytest.approx(1e-6)
    assert noise.rms(1.0, 1e-3) == pytest.approx(100e-6)
    assert noise.rms(100.0, 5e-3) == pytest.approx(10e-3)
    assert noise.rms(0.01, 1e-3) == pytest.approx(1e-6)


def test_noise_rows_need_a_source_and_positive_numbers():
    with pytest.raises(ValueError, match="source"):
        NoiseTable.of([(0.1, 1e-3, 1e-6, "")])
    with pytest.raises(ValueError, match="positive"):
        NoiseTable.of([(0.1, 1e-3, 0.0, "x")])
    with pytest.raises(ValueError, match="two rows"):
        NoiseTable.of([ROWS[0], ROWS[0]])
    with pytest.raises(ValueError, match="at least one"):
        NoiseTable.of([])
    with pytest.raises(ValueError, match="positive"):
        NoiseTable.of(ROWS).rms(0.1, 0.0)


def test_plain_values_survive_bytes():
    big = 2**127 + 1
    value = {
        "a": [1, 2.5, None, True, "x", b"\x00\xff", float("inf")],
        "b": {"array": np.arange(6, dtype=np.int16).reshape(2, 3)},
        "c": {1: "one", 2: [3]},
        "d": big,
        "e": np.float64(1.5),
    }
    back = from_bytes(to_bytes(value))
    assert back["a"] == value["a"] and back["c"] == value["c"] and back["d"] == big and back["e"] == 1.5
    np.testing.assert_array_equal(back["b"]["array"], value["b"]["array"])
    assert back["b"]["array"].dtype == np.int16
    assert to_bytes(value) == to_bytes(value)


def test_only_plain_values_are_kept():
    with pytest.raises(TypeError, match="plain values only, got set"):
        to_bytes({"a": {1, 2}})
    with pytest.raises(TypeError, match="no arrays of objects"):
        to_bytes(np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not a snapshot"):
        from_bytes(b"PK\x03\x04 nothing")


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("wires", [{"from": "smuu.a", "to": ["mux.1A"]}], r"wire 1: 'smuu.a' names no instrument"),
        ("wires", [{"from": "smu.a"}], "wire 1: a wire has the keys 'from'"),
        (
            "wires",
            [{"from": "smu.a", "to": ["mux.1A"], "x": 1}],
            "wire 1: a wire has the keys 'from'",
        ),
        ("wires", [{"from": "smu.a", "to": []}], "wire 1: 'from' is a terminal and 'to' a list"),
        ("wires", [{"from": "smu.a", "to": ["mux.1A"]}] * 2, "wire 2: terminal 'smu.a' has a wire already"),
        ("devices", {"d": {"width_m": -1, "length_m": 4e-5}}, "device d: width_m must be a length"),
        ("devices", {"d": {"width_m": 1e-6, "length_m": 4e-5, "colour": 1}}, "device d: unknown key colour"),
        (
            "devices",
            {"d": {"width_m": 1e-6, "length_m": 4e-5, "pads": {"gate": "mux.1!1"}}},
            "device d: no port 'gate'",
        ),
        (
            "devices",
            {n: {"width_m": 1e-6, "length_m": 4e-5, "pads": {"current": "mux.1!1"}} for n in ("d", "e")},
            r"device e, port current: 'mux.1!1' already holds port current of d",
        ),
        (
            "devices",
            {"d": {"width_m": 1e-6, "length_m": 4e-5, "pads": {"current": "mix.1!1"}}},
            "device d, port current: 'mix.1!1' names no instrument",
        ),
        ("field", {"assist": 0.05}, "field: unknown key assist"),
        ("field", {"assist_t": "x"}, "field.assist_t must be a number"),
        ("simulation", {"settings": "ideal"}, "simulation: unknown key settings"),
        ("simulation", {"setting": "easy"}, "none of ideal, default, hard"),
        ("simulation", {"sample_seed": -1}, "simulation.sample_seed must be a whole number"),
        ("simulation", {"mains_hz": 0}, "simulation.mains_hz must be a positive number"),
        ("simulation", {"coil": {"henry": 1}}, "simulation.coil: unknown key henry"),
        ("simulation", {"coil": 3}, "simulation.coil must be a table"),
        ("simulation", {"device_model": "mtj"}, "simulation.device_model: no 'mtj' is installed"),
        ("simulation", {"device": {"delt": 3}}, "no parameter 'delt'"),
        ("simulation", {"open_contacts": ["d1.gate"]}, "'d1.gate' is no 'device.port'"),
        ("simulation", {"dead": ["d9"]}, "there is no device 'd9'"),
    ],
)
def test_bad_tables_get_one_sentence(tables, part, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_world(**{**tables, part: change}, seed=0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"driver": "keithley9999"}, "instrument box: no 'keithley9999' is installed; known: .*kepco_bop"),
        ({"driver": "kepco_bop", "baud": 9600}, "instrument box: unknown key baud"),
        ({"driver": "kepco_bop", "transport": "pigeon"}, "transport 'pigeon' is none of gpib, usb, lan"),
    ],
)
def test_bad_instruments_get_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(instruments={"box": change}, wires=[], devices={}, field={}, simulation={}, seed=0)


def test_an_unknown_card_is_refused(tables):
    tables["instruments"]["mux"] = {"driver": "x", "options": {"cards": ["7012"]}}
    with pytest.raises(ValueError, match="no card '7012' for slot 1; known cards: 7011"):
        build_world(**tables, seed=0)
