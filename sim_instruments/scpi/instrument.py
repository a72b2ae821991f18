"""The part that all SCPI boxes share: messages in, answers out, settings, status, snapshots.

A box derives from `ScpiInstrument` and holds only its settings (as data), its commands (methods marked
with `command` and `query`) and its state machine. Nothing here waits: an answer carries the time from
which it can be read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from sim_instruments.scpi.errors import CME, OPC, PON, ScpiError, event_bit
from sim_instruments.scpi.lexer import Unit, cut, split_outside
from sim_instruments.scpi.parameters import (
    Block,
    Boolean,
    Channels,
    Choice,
    Number,
    NumberList,
    Parameter,
    Text,
    parse_arguments,
    quote,
)
from sim_instruments.scpi.status import ErrorQueue, Register
from sim_instruments.scpi.tree import CommandTree, Level
from sim_instruments.world.contracts import Link, World

__all__ = [
    "Answer",
    "Block",
    "Boolean",
    "Channels",
    "Choice",
    "Later",
    "Number",
    "NumberList",
    "ScpiError",
    "ScpiInstrument",
    "Setting",
    "Text",
    "command",
    "query",
]

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Setting:
    """A value that a command sets and the query of the same header returns.

    key: its name in `values`; default: after *RST; changed: method called after a new value was taken
    (it may refuse it with ScpiError: then the old value stays); kept: not touched by *RST.
    """

    key: str
    pattern: str
    parameter: Parameter
    default: Any
    changed: str = ""
    kept: bool = False


@dataclass
class _Leaf:
    """What a header does: a setting, or handlers for command and query."""

    setting: Setting | None = None
    command: _Handler | None = None
    query: _Handler | None = None


@dataclass(frozen=True)
class _Handler:
    method: str
    pattern: str
    is_query: bool
    parameters: tuple[Parameter, ...]
    required: int
    bound: tuple[str, ...] = ()  # arguments that the pattern itself stands for


def command(pattern: str, *parameters: Parameter, optional: int = 0) -> Callable[[Method], Method]:
    """Mark a method as the handler of a command; its last `optional` parameters may be left out."""
    return _mark(pattern, False, parameters, optional)


def query(pattern: str, *parameters: Parameter, optional: int = 0) -> Callable[[Method], Method]:
    """Mark a method as the handler of a query. It returns a plain value, bytes, or `Later`."""
    return _mark(pattern, True, parameters, optional)


def _mark(
    pattern: str, is_query: bool, parameters: tuple[Parameter, ...], optional: int
) -> Callable[[Method], Method]:
    def mark(method: Method) -> Method:
        handler = _Handler(method.__name__, pattern, is_query, parameters, max(0, len(parameters) - optional))
        marks = getattr(method, "scpi_handlers", ())
        method.scpi_handlers = (*marks, handler)  # type: ignore[attr-defined]
        return method

    return mark


@dataclass(frozen=True)
class Later:
    """An answer that exists only from `ready_s` on; then `method` of the instrument gives its value."""

    ready_s: float
    method: str


@dataclass
class Answer:
    """The answer to one message: finished parts, or names of methods that will know them; plain data."""

    parts: list[bytes | str] = field(default_factory=list)
    ready_s: float = 0.0


class ScpiInstrument:
    """Base of the SCPI boxes; implements contracts.SimInstrument.

    Class attributes that describe a box: identity (*IDN?), settings, state (names of attributes that a
    snapshot holds besides), option_defaults (bench-file options), error_depth, longest_message,
    reset_time_s (how long *RST keeps it busy), memories (numbers for *SAV/*RCL).
    """

    identity: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]] = ()
    state: ClassVar[tuple[str, ...]] = ()
    option_defaults: ClassVar[Mapping[str, Any]] = {}
    error_depth: ClassVar[int] = 10
    longest_message: ClassVar[int] = 1 << 24
    reset_time_s: ClassVar[float] = 0.0
    memories: ClassVar[range] = range(0)
    registers: ClassVar[tuple[str, ...]] = ("OPER", "MEAS", "QUES")
    tree: ClassVar[CommandTree[_Leaf]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.tree = _build_tree(cls)

    def __init__(self, name: str, world: World, link: Link, options: Mapping[str, Any]):
        unknown = sorted(set(options) - set(self.option_defaults))
        if unknown:
            known = ", ".join(sorted(self.option_defaults)) or "none"
            raise ValueError(f"instrument '{name}': unknown option '{unknown[0]}'; it takes: {known}")
        self.name, self.world, self.link = name, world, link
        self.options = {**self.option_defaults, **options}
        self.values: dict[str, Any] = {}
        self._event = self._event_enable = self._request_enable = 0
        self.operation, self.measurement, self.questionable = Register(), Register(), Register()
        self.errors = ErrorQueue(self.error_depth)
        self._memory: dict[str, dict[str, Any]] = {}
        self._pending: Answer | None = None
        self._request = False
        self._start()

    # ---- what a box may override -------------------------------------------------------------------

    def on_reset(self) -> None:
        """Bring the state that is no setting to its *RST value."""

    def on_power(self) -> None:
        """Bring the state that survives *RST to its power-on value."""

    def operation_end_s(self) -> float:
        """Time at which pending operations end (*OPC); inf while none is foreseen."""
        return self.world.now

    def trigger(self) -> None:
        """*TRG or group execute trigger."""
        self.error(-211)

    def advance(self, now: float) -> None:
        """Play what ended by `now`."""

    def refresh_status(self) -> None:
        """Bring the condition registers up to date before somebody looks at them."""

    def format_number(self, value: float) -> str:
        """A number in an answer."""
        return f"{9.9e37 if value == np.inf else value:.6E}"

    # ---- SimInstrument -----------------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        if self._pending is not None:
            self._pending = None
            self.error(-410)
        self._pending = self.execute(data)

    def reply(self, now: float) -> bytes | None:
        if self._pending is None or now < self._pending.ready_s:
            return None
        pending, self._pending = self._pending, None
        return self.answer_bytes(pending) + self.link.terminator

    def reply_ready_s(self) -> float | None:
        return None if self._pending is None else self._pending.ready_s

    def unterminated(self) -> None:
        self.error(-420)

    def interrupted(self) -> None:
        """A reply that was already on its way was overtaken by the next message."""
        self.error(-410)

    def device_clear(self) -> None:
        self._pending = None
        self._opc_armed = False

    def status_byte(self) -> int:
        """Serial poll: bit 6 is the service request, which the poll takes back."""
        byte = self._summary()
        requested, self._request = self._request, False
        return (byte & ~64) | (64 if requested else 0)

    def power_cycle(self) -> None:
        self._start()

    def snapshot(self) -> dict[str, Any]:
        return {
            "values": copy.deepcopy(self.values),
            "state": {key: copy.deepcopy(getattr(self, key)) for key in self.state},
            "memory": copy.deepcopy(self._memory),
            "registers": {key: register.state() for key, register in self._registers().items()},
            "errors": self.errors.state(),
            "standard": [self._event, self._event_enable, self._request_enable],
            "flags": [self._opc_armed, self._request, self._was_summary, self.busy_until_s],
            "pending": None if self._pending is None else [list(self._pending.parts), self._pending.ready_s],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.values = copy.deepcopy(state["values"])
        for key in self.state:
            setattr(self, key, copy.deepcopy(state["state"][key]))
        self._memory = copy.deepcopy(state["memory"])
        for key, register in self._registers().items():
            register.restore(state["registers"][key])
        self.errors.restore(state["errors"])
        self._event, self._event_enable, self._request_enable = state["standard"]
        self._opc_armed, self._request, self._was_summary, self.busy_until_s = state["flags"]
        pending = state["pending"]
        self._pending = None if pending is None else Answer(list(pending[0]), pending[1])

    # ---- executing messages ------------------------------------------------------------------------

    def execute(self, data: bytes) -> Answer | None:
        """Carry out one message; its answer, or None if nothing in it was a query.

        A command error (-1xx) ends the message, other errors only the unit that caused them.
        """
        answer = Answer(ready_s=self.world.now)
        try:
            if len(data) > self.longest_message:
                raise ScpiError(-223)
            units = split_outside(data.decode("latin-1"), ";")
            level: Level[_Leaf] | None = None
            for text in units:
                if text:
                    level = self._execute_unit(cut(text), level, answer)
        except ScpiError as refusal:
            self.error(refusal.code, refusal.text)
        answer.ready_s = max(answer.ready_s, self.busy_until_s)
        return answer if answer.parts else None

    def _execute_unit(self, unit: Unit, level: Level[_Leaf] | None, answer: Answer) -> Level[_Leaf] | None:
        common = unit.header.startswith("*")
        match = self.tree.match(unit.header, None if common else level)
        try:
            if unit.query:
                self._query(match.leaf, match.suffixes, unit.arguments, answer)
            else:
                self._command(match.leaf, match.suffixes, unit.arguments)
        except ScpiError as refusal:
            if event_bit(refusal.code) == CME:
                raise
            self.error(refusal.code, refusal.text)
        self._update_request()
        return level if common else match.level

    def _command(self, leaf: _Leaf, suffixes: tuple[int, ...], arguments: str) -> None:
        if leaf.command is not None:
            values = parse_arguments(arguments, leaf.command.parameters, leaf.command.required)
            getattr(self, leaf.command.method)(*leaf.command.bound, *suffixes, *values)
        elif leaf.setting is not None:
            self.set_value(leaf.setting, parse_arguments(arguments, (leaf.setting.parameter,), 1)[0])
        else:
            raise ScpiError(-113)

    def _query(self, leaf: _Leaf, suffixes: tuple[int, ...], arguments: str, answer: Answer) -> None:
        if leaf.query is not None:
            values = parse_arguments(arguments, leaf.query.parameters, leaf.query.required)
            value = getattr(self, leaf.query.method)(*leaf.query.bound, *suffixes, *values)
        elif leaf.setting is not None:
            value = self._setting_or_limit(leaf.setting, arguments.strip())
        else:
            raise ScpiError(-113)
        if isinstance(value, Later):
            answer.ready_s = max(answer.ready_s, value.ready_s)
            answer.parts.append(value.method)
        else:
            answer.parts.append(self.format_value(value))

    def _setting_or_limit(self, setting: Setting, keyword: str) -> Any:
        if not keyword:
            value = self.values[setting.key]
            quoted = isinstance(setting.parameter, Text) or getattr(setting.parameter, "quoted", False)
            return quote(value) if quoted else value
        limit = setting.parameter.keyword(keyword) if isinstance(setting.parameter, Number) else None
        if limit is None:
            raise ScpiError(-104 if isinstance(setting.parameter, Number) else -108)
        return limit

    def set_value(self, setting: Setting, value: Any) -> None:
        """Take a new value; the old one stays if the box refuses it."""
        before = self.values[setting.key]
        self.values[setting.key] = value
        if setting.changed:
            try:
                getattr(self, setting.changed)()
            except ScpiError:
                self.values[setting.key] = before
                raise

    def format_value(self, value: Any) -> bytes:
        """A value as the bytes of an answer."""
        if isinstance(value, bytes):
            return value
        if isinstance(value, bool | np.bool_):
            return b"1" if value else b"0"
        if isinstance(value, int | np.integer):
            return str(int(value)).encode()
        if isinstance(value, float):
            return self.format_number(float(value)).encode()
        return str(value).encode("latin-1")

    def answer_bytes(self, answer: Answer) -> bytes:
        """The finished answer; call it when its time has come."""
        return b";".join(
            self.format_value(getattr(self, part)()) if isinstance(part, str) else part
            for part in answer.parts
        )

    def error(self, code: int, text: str = "") -> None:
        """Put an error into the queue and set its event bit."""
        entry = ScpiError(code, text)
        self.errors.push(entry.code, entry.text)
        self._event |= event_bit(code)
        self._update_request()

    def busy_for(self, seconds: float) -> None:
        """Answers come no earlier than `seconds` from now."""
        self.busy_until_s = max(self.busy_until_s, self.world.now + seconds)

    # ---- status ------------------------------------------------------------------------------------

    def _registers(self) -> dict[str, Register]:
        every = {"OPER": self.operation, "MEAS": self.measurement, "QUES": self.questionable}
        return {key: every[key] for key in self.registers}

    def _summary(self) -> int:
        """The status byte with the master summary in bit 6."""
        self.refresh_status()
        if self._opc_armed and self.operation_end_s() <= self.world.now:
            self._opc_armed = False
            self._event |= OPC
        available = self._pending is not None and self._pending.ready_s <= self.world.now
        byte = (
            self.measurement.summary
            | (len(self.errors) > 0) << 2
            | self.questionable.summary << 3
            | available << 4
            | bool(self._event & self._event_enable) << 5
            | self.operation.summary << 7
        )
        summary = bool(byte & self._request_enable & ~64)
        if summary and not self._was_summary:
            self._request = True
        self._was_summary = summary
        return byte | summary << 6

    def _update_request(self) -> None:
        if self._request_enable:
            self._summary()

    def _start(self) -> None:
        """Power-on."""
        self._pending = None
        self._event, self._event_enable, self._request_enable = PON, 0, 0
        self._opc_armed = self._request = self._was_summary = False
        self.busy_until_s = self.world.now
        self.errors.clear()
        for register in (self.operation, self.measurement, self.questionable):
            register.condition = register.event = register.enable = 0
        self.values = {setting.key: copy.deepcopy(setting.default) for setting in self.settings}
        self.on_reset()
        self.on_power()

    # ---- common commands ---------------------------------------------------------------------------

    @query("*IDN")
    def _identity(self) -> str:
        return self.identity

    @command("*RST")
    def reset(self) -> None:
        """Settings to their defaults; the status registers and the queue stay."""
        for setting in self.settings:
            if not setting.kept:
                self.values[setting.key] = copy.deepcopy(setting.default)
        self._opc_armed = False
        self.on_reset()
        self.busy_for(self.reset_time_s)

    @command("*CLS")
    def _clear_status(self) -> None:
        self._event = 0
        self._opc_armed = False
        self.errors.clear()
        for register in self._registers().values():
            register.event = 0

    @query("*ESR")
    def _take_events(self) -> int:
        self._summary()
        event, self._event = self._event, 0
        return event

    @command("*ESE", Number(0, 255, integer=True))
    def _enable_events(self, bits: int) -> None:
        self._event_enable = bits

    @query("*ESE")
    def _enabled_events(self) -> int:
        return self._event_enable

    @command("*SRE", Number(0, 255, integer=True))
    def _enable_request(self, bits: int) -> None:
        self._request_enable = bits & ~64

    @query("*SRE")
    def _enabled_request(self) -> int:
        return self._request_enable

    @query("*STB")
    def _status(self) -> int:
        return self._summary()

    @command("*OPC")
    def _arm_completion(self) -> None:
        self._opc_armed = True
        self._summary()

    @query("*OPC")
    def _completion(self) -> Later:
        return Later(self.operation_end_s(), "_done")

    def _done(self) -> int:
        return 1

    @command("*WAI")
    def _wait(self) -> None:
        end_s = self.operation_end_s()
        if np.isfinite(end_s):
            self.busy_until_s = max(self.busy_until_s, end_s)

    @command("*TRG")
    def _trigger(self) -> None:
        self.trigger()

    @query("*TST")
    def _self_test(self) -> int:
        return 0

    @command("*SAV", Number(0, 4, integer=True))
    def _save(self, place: int) -> None:
        if place not in self.memories:
            raise ScpiError(-222 if self.memories else -113)
        self._memory[str(place)] = copy.deepcopy(self.values)

    @command("*RCL", Number(0, 4, integer=True))
    def _recall(self, place: int) -> None:
        if place not in self.memories:
            raise ScpiError(-222 if self.memories else -113)
        self.reset()
        self.values.update(copy.deepcopy(self._memory.get(str(place), {})))

    # ---- SYSTem and STATus -------------------------------------------------------------------------

    @query("SYSTem:ERRor[:NEXT]")
    @query("STATus:QUEue[:NEXT]")
    def _next_error(self) -> str:
        code, text = self.errors.take()
        return f"{code:+d},{quote(text)}" if code > 0 else f"{code},{quote(text)}"

    @command("STATus:QUEue:CLEar")
    @command("SYSTem:CLEar")
    def _clear_errors(self) -> None:
        self.errors.clear()

    @query("SYSTem:VERSion")
    def _version(self) -> str:
        return "1996.0"

    @command("STATus:PRESet")
    def _preset_status(self) -> None:
        for register in self._registers().values():
            register.enable = 0

    def _register_event(self, group: str) -> int:
        self.refresh_status()
        return self._registers()[group].take_event()

    def _register_condition(self, group: str) -> int:
        self.refresh_status()
        return self._registers()[group].condition

    def _register_enable(self, group: str) -> int:
        return self._registers()[group].enable

    def _enable_register(self, group: str, bits: int) -> None:
        self._registers()[group].enable = bits


_GROUPS = {"OPER": "OPERation", "MEAS": "MEASurement", "QUES": "QUEStionable"}


def _build_tree(cls: type[ScpiInstrument]) -> CommandTree[_Leaf]:
    """All settings and marked methods of a class and its bases, as one tree."""
    tree: CommandTree[_Leaf] = CommandTree()
    for setting in cls.settings:
        if setting.changed and not hasattr(cls, setting.changed):
            raise AttributeError(f"{cls.__name__} has no method {setting.changed} for {setting.pattern}")
        tree.add(setting.pattern, _Leaf(setting=setting))
    for handler in [*_status_handlers(cls.registers), *_marked_handlers(cls)]:
        leaf = tree.find(handler.pattern)
        if leaf is None:
            leaf = _Leaf()
            tree.add(handler.pattern, leaf)
        if handler.is_query:
            leaf.query = handler
        else:
            leaf.command = handler
    return tree


def _marked_handlers(cls: type[ScpiInstrument]) -> list[_Handler]:
    return [handler for name in dir(cls) for handler in getattr(getattr(cls, name), "scpi_handlers", ())]


def _status_handlers(groups: tuple[str, ...]) -> list[_Handler]:
    mask = (Number(0, 65535, integer=True),)
    handlers = []
    for group in groups:
        root = f"STATus:{_GROUPS[group]}"
        handlers += [
            _Handler("_register_event", f"{root}[:EVENt]", True, (), 0, (group,)),
            _Handler("_register_condition", f"{root}:CONDition", True, (), 0, (group,)),
            _Handler("_register_enable", f"{root}:ENABle", True, (), 0, (group,)),
            _Handler("_enable_register", f"{root}:ENABle", False, mask, 1, (group,)),
        ]
    return handlers
