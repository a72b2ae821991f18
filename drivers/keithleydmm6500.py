"""Keithley DMM6500: readings over mains cycles, and bursts of the digitiser on external triggers.

Command set: DMM6500 reference manual (SCPI), as in published programmes that digitise on external triggers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.instruments import SCPIMixin
from pymeasure.instruments.keithley import KeithleyDMM6500 as StockKeithleyDMM6500

from drivers import _dmm6500_data as data
from drivers._link import ANSWER_S, VisaDriver, ask_through
from drivers._ranges import noise_at, range_for
from hilab.errors import BenchError
from hilab.roles import Identity

OVERFLOW_V = 9e36  # replies of 9.9E+37 mean overload
LOCK_S = 0.1  # longer conversions are waited for with the lock released
SLOWEST_BYTES_PER_S = 2e5  # of any link: how long a binary answer may take
BUFFER = "defbuffer1"
BUFFER_MIN = 10  # smallest size of a buffer
WAIT_BLOCK = 2  # the block to which the programme returns for each trigger


@dataclass(frozen=True)
class Digitising:
    """What `arm_triggered` really set: times in s, range in V.

    Reading k of a trigger (k = 0 ...) is the mean over aperture_s from delay_s + k * interval_s after the
    edge on. busy_s after an edge the box takes the next one; an edge before that is missed.
    """

    range_v: float
    aperture_s: float
    readings_per_trigger: int
    interval_s: float
    delay_s: float
    triggers: int
    busy_s: float


class KeithleyDMM6500(VisaDriver, StockKeithleyDMM6500):
    """Driver `keithleydmm6500`: reader and digitiser. It puts no energy into the bench.

    PyMeasure's properties stay at hand; its constructor is left out, because it sends a command at opening.
    """

    model_pattern = "DMM6500"
    buffer_max = data.BUFFER_MAX
    """Readings that one programme can take (triggers times readings per trigger)."""
    mains_v = data.MAINS_V
    """Amplitude of mains pick-up (V) to reckon with in an aperture that is no whole mains period."""
    aperture_s = data.APERTURE_S
    """Shortest and longest aperture of the digitiser (s); whole microseconds."""

    def __init__(self, address: Any, **kwargs: Any):
        self.line_hz = 50.0
        self._reader: tuple[float, float] | None = None  # range, NPLC in force; None: the digitiser is
        self._armed: Digitising | None = None  # what the box's trigger programme holds
        super().__init__(address, **kwargs)

    def _start(self, name: str) -> None:
        SCPIMixin.__init__(self, self.link, name)

    # ---- Instrument -------------------------------------------------------------------------------

    def identify(self) -> Identity:
        """Who answers; refuses another command set than SCPI, and learns the mains frequency."""
        identity = super().identify()
        if self.model_pattern in identity.model:
            language = ask_through(self.link, "*LANG?")
            if language != "SCPI":
                raise BenchError(
                    f"{self.name}: it speaks {language}, not SCPI: set Menu > System > Settings > "
                    "Command Set to SCPI and restart it"
                )
            self.line_hz = float(ask_through(self.link, ":SYST:LFR?"))
        return identity

    def write(self, command: str, **kwargs: Any) -> None:
        """Send one command; PyMeasure's '{function}' stands for the active function."""
        if "{function}" in command:
            command = command.format(function=self.MODES[self.mode])
        super().write(command, **kwargs)

    def close(self) -> None:
        """Close the session."""
        self.link.close()

    def settings(self) -> dict[str, Any]:
        """Range and integration, or the digitiser's programme; mains frequency."""
        found = super().settings() | {"line_hz": self.line_hz}
        if self._reader is not None:
            found |= {"range_v": self._reader[0], "integration_s": self._reader[1] / self.line_hz}
        if self._armed is not None:
            found |= {"digitise_range_v": self._armed.range_v, "aperture_s": self._armed.aperture_s}
        return found

    def forget(self) -> None:
        """Rely on nothing that was sent before: settings are sent again."""
        self._reader = self._armed = None

    # ---- Reader -----------------------------------------------------------------------------------

    def configure_reader(self, range_v: float, integration_s: float) -> float:
        """Fixed range (V), autozero on; returns the integration really used (s)."""
        longest = data.NPLC_MAX[60 if self.line_hz > 55 else 50]
        nplc = round(integration_s * self.line_hz, 4)
        if not data.NPLC_MIN <= nplc <= longest:
            raise BenchError(
                f"{self.name}: an integration of {integration_s:g} s is outside "
                f"{data.NPLC_MIN / self.line_hz:g} to {longest / self.line_hz:g} s"
            )
        wanted = range_for(data.VOLTAGE, range_v, self.name, "V").full, nplc
        if wanted != self._reader:
            self.write(
                ':ABOR;:FORM:DATA ASC;:SENS:FUNC "VOLT:DC";'
                f":SENS:VOLT:INP AUTO;:SENS:VOLT:RANG {wanted[0]:g};:SENS:VOLT:NPLC {nplc:g};"
                ":SENS:VOLT:AZER ON;:SENS:VOLT:AVER OFF;:SENS:VOLT:REL:STAT OFF;:SENS:COUN 1;"
                f':TRAC:FILL:MODE CONT,"{BUFFER}"'
            )
            self._reader, self._armed = wanted, None
        return nplc / self.line_hz

    def read_v(self) -> float:
        """One fresh reading (V); nan on overload. The lock is released while the converter works."""
        if self._reader is None:
            raise BenchError(f"{self.name}: no reader is configured: call configure_reader first")
        self.write(":READ?")
        reading_s = self.reading_s(self._reader[1] / self.line_hz)
        if reading_s > LOCK_S:
            self.clock.sleep(reading_s)
        answer = self.link.read()
        try:
            value = float(answer)
        except ValueError:
            raise BenchError(
                f"{self.name}: a reading came back as {answer.strip()[:40]!r}; who else speaks to it?"
            ) from None
        return math.nan if abs(value) > OVERFLOW_V else value

    def noise_v(self, range_v: float, integration_s: float) -> float:
        """Expected rms noise (V) of one reading with this integration or aperture, mains pick-up apart."""
        return noise_at(data.NOISE, range_v, integration_s)

    def range_v(self, signal_v: float) -> float:
        """The smallest range (V) that holds the signal; the digitiser has the same ones."""
        return range_for(data.VOLTAGE, signal_v, self.name, "V").full

    def reading_s(self, integration_s: float) -> float:
        """Time of one reading (s): the signal and, for autozero, the zero."""
        return 2 * integration_s + data.READING_OVERHEAD_S

    # ---- Digitiser --------------------------------------------------------------------------------

    def digitising(
        self,
        range_v: float,
        aperture_s: float,
        readings_per_trigger: int,
        interval_s: float,
        delay_s: float,
        triggers: int,
    ) -> Digitising:
        """What `arm_triggered` would set, without sending anything. BenchError says what cannot be.

        aperture_s (1 us to 1 ms) is rounded to whole microseconds, interval_s (up to 1 ms; of no effect
        with one reading) up to a whole number of readings a second. delay_s is at least the latency of 1 us
        and 10 ks at most.
        """
        aperture = round(aperture_s, 6)
        if not data.APERTURE_S[0] <= aperture <= data.APERTURE_S[1] * (1 + 1e-9):
            raise BenchError(f"{self.name}: an aperture of {aperture_s:g} s is outside 1 us to 1 ms")
        wanted_s = aperture if readings_per_trigger == 1 else interval_s
        rate_hz = math.floor(1 / wanted_s * (1 + 1e-9)) if wanted_s > 0 else 0
        if not data.DIGITISE_RATE_HZ[0] <= rate_hz <= data.DIGITISE_RATE_HZ[1]:
            raise BenchError(f"{self.name}: readings {wanted_s:g} s apart are outside 1 us to 1 ms")
        if aperture * rate_hz > 1 + 1e-9:
            raise BenchError(
                f"{self.name}: an aperture of {aperture:g} s does not fit between readings "
                f"{1 / rate_hz:g} s apart"
            )
        if not 0 <= delay_s <= data.TRIGGER_DELAY_S[1]:
            raise BenchError(f"{self.name}: a delay of {delay_s:g} s is outside 0 to 10 ks")
        delay = data.TRIGGER_LATENCY_S + _block_delay_s(delay_s)
        readings = readings_per_trigger * triggers
        if not (
            readings_per_trigger >= 1 and 1 <= triggers <= data.TRIGGERS_MAX and readings <= self.buffer_max
        ):
            raise BenchError(
                f"{self.name}: {triggers} triggers of {readings_per_trigger} readings do not fit into its "
                f"{self.buffer_max} readings"
            )
        busy = self.min_trigger_interval_s(readings_per_trigger, aperture, 1 / rate_hz, delay)
        return Digitising(
            range_for(data.VOLTAGE, range_v, self.name, "V").full,
            aperture,
            readings_per_trigger,
            1 / rate_hz,
            delay,
            triggers,
            busy,
        )

    def arm_triggered(
        self,
        range_v: float,
        aperture_s: float,
        readings_per_trigger: int,
        interval_s: float,
        delay_s: float,
        triggers: int,
    ) -> Digitising:
        """Wait for `triggers` rising edges at EXT TRIG and digitise on each; see `digitising`.

        One message, answered when the box waits. Arming with the same settings again sends only the start.
        """
        wanted = self.digitising(range_v, aperture_s, readings_per_trigger, interval_s, delay_s, triggers)
        parts = [":ABOR"]
        if wanted != self._armed:
            parts += self._programme(wanted)
        parts += [":TRIG:EXT:IN:CLE", ":INIT", ":TRIG:STAT?"]
        self._armed = self._reader = None  # until the box has confirmed it
        state = self.ask(";".join(parts)).strip()
        if not state.upper().startswith(("WAITING", "RUNNING")):
            raise BenchError(
                f"{self.name}: it does not wait for triggers (its trigger model says {state!r}): "
                f"{'; '.join(self.check_errors()) or 'its error queue is empty'}"
            )
        self._armed = wanted
        return wanted

    def _programme(self, wanted: Digitising) -> list[str]:
        """Commands that set the digitiser up and load its trigger model."""
        size = max(BUFFER_MIN, wanted.readings_per_trigger * wanted.triggers)
        blocks = [f"WAIT {WAIT_BLOCK},EXT,ENT"]
        if block_s := _block_delay_s(wanted.delay_s):
            blocks.append(f"DEL:CONS {len(blocks) + 2},{block_s:.9g}")
        blocks.append(f'MDIG {len(blocks) + 2},"{BUFFER}",{wanted.readings_per_trigger}')
        blocks.append(f"BRAN:COUN {len(blocks) + 2},{wanted.triggers},{WAIT_BLOCK}")
        return [
            ":FORM:DATA REAL;:FORM:BORD SWAP",
            f':SENS:DIG:FUNC "VOLT";:SENS:DIG:VOLT:RANG {wanted.range_v:g};:SENS:DIG:VOLT:INP AUTO',
            # A long aperture in force would refuse the new rate.
            ":SENS:DIG:VOLT:APER AUTO",
            f":SENS:DIG:VOLT:SRAT {round(1 / wanted.interval_s)}",
            f":SENS:DIG:VOLT:APER {wanted.aperture_s:.6f}",
            f':TRAC:POIN {size},"{BUFFER}";:TRAC:FILL:MODE ONCE,"{BUFFER}"',
            f':TRIG:EXT:IN:EDGE RIS;:TRIG:LOAD "EMPTY";:TRIG:BLOC:BUFF:CLEAR 1,"{BUFFER}"',
            *[f":TRIG:BLOC:{block}" for block in blocks],
        ]

    def min_trigger_interval_s(
        self, readings_per_trigger: int, aperture_s: float, interval_s: float, delay_s: float
    ) -> float:
        """Shortest time (s) from one trigger to the next that is not missed."""
        return delay_s + (readings_per_trigger - 1) * interval_s + aperture_s + data.TRIGGER_OVERHEAD_S

    def fetch(self, count: int, start: int = 0) -> NDArray[np.float64]:
        """(count,) readings (V) since the arming from index start on, in the order of their triggers; nan
        where overloaded. Also while more are being taken.

        One query, 8 bytes a reading. BenchError if there are fewer: triggers were missed or never came.
        """
        with self.link.lock, self.link.answers_within(ANSWER_S + 8 * count / SLOWEST_BYTES_PER_S):
            self.write(f':TRAC:DATA? {start + 1},{start + count},"{BUFFER}",READ')
            try:
                raw = self.link.read_block(8 * count)
            except BenchError as error:
                raise BenchError(self._why_fewer(start + count, error)) from error
        values = np.frombuffer(raw, "<f8").astype(np.float64)
        values[np.abs(values) > OVERFLOW_V] = np.nan
        return values

    def _why_fewer(self, count: int, error: BenchError) -> str:
        self.link.device_clear()
        found = self.count_now()
        if found >= count:
            return str(error)
        missed = "some came while it was busy" if self.triggers_missed() else "none came while it was busy"
        return (
            f"{self.name}: {found} of {count} readings are there, {count - found} are lacking; "
            f"of the triggers {missed}"
        )

    def count_now(self) -> int:
        """Readings taken since the arming."""
        return int(self.number(f':TRAC:ACT? "{BUFFER}"'))

    def triggers_missed(self) -> bool:
        """Whether an edge came, since the arming, while the box could not take it."""
        return bool(self.number(":TRIG:EXT:IN:OVER?"))

    def abort(self) -> None:
        """Stop the programme; what was read stays in the buffer."""
        self.write(":ABOR")


def _block_delay_s(delay_s: float) -> float:
    """What a delay block must add to the box's own latency; 0 if none is needed."""
    block_s = round(delay_s - data.TRIGGER_LATENCY_S, 9)
    return block_s if block_s >= data.TRIGGER_DELAY_S[0] else 0.0
