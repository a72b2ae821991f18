import pytest

from sim_instruments.devices.hall_bar import HallBar, surroundings
from sim_instruments.world.device import Chip
from sim_instruments.world.field import Field, FieldParameters


@pytest.fixture
def bar():
    """bar(setting=, width_m=, assist_t=, seed=, **options) -> HallBar in its own field."""

    def make(setting="default", width_m=16e-6, *, assist_t=0.05, seed=7, shape=False, lag_s=0.25, **options):
        chip = Chip(setting, 1, seed, shape, options)
        field = Field(FieldParameters(4e-3, lag_s, assist_t, **surroundings(chip)), seed)
        return HallBar("bar", width_m, 40e-6, chip, field)

    return make
