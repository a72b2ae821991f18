"""Dry run: the real planner and limits of the embedded bench, and no instrument touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hilab
from hilab.engine import Column, Protocol, ProtocolParams, Reading, run
from hilab.engine.planning import PlanningBench
from hilab.errors import BenchError, UsageError
from hilab.frames import FrameBatch, PlanRefused

BENCH = Path(__file__).parents[4] / "data" / "benches" / "sot_fast.toml"


@pytest.fixture(scope="module")
def real_bench():
    with hilab.open_bench(BENCH) as bench:
        yield bench


@pytest.fixture
def planning(real_bench):
    return PlanningBench(real_bench, seed=1)


@pytest.fixture
def limits(real_bench):
    """(largest pulse of 100 us, largest read current) of the device, in ampere."""
    card = real_bench.devices["w4_d1"]
    return card.limits.current_max_a(100e-6), card.limits.read_max_a


@pytest.fixture
def batch(limits):
    def make(write_a=None, **change):
        amplitudes = np.repeat(np.array([0.4, 0.5, 0.6]) * limits[0], 200) if write_a is None else write_a
        return FrameBatch.of(["w4_d1"], 0, amplitudes, -0.75 * limits[0], 0.6 * limits[1], **change)

    return make


def test_a_planned_batch_costs_what_its_plan_says_and_looks_like_a_two_state_device(
    planning, real_bench, batch
):
    before = real_bench.wear("w4_d1"), real_bench.clock.now()
    plan = planning.plan(batch())
    readings = planning.play(plan)
    assert planning.clock.now() == pytest.approx(plan.duration_s)
    assert planning.frames == 600 and planning.pulses == {"w4_d1": plan.pulses["w4_d1"]}
    assert planning.wear("w4_d1") == tuple(np.add(before[0], plan.pulses["w4_d1"]))
    switched = (readings.voltage_v > 0).reshape(3, 200).mean(axis=1)
    assert switched[0] < 0.05 < 0.2 < switched[1] < 0.8 < 0.95 < switched[2]
    assert readings.clean.all() and (np.diff(readings.time_s[plan.order]) > 0).all()
    assert (real_bench.wear("w4_d1"), real_bench.clock.now()) == before


def test_a_frame_without_pulses_reads_the_state_that_the_last_one_left(planning, batch, limits):
    planning.pulse("w4_d1", 0.9 * limits[0], 100e-6)
    quiet = batch(write_a=np.zeros(5), reset_count=0)
    assert (planning.play(planning.plan(quiet)).voltage_v > 0).all()
    planning.set_field(-0.03)
    assert (planning.play(planning.plan(quiet)).voltage_v < 0).all()


def test_limits_hold_in_a_dry_run_as_in_a_run(planning, batch, limits):
    with pytest.raises(PlanRefused):
        planning.plan(batch(write_a=2 * limits[0]))
    with pytest.raises(BenchError, match=r"w4_d1: pulse .* is above the limit"):
        planning.pulse("w4_d1", 1.1 * limits[0], 100e-6)
    with pytest.raises(BenchError, match="read_max_a"):
        planning.read_port("w4_d1", "hall", 1.1 * limits[1])
    with pytest.raises(BenchError, match="max"):
        planning.set_field(0.06)


def test_what_a_dry_run_cannot_plan_is_said(planning):
    with pytest.raises(UsageError, match="drives the reader itself, which a dry run cannot plan"):
        planning.role("reader")
    with pytest.raises(UsageError, match=r"bench\.instruments, which a dry run cannot plan"):
        _ = planning.instruments


def test_a_dry_run_reports_steps_time_pulses_and_limits_and_writes_nothing(
    real_bench, batch, limits, tmp_path
):
    class Short(Protocol[ProtocolParams]):
        """A short protocol."""

        name = "short"
        Params = ProtocolParams

        def streams(self):
            return {"frames": {"v": Column("f8", "V")}}

        def steps(self, bench):
            for _ in range(3):
                yield Reading("frames", {"v": bench.play(bench.plan(batch())).voltage_v})
            yield Reading("frames", {"v": bench.read_port("w4_d1", "hall", 0.3 * limits[1]).voltage_v})

    report = run(Short, real_bench, {}, out=tmp_path / "runs", dry_run=True)
    assert report["steps"] == {"reading": 4} and report["rows"] == {"frames": 1801}
    assert report["frames"] == 1800 and sum(report["pulses"]["w4_d1"]) == 3600
    assert report["limits_used"]["w4_d1"] == pytest.approx({"pulse": 0.75, "read": 0.6})
    assert report["bench_time_s"] > 1800 * 1e-3
    assert not (tmp_path / "runs").exists()
