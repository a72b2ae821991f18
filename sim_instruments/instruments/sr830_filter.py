"""The SR830's output filter: one to four equal RC stages, for the signal and for the input's noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ComplexArray = NDArray[np.complex128]
INPUT_NOISE_V = 6e-9  # per root hertz at 1 kHz; source: SR830 specifications [M]
STAGES = 4


class Filter:
    """State of the stages (X + iY, V rms) for signal and noise; time passes with `feed` and `stir`."""

    def __init__(self) -> None:
        self.signal: ComplexArray = np.zeros(STAGES, complex)
        self.noise: ComplexArray = np.zeros(STAGES, complex)

    def feed(self, value: complex, seconds: float, time_constant_s: float, stages: int) -> None:
        """A constant input for some time: every stage heads for it through the ones before."""
        turns = _step(seconds / time_constant_s, stages)
        self.signal[:stages] = value + turns @ (self.signal[:stages] - value)
        self.signal[stages:] = self.signal[stages - 1]

    def stir(self, seconds: float, time_constant_s: float, stages: int, random: np.random.Generator) -> None:
        """White noise at the input for some time, exactly as the stages pass it on."""
        if seconds <= 0:
            return
        turns = _step(seconds / time_constant_s, stages)
        covariance = stationary(time_constant_s, stages)
        added = covariance - turns @ covariance @ turns.T
        values, vectors = np.linalg.eigh(added)
        drawn = random.standard_normal((2, stages)) * np.sqrt(np.maximum(values, 0.0))
        fresh = vectors @ (drawn[0] + 1j * drawn[1])
        self.noise[:stages] = turns @ self.noise[:stages] + fresh
        self.noise[stages:] = self.noise[stages - 1]

    def output(self, stages: int) -> complex:
        """X + iY (V rms)."""
        return complex(self.signal[stages - 1] + self.noise[stages - 1])

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {
            name: [getattr(self, name).real.copy(), getattr(self, name).imag.copy()]
            for name in ("signal", "noise")
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Back to `state`."""
        for name in ("signal", "noise"):
            real, imaginary = state[name]
            setattr(self, name, np.array(real, float) + 1j * np.array(imaginary, float))


def stationary(time_constant_s: float, stages: int) -> NDArray[np.float64]:
    """Covariance (V^2) of the stages' noise in one of X and Y once it is stationary.

    That of the last stage is INPUT_NOISE_V^2 times the equivalent noise bandwidth, 1/4T, 1/8T, 3/32T, 5/64T.
    """
    density = 0.5 * INPUT_NOISE_V**2
    return np.array(
        [
            [density / time_constant_s * math.comb(i + j, i) / 2.0 ** (i + j + 1) for j in range(stages)]
            for i in range(stages)
        ]
    )


def _step(turns: float, stages: int) -> NDArray[np.float64]:
    """What is left of the stages' states after t time constants: exp(-t) t^k / k! from k stages before."""
    left = math.exp(-min(turns, 700.0))
    terms = [left * min(turns, 700.0) ** k / math.factorial(k) for k in range(stages)]
    return np.array([[terms[i - j] if i >= j else 0.0 for j in range(stages)] for i in range(stages)])
