"""A trigger cable that is not there ends a play in words, with everything off."""

from __future__ import annotations

import numpy as np
import pytest

from hilab.errors import BenchError
from hilab.frames import FrameBatch

CASES = {
    "keithley6221_list": ("sot_classic", 4.5e-3, 2e-3, "trigger link"),
    "keithley2636b_digitiser": ("sot_digitiser", 100e-6, 200e-6, "digital line 1"),
}


@pytest.mark.parametrize("player", CASES)
def test_a_missing_trigger_cable_is_told_and_the_source_is_off(open_named, player):
    name, width_s, integration_s, words = CASES[player]
    bench = open_named(name)
    batch = FrameBatch.of(
        ("w4_d1",), np.zeros(5, int), 1.0e-3, -1.8e-3, 3e-4,
        reset_width_s=width_s, write_width_s=width_s, integration_s=integration_s,
    )  # fmt: skip
    plan = bench.plan(batch, player)
    wiring = bench._twin.world.wiring
    for terminal in ("source.trigger_link", "smu.digio1"):
        wiring._cables.pop(terminal, None)
    with pytest.raises(BenchError, match=words):
        bench.play(plan)
    assert bench.instruments[bench.instrument_name("pulse_source")].verify_safe()
