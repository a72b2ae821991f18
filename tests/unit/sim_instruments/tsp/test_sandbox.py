"""Hostile and broken scripts end as an entry of the error queue, and the box lives on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sim_instruments.tsp.runtime import TspRuntime

RUNTIME, SYNTAX = -286, -285


def lives(console: Any) -> bool:
    return bool(console("print('still here')") == ["still here"])


@pytest.mark.parametrize(
    "name",
    [
        "python", "os", "io", "package", "debug", "require", "dofile", "loadfile", "loadstring", "load",
        "module", "getfenv", "setfenv", "newproxy", "select", "lupa", "host", "tools",
    ],
)  # fmt: skip
def test_scripts_see_nothing_of_the_host(console: Any, name: str) -> None:
    assert console(f"print({name})") == ["nil"]
    assert console.errors() == []


@pytest.mark.parametrize(
    "script",
    [
        "print(python.eval('1+1'))",
        "os.execute('touch /tmp/harm')",
        "io.open('/etc/passwd')",
        "local f = getmetatable('').__index.dump",
        "string.dump(print)",
        "(function() end).__class__()",
        "print(errorqueue.next.__globals__)",
        "errorqueue.__class__ = 1",
        "getmetatable(errorqueue).__index = nil",
        "setmetatable(errorqueue, {})",
    ],
)
def test_ways_out_are_shut(console: Any, script: str) -> None:
    console(script)
    assert [code for code, _ in console.errors()] == [RUNTIME]
    assert lives(console)


@pytest.mark.parametrize(
    "script",
    [
        "while true do end",
        "repeat until false",
        "local function f() return f() end f()",
        "pcall(function() while true do end end) print('escaped')",
        "while true do pcall(function() while true do end end) end",
        "xpcall(function() error('x') end, function() while true do end end) print('escaped')",
        "coroutine.wrap(function() while true do end end)() print('escaped')",
        "c = coroutine.create(function() while true do end end) coroutine.resume(c) print('escaped')",
        "pcall(coroutine.wrap(function() pcall(function() while true do end end) end)) print('escaped')",
        "t = setmetatable({}, {__index = function() while true do end end}) pcall(function() return t.x end)",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "string.gsub('abc', '%a', function() while true do end end)",
    ],
)
def test_endless_loops_run_out_of_budget(console: Any, script: str) -> None:
    assert console(script) == []
    [(code, text)] = console.errors()
    assert code == RUNTIME and "budget" in text
    assert lives(console)


def test_a_slow_instruction_runs_out_of_processor_time() -> None:
    runtime = TspRuntime(print, lambda *_: None, lambda: 0.5, processor_s=0.2)
    runtime.start(runtime.compile("s = string.rep('x', 2e6) while true do t = s .. 'y' end", "test"))
    began = time.process_time()
    with pytest.raises(Exception, match="budget"):
        runtime.step()
    assert time.process_time() - began < 15


@pytest.mark.parametrize(
    "script",
    [
        "s = string.rep('x', 1e9)",
        "print(pcall(string.rep, 'x', 1e9))",
        "s = 'x' while true do s = s .. s end",
        "while true do pcall(function() s = 'x' while true do s = s .. s end end) end",
        "t = {} for i = 1, 1e9 do t[i] = i end",
        "t = {} for i = 1, 1e7 do t[i] = i .. string.rep('x', 30) end",
        "coroutine.wrap(function() s = 'x' while true do s = s .. s end end)()",
    ],
)
def test_gigabytes_run_out_of_memory(console: Any, script: str) -> None:
    assert console(script) == []
    [(code, text)] = console.errors()
    assert code == RUNTIME and "not enough memory" in text
    assert lives(console)
    console("t = {} for i = 1, 20000 do t[i] = i end print(table.getn(t))")
    assert console.errors() == []


def test_patterns_that_take_for_ever_are_refused(console: Any) -> None:
    console("string.find(string.rep('a', 30000), string.rep('a*', 20) .. 'b')")
    [(code, text)] = console.errors()
    assert code == RUNTIME and "pattern" in text


def test_deep_recursion_is_an_error(console: Any) -> None:
    console("function f() return 1 + f() end f()")
    assert [code for code, _ in console.errors()] == [RUNTIME]
    console("function g() return pcall(g) end g()")
    console.errors()
    assert lives(console)


def test_pcall_still_catches_what_a_script_may_catch(console: Any) -> None:
    assert console("print(pcall(error, 'boom', 0))") == ["false\tboom"]
    assert console("print(pcall(function(a, b) return b, a end, 1, 2))") == ["true\t2.00000e+00\t1.00000e+00"]
    assert console("print(xpcall(function() error('x', 0) end, function(m) return m .. '!' end))") == [
        "false\tx!"
    ]
    assert console("local ok, e = pcall(error, {code = 7}) print(ok, e.code)") == ["false\t7.00000e+00"]


def test_coroutines_work(console: Any) -> None:
    console("c = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) coroutine.yield(b * 2) end)")
    assert console("print(c(1)) print(c(10))") == ["2.00000e+00", "2.00000e+01"]
    console("coroutine.yield(1)")
    assert [code for code, _ in console.errors()] == [RUNTIME]


def test_waiting_passes_through_pcall_and_coroutines(console: Any) -> None:
    script = "print(pcall(function() coroutine.wrap(function() delay(1) end)() delay(1) return 'up' end))"
    assert console(script) == []
    assert console.later(1.5) == []
    assert console.later(1.0) == ["true\tup"]
