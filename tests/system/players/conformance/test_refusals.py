"""What a player cannot do it says before anything is sent: every reason at once, one sentence each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hilab import plugins
from hilab.frames import FrameBatch, PlanRefused


def test_every_reason_comes_at_once_and_nothing_is_sent(kit, case):
    recipe = kit.recipe(case)
    with kit.opened(case) as bench:
        player = plugins.load(plugins.PLAYERS, case.player)(bench)
        limits = [bench.devices[name].limits for name in ("w4_d1", "w4_d2")]
        good = kit.frames(bench, recipe, np.full(4, 1.35), np.array([0, 1, 0, 1]))
        write_a, read_a = good.write_a.copy(), good.read_a.copy()
        write_a[0] = 1.2 * limits[0].current_max_a(recipe.width_s)
        read_a[1] = 1.3 * limits[1].read_max_a
        bad = FrameBatch.of(
            good.devices, good.device, write_a, good.reset_a, read_a,
            reset_width_s=recipe.width_s, write_width_s=1e4, integration_s=recipe.integration_s,
        )  # fmt: skip
        with kit.counted_messages() as messages, pytest.raises(PlanRefused) as refused:
            player.plan(bad)
        assert messages.count == 0
        with pytest.raises(PlanRefused, match="nobody"):
            player.plan(replace(good, devices=("w4_d1", "nobody")))
    reasons = refused.value.reasons
    assert any("w4_d1" in reason and "write" in reason for reason in reasons), reasons
    assert any("w4_d2" in reason and "read" in reason for reason in reasons), reasons
    assert any("10000 s" in reason or "1e+04" in reason or "write_width_s" in reason for reason in reasons), (
        reasons
    )
    for reason in reasons:
        assert len(reason.splitlines()) == 1 and reason == reason.strip(), reason
        assert not reason.endswith(".") and len(reason) < 300, reason
    assert len(set(reasons)) == len(reasons)
