"""The list players on the simulated bench of one source-meter, 2450 or 2400: states, splits, flags, abort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hilab.bench import Bench
from hilab.errors import BenchError
from hilab.frames import Flag, FrameBatch

DEVICE = "w4_d1"
RESET_A, SURE_A, READ_A = -1.9e-3, 1.75e-3, 0.3e-3
WIDTHS = {"reset_width_s": 3e-3, "write_width_s": 3e-3, "integration_s": 2e-3}


@pytest.fixture(params=["2450", "2400"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(open_named: Callable[..., Bench], model: str) -> Bench:
    return open_named("sot_smu", instruments__smu__driver=f"keithley{model}")


def frames(write_a: Any, device: Any = 0, devices: Any = (DEVICE,), **times: Any) -> FrameBatch:
    return FrameBatch.of(devices, device, write_a, RESET_A, READ_A, **(WIDTHS | times))


def test_it_plays_its_own_player_and_finds_both_states(bench: Bench, model: str) -> None:
    writes = np.tile([SURE_A, 0.2e-3], 20)
    plan = bench.plan(frames(writes))
    assert plan.player == f"keithley{model}_list"
    readings = bench.play(plan)
    assert readings.clean.all()
    ohm = readings.voltage_v / readings.current_a
    opening = ohm[::2].mean() - ohm[1::2].mean()
    assert abs(opening) == pytest.approx(1.0, rel=0.2)
    assert np.ptp(ohm[::2]) < 0.3
    assert np.diff(readings.time_s) == pytest.approx(plan.frame_s, rel=1e-2)
    assert bench.instruments["smu"].check_errors() == []
    assert bench._twin.world.faults == []  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [499, 500, 501, 1000])
def test_a_batch_is_split_at_500_frames_of_five_points(bench: Bench, count: int) -> None:
    writes = np.where(np.arange(count) % 3 == 0, SURE_A, 0.2e-3)
    plan = bench.plan(frames(writes))
    assert len(plan.loads) == -(-count // 500)
    readings = bench.play(plan)
    assert readings.clean.all()
    ohm = readings.voltage_v / readings.current_a
    middle = (ohm.min() + ohm.max()) / 2
    switched = (ohm > middle) == (ohm[0] > middle)
    assert switched.tolist() == (np.arange(count) % 3 == 0).tolist()


def test_the_reset_is_verified_by_a_reading_of_its_own(bench: Bench) -> None:
    readings = bench.play(bench.plan(frames(np.full(10, SURE_A), verify_reset=True)))
    assert readings.clean.all()
    assert abs((readings.voltage_v - readings.reset_voltage_v).mean()) / READ_A == pytest.approx(1.0, rel=0.2)


def test_the_misreading_that_was_predicted_is_observed(open_named: Callable[..., Bench]) -> None:
    """At a read current that makes about 5 % of errors: 4 sigma of 4,000 frames, false alarm 6e-5."""
    bench = open_named("sot_smu", misread_limit=0.2)
    batch = FrameBatch.of((DEVICE,), np.zeros(4000, dtype=int), 0.0, 0.0, 53e-6, reset_count=0,
                          write_width_s=1e-3, integration_s=0.2e-3)  # fmt: skip
    plan = bench._playing._player("keithley2450_list").plan(batch)
    predicted = plan.misread_probability[DEVICE]
    assert 0.01 < predicted < 0.1
    readings = bench.play(plan)
    off = np.abs(readings.voltage_v - readings.voltage_v.mean()) > 0.5 * 53e-6
    assert off.mean() / 2 == pytest.approx(predicted, abs=4 * np.sqrt(predicted / 2 / 4000))


def test_compliance_and_overload_are_flagged_where_they_happened(bench: Bench) -> None:
    """The line of w4_d1 is open: every level of its frames is at the limit; w8_d1 is sound."""
    bench._twin.world.devices[DEVICE].open_ports.add("current")  # type: ignore[union-attr]
    bench._twin.world.devices["w8_d1"].open_ports.add("hall")  # type: ignore[union-attr]
    device = np.array([0, 1, 0, 1, 2])
    plan = bench.plan(frames(np.full(5, 1e-3), device, (DEVICE, "w8_d1", "w8_d2")))
    flags = bench.play(plan).flags
    assert (flags[device == 0] & Flag.COMPLIANCE).all()
    assert (flags[device == 1] == Flag.OVERLOAD).all()
    assert (flags[device == 2] == 0).all()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_stopped_in_the_middle_everything_read_is_kept(
    bench: Bench, stopping: Callable[..., Any], part: float
) -> None:
    plan = bench.plan(frames(np.full(1200, SURE_A)))
    player = bench._playing._player(plan.player)
    with stopping(bench, part * plan.duration_s):
        readings = player.play(plan, stop=bench.stop)
    played = int((readings.flags == 0).sum())
    assert played == pytest.approx(part * 1200, abs=0.1 * 1200)
    assert (readings.flags[:played] == 0).all()
    assert readings.flags[played] in (Flag.TIMEOUT, Flag.MISSING)
    assert (readings.flags[played + 1 :] == Flag.MISSING).all()
    world: Any = bench._twin.world  # type: ignore[union-attr]
    world.advance(bench.clock.now())
    assert world.source_state("smu.force")[1] == 0.0
    bench.stop.clear()
    assert bench.play(bench.plan(frames(np.full(5, SURE_A)))).clean.all()


def test_a_box_that_stops_by_itself_is_reported_and_off(bench: Bench) -> None:
    smu = bench.instruments["smu"]
    bench.play(bench.plan(frames(np.full(5, SURE_A))))
    start = smu.sweep.start

    def start_and_abort(levels_a: Any) -> None:
        start(levels_a)
        smu.write(":ABOR")

    smu.sweep.start = start_and_abort
    with pytest.raises(BenchError, match="a list of 25 points stopped after 0"):
        bench.play(bench.plan(frames(np.full(5, SURE_A))))
    assert smu.verify_safe()
