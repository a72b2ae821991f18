"""Links that fail in the middle of a load, and boxes made safe through them, on the simulated fast bench."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.players.keithley2636b_tsp import TspPlayer
from hilab.errors import BenchError
from hilab.frames import FrameBatch


@pytest.fixture
def bench(open_named):
    return open_named("sot_fast")


@pytest.fixture
def faults(bench):
    return bench._twin.visa_library.link_faults(bench._twin.addresses["smu"])


def plan(bench, count=400):
    frames = FrameBatch.of(("w4_d1",), np.zeros(count, int), 1e-3, -2.4e-3, 2e-4)
    return bench.plan(frames, TspPlayer.name)


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_dropped_link_ends_the_play_and_the_box_is_made_safe_through_a_new_one(bench, faults, when, at):
    bench.play(plan(bench, 2))
    faults.drop(at, when)
    with pytest.raises(BenchError, match="smu at TCPIP0"):
        bench.play(plan(bench))
        bench.play(plan(bench))  # a link that died after the last exchange shows with the next one
    reports = {report.instrument: report for report in bench.make_safe()}
    assert reports["smu"].verified
    bench._twin.world.advance(bench.clock.now())
    assert bench._twin.world.faults == []


def test_a_box_that_hangs_is_reported_unverified_and_its_sweep_ends_by_itself(bench, faults):
    bench.play(plan(bench, 2))
    faults.hang(2)  # the upload comes through, then silence
    with pytest.raises(BenchError, match="did not answer within"):
        bench.play(plan(bench))
    reports = {report.instrument: report for report in bench.make_safe()}
    assert not reports["smu"].verified
    assert "did not" in reports["smu"].detail
    bench.clock.sleep(2.0)
    _, current_a, _ = bench._twin.world.source_state("smu.a")
    assert current_a == 0
    faults.repair()
    assert bench.instruments["smu"].make_safe().verified


def test_a_late_answer_is_not_taken_for_the_next_one(bench, faults):
    smu = bench.instruments["smu"]
    assert smu.ask("print(1)").strip() == "1.00000e+00"
    faults.late_reply()
    with pytest.raises(BenchError, match="did not answer"):
        smu.ask("print(2)")
    assert float(smu.ask("print(3)")) == 3
    assert float(smu.ask("print(4)")) == 4
