"""Digital lines of the 2636B: pulses on events, bits by hand, conflicts, snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

SWEEP = """
function go(n)
  smua.source.func = smua.OUTPUT_DCAMPS smua.source.rangei = 10e-3 smua.source.limitv = 20
  trigger.timer[1].stimulus = smua.trigger.ARMED_EVENT_ID trigger.timer[1].passthrough = true
  trigger.timer[1].delay = 1e-3 trigger.timer[1].count = n - 1
  trigger.timer[2].stimulus = trigger.timer[1].EVENT_ID trigger.timer[2].delay = 200e-6
  smua.trigger.source.lineari(1e-3, 2e-3, n) smua.trigger.source.limitv = 20
  smua.trigger.source.action = smua.ENABLE smua.trigger.source.stimulus = trigger.timer[1].EVENT_ID
  smua.trigger.endpulse.action = smua.SOURCE_IDLE smua.trigger.endpulse.stimulus = trigger.timer[2].EVENT_ID
  smua.trigger.count = n
  smua.source.output = 1
  smua.trigger.initiate()
end
"""


@pytest.fixture
def ready(bench: Any) -> Any:
    bench.write("loadscript sweep", *SWEEP.strip().split("\n"), "endscript", "sweep()")
    return bench


def edges(bench: Any) -> np.ndarray:
    return np.concatenate([times for _, times, _ in bench.world.edges])


def test_a_line_follows_an_event_with_the_trace_of_its_pulses(ready: Any) -> None:
    ready.write(
        "digio.trigger[1].mode = digio.TRIG_RISINGM digio.trigger[1].stimulus = trigger.timer[2].EVENT_ID"
    )
    ready.write("go(5)")
    ready.pass_time(0.1)
    starts = ready.world.trains[0].start_s
    assert edges(ready) == pytest.approx(starts + 200e-6)
    assert {line for line, _, _ in ready.world.edges} == {"smu.digio1"}
    assert len(ready.world.edges[0][2].current_a) == 5
    assert ready.errors() == []


def test_edges_come_as_their_pulses_are_played_and_once_each(ready: Any) -> None:
    ready.write(
        "digio.trigger[3].mode = digio.TRIG_RISINGM digio.trigger[3].stimulus = trigger.timer[1].EVENT_ID"
    )
    ready.write("go(20)")
    for _ in range(50):
        ready.pass_time(0.9e-3)
    starts = np.concatenate([train.start_s for train in ready.world.trains])
    assert len(ready.world.edges) > 5
    assert edges(ready) == pytest.approx(starts)


def test_a_low_pulse_rises_when_it_ends(ready: Any) -> None:
    ready.write("digio.trigger[1].mode = digio.TRIG_FALLING digio.trigger[1].pulsewidth = 50e-6")
    ready.write("digio.trigger[1].stimulus = trigger.timer[1].EVENT_ID", "go(4)")
    ready.pass_time(0.1)
    assert edges(ready) == pytest.approx(ready.world.trains[0].start_s + 50e-6)


def test_events_of_the_channels_and_stepwise_networks_drive_lines_too(ready: Any) -> None:
    ready.write("digio.trigger[1].mode = digio.TRIG_RISINGM")
    ready.write("digio.trigger[1].stimulus = smua.trigger.SOURCE_COMPLETE_EVENT_ID", "go(4)")
    ready.write("smua.trigger.source.set()")  # an event from outside: played one by one
    ready.pass_time(0.1)
    assert len(edges(ready)) == 4


@pytest.mark.parametrize("mode", ["TRIG_BYPASS", "TRIG_RISING", "TRIG_RISINGA"])
def test_other_modes_put_nothing_out(ready: Any, mode: str) -> None:
    ready.write(f"digio.trigger[1].mode = digio.{mode} digio.trigger[1].stimulus = trigger.timer[1].EVENT_ID")
    ready.write("go(4)")
    ready.pass_time(0.1)
    assert ready.world.edges == []


def test_bits_are_written_and_read_by_hand(bench: Any) -> None:
    assert bench.numbers("print(digio.readbit(2), digio.readport())") == [1, 2**14 - 1]
    bench.write("digio.writebit(2, 0)", "digio.writebit(2, 0)", "digio.writebit(2, 1)")
    assert [(line, len(times)) for line, times, _ in bench.world.edges] == [("smu.digio2", 1)]
    bench.write("digio.writeport(0)")
    assert bench.numbers("print(digio.readport())") == [0]
    bench.write("digio.trigger[4].mode = digio.TRIG_RISINGM", "digio.trigger[4].assert()")
    assert bench.world.edges[-1][0] == "smu.digio4"
    bench.write("digio.writebit(4, 1)", "digio.writebit(15, 1)", "digio.trigger[1].mode = 99")
    assert [code for code, _ in bench.errors()] == [-221, 1102, 1102]


def test_a_sweep_goes_on_with_its_line_after_a_restore(ready: Any) -> None:
    ready.write(
        "digio.trigger[1].mode = digio.TRIG_RISINGM digio.trigger[1].stimulus = trigger.timer[1].EVENT_ID"
    )
    ready.write("go(10)")
    ready.pass_time(4.5e-3)
    told = len(edges(ready))
    state = ready.box.snapshot()
    ready.box.restore(state)
    ready.pass_time(0.1)
    assert 0 < told < 10
    assert len(edges(ready)) == 10
    ready.write("digio.trigger[1].reset()")
    assert ready.ask("print(digio.trigger[1].stimulus)") == "0.00000e+00"
