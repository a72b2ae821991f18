"""Open contacts, a dead device, a source at its limit: they show in the flags, and only in their device's.

A player that looks at the line before it plays may refuse such a device instead, in words.
"""

from __future__ import annotations

import numpy as np
import pytest

from hilab.errors import BenchError
from hilab.frames import Flag, PlanRefused

MANY = 4  # frames of each device


def played(kit, case, **overrides):
    """(flags of w4_d1, flags of w4_d2); None in place of the first where it was refused by name."""
    recipe = kit.recipe(case)
    with kit.opened(case, seed=9, **overrides) as bench:

        def play(device):
            batch = kit.frames(bench, recipe, np.full(MANY, 1.35), np.full(MANY, device))
            return bench.play(bench.plan(batch, case.player)).flags

        try:
            first = play(0)
        except (PlanRefused, BenchError) as error:
            assert "w4_d1" in str(error), error
            first = None
        second = play(1)
        assert bench._twin.world.faults == []
        return first, second


@pytest.mark.parametrize(
    ("trouble", "wanted"),
    [
        ({"simulation__open_contacts": ["w4_d1.hall"]}, Flag.OVERLOAD | Flag.COMPLIANCE),
        ({"simulation__open_contacts": ["w4_d1.current"]}, Flag.OVERLOAD | Flag.COMPLIANCE),
        ({"simulation__dead": ["w4_d1"]}, Flag.OVERLOAD | Flag.COMPLIANCE),
    ],
    ids=["open Hall arms", "open line", "dead"],
)
def test_a_broken_device_is_flagged_and_its_neighbour_is_not(kit, case, trouble, wanted):
    first, second = played(kit, case, **trouble)
    assert first is None or ((first & int(wanted)) != 0).all(), first
    assert (second == 0).all(), second
