"""Lake Shore 475 gaussmeter: one Hall probe, readings at a fixed rate, no error queue but *ESR?.

It is not a SCPI box: mnemonics without a tree, arguments after a blank, several commands after `;`.
Sources: user's manual pages 6-28 and 6-38 (formats of *OPC?, *RST, RDGREL?, RDGTEMP?, REL) and bench.md
2.9; what stands in the tables below carries its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim_instruments.world.contracts import Link, World
from sim_instruments.world.noise import NoiseTable

POWER_ON, COMMAND_ERROR, EXECUTION_ERROR, QUERY_ERROR, OPERATION_COMPLETE = 128, 32, 16, 4, 1
MESSAGE_AVAILABLE, EVENT_SUMMARY, REQUEST = 16, 32, 64

# UNIT 1 gauss, 2 tesla, 3 oersted, 4 ampere per metre
PER_TESLA: dict[int, float] = {1: 1e4, 2: 1.0, 3: 1e4, 4: 1e7 / (4 * np.pi)}
RANGES_T = (3.5e-3, 35e-3, 0.35, 3.5)  # RANGE 1 to 4; source: high-sensitivity probe, recalled, not verified
OVERRANGE = 1.0  # of the range; source: recalled, not verified
TYPE_HIGH_SENSITIVITY = 40  # source: manual of the 425, TYPE?
ZPROBE_S = 5.0  # source: recalled, not verified


@dataclass(frozen=True)
class Resolution:
    """One setting of RDGMODE's resolution: steps of a range, readings per second."""

    steps: float
    rate_hz: float
    source: str


_RECALLED = "475 specification sheet, recalled, not verified"
RESOLUTIONS = {
    1: Resolution(3.5e3, 100.0, _RECALLED),  # 3 digits
    2: Resolution(3.5e4, 30.0, _RECALLED),  # 4 digits
    3: Resolution(3.5e5, 10.0, _RECALLED),  # 5 digits
}
# (range in T, seconds per reading, rms in T, source)
NOISE = NoiseTable.of(
    [
        (span, 1.0 / RESOLUTIONS[digits].rate_hz, span * relative, _RECALLED)
        for span in RANGES_T
        for digits, relative in ((1, 1.0e-4), (2, 1.5e-5), (3, 4e-6))
    ]
)


class _CommandError(Exception):
    """An unknown mnemonic, or arguments that cannot be meant."""


class _ExecutionError(Exception):
    """An argument out of its range, or something that cannot be done now."""


