import pytest

from sim_instruments.bench import build_world

W16 = {"width_m": 16e-6, "length_m": 40e-6}
TABLES = {
    "instruments": {
        "smu": {"driver": "x"},
        "other": {"driver": "x"},
        "mux": {"driver": "x", "options": {"cards": ["7011", "7011"]}},
        "magnet": {"driver": "x"},
        "gaussmeter": {"driver": "x"},
    },
    "wires": [
        {"from": "smu.a", "to": ["mux.1A", "mux.2A"]},
        {"from": "smu.b", "to": ["mux.1B", "mux.1C"]},
        {"from": "other.out", "to": ["mux.1A"]},
        {"from": "other.rs232", "to": ["smu.rs232"]},
        {"from": "magnet.out", "to": ["coil"]},
        {"from": "gaussmeter.probe", "to": ["field.perpendicular"]},
    ],
    "devices": {
        "d1": {**W16, "pads": {"current": "mux.1!1", "hall": "mux.1!11", "longitudinal": "mux.1!21"}},
        "d2": {**W16, "pads": {"current": "mux.2!2", "hall": "mux.1!12"}},
        "d3": {**W16, "pads": {"current": "other.direct", "hall": "other.sense"}},
    },
    "field": {"tesla_per_ampere": 4e-3, "assist_t": 0.05},
    "simulation": {"setting": "ideal", "sample_seed": 1},
}


@pytest.fixture
def tables():
    """A fresh copy of the tables of a small bench."""
    return {name: (list(part) if isinstance(part, list) else dict(part)) for name, part in TABLES.items()}


@pytest.fixture
def world(tables):
    """world(seed=0, **simulation) -> World."""

    def make(seed=0, **simulation):
        return build_world(**{**tables, "simulation": {**tables["simulation"], **simulation}}, seed=seed)

    return make
