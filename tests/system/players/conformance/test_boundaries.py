"""Batches that just fit into a memory, and just not: every frame comes back once, in the order asked.

Memories are found, not listed: whatever whole number of a player's modules or of its drivers makes the loads
of a plan shorter when it is lowered is one, and so is a load that is short by itself.
"""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pytest

from hilab import plugins
from hilab.frames import PlanRefused

PLANNED = 1_500  # frames of the plan in which a boundary is looked for
LEAST = 300  # smaller numbers are no memories
SHORTEST = 3  # frames of a load that is worth testing


def loads(bench, case, kit, recipe, count):
    """Longest load of a plan of so many frames; 0 if it is refused."""
    try:
        plan = bench.plan(kit.frames(bench, recipe, np.full(count, 1.35)), case.player)
    except PlanRefused:
        return 0
    return max(load.stop - load.start for load in plan.loads)


def places(bench, case):
    """(owner, name) of every number that may be a memory's size."""
    player = plugins.load(plugins.PLAYERS, case.player)
    modules = {sys.modules[base.__module__] for base in inspect.getmro(player) if base is not object}
    for module in sorted(modules, key=lambda each: each.__name__):
        for name, value in vars(module).items():
            if name.isupper() and type(value) is int and value >= LEAST:
                yield module, name
    for driver in {id(each): each for each in bench.instruments.values()}.values():
        for base in inspect.getmro(type(driver)):
            for name, value in vars(base).items():
                if not name.startswith("_") and type(value) is int and value >= LEAST:
                    yield driver, name


def lowered(bench, case, kit, recipe, patch, owner, name):
    """Longest load with this memory made small; None if it is none."""
    natural = loads(bench, case, kit, recipe, PLANNED)
    original = getattr(owner, name)
    size = original
    while (size := size // 4) >= SHORTEST:
        patch.setattr(owner, name, size)
        bench._playing._players.clear()
        longest = loads(bench, case, kit, recipe, PLANNED)
        if longest == 0:
            break
        if longest <= 40:
            return longest if longest >= SHORTEST and longest < natural else None
    patch.setattr(owner, name, original)
    return None


def play_and_check(bench, case, kit, recipe, count, levels):
    """Sure and impossible switchings in random order come back as asked; all pulses are counted."""
    rng = np.random.default_rng(count)
    sure = rng.random(count) < 0.5
    batch = kit.frames(bench, recipe, np.where(sure, 1.35, 0.3), np.zeros(count, dtype=int))
    before = kit.wear(bench)
    plan = bench.plan(batch, case.player)
    done = []
    readings = bench.play(plan, done.append)
    assert readings.clean.all(), (case, count)
    ohm = readings.voltage_v / readings.current_a
    assert ((ohm > sum(levels) / 2) == (sure == (levels[1] > levels[0]))).all(), (case, count)
    assert done[-1] == count
    assert sum(load.stop - load.start for load in plan.loads) == count
    real, counted = kit.wear(bench)
    name = batch.devices[0]
    assert np.subtract(counted[name], before[1][name]).tolist() == [count, count]
    bore = np.subtract(real[name], before[0][name])
    assert bore[1] == count and bore[0] in (count, int(sure.sum())), (case, count, bore)


def levels_of(bench, case, kit, recipe):
    """(ohm after an impossible, after a sure switching)."""
    batch = kit.frames(bench, recipe, np.array([0.3, 1.35] * 3), np.zeros(6, dtype=int))
    readings = bench.play(bench.plan(batch, case.player))
    ohm = readings.voltage_v / readings.current_a
    return float(np.median(ohm[::2])), float(np.median(ohm[1::2]))


def test_any_number_of_frames_around_every_memory_comes_back_in_order(kit, case):
    recipe = kit.recipe(case)
    with kit.opened(case, seed=6) as bench:
        levels = levels_of(bench, case, kit, recipe)
        for count in (1, 2, 7):
            play_and_check(bench, case, kit, recipe, count, levels)
        if recipe.slow:
            return
        natural = loads(bench, case, kit, recipe, PLANNED)
        if natural < PLANNED:
            for count in (natural - 1, natural, natural + 1):
                play_and_check(bench, case, kit, recipe, count, levels)
        found = 0
        for owner, name in list(places(bench, case)):
            with pytest.MonkeyPatch.context() as patch:
                longest = lowered(bench, case, kit, recipe, patch, owner, name)
                if longest:
                    found += 1
                    for count in (longest - 1, longest, longest + 1, 2 * longest, 2 * longest + 1):
                        play_and_check(bench, case, kit, recipe, count, levels)
            bench._playing._players.clear()
        assert found or natural < PLANNED, f"{case}: no memory was found; is its size a number of its module?"
