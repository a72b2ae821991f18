"""The factory: a bench file's tables become instruments that answer on a VISA library."""

import tomllib
from pathlib import Path

import pytest
import pyvisa
from pyvisa import rname

from sim_instruments.bench import build
from sim_instruments.world import WallClock

BENCHES = Path(__file__).parents[4] / "data" / "benches"


def tables(name, **simulation):
    """The tables of one of our bench files, kinds merged as hilab does it."""
    file = tomllib.loads((BENCHES / f"{name}.toml").read_text(encoding="utf-8"))
    devices = {key: {**file["kinds"][card["kind"]], **card} for key, card in file["devices"].items()}
    return {
        "instruments": file["instruments"],
        "wires": file["wires"],
        "devices": devices,
        "field": file["field"],
        "simulation": {**file["simulation"], **simulation},
    }


def opened(bench, name):
    manager = pyvisa.ResourceManager(bench.visa_library)
    return manager.open_resource(bench.addresses[name], write_termination="\n", read_termination="\n")


@pytest.mark.parametrize("name", ["sot_fast", "sot_classic", "sot_digitiser", "sot_smu", "sot_waveform"])
def test_our_bench_files_can_be_built(name):
    bench = build(**tables(name), seed=1)
    assert len(bench.world.truth) == 16
    assert set(bench.addresses) == set(bench.instruments)
    for address in bench.addresses.values():
        assert address == rname.to_canonical_name(address)
    state = bench.snapshot()
    bench.restore(state)
    assert bench.snapshot() == state
    bench.close()


def test_messages_cost_the_latency_of_their_link():
    costs = {}
    for latency in (5e-3, 50e-3):
        bench = build(**tables("sot_classic", latency_s={"gpib": latency}), seed=1)
        box = opened(bench, "gaussmeter")
        start = bench.clock.now()
        assert box.query("*IDN?").startswith("LSCI")
        costs[latency] = bench.clock.now() - start
        box.close()
    assert costs[50e-3] - costs[5e-3] == pytest.approx(45e-3, rel=0.01)


def test_a_bench_goes_on_exactly_as_its_snapshot():
    def go(bench):
        field, supply = opened(bench, "gaussmeter"), opened(bench, "magnet")
        supply.write("CURR 3")
        seen = []
        for _ in range(5):
            bench.clock.sleep(0.3)
            seen.append((bench.clock.now(), field.query("RDGFIELD?"), supply.query("MEAS:CURR?")))
        field.close()
        supply.close()
        return seen

    bench = build(**tables("sot_classic", setting="hard"), seed=1)
    setup = opened(bench, "magnet")
    setup.write("FUNC:MODE CURR;:VOLT 20;:OUTP ON")
    setup.close()
    go(bench)
    state = bench.snapshot()
    expected = go(bench)
    other = build(**tables("sot_classic", setting="hard"), seed=1)
    for each in (bench, other):
        each.restore(state)
        assert go(each) == expected
    assert len({reply for _, reply, _ in expected}) > 1


def test_a_bench_can_run_on_the_wall_clock():
    bench = build(**tables("sot_fast", clock="wall", speed=100.0), seed=1)
    assert isinstance(bench.clock, WallClock) and bench.clock.speed == 100.0
    with pytest.raises(ValueError, match="'virtual' or 'wall', not 'sundial'"):
        build(**tables("sot_fast", clock="sundial"), seed=1)


def test_a_damaged_snapshot_is_refused():
    bench = build(**tables("sot_fast"), seed=1)
    with pytest.raises(ValueError, match="not a snapshot"):
        bench.restore(bench.snapshot()[:-100])
