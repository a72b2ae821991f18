"""Settings of the 33600A as data. Headers: bench.md 2.6; ranges and defaults: data sheet, recalled [R]."""

from __future__ import annotations

from dataclasses import dataclass

from sim_instruments.instruments.keysight_channels import ChannelSetting, Quantity
from sim_instruments.scpi.instrument import Boolean, Choice, Number, ScpiError, Setting
from sim_instruments.scpi.parameters import unquote

_SOURCE = "[SOURce<1-2>:]"
_VOLT = f"{_SOURCE}VOLTage"
_LEVEL = f"{_VOLT}[:LEVel][:IMMediate]"
_FUNC = f"{_SOURCE}FUNCtion"
_PULSE = f"{_FUNC}:PULSe"
_ARB = f"{_FUNC}:ARBitrary"
_BURST = f"{_SOURCE}BURSt"
_OUT = "OUTPut<1-2>"
_TRIG = "TRIGger<1-2>"

HIGHEST_HZ = {"SIN": 120e6, "SQU": 100e6, "TRI": 800e3, "RAMP": 800e3, "PULS": 100e6, "PRBS": 100e6}
NARROWEST_S = 5e-9  # of a pulse
EDGE_S = 4e-9
SAMPLE_RATE_HZ = (1e-6, 660e6)
CYCLES_MAX = 1e8
DELAY_MAX_S = 1000.0
BUILT_IN = "INT:\\BUILTIN\\EXP_RISE.ARB"  # what a channel holds after *RST and after DATA:VOL:CLE


@dataclass(frozen=True)
class Name:
    """The name of a waveform, with or without quotation marks; the value is in capitals."""

    def parse(self, text: str) -> str:
        name = unquote(text) if text[:1] in ("'", '"') else text
        if not name or not name.isascii() or any(mark in name for mark in " ,;\"'"):
            raise ScpiError(-224)
        return name.upper()


