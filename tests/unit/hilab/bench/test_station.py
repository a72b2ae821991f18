"""The bench on a laboratory's own drivers: routing, reading, field, pulses, frames, wear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hilab.bench import Bench, open_bench
from hilab.errors import Aborted, BenchError, UsageError
from hilab.frames import FrameBatch, PlanRefused
from hilab.roles import Station

Write = Callable[..., Path]


@pytest.fixture
def bench(bench_file: Write) -> Iterator[Bench]:
    with open_bench(bench_file()) as opened:
        yield opened


@pytest.fixture
def board(bench: Bench) -> Any:
    return bench.role("pulse_source").board


def told(board: Any, *names: str) -> list[str]:
    return [what for name, what in board.told if name in names]


def batch(write_a: Any, *, device: str = "bar1", **more: Any) -> FrameBatch:
    return FrameBatch.of([device], 0, write_a, 0.0, 1e-4, **more)


def test_it_is_what_its_file_says(bench: Bench) -> None:
    station: Station = bench
    assert station.instrument_name("reader") == "dvm"
    assert (bench.name, bench.sample, bench.simulated) == ("lab", "chip-7", True)
    assert bench.has_role("switch")
    assert not bench.has_role("lock_in")
    with pytest.raises(KeyError, match="has no 'lock_in'"):
        bench.role("lock_in")
    assert set(bench.identify()) == set(bench.settings()) == {"src", "dvm", "mux", "magnet", "probe"}


def test_a_bench_that_was_left_on_is_off_when_it_is_open(board: Any) -> None:
    assert not board.on
    assert board.told[: board.told.index(("src", "safe"))] == [
        (name, "*IDN?") for name in ("src", "dvm", "mux", "magnet", "probe")
    ]  # nothing but identities before the first off


def test_relays_move_cold_once_and_rest(bench: Bench, board: Any) -> None:
    before = bench.clock.now()
    bench.route("bar1", "hall")
    assert board.closed == {"1!1", "1!11"}
    assert bench.clock.now() - before == pytest.approx(0.01)
    moves = len(told(board, "mux"))
    bench.route("bar1", "hall")
    assert len(told(board, "mux")) == moves
    board.on = True  # as after a bias; the switch of the board asserts that nothing flows
    bench.route("bar2", "hall")
    assert board.closed == {"1!2", "1!12"}


def test_relays_do_not_move_when_a_source_is_not_verified_off(bench: Bench, board: Any) -> None:
    board.hung.add("src")
    moves = len(told(board, "mux"))
    with pytest.raises(BenchError):
        bench.route("bar1")
    assert len(told(board, "mux")) == moves


def test_a_port_that_is_not_wired_is_named(bench: Bench) -> None:
    with pytest.raises(BenchError, match=r"bar1 has no pad 'longitudinal' \(it has: current, hall\)"):
        bench.read_port("bar1", "longitudinal", 1e-4)


def test_reversal_separates_what_follows_the_current(bench: Bench, board: Any) -> None:
    reading = bench.read_port("bar1", "hall", 1e-4, reversals=3)
    assert reading.voltage_v == pytest.approx(1e-4 * 300.5)
    assert reading.even_v == pytest.approx(2e-6)
    assert reading.source_v == pytest.approx(0.1)
    assert not board.on
    assert told(board, "dvm")[1:4:2] == ["range 0.0011", "range 0.011"] or "range 0.011" in told(board, "dvm")
    one = bench.read_port("bar1", "hall", 1e-4, reversals=0)
    assert one.voltage_v == pytest.approx(1e-4 * 300.5 + 2e-6)
    assert np.isnan(one.even_v)


def test_the_range_grows_until_it_holds_the_voltage(bench: Bench, board: Any) -> None:
    bench.read_port("bar1", "hall", 1e-4, reversals=0)
    ranges = [what for what in told(board, "dvm") if what.startswith("range")]
    assert ranges == ["range 0.0011", "range 0.011", "range 0.11"]


def test_the_line_itself_is_read_by_the_source(bench: Bench) -> None:
    reading = bench.read_port("bar2", "current", 1e-4)
    assert reading.voltage_v == reading.source_v == pytest.approx(0.1)


@pytest.mark.parametrize("current_a", [0.0, 0.3e-3, -0.3e-3, float("nan")])
def test_a_read_outside_the_envelope_is_refused_before_anything_is_sent(
    bench: Bench, board: Any, current_a: float
) -> None:
    before = len(board.told)
    with pytest.raises(
        BenchError, match=r"bar1: a read current of .* outside its envelope.*0\.0002 A \(read_max_a"
    ):
        bench.read_port("bar1", "hall", current_a)
    assert len(board.told) == before


def test_an_unknown_device_names_the_nearest(bench: Bench) -> None:
    with pytest.raises(BenchError, match="no device 'bar3', did you mean 'bar"):
        bench.pulse("bar3", 1e-3, 1e-4)


def test_the_field_is_corrected_until_the_gaussmeter_reads_it(bench: Bench, board: Any) -> None:
    field = bench.set_field(0.02)
    assert field.settled
    assert field.measured_t == pytest.approx(0.02, abs=5e-5)
    assert field.coil_a == pytest.approx((0.02 - 1e-3) / 4.2e-3, abs=0.02)  # not 0.02 T / (4 mT/A)
    coils = [
        float(what.split()[1])
        for what in told(board, "magnet")
        if what.startswith("coil ") and "off" not in what
    ]
    assert np.abs(np.diff([0.0, *coils])).max() <= 0.25 + 1e-3
    bench.field_off()
    assert board.coil_a == 0.0


def test_a_field_that_cannot_be_reached_is_not_called_settled(bench: Bench, board: Any) -> None:
    board.offset_t = 1e-2
    field = bench.set_field(-0.04)
    assert not field.settled
    assert field.measured_t > -0.0402


@pytest.mark.parametrize(("field_t", "said"), [(0.041, r"limit of 0\.04 T"), (float("inf"), "limit")])
def test_a_field_above_the_limit_is_refused(bench: Bench, board: Any, field_t: float, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        bench.set_field(field_t)
    assert not told(board, "magnet")[2:]


def test_a_field_above_a_devices_envelope_is_refused(bench_file: Write) -> None:
    with (
        open_bench(bench_file(("field_max_t = 0.1", "field_max_t = 0.035"))) as bench,
        pytest.raises(BenchError, match=r"0\.0360.* T with the assist field\) is above the envelope of bar1"),
    ):
        bench.set_field(0.02)


def test_a_supply_that_ignores_its_setpoint_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.role("field_source"), "set_coil_a", lambda current_a: None)
    with pytest.raises(BenchError, match="the coil supply holds 0 A instead of 5 A"):
        bench.set_field(0.02)


def test_a_gaussmeter_that_contradicts_the_coil_ends_it(bench: Bench, board: Any) -> None:
    board.offset_t = 0.1
    with pytest.raises(BenchError, match=r"the gaussmeter reads 0\.\d+ T, beyond the limit of 0\.04 T"):
        bench.set_field(0.02)


def test_a_bench_without_field_says_so(bench_file: Write) -> None:
    changed = bench_file(('field_source = "magnet"\nfield_meter = "probe"\n', ""))
    with open_bench(changed) as bench, pytest.raises(BenchError, match="has no field"):
        bench.set_field(0.0)


def test_a_pulse_is_played_counted_and_kept_over_benches(bench_file: Write) -> None:
    path = bench_file()
    with open_bench(path) as bench:
        bench.pulse("bar1", 1.5e-3, 100e-6)
        bench.pulse("bar1", -1.5e-3, 100e-6)
        assert told(bench.role("reader").board, "src")[-1] == "pulse -0.0015"
    other_file = bench_file(('name = "lab"', 'name = "other bench"'))
    with open_bench(other_file) as bench:
        assert bench.wear("bar1") == (1, 1)
        assert bench.wear("bar2") == (0, 0)
    with open_bench(other_file, overrides={"sample": "fresh"}) as bench:
        assert bench.wear("bar1") == (0, 0)


@pytest.mark.parametrize(
    ("amplitude_a", "width_s"),
    [(2.1e-3, 100e-6), (-1.1e-3, 2.0), (0.0, 1e-4), (1e-3, 0.0), (1e-3, float("nan"))],
)
def test_a_pulse_outside_the_envelope_is_refused_and_not_counted(
    bench: Bench, board: Any, amplitude_a: float, width_s: float
) -> None:
    with pytest.raises(BenchError, match=r"outside its envelope|positive time"):
        bench.pulse("bar1", amplitude_a, width_s)
    assert bench.wear("bar1") == (0, 0)
    assert not any("pulse" in what for what in told(board, "src"))


def test_the_pulse_budget_ends_pulses(bench_file: Write) -> None:
    with open_bench(bench_file(("pulses_max = 1000", "pulses_max = 2"))) as bench:
        bench.pulse("bar1", 1e-3, 1e-4)
        bench.pulse("bar1", -1e-3, 1e-4)
        with pytest.raises(BenchError, match=r"bar1: 1 more pulses on top of 2 are above its budget of 2"):
            bench.pulse("bar1", 1e-3, 1e-4)
        bench.pulse("bar2", 1e-3, 1e-4)


def test_frames_are_planned_by_the_laboratorys_player_and_counted(bench: Bench) -> None:
    plan = bench.plan(batch([1e-3, -1e-3, 1e-3]))
    assert plan.player == "lab"
    readings = bench.play(plan)
    assert readings.clean.all()
    assert np.sign(readings.voltage_v).tolist() == [1, -1, 1]
    assert bench.wear("bar1") == (2, 1)


def test_a_plan_is_refused_with_every_reason(bench: Bench) -> None:
    wanted = FrameBatch.of(
        ["bar1", "bar2"], [0, 1] * 600, [2.5e-3, 1e-3] * 600, 0.0, [3e-4, 1e-4] * 600, integration_s=1e-4
    )
    with pytest.raises(PlanRefused) as caught:
        bench.plan(wanted, player="lab")
    text = "\n".join(caught.value.reasons)
    assert "bar1: a write amplitude of 2.5 mA is above its envelope of 2 mA (pulse_max_a at 100 us)" in text
    assert "bar1: a read amplitude of 0.3 mA is above its envelope of 0.2 mA (read_max_a)" in text
    assert "bar2: a read of 0.1 mA over 0.1 ms cannot tell the states apart (misread probability 0.2" in text
    assert "bar2: a write" not in text


def test_the_pulse_budget_refuses_a_plan(bench: Bench) -> None:
    bench.play(bench.plan(batch(np.full(600, 1e-3))))
    with pytest.raises(PlanRefused, match="bar1: 600 more pulses on top of 600 are above its budget of 1000"):
        bench.plan(batch(np.full(600, 1e-3)))


def test_an_amplitude_at_the_limit_is_allowed(bench: Bench) -> None:
    bench.plan(batch([2e-3, -2e-3]))


def test_the_voltage_limit_holds_for_frames_too(bench_file: Write) -> None:
    with (
        open_bench(bench_file(("voltage_max_v = 10.0", "voltage_max_v = 1.0"))) as bench,
        pytest.raises(
            PlanRefused, match=r"bar1: a write amplitude of 1\.5 mA needs more than voltage_max_v .*1 mA"
        ),
    ):
        bench.plan(batch(1.5e-3))


def test_unknown_names_in_a_plan_are_said(bench: Bench) -> None:
    with pytest.raises(UsageError, match="no player 'lib', did you mean 'lab'"):
        bench.plan(batch(1e-3), player="lib")
    with pytest.raises(PlanRefused, match=r"no device 'bor' \(known: bar1, bar2\)"):
        bench.plan(batch(1e-3, device="bor"))
    with pytest.raises(PlanRefused, match="no frames"):
        bench.plan(batch(np.empty(0)))


def test_players_that_do_not_fit_say_why(bench: Bench) -> None:
    suitable = bench.suitable_players()
    assert suitable.pop("lab") == ""
    assert suitable["keithley6221_pulse_delta"] == "the pulse source is no Keithley 6221"
    # a driver may have only what its laboratory needs: a player that needs more says what
    assert suitable["software_loop"] == "the driver of the pulse_source 'src' has no pulse_s"
    with pytest.raises(PlanRefused, match="keithley6221_pulse_delta: "):
        bench.plan(batch(1e-3), player="keithley6221_pulse_delta")


def test_a_stop_keeps_the_pulses_of_the_programme_in_flight_counted(bench: Bench) -> None:
    plan = bench.plan(batch([1e-3] * 8), player="lab")

    def stop_after_four(done: int) -> None:
        if done == 4:
            bench.stop.set()

    with pytest.raises(Aborted):
        bench.play(plan, on_chunk=stop_after_four)
    # four were played, the next programme of two may have been running, the last two were never started
    assert bench.wear("bar1") == (6, 0)
    with pytest.raises(Aborted):
        bench.sleep(1.0)


def test_a_player_that_fails_leaves_everything_counted(
    bench: Bench, lab: ModuleType, monkeypatch: Any
) -> None:
    def fail(self: Any, plan: Any, **_: Any) -> None:
        raise BenchError("the link dropped")

    plan = bench.plan(batch([1e-3] * 8), player="lab")
    monkeypatch.setattr(lab.Player, "play", fail)
    with pytest.raises(BenchError, match="the link dropped"):
        bench.play(plan)
    assert bench.wear("bar1") == (8, 0)


def test_leaving_makes_safe_whatever_happened(bench_file: Write) -> None:
    with pytest.raises(ZeroDivisionError), open_bench(bench_file()) as bench:
        bench.set_field(0.02)
        bench.role("bias_source").set_bias_a(1e-4)
        raise ZeroDivisionError
    board = bench.instruments["src"].board
    assert not board.on
    assert board.coil_a == 0.0
    assert not board.closed
    assert all(driver.closed for driver in bench.instruments.values())
    assert [report.instrument for report in bench.last_safe] == ["src", "mux", "magnet"]
    assert all(report.verified for report in bench.last_safe)


def test_a_simulated_bench_goes_back_to_its_snapshot(bench: Bench, board: Any) -> None:
    bench.route("bar1")
    before = bench.snapshot()
    assert before is not None
    bench.pulse("bar2", -1e-3, 1e-4)
    assert board.state == -1.0
    bench.restore(before)
    assert board.state == 1.0


def test_a_player_measures_before_it_plans_and_never_for_a_dry_run(
    bench: Bench, lab: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(lab.Player, "prepare", lambda _, batch: seen.append("prepared"), raising=False)
    bench.plan(batch(1e-3), player="lab", prepare=False)
    assert seen == []
    bench.plan(batch(1e-3), player="lab")
    assert seen == ["prepared"]
    with pytest.raises(PlanRefused, match="above its envelope"):
        bench.plan(batch(1.0), player="lab")
    assert seen == ["prepared"]  # nobody measures for what must not be played
