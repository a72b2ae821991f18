"""Role `WaveformSource` of the 33600A: waves by name, one uploaded while another one plays."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drivers._link import VisaDriver
from drivers._voltage_source import OUTPUT_OHM, KnownLoad
from hilab.errors import BenchError
from hilab.roles import WaveSetup

CODE_MAX = 32767  # full scale of an arb's samples [M]
MARKER_V = 3.3  # high level of the marker, open circuit: TTL
AMPLITUDE_STEP_V = 1e-3  # the full scale is set in these; the box takes four digits [R]

Codes = NDArray[np.int16]


class WaveMemory(VisaDriver):
    """What `hilab.roles.WaveformSource` asks; needs the load and `prepare_waveforms` of the driver."""

    wave_ohm = OUTPUT_OHM
    wave_code_step: int
    wave_v: float
    wave_sample_s: tuple[float, float]
    start_s: float
    points_min: int
    memory_points: int
    load: KnownLoad
    waves: dict[str, int] | None = None
    _mode = ""
    _answering = False  # `arm_waves` was sent and its answer not read yet

    @property
    def wave_samples(self) -> tuple[int, int]:
        """Fewest and most samples of one wave."""
        return self.points_min, self.memory_points

    @property
    def wave_memory(self) -> int:
        """Samples that the memory of one channel holds."""
        return self.memory_points

    def wave_full_scale_v(self, peak_v: float) -> float:
        """The smallest full scale (V, open circuit) that holds peak_v; BenchError if none does."""
        codes = CODE_MAX - CODE_MAX % self.wave_code_step  # the largest that the converter has
        needed_v = abs(peak_v) * CODE_MAX / codes
        full_v = max(math.ceil(needed_v / AMPLITUDE_STEP_V * (1 - 1e-9)), 1) * AMPLITUDE_STEP_V
        if full_v > self.wave_v * (1 + 1e-9):
            raise BenchError(f"{self.name}: {peak_v:.4g} V is above its {self.wave_v:g} V (open circuit)")
        return full_v

    def limit_waves(self, current_max_a: float, voltage_max_v: float) -> None:
        """Largest current (A) and voltage across the load (V) that a wave may reach. Nothing is sent."""
        self.load.set_limits(current_max_a, min(voltage_max_v, self.load.open_max_v))

    def upload_waves(self, waves: Mapping[str, Codes]) -> None:
        """One message: waves of frames into the memory of channel 1."""
        parts = [part for name, codes in waves.items() for part in (*self._block(1, name, codes), b";")]
        self._send([*parts[:-1], b"\n"])

    def upload_marker(self, name: str, codes: Codes) -> None:
        """One message: a marker wave into the memory of channel 2."""
        self._send([*self._block(2, name, codes), b"\n"])

    def forget_waves(self) -> None:
        """Outputs off, both memories empty. Complaints from before the first wave are nobody's: forgotten."""
        self._peak: dict[str, int] = {}
        self._told: dict[str, str] = {}
        old = "*CLS;" if self.waves is None else ""
        self.prepare_waveforms()
        self.write(f"{old}:SOUR1:DATA:VOL:CLE;:SOUR2:DATA:VOL:CLE")
        self.waves = {}

    def prepare_waveforms(self) -> None:
        """One message: outputs off, both channels ready for waves in bursts on the bus trigger."""
        raise NotImplementedError

    def arm_waves(self, setup: WaveSetup, codes: Codes | None = None) -> None:
        """One message: the wave once and the marker `cycles` times, on the bus trigger; outputs on at rest.

        With codes the wave is uploaded before, in the same message. BenchError, before a byte is sent, where
        it would exceed the limits in force. The box answers when it is ready: `waves_ready`.
        """
        if self._mode != "waveform":
            self.prepare_waveforms()
            self._told.clear()
        parts = [] if codes is None else [*self._block(1, setup.wave, codes), b";"]
        if self.waves is None or setup.wave not in self.waves or setup.marker not in self.waves:
            raise BenchError(f"{self.name}: {setup.wave} or {setup.marker} is no wave in its memory")
        self.load.check_emf(self._peak[setup.wave] / CODE_MAX * setup.full_scale_v)
        news = self._news(
            {
                ":SOUR1:FUNC:ARB": setup.wave,
                ":SOUR1:FUNC:ARB:SRAT": f"{1 / setup.sample_s:.12g}",
                ":SOUR1:VOLT": f"{2 * setup.full_scale_v:.9g}",
                ":SOUR1:BURS:NCYC": "1",
                ":SOUR2:FUNC:ARB": setup.marker,
                ":SOUR2:FUNC:ARB:SRAT": f"{1 / setup.marker_sample_s:.12g}",
                ":SOUR2:VOLT": f"{2 * MARKER_V:.9g}",
                ":SOUR2:BURS:NCYC": f"{setup.cycles}",
            }
        )
        self._send([*parts, f"{news}:OUTP1 ON;:OUTP2 ON;*OPC?;:SYST:ERR?\n".encode()])
        self._answering = True

    def waves_ready(self) -> None:
        """Wait for the answer to `arm_waves`: the waves can be triggered.

        BenchError where the box refused something: it would play another wave, or at another amplitude.
        """
        done, _, complaint = self.link.read().strip().partition(";")
        self._answering = False
        if done != "1" or complaint.split(",")[0].strip() not in ("0", "+0"):
            self.forget()
            raise BenchError(
                f"{self.name} did not take a wave ({complaint or done!r}), so it was not triggered; look at "
                "the box's error list and its memory"
            )

    def trigger_waves(self) -> None:
        """One message: both channels start at the same edge."""
        self.write("*TRG")

    def end_waves(self) -> list[str]:
        """One exchange: outputs off, and the oldest complaint; where there is one, all of them."""
        answer = self.ask(":OUTP1 OFF;:OUTP2 OFF;:SYST:ERR?").strip()
        if answer.split(",")[0].strip() in ("0", "+0"):
            return []
        self.waves = None
        return [answer, *self.check_errors()]

    def stop_waves(self) -> None:
        """One message: abort, outputs off. An answer that nobody read is cleared before."""
        if self._answering:
            self._answering = False
            self.link.device_clear()
        self.write(":ABOR;:OUTP1 OFF;:OUTP2 OFF")

    def forget(self) -> None:
        """What the box holds and is set to is not known any more."""
        self.waves = None
        self._mode = ""

    def _block(self, channel: int, name: str, codes: Codes) -> list[bytes | memoryview]:
        """Command that puts a wave into a channel's memory, and the note of it."""
        if self.waves is None:
            raise BenchError(f"{self.name}: what lies in its memory is not known; call forget_waves first")
        if codes.dtype != np.int16 or codes.ndim != 1:
            raise BenchError(f"{self.name}: a wave is one row of int16, not {codes.dtype} {codes.shape}")
        low, high = self.wave_samples
        if not low <= len(codes) <= high:
            raise BenchError(f"{self.name}: a wave of {len(codes)} samples is outside {low} to {high}")
        data = np.ascontiguousarray(codes, dtype="<i2")
        self._peak[name] = max(int(data.max()), -int(data.min()))
        self.waves[name] = len(codes)
        count = str(data.nbytes)
        return [f":SOUR{channel}:DATA:ARB:DAC {name},#{len(count)}{count}".encode(), data.view(np.uint8).data]

    def _news(self, settings: Mapping[str, str]) -> str:
        """Commands for the settings that are not in force already."""
        new = {header: value for header, value in settings.items() if self._told.get(header) != value}
        self._told.update(new)
        return "".join(f"{header} {value};" for header, value in new.items())

    def _send(self, parts: list[bytes | memoryview]) -> None:
        """One message that holds binary blocks. Where it fails nobody knows what the box holds now."""
        try:
            self.write_bytes(b"".join(parts))
        except BenchError:
            self.forget()
            raise
