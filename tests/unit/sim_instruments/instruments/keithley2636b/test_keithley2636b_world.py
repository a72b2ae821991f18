"""The 2636B on the real world: a Hall bar reached through a 7001, pulses by sweep and by script."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_instruments import bench as factory

BENCH_FILE = Path(__file__).parents[5] / "data" / "benches" / "sot_fast.toml"


@pytest.fixture
def station() -> Any:
    tables = tomllib.loads(BENCH_FILE.read_text(encoding="utf-8"))
    devices = {name: {**tables["kinds"][card["kind"]], **card} for name, card in tables["devices"].items()}
    tables["simulation"]["setting"] = "ideal"
    built = factory.build(
        instruments=tables["instruments"],
        wires=tables["wires"],
        devices=devices,
        field=tables["field"],
        simulation=tables["simulation"],
        seed=1,
    )
    built.instruments["mux"].message(b":ROUT:CLOS (@1!1,1!11)")
    return built


def ask(station: Any, line: str) -> list[float]:
    smu, world = station.instruments["smu"], station.world
    smu.message(line.encode())
    while (reply := smu.reply(world.now)) is None:
        world.advance(smu.reply_ready_s())
    return [float(each) for each in reply.decode().replace(",", "\t").split("\t")]


READY = (
    "smua.source.func=0 smua.source.rangei=10e-3 smua.source.limitv=20 smua.measure.rangev=20 "
    "smua.measure.nplc=1 smub.measure.nplc=1 "
    "smub.source.func=0 smub.source.leveli=0 smub.source.limitv=1 smub.measure.rangev=0.2 "
    "smua.source.output=1 smub.source.output=1 "
)


def read_state(station: Any) -> float:
    [volts] = ask(station, "smua.source.leveli=0.1e-3 v=smub.measure.v() smua.source.leveli=0 print(v)")
    return volts


def test_line_resistance_and_hall_states(station: Any) -> None:
    [volts] = ask(station, READY + "smua.source.leveli=0.1e-3 print(smua.measure.v())")
    assert volts / 0.1e-3 == pytest.approx(8000, rel=0.2)
    levels = []
    for amplitude in (-1.1e-3, 1.1e-3, -1.1e-3):
        ask(station, f"smua.source.leveli={amplitude} delay(1e-3) smua.source.leveli=0 delay(0.1) print(1)")
        levels.append(read_state(station))
    opening = abs(levels[1] - levels[0]) / 0.1e-3
    assert 0.5 < opening < 1.5  # R_AHE is 1 ohm
    assert levels[2] == pytest.approx(levels[0], abs=30e-6)
    assert station.world.faults == []


def test_a_script_nobody_waits_for_still_pulses(station: Any) -> None:
    ask(station, READY + "print(1)")
    before = read_state(station)
    pulse = 1.1e-3 if before < -2e-3 else -1.1e-3
    smu, world = station.instruments["smu"], station.world
    states = []
    for amplitude in (pulse, -pulse):
        smu.message(f"delay(1e-3) smua.source.leveli={amplitude} delay(1e-3) smua.source.leveli=0".encode())
        world.advance(world.now + 5.0)  # one jump over the whole script
        states.append(read_state(station))
    assert abs(states[1] - states[0]) > 50e-6
    assert world.faults == []


def test_sweep_of_frames_on_a_hall_bar(station: Any) -> None:
    count = 100
    ask(station, READY + "print(1)")
    for line in (
        "trigger.timer[1].stimulus=smua.trigger.ARMED_EVENT_ID trigger.timer[1].passthrough=true",
        f"trigger.timer[1].delaylist={{5e-3,5e-3}} trigger.timer[1].count={2 * count - 1}",
        "trigger.timer[2].stimulus=trigger.timer[1].EVENT_ID trigger.timer[2].delaylist={1e-3,4e-3}",
        "trigger.timer[3].stimulus=smua.trigger.ARMED_EVENT_ID trigger.timer[3].delay=5.5e-3",
        "trigger.timer[4].stimulus=trigger.timer[3].EVENT_ID trigger.timer[4].passthrough=true",
        f"trigger.timer[4].delay=10e-3 trigger.timer[4].count={count - 1}",
        "l={} for i=1,100 do l[2*i-1]=math.mod(i,2)==0 and 1.1e-3 or -1.1e-3 l[2*i]=0.1e-3 end",
        "smua.trigger.source.listi(l) smua.trigger.source.action=1",
        "smua.trigger.source.stimulus=trigger.timer[1].EVENT_ID",
        f"smua.trigger.endpulse.stimulus=trigger.timer[2].EVENT_ID smua.trigger.count={2 * count}",
        "smub.measure.nplc=0.1 smub.nvbuffer1.clear() smub.nvbuffer1.appendmode=1",
        "smub.trigger.measure.v(smub.nvbuffer1) smub.trigger.measure.action=1",
        f"smub.trigger.measure.stimulus=trigger.timer[4].EVENT_ID smub.trigger.count={count}",
    ):
        station.instruments["smu"].message(line.encode())
    assert ask(
        station, "smub.trigger.initiate() smua.trigger.initiate() waitcomplete() print(errorqueue.count)"
    ) == [0]
    volts = np.array(ask(station, f"printbuffer(1,{count},smub.nvbuffer1)"))
    opening = (volts[1::2].mean() - volts[::2].mean()) / 0.1e-3
    assert 0.5 < abs(opening) < 1.5
    assert volts[1::2].std() < 4 * 12e-6
    assert station.world.faults == []
