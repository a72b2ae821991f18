"""Keysight 33600A two-channel waveform generator: a voltage behind 50 ohm, so currents need a known load.

Command set: bench notes 2.6. Waveforms go out as binary blocks, several channels and all their settings
in one message; PyMeasure's class sends them as text, number by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.instruments.agilent import Agilent33500

from drivers._keysight33600a_waves import WaveMemory
from drivers._link import Link, ask_through
from drivers._voltage_source import OUTPUT_OHM, KnownLoad
from hilab.errors import BenchError

CODE_MAX = 32767  # full scale of an arb's samples [M]
DAC_BITS = 14  # the samples that the converter tells apart [R]
OPEN_MAX_V = 10.0  # peak into an open circuit; half of it into 50 ohm [R]
OPEN_MIN_V = 1e-3  # smallest peak [R]
SAMPLE_RATE_HZ = (1e-6, 660e6)  # [R]
POINTS_MIN = 32  # shortest arb [M]
MEMORY_POINTS = 4_000_000  # of each channel without the memory option [R]; bench option `memory_points`
CYCLES_MAX = 100_000_000  # of a burst [R]
PULSE_WIDTH_S = (1e-6, 1e3)  # the box makes 5 ns; the lines of a probe station do not
START_S = 1e-3  # from a trigger by message to the first sample, at most [R]
LOAD_S = 20e-3  # what the box takes to make a loaded waveform ready to play [R]
AMPLITUDE_ACCURACY = 0.01  # of the setting, and 1 mV [R]
POLL_S = 5e-3


@dataclass(frozen=True)
class Waveform:
    """What one channel plays once it is triggered: samples (n,) int16 of +-32767 for +-full_v, cycles times.

    full_v: open-circuit volts of code 32767. The channel rests at the first sample between bursts.
    """

    channel: int
    codes: NDArray[np.int16]
    full_v: float
    sample_rate_hz: float
    cycles: int = 1
    name: str = "hilab"


class Keysight33600A(WaveMemory, Agilent33500):
    """Driver `keysight33600a`: pulse, bias and waveform source into a known load (`set_load_ohm`).

    Channel 1 drives the device; channel 2 is free for markers. Limits hold for channel 1.
    """

    model_pattern = "336"
    known_options = ("memory_points",)
    compliance_max_v = OPEN_MAX_V
    pulse_width_s = PULSE_WIDTH_S
    off_commands = (":ABOR", ":OUTP1 OFF;:OUTP2 OFF")
    output_ohm = OUTPUT_OHM
    open_max_v = OPEN_MAX_V
    code_max = CODE_MAX
    dac_step = 1 << (16 - DAC_BITS)  # codes that differ by less are the same voltage
    wave_code_step = dac_step
    wave_v = OPEN_MAX_V
    wave_sample_s = (1 / SAMPLE_RATE_HZ[1], 1 / SAMPLE_RATE_HZ[0])
    sample_rate_hz = SAMPLE_RATE_HZ
    points_min = POINTS_MIN
    cycles_max = CYCLES_MAX
    load_s = LOAD_S
    start_s = START_S
    amplitude_accuracy = AMPLITUDE_ACCURACY

    def __init__(self, address: Any, **kwargs: Any):
        self._mode = ""  # what channel 1 is set up for: "", "bias", "pulse", "waveform"
        self._bias_on = False
        super().__init__(address, **kwargs)
        self.load = KnownLoad(self.name, OPEN_MAX_V)
        self.memory_points = int(self.bench_options.get("memory_points", MEMORY_POINTS))

    # ---- load and limits --------------------------------------------------------------------------

    def set_load_ohm(self, ohm: float) -> None:
        """What channel 1 drives (ohm): device line, contacts and shunt, without its own 50 ohm."""
        self.load.set_ohm(ohm)

    @property
    def load_ohm(self) -> float | None:
        """The load in force (ohm); None before anybody has said it."""
        return self.load.ohm

    def emf_v(self, current_a: float) -> float:
        """Open-circuit volts for a current (A); BenchError without a load or beyond the limits in force."""
        return self.load.emf_v(current_a)

    # ---- BiasSource -------------------------------------------------------------------------------

    def configure_bias(self, current_max_a: float, compliance_v: float) -> None:
        """Direct current up to current_max_a (A), at most compliance_v (V) across the load; output off."""
        self.load.set_limits(current_max_a, compliance_v)
        self.bias_off()

    def set_bias_a(self, current_a: float) -> None:
        """Hold the voltage that drives current_a (A) through the load; switches the output on."""
        emf_v = self.load.emf_v(current_a)
        if self._mode == "bias" and self._bias_on:
            self.write(f":SOUR1:VOLT:OFFS {emf_v:.9g}")
            return
        self._mode, self._bias_on = "bias", True
        self.write(
            ":OUTP1 OFF;:OUTP1:LOAD INF;POL NORM;:SOUR1:BURS:STAT OFF;:SOUR1:FUNC DC;"
            f":SOUR1:VOLT:OFFS {emf_v:.9g};:OUTP1 ON"
        )

    def bias_off(self) -> None:
        """Output relay of channel 1 open."""
        self.write(":OUTP1 OFF")
        self._bias_on = False

    def bias_voltage_v(self) -> float | None:
        """None: the instrument has no meter."""
        return None

    def in_compliance(self) -> bool:
        """False: a voltage behind 50 ohm has no compliance."""
        return False

    # ---- PulseSource ------------------------------------------------------------------------------

    def configure_pulse(self, current_max_a: float, compliance_v: float) -> None:
        """Pulses up to current_max_a (A), at most compliance_v (V) across the load; output off."""
        self.load.set_limits(current_max_a, compliance_v)
        self.bias_off()

    def pulse(self, amplitude_a: float, width_s: float) -> None:
        """One rectangular pulse from 0 V, as a burst of one cycle; back when it is over.

        The output stays on at 0 V. A negative pulse is the inverted one: the box rests at its low level.
        """
        emf_v = self.load.emf_v(amplitude_a)
        if not PULSE_WIDTH_S[0] <= width_s <= PULSE_WIDTH_S[1]:
            raise BenchError(
                f"{self.name}: a pulse of {width_s:g} s is outside {PULSE_WIDTH_S[0]:g} to "
                f"{PULSE_WIDTH_S[1]:g} s"
            )
        if abs(emf_v) < 2 * OPEN_MIN_V:
            self.clock.sleep(width_s)
            return
        self._mode, self._bias_on = "pulse", False
        high_v, low_v = max(emf_v, 0.0), min(emf_v, 0.0)
        self.write(
            f":OUTP1 OFF;:OUTP1:LOAD INF;POL {'NORM' if emf_v > 0 else 'INV'};"
            ":SOUR1:VOLT:OFFS 0;:SOUR1:FUNC PULS;:SOUR1:BURS:MODE TRIG;NCYC 1;PHAS 0;STAT ON;"
            ":TRIG1:SOUR BUS;DEL 0;"
            f":SOUR1:FUNC:PULS:WIDT MIN;PER {2 * width_s:.9g};WIDT {width_s:.9g};"
            f":SOUR1:VOLT {high_v - low_v:.9g};VOLT:OFFS {(high_v + low_v) / 2:.9g};:OUTP1 ON;*TRG"
        )
        self.clock.sleep(START_S + width_s)

    def pulse_s(self, width_s: float) -> float:
        """Time that `pulse` takes (s)."""
        return self.message_s + START_S + width_s

    # ---- waveforms (used by the player) -------------------------------------------------------------

    def prepare_waveforms(self, channels: Sequence[int] = (1, 2)) -> None:
        """One message: these channels off, waveforms in triggered bursts, volts into an open circuit."""
        self._mode, self._bias_on = "waveform", False
        each = [
            f":OUTP{n} OFF;:OUTP{n}:LOAD INF;POL NORM;:SOUR{n}:VOLT:OFFS 0;:SOUR{n}:FUNC ARB;"
            f":SOUR{n}:FUNC:ARB:FILT OFF;:SOUR{n}:BURS:MODE TRIG;NCYC 1;PHAS 0;STAT ON;"
            f":TRIG{n}:SOUR BUS;DEL 0"
            for n in channels
        ]
        self.write(":ABOR;:FORM:BORD SWAP;" + ";".join(each))

    def arm(self, *waveforms: Waveform, trigger: bool = False) -> None:
        """Load waveforms, one for each channel, and switch their outputs on: one message for all.

        What the channels held before is cleared. With `trigger` they start together with the same message.
        Needs `prepare_waveforms`. BenchError, before a byte is sent, for a waveform out of the box's
        limits, or (channel 1) above the current limit in force.
        """
        if self._mode != "waveform":
            raise BenchError(f"{self.name}: call prepare_waveforms before arming one")
        for waveform in waveforms:
            self._check(waveform)
        self.waves = None  # cleared
        parts = [part for waveform in waveforms for part in _loading(waveform)]
        on = "".join(f":OUTP{waveform.channel} ON;" for waveform in waveforms)
        self.write_bytes(b"".join([*parts, on.encode(), b"*TRG\n" if trigger else b"*WAI\n"]))

    def trigger(self) -> None:
        """Start every armed channel at the same edge; comes back at once."""
        self.write("*TRG")

    def abort(self) -> None:
        """End what plays; the channels rest at their first sample and wait for the next trigger."""
        self.write(":ABOR")

    def outputs(self, on: bool, channels: Sequence[int] = (1, 2)) -> None:
        """Output relays."""
        self._bias_on = False
        self.write(";".join(f":OUTP{n} {'ON' if on else 'OFF'}" for n in channels))

    def arm_s(self, *waveforms: Waveform) -> float:
        """Time that the box needs to take over these waveforms besides their transfer (s)."""
        return self.message_s + LOAD_S * len(waveforms)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Send a message that holds binary blocks, as it is (the terminator included)."""
        if not self._taken_over:
            self._taken_over = True
            self._take_over()
        self.link.write_bytes(content, **kwargs)

    # ---- Instrument, Output -------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Load and limits in force, and what the box says of its outputs."""
        return super().settings() | {
            "load_ohm": self.load.ohm if self.load.ohm is not None else float("nan"),
            "current_max_a": self.load.limit_a,
            "compliance_v": self.load.limit_v,
            "output": self.ask(":OUTP1?").strip() not in ("0", "OFF"),
        }

    def make_safe(self) -> Any:
        """Abort, both outputs off, read back; never raises."""
        self._mode, self._bias_on = "", False
        return super().make_safe()

    def _still_on(self, link: Link) -> str:
        first, second = ask_through(link, ":OUTP1?;:OUTP2?").split(";")  # else nobody knows: ValueError
        on = [n for n, state in (("1", first), ("2", second)) if state.strip() not in ("0", "OFF")]
        return f"output {' and '.join(on)} is still on" if on else ""

    def _check(self, waveform: Waveform) -> None:
        codes = waveform.codes
        if codes.dtype != np.int16 or codes.ndim != 1:
            raise BenchError(f"{self.name}: a waveform is one row of int16, not {codes.dtype} {codes.shape}")
        if not POINTS_MIN <= len(codes) <= self.memory_points:
            raise BenchError(
                f"{self.name}: a waveform of {len(codes)} points is outside {POINTS_MIN} to "
                f"{self.memory_points}"
            )
        low, high = SAMPLE_RATE_HZ
        if not low <= waveform.sample_rate_hz <= high:
            raise BenchError(
                f"{self.name}: {waveform.sample_rate_hz:g} samples/s are outside {low:g} to {high:g}"
            )
        if not 1 <= waveform.cycles <= CYCLES_MAX:
            raise BenchError(f"{self.name}: {waveform.cycles} cycles are outside 1 to {CYCLES_MAX}")
        if not OPEN_MIN_V <= waveform.full_v <= OPEN_MAX_V * (1 + 1e-9):
            raise BenchError(
                f"{self.name}: a full scale of {waveform.full_v:g} V is outside {OPEN_MIN_V:g} to "
                f"{OPEN_MAX_V:g} V"
            )
        largest = max(int(codes.max()), -int(codes.min()))
        if largest > CODE_MAX:
            raise BenchError(f"{self.name}: the samples of a waveform end at -{CODE_MAX} and +{CODE_MAX}")
        if waveform.channel == 1:
            self.load.check_emf(largest / CODE_MAX * waveform.full_v)


def _loading(waveform: Waveform) -> tuple[bytes, bytes, bytes]:
    """The part of a message that loads one waveform and sets its channel up for it."""
    n, name = waveform.channel, waveform.name
    data = waveform.codes.astype("<i2", copy=False).tobytes()
    count = str(len(data))
    head = f":OUTP{n} OFF;:SOUR{n}:DATA:VOL:CLE;:SOUR{n}:DATA:ARB:DAC {name},#{len(count)}{count}"
    tail = (
        f";:SOUR{n}:FUNC:ARB {name};:SOUR{n}:FUNC:ARB:SRAT {waveform.sample_rate_hz:.12g};"
        f":SOUR{n}:VOLT {2 * waveform.full_v:.9g};:SOUR{n}:BURS:NCYC {waveform.cycles};"
    )
    return head.encode(), data, tail.encode()
