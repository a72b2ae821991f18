"""Frames as rows of list points, and the pair of boxes that two players share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivers.keithley2182a import Keithley2182A
from drivers.keithley6221 import Keithley6221
from drivers.players._planning import unfilled_roles
from hilab.frames import FloatArray, FrameBatch, IntArray
from hilab.roles import Station


def frame_levels(what: Sequence[str], actual: FrameBatch, frames: IntArray) -> FloatArray:
    """Levels (A) of these frames in turn; what: each point is reset, write, read or "" (zero)."""
    values = {
        "": np.zeros(len(frames)),
        "reset": actual.reset_a[frames],
        "write": actual.write_a[frames],
        "read": actual.read_a[frames],
    }
    return np.column_stack([values[one] for one in what]).ravel()


def no_classic_pair(station: Station) -> str:
    """'' where a 6221 pulses and a 2182A reads, else why not; cables show only when a plan is played."""
    missing = unfilled_roles(station, ("pulse_source", "reader"))
    if missing:
        return missing
    if not isinstance(station.role("pulse_source"), Keithley6221):
        return "the pulse source is no Keithley 6221"
    return "" if isinstance(station.role("reader"), Keithley2182A) else "the reader is no Keithley 2182A"
