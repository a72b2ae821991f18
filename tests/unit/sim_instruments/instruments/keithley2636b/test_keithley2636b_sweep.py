"""Sweeps through the bytes: frames with uploaded functions, abort at any moment, KIPulse, real physics."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

LIBRARY = """
function setup(nplc)
  reset()
  smua.source.func = smua.OUTPUT_DCAMPS smua.source.rangei = 10e-3 smua.source.limitv = 20
  smua.measure.rangev = 20 smua.measure.nplc = 0.001
  smub.source.func = smub.OUTPUT_DCAMPS smub.source.limitv = 1
  smub.measure.rangev = 0.2 smub.measure.nplc = nplc
  trigger.timer[1].stimulus = smua.trigger.ARMED_EVENT_ID trigger.timer[1].passthrough = true
  trigger.timer[2].stimulus = smua.trigger.SOURCE_COMPLETE_EVENT_ID
  trigger.timer[3].stimulus = smua.trigger.ARMED_EVENT_ID
  trigger.timer[4].stimulus = trigger.timer[3].EVENT_ID trigger.timer[4].passthrough = true
end
function times(intervals, widths, first, frame)
  trigger.timer[1].delaylist = intervals trigger.timer[2].delaylist = widths
  trigger.timer[3].delay = first trigger.timer[4].delay = frame
end
function load(reset_a, writes, read_a)
  levels = {}
  for i = 1, table.getn(writes) do
    levels[3 * i - 2] = reset_a levels[3 * i - 1] = writes[i] levels[3 * i] = read_a
  end
end
function start()
  local n = table.getn(levels)
  smub.nvbuffer1.clear() smub.nvbuffer1.appendmode = 1 smub.nvbuffer1.collecttimestamps = 1
  trigger.timer[1].count = n - 1 trigger.timer[4].count = n / 3 > 1 and n / 3 - 1 or 1
  smua.trigger.source.listi(levels) smua.trigger.source.limitv = 20
  smua.trigger.source.action = smua.ENABLE smua.trigger.source.stimulus = trigger.timer[1].EVENT_ID
  smua.trigger.endpulse.action = smua.SOURCE_IDLE smua.trigger.endpulse.stimulus = trigger.timer[2].EVENT_ID
  smua.trigger.endsweep.action = smua.SOURCE_IDLE smua.trigger.count = n
  smub.trigger.measure.v(smub.nvbuffer1) smub.trigger.measure.action = smub.ENABLE
  smub.trigger.measure.stimulus = trigger.timer[4].EVENT_ID smub.trigger.count = n / 3
  smua.source.output = 1 smub.source.output = 1
  smub.trigger.initiate() smua.trigger.initiate()
