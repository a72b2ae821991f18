"""Player `keithley2450_list`: list sweeps of a 2450 that forces the current and reads the Hall arms."""

from __future__ import annotations

from drivers.keithley2450 import Keithley2450
from drivers.players._source_list import SourceListPlayer


class List2450Player(SourceListPlayer):
    """A 2450 as pulse source and reader of one batch after the other."""

    name = "keithley2450_list"
    model = "2450"
    driver = Keithley2450
