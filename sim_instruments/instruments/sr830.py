"""Stanford Research SR830 lock-in amplifier. No SCPI: four letters, no error queue, bits in status bytes.

What it does not accept it ignores: only the standard event byte (*ESR?) says so, and several limits are
applied without any word (HARM, FREQ and OFLT depend on each other). Sources: SR830 manual chapter 5,
recalled [R], and PyMeasure's driver [D].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim_instruments.instruments.sr830_detector import Detector, Drive
from sim_instruments.instruments.sr830_filter import Filter
from sim_instruments.instruments.sr830_settings import (
    BUFFER_POINTS,
    DETECTION,
    DETECTION_MAX_HZ,
    FREQUENCY_RANGE_HZ,
    INPUT_MAX_V,
    KEPT,
    LONGEST_FAST_TC,
    OUTPUT_LIMIT,
    RATES_HZ,
    RESERVE_DB,
    SENSITIVITIES_V,
    SETTINGS,
    TIME_CONSTANTS_S,
)
from sim_instruments.world.contracts import Level, Link, World

COMMAND = re.compile(r"(\*?[A-Z]{3,4})(\?)?\s*(.*)", re.ASCII | re.IGNORECASE)
POWER_ON, COMMAND_ERROR, EXECUTION_ERROR, QUERY_ERROR = 128, 32, 16, 4  # *ESR bits
INPUT_OVERLOAD, FILTER_OVERLOAD, OUTPUT_OVERLOAD, UNLOCKED, RANGE_SWITCHED, TC_CHANGED, TRIGGERED = (
    1, 2, 4, 8, 16, 32, 64,
)  # fmt: skip
NO_SCAN, IDLE, ERROR_BIT, LIA_BIT, AVAILABLE, EVENT_BIT, SERVICE = 1, 2, 4, 8, 16, 32, 64
BUS_ERROR = 32  # ERRS bit
PICKUP_V = 30e-6  # amplitude of mains pick-up at the input; source: device-model.md 2 (20 to 50 uV)
NOTCH = 0.03  # of the pick-up that a line filter leaves [R]
AUTO_S = 1.0  # an auto function takes at least this long [R]
EXPANDS = (1, 10, 100)


class _CommandError(Exception):
    """No such mnemonic, or arguments that cannot be meant."""


class _ExecutionError(Exception):
    """An argument out of its range, or something that cannot be done now."""


class SR830:
    """The sine drives terminal '<name>.sine' (behind 50 ohm), the input is '<name>.input'.

    The sine is lived through by the devices as a staircase and comes back with all harmonics that they
    make; the detector works period by period (its ripple is not simulated). Of a stretch longer than 20,000
    steps without a message only the end is lived through. Options: mains_pickup_v.
    """

    identity = "Stanford_Research_Systems,SR830,s/n12345,ver1.07"
    option_defaults: Mapping[str, Any] = {"mains_pickup_v": PICKUP_V}
    takes_blocks = False
    points: list[list[float]]
    auxiliary_v: list[float]
    displays: list[list[int]]
    expands: list[list[float]]
    _pending: bytes | None
    _since_s: float
    _busy_until_s: float
    _next_point_s: float
    _read_gain: float
    _detector: Detector
    _filter: Filter

    def __init__(self, name: str, world: World, link: Link, options: Mapping[str, Any]):
        unknown = sorted(set(options) - set(self.option_defaults))
        if unknown:
            known = ", ".join(sorted(self.option_defaults))
            raise ValueError(f"instrument '{name}': unknown option '{unknown[0]}'; it takes: {known}")
        self.name, self.world, self.link = name, world, link
        self.options = {**self.option_defaults, **options}
        self.values: dict[str, float] = {key: row.default for key, row in SETTINGS.items()}
        self.setups: dict[str, dict[str, float]] = {}
        self._commands: dict[str, Callable[[list[float]], None]] = {
            "*RST": lambda _: self._reset(),
            "*CLS": lambda _: self._clear_status(),
            "AUXV": self._set_auxiliary,
            "DDEF": self._set_display,
            "OEXP": self._set_expand,
            "AOFF": self._auto_offset,
            "AGAN": lambda _: self._auto_gain(),
            "ARSV": lambda _: self._auto(lambda: None),
            "APHS": lambda _: self._auto_phase(),
            "STRT": lambda _: self._scan(True),
            "STRD": lambda _: self._scan(True),
            "PAUS": lambda _: self._scan(False),
            "REST": lambda _: self._reset_scan(),
            "TRIG": lambda _: self.trigger(),
            "SSET": self._save,
            "RSET": self._recall,
            **{key: self._enable(key) for key in ("*ESE", "*SRE", "ERRE", "LIAE", "*PSC")},
        }
        self._queries: dict[str, Callable[[list[float]], str]] = {
            "*IDN": lambda _: self.identity,
            "*STB": lambda numbers: self._bit(self._status(), numbers),
            "*ESR": lambda numbers: self._taken("event", numbers),
            "ERRS": lambda numbers: self._taken("error", numbers),
            "LIAS": lambda numbers: self._taken("lia", numbers),
            "*TST": lambda _: "0",
            "OUTP": self._ask_output,
            "OUTR": self._ask_display,
            "SNAP": self._snap,
            "OAUX": self._ask_input,
            "AUXV": self._ask_auxiliary,
            "DDEF": self._ask_which_display,
            "OEXP": self._ask_expand,
            "SPTS": lambda _: str(len(self.points)),
            "TRCA": self._ask_trace,
            **{key: self._enabled(key) for key in ("*ESE", "*SRE", "ERRE", "LIAE", "*PSC")},
        }
        self._start()

    # ---- SimInstrument -------------------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        if self._pending is not None:
            self._pending = None
            self._event |= QUERY_ERROR
        answers = []
        for part in data.decode("latin-1").split(";"):
            try:
                answer = self._execute(part.strip())
            except _CommandError:
                self._event |= COMMAND_ERROR
                break
            except _ExecutionError:
                self._event |= EXECUTION_ERROR
                continue
            if answer is not None:
                answers.append(answer)
        if answers:
            self._pending = b"".join(answers)

    def reply(self, now: float) -> bytes | None:
        if self._pending is None or now < self._busy_until_s:
            return None
        reply, self._pending = self._pending, None
        return reply

    def reply_ready_s(self) -> float | None:
        return None if self._pending is None else max(self.world.now, self._busy_until_s)

    def unterminated(self) -> None:
        self._event |= QUERY_ERROR

    def device_clear(self) -> None:
        self._pending = None

    def status_byte(self) -> int:
        return self._status()

    def trigger(self) -> None:
        """Group execute trigger or TRIG: starts a scan that waits for one, or stores a point."""
        self._lia |= TRIGGERED
        if self.values["TSTR"]:
            self._scan(True)
        elif int(self.values["SRAT"]) == len(RATES_HZ):
            self._store()

    def power_cycle(self) -> None:
        self._start()

    # ---- time ----------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """The sine plays, the filter settles, points are stored."""
        if not self.scanning or int(self.values["SRAT"]) == len(RATES_HZ):
            self._pass(now)
            return
        interval_s = 1.0 / RATES_HZ[int(self.values["SRAT"])]
        while self.scanning and self._next_point_s <= now:
            self._pass(self._next_point_s)
            self._store()
            self._next_point_s += interval_s
        self._pass(now)

    def _pass(self, now: float) -> None:
        seconds = now - self._since_s
        if seconds <= 0:
            return
        self._since_s = now
        tc_s, stages = self.time_constant_s, self.stages
        for value, held_s in self._detector.advance(now, self._drive()):
            locked = value * self._read_gain if self.values["FMOD"] else 0j
            self._filter.feed(locked * self._turned(), held_s, tc_s, stages)
        self._filter.stir(seconds, tc_s, stages, self.world.stream(f"{self.name}.noise"))
        self._note_overloads()

    def _note_overloads(self) -> None:
        bears_v = min(INPUT_MAX_V, self.sensitivity_v * 10 ** (RESERVE_DB[int(self.values["RMOD"])] / 20))
        if self._detector.peak_v > bears_v:
            self._lia |= INPUT_OVERLOAD
        if not self.values["FMOD"]:
            self._lia |= UNLOCKED
        output = self._output()
        if max(abs(output.real), abs(output.imag)) > OUTPUT_LIMIT * self.sensitivity_v:
            self._lia |= OUTPUT_OVERLOAD

    def _drive(self) -> Drive:
        asked = np.array([self.values["SLVL"]])
        sine_v = float(self.world.instrument_errors(self.name).sourced(asked, 5.0)[0])
        return Drive(sine_v, self.values["FREQ"], int(self.values["HARM"]))

    def _turned(self) -> complex:
        return complex(np.exp(-1j * np.radians(self.values["PHAS"])))

    @property
    def time_constant_s(self) -> float:
        """In force."""
        return TIME_CONSTANTS_S[int(self.values["OFLT"])]

    @property
    def stages(self) -> int:
        """RC stages of the output filter, one for each 6 dB an octave."""
        return int(self.values["OFSL"]) + 1

    @property
    def sensitivity_v(self) -> float:
        """Full scale of the outputs (V rms)."""
        return SENSITIVITIES_V[int(self.values["SENS"])]

    @property
    def detected_hz(self) -> float:
        """Frequency that is detected."""
        return self.values["FREQ"] * self.values["HARM"]

    def _output(self) -> complex:
        """X + iY (V rms) with noise and pick-up, before the outputs' limits."""
        return self._filter.output(self.stages) + self._pickup()

    def _pickup(self) -> complex:
        """Mains at the input, beating with the reference and weakened by the filter."""
        apart = 2 * np.pi * (self.world.mains_hz - self.detected_hz)
        left = NOTCH if int(self.values["ILIN"]) & 1 else 1.0
        amplitude = float(self.options["mains_pickup_v"]) / np.sqrt(2) * left
        return complex(
            amplitude
            * np.exp(1j * ((apart * self._since_s) % (2 * np.pi)))
            / (1 + 1j * apart * self.time_constant_s) ** self.stages
        )

    # ---- messages ------------------------------------------------------------------------------------

    def _execute(self, text: str) -> bytes | None:
        if not text:
            return None
        found = COMMAND.fullmatch(text)
        if found is None:
            raise _CommandError
        mnemonic, query, tail = found[1].upper(), found[2], found[3]
        numbers = _numbers(tail)
        if query and mnemonic == "TRCB":
            return self._binary_trace(numbers)
        if query:
            return self._ask(mnemonic, numbers).encode() + self.link.terminator
        if mnemonic in SETTINGS:
            self._set(mnemonic, numbers)
        elif mnemonic in self._commands:
            self._commands[mnemonic](numbers)
        else:
            raise _CommandError
        return None

    def _ask(self, mnemonic: str, numbers: list[float]) -> str:
        if mnemonic in self._queries:
            return self._queries[mnemonic](numbers)
        if mnemonic not in SETTINGS or numbers:
            raise _CommandError
        row = SETTINGS[mnemonic]
        value = self.values[mnemonic]
        return str(int(value)) if row.whole else _number(value)

    def _set(self, mnemonic: str, numbers: list[float]) -> None:
        if len(numbers) != 1:
            raise _CommandError
        row, value = SETTINGS[mnemonic], numbers[0]
        if not row.low <= value <= row.high:
            raise _ExecutionError
        if row.whole:
            value = float(int(value))
        elif row.step:
            value = round(round(value / row.step) * row.step, 6)
        before = self.detected_hz
        self._take(mnemonic, value)
        if mnemonic in ("SRAT", "SEND"):
            self._reset_scan()
        if mnemonic in DETECTION:
            self._detector.forget()
        if (before > FREQUENCY_RANGE_HZ) != (self.detected_hz > FREQUENCY_RANGE_HZ):
            self._lia |= RANGE_SWITCHED
        if self.detected_hz > FREQUENCY_RANGE_HZ and self.values["OFLT"] > LONGEST_FAST_TC:
            self.values["OFLT"] = float(LONGEST_FAST_TC)
            self._lia |= TC_CHANGED

    def _take(self, mnemonic: str, value: float) -> None:
        """Limits that depend on other settings are applied without a word."""
        if mnemonic == "HARM":
            value = float(min(value, max(1, int(DETECTION_MAX_HZ / self.values["FREQ"]))))
        elif mnemonic == "FREQ":
            value = min(_five_digits(value), DETECTION_MAX_HZ / self.values["HARM"])
        elif mnemonic == "PHAS":
            value = (value + 180.0) % 360.0 - 180.0
        elif mnemonic == "OFLT" and self.detected_hz > FREQUENCY_RANGE_HZ:
            value = min(value, float(LONGEST_FAST_TC))
        self.values[mnemonic] = value

    # ---- outputs -------------------------------------------------------------------------------------

    def _reading(self, which: int) -> float:
        """1 X, 2 Y, 3 R (V), 4 theta (degrees), 5 to 8 auxiliary inputs (V), 9 frequency, 10, 11 displays."""
        output = self._output()
        limit_v = OUTPUT_LIMIT * self.sensitivity_v
        if which in (1, 2, 3):
            value = (output.real, output.imag, abs(output))[which - 1]
            return float(np.clip(value, -limit_v, limit_v))
        if which == 4:
            return float(np.degrees(np.angle(output)))
        if 5 <= which <= 8:
            return 0.0  # nothing is connected to the auxiliary inputs
        if which == 9:
            return self.values["FREQ"]
        shown = int(self.displays[which - 10][0])
        return self._reading(((1, 3, 1, 5, 6), (2, 4, 2, 7, 8))[which - 10][shown])

    def _ask_output(self, numbers: list[float]) -> str:
        return _number(self._reading(_one_of(numbers, range(1, 5))))

    def _ask_display(self, numbers: list[float]) -> str:
        return _number(self._reading(9 + _one_of(numbers, range(1, 3))))

    def _snap(self, numbers: list[float]) -> str:
        """Two to six quantities of one moment."""
        if not 2 <= len(numbers) <= 6:
            raise _CommandError
        wanted = [_one_of([number], range(1, 12)) for number in numbers]
        return ",".join(_number(self._reading(which)) for which in wanted)

    def _ask_input(self, numbers: list[float]) -> str:
        return _number(self._reading(4 + _one_of(numbers, range(1, 5))))

    def _set_auxiliary(self, numbers: list[float]) -> None:
        if len(numbers) != 2:
            raise _CommandError
        if abs(numbers[1]) > 10.5:
            raise _ExecutionError
        self.auxiliary_v[_one_of(numbers[:1], range(1, 5)) - 1] = round(numbers[1], 3)

    def _ask_auxiliary(self, numbers: list[float]) -> str:
        return f"{self.auxiliary_v[_one_of(numbers, range(1, 5)) - 1]:.3f}"

    def _set_display(self, numbers: list[float]) -> None:
        if len(numbers) != 3:
            raise _CommandError
        channel = _one_of(numbers[:1], range(1, 3)) - 1
        self.displays[channel] = [_one_of(numbers[1:2], range(5)), _one_of(numbers[2:], range(3))]

    def _ask_which_display(self, numbers: list[float]) -> str:
        return ",".join(map(str, self.displays[_one_of(numbers, range(1, 3)) - 1]))

    def _set_expand(self, numbers: list[float]) -> None:
        """Offset (%) and expand of the analogue outputs X, Y, R; readings over the bus do not have them."""
        if len(numbers) != 3:
            raise _CommandError
        if abs(numbers[1]) > 105:
            raise _ExecutionError
        self.expands[_one_of(numbers[:1], range(1, 4)) - 1] = [numbers[1], _one_of(numbers[2:], range(3))]

    def _ask_expand(self, numbers: list[float]) -> str:
        offset, expand = self.expands[_one_of(numbers, range(1, 4)) - 1]
        return f"{offset:.2f},{int(expand)}"

    def _auto_offset(self, numbers: list[float]) -> None:
        which = _one_of(numbers, range(1, 4))
        percent = float(np.clip(100 * self._reading(which) / self.sensitivity_v, -105, 105))
        self.expands[which - 1] = [percent, self.expands[which - 1][1]]

    # ---- auto functions ------------------------------------------------------------------------------

    def _auto(self, action: Callable[[], None]) -> None:
        """The box answers only when the filter has settled."""
        action()
        self._busy_until_s = self.world.now + max(AUTO_S, 5 * self.time_constant_s)

    def _auto_gain(self) -> None:
        if self.time_constant_s > 1.0:
            return  # AGAN does nothing with longer time constants; source: manual, recalled [R]
        magnitude_v = abs(self._output())
        fitting = [place for place, span in enumerate(SENSITIVITIES_V) if magnitude_v <= span]
        self._auto(lambda: self.values.update(SENS=float(fitting[0] if fitting else 26)))

    def _auto_phase(self) -> None:
        turned = self.values["PHAS"] + float(np.degrees(np.angle(self._output())))
        self._auto(lambda: self._take("PHAS", round(turned, 2)))

    # ---- data storage --------------------------------------------------------------------------------

    def _scan(self, on: bool) -> None:
        self.scanning = on
        rate = int(self.values["SRAT"])
        self._next_point_s = self.world.now + (1.0 / RATES_HZ[rate] if rate < len(RATES_HZ) else 0.0)

    def _reset_scan(self) -> None:
        self.scanning, self.points = False, []

    def _store(self) -> None:
        self.points.append([self._reading(10), self._reading(11)])
        if len(self.points) > BUFFER_POINTS:
            if self.values["SEND"]:
                self.points.pop(0)
            else:
                self.points.pop()
                self.scanning = False

    def _points(self, numbers: list[float]) -> list[float]:
        if len(numbers) != 3:
            raise _CommandError
        channel, first, count = (int(number) for number in numbers)
        if channel not in (1, 2) or first < 0 or count < 1 or first + count > len(self.points):
            raise _ExecutionError
        return [point[channel - 1] for point in self.points[first : first + count]]

    def _ask_trace(self, numbers: list[float]) -> str:
        return "".join(f"{_number(value)}," for value in self._points(numbers))

    def _binary_trace(self, numbers: list[float]) -> bytes:
        """Four bytes a point, little-endian, without header and terminator."""
        return np.array(self._points(numbers), "<f4").tobytes()

    # ---- status --------------------------------------------------------------------------------------

    def _status(self) -> int:
        byte = (0 if self.scanning else NO_SCAN) | (IDLE if self.world.now >= self._busy_until_s else 0)
        byte |= ERROR_BIT if self._error & self._enables["ERRE"] else 0
        byte |= LIA_BIT if self._lia & self._enables["LIAE"] else 0
        byte |= AVAILABLE if self._pending is not None else 0
        byte |= EVENT_BIT if self._event & self._enables["*ESE"] else 0
        return byte | (SERVICE if byte & self._enables["*SRE"] else 0)

    def _taken(self, which: str, numbers: list[float]) -> str:
        """A status byte, or one bit of it; what was read is cleared."""
        byte = getattr(self, f"_{which}")
        answer = self._bit(byte, numbers)
        setattr(self, f"_{which}", byte & ~(1 << int(numbers[0])) if numbers else 0)
        return answer

    @staticmethod
    def _bit(byte: int, numbers: list[float]) -> str:
        return str(byte >> _one_of(numbers, range(8)) & 1) if numbers else str(byte)

    def _enable(self, register: str) -> Callable[[list[float]], None]:
        def set_mask(numbers: list[float]) -> None:
            if len(numbers) == 2:  # one bit of it
                bit = 1 << _one_of(numbers[:1], range(8))
                kept = self._enables[register] & ~bit
                self._enables[register] = kept | (bit if _one_of(numbers[1:], range(2)) else 0)
            else:
                self._enables[register] = _one_of(numbers, range(256))

        return set_mask

    def _enabled(self, register: str) -> Callable[[list[float]], str]:
        return lambda numbers: self._bit(self._enables[register], numbers)

    def _clear_status(self) -> None:
        self._event = self._error = self._lia = 0

    # ---- set-ups -------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._event, self._error, self._lia = POWER_ON, 0, 0
        self._enables = {"*ESE": 0, "*SRE": 0, "ERRE": 0, "LIAE": 0, "*PSC": 1}
        self._pending = None
        self._busy_until_s = self._since_s = self._next_point_s = self.world.now
        self._read_gain = self.world.instrument_errors(self.name).read_gain
        self._detector = Detector(self.world, f"{self.name}.sine", f"{self.name}.input")
        self._filter = Filter()
        self._reset()
        # The sine has no relay: its line is driven for as long as the box has power.
        self.world.set_level(f"{self.name}.sine", Level(0.0, np.inf, True, True, 50.0))

    def _reset(self) -> None:
        """Standard settings: 1 kHz, and 1 V at the sine output."""
        kept = {key: self.values[key] for key in KEPT}
        self.values = {key: row.default for key, row in SETTINGS.items()} | kept
        self.auxiliary_v = [0.0] * 4
        self.displays = [[0, 0], [0, 0]]
        self.expands = [[0.0, 0], [0.0, 0], [0.0, 0]]
        self.points = []
        self.scanning = False
        self._detector.forget()

    def _save(self, numbers: list[float]) -> None:
        self.setups[str(_one_of(numbers, range(1, 10)))] = dict(self.values)

    def _recall(self, numbers: list[float]) -> None:
        place = str(_one_of(numbers, range(1, 10)))
        if place not in self.setups:
            raise _ExecutionError
        self.values = dict(self.setups[place])
        self._detector.forget()

    def snapshot(self) -> dict[str, Any]:
        return {
            "values": dict(self.values),
            "setups": {place: dict(values) for place, values in self.setups.items()},
            "status": [self._event, self._error, self._lia],
            "enables": dict(self._enables),
            "pending": self._pending,
            "times": [self._busy_until_s, self._since_s, self._next_point_s],
            "auxiliary_v": list(self.auxiliary_v),
            "displays": [list(each) for each in self.displays],
            "expands": [list(each) for each in self.expands],
            "points": np.array(self.points).reshape(-1, 2),
            "scanning": self.scanning,
            "detector": self._detector.state(),
            "filter": self._filter.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.values = dict(state["values"])
        self.setups = {place: dict(values) for place, values in state["setups"].items()}
        self._event, self._error, self._lia = state["status"]
        self._enables = dict(state["enables"])
        self._pending = state["pending"]
        self._busy_until_s, self._since_s, self._next_point_s = state["times"]
        self.auxiliary_v = list(state["auxiliary_v"])
        self.displays = [list(each) for each in state["displays"]]
        self.expands = [list(each) for each in state["expands"]]
        self.points = np.array(state["points"]).tolist()
        self.scanning = bool(state["scanning"])
        self._detector.restore(state["detector"])
        self._filter.restore(state["filter"])


def _numbers(text: str) -> list[float]:
    if not text.strip():
        return []
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise _CommandError from None
    if not np.isfinite(values).all():
        raise _CommandError
    return values


def _one_of(numbers: list[float], choice: range) -> int:
    """The one whole number that is asked for."""
    if len(numbers) != 1:
        raise _CommandError
    if numbers[0] != int(numbers[0]) or int(numbers[0]) not in choice:
        raise _ExecutionError
    return int(numbers[0])


def _number(value: float) -> str:
    return f"{value:.6g}"


def _five_digits(frequency_hz: float) -> float:
    """Frequencies have five digits, or 0.1 mHz; source: manual, recalled [R]."""
    return max(0.001, float(f"{frequency_hz:.5g}"))
