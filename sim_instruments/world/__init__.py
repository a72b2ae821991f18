"""The physical side that all simulated instruments of a bench share."""

from sim_instruments.world.clock import VirtualClock, WallClock
from sim_instruments.world.contracts import Level, Link, PulseTrain
from sim_instruments.world.noise import NoiseRow, NoiseTable
from sim_instruments.world.world import World

__all__ = ["Level", "Link", "NoiseRow", "NoiseTable", "PulseTrain", "VirtualClock", "WallClock", "World"]