class LakeShore475:
    """The gaussmeter reads the field along its probe, world.field_t("<name>.probe").

    A reading is renewed at the rate of the resolution; queries in between return the same one. Options:
    zero_offset_t (of the probe, until ZPROBE), gain_error (relative), temperature_c (of the probe).
    The control output is connected to nothing: CMODE and CSETP are kept and have no effect. Only DC
    readings (RDGMODE 1) exist here; RMS, peak and data log are refused.
    """

    identity = b"LSCI,MODEL475,4750117,1.2"
    option_defaults: Mapping[str, float] = {"zero_offset_t": 0.0, "gain_error": 0.0, "temperature_c": 23.0}
    factory: Mapping[str, tuple[float, ...]] = {
        "UNIT": (1,),
        "AUTO": (1,),
        "RANGE": (3,),
        "RDGMODE": (1, 2, 1, 1, 1),
        "REL": (0, 1),
        "RELSP": (0.0,),
        "CMODE": (0,),
        "CSETP": (0.0,),
    }
    allowed: Mapping[str, tuple[range, ...]] = {
        "UNIT": (range(1, 5),),
        "AUTO": (range(2),),
        "RANGE": (range(1, len(RANGES_T) + 1),),
        "RDGMODE": (range(1, 2), range(1, 4), range(1, 4), range(1, 3), range(1, 4)),
        "REL": (range(2), range(1, 3)),
        "CMODE": (range(2),),
    }
    takes_blocks = False
    _pending: bytes | None
    _ready_s: float
    _busy_until_s: float
    _present_field_t: float

    def __init__(self, name: str, world: World, link: Link, options: Mapping[str, Any]):
        unknown = sorted(set(options) - set(self.option_defaults))
        if unknown:
            known = ", ".join(sorted(self.option_defaults))
            raise ValueError(f"instrument '{name}': unknown option '{unknown[0]}'; it takes: {known}")
        self.name, self.world = name, world
        self.link = replace(link, terminator=b"\r\n")  # on every interface; source: bench.md 2.9
        self.options = {key: float(value) for key, value in {**self.option_defaults, **options}.items()}
        self._random = world.stream(f"{name}.reading")
        self._queries: dict[str, Callable[[], str]] = {
            "*IDN": lambda: self.identity.decode(),
            "*ESE": lambda: str(self._event_enable),
            "*ESR": self._take_events,
            "*OPC": lambda: "1",
            "*SRE": lambda: str(self._request_enable),
            "*STB": lambda: str(self.status_byte()),
            "*TST": lambda: "0",
            "RDGFIELD": lambda: self._field(self._reading_t()),
            "RDGREL": lambda: self._field(self._reading_t() - self._relative_to_t()),
            "RDGTEMP": lambda: engineering(self.options["temperature_c"]),
            "TYPE": lambda: str(TYPE_HIGH_SENSITIVITY),
        }
        self._commands: dict[str, Callable[[tuple[float, ...]], None]] = {
            "*CLS": self._clear_status,
            "*ESE": self._enable_events,
            "*OPC": lambda _: self._record(OPERATION_COMPLETE),
            "*RST": lambda _: None,  # power-up settings are the present ones: they survive a power cycle
            "*SRE": self._enable_request,
            "DFLT": self._factory_settings,
            "ZPROBE": self._zero_probe,
        }
        self._settings = dict(self.factory)
        self._offset_t = self.options["zero_offset_t"]
        self._event = POWER_ON
        self._start()

    # ---- SimInstrument -------------------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        if self._pending is not None:
            self._pending = None
            self._record(QUERY_ERROR)
        answers = []
        for part in data.decode("latin-1").split(";"):
            try:
                answer = self._execute(part.strip())
            except _CommandError:
                self._record(COMMAND_ERROR)
                break
            except _ExecutionError:
                self._record(EXECUTION_ERROR)
                continue
            if answer is not None:
                answers.append(answer)
        if answers:
            self._pending = ";".join(answers).encode("latin-1") + self.link.terminator
            self._ready_s = max(self.world.now, self._busy_until_s)

    def reply(self, now: float) -> bytes | None:
        if self._pending is None or now < self._ready_s:
            return None
        reply, self._pending = self._pending, None
        return reply

    def reply_ready_s(self) -> float | None:
        return None if self._pending is None else self._ready_s

    def unterminated(self) -> None:
        self._record(QUERY_ERROR)

    def device_clear(self) -> None:
        self._pending = None

    def status_byte(self) -> int:
        status = MESSAGE_AVAILABLE if self._pending is not None else 0
        if self._event & self._event_enable:
            status |= EVENT_SUMMARY
        return status | (REQUEST if status & self._request_enable else 0)

    def trigger(self) -> None:
        """*TRG starts the data log, which does not exist here."""
        self._record(COMMAND_ERROR)

    def advance(self, now: float) -> None:
        """Nothing runs by itself."""

    def power_cycle(self) -> None:
        self._event = POWER_ON
        self._start()

    def snapshot(self) -> dict[str, Any]:
        return {
            "settings": {key: list(values) for key, values in self._settings.items()},
            "offset_t": self._offset_t,
            "event": self._event,
            "event_enable": self._event_enable,
            "request_enable": self._request_enable,
            "pending": self._pending,
            "ready_s": self._ready_s,
            "busy_until_s": self._busy_until_s,
            "reading": list(self._reading),
            "present_field_t": self._present_field_t,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._settings = {key: tuple(values) for key, values in state["settings"].items()}
        self._offset_t = state["offset_t"]
        self._event, self._event_enable = state["event"], state["event_enable"]
        self._request_enable = state["request_enable"]
        self._pending, self._ready_s = state["pending"], state["ready_s"]
        self._busy_until_s = state["busy_until_s"]
        self._reading = (int(state["reading"][0]), float(state["reading"][1]))
        self._present_field_t = state["present_field_t"]

    # ---- commands ------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._event_enable = self._request_enable = 0
        self._pending = None
        self._ready_s = self._busy_until_s = 0.0
        self._reading = (-1, 0.0)  # number of the reading period, field in tesla
        self._present_field_t = 0.0  # what REL 1,2 subtracts

    def _execute(self, text: str) -> str | None:
        mnemonic, _, tail = text.partition(" ")
        mnemonic = mnemonic.upper()
        if not mnemonic:
            return None
        if mnemonic.endswith("?"):
            if tail.strip():
                raise _CommandError
            return self._ask(mnemonic[:-1])
        values = _numbers(tail)
        if mnemonic in self._settings:
            self._set(mnemonic, values)
        elif mnemonic in self._commands:
            self._commands[mnemonic](values)
        else:
            raise _CommandError
        return None

    def _ask(self, mnemonic: str) -> str:
        if mnemonic in self._queries:
            return self._queries[mnemonic]()
        values = self._settings.get(mnemonic)
        if values is None:
            raise _CommandError
        if mnemonic in self.allowed:
            return ",".join(str(int(value)) for value in values)
        return ",".join(engineering(value) for value in values)

    def _set(self, mnemonic: str, values: tuple[float, ...]) -> None:
        if len(values) != len(self._settings[mnemonic]):
            raise _CommandError
        choices = self.allowed.get(mnemonic)
        if choices and not all(_among(value, choice) for value, choice in zip(values, choices, strict=True)):
            raise _ExecutionError
        if mnemonic == "REL" and values == (1.0, 2.0):
            self._present_field_t = self._reading_t()
        self._settings[mnemonic] = values
        if mnemonic == "RANGE":
            self._settings["AUTO"] = (0,)
        if mnemonic in ("RANGE", "AUTO", "RDGMODE"):
            self._reading = (-1, 0.0)

    def _factory_settings(self, values: tuple[float, ...]) -> None:
        if values != (99.0,):
            raise _CommandError
        self._settings = dict(self.factory)

    def _zero_probe(self, values: tuple[float, ...]) -> None:
        """Zero the probe, which stands in its zero-field chamber meanwhile."""
        self._offset_t = 0.0
        self._busy_until_s = self.world.now + ZPROBE_S
        self._reading = (-1, 0.0)

    def _clear_status(self, values: tuple[float, ...]) -> None:
        self._event = 0

    def _enable_events(self, values: tuple[float, ...]) -> None:
        self._event_enable = _register(values)

    def _enable_request(self, values: tuple[float, ...]) -> None:
        self._request_enable = _register(values) & ~REQUEST

    def _take_events(self) -> str:
        events, self._event = self._event, 0
        return str(events)

    def _record(self, bit: int) -> None:
        self._event |= bit

    # ---- readings ------------------------------------------------------------------------------------

    def _reading_t(self) -> float:
        """The reading of the present period (T); inf beyond the range."""
        resolution = RESOLUTIONS[int(self._settings["RDGMODE"][1])]
        period = int(self.world.now * resolution.rate_hz + 1e-9)
        if self._reading[0] != period:
            true_t = float(self.world.field_t(f"{self.name}.probe")) * (1.0 + self.options["gain_error"])
            self._reading = (period, self._digitise(true_t + self._offset_t, resolution))
        return self._reading[1]

    def _digitise(self, field_t: float, resolution: Resolution) -> float:
        span_t = self._span_t(abs(field_t))
        noise_t = NOISE.rms(span_t, 1.0 / resolution.rate_hz) * float(self._random.standard_normal())
        step_t = span_t / resolution.steps
        reading_t = round((field_t + noise_t) / step_t) * step_t
        return reading_t if abs(reading_t) <= OVERRANGE * span_t else float(np.copysign(np.inf, reading_t))

    def _span_t(self, magnitude_t: float) -> float:
        """The range in use; autorange takes the lowest that holds the field, and shows it in RANGE?."""
        if self._settings["AUTO"][0]:
            fitting = [n for n, span in enumerate(RANGES_T, 1) if magnitude_t <= 0.98 * span]
            self._settings["RANGE"] = (fitting[0] if fitting else len(RANGES_T),)
        return RANGES_T[int(self._settings["RANGE"][0]) - 1]

    def _relative_to_t(self) -> float:
        if self._settings["REL"][1] == 2:
            return self._present_field_t
        return self._settings["RELSP"][0] / PER_TESLA[int(self._settings["UNIT"][0])]

    def _field(self, field_t: float) -> str:
        """A field in the chosen unit; OL beyond the range (source: recalled, not verified)."""
        if not np.isfinite(field_t):
            return "OL"
        return engineering(field_t * PER_TESLA[int(self._settings["UNIT"][0])])


def engineering(value: float) -> str:
    """As the box writes numbers: +nnn.nnnE+nn with an exponent in steps of three."""
    exponent = 0
    if value:
        exponent = int(np.clip(3 * np.floor(np.log10(abs(value)) / 3), -12, 12))
        if abs(value) / 10.0**exponent >= 999.9995:
            exponent += 3
    return f"{value / 10.0**exponent:+08.3f}E{exponent:+03d}"


def _numbers(text: str) -> tuple[float, ...]:
    if not text.strip():
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise _CommandError from None
    if not np.isfinite(values).all():
        raise _CommandError
    return values


def _among(value: float, choice: range) -> bool:
    return value == int(value) and int(value) in choice


def _register(values: tuple[float, ...]) -> int:
    if len(values) != 1:
        raise _CommandError
    if not _among(values[0], range(256)):
        raise _ExecutionError
    return int(values[0])
