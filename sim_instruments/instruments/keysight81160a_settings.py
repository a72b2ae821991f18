"""Settings of the 81160A as data: bench.md 2.7, limits as in PyMeasure's driver; the rest is recalled [R]."""

from __future__ import annotations

from sim_instruments.instruments.keysight33600a_settings import Name
from sim_instruments.instruments.keysight_channels import ChannelSetting, Quantity
from sim_instruments.scpi.instrument import Boolean, Choice, Number

_FUNC = "[SOURce:]FUNCtion<1-2>"
_VOLT = "[SOURce:]VOLTage<1-2>"
_PULSE = "[SOURce:]PULSe"
_BURST = "[SOURce:]BURSt<1-2>"
_PATTERN = "DIGital<1-2>[:STIMulus]:PATTern"

HIGHEST_HZ = {"SIN": 500e6, "SQU": 330e6, "RAMP": 330e6, "PULS": 330e6, "USER": 330e6}
NARROWEST_S = 1.5e-9
COUNT_MAX = 2_147_483_647
_ON_OFF = Boolean()

CHANNEL_SETTINGS = (
    ChannelSetting(
        "function",
        f"{_FUNC}[:SHAPe]",
        Choice("SINusoid", "SQUare", "RAMP", "PULSe", "NOISe", "DC", "USER"),
        "SIN",
        "refresh",
    ),
    ChannelSetting("user", f"{_FUNC}:USER", Name(), "VOLATILE", stored=False),
    ChannelSetting(
        "frequency", "[SOURce:]FREQuency<1-2>", Quantity("HZ"), 1e6, limits="hz_limits", stored=False
    ),
    ChannelSetting(
        "amplitude", f"{_VOLT}[:AMPLitude]", Quantity("V"), 0.1, limits="amplitude_limits", stored=False
    ),
    ChannelSetting("offset", f"{_VOLT}:OFFSet", Quantity("V"), 0.0, "level_changed", "offset_limits"),
    ChannelSetting("high", f"{_VOLT}:HIGH", Quantity("V"), limits="level_limits", stored=False),
    ChannelSetting("low", f"{_VOLT}:LOW", Quantity("V"), limits="level_limits", stored=False),
    ChannelSetting("unit", f"{_VOLT}:UNIT", Choice("VPP", "VRMS", "DBM"), "VPP", "unit_changed"),
    ChannelSetting(
        "limit_high", f"{_VOLT}:LIMit:HIGH", Quantity("V"), 10.0, "limits_changed", "level_limits"
    ),
    ChannelSetting("limit_low", f"{_VOLT}:LIMit:LOW", Quantity("V"), -10.0, "limits_changed", "level_limits"),
    ChannelSetting("limited", f"{_VOLT}:LIMit[:STATe]", _ON_OFF, False, "limits_changed"),
    ChannelSetting("output", "OUTPut<1-2>[:STATe]", _ON_OFF, False, "refresh"),
    ChannelSetting("complement", "OUTPut<1-2>:COMPlement", _ON_OFF, False),
    ChannelSetting("polarity", "OUTPut<1-2>:POLarity", Choice("NORMal", "INVerted"), "NORM", "refresh"),
    ChannelSetting(
        "load", "OUTPut<1-2>:LOAD", Quantity("OHM", infinite=True), 50.0, limits=(0.3, 1e6), stored=False
    ),
    ChannelSetting("period", f"{_PULSE}:PERiod<1-2>", Quantity("S"), limits="period_limits", stored=False),
    ChannelSetting("width", f"{_PULSE}:WIDTh<1-2>", Quantity("S"), 100e-9, "refresh", "width_limits"),
    ChannelSetting("duty", f"{_PULSE}:DCYCle<1-2>", Quantity(), limits=(0.15, 99.99), stored=False),
    ChannelSetting("delay", f"{_PULSE}:DELay<1-2>", Quantity("S"), 0.0, "refresh", (0.0, 1e6)),
    ChannelSetting(
        "edge", f"{_PULSE}:TRANsition<1-2>[:LEADing]", Quantity("S"), 2.5e-9, "refresh", (1e-9, 1e3)
    ),
    ChannelSetting("trailing", f"{_PULSE}:TRANsition<1-2>:TRAiling", Quantity("S"), 2.5e-9, "", (1e-9, 1e3)),
    ChannelSetting(
        "edge_of_function",
        f"{_FUNC}:PULSe:TRANsition[:LEADing]",
        Quantity("S"),
        limits=(1e-9, 1e3),
        stored=False,
    ),
    ChannelSetting("hold", f"{_PULSE}:HOLD<1-2>", Choice("WIDTh", "DCYCle"), "WIDT"),
    ChannelSetting("square_duty", f"{_FUNC}:SQUare:DCYCle", Quantity(), 50.0, "refresh", (0.01, 99.99)),
    ChannelSetting("symmetry", f"{_FUNC}:RAMP:SYMMetry", Quantity(), 100.0, "refresh", (0.0, 100.0)),
    ChannelSetting(
        "trigger", "ARM:SOURce<1-2>", Choice("IMMediate", "INT2", "EXTernal", "MANual"), "IMM", "refresh"
    ),
    ChannelSetting("slope", "ARM:SLOPe<1-2>", Choice("POSitive", "NEGative"), "POS"),
    ChannelSetting("trigger_level", "ARM:LEVel<1-2>", Quantity("V"), 1.0, limits=(-10.0, 10.0)),
    ChannelSetting("count", "TRIGger<1-2>:COUNt", Number(1, COUNT_MAX, 1, integer=True), 1, "refresh"),
    ChannelSetting("burst", f"{_BURST}:STATe", _ON_OFF, False, "refresh"),
    ChannelSetting("burst_mode", f"{_BURST}:MODE", Choice("TRIGgered", "GATed"), "TRIG", "refresh"),
    ChannelSetting(
        "cycles", f"{_BURST}:NCYCles", Number(2, COUNT_MAX, 2, integer=True, infinite=True), 2, "refresh"
    ),
    ChannelSetting(
        "burst_period", f"{_BURST}:INTernal:PERiod", Quantity("S"), 1e-5, "refresh", (3.03e-9, 1e6)
    ),
    ChannelSetting("coupled", "TRACk:CHANnel<1-2>", _ON_OFF, False),
    ChannelSetting("pattern", f"{_PATTERN}[:STATe]", _ON_OFF, False, "pattern_changed"),
)
