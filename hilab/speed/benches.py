"""Simulated benches to be measured on, and batches for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import hilab
from hilab.errors import BenchError
from hilab.frames import FrameBatch

if TYPE_CHECKING:
    from hilab.bench import Bench

DEVICES = ("w2_d1", "w2_d2", "w2_d3", "w2_d4")
FRAME = {
    "reset_width_s": 100e-6,
    "reset_wait_s": 20e-6,
    "write_width_s": 100e-6,
    "read_wait_s": 20e-6,
}
"""The standard frame without its read (design, section 5)."""
WAVEFORM_READ_S = 160e-6
"""The read of the standard frame, both halves with their settling."""
OVERDRIVE = 1.2
TRANSPORTS = ("gpib", "usb", "lan")


@contextmanager
def simulated(
    name: str, *, seed: int = 1, message_s: float | None = None, **simulation: Any
) -> Iterator[Bench]:
    """The bench of that name, simulated in process. message_s: cost of one message on every transport."""
    overrides: dict[str, Any] = {f"simulation.{key}": value for key, value in simulation.items()}
    if message_s is not None:
        overrides["simulation.latency_s"] = dict.fromkeys(TRANSPORTS, message_s)
    with hilab.open_bench(name, seed=seed, overrides=overrides) as bench:
        if not bench.simulated:
            raise BenchError(f"speed is measured on simulated benches only, and {name!r} is a real one")
        yield bench


def standard_batch(
    bench: Bench,
    frames: int,
    random: np.random.Generator,
    devices: tuple[str, ...] = DEVICES,
    **changed: Any,
) -> FrameBatch:
    """Standard frames that alternate over the devices, every write amplitude another one around I50."""
    times: Mapping[str, Any] = {"integration_s": bench.file.integration_s, **FRAME, **changed}
    cards = [bench.card(name) for name in devices]
    device = np.arange(frames) % len(devices)
    i50_a = np.array([card.nominal.i50_a if card.nominal else np.nan for card in cards])[device]
    read_a = np.array([0.6 * card.limits.read_max_a for card in cards])[device]
    return FrameBatch.of(
        devices, device, i50_a * random.normal(1.0, 0.03, frames), -OVERDRIVE * i50_a, read_a, **times
    )
