"""Settings of a 2450: headers, limits and values after *RST (source: bench.md 2.4 unless said otherwise)."""

from __future__ import annotations

from sim_instruments.instruments.sourcemeter import AutoZero
from sim_instruments.scpi.instrument import Boolean, Choice, Number, Setting

MAX_A = 1.05
MAX_V = 210.0
_ON = Boolean()
_A, _V = Number(-MAX_A, MAX_A, 0.0, unit="A"), Number(-MAX_V, MAX_V, 0.0, unit="V")
_DELAY = Number(0, 10_000, 0.0, unit="S")
_PROTECTION = Choice(
    "PROT2",
    "PROT5",
    "PROT10",
    "PROT20",
    "PROT40",
    "PROT60",
    "PROT80",
    "PROT100",
    "PROT120",
    "PROT140",
    "PROT160",
    "PROT180",
    "NONE",
)
_OFF_STATE = Choice("NORMal", "HIMPedance", "ZERO", "GUARd")

SOURCE = (
    Setting("function", "SOURce<1>:FUNCtion[:MODE]", Choice("VOLTage", "CURRent"), "VOLT", "take_function"),
    Setting("current_a", "SOURce<1>:CURRent[:LEVel][:IMMediate][:AMPLitude]", _A, 0.0, "check_limits"),
    Setting("voltage_v", "SOURce<1>:VOLTage[:LEVel][:IMMediate][:AMPLitude]", _V, 0.0, "check_limits"),
    Setting("current_range", "SOURce<1>:CURRent:RANGe", _A, 1e-8, "take_current_range"),
    Setting("voltage_range", "SOURce<1>:VOLTage:RANGe", _V, 0.02, "take_voltage_range"),
    Setting("current_auto", "SOURce<1>:CURRent:RANGe:AUTO", _ON, True, "hold"),
    Setting("voltage_auto", "SOURce<1>:VOLTage:RANGe:AUTO", _ON, True, "hold"),
    Setting("limit_v", "SOURce<1>:CURRent:VLIMit[:LEVel]", Number(0.02, MAX_V, 21.0, unit="V"), 21.0, "hold"),
    Setting(
        "limit_a", "SOURce<1>:VOLTage:ILIMit[:LEVel]", Number(1e-9, MAX_A, 1.05e-4, unit="A"), 1.05e-4, "hold"
    ),
    Setting("protection", "SOURce<1>:VOLTage:PROTection[:LEVel]", _PROTECTION, "NONE", "hold"),
    Setting("current_delay_s", "SOURce<1>:CURRent:DELay", _DELAY, 0.0, "take_current_delay"),
    Setting("voltage_delay_s", "SOURce<1>:VOLTage:DELay", _DELAY, 0.0, "take_voltage_delay"),
    Setting("current_delay_auto", "SOURce<1>:CURRent:DELay:AUTO", _ON, True),
    Setting("voltage_delay_auto", "SOURce<1>:VOLTage:DELay:AUTO", _ON, True),
    Setting("current_readback", "SOURce<1>:CURRent:READ:BACK", _ON, True),
    Setting("voltage_readback", "SOURce<1>:VOLTage:READ:BACK", _ON, True),
)


def _meter(function: str, header: str, unit: Number, top: float) -> tuple[Setting, ...]:
    root = f"SENSe<1>:{header}"
    return (
        Setting(
            f"sense_{function}_range", f"{root}:RANGe[:UPPer]", unit, top, f"take_sense_{function}_range"
        ),
        Setting(f"sense_{function}_auto", f"{root}:RANGe:AUTO", _ON, True),
        Setting(f"{function}_nplc", f"{root}:NPLCycles", Number(0.01, 10, 1.0), 1.0),
        Setting(f"{function}_zero", f"{root}:AZERo[:STATe]", AutoZero(), True),
        Setting(f"{function}_average", f"{root}:AVERage[:STATe]", _ON, False),
        Setting(f"{function}_average_count", f"{root}:AVERage:COUNt", Number(1, 100, 10, integer=True), 10),
        Setting(f"{function}_average_kind", f"{root}:AVERage:TCONtrol", Choice("REPeat", "MOVing"), "REP"),
    )


SENSE = (
    *_meter("voltage", "VOLTage[:DC]", _V, 0.02),
    *_meter("current", "CURRent[:DC]", _A, 1e-4),
    *_meter("resistance", "RESistance", Number(0, 2.1e8, 2.1e5), 2e5),
    Setting("count", "SENSe<1>:COUNt", Number(1, 300_000, 1, integer=True), 1),
)

BOX = (
    Setting("output", "OUTPut<1>[:STATe]", _ON, False, "switch_output"),
    Setting("current_off_state", "OUTPut<1>:CURRent:SMODe", _OFF_STATE, "NORM", "hold"),
    Setting("voltage_off_state", "OUTPut<1>:VOLTage:SMODe", _OFF_STATE, "NORM", "hold"),
    Setting("interlock", "OUTPut<1>:INTerlock:STATe", _ON, False),
    Setting("terminals", "ROUTe:TERMinals", Choice("FRONt", "REAR"), "FRON", "take_terminals"),
    Setting("order", "FORMat:BORDer", Choice("NORMal", "SWAPped"), "SWAP"),
    Setting("data_format", "FORMat[:DATA]", Choice("ASCii", "REAL", "SREal"), "ASC"),
    Setting("digits", "FORMat:ASCii:PRECision", Number(0, 16, 0, integer=True), 0),
    Setting(
        "display", "DISPlay:LIGHt:STATe", Choice("ON100", "ON75", "ON50", "ON25", "OFF", "BLACkout"), "ON50"
    ),
)

SETTINGS = SOURCE + SENSE + BOX