end
"""
INTERVALS, WIDTHS = "{120e-6,120e-6,2400e-6}", "{100e-6,100e-6,2200e-6}"
FRAME_S, FIRST_READ_S = 2640e-6, 340e-6


def ready(bench: Any, nplc: float = 0.1) -> Any:
    bench.write("loadscript frames", *LIBRARY.strip().split("\n"), "endscript", "frames()", f"setup({nplc})")
    bench.write(f"times({INTERVALS},{WIDTHS},{FIRST_READ_S},{FRAME_S})")
    assert bench.errors() == []
    return bench


def play(bench: Any, writes: np.ndarray) -> None:
    bench.write("load(-5e-3,{" + ",".join(f"{value:.6e}" for value in writes) + "},0.1e-3)")
    bench.write("start()")


def fetch(bench: Any, columns: str = "smub.nvbuffer1") -> np.ndarray:
    count = int(bench.numbers("print(smub.nvbuffer1.n)")[0])
    bench.write("format.data=format.REAL64", f"printbuffer(1,{count},{columns})", "format.data=format.ASCII")
    return np.frombuffer(bench.read()[2:-1], "<f8")


def test_frames_end_to_end(bench: Any) -> None:
    ready(bench)
    writes = np.random.default_rng(3).choice([-5e-3, 1e-3, 5e-3], 200)
    play(bench, writes)
    assert bench.numbers("print(status.operation.sweeping.condition)") == [6.0]
    bench.pass_time(200 * FRAME_S + 1e-3)
    assert bench.numbers("print(status.operation.sweeping.condition)") == [0.0]
    [train] = bench.world.trains  # one vectorised call
    np.testing.assert_allclose(train.level_a.reshape(-1, 3)[:, 1], writes, atol=1e-7)
    np.testing.assert_allclose(train.width_s[:3], [100e-6, 100e-6, 2200e-6], atol=1e-9)
    np.testing.assert_allclose(train.start_s[3:] - train.start_s[:-3], FRAME_S, atol=1e-9)
    table = fetch(bench, "smub.nvbuffer1.readings,smub.nvbuffer1.timestamps").reshape(-1, 2)
    expected = np.where(writes > 2e-3, 1, -1) * 0.5 * 0.1e-3
    np.testing.assert_allclose(table[:, 0], expected, atol=6 * 12e-6)
    np.testing.assert_allclose(np.diff(table[:, 1]), FRAME_S, atol=1e-9)
    assert bench.errors() == []


def test_waitcomplete_answers_when_the_sweep_is_over(bench: Any) -> None:
    ready(bench)
    play(bench, np.full(100, 1e-3))
    began = bench.world.now
    assert bench.ask("waitcomplete() print(smub.nvbuffer1.n)") == "1.00000e+02"
    assert bench.world.now - began == pytest.approx(100 * FRAME_S, rel=0.02)


def test_looking_often_changes_nothing(bench: Any, make_bench: Any) -> None:
    writes = np.random.default_rng(4).choice([-5e-3, 5e-3], 50)
    for each, steps in ((ready(bench), 1), (other := ready(make_bench()), 777)):
        play(each, writes)
        for _ in range(steps):
            each.pass_time(50 * FRAME_S / steps)
        each.pass_time(1e-3)
    assert len(other.world.trains) > 100
    for name in ("level_a", "start_s", "width_s"):
        whole = np.concatenate([getattr(train, name) for train in other.world.trains])
        np.testing.assert_allclose(whole, getattr(bench.world.trains[0], name), atol=1e-9)
    np.testing.assert_array_equal(fetch(other), fetch(bench))


@pytest.mark.parametrize("moment", np.random.default_rng(5).uniform(0, 20 * FRAME_S, 12))
def test_abort_at_any_moment_keeps_the_past(make_bench: Any, moment: float) -> None:
    bench = ready(make_bench())
    play(bench, np.full(20, 5e-3))
    began = bench.world.now
    bench.pass_time(moment)
    bench.write("smua.abort() smub.abort() smua.source.output=0 smub.source.output=0")
    starts = np.concatenate([train.start_s for train in bench.world.trains]) - began
    ends = starts + np.concatenate([train.width_s for train in bench.world.trains])
    frame = np.array([0, 120e-6, 240e-6])
    planned = np.concatenate([n * FRAME_S + frame for n in range(20)])
    assert len(starts) == (planned < moment - 1e-9).sum()
    assert ends[-1] <= moment + 1e-9
    assert not bench.world.levels["smu.a"].connected and not bench.world.levels["smu.b"].connected
    played = len(bench.world.trains)
    bench.pass_time(1.0)
    assert len(bench.world.trains) == played
    reads = FIRST_READ_S + FRAME_S * np.arange(20) + 2e-3
    assert bench.numbers("print(smub.nvbuffer1.n)") == [(reads <= moment).sum()]
    play(bench, np.full(2, 5e-3))
    bench.pass_time(1.0)
    assert bench.numbers("print(smub.nvbuffer1.n)") == [2.0]


def test_a_sweep_ends_by_itself_when_nobody_talks_any_more(bench: Any) -> None:
    ready(bench)
    play(bench, np.full(10, 5e-3))
    bench.box.device_clear()
    bench.pass_time(3600.0)
    assert sum(len(train.level_a) for train in bench.world.trains) == 30
    assert bench.world.levels["smu.a"].value == 0


def test_output_off_in_a_sweep_ends_it(bench: Any) -> None:
    ready(bench)
    play(bench, np.full(10, 5e-3))
    bench.pass_time(2.5 * FRAME_S)
    bench.write("smua.source.output=0")
    bench.pass_time(1.0)
    assert bench.world.trains[-1].start_s[-1] < 3 * FRAME_S


def test_hold_makes_a_staircase(bench: Any) -> None:
    bench.write(
        "smua.source.func=0 smua.source.rangei=1e-3 smua.source.output=1 "
        "smua.measure.rangev=2 smua.measure.nplc=0.01 "
        "smua.trigger.source.lineari(1e-4,5e-4,5) smua.trigger.source.action=1 smua.trigger.count=5 "
        "smua.nvbuffer1.appendmode=1 smua.trigger.measure.iv(smua.nvbuffer1,smua.nvbuffer2) "
        "smua.trigger.measure.action=1 "
        "smua.trigger.endpulse.action=smua.SOURCE_HOLD smua.trigger.endsweep.action=smua.SOURCE_HOLD "
        "smua.trigger.initiate() waitcomplete() print(smua.nvbuffer2.n)"
    )
    assert bench.read() == b"5.00000e+00\n"
    bench.pass_time(1e-3)
    steps = bench.numbers("printbuffer(1,5,smua.nvbuffer2)")
    np.testing.assert_allclose(steps, np.linspace(0.1, 0.5, 5), atol=5e-3)
    assert bench.world.levels["smu.a"].value == pytest.approx(5e-4)
    train = bench.world.trains[0]
    np.testing.assert_allclose(train.start_s[1:], (train.start_s + train.width_s)[:-1], atol=1e-9)


def test_reading_between_pulses_and_across_an_edge(bench: Any) -> None:
    ready(bench, nplc=0.01)
    bench.write("times({1e-3,1e-3,1e-3},{500e-6,500e-6,500e-6},2650e-6,3e-3)")
    play(bench, np.full(50, 5e-3))
    bench.pass_time(1.0)
    assert abs(fetch(bench).mean()) < 6 * 50e-6 / np.sqrt(50)  # off: 0 A between the pulses
    bench.write("times({1e-3,1e-3,1e-3},{500e-6,500e-6,500e-6},2400e-6,3e-3)")
    play(bench, np.full(2000, 5e-3))
    bench.pass_time(100.0)
    half = 0.5 * 0.5 * 0.1e-3
    assert fetch(bench).mean() == pytest.approx(half, abs=6 * 50e-6 / np.sqrt(2000))


def test_a_reading_too_soon_after_the_edge_is_not_settled(bench: Any) -> None:
    ready(bench, nplc=0.001)
    bench.write("times({1e-3,1e-3,1e-3},{500e-6,500e-6,500e-6},2005e-6,3e-3)")
    bench.write("load(-5e-3,{" + "5e-3," * 3000 + "5e-3},4e-3)", "smub.measure.rangev=0.2", "start()")
    bench.pass_time(100.0)
    begin, aperture, tau = 5e-6, 20e-6, 12e-6
    seen = 1 - np.exp(-begin / tau) * (1 - np.exp(-aperture / tau)) * tau / aperture
    assert fetch(bench).mean() == pytest.approx(0.5 * 4e-3 * seen, abs=6 * 150e-6 / np.sqrt(3001))


def test_compliance_of_pulses_is_in_the_status(bench: Any) -> None:
    ready(bench)
    bench.write("smua.trigger.measure.v(smua.nvbuffer1) smua.trigger.measure.action=1")
    bench.write("load(-5e-3,{1e-3,5e-3},0.1e-3)", "start() smua.abort() smub.abort()")
    bench.write(
        "smua.nvbuffer1.clear() smua.trigger.source.limitv=3 smub.trigger.initiate() smua.trigger.initiate()"
    )
    bench.pass_time(1.0)
    assert bench.numbers("printbuffer(1,6,smua.nvbuffer1.statuses)") == [64, 0, 0, 64, 64, 0]
    assert bench.numbers("print(status.measurement.voltage_limit.event)") == [2.0]
    assert bench.numbers("print(status.measurement.voltage_limit.event)") == [0.0]


def test_trg_starts_an_armed_sweep(bench: Any) -> None:
    ready(bench)
    bench.write("load(-5e-3,{5e-3},0.1e-3)", "smua.trigger.arm.stimulus=trigger.EVENT_ID", "start()")
    bench.pass_time(1.0)
    assert bench.world.trains == []
    bench.write("*TRG")
    bench.pass_time(1.0)
    assert bench.world.trains[0].start_s[0] == pytest.approx(1.0)
    bench.write("start()")
    bench.pass_time(1.0)
    bench.box.trigger()
    assert bench.ask("waitcomplete() print('over')") == "over"
    bench.write("start() waitcomplete() print('awake')")
    bench.pass_time(1.0)
    assert bench.box.reply_ready_s() is None
    bench.box.trigger()
    assert bench.read() == b"awake\n"


def test_endless_sweeps_and_double_starts_are_refused(bench: Any) -> None:
    ready(bench)
    bench.write("smua.trigger.count=0 smua.trigger.initiate()")
    assert [code for code, _ in bench.errors()] == [-221]
    play(bench, np.full(5, 1e-3))
    bench.write("smua.trigger.initiate()")
    assert [code for code, _ in bench.errors()] == [-213]


def test_big_uploads_fit_the_buffers(bench: Any) -> None:
    ready(bench, nplc=0.001)
    bench.write("w = {}", "function more(t) for i = 1, table.getn(t) do table.insert(w, t[i]) end end")
    for _ in range(14):
        bench.write("more({" + "5e-3," * 1499 + "5e-3})")
    bench.write(
        "load(-5e-3, w, 0.1e-3)",
        "times({120e-6,120e-6,400e-6},{100e-6,100e-6,300e-6},340e-6,640e-6)",
        "start()",
    )
    bench.pass_time(60.0)
    assert bench.numbers("print(smub.nvbuffer1.n)") == [21_000.0]
    assert bench.errors() == []


def test_snapshot_in_the_middle_of_a_sweep(bench: Any, make_bench: Any) -> None:
    ready(bench)
    play(bench, np.full(20, 5e-3))
    bench.pass_time(5.5 * FRAME_S)
    state = bench.box.snapshot()
    other = make_bench()
    other.world.now, other.world.state = bench.world.now, bench.world.state
    other.box.restore(state)
    for each in (bench, other):
        each.pass_time(1.0)
        assert each.numbers("print(smub.nvbuffer1.n)") == [20.0]
    np.testing.assert_allclose(other.world.trains[-1].start_s, bench.world.trains[-1].start_s)
    play(other, np.full(3, 5e-3))
    other.pass_time(1.0)
    assert other.numbers("print(smub.nvbuffer1.n)") == [3.0]


# ---- KIPulse -----------------------------------------------------------------------------------------

PULSE_READY = (
    "smua.source.func=0 smua.source.rangei=10e-3 smua.measure.rangev=20 smua.measure.nplc=0.01 "
    "smua.nvbuffer1.clear() smua.nvbuffer1.appendmode=1 smua.source.output=1"
)


def test_kipulse_blocks_for_the_train(bench: Any) -> None:
    bench.write(PULSE_READY)
    config = "print(ConfigPulseIMeasureV(smua,0,5e-3,20,1e-3,9e-3,50,smua.nvbuffer1,1))"
    assert bench.ask(config) == "true\tPulse 1 configured."
    began = bench.world.now
    assert bench.ask("print(InitiatePulseTest(1))").startswith("true")
    assert bench.world.now - began == pytest.approx(0.5)
    assert len(np.concatenate([train.level_a for train in bench.world.trains])) == 50
    values = bench.numbers("printbuffer(1,50,smua.nvbuffer1)")
    np.testing.assert_allclose(values, 5.0, atol=0.05)
    assert bench.numbers("c = QueryPulseConfig(1) print(c.ton, c.points)") == [1e-3, 50]


def test_kipulse_voltage_sweep(bench: Any) -> None:
    bench.write(
        "smua.source.func=1 smua.source.rangev=2 smua.measure.rangei=10e-3 smua.measure.nplc=0.01 "
        "smua.nvbuffer1.clear() smua.nvbuffer1.appendmode=1 smua.source.output=1"
    )
    config = "print(ConfigPulseVMeasureISweepLin(smua,0,0.5,1.5,5e-3,1e-3,1e-3,3,smua.nvbuffer1,2))"
    assert bench.ask(config).startswith("true")
    assert bench.ask("print(InitiatePulseTest(2))").startswith("true")
    np.testing.assert_allclose(
        bench.numbers("printbuffer(1,3,smua.nvbuffer1)"), [0.5e-3, 1e-3, 1.5e-3], rtol=0.05
    )


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("smua.source.autorangei=1", "autorange"),
        ("smua.measure.autorangev=1", "autorange"),
        ("smua.nvbuffer1.appendmode=0", "appendmode"),
        ("smua.measure.nplc=1", "nplc"),
        ("smua.source.rangei=1e-3", "range"),
    ],
)
def test_kipulse_complains_by_its_answer_not_by_the_queue(bench: Any, spoil: str, complaint: str) -> None:
    bench.write(PULSE_READY, spoil)
    answer = bench.ask("print(ConfigPulseIMeasureV(smua,0,5e-3,20,1e-3,9e-3,50,smua.nvbuffer1,1))")
    assert answer.startswith("false\t") and complaint in answer
    assert bench.errors() == []


def test_kipulse_needs_output_and_configuration(bench: Any) -> None:
    bench.write(PULSE_READY)
    assert bench.ask("print(InitiatePulseTest(9))") == "false\tPulse 9 is not configured."
    bench.ask("print(ConfigPulseIMeasureV(smua,0,5e-3,20,1e-3,9e-3,5,smua.nvbuffer1,1))")
    bench.write("smua.source.output=0")
    assert "output" in bench.ask("print(InitiatePulseTest(1))")
    assert bench.errors() == []


# ---- speed -------------------------------------------------------------------------------------------


def test_a_batch_of_1600_frames_is_fast(bench: Any) -> None:
    ready(bench)
    writes = np.random.default_rng(6).choice([-5e-3, 5e-3], 1600)
    text = ",".join(f"{value:.6g}" for value in writes)

    def batch() -> float:
        began = time.perf_counter()
        bench.write("load(-5e-3,{" + text + "},0.1e-3) start()")
        bench.pass_time(1600 * FRAME_S + 1e-3)
        assert len(fetch(bench)) == 1600
        return time.perf_counter() - began

    assert 1600 / min(batch() for _ in range(7)) > 50_000  # 300,000 and more on an idle machine
