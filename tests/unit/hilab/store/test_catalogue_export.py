"""The catalogue of a directory, and exports for other programs."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import xarray
from matplotlib.image import imread

from hilab.engine.messages import Column
from hilab.errors import RunFileError, UsageError
from hilab.store import RunInfo, RunWriter, export, load_run, runs
from hilab.store.pictures import chosen_pair


@pytest.fixture
def finished(writer):
    steps = np.arange(40)
    names = np.array([b"w4_d1", b"=1+1"])[steps % 2]
    p = 1 / (1 + np.exp(-(steps - 20) / 3))
    trace = np.stack([p, p, p], axis=1)
    block = {
        "device": names,
        "amplitude_a": steps * 1e-4,
        "p_switch": p,
        "trace_v": trace,
        "flags": steps % 3,
    }
    writer.append("switching", block)
    writer.finish("done")
    return load_run(writer.path)


def test_the_catalogue_lists_runs_in_order_and_damaged_files_as_such(finished):
    directory = finished.path.parent
    other = RunWriter(directory, RunInfo("reset_scan", sample="B"), {})
    (directory / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    (directory / "notes.txt").write_text("no run")
    found = runs(directory)
    assert [(run.protocol, run.status) for run in found] == [
        ("", "damaged"),
        ("switching_probability", "done"),
        ("reset_scan", "running"),
    ]
    assert found[1].rows == 40 and found[1].sample == "Probe Ä" and found[0].reason
    other.finish("done")


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RunFileError, match="cannot list the runs"):
        runs(tmp_path / "nowhere")


def test_csv_has_one_file_a_stream_with_units_and_no_formulas(finished):
    first, empty = export(finished, "csv")
    with first.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == [
        "device",
        "amplitude_a (A)",
        "p_switch",
        "trace_v_0 (V)",
        "trace_v_1 (V)",
        "trace_v_2 (V)",
        "flags",
    ]
    assert len(lines) == 41 and lines[2][0] == "'=1+1"
    np.testing.assert_array_equal(
        [float(line[1]) for line in lines[1:]], finished.streams["switching"]["amplitude_a"]
    )
    assert empty.read_text().splitlines() == ["step"]


def test_netcdf_is_read_by_xarray(finished, tmp_path):
    (path,) = export(finished.path, "netcdf", tmp_path / "elsewhere")
    assert path.parent == (tmp_path / "elsewhere").resolve()
    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(
            dataset["switching.p_switch"], finished.streams["switching"]["p_switch"]
        )
        assert dataset.attrs["protocol"] == "switching_probability"


def test_png_shows_the_sigmoid_and_leaves_empty_streams_out(finished):
    (path,) = export(finished, "png")
    picture = imread(path)
    assert picture.shape[0] > 300 and picture.std() > 0.02


@pytest.mark.parametrize(
    ("columns", "pair"),
    [
        (["device", "p_switch", "amplitude_a"], ("amplitude_a", "p_switch")),
        (["time_s", "field_t", "r_hall_ohm"], ("field_t", "r_hall_ohm")),
        (["device", "time_s", "voltage_v"], ("time_s", "voltage_v")),
        (["voltage_v"], ("", "voltage_v")),
        (["device"], None),
    ],
)
def test_the_picture_shows_what_belongs_together(tmp_path, columns, pair):
    streams = {"s": {name: Column("S8" if name == "device" else "f8") for name in columns}}
    made = RunWriter(tmp_path, RunInfo("p"), streams)
    made.append("s", {name: b"d" if name == "device" else 1.0 for name in columns})
    made.finish("done")
    assert chosen_pair(load_run(made.path).streams["s"]) == pair


def test_an_unknown_format_is_refused(finished):
    with pytest.raises(UsageError, match="'xls'; choose csv, netcdf or png"):
        export(finished, "xls")
