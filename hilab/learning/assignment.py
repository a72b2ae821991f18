"""Which neuron runs on which device, and in which time slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilab.frames import IntArray


@dataclass(frozen=True)
class Assignment:
    """Neurons on devices: device (H,) indexes into devices; slot (H,) counts the uses of one device."""

    devices: tuple[str, ...]
    device: IntArray
    slot: IntArray

    @staticmethod
    def round_robin(neurons: int, devices: Sequence[str]) -> Assignment:
        """Neuron j on device j mod D, in slot j // D. Raises ValueError without neurons or devices."""
        if neurons < 1 or not devices:
            raise ValueError(
                f"{neurons} neurons cannot be laid on {len(devices)} devices: both must be at least one"
            )
        index = np.arange(neurons, dtype=np.int64)
        return Assignment(tuple(devices), index % len(devices), index // len(devices))

    @property
    def neurons(self) -> int:
        return len(self.device)

    @property
    def slots(self) -> int:
        """Uses of the busiest device in one pass."""
        return int(self.slot.max()) + 1

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"devices": list(self.devices), "device": self.device, "slot": self.slot}

    @staticmethod
    def restored(state: Mapping[str, Any]) -> Assignment:
        return Assignment(
            tuple(state["devices"]),
            np.asarray(state["device"], dtype=np.int64),
            np.asarray(state["slot"], dtype=np.int64),
        )
