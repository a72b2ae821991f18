"""Stanford Research SR830 lock-in amplifier: harmonics of what its own sine does. Bench notes 2.10."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pymeasure.instruments import srs

from drivers._link import Link, VisaDriver, ask_through
from drivers._ranges import refuse_above
from hilab.errors import BenchError
from hilab.roles import SafeReport

SINE_V = (0.004, 5.0)  # rms, open circuit [D: PyMeasure]
SINE_STEP_V = 0.002  # [R]
SINE_OHM = 50.0  # [M]
DETECTION_MAX_HZ = 102_000.0  # harmonic times frequency [D]
FAST_HZ = 200.0  # above it time constants beyond 30 s are not taken [R]
SLOWEST_FAST_S = 30.0
INPUT_NOISE_V = 6e-9  # per root hertz at 1 kHz [M]
SLOPES = {6: (5.0, 1 / 4), 12: (7.0, 1 / 8), 18: (9.0, 3 / 32), 24: (10.0, 5 / 64)}
"""Slope in dB an octave: settling to 1 % in time constants, noise bandwidth times time constant [D, M]."""
AUXILIARY_OUTPUTS = (1, 2, 3, 4)
INPUT_OVERLOAD, FILTER_OVERLOAD, OUTPUT_OVERLOAD, UNLOCKED = 1, 2, 4, 8  # LIAS bits [D]
EVENT_ERRORS = {
    1: "input queue overflow",
    4: "query error",
    16: "a value out of range",
    32: "unknown command",
}
HARDWARE_ERRORS = {
    2: "battery",
    4: "RAM",
    16: "ROM",
    32: "GPIB binary transfer",
    64: "DSP",
    128: "mathematics",
}


class LockIn(NamedTuple):
    """What `configure_lock_in` really set."""

    frequency_hz: float
    time_constant_s: float
    sensitivity_v: float
    slope_db: int


class SR830(VisaDriver, srs.SR830):
    """Driver `sr830`: harmonics of the voltage at its input while its own sine drives a line.

    The sine is a voltage behind 50 ohm: its current is known only with the load (`set_load_ohm`: device,
    contacts and series resistor). It cannot be switched off; safe is its minimum of 4 mV rms.
    """

    model_pattern = "SR830"
    has_output = True
    off_commands = (
        f"SLVL {SINE_V[0]:.3f}",
        *(f"AUXV {channel},0" for channel in AUXILIARY_OUTPUTS),
    )

    def __init__(self, address: Any, **kwargs: Any):
        self._load_ohm: float | None = None
        self._current_max_a = 0.0
        self._lock_in: LockIn | None = None
        self._harmonic = 0
        super().__init__(address, **kwargs)

    # ---- Instrument -------------------------------------------------------------------------------

    def check_errors(self) -> list[str]:
        """The error bits of its two status bytes; the box has no queue. Reading clears them."""
        event, hardware = int(self.number("*ESR?")), int(self.number("ERRS?"))
        found = [text for bit, text in EVENT_ERRORS.items() if event & bit]
        return found + [f"{text} error" for bit, text in HARDWARE_ERRORS.items() if hardware & bit]

    def settings(self) -> dict[str, Any]:
        """Frequency, filter, sensitivity, load."""
        found = super().settings() | {"load_ohm": self._load_ohm}
        return found | (self._lock_in._asdict() if self._lock_in else {})

    # ---- harmonics --------------------------------------------------------------------------------

    def configure_lock_in(
        self, frequency_hz: float, time_constant_s: float, sensitivity_v: float, slope_db: int = 12
    ) -> LockIn:
        """Internal reference, single-ended DC input, the next longer filter and the next larger range.

        BenchError for what the box would change without a word.
        """
        if slope_db not in SLOPES:
            raise BenchError(
                f"{self.name}: a slope of {slope_db} dB is none of {', '.join(map(str, SLOPES))}"
            )
        if not 0.001 <= frequency_hz <= DETECTION_MAX_HZ:
            raise BenchError(f"{self.name}: {frequency_hz:g} Hz is outside 0.001 Hz to 102 kHz")
        filter_place = self._place(self.TIME_CONSTANTS, time_constant_s, "a time constant", "s")
        span_place = self._place(self.SENSITIVITIES, sensitivity_v, "a sensitivity", "V")
        chosen = LockIn(
            float(f"{frequency_hz:.5g}"),
            self.TIME_CONSTANTS[filter_place],
            self.SENSITIVITIES[span_place],
            slope_db,
        )
        if chosen.frequency_hz > FAST_HZ and chosen.time_constant_s > SLOWEST_FAST_S:
            raise BenchError(
                f"{self.name}: above {FAST_HZ:g} Hz its time constant is {SLOWEST_FAST_S:g} s at most"
            )
        self.write(
            f"FMOD 1;HARM 1;FREQ {chosen.frequency_hz:.5g};PHAS 0;ISRC 0;ICPL 1;IGND 0;RMOD 1;"
            f"SENS {span_place};OFLT {filter_place};OFSL {list(SLOPES).index(slope_db)};SYNC 0"
        )
        self._lock_in, self._harmonic = chosen, 1
        return chosen

    def read_harmonic(self, harmonic: int) -> tuple[float, float]:
        """(x_v, y_v): rms in phase and in quadrature with sin(harmonic * omega * t), after settling to 1 %.

        For a voltage a*sin(n w t) + b*cos(n w t) these are a/sqrt(2) and b/sqrt(2). nan on overload.
        """
        if self._lock_in is None:
            raise BenchError(f"{self.name}: it is not configured: call configure_lock_in first")
        if harmonic < 1 or harmonic * self._lock_in.frequency_hz > DETECTION_MAX_HZ:
            raise BenchError(
                f"{self.name}: harmonic {harmonic} of {self._lock_in.frequency_hz:g} Hz is beyond 102 kHz"
            )
        if harmonic * self._lock_in.frequency_hz > FAST_HZ and self._lock_in.time_constant_s > SLOWEST_FAST_S:
            raise BenchError(
                f"{self.name}: harmonic {harmonic} is above {FAST_HZ:g} Hz, where the time constant of "
                f"{self._lock_in.time_constant_s:g} s would be shortened"
            )
        if harmonic != self._harmonic:
            self.write(f"HARM {harmonic}")
            self._harmonic = harmonic
        self.clock.sleep(self.settle_s())
        self.ask("LIAS?")  # what happened while it settled does not count
        self.clock.sleep(self.message_s)
        answer = self.ask("SNAP?1,2")
        state = int(self.number("LIAS?"))
        if state & UNLOCKED:
            raise BenchError(f"{self.name}: its reference is not locked: look at what drives its REF IN")
        if state & (INPUT_OVERLOAD | FILTER_OVERLOAD | OUTPUT_OVERLOAD):
            return math.nan, math.nan
        try:
            x_v, y_v = (float(part) for part in answer.split(","))
        except ValueError:
            raise BenchError(f"{self.name}: a reading came back as {answer.strip()[:40]!r}") from None
        return x_v, y_v

    def settle_s(self) -> float:
        """Time (s) that the filter takes to 1 % of a change."""
        if self._lock_in is None:
            return 0.0
        return SLOPES[self._lock_in.slope_db][0] * self._lock_in.time_constant_s

    def noise_v(self, time_constant_s: float, slope_db: int = 12) -> float:
        """Expected rms noise (V) of X and of Y, from the input's 6 nV per root hertz; mains apart."""
        return INPUT_NOISE_V * math.sqrt(SLOPES[slope_db][1] / time_constant_s)

    # ---- sine -------------------------------------------------------------------------------------

    def set_load_ohm(self, ohm: float) -> None:
        """What the sine drives (ohm), without its own 50 ohm. No message."""
        if not (math.isfinite(ohm) and ohm > 0):
            raise BenchError(f"{self.name}: a load of {ohm!r} ohm is none")
        self._load_ohm = float(ohm)

    def configure_sine(self, current_max_a: float) -> None:
        """Largest rms current (A) that `set_sine_a` may ask for; the sine goes to its minimum."""
        self._current_max_a = current_max_a
        self.sine_off()

    def set_sine_a(self, current_a: float) -> float:
        """An rms current (A) through the load; what it really is (steps of 2 mV, at least 4 mV)."""
        if self._load_ohm is None:
            raise BenchError(
                f"{self.name}: its load is not known: call set_load_ohm before a current is asked for"
            )
        refuse_above(current_a, self._current_max_a, self.name)
        total_ohm = SINE_OHM + self._load_ohm
        wanted_v = round(current_a * total_ohm / SINE_STEP_V) * SINE_STEP_V
        if not SINE_V[0] - 1e-9 <= wanted_v <= SINE_V[1]:
            raise BenchError(
                f"{self.name}: {current_a:g} A into {total_ohm:g} ohm need {wanted_v:g} V rms, outside 4 mV "
                "to 5 V"
            )
        self.write(f"SLVL {wanted_v:.3f}")
        return wanted_v / total_ohm

    def sine_off(self) -> None:
        """The least that the sine can do: 4 mV rms. Its output has no switch."""
        self.write(self.off_commands[0])

    # ---- Output -----------------------------------------------------------------------------------

    def _look(self, link: Link) -> SafeReport:
        still_on = self._still_on(link)
        rests = (
            "sine at its minimum of 4 mV rms (its output has no switch), auxiliary outputs at 0 V, read back"
        )
        return SafeReport(self.name, not still_on, still_on or rests)

    def _still_on(self, link: Link) -> str:
        sine_v = float(ask_through(link, "SLVL?"))
        live = [channel for channel in AUXILIARY_OUTPUTS if float(ask_through(link, f"AUXV? {channel}"))]
        if sine_v > SINE_V[0] + 1e-6:
            return f"the sine is at {sine_v:g} V rms"
        return f"auxiliary output {live[0]} is not at 0 V" if live else ""

    def _place(self, choices: list[float], wanted: float, what: str, unit: str) -> int:
        """Index of the smallest choice that is not below what is wanted."""
        for place, choice in enumerate(choices):
            if wanted <= choice * (1 + 1e-9):
                return place
        raise BenchError(f"{self.name}: {what} of {wanted:g} {unit} is above its {choices[-1]:g} {unit}")