_ON_OFF = Boolean()
LEVELS = (
    ChannelSetting(
        "function",
        f"{_FUNC}[:SHAPe]",
        Choice("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "ARBitrary", "DC"),
        "SIN",
        "function_changed",
    ),
    ChannelSetting("frequency", f"{_SOURCE}FREQuency", Quantity("HZ"), 1e3, limits="hz_limits", stored=False),
    ChannelSetting(
        "amplitude", f"{_LEVEL}[:AMPLitude]", Quantity("V"), 0.1, limits="amplitude_limits", stored=False
    ),
    ChannelSetting("offset", f"{_LEVEL}:OFFSet", Quantity("V"), 0.0, "level_changed", "offset_limits"),
    ChannelSetting("high", f"{_LEVEL}:HIGH", Quantity("V"), limits="level_limits", stored=False),
    ChannelSetting("low", f"{_LEVEL}:LOW", Quantity("V"), limits="level_limits", stored=False),
    ChannelSetting("unit", f"{_VOLT}:UNIT", Choice("VPP", "VRMS", "DBM"), "VPP", "unit_changed"),
    ChannelSetting(
        "limit_high", f"{_VOLT}:LIMit:HIGH", Quantity("V"), 10.0, "limits_changed", "level_limits"
    ),
    ChannelSetting("limit_low", f"{_VOLT}:LIMit:LOW", Quantity("V"), -10.0, "limits_changed", "level_limits"),
    ChannelSetting("limited", f"{_VOLT}:LIMit:STATe", _ON_OFF, False, "limits_changed"),
    ChannelSetting("auto_range", f"{_VOLT}:RANGe:AUTO", Choice("ON", "OFF", "ONCE"), "ON"),
    ChannelSetting("phase", f"{_SOURCE}PHASe", Number(-360, 360), 0.0),
    ChannelSetting("output", f"{_OUT}[:STATe]", _ON_OFF, False, "refresh"),
    ChannelSetting(
        "load", f"{_OUT}:LOAD", Quantity("OHM", infinite=True), 50.0, limits=(1.0, 10e3), stored=False
    ),
    ChannelSetting("polarity", f"{_OUT}:POLarity", Choice("NORMal", "INVerted"), "NORM", "refresh"),
)

SHAPES = (
    ChannelSetting("square_duty", f"{_FUNC}:SQUare:DCYCle", Quantity(), 50.0, "refresh", (0.01, 99.99)),
    ChannelSetting("symmetry", f"{_FUNC}:RAMP:SYMMetry", Quantity(), 100.0, "refresh", (0.0, 100.0)),
    ChannelSetting("bandwidth", f"{_FUNC}:NOISe:BANDwidth", Quantity("HZ"), 100e3, "refresh", (1e-3, 120e6)),
    ChannelSetting("bit_rate", f"{_FUNC}:PRBS:BRATe", Quantity(), 1e3, "refresh", (1e-3, 200e6)),
    ChannelSetting("period", f"{_PULSE}:PERiod", Quantity("S"), limits="period_limits", stored=False),
    ChannelSetting("width", f"{_PULSE}:WIDTh", Quantity("S"), 1e-4, "refresh", "width_limits"),
    ChannelSetting("duty", f"{_PULSE}:DCYCle", Quantity(), limits=(0.01, 99.99), stored=False),
    ChannelSetting("edge", f"{_PULSE}:TRANsition[:BOTH]", Quantity("S"), EDGE_S, limits=(2.9e-9, 1e-6)),
    ChannelSetting("hold", f"{_PULSE}:HOLD", Choice("WIDTh", "DCYCle"), "WIDT"),
)

ARBS = (
    ChannelSetting("arb", _ARB, Name(), BUILT_IN, stored=False),
    ChannelSetting("sample_rate", f"{_ARB}:SRATe", Quantity(), 4e4, "refresh", SAMPLE_RATE_HZ),
    ChannelSetting("arb_hz", f"{_ARB}:FREQuency", Quantity("HZ"), limits=(1e-6, 30e6), stored=False),
    ChannelSetting("arb_period", f"{_ARB}:PERiod", Quantity("S"), limits=(33e-9, 1e6), stored=False),
    ChannelSetting("filter", f"{_ARB}:FILTer", Choice("NORMal", "STEP", "OFF"), "STEP"),
    ChannelSetting("advance_by", f"{_ARB}:ADVance", Choice("TRIGger", "SRATe"), "SRAT", "advance_changed"),
    ChannelSetting("arb_volt", f"{_ARB}:PTPeak", Quantity("V"), limits="amplitude_limits", stored=False),
)

BURSTS = (
    ChannelSetting("burst", f"{_BURST}:STATe", _ON_OFF, False, "burst_changed"),
    ChannelSetting("burst_mode", f"{_BURST}:MODE", Choice("TRIGgered", "GATed"), "TRIG", "refresh"),
    ChannelSetting(
        "burst_cycles", f"{_BURST}:NCYCles", Quantity(infinite=True), 1.0, "refresh", (1.0, CYCLES_MAX)
    ),
    ChannelSetting("burst_phase", f"{_BURST}:PHASe", Number(-360, 360), 0.0, "refresh"),
    ChannelSetting(
        "burst_period", f"{_BURST}:INTernal:PERiod", Quantity("S"), 0.01, "refresh", (1e-6, 8000.0)
    ),
    ChannelSetting("gate", f"{_BURST}:GATE:POLarity", Choice("NORMal", "INVerted"), "NORM"),
    ChannelSetting(
        "trigger", f"{_TRIG}:SOURce", Choice("IMMediate", "EXTernal", "TIMer", "BUS"), "IMM", "refresh"
    ),
    ChannelSetting("trigger_count", f"{_TRIG}:COUNt", Number(1, 1e6, 1, integer=True), 1),
    ChannelSetting("trigger_delay", f"{_TRIG}:DELay", Quantity("S"), 0.0, limits=(0.0, DELAY_MAX_S)),
    ChannelSetting("slope", f"{_TRIG}:SLOPe", Choice("POSitive", "NEGative"), "POS"),
    ChannelSetting("trigger_level", f"{_TRIG}:LEVel", Quantity("V"), 1.65, limits=(0.9, 3.8)),
    ChannelSetting("timer", f"{_TRIG}:TIMer", Quantity("S"), 1.0, "refresh", (1e-6, 8000.0)),
    ChannelSetting("continuous", "INITiate<1-2>:CONTinuous", _ON_OFF, True),
)

SYNC = (
    ChannelSetting("sync_mode", f"{_OUT}:SYNC:MODE", Choice("NORMal", "CARRier", "MARKer"), "NORM"),
    ChannelSetting("sync_polarity", f"{_OUT}:SYNC:POLarity", Choice("NORMal", "INVerted"), "NORM"),
    ChannelSetting("marker_cycle", f"{_SOURCE}MARKer:CYCLe", Number(2, 1e8, integer=True), 2),
    ChannelSetting("marker_point", f"{_SOURCE}MARKer:POINt", Number(4, 64e6, integer=True), 10),
)

CHANNEL_SETTINGS = (*LEVELS, *SHAPES, *ARBS, *BURSTS, *SYNC)
SETTINGS = (
    Setting("order", "FORMat:BORDer", Choice("NORMal", "SWAPped"), "NORM"),
    Setting("angle", "UNIT:ANGLe", Choice("DEGree", "RADian", "SECond"), "DEG"),
    Setting("display", "DISPlay[:STATe]", Boolean(), True),
)
