"""What every registered driver must be, and that each has a simulated twin it recognises."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from hilab import plugins
from hilab.bench import open_bench
from hilab.bench.safety import has_output, missing_safety
from hilab.roles import Instrument, Output
from sim_instruments.bench import build

BENCHES = Path(__file__).parents[3] / "data" / "benches"
OURS = plugins.names(plugins.DRIVERS)
TWINS = {entry.name: entry for entry in entry_points(group="hilab.sim_instruments")}


@pytest.fixture(params=OURS)
def driver_class(request):
    return plugins.load(plugins.DRIVERS, request.param)


def test_the_constructor_takes_what_the_bench_gives_and_stays_silent(driver_class, scripted, clock):
    wire = scripted()
    driver = driver_class(wire, name="box", visa_library=None, clock=clock, options={})
    assert wire.sent == []
    assert driver.name == "box"
    assert isinstance(driver, Instrument)
    assert driver.model_pattern


def test_whoever_has_an_output_can_be_made_safe(driver_class):
    assert missing_safety(driver_class) == ""


def test_making_safe_never_raises_when_nobody_answers(driver_class, scripted, clock):
    driver = driver_class(scripted(), name="box", clock=clock)
    if not has_output(driver) and not hasattr(driver, "close_channels"):
        return
    assert isinstance(driver, Output)
    report = driver.make_safe()
    assert (report.instrument, report.verified) == ("box", False)
    assert "did not answer" in report.detail
    assert driver.verify_safe() is False


def test_everything_public_says_what_it_is_for(driver_class):
    assert driver_class.__doc__
    silent = [
        name
        for name, member in inspect.getmembers(driver_class, inspect.isfunction)
        if not name.startswith("_") and member.__module__.startswith("drivers") and not inspect.getdoc(member)
    ]
    assert silent == []


def test_every_driver_recognises_its_twin_on_the_benches():
    met = set()
    for path in sorted(BENCHES.glob("sot_*.toml")):
        with open_bench(path) as bench:
            for name, driver in bench.instruments.items():
                assert driver.model_pattern in driver.identify().model
                assert driver.check_errors() == []
                met.add(bench.file.instruments[name].driver)
    assert met <= set(OURS)
    assert len(met) >= 10


@pytest.mark.parametrize("name", OURS)
def test_every_driver_recognises_its_twin_alone(name):
    assert TWINS[name].load().__doc__
    bench = build(
        instruments={"box": {"driver": name, "address": "sim"}},
        wires=[],
        devices={},
        field={},
        simulation={"bench": "hall_bars", "setting": "ideal"},
        seed=1,
    )
    make = plugins.load(plugins.DRIVERS, name)
    driver = make(bench.addresses["box"], name="box", visa_library=bench.visa_library, clock=bench.clock)
    assert driver.model_pattern in driver.identify().model
    driver.check_errors()  # 475, SR830: "power was switched on" and the like
    assert driver.check_errors() == []
    if has_output(driver):
        report = driver.make_safe()
        assert report.verified, report.detail
        assert driver.verify_safe()
    driver.close()


def test_players_say_what_they_are():
    for name in plugins.names(plugins.PLAYERS):
        player = plugins.load(plugins.PLAYERS, name)
        assert player.name == name
        assert player.__doc__
        assert all(inspect.getdoc(getattr(player, method)) for method in ("unsuitable", "plan", "play"))


@pytest.mark.parametrize("name", OURS)
def test_the_twin_takes_every_option_of_its_driver(name):
    driver, twin = plugins.load(plugins.DRIVERS, name), TWINS[name].load()
    assert set(driver.known_options) <= set(getattr(twin, "option_defaults", ()))
