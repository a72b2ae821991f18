"""A Lua runtime for one box: scripts run inside sandbox.lua, the host gives them its commands.

A namespace of commands is a plain nested dict:
    {"source": {"leveli": Attribute(get, set), "OUTPUT_DCAMPS": 0}, "reset": function, 1: {...}}
Functions and setters may raise TspError (ends the script) or ParameterError (queued, the script goes
on); a function may return `Wait`, which lets the box's clock run before the script continues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import numpy as np
from lupa import lua51
from numpy.typing import NDArray

from sim_instruments.tsp.dialect import DialectError, translate
from sim_instruments.tsp.errors import ParameterError, TspError

MEMORY_BYTES = 32 << 20  # [R] the box's memory for scripts and their data
RESERVE_BYTES = 2 << 20  # for what the host does when a script has used up its own
INSTRUCTIONS = 50_000_000  # of one script; about a second of this machine
PROCESSOR_S = 5.0  # for scripts whose single instructions are long (string operations)

_OF_NUMBERS = b"0123456789.eE+-, \t"  # all that a table of numbers is written with
_NOT_ONCE = ('"', "'", "[", "--", "function", "for", "while", "repeat")
_LONG = 200  # characters from which a table of numbers is worth the detour
_AT_ONCE = 4000  # values that pass between Lua and the host in one call; Lua's stack holds 8000
_PLACE = re.compile(r'^\[string "[^\n]*?"\]:(\d+): ', re.DOTALL)

Outcome = tuple[Any, ...]
_DONE, _PENDING, _FAILED = 0, 1, 2
_NOTHING: Outcome = (_DONE, None)


@dataclass(frozen=True)
class Attribute:
    """A setting or a reading; set is None where scripts may only read."""

    get: Callable[[], Any]
    set: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Wait:
    """The script waits until the box's time is `until_s`; then `then` gives the result."""

    until_s: float
    then: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Indexed:
    """A namespace that also answers to numbers (a buffer: buffer[3])."""

    members: Mapping[Any, Any]
    at: Callable[[int], Any]


