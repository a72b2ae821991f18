"""Instruments that are out of calibration: drawn once, inside their data sheets."""

import numpy as np
import pytest

from sim_instruments.bench import build_world
from sim_instruments.world import instrument_errors
from sim_instruments.world.contracts import InstrumentErrors


def test_without_the_option_every_instrument_is_right(world):
    assert world().instrument_errors("smu") == (1.0, 0.0, 1.0, 0.0)
    values = np.array([1.0, 0.0])
    assert (
        InstrumentErrors().sourced(values, 1.0) is values and InstrumentErrors().read(values, 1.0) is values
    )


def test_the_option_reaches_the_world_and_an_error_depends_on_name_and_sample_only(tables):
    def errors(seed=0, sample=1, **drivers):
        mine = {name: {"driver": driver} for name, driver in drivers.items()}
        simulation = {"sample_seed": sample, "instrument_errors": True}
        return build_world(
            instruments=mine,
            wires=[],
            devices={},
            field=tables["field"],
            simulation=simulation,
            seed=seed,
        ).instrument_errors

    one = errors(source="keithley6221", meter="keithley2182a", magnet="kepco_bop")
    assert one("source").source_gain != 1.0 and one("source").read_gain == 1.0
    assert one("meter").read_offset != 0.0 and one("meter").source_offset == 0.0
    assert one("magnet") == one("nobody") == InstrumentErrors()
    assert errors(seed=5, source="keithley6221")("source") == one("source")
    assert errors(sample=2, source="keithley6221")("source") != one("source")


def test_an_option_that_is_no_boolean_is_refused(world):
    with pytest.raises(ValueError, match=r"simulation\.instrument_errors must be true or false"):
        world(instrument_errors="yes")


def test_errors_stay_inside_the_data_sheet_and_fill_it():
    """2,000 instruments; the spread lies within 10 % of a third of the limit (six sigma: seed fixed)."""
    limits = instrument_errors.table()["keithley2636b"]
    named = {f"smu{number}": {"driver": "keithley2636b"} for number in range(2000)}
    drawn = np.array(list(instrument_errors.draw(named, 1).values())) - [1.0, 0.0, 1.0, 0.0]
    keys = ("source_gain", "source_offset", "read_gain", "read_offset")
    bounds = np.array([limits[key] for key in keys])
    assert (np.abs(drawn) <= bounds * (1 + 1e-9)).all()
    np.testing.assert_allclose(drawn.std(axis=0), bounds / instrument_errors.SIGMAS, rtol=0.1)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.15


def test_every_row_of_the_table_names_its_source():
    for driver, row in instrument_errors.table().items():
        assert row["source"], driver
        assert all(0 <= row[key] < 0.1 for key in row if key != "source")


def test_zero_stays_zero_and_the_offset_is_in_parts_of_the_range():
    wrong = InstrumentErrors(1.01, 1e-3, 0.98, -2e-3)
    np.testing.assert_allclose(wrong.sourced(np.array([1.0, 0.0, -1.0]), 10.0), [1.02, 0.0, -1.0])
    np.testing.assert_allclose(wrong.read(np.array([1.0, 0.0]), 0.1), [0.9798, -2e-4])
