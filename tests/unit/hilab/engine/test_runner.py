"""Runs on a small bench: recording, every way of ending, pause, subscribers."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hilab.engine import Engine, RunFailedError, run
from hilab.engine.messages import Column, Reading
from hilab.engine.notices import CheckpointStored, Happened, Rows, RunEnded, RunStarted, TimeLeft
from hilab.errors import Aborted, RunFileError, UsageError
from hilab.store import load_run


def until(condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def started(engine):
    """The engine running on a thread, and a list that will hold its run or exception."""
    ended = []

    def work():
        try:
            ended.append(engine.run())
        except RunFailedError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, ended


def test_a_run_is_recorded_with_all_that_belongs_to_it(bench, walk, tmp_path):
    done = run(walk, bench, {"steps": 25}, out=tmp_path, seed=3)
    assert (done.status, done.exit_code, done.verified_safe) == ("done", 0, True)
    assert done.path.parent == tmp_path
    again = load_run(done.path)
    np.testing.assert_array_equal(again.streams["walk"]["step"], np.arange(25))
    assert again.streams["walk"].units == {"step": "", "x_m": "m"}
    assert again.results == {"x_m": again.streams["walk"]["x_m"][-1]}
    assert again.parameters == {"steps": 25, "write_a": 1e-3, "fail_at": -1, "block_at": -1, "slow_s": 0.0}
    assert (again.seed, again.sample, again.about["operator"], again.about["note"]) == (
        3,
        "chip-1",
        "me",
        "a note",
    )
    assert again.about["identities"]["source"]["model"] == "S1"
    assert again.about["bench_settings"] == {"source": {"range_a": 1e-3}}
    assert again.about["versions"]["numpy"] == np.__version__
    assert [(report.instrument, report.verified) for report in again.safe_reports] == [
        ("source", True),
        ("magnet", True),
    ]
    assert again.progress["done"] == 25
    assert not bench.output_on


def test_a_checkpoint_holds_state_rows_seed_parameters_and_the_bench(bench, walk, tmp_path):
    checkpoint = run(walk, bench, {"steps": 25}, out=tmp_path, seed=3).checkpoint()
    assert checkpoint["sequence"] == 2
    assert checkpoint["state"]["step"] == 20
    assert checkpoint["rows"] == {"walk": 20}
    assert checkpoint["seed"] == 3
    assert checkpoint["parameters"]["steps"] == 25
    assert checkpoint["snapshot"].startswith(b"{")


def test_a_failing_protocol_leaves_a_safe_bench_a_readable_file_and_its_exception(bench, walk, tmp_path):
    with pytest.raises(
        RunFailedError, match="walk failed: ZeroDivisionError: an experiment; went wrong"
    ) as failed:
        run(walk, bench, {"fail_at": 4}, out=tmp_path)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert failed.value.exit_code == 1
    assert (failed.value.run.status, failed.value.run.streams["walk"].rows) == ("failed", 4)
    assert not bench.output_on


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_ends_the_run_safely_first(bench, walk, tmp_path, kind):
    class Quitting(walk):
        def block(self, bench):
            raise kind("enough")

    with pytest.raises(kind):
        run(Quitting, bench, {"block_at": 2}, out=tmp_path)
    (path,) = tmp_path.glob("*.h5")
    assert load_run(path).status == "aborted"
    assert not bench.output_on


def test_a_protocol_that_gives_up_by_itself_is_aborted(bench, walk, tmp_path):
    class GivingUp(walk):
        def block(self, bench):
            raise Aborted("the contact was lost")

    ended = run(GivingUp, bench, {"block_at": 2}, out=tmp_path)
    assert (ended.status, ended.reason, ended.exit_code) == ("aborted", "Aborted: the contact was lost", 3)


def test_abort_stops_a_waiting_step_at_once(bench, walk, tmp_path):
    engine = Engine(walk, bench, {"slow_s": 60.0}, out=tmp_path)
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    asked = time.monotonic()
    engine.abort("the operator said so")
    thread.join(5)
    assert time.monotonic() - asked < 1.0
    assert (ended[0].status, ended[0].reason, ended[0].exit_code) == ("aborted", "the operator said so", 3)
    assert not bench.output_on


def test_a_step_that_does_not_come_back_is_made_safe_around_within_3_s(bench, walk, tmp_path):
    engine = Engine(walk, bench, {"block_at": 1}, out=tmp_path)
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    time.sleep(0.1)
    asked = time.monotonic()
    engine.abort()
    thread.join(5)
    assert bench.made_safe[0] - asked < 2.0
    assert time.monotonic() - asked < 3.0
    assert (ended[0].status, ended[0].exit_code) == ("aborted", 3)
    assert ended[0].streams["walk"].rows >= 1


def test_a_second_abort_does_not_wait_for_the_step(bench, walk, tmp_path):
    engine = Engine(walk, bench, {"block_at": 1}, out=tmp_path)
    thread, _ = started(engine)
    until(lambda: bench.output_on)
    asked = time.monotonic()
    engine.abort()
    engine.abort()
    thread.join(5)
    assert bench.made_safe[0] - asked < 0.5


def test_a_step_that_comes_back_late_finds_everything_closed_and_is_made_safe_again(bench, walk, tmp_path):
    free = threading.Event()

    class Hanging(walk):
        def block(self, bench):
            free.wait(20)
            bench.output_on = True

    engine = Engine(Hanging, bench, {"block_at": 1}, out=tmp_path)
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    engine.abort()
    engine.abort()
    thread.join(5)
    assert "abandoned" in [event["kind"] for event in ended[0].events]
    with pytest.raises(UsageError, match="still going on"):
        run(walk, bench, {}, out=tmp_path)
    times = len(bench.made_safe)
    free.set()
    until(lambda: len(bench.made_safe) > times and not bench.output_on)
    until(lambda: _runs(walk, bench, tmp_path))
    assert load_run(ended[0].path).streams["walk"].rows == 1


def _runs(walk, bench, out):
    try:
        return run(walk, bench, {}, out=out).status == "done"
    except UsageError:
        return False


def test_an_instrument_that_does_not_answer_is_reported_not_safe(bench, walk, tmp_path):
    bench.answers = False
    engine = Engine(walk, bench, {"slow_s": 60.0}, out=tmp_path)
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    engine.abort()
    thread.join(5)
    assert (ended[0].verified_safe, ended[0].exit_code) == (False, 4)
    assert ended[0].safe_reports[0].detail == "no answer"


def test_a_make_safe_that_raises_is_reported_not_safe(bench, walk, tmp_path, monkeypatch):
    def broken():
        raise OSError("the bus is gone")

    monkeypatch.setattr(bench, "make_safe", broken)
    ended = run(walk, bench, {}, out=tmp_path)
    assert (ended.status, ended.verified_safe, ended.exit_code) == ("done", False, 4)
    assert "the bus is gone" in ended.safe_reports[0].detail


def test_abort_before_the_start_plays_nothing(bench, walk, tmp_path):
    engine = Engine(walk, bench, {}, out=tmp_path)
    engine.abort("too late")
    ended = engine.run()
    assert (ended.status, ended.streams["walk"].rows, bench.output_on) == ("aborted", 0, False)
    assert len(bench.made_safe) == 1
    assert run(walk, bench, {}, out=tmp_path).status == "done"


def test_pause_holds_after_the_step_under_way_and_resume_loses_nothing(bench, walk, tmp_path):
    engine = Engine(walk, bench, {"steps": 40, "slow_s": 0.005}, out=tmp_path)
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    engine.pause()
    time.sleep(0.1)
    (path,) = tmp_path.glob("*.h5")
    held = load_run(path).streams["walk"].rows
    time.sleep(0.15)
    assert load_run(path).streams["walk"].rows == held < 40
    engine.resume()
    thread.join(5)
    np.testing.assert_array_equal(ended[0].streams["walk"]["step"], np.arange(40))
    assert [event["kind"] for event in ended[0].events][:2] == ["paused", "resumed"]


def test_a_paused_run_can_be_aborted(bench, walk, tmp_path):
    engine = Engine(walk, bench, {"steps": 10**6}, out=tmp_path)
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    engine.pause()
    time.sleep(0.1)
    engine.abort()
    thread.join(5)
    assert ended[0].status == "aborted"


def test_subscribers_are_told_in_order_and_only_of_rows_that_are_in_the_file(bench, walk, tmp_path):
    told, seen_in_file = [], []

    def listen(notice):
        told.append(notice)
        if isinstance(notice, Rows):
            (path,) = tmp_path.glob("*.h5")
            rows = notice.first_row + len(notice.columns["step"])
            seen_in_file.append(load_run(path).streams["walk"].rows >= rows)

    run(walk, bench, {"steps": 300}, out=tmp_path, subscribers=[listen])
    assert isinstance(told[0], RunStarted)
    assert isinstance(told[-1], RunEnded) and told[-1].status == "done"
    rows = [notice for notice in told if isinstance(notice, Rows)]
    np.testing.assert_array_equal(np.concatenate([r.columns["step"] for r in rows]), np.arange(300))
    np.testing.assert_array_equal(
        [r.first_row for r in rows], np.cumsum([0] + [len(r.columns["step"]) for r in rows])[:-1]
    )
    assert seen_in_file and all(seen_in_file)
    assert [n.sequence for n in told if isinstance(n, CheckpointStored)] == list(range(1, 31))
    last = [n for n in told if isinstance(n, TimeLeft)][-1]
    assert (last.done, last.wall_left_s) == (300, 0.0)


def test_a_raising_subscriber_is_dropped_and_the_run_goes_on(bench, walk, tmp_path):
    calls, others = [], []

    def broken(notice):
        calls.append(notice)
        raise RuntimeError("no screen")

    ended = run(
        walk, bench, {"steps": 300, "slow_s": 0.0005}, out=tmp_path, subscribers=[broken, others.append]
    )
    assert ended.status == "done"
    assert len(calls) == 1 and len(others) > 3
    assert "no screen" in next(event["text"] for event in ended.events if event["kind"] == "subscriber")


def test_a_hanging_subscriber_does_not_hold_up_an_abort(bench, walk, tmp_path):
    free = threading.Event()
    engine = Engine(
        walk, bench, {"slow_s": 0.001, "steps": 10**6}, out=tmp_path, subscribers=[lambda _: free.wait(20)]
    )
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    time.sleep(0.1)
    engine.abort()
    thread.join(3)
    free.set()
    assert ended and ended[0].status == "aborted"


def test_rows_that_wait_are_committed_while_a_step_takes_long(bench, walk, tmp_path):
    class Slow(walk):
        def steps(self, bench):
            for step in range(3):
                yield Reading("walk", {"step": step, "x_m": 0.0})
            bench.clock.wait(bench.stop, 60)

    engine = Engine(Slow, bench, {}, out=tmp_path)
    thread, _ = started(engine)
    until(lambda: any(load_run(path).streams["walk"].rows == 3 for path in tmp_path.glob("*.h5")))
    engine.abort()
    thread.join(5)


@pytest.mark.parametrize(
    ("reading", "sentence"),
    [
        (Reading("wlak", {"step": 1}), "'wlak', which it has not declared"),
        (Reading("walk", {"step": 1}), r"columns missing \['x_m'\]"),
        (
            Reading("walk", {"step": 1.5, "x_m": 0}),
            "'step': values of type float64 do not fit int64 without loss",
        ),
        (Reading("walk", {"step": [1, 2], "x_m": [0.0]}), "unequal length"),
        ("nonsense", "yielded a str"),
    ],
)
def test_a_wrong_message_fails_the_run_with_a_sentence(bench, walk, tmp_path, reading, sentence):
    class Wrong(walk):
        def steps(self, bench):
            yield reading

    with pytest.raises(RunFailedError, match=sentence):
        run(Wrong, bench, {}, out=tmp_path)


def test_a_column_that_the_file_cannot_hold_is_refused_before_anything_starts(bench, walk, tmp_path):
    class Wrong(walk):
        def streams(self):
            return {"walk": {"text": Column("O")}}

    with pytest.raises(RunFileError, match="'text': object has no fixed size"):
        run(Wrong, bench, {}, out=tmp_path)
    assert not list(tmp_path.glob("*.h5")) and not bench.made_safe
    assert run(walk, bench, {}, out=tmp_path).status == "done"


def test_an_output_directory_that_cannot_be_written_is_refused_before_anything_starts(bench, walk, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFileError, match=r"cannot write run files into .*file: "):
        run(walk, bench, {}, out=tmp_path / "file")
    assert not bench.output_on


def test_log_messages_of_the_run_are_in_its_file(bench, walk, tmp_path):
    import logging

    class Talking(walk):
        def steps(self, bench):
            logging.getLogger("drivers.source").warning("range changed to %g A", 0.1)
            yield from super().steps(bench)

    assert [entry["text"] for entry in run(Talking, bench, {}, out=tmp_path).log] == [
        "range changed to 0.1 A"
    ]


def test_events_name_pause_and_abort(bench, walk, tmp_path):
    told = []
    engine = Engine(walk, bench, {"slow_s": 0.002, "steps": 10**6}, out=tmp_path, subscribers=[told.append])
    thread, ended = started(engine)
    until(lambda: bench.output_on)
    engine.pause()
    until(lambda: any(isinstance(n, Happened) and n.kind == "paused" for n in told))
    engine.abort("enough")
    thread.join(5)
    kinds = [(event["kind"], event["text"]) for event in ended[0].events]
    assert ("abort", "enough") in kinds


def test_a_disk_that_takes_no_more_rows_fails_the_run_but_leaves_it_safe(bench, walk, tmp_path, monkeypatch):
    from hilab.store.swmr import SwmrFile

    written = []
    append = SwmrFile.append

    def full_after_three(self, blocks):
        if any(table.name == "streams/walk" for table, _ in blocks):
            written.append(blocks)
            if len(written) > 3:
                raise OSError(28, "No space left on device")
        append(self, blocks)

    monkeypatch.setattr(SwmrFile, "append", full_after_three)
    with pytest.raises(RunFailedError, match=r"No space left on device; is the disk full\?") as failed:
        run(walk, bench, {"steps": 10**6, "slow_s": 0.03}, out=tmp_path)
    assert failed.value.run.status == "failed" and failed.value.run.verified_safe
    assert failed.value.run.streams["walk"].rows >= 3
    assert not bench.output_on
