"""Keysight 81160A pulse and function generator: pulses, bursts, waveforms of one's own, bit patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim_instruments.instruments import keysight_shapes as shapes
from sim_instruments.instruments.keysight33600a_settings import Name
from sim_instruments.instruments.keysight81160a_settings import CHANNEL_SETTINGS, HIGHEST_HZ, NARROWEST_S
from sim_instruments.instruments.keysight_channels import CHANNELS, CONFLICT
from sim_instruments.instruments.keysight_generator import LOGIC_V
from sim_instruments.instruments.keysight_levels import Levels
from sim_instruments.instruments.keysight_playback import Block, block
from sim_instruments.instruments.keysight_shapes import Cycle
from sim_instruments.scpi.instrument import Block as BlockParameter
from sim_instruments.scpi.instrument import Choice, Number, NumberList, ScpiError, command, query
from sim_instruments.scpi.parameters import quote
from sim_instruments.world.contracts import FloatArray, PlayTrace

CODE_MAX = 8191  # source: PyMeasure's driver; 14 bits
POINTS = (2, 131_072)  # of a waveform in volatile memory [R]
NAMES_MAX = 32  # waveforms in non-volatile memory [R]
BUILT_IN = ("EXP_RISE", "EXP_FALL", "NEG_RAMP", "SINC", "CARDIAC")  # names of the family [R]
LOAD_S = 20e-3  # to take a waveform over; as the 33600A
NOISE_HZ = 1e6
PATTERN_BITS = 4096  # source: the 81110A family, recalled


class Keysight81160A(Levels):
    """Outputs on '<name>.ch1', '<name>.ch2'; trigger input '<name>.ext_trig'.

    With ARM:SOURce MAN or EXT each trigger plays TRIGger:COUNt cycles (or a burst of NCYCles).
    """

    identity = "Agilent Technologies,81160A,MY51400123,1.0.3.0-2.6"
    channel_settings = CHANNEL_SETTINGS
    highest_hz = HIGHEST_HZ
    narrowest_s = NARROWEST_S
    least_vpp = 0.1  # 50 mV into 50 ohm; source: limits in PyMeasure's driver
    most_vpp = 10.0  # 5 V into 50 ohm; source: the same
    option_defaults: ClassVar[Mapping[str, Any]] = {}
    start_latency_s: ClassVar[Mapping[str, float]] = {"MAN": 50e-6, "EXT": 200e-9}  # [R]
    reset_time_s = 0.5  # [R]
    memories = range(0, 5)
    state = ("volatile", "kept", "selected", "bits")

    def __init__(self, name: str, world: Any, link: Any, options: Mapping[str, Any]):
        self.kept: list[dict[str, Any]] = [{}, {}]  # non-volatile waveforms of each channel
        super().__init__(name, world, link, options)

    def on_reset(self) -> None:
        if "selected" in vars(self):
            self.play_to(self.world.now)
        self.volatile: list[Any] = [None, None]
        self.selected = ["VOLATILE", "VOLATILE"]
        self.bits: list[Any] = [np.array([0, 1]), np.array([0, 1])]
        super().on_reset()
        for channel in CHANNELS:
            self.put("hz", channel, 1e6)  # default period 1 us; source: bench.md 2.7

    # ---- what plays ---------------------------------------------------------------------------------

    def cycle(self, channel: int) -> Cycle:
        function, period_s = self.value("function", channel), self.get_period(channel)
        if function == "DC":
            return shapes.constant()
        if function == "PULS" and self.value("pattern", channel):
            levels = 2.0 * self.bits[channel - 1] - 1.0
            starts = np.arange(len(levels), dtype=np.float64) * period_s
            return Cycle(levels, starts, len(levels) * period_s, -1.0)
        if function == "PULS":
            return self._delayed(shapes.pulse(period_s, self.value("width", channel)), channel)
        if function == "USER":
            levels = self._user(channel) / CODE_MAX
            starts = np.arange(len(levels), dtype=np.float64) * (period_s / len(levels))
            return Cycle(levels, starts, period_s, float(levels[0]))
        if function == "NOIS":
            return shapes.noise(NOISE_HZ, self.world.stream(f"{self.name}.noise{channel}"))
        if function == "SQU":
            return shapes.pulse(period_s, self.value("square_duty", channel) / 100 * period_s)
        return (
            shapes.sine(period_s)
            if function == "SIN"
            else shapes.ramp(period_s, self.value("symmetry", channel) / 100)
        )

    def _delayed(self, cycle: Cycle, channel: int) -> Cycle:
        """A pulse that comes later in its period."""
        delay_s = min(self.value("delay", channel), cycle.duration_s - self.value("width", channel))
        if delay_s <= 0:
            return cycle
        starts = np.array([0.0, delay_s, delay_s + self.value("width", channel)])
        return Cycle(np.array([-1.0, 1.0, -1.0]), starts, cycle.duration_s, -1.0)

    def idle_level(self, channel: int) -> float:
        return 0.0 if self.value("function", channel) == "NOIS" else super().idle_level(channel)

    def blocks(self, channel: int, idle_v: float, repeats: float) -> list[Block]:
        endless = not np.isfinite(self.burst_cycles(channel))
        if endless or self.bursting(channel) or not self.value("burst", channel):
            return super().blocks(channel, idle_v, repeats)
        whole = shapes.repeated(
            self.cycle(channel), int(self.burst_cycles(channel)), self.value("burst_period", channel)
        )
        return [block(whole, *self.true_volts(channel), np.inf, LOGIC_V, idle_v, sync="each")]

    def bursting(self, channel: int) -> bool:
        if self.value("function", channel) in ("DC", "NOIS"):
            return False
        triggered = self.value("trigger", channel) in ("EXT", "MAN")
        return bool(
            triggered or (self.value("burst", channel) and self.value("burst_mode", channel) == "GAT")
        )

    def burst_cycles(self, channel: int) -> float:
        return float(self.value("cycles" if self.value("burst", channel) else "count", channel))

    # ---- triggers --------------------------------------------------------------------------------------

    def trigger(self) -> None:
        start_s = max(self.world.now, self.busy_until_s) + self.start_latency_s["MAN"]
        waiting = [channel for channel in CHANNELS if self.value("trigger", channel) == "MAN"]
        taken = [self._take_trigger(channel, start_s) for channel in waiting]
        if not any(taken):
            self.error(-211)

    @command("TRIGger[:IMMediate]")
    def trigger_now(self, channel: int = 1) -> None:
        """As *TRG."""
        self.trigger()

    def triggered(self, line: str, times_s: FloatArray, trace: PlayTrace | None) -> None:
        """Rising edges at the external trigger input."""
        if line != f"{self.name}.ext_trig":
            return
        for time_s in times_s.tolist():
            for channel in CHANNELS:
                if self.value("trigger", channel) == "EXT" and self.value("slope", channel) == "POS":
                    self._take_trigger(channel, time_s + self.start_latency_s["EXT"])

    def _take_trigger(self, channel: int, start_s: float) -> bool:
        if self.value("burst", channel) and self.value("burst_mode", channel) == "GAT":
            return False
        return self.start_burst(channel, start_s)

    # ---- settings that depend on each other -----------------------------------------------------------

    def get_edge_of_function(self, channel: int) -> float:
        return float(self.value("edge", channel))

    def set_edge_of_function(self, channel: int, edge_s: float) -> None:
        self.set_channel("edge", channel, edge_s)

    def width_limits(self, channel: int) -> tuple[float, float]:
        edges_s = 1.6 * self.value("edge", channel)  # source: bench.md 2.7
        return self.narrowest_s, max(self.narrowest_s, self.get_period(channel) - edges_s)

    def pattern_changed(self, channel: int) -> None:
        if self.value("pattern", channel) and self.value("function", channel) != "PULS":
            raise ScpiError(CONFLICT, "Settings conflict; patterns need the pulse function")
        self.refresh(channel)

    @command("DIGital<1-2>[:STIMulus]:PATTern:SEGMent:DATA", BlockParameter())
    def set_pattern(self, channel: int, content: bytes) -> None:
        """Bits of the only segment, one '0' or '1' for each; they play without return to zero."""
        if not 2 <= len(content) <= PATTERN_BITS or set(content) - set(b"01"):
            raise ScpiError(-224)
        self.before_change(channel)
        self.bits[channel - 1] = np.frombuffer(content, np.uint8) - ord("0")
        self.refresh(channel)

    @query("DIGital<1-2>[:STIMulus]:PATTern:SEGMent:LENGth")
    def pattern_length(self, channel: int) -> int:
        return len(self.bits[channel - 1])

    # ---- waveforms -------------------------------------------------------------------------------------

    def _user(self, channel: int) -> NDArray[np.float64]:
        """Samples of the selected waveform, -8191 to 8191; flat where nothing was loaded."""
        name = self.selected[channel - 1]
        found = self.volatile[channel - 1] if name == "VOLATILE" else self.kept[channel - 1].get(name)
        if found is None:
            found = np.zeros(2) if name == "VOLATILE" else _built_in(name)
        return np.asarray(found, np.float64)

    def get_user(self, channel: int) -> str:
        return str(self.selected[channel - 1])

    def set_user(self, channel: int, name: str) -> None:
        if name != "VOLATILE" and name not in self.kept[channel - 1] and name not in BUILT_IN:
            raise ScpiError(-224)
        self.before_change(channel)
        self.selected[channel - 1] = name
        self.refresh(channel)

    @command("[SOURce:]DATA<1-2>:DAC", Choice("VOLATILE"), BlockParameter())
    def load_codes(self, channel: int, place: str, content: bytes) -> None:
        """Samples as big-endian 16 bit numbers."""
        if len(content) % 2:
            raise ScpiError(-161)
        self._load(channel, np.frombuffer(content, ">i2").astype(np.int16))

    @command("[SOURce:]DATA<1-2>", Choice("VOLATILE"), NumberList(-1, 1, POINTS[1]))
    def load_floats(self, channel: int, place: str, values: FloatArray) -> None:
        """Samples as text, -1 to 1."""
        self._load(channel, np.rint(values * CODE_MAX).astype(np.int16))

    def _load(self, channel: int, codes: NDArray[np.int16]) -> None:
        if not POINTS[0] <= len(codes) <= POINTS[1] or int(np.abs(codes.astype(np.int32)).max()) > CODE_MAX:
            raise ScpiError(-222)
        self.before_change(channel)
        self.volatile[channel - 1] = codes
        self.busy_until_s = max(self.busy_until_s, self.world.now) + LOAD_S
        self.refresh(channel)

    @command("[SOURce:]DATA<1-2>:COPY", Name(), Choice("VOLATILE"), optional=1)
    def keep(self, channel: int, name: str, place: str = "VOLATILE") -> None:
        """The volatile waveform under a name that survives power."""
        if self.volatile[channel - 1] is None or len(name) > 12 or name == "VOLATILE":
            raise ScpiError(-224)
        if len(self.kept[channel - 1]) >= NAMES_MAX:
            raise ScpiError(-225)
        self.kept[channel - 1][name] = self.volatile[channel - 1]

    @command("[SOURce:]DATA<1-2>:DELete[:NAME]", Name())
    def delete(self, channel: int, name: str) -> None:
        if self.kept[channel - 1].pop(name, None) is None:
            raise ScpiError(-224)

    @query("[SOURce:]DATA<1-2>:NVOLatile:CATalog")
    def catalogue(self, channel: int) -> str:
        return ",".join(quote(name) for name in self.kept[channel - 1]) or quote("")

    @query("[SOURce:]DATA<1-2>:NVOLatile:FREE")
    def free_names(self, channel: int) -> int:
        return NAMES_MAX - len(self.kept[channel - 1])

    # ---- APPLy -----------------------------------------------------------------------------------------

    def _apply(self, function: str, channel: int, hz: float, amplitude: float, offset: float) -> None:
        self.before_change(channel)
        self.put("function", channel, function)
        self.put("burst", channel, False)
        self.put("trigger", channel, "IMM")
        if hz:
            self.set_channel("frequency", channel, hz)
        self.set_channel("offset", channel, 0.0)
        if amplitude:
            self.set_channel("amplitude", channel, amplitude)
        self.set_channel("offset", channel, offset)
        self.set_channel("output", channel, True)
        self.refresh(channel)

    @command("[SOURce:]APPLy<1-2>:SINusoid", Number(unit="HZ"), Number(unit="V"), Number(unit="V"))
    def apply_sine(self, channel: int, *given: float) -> None:
        self._apply("SIN", channel, *given)

    @command("[SOURce:]APPLy<1-2>:SQUare", Number(unit="HZ"), Number(unit="V"), Number(unit="V"))
    def apply_square(self, channel: int, *given: float) -> None:
        self._apply("SQU", channel, *given)

    @command("[SOURce:]APPLy<1-2>:PULSe", Number(unit="HZ"), Number(unit="V"), Number(unit="V"))
    def apply_pulse(self, channel: int, *given: float) -> None:
        self._apply("PULS", channel, *given)

    @command("[SOURce:]APPLy<1-2>:USER", Number(unit="HZ"), Number(unit="V"), Number(unit="V"))
    def apply_user(self, channel: int, *given: float) -> None:
        self._apply("USER", channel, *given)

    @command("[SOURce:]APPLy<1-2>:NOISe", Choice("DEFault"), Number(unit="V"), Number(unit="V"))
    def apply_noise(self, channel: int, hz: str, amplitude: float, offset: float) -> None:
        self._apply("NOIS", channel, 0.0, amplitude, offset)

    @command("[SOURce:]APPLy<1-2>:DC", Choice("DEFault"), Choice("DEFault"), Number(unit="V"))
    def apply_direct(self, channel: int, hz: str, amplitude: str, offset: float) -> None:
        self._apply("DC", channel, 0.0, 0.0, offset)

    @command("SYSTem:BEEPer[:IMMediate]")
    def beep(self) -> None:
        """A tone; nothing changes."""


def _built_in(name: str) -> FloatArray:
    """The box's own waveforms, as simple as they are."""
    x = np.linspace(0.0, 1.0, 256)
    made = {
        "EXP_RISE": 1 - np.exp(-5 * x),
        "EXP_FALL": np.exp(-5 * x),
        "NEG_RAMP": 1 - 2 * x,
        "SINC": np.sinc(16 * (x - 0.5)),
        "CARDIAC": np.exp(-((x - 0.4) ** 2) / 5e-4) - 0.2 * np.exp(-((x - 0.46) ** 2) / 5e-4),
    }
    return np.asarray(np.rint(CODE_MAX * made[name]), np.float64)
