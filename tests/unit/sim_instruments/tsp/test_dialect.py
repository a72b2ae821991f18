"""The Lua 5.0 gate: what the box refuses, what it accepts, and that strings and comments are no code."""

from __future__ import annotations

from typing import Any

import pytest

from sim_instruments.tsp.dialect import DialectError, translate


@pytest.mark.parametrize(
    "source",
    [
        "print(#t)",
        "x = 5 % 3",
        "s = [=[text]=]",
        "s = [==[text]==]",
        "print(...)",
        "function f(...) return ... end",
        "local t = {...}",
        "x = 0x10",
        "s = 'unfinished",
        "s = [[unfinished",
    ],
)
def test_refused(console: Any, source: str) -> None:
    assert console(source) == []
    [(code, text)] = console.errors()
    assert code == -285 and "line 1" in text


@pytest.mark.parametrize(
    "name",
    [
        "string.match", "string.gmatch", "string.reverse", "table.maxn", "math.fmod", "math.huge",
        "math.modf", "math.sinh", "math.cosh", "math.tanh", "coroutine.running",
    ],
)  # fmt: skip
def test_library_of_5_1_is_missing(console: Any, name: str) -> None:
    assert console(f"print({name})") == ["nil"]


@pytest.mark.parametrize(
    "name",
    [
        "string.gfind", "table.getn", "table.setn", "table.foreach", "table.foreachi", "math.mod", "math.pow",
        "math.log10", "gcinfo", "unpack", "rawget",
    ],
)  # fmt: skip
def test_library_of_5_0_is_there(console: Any, name: str) -> None:
    assert console(f"print(type({name}))") == ["function"]


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("print(table.getn({5, 6, 7}))", ["3.00000e+00"]),
        ("print(math.mod(7, 4))", ["3.00000e+00"]),
        ("for w in string.gfind('ab cd', '%a+') do print(w) end", ["ab", "cd"]),
        ("function f(...) return arg.n, arg[2] end print(f('a', 'b', 'c'))", ["3.00000e+00\tb"]),
        ("for k, v in {10, 20} do print(v) end", ["1.00000e+01", "2.00000e+01"]),
        ("for k in {x = 1} do print(k) end", ["x"]),
        ("for i, v in ipairs({7}) do print(i, v) end", ["1.00000e+00\t7.00000e+00"]),
        ("for k, v in (function() return {9} end)() do print(v) end", ["9.00000e+00"]),
        ("for i = 1, 2 do for k, v in {5} do while true do break end print(i) end end",
         ["1.00000e+00", "2.00000e+00"]),
        ("print([[a [[nested]] b]])", ["a [[nested]] b"]),
        ("print('# % [=[ ... 0x') -- # % [=[", ["# % [=[ ... 0x"]),
        ('print("a\\"#\\"b")', ['a"#"b']),
        ("print(1) --[==[ print(2)", ["1.00000e+00"]),
        ("print(1) --[[ # % ]] print(2)", ["1.00000e+00", "2.00000e+00"]),
        ("t = {1, 2} print(t[1], t[ t[1] ])", ["1.00000e+00\t1.00000e+00"]),
    ],
)  # fmt: skip
def test_accepted(console: Any, source: str, printed: list[str]) -> None:
    assert console(source) == printed
    assert console.errors() == []


def test_strings_have_no_methods(console: Any) -> None:
    console("print(('x'):rep(3))")
    assert [code for code, _ in console.errors()] == [-286]


def test_lines_are_kept() -> None:
    source = "a = [[one\ntwo]]\n--[[ x\ny ]]\nb = 'c'\nfor k in t do\nend\n"
    assert translate(source).count("\n") == source.count("\n")
    with pytest.raises(DialectError, match="line 3"):
        translate("a = 1\nb = '%'\nc = 5 % 2")


def test_error_lines_of_uploaded_scripts(console: Any) -> None:
    console("loadscript broken\nx = 1\ny = #x\nendscript")
    [(code, text)] = console.errors()
    assert code == -285 and "line 2" in text
    console("loadscript failing\nx = 1\n\nx.y.z = 2\nendscript\nfailing()")
    [(code, text)] = console.errors()
    assert code == -286 and "line 3" in text