class TspRuntime:
    """Compiles and runs scripts; one script at a time, in stretches between waits."""

    def __init__(
        self,
        on_print: Callable[[str], None],
        on_parameter_error: Callable[[int, str], None],
        random: Callable[[], float],
        *,
        instructions: int = INSTRUCTIONS,
        processor_s: float = PROCESSOR_S,
    ) -> None:
        self._lua = lua51.LuaRuntime(
            encoding="latin-1",
            source_encoding="latin-1",
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_filter=_deny,
            max_memory=MEMORY_BYTES + RESERVE_BYTES,
        )
        source = files("sim_instruments.tsp").joinpath("sandbox.lua").read_text(encoding="utf-8")
        host = self._lua.table(print=on_print, random=random, rep_limit=MEMORY_BYTES)
        # Fetched once: indexing a Lua table from a callback inside a coroutine returns the wrong value
        # (lupa 2.8 takes everything on the resuming function's stack for the result), calling is right.
        self._tools = SimpleNamespace(**dict(self._lua.execute(source, host).items()))
        self._on_parameter_error = on_parameter_error
        self._fuel = (instructions, processor_s)
        self._objects: list[Any] = []
        self.muted = False  # commands do nothing: functions come back without what they did
        self.wait_until_s = 0.0
        self.active = False  # a script is running or waiting

    # ---- commands ----

    def define(self, name: str, value: Any) -> None:
        """Give scripts the name: a namespace, a function or a constant."""
        self._tools.define(name, self.wrap(value, name))

    def define_raw(self, name: str, value: Any) -> None:
        """Give scripts a Lua value or constant as it is."""
        self._tools.define(name, value)

    def seal(self) -> None:
        """What is defined from now on belongs to the user."""
        self._tools.seal()

    def wrap(self, value: Any, path: str) -> Any:
        """The Lua side of a namespace, function or constant."""
        if isinstance(value, Indexed):
            return self._proxy(value.members, path, self._guard(value.at), None)
        if isinstance(value, Mapping):
            return self._proxy(value, path, None, None)
        if callable(value) and lua51.lua_type(value) is None:
            return self._tools.method(self._guard(value))
        return value

    def wrap_object(
        self, owner: Any, members: Mapping[Any, Any], at: Callable[[int], Any] | None, path: str
    ) -> Any:
        """A proxy that, given back as an argument, leads to `owner` (see `owner_of`)."""
        self._objects.append(owner)
        return self._proxy(members, path, None if at is None else self._guard(at), len(self._objects) - 1)

    def owner_of(self, value: Any) -> Any:
        """What wrap_object was given for this Lua value; None for anything else."""
        if lua51.lua_type(value) != "table":
            return None
        token = self._tools.token(value)
        return None if token is None else self._objects[int(token)]

    def _proxy(self, members: Mapping[Any, Any], path: str, at: Any, token: int | None) -> Any:
        fixed, getters, setters = self._lua.table(), self._lua.table(), self._lua.table()
        for key, member in members.items():
            if isinstance(member, Attribute):
                getters[key] = self._guard(member.get)
                if member.set is not None:
                    setters[key] = self._guard(member.set)
            else:
                fixed[key] = self.wrap(member, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}")
        return self._tools.proxy(path, fixed, getters, setters, at, token)

    def _guard(self, function: Callable[..., Any]) -> Callable[..., Outcome]:
        """Errors as values: a Python exception must never be in a script's hands."""

        def guarded(*arguments: Any) -> Outcome:
            if self.muted:
                return (_DONE,)
            try:
                result = function(*arguments)
            except ParameterError as error:
                self._on_parameter_error(error.code, error.text)
                return (_DONE,)
            except TspError as error:
                return _FAILED, str(error)
            except TypeError as error:
                return _FAILED, f"wrong number or type of arguments ({error})"
            if result is None:
                return _NOTHING
            if isinstance(result, Wait):
                self.wait_until_s = result.until_s
                return _PENDING, self._guard(result.then)
            if isinstance(result, tuple):
                return (_DONE, *result)
            return _DONE, self._lua.table_from(result) if isinstance(result, dict) else result

        return guarded

    # ---- data ----

    def numbers(self, value: Any) -> NDArray[np.float64]:
        """A Lua table of numbers as an array (n,); a single number as (1,). TspError otherwise."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return np.array([float(value)])
        try:
            found = self._tools.numbers(value) if lua51.lua_type(value) == "table" else None
        except lua51.LuaError:
            found = None
        if found is None:
            raise TspError("bad argument: a table of numbers expected")
        table, count = found
        values = np.empty(int(count))
        for start in range(0, len(values), _AT_ONCE):
            stop = min(start + _AT_ONCE, len(values))
            values[start:stop] = self._tools.part(table, start + 1, stop)
        return values

    def list_of(self, values: Sequence[float]) -> Any:
        """A Lua table 1..n."""
        table = self._tools.list(*values[:_AT_ONCE])
        for start in range(_AT_ONCE, len(values), _AT_ONCE):
            self._tools.extend(table, *values[start : start + _AT_ONCE])
        return table

    def precision(self, digits: int) -> None:
        """Numbers print with this many significant digits."""
        self._tools.precision(f"%.{digits - 1}e")

    def user_value(self, name: str) -> Any:
        return self._tools.lookup(name)

    def user_names(self) -> list[str]:
        return [name for name in str(self._tools.user_names()).split("\n") if name]

    def same(self, one: Any, other: Any) -> bool:
        """True if both are the same Lua object."""
        return bool(self._tools.same(one, other))

    def plain(self, value: Any) -> Any:
        """A Lua value as plain Python ({"table": [key, value, ...]}); None for functions and proxies."""
        if lua51.lua_type(value) is None:
            return value
        if lua51.lua_type(value) != "table" or self.owner_of(value) is not None:
            return None
        if self._tools.only_numbers(value):
            return self.numbers(value)
        flat = [self.plain(item) for item in self._tools.pairs_of(value).values()]
        return {"table": flat}

    def from_plain(self, value: Any) -> Any:
        """The inverse of `plain`."""
        if isinstance(value, np.ndarray):
            return self.list_of(value.tolist())
        if isinstance(value, dict):
            return self._tools.table_of(*[self.from_plain(item) for item in value["table"]])
        return value

    def lua_kind(self, value: Any) -> str | None:
        """'table' or 'function' for a Lua object, None for plain values."""
        return lua51.lua_type(value)  # type: ignore[no-any-return]

    # ---- scripts ----

    def compile(self, source: str, name: str) -> Any:
        """A chunk ready to start; TspError -285 with the line if the box refuses the source."""
        try:
            source = translate(self._lift_numbers(source))
        except DialectError as error:
            raise TspError(f"TSP Syntax error at line {error.line}: {error.text}", -285) from None
        chunk, message = _pair(self._tools.compile(source, name))
        if chunk is None:
            line, text = _place(str(message))
            raise TspError(f"TSP Syntax error at line {line}: {text}", -285)
        return chunk

    def _lift_numbers(self, source: str) -> str:
        """Long tables of numbers go round the compiler, which is ten times slower than a split.

        Only where the constructor runs at most once: a second run must make a second table.
        """
        if len(source) < _LONG or any(mark in source for mark in _NOT_ONCE):
            return source
        parts, place = [], 0
        while (start := source.find("{", place)) >= 0:
            end = source.find("}", start)
            values = _numbers_in(source[start + 1 : end]) if end > start + _LONG else None
            if values is None:
                parts.append(source[place : start + 1])
                place = start + 1
                continue
            name = f"__lifted{len(parts)}"
            self._tools.define(name, self.list_of(values))
            parts.append(source[place:start] + name)
            place = end + 1
        return "".join([*parts, source[place:]])

    def start(self, chunk: Any) -> None:
        """Make the chunk the running script; `step` runs its first stretch."""
        self._tools.fuel(*self._fuel)
        self._tools.start(chunk)
        self.active = True

    def step(self) -> bool:
        """Run to the next wait (True; see wait_until_s) or to the end (False). TspError: it failed."""
        try:
            state, message = _pair(self._tools.step())
        except lua51.LuaMemoryError:
            state, message = "error", "not enough memory"
        if state == "wait":
            return True
        self.stop()
        if state == "error":
            line, text = _place(str(message))
            where = f" at line {line}" if line else ""
            if text == "not enough memory":
                self._tools.collect()
            raise TspError(f"TSP Runtime error{where}: {text}", -286)
        return False

    def stop(self) -> None:
        """Forget the running script."""
        self.active = False
        self._tools.stop()


def _deny(_: object, name: object, setting: bool) -> Any:
    raise AttributeError(f"{name!r} is not for scripts")


def _numbers_in(body: str) -> list[float] | None:
    """The numbers of a table constructor's inside; None if it holds anything else."""
    if body.encode("latin-1").translate(None, _OF_NUMBERS):
        return None
    try:
        return list(map(float, body.split(",")))
    except ValueError:
        return None


def _pair(result: Any) -> tuple[Any, Any]:
    return result if isinstance(result, tuple) else (result, None)


def _place(message: str) -> tuple[int, str]:
    """(line, text) of a Lua message; line 0 if it names none."""
    match = _PLACE.match(message)
    return (int(match.group(1)), message[match.end() :]) if match else (0, message)
