"""A TSP box at the level of messages: lines, uploaded scripts, common commands, replies, waiting.

The box never sleeps. A script that waits (delay, a measurement, waitcomplete) is suspended until
`pump(now)` reaches its time; lines that arrive meanwhile queue up behind it, as on the real box.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from lupa import lua51

from sim_instruments.tsp.errors import ErrorQueue, TspError
from sim_instruments.tsp.runtime import Attribute, TspRuntime, Wait

_LOAD = re.compile(r"\s*load(andrun)?script(?:\s+([A-Za-z_]\w*))?\s*$")
_NATIVE = {
    "*IDN?": "__idn",
    "*RST": "reset()",
    "*CLS": "errorqueue.clear() status.reset()",
    "*OPC?": "waitcomplete() __reply('1')",
    "*OPC": "opc()",
    "*WAI": "waitcomplete()",
    "*TST?": "__reply('0')",
    "*TRG": "__trigger()",
    "*ESR?": "__reply(__esr())",
    "*STB?": "__reply(__stb())",
}


class TspBox:
    """Line interpreter around a runtime. `now` is asked for the world's time at each message."""

    def __init__(self, now: Callable[[], float], random: Callable[[], float], identity: str) -> None:
        self._now = now
        self._random = random
        self.identity = identity
        self.errors = ErrorQueue()
        self.time = 0.0  # the running script's place in time, never after the world's
        self.on_time: Callable[[], None] = lambda: None  # called whenever `time` has moved on
        self.restart()

    def restart(self) -> None:
        """A fresh runtime without commands (power on); the owner defines them and calls `seal`."""
        self.runtime = TspRuntime(self.say, self.errors.put, self._random)
        self.replies: deque[bytes] = deque()
        self.inbox: deque[str] = deque()
        self.scripts: dict[str, str] = {}  # uploaded, by name
        self.definitions: dict[str, None] = {}  # plain lines that defined functions, in order
        self._upload: tuple[str, bool, list[str]] | None = None
        self.runtime.define("errorqueue", self._errorqueue())
        self.runtime.define("delay", lambda seconds: self.wait(float(seconds)))
        self.runtime.define("__reply", lambda text: self.say(str(text)))
        self.runtime.define("__stb", lambda: str(self.status_byte()))

    # ---- what a transport does ----

    def message(self, data: bytes) -> None:
        """One program message; line ends inside it separate commands."""
        for line in data.decode("latin-1").replace("\r", "").split("\n"):
            if line.strip() == "abort":
                self.abort_script()
            else:
                self.inbox.append(line)
        if not self.runtime.active:
            self.time = max(self.time, self._now())
        self.pump(self._now())

    def pump(self, now: float) -> None:
        """Run what can run by `now`."""
        while True:
            if self.runtime.active:
                if self.runtime.wait_until_s > now:
                    return
                self.time = max(self.time, self.runtime.wait_until_s)
                self.on_time()
                self._guarded(self._step)
            elif self.inbox:
                line = self.inbox.popleft()
                self._guarded(partial(self._line, line))
            else:
                return

    def reply(self) -> bytes | None:
        return self.replies.popleft() if self.replies else None

    def waiting_until_s(self) -> float | None:
        """The time at which the running script goes on; None without one."""
        return self.runtime.wait_until_s if self.runtime.active else None

    def device_clear(self) -> None:
        """Input, replies and the running script are forgotten; outputs, sweeps and errors stay."""
        self.replies.clear()
        self.abort_script()
        self._upload = None

    def abort_script(self) -> None:
        self.inbox.clear()
        self.runtime.stop()

    def status_byte(self) -> int:
        """Bit 4: a reply waits. Bit 2: the error queue is not empty."""
        return (16 if self.replies else 0) | (4 if len(self.errors) else 0)

    # ---- what commands do ----

    def say(self, line: str) -> None:
        self.replies.append(line.encode("latin-1", "replace") + b"\n")

    def wait(self, seconds: float) -> Wait | None:
        """Suspend the script; nothing for a time of zero or less."""
        return Wait(self.time + seconds) if seconds > 0 else None

    # ---- lines ----

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except TspError as error:
            self.errors.put(error.code, str(error))
        except lua51.LuaMemoryError:
            self.runtime.stop()
            self.errors.put(-225, "Out of memory or TSP memory allocation error")

    def _line(self, line: str) -> None:
        if self._upload is not None:
            self._collect(line)
            return
        match = _LOAD.match(line)
        if match:
            self._upload = (match.group(2) or "", bool(match.group(1)), [])
            return
        text = line.strip()
        if not text:
            return
        if text.startswith("*"):
            self._native(text)
            return
        self._run(self.runtime.compile(line, "line"))
        if "function" in line:
            self.definitions[line] = None

    def _native(self, text: str) -> None:
        command = _NATIVE.get(text.upper())
        if command is None:
            raise TspError("Undefined header", -113)
        if command == "__idn":
            self.say(self.identity)
            return
        self._run(self.runtime.compile(command, "native"))

    def _collect(self, line: str) -> None:
        assert self._upload is not None
        name, run, lines = self._upload
        if line.strip() != "endscript":
            lines.append(line)
            return
        self._upload = None
        chunk = self.load_script(name, "\n".join(lines))
        if run:
            self._run(chunk)

    def load_script(self, name: str, source: str) -> Any:
        """Compile an uploaded script and give it its name (`run()` starts an anonymous one)."""
        chunk = self.runtime.compile(source, name or "anonymous")
        self.scripts[name] = source
        members = {
            "run": chunk,
            "__call": chunk,
            "name": name,
            "source": Attribute(lambda: source),
            "save": lambda *_: None,
        }
        if name:
            self.runtime.define(name, members)
        else:
            self.runtime.define("run", chunk)
        return chunk

    def _run(self, chunk: Any) -> None:
        self.runtime.start(chunk)
        self._step()

    def _step(self) -> None:
        self.runtime.step()

    def _errorqueue(self) -> dict[str, Any]:
        def next_error() -> tuple[int, str, int, int]:
            entry = self.errors.next()
            return entry.code, entry.text, entry.severity, entry.node

        return {"count": Attribute(lambda: len(self.errors)), "next": next_error, "clear": self.errors.clear}

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        """Scripts, data and queues. A suspended script is not part of it."""
        data = {name: self.runtime.plain(self.runtime.user_value(name)) for name in self.runtime.user_names()}
        return {
            "scripts": dict(self.scripts),
            "definitions": list(self.definitions),
            "data": {name: value for name, value in data.items() if value is not None},
            "errors": [[entry.code, entry.text, entry.severity] for entry in self.errors.entries],
            "replies": list(self.replies),
            "time": self.time,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Into a fresh runtime with its commands defined. Functions come back by running the scripts
        and lines that defined them while every command is mute."""
        self.runtime.muted = True
        for name, source in state["scripts"].items():
            chunk = self.load_script(name, source)
            if "function" in source:
                self._guarded(partial(self._run, chunk))
        for line in state["definitions"]:
            self._guarded(partial(self._line, line))
        self.runtime.muted = False
        self.replies.clear()
        self.errors.clear()
        for name, value in state["data"].items():
            self.runtime.define_raw(name, self.runtime.from_plain(value))
        for code, text, severity in state["errors"]:
            self.errors.put(code, text, severity)
        self.replies.extend(state["replies"])
        self.time = float(state["time"])
