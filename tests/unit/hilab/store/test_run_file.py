"""Run files written and read back, while they grow and when they are finished."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pytest
import xarray

from hilab.errors import RunFileError
from hilab.store import RunInfo, RunWriter, load_run
from hilab.store.names import run_file_path, slug
from hilab.store.swmr import SwmrError, SwmrFile, slot_bytes, slot_payload


def rows(start, count):
    steps = np.arange(start, start + count)
    return {
        "device": np.array([b"w4_d1", b"w2_d1"])[steps % 2],
        "amplitude_a": steps * 1e-6,
        "p_switch": steps / 1e6,
        "trace_v": np.stack([steps, steps + 1, steps + 2], axis=1),
        "flags": steps % 7,
    }


def test_everything_known_before_the_start_is_inside(writer):
    run = load_run(writer.path)
    assert (run.status, run.protocol, run.seed, run.sample) == (
        "running",
        "switching_probability",
        5,
        "Probe Ä",
    )
    assert run.parameters == {"trials": 10, "devices": ["w4_d1"]}
    assert run.bench_file == "format = 1  # µ"
    assert run.about["note"] == "first\0try"
    assert run.about["versions"]["h5py"] == h5py.__version__
    assert run.streams["switching"].units["amplitude_a"] == "A"
    assert list(run.streams["switching"]) == ["device", "amplitude_a", "p_switch", "trace_v", "flags"]
    assert (run.results, run.checkpoint(), run.verified_safe) == ({}, None, None)
    with h5py.File(writer.path, "r", swmr=True, libver="latest", locking=False) as file:
        assert file.attrs["protocol"] == "switching_probability"
        assert file["streams/switching/amplitude_a"].attrs["units"] == "A"


def test_committed_rows_are_there_at_once_and_waiting_ones_are_not(writer):
    writer.append("switching", rows(0, 3))
    assert load_run(writer.path).streams["switching"].rows == 0
    writer.append("switching", {name: values[0] for name, values in rows(3, 1).items()})
    (block,) = writer.commit()
    assert (block.stream, block.first_row, len(block.columns["flags"])) == ("switching", 0, 4)
    writer.append("switching", rows(4, 5000))
    writer.commit()
    stream = load_run(writer.path).streams["switching"]
    expected = rows(0, 5004)
    for name in stream:
        np.testing.assert_array_equal(stream[name], expected[name].astype(stream[name].dtype))
    assert stream["device"].dtype == "S16" and stream["trace_v"].shape == (5004, 3)


def test_a_finished_file_holds_just_its_rows_and_opens_in_xarray(writer):
    writer.append("switching", rows(0, 1500))
    writer.results({"i50_a": np.float64(1e-3), "fit": {"chi": [1, 2]}, "missing": math.nan})
    writer.finish("done", verified_safe=True, bench_time_s=12.5)
    run = load_run(writer.path)
    assert (run.status, run.verified_safe, run.bench_time_s) == ("done", True, 12.5)
    assert run.results["i50_a"] == 1e-3 and run.results["fit"] == {"chi": [1, 2]}
    assert math.isnan(run.results["missing"])
    with xarray.open_dataset(
        writer.path, engine="h5netcdf", group="streams/switching", phony_dims="sort"
    ) as dataset:
        np.testing.assert_array_equal(dataset["amplitude_a"].values, rows(0, 1500)["amplitude_a"])
        assert dataset["amplitude_a"].attrs["units"] == "A"
        assert dataset["trace_v"].shape == (1500, 3)
    whole = run.to_xarray()
    assert whole["switching.trace_v"].dims == ("switching.row", "switching.trace_v.item")
    assert whole["switching.amplitude_a"].attrs["units"] == "A"


def test_a_reader_that_is_open_follows_the_growing_file(writer):
    writer.append("switching", rows(0, 10))
    writer.commit()
    with h5py.File(writer.path, "r", swmr=True, libver="latest", locking=False) as file:
        column, counts = file["streams/switching/flags"], file["rows"]
        for total in (1000, 3000, 10_000):
            writer.append("switching", rows(total // 2, 5))
            writer.append("switching", rows(0, total))
            writer.commit()
            column.refresh()
            counts.refresh()
            index = json.loads(counts.attrs["tables"]).index("streams/switching")
            assert counts[index] == writer.rows()["switching"] <= column.shape[0]


def test_checkpoints_alternate_and_a_torn_one_is_passed_over(writer):
    for number in range(1, 4):
        assert (
            writer.checkpoint({"state": {"step": number, "weights": np.arange(number * 10_000.0)}}) == number
        )
    assert load_run(writer.path).checkpoint()["state"]["step"] == 3
    writer.finish("done")
    with h5py.File(writer.path, "r+", libver="latest", locking=False) as file:
        slot = file["checkpoints/b"]  # odd numbers
        slot[5000] = slot[5000] ^ 1
    checkpoint = load_run(writer.path).checkpoint()
    assert checkpoint["sequence"] == 2
    np.testing.assert_array_equal(checkpoint["state"]["weights"], np.arange(20_000.0))


@pytest.mark.parametrize("damage", ["cut", "flip head", "flip payload", "zero"])
def test_a_damaged_slot_is_recognised(damage):
    raw = slot_bytes(7, b"state of the bench")
    assert slot_payload(raw + b"\0" * 100) == (7, b"state of the bench")
    torn = {
        "cut": raw[:-1],
        "flip head": raw[:9] + bytes([raw[9] ^ 1]) + raw[10:],
        "flip payload": raw[:-1] + bytes([raw[-1] ^ 1]),
        "zero": bytes(100),
    }[damage]
    assert slot_payload(torn) is None


def test_the_guard_refuses_what_readers_of_a_growing_file_cannot_follow(tmp_path):
    file = SwmrFile(tmp_path / "run.h5")
    column = {"x": (np.dtype("f8"), "V", 1)}
    table = file.table("early", column)
    cell = file.cell("early_cell", np.zeros(1))
    with pytest.raises(SwmrError, match="variable length"):
        file.table("texts", {"text": (h5py.string_dtype(), "", 1)})
    with pytest.raises(SwmrError, match="between start and close"):
        table.write({"x": np.zeros(1)})
    with pytest.raises(SwmrError, match="between start and close"):
        cell.write(1.0)
    file.start()
    for late in (
        lambda: file.table("late", column),
        lambda: file.cell("late", np.zeros(1)),
        lambda: file.slots("late"),
        lambda: file.text("late", "text"),
        lambda: file.attribute("late", 1),
    ):
        with pytest.raises(SwmrError, match="already being written"):
            late()
    file.append([(table, {"x": np.arange(3.0)})])
    file.close()
    with pytest.raises(SwmrError, match="between start and close"):
        table.write({"x": np.zeros(1)})


def test_log_and_events_keep_long_and_foreign_text_readable(writer):
    writer.log("WARNING", "Ω" * 1000)
    writer.event("safe", "smu: öff\0", 1.5)
    run = load_run(writer.path)
    assert run.log[0]["text"] == "Ω" * 254 + "…"
    assert (run.events[0]["text"], run.events[0]["bench_time_s"]) == ("smu: öff ", 1.5)


def test_after_the_end_nothing_more_is_written(writer):
    writer.finish("done")
    writer.finish("failed")
    writer.event("late", "ignored")
    with pytest.raises(RunFileError, match="is closed"):
        writer.append("switching", rows(0, 1))
    assert load_run(writer.path).status == "done"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"flags": [70000]}, "do not fit uint16 without loss"),
        ({"flags": [-1]}, "do not fit uint16 without loss"),
        ({"flags": [math.nan]}, "do not fit uint16 without loss"),
        ({"device": ["x" * 17]}, "longer than 16 bytes"),
        ({"device": [1.0]}, "do not fit"),
        ({"p_switch": ["half"]}, "do not fit float64"),
        ({"p_switch": [None]}, "do not fit float64"),
        ({"trace_v": [[1, 2]]}, "does not fit rows of"),
        ({"p_switch": [[1.0]]}, "does not fit rows of"),
    ],
)
def test_rows_that_do_not_fit_are_refused_whole(writer, change, sentence):
    with pytest.raises(RunFileError, match=sentence):
        writer.append("switching", {**rows(0, 1), **change})
    assert writer.commit() == []


def test_an_array_may_be_filled_again_after_it_was_handed_over(writer):
    buffer = rows(0, 2)
    buffer["p_switch"] = np.array([0.25, 0.75])
    writer.append("switching", buffer)
    buffer["p_switch"][:] = 9
    writer.commit()
    np.testing.assert_array_equal(load_run(writer.path).streams["switching"]["p_switch"], [0.25, 0.75])


def test_names_stay_in_their_folder_and_never_meet(tmp_path, writer):
    assert slug("../../etc/passwd\0") == "etc_passwd"
    assert slug("...") == "run"
    info = RunInfo("../../../evil/../name " + "x" * 300)
    first, second = (RunWriter(tmp_path / "other", info, {}) for _ in range(2))
    for made in (first, second):
        made.finish("done")
        assert made.path.parent == (tmp_path / "other").resolve()
    assert first.path != second.path
    assert load_run(first.path).protocol == info.protocol


def test_an_existing_file_is_never_written_over(tmp_path):
    (tmp_path / "run.h5.part").write_bytes(b"precious")
    with pytest.raises(RunFileError, match="cannot create"):
        SwmrFile(tmp_path / "run.h5")
    assert (tmp_path / "run.h5.part").read_bytes() == b"precious"


def test_the_file_name_tells_time_and_protocol(tmp_path):
    from datetime import datetime

    path = run_file_path(tmp_path, "reset_scan", datetime(2026, 3, 4, 5, 6, 7))
    assert path.name.startswith("20260304-050607_reset_scan_") and path.suffix == ".h5"


@pytest.mark.parametrize("kind", ["missing", "directory", "text", "foreign", "cut", "newer"])
def test_what_is_no_run_file_is_refused_with_one_sentence(tmp_path, writer, kind):
    writer.append("switching", rows(0, 2000))
    writer.finish("done")
    path = tmp_path / "bad.h5"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("step,x\n1,2\n")
    elif kind == "foreign":
        with h5py.File(path, "w", libver="latest") as file:
            file["data"] = [1, 2, 3]
    elif kind == "cut":
        path.write_bytes(writer.path.read_bytes()[:6000])
    elif kind == "newer":
        path.write_bytes(writer.path.read_bytes())
        with h5py.File(path, "r+") as file:
            file.attrs["hilab_run"] = 99
    with pytest.raises(RunFileError) as refused:
        load_run(path)
    assert "\n" not in str(refused.value) and "bad.h5" in str(refused.value)


def test_a_file_that_claims_more_rows_than_it_holds_is_refused_before_memory_is_taken(writer):
    writer.append("switching", rows(0, 10))
    writer.finish("done")
    with h5py.File(writer.path, "r+", libver="latest", locking=False) as file:
        for column in file["streams/switching"].values():
            column.resize(10**12, axis=0)
        counts = file["rows"][:]
        counts[counts == 10] = 10**12
        file["rows"][:] = counts
    with pytest.raises(RunFileError, match="more than the file holds"):
        load_run(writer.path)


def test_a_missing_column_is_named(writer):
    with pytest.raises(KeyError, match="has no column 'r_hall'; it has device"):
        load_run(writer.path).streams["switching"]["r_hall"]
