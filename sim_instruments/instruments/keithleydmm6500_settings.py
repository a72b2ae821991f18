"""Settings of the DMM6500 as data. Limits and defaults: reference manual, recalled where not marked [R]."""

from __future__ import annotations

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.scpi.instrument import Boolean, Choice, Number, Setting, Text

VOLT = "[SENSe<1>:]VOLTage[:DC]"
DIGITISE = "[SENSe<1>:]DIGitize:VOLTage"
NPLC = (0.0005, 15.0)  # 12 at 50 Hz; source: PyMeasure's driver [D]
NPLC_MAX_50_HZ = 12.0
RATE_HZ = (1_000, 1_000_000)  # source: vendor examples [D]
APERTURE_S = (1e-6, 1e-3)  # of the digitiser [R]
DELAY_S = (167e-9, 10_000.0)  # of a delay block; 0 is allowed too [R]
COUNT_MAX = 268_435_455  # of a counting branch [R]
SCREENS = frozenset(
    [
        "HOME",
        "HOME_LARG",
        "READ",
        "GRAP",
        "HIST",
        "PROC",
        "SWIPE_FUNC",
        "SWIPE_GRAP",
        "SWIPE_SEC",
        "SWIPE_SETT",
        "SWIPE_STAT",
        "SWIPE_USER",
        "SWIPE_CHAN",
        "SWIPE_NONS",
        "SWIPE_SCAN",
        "CHANNEL_CONT",
        "CHANNEL_SETT",
        "CHANNEL_SCAN",
    ]
)  # short forms; source: PyMeasure's driver [D]


class Screen:
    """The name of a screen, with underscores as no other keyword has them."""

    def parse(self, text: str) -> str:
        """The name in capitals; -224 for another one."""
        if text.upper() not in SCREENS:
            raise ScpiError(-224)
        return text.upper()


def _whole(low: int, high: int, default: int) -> Number:
    return Number(low, high, default, integer=True)


SETTINGS = (
    # DC voltage over mains cycles
    Setting("range_v", f"{VOLT}:RANGe[:UPPer]", Number(0, 1000, unit="V"), 1000.0, "_fix_range"),
    Setting("auto_range", f"{VOLT}:RANGe:AUTO", Boolean(), True),
    Setting("nplc", f"{VOLT}:NPLCycles", Number(*NPLC, 1.0), 1.0, "_check_nplc"),
    Setting("autozero", f"{VOLT}:AZERo[:STATe]", Boolean(), True),
    Setting("impedance", f"{VOLT}:INPutimpedance", Choice("AUTO", "MOHM10"), "MOHM10"),
    Setting("filter", f"{VOLT}:AVERage[:STATe]", Boolean(), False),
    Setting("filter_count", f"{VOLT}:AVERage:COUNt", _whole(1, 100, 10), 10),
    Setting(
        "filter_kind", f"{VOLT}:AVERage:TCONtrol", Choice("REPeat", "MOVing", "HYBRid"), "REP", "_repeat"
    ),
    Setting("reference_v", f"{VOLT}:RELative", Number(-1000, 1000, 0, "V"), 0.0),
    Setting("relative", f"{VOLT}:RELative:STATe", Boolean(), False),
    Setting("line_sync", f"{VOLT}:LINE:SYNC", Boolean(), False),
    Setting("count", "[SENSe<1>:]COUNt", _whole(1, 1_000_000, 1), 1),
    # digitised voltage
    Setting(
        "digitise_range_v", f"{DIGITISE}:RANGe[:UPPer]", Number(0, 1000, unit="V"), 10.0, "_fix_digitise"
    ),
    Setting("digitise_impedance", f"{DIGITISE}:INPutimpedance", Choice("AUTO", "MOHM10"), "MOHM10"),
    Setting("rate_hz", f"{DIGITISE}:SRATe", _whole(*RATE_HZ, 1_000_000), 1_000_000, "_check_aperture"),
    Setting("digitise_count", "[SENSe<1>:]DIGitize:COUNt", _whole(1, 55_000_000, 1), 1),
    # trigger input and output, formats, display
    Setting("edge", "TRIGger:EXTernal:IN:EDGE", Choice("FALLing", "RISing", "EITHer"), "FALL"),
    Setting("out_logic", "TRIGger:EXTernal:OUT:LOGic", Choice("NEGative", "POSitive"), "NEG"),
    Setting("out_event", "TRIGger:EXTernal:OUT:STIMulus", Choice("NONE", "NOTIFY1", "EXTernal"), "NONE"),
    Setting("format", "FORMat[:DATA]", Choice("ASCii", "REAL", "SREal"), "ASC"),
    Setting("order", "FORMat:BORDer", Choice("NORMal", "SWAPped"), "SWAP"),
    Setting("digits", "FORMat:ASCii:PRECision", _whole(0, 16, 0), 0),
    Setting("shown_digits", "DISPlay:VOLTage[:DC]:DIGits", _whole(3, 6, 6), 6),
    Setting("screen", "DISPlay:SCReen", Screen(), "HOME"),
    Setting("active_buffer", "DISPlay:BUFFer:ACTive", Text(31), "defbuffer1", "_check_active"),
    Setting("text_1", "DISPlay:USER1:TEXT[:DATA]", Text(20), ""),
    Setting("text_2", "DISPlay:USER2:TEXT[:DATA]", Text(32), ""),
    Setting("language", "*LANG", Choice("SCPI", "TSP", "SCPI2000", "SCPI34401"), "SCPI", kept=True),
)
