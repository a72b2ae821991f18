"""The peer: PyMeasure's own classes and its own way, one point after the other, on the same instruments."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.frames import FrameBatch


class Keithley2600Loop:
    """A 2636B: every level and every reading is a message of PyMeasure's class."""

    peer_name = "per-point loop, PyMeasure Keithley2600"

    def __init__(self, bench: Bench):
        from pymeasure.instruments.keithley import Keithley2600

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the class itself: "not known whether SCPI"
            self._box: Any = Keithley2600(**_where(bench, "pulse_source"))
        source, reader = self._box.ChA, self._box.ChB
        for channel in (source, reader):
            channel.source_mode = "current"
        source.compliance_voltage = 20
        source.source_current_range = 10e-3
        reader.voltage_range = 0.2
        reader.source_current = 0
        reader.source_output = "ON"

    def frame(self, reset_a: float, write_a: float, read_a: float) -> float:
        """Reset, write, read; the voltage."""
        source = self._box.ChA
        for level_a in (reset_a, write_a):
            source.source_current = level_a
            source.source_output = "ON"
            source.source_output = "OFF"
        source.source_current = read_a
        source.source_output = "ON"
        voltage_v = float(self._box.ChB.voltage)
        source.source_output = "OFF"
        return voltage_v

    def close(self) -> None:
        self._box.ChA.source_output = "OFF"
        self._box.ChB.source_output = "OFF"
        self._box.adapter.close()


class Agilent33500Loop:
    """A 33600A and a DMM6500: levels as an offset, one reading at a time."""

    peer_name = "per-point loop, PyMeasure Agilent33500 and KeithleyDMM6500"

    def __init__(self, bench: Bench):
        from pymeasure.instruments.agilent import Agilent33500
        from pymeasure.instruments.keithley import KeithleyDMM6500

        self._source: Any = Agilent33500(**_where(bench, "pulse_source"))
        self._meter: Any = KeithleyDMM6500(**_where(bench, "reader"))
        for box in (self._source, self._meter):
            box.reset()
        self._meter.write(":FORM:DATA ASC")  # a reset leaves the data's format as it is
        self._channel = self._source.ch_1
        self._channel.output_load = "INF"
        self._channel.shape = "DC"
        self._meter.mode = "voltage"
        self._meter.range = 0.1
        self._meter.nplc = 0.01
        shunt = bench.shunt
        self._ohm = bench.card(bench_device(bench)).r_ohm + (shunt.ohm if shunt else 0.0)

    def frame(self, reset_a: float, write_a: float, read_a: float) -> float:
        """Reset, write, read; the voltage."""
        channel = self._channel
        for level_a in (reset_a, write_a):
            channel.offset = self._volt(level_a)
            channel.output = True
            channel.output = False
        channel.offset = self._volt(read_a)
        channel.output = True
        voltage_v = float(self._meter.voltage)
        channel.output = False
        return voltage_v

    def _volt(self, current_a: float) -> float:
        return float(np.clip(current_a * self._ohm, -4.9, 4.9))

    def close(self) -> None:
        self._channel.output = False
        self._source.adapter.close()
        self._meter.adapter.close()


def bench_device(bench: Bench) -> str:
    """The device that the loop is measured on."""
    return next(iter(bench.devices))


def play_by_points(loop: Any, batch: FrameBatch) -> np.ndarray:
    """The whole batch, frame after frame; the voltages (N,)."""
    return np.array(
        [
            loop.frame(reset_a, write_a, read_a)
            for reset_a, write_a, read_a in zip(
                batch.reset_a.tolist(), batch.write_a.tolist(), batch.read_a.tolist(), strict=True
            )
        ]
    )


def _where(bench: Bench, role: str) -> dict[str, Any]:
    """How PyMeasure reaches the instrument of a role on a simulated bench."""
    twin = bench.twin
    assert twin is not None
    address = twin.addresses[bench.instrument_name(role)]
    return {"adapter": _adapter(address, twin.visa_library)}


def _adapter(address: str, library: Any) -> Any:
    from pymeasure.adapters import VISAAdapter

    return VISAAdapter(address, visa_library=library, read_termination="\n", write_termination="\n")
