"""A play that is stopped at any exchange, or amid its pulses, ends safe and says what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from hilab.frames import Flag

POINTS = 7  # exchanges of a play at which it is stopped
LATE_S = 5.0


def sources_off(bench):
    """Every driver that pulses or reads says so itself, and the world agrees."""
    world = bench._twin.world
    world.advance(bench.clock.now())
    roles = {bench.instrument_name(role) for role in ("pulse_source", "bias_source")}
    assert all(bench.instruments[name].verify_safe() for name in roles)
    assert [name for name in world._levels if world.source_state(name)[1] != 0] == []
    assert world.faults == []


def stopped(bench, plan):
    """The readings of a play that `stop` ends, its wear counted as in `Bench.play`."""
    return bench._playing.play(plan, None, bench.stop)


def check(kit, bench, plan, readings, before, where):
    played = (readings.flags & int(Flag.MISSING | Flag.TIMEOUT)) == 0
    in_flight = (readings.flags & Flag.TIMEOUT) != 0
    # in playing order: what was played, then what may have been pulsed, then nothing
    state = np.select([played, in_flight], [0, 1], 2)[plan.order]
    assert (np.diff(state) >= 0).all(), where
    assert np.isfinite(readings.voltage_v[played]).all(), where
    assert np.isnan(readings.voltage_v[~played]).all(), where
    assert in_flight.sum() <= 1 or not played.any(), where
    sources_off(bench)
    real, counted = kit.wear(bench)
    for name in real:
        for polarity in (0, 1):
            bore = real[name][polarity] - before[0][name][polarity]
            assert counted[name][polarity] - before[1][name][polarity] >= bore, (where, name)


def test_stopped_at_any_exchange_it_ends_safe(kit, case):
    recipe = kit.recipe(case)
    with kit.opened(case, seed=2) as bench:
        many = 3 if recipe.slow else 24
        device = np.arange(2 * many) % 2
        plan = bench.plan(kit.frames(bench, recipe, np.full(2 * many, 1.35), device), case.player)
        bench.play(plan)
        with kit.counted_messages() as messages:
            bench.play(plan)
            total = messages.count
            for at in np.unique(np.linspace(1, total, POINTS).astype(int)):
                before, begun = kit.wear(bench), messages.count
                messages.then = lambda count, at=at, begun=begun: (
                    bench.stop.set() if count - begun == at else None
                )
                readings = stopped(bench, plan)
                assert bench.stop.is_set(), (at, total)
                bench.stop.clear()
                messages.then = lambda count: None
                check(kit, bench, plan, readings, before, f"{case} at exchange {at} of {total}")


@pytest.mark.parametrize("part", [0.25, 0.7])
def test_stopped_in_the_middle_of_its_pulses_it_ends_safe_and_soon(kit, case, stopping, part):
    recipe = kit.recipe(case)
    with kit.opened(case, seed=2) as bench:
        many = 4 if recipe.slow else 60
        plan = bench.plan(kit.frames(bench, recipe, np.full(many, 1.35)), case.player)
        bench.play(plan)
        before, at_s = kit.wear(bench), part * plan.duration_s
        end_s = bench.clock.now() + at_s
        with stopping(bench, at_s):
            readings = stopped(bench, plan)
        bench.stop.clear()
        assert bench.clock.now() < end_s + LATE_S
        check(kit, bench, plan, readings, before, f"{case} at {part} of its time")
