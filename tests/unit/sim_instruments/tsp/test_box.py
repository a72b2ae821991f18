"""Messages, scripts, numbers, waiting, common commands, snapshots."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from sim_instruments.tsp.errors import TspError


def test_identity_and_numbers_print_as_the_box_prints_them(console: Any) -> None:
    assert console("*IDN?") == ["Keithley Instruments Inc., Model 2636B, 1, 3.0.0"]
    assert console("print(1, -0.25, 'a', nil, true)") == ["1.00000e+00\t-2.50000e-01\ta\tnil\ttrue"]
    assert console("print(0/0, 1/0)") == ["9.91000e+37\t9.90000e+37"]
    assert console("print(tostring(3))") == ["3.00000e+00"]


def test_error_queue_is_read_by_scripts_and_survives_a_device_clear(console: Any) -> None:
    assert console("print(errorqueue.next())") == ["0.00000e+00\tQueue Is Empty\t0.00000e+00\t0.00000e+00"]
    console("nonsense(")
    console.box.device_clear()
    assert console("print(errorqueue.count)") == ["1.00000e+00"]
    [line] = console("print(errorqueue.next())")
    assert line.startswith("-2.85000e+02\tTSP Syntax error")
    assert line.endswith("\t2.00000e+01\t1.00000e+00")
    console("x = nil + 1")
    console("errorqueue.clear()")
    assert console("print(errorqueue.count)") == ["0.00000e+00"]


def test_error_queue_overflows_at_its_end(console: Any) -> None:
    for _ in range(120):
        console("error('x')")
    errors = console.errors()
    assert len(errors) == 100 and errors[-1][0] == -350 and errors[0][0] == -286


def test_attributes_are_checked(console: Any) -> None:
    for line in ("print(errorqueue.nothing)", "errorqueue.nothing = 1", "errorqueue.count = 1"):
        assert console(line) == []
        assert [code for code, _ in console.errors()] == [-286]


def test_scripts_are_uploaded_run_and_kept(console: Any) -> None:
    console("loadscript twice\nfunction double(x)\n  return 2 * x\nend\nprint('loaded')\nendscript")
    assert console("twice.run()") == ["loaded"]
    assert console("twice()") == ["loaded"]
    assert console("print(double(4), twice.name)") == ["8.00000e+00\ttwice"]
    assert console("print(twice.source)")[0].startswith("function double(x)")
    assert console("loadandrunscript\r\nprint('now')\r\nendscript") == ["now"]
    assert console("run()") == ["now"]
    assert console.errors() == []


def test_a_broken_upload_defines_nothing(console: Any) -> None:
    console("loadscript bad\nfor\nendscript")
    assert [code for code, _ in console.errors()] == [-285]
    assert console("print(bad)") == ["nil"]


def test_lines_wait_behind_a_script_that_waits(console: Any) -> None:
    assert console("delay(1) print('first')") == []
    assert console("print('second')") == []
    assert console.later(0.5) == []
    assert console.later(0.6) == ["first", "second"]


def test_abort_and_device_clear_end_a_waiting_script(console: Any) -> None:
    console("while true do delay(0.1) end")
    assert console("abort") == []
    assert console("print(1)") == ["1.00000e+00"]
    console("delay(100) print('late')")
    console.box.device_clear()
    assert console("print(2)") == ["2.00000e+00"]
    assert console.later(200) == []


def test_unknown_common_command(console: Any) -> None:
    console("*FOO")
    assert [code for code, _ in console.errors()] == [-113]


def test_status_byte_tells_of_replies_and_errors(console: Any) -> None:
    box = console.box
    assert box.status_byte() == 0
    box.message(b"print(1)")
    assert box.status_byte() == 16
    box.message(b"error('x')")
    assert box.status_byte() == 20


def test_long_tables_take_the_fast_way_and_mean_the_same(console: Any) -> None:
    values = np.random.default_rng(1).normal(size=6000)
    text = ",".join(f"{value:.9e}" for value in values)
    console(f"w={{{text}}}")
    assert console("print(table.getn(w), w[1] == " + f"{values[0]:.9e})") == ["6.00000e+03\ttrue"]
    fetched = console.box.runtime.numbers(console.box.runtime.user_value("w"))
    np.testing.assert_allclose(fetched, values, rtol=1e-9)
    console("u = w w[1] = 5")
    console(f"w={{{text}}}")
    assert console("print(u[1], w[1] == 5)") == ["5.00000e+00\tfalse"]
    console("w={" + "1,2,," * 100 + "}")
    assert [code for code, _ in console.errors()] == [-285]
    console("function table_of() return {" + "1," * 300 + "1} end")
    assert console("print(table_of() == table_of())") == ["false"]


def test_tables_built_in_any_order_arrive_in_order(console: Any) -> None:
    console("t = {} for i = 200, 1, -1 do t[i] = i end")
    runtime = console.box.runtime
    np.testing.assert_array_equal(runtime.numbers(runtime.user_value("t")), np.arange(1, 201))
    for bad in ("{1, 'x'}", "{1, {}}", "{1, nil, 3}", "{a = 1}", "{true}"):
        console(f"t = {bad}")
        with pytest.raises(TspError, match="table of numbers"):
            runtime.numbers(runtime.user_value("t"))


def test_a_table_of_19200_numbers_becomes_an_array_quickly(console: Any) -> None:
    console("t = {} for i = 1, 19200 do t[i] = i * 1e-3 end")
    runtime = console.box.runtime
    table = runtime.user_value("t")
    best = min(_seconds(lambda: runtime.numbers(table)) for _ in range(5))
    assert best < 0.05  # 3 to 5 ms on an idle machine


def _seconds(action: Any) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def test_snapshot_brings_back_scripts_functions_data_and_errors(console: Any) -> None:
    console("loadscript lib\nfunction triple(x) return 3 * x end\nprint('side effect')\nendscript")
    console("lib()")
    console("function quad(x) return 4 * x end")
    console("n = 5 s = 'text' t = {1, 2, 3} m = {a = {1}, b = false}")
    console("error('kept')")
    state = console.box.snapshot()
    fresh = type(console)()
    fresh.box.restore(state)
    assert fresh.replies() == []
    assert fresh("print(triple(2), quad(2), n, s, t[3], m.a[1], m.b)") == [
        "6.00000e+00\t8.00000e+00\t5.00000e+00\ttext\t3.00000e+00\t1.00000e+00\tfalse"
    ]
    assert [code for code, _ in fresh.errors()] == [-286]
