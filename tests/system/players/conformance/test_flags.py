"""Open contacts, a dead device, a source at its limit: they show in the flags, and only in their device's.

A player that looks at the line before it plays may refuse such a device instead, in words.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hilab.errors import BenchError
from hilab.frames import Flag, PlanRefused

MANY = 4  # frames of each device
TROUBLE = {
    "simulation__open_contacts": ["w4_d1.hall", "w4_d3.current"],
    "simulation__dead": ["w4_d4"],
}
BROKEN, SOUND = ("w4_d1", "w4_d3", "w4_d4"), "w4_d2"


def flags_of(kit, case, bench, device):
    """Flags of a play on this device; None where it was refused by name."""
    batch = kit.frames(bench, kit.recipe(case), np.full(MANY, 1.35))
    batch = replace(batch, devices=(device, "w2_d1"))
    try:
        return bench.play(bench.plan(batch, case.player)).flags
    except (PlanRefused, BenchError) as error:
        assert device in str(error), error
        return None


def test_broken_devices_are_flagged_and_their_neighbour_is_not(kit, case):
    with kit.opened(case, seed=9, **TROUBLE) as bench:
        for device in BROKEN:
            flags = flags_of(kit, case, bench, device)
            told = int(Flag.OVERLOAD | Flag.COMPLIANCE)
            assert flags is None or ((flags & told) != 0).all(), (device, flags)
            sound = flags_of(kit, case, bench, SOUND)
            assert sound is not None and (sound == 0).all(), (device, sound)
        assert bench._twin.world.faults == []
