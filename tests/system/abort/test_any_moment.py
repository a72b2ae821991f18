"""A run that is stopped at any exchange with any instrument ends with everything off and nothing lost.

The exchanges are drawn with a fixed seed; HILAB_ABORT_SWEEP=n draws n of them for each case instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

MEANS = ("abort", "ctrl-c", "interrupt", "error")
SWITCHING = {"devices": ["w4_d1"], "points": 5, "trials": 2, "rounds": 1}
MILLISECONDS = SWITCHING | {"write_width_s": 1e-3, "reset_width_s": 1e-3}
LOOP = {"devices": ["w2_d1"], "points": 5, "field_max_t": 0.01}
CASES = {
    ("sot_fast", "switching_probability"): SWITCHING,
    ("sot_fast", "hysteresis_field"): LOOP,
    ("sot_classic", "switching_probability"): SWITCHING,
    ("sot_smu", "switching_probability"): MILLISECONDS,
    ("sot_classic", "hysteresis_field"): LOOP,
}
FEW = 8
SWEEP = int(os.environ.get("HILAB_ABORT_SWEEP", "0"))


@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_stopped_at_any_exchange(name: str, protocol: str, strike_and_check: Callable[..., Any]) -> None:
    params = CASES[name, protocol]
    exchanges = strike_and_check(name, protocol, params, 0, "error").exchanges
    random = np.random.default_rng([1, *map(ord, name + protocol)])
    moments = np.sort(random.choice(np.arange(1, exchanges), SWEEP or FEW, replace=exchanges < SWEEP))
    struck = live = 0
    longest_s = 0.0
    for number, at in enumerate(moments):
        after = strike_and_check(name, protocol, params, int(at), MEANS[number % len(MEANS)])
        struck += after.struck
        live += after.live
        longest_s = max(longest_s, after.seconds)
    print(
        f"{name} {protocol}: struck {struck} times, {live} with something on, safe within {longest_s:.2f} s"
    )
    assert struck >= len(moments) // 2
    if protocol == "hysteresis_field":  # pulses are over within few exchanges, a field stays on
        assert live >= 2
