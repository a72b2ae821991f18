"""Waveform memory of one channel of a 33600A: what is loaded, what it costs, sequences and stored files."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_instruments.instruments.keysight33600a_settings import BUILT_IN, Name
from sim_instruments.instruments.keysight_kernel import run_lengths
from sim_instruments.instruments.keysight_shapes import Codes
from sim_instruments.scpi.instrument import Block as BlockParameter
from sim_instruments.scpi.instrument import ScpiError
from sim_instruments.scpi.lexer import split_outside

CODE_MAX = 32767
SHORTEST = 32  # points; source: bench.md 2.6
STEPS_MAX = 512  # of a sequence; source: bench.md 2.6, recalled
FULL = 880  # source: bench.md 2.0, seen in the wild
EXISTS, UNKNOWN = 786, 785  # numbers recalled [R]; that a name cannot be loaded twice: PyMeasure's driver
TEXTS = {
    FULL: "Arb: Out of memory",
    EXISTS: "Specified arb waveform already exists",
    UNKNOWN: "Specified arb waveform does not exist",
}
PLAYS = ("ONCE", "ONCEWAITTRIG", "REPEAT", "REPEATINF", "REPEATTILTRIG")
MARKERS = ("MAINTAIN", "LOWATSTART", "HIGHATSTART", "HIGHATSTARTGOLOW")
MARKER_POINT_MIN = 4  # source: bench.md 2.6


def refusal(code: int) -> ScpiError:
    """The box's own error of that number."""
    return ScpiError(code, TEXTS[code])


@dataclass(frozen=True)
class ArbData:
    """All parameters of DATA:ARB: a name, then one block or a list of numbers. The value is (name, data)."""

    reads_rest = True

    def parse(self, text: str) -> tuple[str, bytes | NDArray[np.float64]]:
        name, comma, rest = text.partition(",")
        if not comma:
            raise ScpiError(-109)
        rest = rest.lstrip()
        if rest[:1] == "#":
            return Name().parse(name.strip()), BlockParameter().parse(rest)
        try:
            values = np.array(rest.split(","), dtype=np.float64)
        except ValueError:
            raise ScpiError(-121 if rest[:1] in set("+-.0123456789") else -104) from None
        return Name().parse(name.strip()), values


def dac_codes(data: bytes | NDArray[np.float64], swapped: bool) -> Codes:
    """Samples of DATA:ARB:DAC: 16 bit numbers in the order of FORMat:BORDer, or whole numbers as text."""
    if isinstance(data, bytes):
        if len(data) % 2:
            raise ScpiError(-161)
        codes = np.frombuffer(data, "<i2" if swapped else ">i2").astype(np.int16, copy=False)
        if len(codes) and int(codes.min()) < -CODE_MAX:
            raise ScpiError(-222)
        return codes
    if not (np.abs(data) <= CODE_MAX).all():
        raise ScpiError(-222)
    return np.rint(data).astype(np.int16)


def float_codes(data: bytes | NDArray[np.float64], swapped: bool) -> Codes:
    """Samples of DATA:ARB: -1 to 1, as text or as 32 bit numbers."""
    if isinstance(data, bytes):
        if len(data) % 4:
            raise ScpiError(-161)
        data = np.frombuffer(data, "<f4" if swapped else ">f4").astype(np.float64)
    if not (np.abs(data) <= 1).all():
        raise ScpiError(-222)
    return np.rint(data * CODE_MAX).astype(np.int16)


def wave_of(codes: Codes) -> dict[str, Any]:
    """A waveform as it is kept: its runs."""
    values, starts = run_lengths(codes)
    return {"codes": values, "starts": starts, "points": len(codes)}


class WaveMemory:
    """Waveforms by name, sequences by name, and the points that loading has used up.

    Loading a file again takes its points again; only `clear` gives memory back.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.clear()

    def clear(self) -> None:
        """Empty but for the built-in waveform."""
        rise = np.rint(CODE_MAX * (1 - np.exp(-np.arange(SHORTEST) / 6.0))).astype(np.int16)
        self.waves: dict[str, dict[str, Any]] = {BUILT_IN: wave_of(rise)}
        self.sequences: dict[str, list[dict[str, Any]]] = {}
        self.used = 0

    @property
    def free(self) -> int:
        """Points that can still be loaded."""
        return self.capacity - self.used

    def add(self, name: str, codes: Codes) -> None:
        """Load a new waveform."""
        if name in self.waves or name in self.sequences:
            raise refusal(EXISTS)
        if len(codes) < SHORTEST:
            raise ScpiError(-222)
        if len(codes) > self.free:
            raise refusal(FULL)
        self.waves[name] = wave_of(codes)
        self.used += len(codes)

    def load(self, name: str, wave: Mapping[str, Any]) -> None:
        """Load a stored file."""
        if wave["points"] > self.free:
            raise refusal(FULL)
        self.waves[name] = dict(wave)
        self.used += int(wave["points"])

    def add_sequence(self, text: str) -> int:
        """Take the content of a DATA:SEQ block; the number of its steps."""
        words = [word.strip().strip('"') for word in split_outside(text, ",")]
        name, steps = words[0].upper(), words[1:]
        if not name or not steps or len(steps) % 5:
            raise ScpiError(-224)
        if len(steps) // 5 > STEPS_MAX:
            raise ScpiError(-223)
        if name in self.waves or name in self.sequences:
            raise refusal(EXISTS)
        self.sequences[name] = [self._step(steps[at : at + 5]) for at in range(0, len(steps), 5)]
        return len(steps) // 5

    def _step(self, words: list[str]) -> dict[str, Any]:
        name, count, play, marker, point = words
        if name.upper() not in self.waves:
            raise refusal(UNKNOWN)
        if play.upper() not in PLAYS or marker.upper() not in MARKERS:
            raise ScpiError(-224)
        try:
            repeats, at = int(count), int(point)
        except ValueError:
            raise ScpiError(-224) from None
        if not 0 <= repeats <= 1_000_000 or at < MARKER_POINT_MIN:
            raise ScpiError(-222)
        return {"arb": name.upper(), "repeats": repeats, "play": play.upper(), "marker": marker.upper()}

    def wave(self, name: str) -> dict[str, Any]:
        """A waveform; +785 if there is none of that name."""
        if name not in self.waves:
            raise refusal(UNKNOWN)
        return self.waves[name]

    def holds(self, name: str) -> bool:
        """Whether this can be selected."""
        return name in self.waves or name in self.sequences

    def points(self, name: str) -> int:
        """Points of a waveform, or of one pass of a sequence."""
        if name in self.sequences:
            steps = self.sequences[name]
            return sum(self.waves[each["arb"]]["points"] * max(each["repeats"], 1) for each in steps)
        return int(self.wave(name)["points"])

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return copy.deepcopy({"waves": self.waves, "sequences": self.sequences, "used": self.used})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a snapshot."""
        self.waves, self.sequences = dict(state["waves"]), dict(state["sequences"])
        self.used = int(state["used"])
