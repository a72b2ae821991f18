"""Player `keithley2636b_digitiser`: a 2636B pulses by its trigger model, a triggered digitiser reads.

smua plays reset, write and read pulses as in `keithley2636b_tsp`. Each read is two pulses of opposite sign;
at each of them digital line 1 triggers the digitiser on the Hall arms. Half the difference of the two
readings is free of offsets and of slow pick-up. smub is not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from drivers._tsp_frames import SweepData, SweepState
from drivers.keithley2636b import Keithley2636B
from drivers.players._planning import BYTES_PER_S, Peaks, missing_roles, signal_v, unfilled_roles
from drivers.players._tsp_shape import READ_TAIL_S, REVERSE_S, SETTLE_S, FrameShape, frame_shape
from drivers.players.keithley2636b_tsp import TspPlayer, on_timers, timer_complaints
from hilab.errors import BenchError
from hilab.frames import FloatArray, FrameBatch, IntArray, Load
from hilab.roles import Digitiser, Station

LINE = 1  # digital line of the 2636B that is wired to the digitiser's trigger input
DELAY_S = 5e-6  # from the edge to the first aperture
STEP_S = 1e-6  # apertures and intervals are whole multiples of it
READING_BYTES = 8
EXCHANGES = 2  # with the digitiser after a load: count, fetch


@dataclass(frozen=True)
class Apertures:
    """How the digitiser reads one half of a read: so many apertures (s), this far apart (s)."""

    count: int
    aperture_s: float
    interval_s: float


class DigitiserPlayer(TspPlayer):
    """The 2636B as pulse source and another instrument that it triggers as reader."""

    name = "keithley2636b_digitiser"
    reader = "the digitiser"
    line = LINE

    def __init__(self, station: Station):
        super().__init__(station)
        self._digitiser: Digitiser = station.role("digitiser")

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where a 2636B pulses and a digitiser is on the bench. Whether line 1 is wired shows in play."""
        missing = unfilled_roles(station, ("pulse_source",)) or missing_roles(station, ("digitiser",))
        if missing:
            return missing
        source = station.role("pulse_source")
        return "" if isinstance(source, Keithley2636B) else "the pulse source is no Keithley 2636B"

    # ---- plan ------------------------------------------------------------------------------------

    def _timed(self, batch: FrameBatch) -> FrameBatch:
        apertures = self._apertures(batch.integration_s)
        return replace(on_timers(batch), integration_s=2 * apertures.count * apertures.aperture_s)

    def _shape(self, timed: FrameBatch) -> FrameShape:
        return frame_shape(timed, reversed_reads=True)

    def _apertures(self, integration_s: float) -> Apertures:
        """Both halves share the integration; none of their apertures is longer than the digitiser's."""
        low_s, high_s = self._digitiser.aperture_s
        half_s = max(integration_s / 2, low_s)
        count = max(1, math.ceil(half_s / high_s * (1 - 1e-9)))
        aperture_s = max(round(half_s / count / STEP_S), 1) * STEP_S
        return Apertures(count, aperture_s, aperture_s)

    def _time_complaints(self, batch: FrameBatch, asked: FrameBatch, shape: FrameShape) -> list[str]:
        found = timer_complaints(asked, shape)
        least_s = 2 * self._digitiser.aperture_s[0]
        if batch.integration_s < least_s * 0.999:
            found.append(
                f"integration_s = {batch.integration_s:g} s is below the {least_s:g} s of two apertures of "
                "the digitiser"
            )
        apertures = self._apertures(batch.integration_s)
        try:
            self._digitiser.digitising(
                self._digitiser.range_v(0.0),
                apertures.aperture_s,
                apertures.count,
                apertures.interval_s,
                DELAY_S,
                1,
            )
        except BenchError as error:
            found.append(f"integration_s = {batch.integration_s:g} s: {error}")
        return found

    def _range_v(self, device: str, read_a: float) -> float:
        return self._digitiser.range_v(signal_v(self._station.devices[device], read_a))

    def _noise_v(self, device: str, peak: Peaks, integration_s: float) -> float:
        """rms noise (V) of one read: of its apertures, and what is left of the mains pick-up."""
        apertures = self._apertures(integration_s)
        noise_v = self._digitiser.noise_v(self._range_v(device, peak.read_a), apertures.aperture_s)
        # half the difference of two means that lie apart, of a sine of unknown phase
        apart_s = SETTLE_S + integration_s / 2 + READ_TAIL_S + REVERSE_S
        phase = min(math.pi * self._driver.line_hz * apart_s, math.pi / 2)
        pickup_v = self._digitiser.mains_v * math.sin(phase)
        return math.hypot(noise_v / math.sqrt(2 * apertures.count), pickup_v / math.sqrt(2))

    def _spent_s(self, loads: tuple[Load, ...], shape: FrameShape, moves: int) -> dict[str, float]:
        spent_s = super()._spent_s(loads, shape, moves)
        frames = sum(load.stop - load.start for load in loads)
        readings = frames * shape.reads * self._apertures(2 * shape.integration_s).count
        message_s = self._digitiser.message_s
        own = READING_BYTES * frames * shape.reads  # channel B sends no readings
        fetch_s = (READING_BYTES * readings - own) / BYTES_PER_S + len(loads) * EXCHANGES * message_s
        return spent_s | {"arm": len(loads) * message_s, "fetch": spent_s["fetch"] + fetch_s}

    # ---- play ------------------------------------------------------------------------------------

    def _arm(self, device: str, read_a: float, actual: FrameBatch, frames: int, shape: FrameShape) -> None:
        super()._arm(device, read_a, actual, frames, shape)
        apertures = self._apertures(actual.integration_s)
        self._digitiser.arm_triggered(
            self._range_v(device, read_a),
            apertures.aperture_s,
            apertures.count,
            apertures.interval_s,
            DELAY_S,
            frames * shape.reads,
        )

    def _fetch(self, state: SweepState, frames: int, shape: FrameShape) -> SweepData:
        """Half the difference of the two readings of each read, of all frames that are complete."""
        statuses = super()._fetch(state, frames, shape)
        apertures = self._apertures(2 * shape.integration_s).count
        each = apertures * shape.reads
        whole = self._digitiser.count_now() // each
        if whole < frames:
            self._digitiser.abort()
            if self._driver_ended(state, frames, shape):
                self._driver.make_safe()
                name = self._station.instrument_name("digitiser")
                raise BenchError(
                    f"{name}: {whole} of {frames} frames were read: check the cable from digital line {LINE} "
                    "of the 2636B to its trigger input"
                )
        whole = min(whole, len(statuses.pulse_compliance) // shape.pulses)
        voltage: FloatArray = self._digitiser.fetch(whole * each) if whole else np.empty(0)
        halves = voltage.reshape(-1, 2, apertures).mean(axis=2)
        reads = (halves[:, 0] - halves[:, 1]) / 2
        return replace(statuses, voltage_v=reads, reading_compliance=np.zeros(len(reads), dtype=np.bool_))

    @staticmethod
    def _driver_ended(state: SweepState, frames: int, shape: FrameShape) -> bool:
        """Whether every pulse of the load was played."""
        return state.pulses >= frames * shape.pulses

    def _readings_wanted(self, frames: int, shape: FrameShape) -> int:
        return 0

    def _read_levels(self, read: IntArray) -> list[IntArray]:
        return [read, -read]
