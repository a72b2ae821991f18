"""What the world asks of a device model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from numpy.typing import ArrayLike, NDArray

from sim_instruments.world.circuit import Load
from sim_instruments.world.contracts import FloatArray
from sim_instruments.world.field import Field


@dataclass(frozen=True)
class Chip:
    """What all devices of a sample share: how they are drawn, and which random streams they use.

    sample_seed draws the devices, seed their noise and drift. options are the device model's own, from
    the table [simulation.device].
    """

    setting: str
    sample_seed: int
    seed: int
    shape: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class Lived(NamedTuple):
    """What a device went through in a train: level and slow rise of temperature (K) after each pulse (n,).

    Of a device that dies in pulse k, survived is k + 1: its current line is open from then on.
    """

    level: FloatArray
    survived: int
    warm_k: FloatArray


class Device(Protocol):
    """One device under test. Its own time runs only when it is played or settled."""

    name: str
    truth: Any
    dead: bool
    open_ports: set[str]

    @property
    def warm_k(self) -> float:
        """Slow rise of temperature after the last pulse (K)."""
        ...

    @property
    def level(self) -> float:
        """The state as the Hall arms see it, -1 to 1."""
        ...

    def load(self, port: str, current_a: float, time_s: float) -> Load:
        """What a source sees at a port while current_a flows through the current line."""
        ...

    def settle(self, until_s: float, current_a: float, field: Field) -> None:
        """Live under a standing current and the field until that time."""
        ...

    def play(
        self, current_a: FloatArray, start_s: FloatArray, width_s: FloatArray, base_a: float, field: Field
    ) -> Lived:
        """Live through rectangular pulses."""
        ...

    def port_v(
        self,
        port: str,
        current_a: ArrayLike,
        level: ArrayLike,
        time_s: ArrayLike,
        warm_k: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Open voltage at a port while current_a flows through the current line; nan where it is open.

        warm_k is the slow rise of temperature then; without it that of now.
        """
        ...

    def mean_v(
        self,
        port: str,
        current_a: ArrayLike,
        current_level_a: ArrayLike,
        time_s: ArrayLike,
        warm_k: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Means over windows of time, from those of current, of current times level (A) and of warmth (K)."""
        ...

    def snapshot(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class DeviceModel:
    """A plug-in of the entry-point group `hilab.device_models`.

    make(name, card, chip, field) builds one device from its table of the bench file (ValueError with one
    sentence for what cannot be). surroundings(chip) gives the field parameters that the chip's setting
    decides, by the names of `world.field.FieldParameters`.
    """

    make: Callable[[str, Mapping[str, Any], Chip, Field], Device]
    surroundings: Callable[[Chip], Mapping[str, float]]
