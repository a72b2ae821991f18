"""Everything registered by entry point keeps its contract: it loads, says what it is, and fits together."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, distribution
from typing import Any

import pytest

from hilab import plugins
from hilab.bench.safety import has_output
from hilab.engine.protocol import Protocol, ProtocolParams
from hilab.roles import ROLES, lacking


def ours(group: str) -> list[EntryPoint]:
    return list(distribution("hilab").entry_points.select(group=group))


def by_name(group: str) -> Any:
    return pytest.mark.parametrize("entry", ours(group), ids=lambda entry: entry.name)


GROUPS = {
    "hilab.drivers", "hilab.players", "hilab.protocols", "hilab.sim_benches", "hilab.sim_instruments",
    "hilab.sim_servers", "hilab.device_models",
}  # fmt: skip


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_entry_point_loads_and_says_what_it_is(group: str) -> None:
    assert ours(group)
    for entry in ours(group):
        found = entry.load()
        described = found if inspect.isclass(found) or inspect.isfunction(found) else type(found)
        assert described.__doc__, entry.value


def test_no_group_is_forgotten_here() -> None:
    groups = distribution("hilab").entry_points.groups
    assert groups - {"console_scripts"} == GROUPS
    assert set(plugins.KINDS) <= GROUPS


@by_name("hilab.drivers")
def test_a_driver_has_a_role_a_safe_state_and_a_twin(entry: EntryPoint) -> None:
    driver = entry.load()
    assert driver.model_pattern
    whole = [role for role in ROLES if not lacking(driver, role)]
    assert whole, "it takes no role completely"
    if has_output(driver):
        assert callable(driver.make_safe)
        assert callable(driver.verify_safe)
    assert entry.name in {twin.name for twin in ours("hilab.sim_instruments")}


@by_name("hilab.drivers")
def test_a_driver_that_pulses_or_reads_has_all_that_players_plan_with(entry: EntryPoint) -> None:
    driver = entry.load()
    for role, method in {"pulse_source": "pulse", "reader": "read_v", "arm_source": "set_arm_a"}.items():
        if hasattr(driver, method):
            assert lacking(driver, role) == ()


@by_name("hilab.players")
def test_a_player_has_its_own_name_and_says_why_it_does_not_fit(entry: EntryPoint) -> None:
    player = entry.load()

    class Bare:
        """A station without any role."""

        clock, devices = None, {}

        def role(self, name: str) -> Any:
            raise KeyError(name)

        instrument_name = role

    assert player.name == entry.name
    assert player.unsuitable(Bare()).startswith("the bench has no ")
    for method in ("unsuitable", "plan", "play"):
        assert inspect.getdoc(getattr(player, method))


@by_name("hilab.sim_instruments")
def test_a_simulated_instrument_belongs_to_a_driver(entry: EntryPoint) -> None:
    assert entry.name in {driver.name for driver in ours("hilab.drivers")}


@by_name("hilab.protocols")
def test_a_protocol_describes_itself_and_every_parameter(entry: EntryPoint) -> None:
    protocol = entry.load()
    assert issubclass(protocol, Protocol)
    assert protocol.name == entry.name
    first = inspect.getdoc(protocol).partition("\n")[0]  # type: ignore[union-attr]
    assert first.endswith(".")
    assert issubclass(protocol.Params, ProtocolParams)
    assert protocol.Params.model_config["extra"] == "forbid"
    silent = [name for name, field in protocol.Params.model_fields.items() if not field.description]
    assert silent == []


@by_name("hilab.protocols")
def test_a_protocol_declares_its_streams_with_units(entry: EntryPoint) -> None:
    """Columns whose name carries a unit state the same unit."""
    protocol = entry.load()
    required = {name for name, field in protocol.Params.model_fields.items() if field.is_required()}
    assert not required, "it should run with what is usual"
    units = {"_a": "A", "_v": "V", "_s": "s", "_t": "T", "_ohm": "ohm", "_m": "m"}
    for columns in protocol(protocol.Params()).streams().values():
        for name, column in columns.items():
            ending = next((unit for end, unit in units.items() if name.endswith(end)), None)
            if ending and "_per_" not in name:
                assert column.unit == ending, name
