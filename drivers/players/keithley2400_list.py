"""Player `keithley2400_list`: list sweeps of a 2400 that forces the current and reads the Hall arms."""

from __future__ import annotations

from drivers.keithley2400 import Keithley2400
from drivers.players._source_list import SourceListPlayer


class List2400Player(SourceListPlayer):
    """A 2400 as pulse source and reader of one batch after the other."""

    name = "keithley2400_list"
    model = "2400"
    driver = Keithley2400
