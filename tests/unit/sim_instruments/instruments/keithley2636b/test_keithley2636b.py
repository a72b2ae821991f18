"""The 2636B as a client sees it: settings, readings, buffers, formats, errors, waiting, safety."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

SOURCE_ON = "smua.source.func=smua.OUTPUT_DCAMPS smua.source.leveli=1e-3 smua.source.output=smua.OUTPUT_ON"
READER_ON = (
    "smub.source.func=smub.OUTPUT_DCAMPS smub.source.leveli=0 smub.source.limitv=1 smub.source.output=1 "
    "smub.measure.autorangev=0 smub.measure.rangev=0.2"
)


def test_identity_and_mains(bench: Any, make_bench: Any) -> None:
    assert bench.ask("*IDN?") == "Keithley Instruments Inc., Model 2636B, 1398687, 3.0.0"
    assert bench.numbers("print(localnode.linefreq)") == [50.0]
    assert make_bench({"mains_hz": 60}).numbers("print(node[1].linefreq)") == [60.0]
    with pytest.raises(ValueError, match="'colour'"):
        make_bench({"colour": "red"})
    with pytest.raises(ValueError, match="50 or 60"):
        make_bench({"mains_hz": 400})


def test_stock_pymeasure_lines(bench: Any) -> None:
    for line in ("smua.source.func=0", "smua.source.rangei=0.001000", "smua.source.limitv=1.000000"):
        bench.write(line)
    assert bench.ask("print(errorqueue.next())").split("\t")[:2] == ["0.00000e+00", "Queue Is Empty"]
    bench.write("smua.measure.v()", "smua.measure.nplc=1.000000", "smua.measure.autorangev=1")
    bench.write("smua.source.leveli=0.000500", "smua.source.output=1")
    assert bench.numbers("print(smua.measure.v())")[0] == pytest.approx(0.5, rel=1e-3)
    assert bench.numbers("print(smua.source.leveli)") == [5e-4]
    assert bench.numbers("print(smua.source.output)") == [1.0]
    bench.write("smua.source.leveli=0.000000", "smua.source.output=0", "smua.sense=1")
    assert not bench.world.levels["smu.a"].connected
    assert bench.errors() == []


def test_levels_reach_the_world_quantised(bench: Any) -> None:
    bench.write("smua.source.func=0 smua.source.rangei=1e-3 smua.source.leveli=1.23456789e-4")
    assert "smu.a" not in bench.world.levels or not bench.world.levels["smu.a"].connected
    bench.write("smua.source.limitv=5 smua.source.output=1")
    level = bench.world.levels["smu.a"]
    assert level.connected and level.limit == 5 and not level.voltage_mode
    assert level.value == pytest.approx(round(1.23456789e-4 / 20e-9) * 20e-9, abs=1e-15)
    bench.write("smua.source.func=1 smua.source.levelv=0.5 smua.source.limiti=1e-3")
    level = bench.world.levels["smu.a"]
    assert level.voltage_mode and level.value == pytest.approx(0.5) and level.limit == 1e-3


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("smua.source.leveli=2", 1102),
        ("smua.source.levelv=-300", 1103),
        ("smua.measure.nplc=1e-4", 1103),
        ("smua.measure.nplc=30", 1102),
        ("smua.source.limitv=250", 1102),
        ("smua.source.func=7", 1102),
        ("smua.source.rangei=9", 1102),
        ("trigger.timer[1].delay=1e-6", 1103),
        ("trigger.timer[1].delaylist={1e-5,2e-5}", 1103),
        ("trigger.timer[1].count=2e6", 1102),
        ("smua.makebuffer(5e6)", -225),
        ("smua.source.nothing=1", -286),
        ("smua.source.leveli='much'", -286),
        ("print(smua.measure.q())", -286),
        ("smua.trigger.source.listi({1,'x'})", -286),
        ("printbuffer(1,5,smua.nvbuffer1)", -286),
        ("smua.source.rangei=1e-6 smua.source.leveli=1e-3", 1102),
        ("smua.source.limitv=100 smua.source.func=0 smua.source.leveli=1", 5007),
        ("smua.nvbuffer1.appendmode=1 smua.measure.v(smua.nvbuffer1) smua.nvbuffer1.appendmode=0", -221),
    ],
)
def test_refusals(bench: Any, line: str, code: int) -> None:
    bench.write(line)
    bench.pass_time(1.0)
    assert [found for found, _ in bench.errors()] == [code]


def test_a_refused_value_stays_as_it_was_and_the_line_goes_on(bench: Any) -> None:
    bench.write("smua.source.leveli=1e-3 smua.source.leveli=50 after=1")
    assert bench.numbers("print(smua.source.leveli, after)") == [1e-3, 1.0]


@pytest.mark.parametrize(("nplc", "rate"), [(0.001, 7000), (0.01, 3400), (0.1, 550), (1, 59)])
def test_readings_take_the_documented_time(make_bench: Any, nplc: float, rate: float) -> None:
    bench = make_bench({"mains_hz": 60})
    bench.write(SOURCE_ON, f"smua.measure.nplc={nplc} smua.measure.count=100")
    began = bench.world.now
    bench.ask("print(smua.measure.v())")
    assert 100 / (bench.world.now - began) == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize(("nplc", "rms"), [(0.01, 50e-6), (0.1, 12e-6), (1, 3e-6)])
def test_reader_noise(bench: Any, nplc: float, rms: float) -> None:
    bench.write(READER_ON, f"smub.measure.nplc={nplc} smub.measure.count=2000 smub.nvbuffer1.clear()")
    bench.ask("print(smub.measure.v(smub.nvbuffer1))")
    bench.write("format.data=format.REAL64 printbuffer(1,2000,smub.nvbuffer1)")
    values = np.frombuffer(bench.read()[2:-1], "<f8")
    assert np.std(values) == pytest.approx(rms, rel=0.1)  # 6 standard errors: false alarm below 1e-8


def test_overload_and_compliance(bench: Any) -> None:
    bench.write(SOURCE_ON, "smua.measure.rangev=0.2")
    assert bench.numbers("print(smua.measure.v())") == [9.9e37]
    assert bench.ask("print(smua.source.compliance)") == "false"
    bench.write("smua.source.limitv=0.5 smua.measure.rangev=2")
    assert bench.ask("print(smua.source.compliance)") == "true"
    assert bench.numbers("print(smua.measure.v())")[0] == pytest.approx(0.5, abs=1e-3)
    assert bench.numbers("print(status.measurement.voltage_limit.condition)") == [2.0]


def test_open_leads_drift_to_the_limit(bench: Any) -> None:
    bench.world.hall_open = True
    bench.write(READER_ON)
    assert bench.numbers("print(smub.measure.v())") == [9.9e37]
    assert bench.ask("print(smub.source.compliance)") == "true"


def test_a_channel_that_is_off_reads_nothing(bench: Any) -> None:
    bench.write(SOURCE_ON, "smub.measure.rangev=0.2")
    assert abs(bench.numbers("print(smub.measure.v())")[0]) < 50e-6


def test_hall_voltage_on_the_other_channel(bench: Any) -> None:
    bench.write(SOURCE_ON, READER_ON)
    assert bench.numbers("print(smub.measure.v())")[0] == pytest.approx(0.5e-3, abs=20e-6)


def test_buffers_collect_what_they_are_told(bench: Any) -> None:
    bench.write(SOURCE_ON, "smua.nvbuffer1.clear() smua.nvbuffer1.appendmode=1")
    bench.write(
        "smua.nvbuffer1.collecttimestamps=1 smua.nvbuffer1.collectsourcevalues=1 smua.measure.nplc=0.1"
    )
    bench.ask("smua.measure.count=3 print(smua.measure.v(smua.nvbuffer1))")
    assert bench.numbers("print(smua.nvbuffer1.n, smua.nvbuffer1.capacity)") == [3, 60_000]
    line = "printbuffer(1,3,smua.nvbuffer1.readings,smua.nvbuffer1.timestamps,smua.nvbuffer1.sourcevalues)"
    table = np.array(bench.numbers(line)).reshape(3, 3)
    np.testing.assert_allclose(table[:, 0], 1.0, rtol=0.01)
    assert table[0, 1] == 0 and (np.diff(table[:, 1]) > 2e-3).all()
    np.testing.assert_allclose(table[:, 2], 1e-3)
    assert bench.numbers("print(smua.nvbuffer1[2], smua.nvbuffer1.statuses[1])")[1] == 0
    assert bench.ask("print(smua.nvbuffer1[4])") == "nil"
    bench.write(
        "smua.nvbuffer1.clear() smua.nvbuffer1.collecttimestamps=0 smua.nvbuffer1.collectsourcevalues=0"
    )
    assert bench.numbers("print(smua.nvbuffer1.n, smua.nvbuffer1.capacity)") == [0, 140_000]
    bench.write("printbuffer(1,1,smua.nvbuffer1.timestamps)")
    assert [code for code, _ in bench.errors()] == [-286]


def test_made_buffers_fill_once_or_roll(bench: Any) -> None:
    bench.write(
        SOURCE_ON, "b = smua.makebuffer(4) b.appendmode=1 smua.measure.nplc=0.001 smua.measure.count=3"
    )
    bench.ask("print(smua.measure.v(b))")
    bench.ask("print(smua.measure.v(b))")
    assert bench.numbers("print(b.n, b.capacity)") == [4, 4]
    bench.write("b.fillmode=1")
    last = bench.numbers("print(smua.measure.v(b))")[0]
    bench.write("format.asciiprecision=16")
    assert bench.numbers("print(b.n, b[4])") == [4, pytest.approx(last, rel=1e-5)]


@pytest.mark.parametrize("order", ["LITTLEENDIAN", "BIGENDIAN", "SWAPPED", "NORMAL"])
@pytest.mark.parametrize(("kind", "size"), [("REAL32", 4), ("REAL64", 8)])
def test_binary_replies(bench: Any, order: str, kind: str, size: int) -> None:
    bench.write(f"format.data=format.{kind} format.byteorder=format.{order} printbuffer(1,3,{{1.5,-2,3e10}})")
    reply = bench.read()
    assert reply[:2] == b"#0" and reply[-1:] == b"\n" and len(reply) == 3 + 3 * size
    sign = "<" if order in ("LITTLEENDIAN", "SWAPPED") else ">"
    np.testing.assert_allclose(np.frombuffer(reply[2:-1], f"{sign}f{size}"), [1.5, -2, 3e10])
    assert bench.ask("print(1)") == "1.00000e+00"  # print stays ASCII


def test_ascii_precision(bench: Any) -> None:
    assert bench.ask("printnumber(1/3, 2)") == "3.33333e-01, 2.00000e+00"
    bench.write("format.asciiprecision=10")
    assert bench.ask("print(1/3)") == "3.333333333e-01"
    bench.write("reset()")
    assert bench.ask("print(1/3)") == "3.33333e-01"


def test_errors_survive_a_reconnect_and_a_reset(bench: Any) -> None:
    bench.write("nonsense(")
    bench.box.device_clear()
    bench.write("*RST")
    assert bench.ask("print(errorqueue.count)") == "1.00000e+00"
    bench.write("*CLS")
    assert bench.ask("print(errorqueue.count)") == "0.00000e+00"
    bench.box.unterminated()
    assert [code for code, _ in bench.errors()] == [-420]


def test_a_script_that_pulses_by_delay_plays_real_pulses(bench: Any) -> None:
    bench.write("smua.source.func=0 smua.source.rangei=10e-3 smua.source.output=1")
    bench.write(
        "for i = 1, 3 do smua.source.leveli=i*1e-3 delay(1e-3) smua.source.leveli=0 delay(2e-3) end "
        "smua.source.output=0 print('done')"
    )
    bench.pass_time(1.0)  # nobody looked in between
    assert bench.read() == b"done\n"
    train = bench.world.trains[-1]  # from the level of the first pulse, which began in the present
    assert bench.world.history[-2][0] == 0.0 and train.base_a == 1e-3
    np.testing.assert_allclose(train.level_a, [0, 2e-3, 0, 3e-3, 0, 0])
    np.testing.assert_allclose(train.start_s, [1e-3, 3e-3, 4e-3, 6e-3, 7e-3, 9e-3], atol=1e-9)
    np.testing.assert_allclose(train.start_s[1:] - train.width_s[:-1], train.start_s[:-1], atol=1e-9)
    assert train.start_s[-1] + train.width_s[-1] == pytest.approx(1.0)
    assert not bench.world.levels["smu.a"].connected


def test_measuring_within_a_script_sees_the_level_of_that_time(bench: Any) -> None:
    bench.write(READER_ON, "smub.measure.nplc=1 smua.source.func=0 smua.source.output=1")
    bench.write(
        "smua.source.leveli=3e-3 delay(5e-3) x = smub.measure.v() smua.source.leveli=0 y = smub.measure.v() "
        "v = smua.measure.v() print(x, y, v)"
    )
    bench.pass_time(1.0)
    x, y, v = (float(each) for each in bench.read().split())
    assert x == pytest.approx(1.5e-3, abs=20e-6)
    assert abs(y) < 20e-6 and abs(v) < 20e-6


def test_other_lines_wait_and_opc_tells_when(bench: Any) -> None:
    bench.write("delay(2)")
    assert bench.ask("*OPC?") == "1"
    assert bench.world.now == pytest.approx(2.0)


def test_front_panel_and_beeper_are_accepted(bench: Any) -> None:
    bench.write(
        "display.clear() display.setcursor(1,1) display.settext('hi') display.screen=display.SMUA_SMUB"
    )
    bench.write("beeper.enable=1 beeper.beep(0.1, 440)")
    assert bench.errors() == []


def test_power_cycle_forgets_and_switches_off(bench: Any) -> None:
    bench.write(SOURCE_ON, "x = 5", "error('x')")
    bench.box.power_cycle()
    assert not bench.world.levels["smu.a"].connected
    assert bench.ask("print(x, errorqueue.count, smua.source.output)") == "nil\t0.00000e+00\t0.00000e+00"


def test_snapshot_and_restore(bench: Any, make_bench: Any) -> None:
    bench.write(SOURCE_ON, "function f(x) return x + 1 end", "limit = 7", "smua.measure.nplc=0.1")
    bench.ask("smua.nvbuffer1.clear() print(smua.measure.v(smua.nvbuffer1))")
    state = bench.box.snapshot()
    other = make_bench()
    other.box.restore(state)
    assert other.numbers("print(f(limit), smua.measure.nplc, smua.source.output, smua.nvbuffer1.n)") == [
        8,
        0.1,
        1,
        1,
    ]
    assert other.world.history == []  # the world restores its own levels
