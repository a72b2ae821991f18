"""Keysight 33600A waveform generator: functions, waveforms from memory, sequences, bursts, triggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments import keysight_shapes as shapes
from sim_instruments.instruments.keysight33600a_memory import (
    UNKNOWN,
    ArbData,
    WaveMemory,
    dac_codes,
    float_codes,
    refusal,
)
from sim_instruments.instruments.keysight33600a_settings import (
    BUILT_IN,
    CHANNEL_SETTINGS,
    HIGHEST_HZ,
    NARROWEST_S,
    SETTINGS,
    Name,
)
from sim_instruments.instruments.keysight_channels import CHANNELS, CONFLICT
from sim_instruments.instruments.keysight_generator import LOGIC_V
from sim_instruments.instruments.keysight_kernel import quantised
from sim_instruments.instruments.keysight_levels import RMS_FACTOR, Levels
from sim_instruments.instruments.keysight_playback import Block, block
from sim_instruments.instruments.keysight_shapes import Cycle
from sim_instruments.scpi.instrument import Block as BlockParameter
from sim_instruments.scpi.instrument import Boolean, Choice, ScpiError, Text, command, query
from sim_instruments.scpi.parameters import quote
from sim_instruments.world.contracts import FloatArray, PlayTrace

DAC_BITS = 14  # source: 33600A data sheet, 14 bit converter [R]
MEMORY_POINTS = 4_000_000  # of each channel without the memory option [R]; bench option `memory_points`
MEMORY_CHOICES = (1_000_000, 4_000_000, 16_000_000, 64_000_000)  # sources: bench.md 2.6, data sheet [R]
LOAD_S = 20e-3  # to make a waveform ready to play; source: bench.md 3.2, tens of ms a segment, recalled
SEQUENCE_S = 10e-3, 0.2e-3  # to read a sequence, and each of its steps; source: bench.md 3.2, recalled
FILES_MAX = 100


class Keysight33600A(Levels):
    """Outputs on '<name>.ch1', '<name>.ch2'; edges on '.sync', '.trig_out'; trigger input '.ext_trig'.

    Waveforms rest at their first sample between bursts. A change of a running waveform starts it afresh;
    a change during a burst ends the burst.
    """

    identity = "Agilent Technologies,33622A,MY53800123,A.02.03-3.15-03-64-02"
    channel_settings = CHANNEL_SETTINGS
    settings = SETTINGS
    highest_hz = HIGHEST_HZ
    narrowest_s = NARROWEST_S
    least_vpp = 2e-3  # 1 mV into 50 ohm [R]
    option_defaults: ClassVar[Mapping[str, Any]] = {"memory_points": MEMORY_POINTS}
    start_latency_s: ClassVar[Mapping[str, float]] = {"BUS": 50e-6, "EXT": 135e-9}  # [R]
    reset_time_s = 0.5  # [R]
    memories = range(0, 5)
    state = ("files", "arbs", "armed", "points_at")

    def __init__(self, name: str, world: Any, link: Any, options: Mapping[str, Any]):
        points = options.get("memory_points", MEMORY_POINTS)
        if points not in MEMORY_CHOICES:
            known = ", ".join(str(each) for each in MEMORY_CHOICES)
            raise ValueError(f"instrument '{name}': memory_points is one of {known}, got {points!r}")
        self.memory = {channel: WaveMemory(points) for channel in CHANNELS}
        self.files: dict[str, Any] = {}  # of the internal flash: they survive power and *RST
        super().__init__(name, world, link, options)

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        if "arbs" in vars(self):
            self.play_to(self.world.now)
        for memory in self.memory.values():
            memory.clear()
        self.arbs = [BUILT_IN, BUILT_IN]  # what each channel has selected
        self.armed = [0, 0]  # triggers that are still taken where INITiate:CONTinuous is off
        self.points_at = [0, 0]  # sample at which a waveform stands that triggers advance
        self.sync = {"on": True, "channel": 1}
        self.trigger_out = {"on": False, "channel": 1}
        super().on_reset()

    def snapshot(self) -> dict[str, Any]:
        outputs = {"sync": dict(self.sync), "trigger_out": dict(self.trigger_out)}
        memory = {str(channel): each.state() for channel, each in self.memory.items()}
        return {**super().snapshot(), "memories": memory, "outputs": outputs}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.sync, self.trigger_out = dict(state["outputs"]["sync"]), dict(state["outputs"]["trigger_out"])
        for channel, each in self.memory.items():
            each.restore(state["memories"][str(channel)])

    # ---- what plays ---------------------------------------------------------------------------------

    def cycle(self, channel: int) -> Cycle:
        function, period_s = self.value("function", channel), self.get_period(channel)
        if function == "ARB":
            return self._sampled(channel, self._first_wave(channel))
        if function == "DC":
            return shapes.constant()
        if function == "PULS":
            return shapes.pulse(period_s, self.value("width", channel))
        if function == "NOIS":
            return shapes.noise(
                self.value("bandwidth", channel), self.world.stream(f"{self.name}.noise{channel}")
            )
        if function == "PRBS":
            return shapes.pseudo_random(self.value("bit_rate", channel))
        if function == "SQU":
            made = shapes.pulse(period_s, self.value("square_duty", channel) / 100 * period_s)
        elif function == "SIN":
            made = shapes.sine(period_s)
        else:
            made = shapes.ramp(period_s, 0.5 if function == "TRI" else self.value("symmetry", channel) / 100)
        phase = self.value("burst_phase", channel) if self.value("burst", channel) else 0.0
        return shapes.rotated(made, phase % 360 / 360) if phase % 360 else made

    def _first_wave(self, channel: int) -> str:
        """The waveform that is selected, or the first one of the sequence that is."""
        name = self.arbs[channel - 1]
        steps = self.memory[channel].sequences.get(name)
        return str(steps[0]["arb"]) if steps else name

    def _sampled(self, channel: int, name: str) -> Cycle:
        wave = self.memory[channel].wave(name)
        return shapes.sampled(
            wave["codes"], wave["starts"], wave["points"], self.value("sample_rate", channel), DAC_BITS
        )

    def blocks(self, channel: int, idle_v: float, repeats: float) -> list[Block]:
        steps = self.memory[channel].sequences.get(self.arbs[channel - 1])
        if self.value("function", channel) == "ARB" and steps:
            return self._steps(channel, steps, idle_v)
        made = super().blocks(channel, idle_v, repeats)
        if not self.value("burst", channel) or self.bursting(channel):
            return made
        # The internal timer repeats the burst.
        which = "burst_period" if self.value("trigger", channel) == "IMM" else "timer"
        whole = shapes.repeated(
            self.cycle(channel), int(self.value("burst_cycles", channel)), self.value(which, channel)
        )
        return [block(whole, *self.true_volts(channel), np.inf, LOGIC_V, idle_v, sync="each")]

    def _steps(self, channel: int, steps: list[dict[str, Any]], idle_v: float) -> list[Block]:
        made, high = [], False
        for step in steps:
            endless = step["play"] in ("REPEATINF", "REPEATTILTRIG")
            repeats = np.inf if endless else max(1, step["repeats"]) if step["play"] == "REPEAT" else 1
            goes_high = step["marker"].startswith("HIGHATSTART")
            made.append(
                block(
                    self._sampled(channel, step["arb"]),
                    *self.true_volts(channel),
                    repeats,
                    LOGIC_V,
                    idle_v,
                    waits=step["play"] == "ONCEWAITTRIG",
                    until_trigger=step["play"] == "REPEATTILTRIG",
                    sync="first" if goes_high and not high else "none",
                )
            )
            high = step["marker"] == "HIGHATSTART" or (high and step["marker"] == "MAINTAIN")
        return made

    def bursting(self, channel: int) -> bool:
        return bool(self.value("burst", channel)) and (
            self.value("burst_mode", channel) == "GAT"
            or self.value("trigger", channel) in ("BUS", "EXT")
            or not np.isfinite(self.value("burst_cycles", channel))
        )

    def burst_cycles(self, channel: int) -> float:
        return float(self.value("burst_cycles", channel))

    def idle_level(self, channel: int) -> float:
        function = self.value("function", channel)
        if function == "NOIS":
            return 0.0
        if function != "ARB":
            return super().idle_level(channel)
        wave = self.memory[channel].wave(self._first_wave(channel))
        at = int(np.searchsorted(wave["starts"], self.points_at[channel - 1], side="right")) - 1
        return float(quantised(wave["codes"][at : at + 1], DAC_BITS)[0])

    def _by_trigger(self, channel: int) -> bool:
        return bool(self.value("function", channel) == "ARB" and self.value("advance_by", channel) == "TRIG")

    def refresh(self, channel: int) -> None:
        if self._by_trigger(channel):
            self.playing.pop(str(channel), None)
            self.rest(channel)
        else:
            super().refresh(channel)

    def sync_channel(self) -> int | None:
        return int(self.sync["channel"]) if self.sync["on"] else None

    def trigger_out_channel(self) -> int | None:
        return int(self.trigger_out["channel"]) if self.trigger_out["on"] else None

    # ---- settings that depend on each other -----------------------------------------------------------

    def function_changed(self, channel: int) -> None:
        if self.value("unit", channel) != "VPP" and self.value("function", channel) not in RMS_FACTOR:
            self.put("unit", channel, "VPP")
        if self.value("function", channel) in ("DC", "NOIS") and self.value("burst", channel):
            self.put("burst", channel, False)
            self.complain(CONFLICT, "burst turned off by selection of other mode or function")
        low, high = self.hz_limits(channel)
        if not low <= self.value("hz", channel) <= high:
            self.put("hz", channel, high)
            self.complain(CONFLICT, "frequency reduced for the new function")
        room_v = self.level_limits(channel)[1] - self.value("vpp", channel) / 2
        if self.value("function", channel) != "DC" and abs(self.value("offset", channel)) > room_v * (
            1 + 1e-9
        ):
            self.put("offset", channel, float(np.copysign(room_v, self.value("offset", channel))))
            self.complain(CONFLICT, "offset changed due to amplitude")
        self.refresh(channel)

    def burst_changed(self, channel: int) -> None:
        if self.value("burst", channel) and self.value("function", channel) in ("DC", "NOIS"):
            raise ScpiError(CONFLICT, "Settings conflict; not able to burst this function")
        self.refresh(channel)

    def advance_changed(self, channel: int) -> None:
        self.points_at[channel - 1] = 0
        self.refresh(channel)

    # ---- waveforms -------------------------------------------------------------------------------------

    def set_arb(self, channel: int, name: str) -> None:
        if not self.memory[channel].holds(name):
            raise refusal(UNKNOWN)
        self.before_change(channel)
        if name != self.arbs[channel - 1]:
            self.busy_until_s = max(self.busy_until_s, self.world.now) + LOAD_S
        self.arbs[channel - 1] = name
        self.points_at[channel - 1] = 0
        if self.value("function", channel) == "ARB":
            self.refresh(channel)

    def get_arb(self, channel: int) -> str:
        return quote(self.arbs[channel - 1])

    def _points(self, channel: int) -> int:
        return self.memory[channel].points(self.arbs[channel - 1])

    def get_arb_period(self, channel: int) -> float:
        return self._points(channel) / float(self.value("sample_rate", channel))

    def set_arb_period(self, channel: int, period_s: float) -> None:
        self.set_channel("sample_rate", channel, self._points(channel) / period_s)

    def get_arb_hz(self, channel: int) -> float:
        return 1 / self.get_arb_period(channel)

    def set_arb_hz(self, channel: int, hz: float) -> None:
        self.set_channel("sample_rate", channel, self._points(channel) * hz)

    @query("[SOURce<1-2>:]FUNCtion:ARBitrary:POINts")
    def arb_points(self, channel: int = 1) -> int:
        return self._points(channel)

    @command("[SOURce<1-2>:]DATA:ARBitrary:DAC", ArbData())
    def load_codes(self, *rest: Any) -> None:
        channel, (name, data) = _channel_first(rest)
        self.memory[channel].add(name, dac_codes(data, self.values["order"] == "SWAP"))

    @command("[SOURce<1-2>:]DATA:ARBitrary", ArbData())
    def load_floats(self, *rest: Any) -> None:
        channel, (name, data) = _channel_first(rest)
        self.memory[channel].add(name, float_codes(data, self.values["order"] == "SWAP"))

    @command("[SOURce<1-2>:]DATA:SEQuence", BlockParameter())
    def load_sequence(self, *rest: Any) -> None:
        channel, content = _channel_first(rest)
        steps = self.memory[channel].add_sequence(content.decode("latin-1"))
        self.busy_for(SEQUENCE_S[0] + steps * SEQUENCE_S[1])

    @command("[SOURce<1-2>:]DATA:VOLatile:CLEar")
    def clear_memory(self, channel: int = 1) -> None:
        """Waveforms and sequences go; the channel falls back to the built-in waveform."""
        self.before_change(channel)
        self.memory[channel].clear()
        self.arbs[channel - 1] = BUILT_IN
        self.points_at[channel - 1] = 0
        if self.value("function", channel) == "ARB":
            self.refresh(channel)

    @query("[SOURce<1-2>:]DATA:VOLatile:CATalog")
    def catalogue(self, channel: int = 1) -> str:
        memory = self.memory[channel]
        return ",".join(quote(name) for name in (*memory.waves, *memory.sequences))

    @query("[SOURce<1-2>:]DATA:VOLatile:FREE")
    def free_points(self, channel: int = 1) -> int:
        return self.memory[channel].free

    @query("[SOURce<1-2>:]DATA:ATTRibute:POINts", Name(), optional=1)
    def points_of(self, *rest: Any) -> int:
        channel = next((each for each in rest if isinstance(each, int)), 1)
        name = next((each for each in rest if isinstance(each, str)), self.arbs[channel - 1])
        return self.memory[channel].points(name)

    @command("MMEMory:STORe:DATA<1-2>", Text())
    def store_file(self, channel: int, path: str) -> None:
        """Keep the selected waveform as a file of the internal flash."""
        if len(self.files) >= FILES_MAX:
            raise ScpiError(-225)
        self.files[_path(path)] = dict(self.memory[channel].wave(self.arbs[channel - 1]))

    @command("MMEMory:LOAD:DATA<1-2>", Text())
    def load_file(self, channel: int, path: str) -> None:
        """Load a file; it takes its points again even if it is loaded already."""
        name = _path(path)
        if name not in self.files:
            raise ScpiError(-256, "File name not found")
        self.before_change(channel)
        self.memory[channel].load(name, self.files[name])

    @command("MMEMory:DELete", Text())
    def delete_file(self, path: str) -> None:
        if self.files.pop(_path(path), None) is None:
            raise ScpiError(-256, "File name not found")

    # ---- triggers --------------------------------------------------------------------------------------

    def trigger(self) -> None:
        """*TRG: all channels that wait for the bus start with the same edge."""
        took = [channel for channel in CHANNELS if self.value("trigger", channel) == "BUS"]
        start_s = max(self.world.now, self.busy_until_s) + self.start_latency_s["BUS"]
        taken = [self._take_trigger(channel, start_s) for channel in took]
        if not any(taken):
            self.error(-211)

    def triggered(self, line: str, times_s: FloatArray, trace: PlayTrace | None) -> None:
        """Rising edges at the external trigger input."""
        if line != f"{self.name}.ext_trig":
            return
        for time_s in times_s.tolist():
            for channel in CHANNELS:
                if self.value("trigger", channel) == "EXT" and self.value("slope", channel) == "POS":
                    self._take_trigger(channel, time_s + self.start_latency_s["EXT"])

    def _take_trigger(self, channel: int, time_s: float) -> bool:
        if not self.value("continuous", channel):
            if not self.armed[channel - 1]:
                return False
            self.armed[channel - 1] -= 1
        if self._by_trigger(channel):
            self.points_at[channel - 1] = (self.points_at[channel - 1] + 1) % self._points(channel)
            self.rest(channel)
            return True
        if self.value("burst_mode", channel) == "GAT" and self.value("burst", channel):
            return False
        return self.start_burst(channel, time_s + self.value("trigger_delay", channel))

    @command("TRIGger<1-2>[:IMMediate]")
    def force_trigger(self, channel: int) -> None:
        """Whatever the trigger source is, the channel starts now."""
        start_s = max(self.world.now, self.busy_until_s) + self.start_latency_s["BUS"]
        if not self._take_trigger(channel, start_s):
            self.error(-211)

    @command("INITiate<1-2>[:IMMediate]")
    def initiate(self, channel: int) -> None:
        if self.value("continuous", channel) or self.armed[channel - 1]:
            raise ScpiError(-213)
        self.armed[channel - 1] = int(self.value("trigger_count", channel))

    @command("INITiate[:IMMediate]:ALL")
    def initiate_all(self, channel: int = 1) -> None:
        for each in CHANNELS:
            self.initiate(each)

    @command("ABORt")
    def abort(self) -> None:
        """Bursts and sequences end; the trigger system waits again where it is continuous."""
        self.armed = [0, 0]
        self.end_all()

    @command("[SOURce<1-2>:]PHASe:SYNChronize")
    def synchronize(self, channel: int = 1) -> None:
        """Both channels start their cycles together, now."""
        self.play_to(self.world.now)
        for each in CHANNELS:
            if not self.bursting(each):
                self.refresh(each)

    # ---- sync and trigger output -----------------------------------------------------------------------

    @command("OUTPut<1-2>:SYNC[:STATe]", Boolean())
    def set_sync(self, channel: int, on: bool) -> None:
        self.before_change(channel)
        self.sync["on"] = on

    @query("OUTPut<1-2>:SYNC[:STATe]")
    def get_sync(self, channel: int) -> bool:
        return bool(self.sync["on"])

    @command("OUTPut<1-2>:SYNC:SOURce", Choice("CH1", "CH2"))
    def set_sync_source(self, channel: int, source: str) -> None:
        self.before_change(channel)
        self.sync["channel"] = int(source[2])

    @query("OUTPut<1-2>:SYNC:SOURce")
    def get_sync_source(self, channel: int) -> str:
        return f"CH{self.sync['channel']}"

    @command("OUTPut<1-2>:TRIGger[:STATe]", Boolean())
    def set_trigger_out(self, channel: int, on: bool) -> None:
        self.before_change(channel)
        self.trigger_out["on"] = on

    @query("OUTPut<1-2>:TRIGger[:STATe]")
    def get_trigger_out(self, channel: int) -> bool:
        return bool(self.trigger_out["on"])

    @command("OUTPut<1-2>:TRIGger:SOURce", Choice("CH1", "CH2"))
    def set_trigger_source(self, channel: int, source: str) -> None:
        self.before_change(channel)
        self.trigger_out["channel"] = int(source[2])

    # ---- the rest ---------------------------------------------------------------------------------------

    @command("DISPlay:TEXT", Text())
    def show(self, text: str) -> None:
        """A text on the display; nothing else changes."""

    @command("DISPlay:TEXT:CLEar")
    def show_nothing(self) -> None:
        """The text goes; nothing else changes."""

    @command("SYSTem:BEEPer[:IMMediate]")
    def beep(self) -> None:
        """A tone; nothing changes."""


def _channel_first(rest: tuple[Any, ...]) -> tuple[int, Any]:
    """(channel, value) of a handler whose header may leave the channel out."""
    return (int(rest[0]), rest[1]) if len(rest) == 2 else (1, rest[0])


def _path(path: str) -> str:
    r"""A file of the internal flash, 'INT:\name.arb', in capitals. -224 for any other place."""
    name = path.upper().replace("/", "\\")
    if not name.startswith("INT:\\") or not name.endswith((".ARB", ".BARB")):
        raise ScpiError(-224)
    return name
