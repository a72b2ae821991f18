"""Levels, limits, load, frequency and pulse timing of a generator's channels, and how they conflict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from sim_instruments.instruments.keysight_channels import CONFLICT
from sim_instruments.instruments.keysight_generator import OPEN_MAX_V, OUTPUT_OHM, Generator
from sim_instruments.scpi.instrument import ScpiError

LOWEST_HZ = 1e-6
RMS_FACTOR = {
    "SIN": 2 * math.sqrt(2),
    "SQU": 2.0,
    "PULS": 2.0,
    "TRI": 2 * math.sqrt(3),
    "RAMP": 2 * math.sqrt(3),
}


class Levels(Generator):
    """Voltages are set as they appear at the load that OUTPut:LOAD names; it changes nothing else."""

    highest_hz: ClassVar[Mapping[str, float]]  # by function
    narrowest_s: ClassVar[float]  # shortest pulse
    least_vpp: ClassVar[float]  # smallest amplitude into an open circuit
    most_vpp: ClassVar[float] = 2 * OPEN_MAX_V  # largest one

    def defaults(self) -> None:
        super().defaults()
        for channel in (1, 2):
            self.put("vpp", channel, 0.1)
            self.put("hz", channel, 1e3)
            self.put("load", channel, 50.0)

    # ---- volts -------------------------------------------------------------------------------------

    def factor(self, channel: int) -> float:
        """Open-circuit volts for one volt at the load that the box was told of."""
        load_ohm = self.value("load", channel)
        return 1.0 if math.isinf(load_ohm) else (OUTPUT_OHM + load_ohm) / load_ohm

    def volts(self, channel: int) -> tuple[float, float]:
        factor = self.factor(channel)
        half_v = 0.5 * self.value("vpp", channel) * factor
        inverted = self.value("polarity", channel) == "INV"
        return -half_v if inverted else half_v, self.value("offset", channel) * factor

    def amplitude_limits(self, channel: int) -> tuple[float, float]:
        factor = self.factor(channel)
        low, unit = self.least_vpp / factor, self._unit(channel)
        room_v = OPEN_MAX_V / factor - abs(self.value("offset", channel))
        high = min(2 * room_v, self.most_vpp / factor)
        return low / unit, max(high, low) / unit

    def offset_limits(self, channel: int) -> tuple[float, float]:
        most = OPEN_MAX_V / self.factor(channel)
        if self.value("function", channel) != "DC":
            most -= self.value("vpp", channel) / 2
        return -max(most, 0.0), max(most, 0.0)

    def level_limits(self, channel: int) -> tuple[float, float]:
        most = OPEN_MAX_V / self.factor(channel)
        return -most, most

    def _unit(self, channel: int) -> float:
        """Volts peak to peak for one unit of VOLTage."""
        return RMS_FACTOR[self.value("function", channel)] if self.value("unit", channel) == "VRMS" else 1.0

    def get_amplitude(self, channel: int) -> float:
        vpp = float(self.value("vpp", channel))
        if self.value("unit", channel) != "DBM":
            return vpp / self._unit(channel)
        rms_v = vpp / RMS_FACTOR[self.value("function", channel)]
        return 10 * math.log10(rms_v**2 / self.value("load", channel) / 1e-3)

    def set_amplitude(self, channel: int, value: float) -> None:
        self._set_levels(channel, value * self._unit(channel), self.value("offset", channel))

    def get_arb_volt(self, channel: int) -> float:
        return float(self.value("vpp", channel))

    def set_arb_volt(self, channel: int, value: float) -> None:
        self._set_levels(channel, value, self.value("offset", channel))

    def get_high(self, channel: int) -> float:
        return float(self.value("offset", channel) + self.value("vpp", channel) / 2)

    def get_low(self, channel: int) -> float:
        return float(self.value("offset", channel) - self.value("vpp", channel) / 2)

    def set_high(self, channel: int, high_v: float) -> None:
        self._set_ends(channel, self.get_low(channel), high_v)

    def set_low(self, channel: int, low_v: float) -> None:
        self._set_ends(channel, low_v, self.get_high(channel))

    def _set_ends(self, channel: int, low_v: float, high_v: float) -> None:
        if high_v - low_v < self.least_vpp / self.factor(channel) * (1 - 1e-9):
            raise ScpiError(CONFLICT, "Settings conflict; the high level must be above the low level")
        if high_v - low_v > self.most_vpp / self.factor(channel) * (1 + 1e-9):
            raise ScpiError(CONFLICT, "Settings conflict; the amplitude is too large")
        self._set_levels(channel, high_v - low_v, (high_v + low_v) / 2)

    def _set_levels(self, channel: int, vpp: float, offset: float) -> None:
        before = self.value("vpp", channel), self.value("offset", channel)
        if (vpp, offset) == before:
            return
        self.before_change(channel)
        self.put("vpp", channel, vpp)
        self.put("offset", channel, offset)
        try:
            self.level_changed(channel)
        except ScpiError:
            self.put("vpp", channel, before[0])
            self.put("offset", channel, before[1])
            raise

    def level_changed(self, channel: int) -> None:
        self.limits_changed(channel)
        self.refresh(channel)

    def limits_changed(self, channel: int) -> None:
        """-221 if what is set lies outside the limits that are switched on."""
        low, high = self.value("limit_low", channel), self.value("limit_high", channel)
        if high <= low:
            raise ScpiError(CONFLICT, "Settings conflict; the high limit must be above the low limit")
        if not self.value("limited", channel):
            return
        half_v = 0.0 if self.value("function", channel) == "DC" else self.value("vpp", channel) / 2
        offset = self.value("offset", channel)
        slack = 1e-9 * OPEN_MAX_V
        if offset + half_v > high + slack or offset - half_v < low - slack:
            raise ScpiError(CONFLICT, "Settings conflict; the level is outside the voltage limits")

    def unit_changed(self, channel: int) -> None:
        unit = self.value("unit", channel)
        if unit != "VPP" and self.value("function", channel) not in RMS_FACTOR:
            raise ScpiError(CONFLICT, "Settings conflict; this function has no such unit")
        if unit == "DBM":
            if math.isinf(self.value("load", channel)):
                raise ScpiError(CONFLICT, "Settings conflict; DBM needs a finite load")
            raise ScpiError(CONFLICT, "Settings conflict; this simulation sets no amplitude in DBM")

    def get_load(self, channel: int) -> float:
        return float(self.value("load", channel))

    def set_load(self, channel: int, ohm: float) -> None:
        """Other numbers for the same voltages: nothing changes at the connector."""
        before = self.factor(channel)
        self.put("load", channel, ohm)
        ratio = before / self.factor(channel)
        for key in ("vpp", "offset", "limit_high", "limit_low"):
            self.put(key, channel, self.value(key, channel) * ratio)

    # ---- time --------------------------------------------------------------------------------------

    def hz_limits(self, channel: int) -> tuple[float, float]:
        return LOWEST_HZ, self.highest_hz.get(self.value("function", channel), 120e6)

    def get_frequency(self, channel: int) -> float:
        return float(self.value("hz", channel))

    def set_frequency(self, channel: int, hz: float) -> None:
        self._set_period(channel, 1 / hz)

    def period_limits(self, channel: int) -> tuple[float, float]:
        return 1 / self.highest_hz["PULS"], 1e6

    def get_period(self, channel: int) -> float:
        return 1 / float(self.value("hz", channel))

    def set_period(self, channel: int, period_s: float) -> None:
        self._set_period(channel, period_s)

    def _set_period(self, channel: int, period_s: float) -> None:
        if period_s == self.get_period(channel):
            return
        self.before_change(channel)
        duty = self.get_duty(channel)
        self.put("hz", channel, 1 / period_s)
        if self.value("hold", channel) == "DCYC":
            self.put("width", channel, duty / 100 * period_s)
        widest_s = self.width_limits(channel)[1]
        if self.value("width", channel) > widest_s:
            self.put("width", channel, widest_s)
            if self.value("function", channel) == "PULS":
                self.complain(CONFLICT, "pulse width decreased due to period")
        self.refresh(channel)

    def width_limits(self, channel: int) -> tuple[float, float]:
        edges_s = 2 * 0.625 * self.value("edge", channel)  # source: the manuals of the family [R]
        return self.narrowest_s, max(self.narrowest_s, self.get_period(channel) - edges_s)

    def get_duty(self, channel: int) -> float:
        return float(100 * self.value("width", channel) / self.get_period(channel))

    def set_duty(self, channel: int, percent: float) -> None:
        low, high = self.width_limits(channel)
        self.before_change(channel)
        self.put("width", channel, min(max(percent / 100 * self.get_period(channel), low), high))
        self.refresh(channel)
