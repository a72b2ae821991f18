"""Named random streams: independent of each other, the same for the same seed and name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sequence(seed: int, name: str) -> np.random.SeedSequence:
    """The seed sequence of a named stream."""
    return np.random.SeedSequence(seed, spawn_key=tuple(name.encode()))


def key(seed: int, name: str) -> NDArray[np.uint64]:
    """(2,) 128-bit key of a named counter-based stream."""
    return sequence(seed, name).generate_state(2, np.uint64).astype(np.uint64)


class Streams:
    """Generators by name, created when first asked for."""

    def __init__(self, seed: int):
        self.seed = seed
        self._generators: dict[str, np.random.Generator] = {}

    def __call__(self, name: str) -> np.random.Generator:
        generator = self._generators.get(name)
        if generator is None:
            generator = np.random.Generator(np.random.PCG64(sequence(self.seed, name)))
            self._generators[name] = generator
        return generator

    def snapshot(self) -> dict[str, Any]:
        """The exact state of every generator as plain values."""
        return {name: dict(each.bit_generator.state) for name, each in self._generators.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot; streams that it does not know start afresh when asked for.

        Generators already handed out are set in place where the snapshot knows them.
        """
        for name in [name for name in self._generators if name not in state]:
            fresh = np.random.PCG64(sequence(self.seed, name))
            self._generators[name].bit_generator.state = fresh.state
        for name, inner in state.items():
            self(name).bit_generator.state = inner
