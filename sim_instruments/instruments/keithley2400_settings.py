"""Settings of a 2400: headers, limits and values after *RST (source: bench.md 2.3 unless said otherwise)."""

from __future__ import annotations

from sim_instruments.instruments.sourcemeter_tables import LIST_LENGTH
from sim_instruments.scpi.instrument import Boolean, Choice, Number, Setting

MAX_A = 1.05
MAX_V = 210.0
_ON = Boolean()
_A, _V = Number(-MAX_A, MAX_A, 0.0, unit="A"), Number(-MAX_V, MAX_V, 0.0, unit="V")
_MODE = Choice("FIXed", "SWEep", "LIST")
_LINE = Number(1, 4, integer=True)
_NPLC = Number(0.01, 10, 1.0)

SOURCE = (
    Setting(
        "function",
        "SOURce<1>:FUNCtion[:MODE]",
        Choice("VOLTage", "CURRent", "MEMory"),
        "VOLT",
        "take_function",
    ),
    Setting("current_a", "SOURce<1>:CURRent[:LEVel][:IMMediate][:AMPLitude]", _A, 0.0, "check_limits"),
    Setting("voltage_v", "SOURce<1>:VOLTage[:LEVel][:IMMediate][:AMPLitude]", _V, 0.0, "check_limits"),
    Setting("current_range", "SOURce<1>:CURRent:RANGe", _A, 1e-4, "take_current_range"),
    Setting("voltage_range", "SOURce<1>:VOLTage:RANGe", _V, 20.0, "take_voltage_range"),
    Setting("current_auto", "SOURce<1>:CURRent:RANGe:AUTO", _ON, True, "hold"),
    Setting("voltage_auto", "SOURce<1>:VOLTage:RANGe:AUTO", _ON, True, "hold"),
    Setting("current_mode", "SOURce<1>:CURRent:MODE", _MODE, "FIX", "stop"),
    Setting("voltage_mode", "SOURce<1>:VOLTage:MODE", _MODE, "FIX", "stop"),
    Setting("current_start", "SOURce<1>:CURRent:STARt", _A, 0.0),
    Setting("current_stop", "SOURce<1>:CURRent:STOP", _A, 0.0),
    Setting("voltage_start", "SOURce<1>:VOLTage:STARt", _V, 0.0),
    Setting("voltage_stop", "SOURce<1>:VOLTage:STOP", _V, 0.0),
    Setting("spacing", "SOURce<1>:SWEep:SPACing", Choice("LINear", "LOGarithmic"), "LIN"),
    Setting(
        "points", "SOURce<1>:SWEep:POINts", Number(2, LIST_LENGTH, LIST_LENGTH, integer=True), LIST_LENGTH
    ),
    Setting("direction", "SOURce<1>:SWEep:DIRection", Choice("UP", "DOWN"), "UP"),
    Setting("ranging", "SOURce<1>:SWEep:RANGing", Choice("BEST", "AUTO", "FIXed"), "BEST"),
    Setting("abort_on", "SOURce<1>:SWEep:CABort", Choice("NEVer", "EARLy", "LATE"), "NEV"),
    Setting("delay_s", "SOURce<1>:DELay", Number(0, 9999.998, 0.0, unit="S"), 0.0, "take_delay"),
    Setting("delay_auto", "SOURce<1>:DELay:AUTO", _ON, True),
    Setting("clear_auto", "SOURce<1>:CLEar:AUTO", _ON, False),
    Setting("list_start", "SOURce<1>:LIST:CURRent:STARt", Number(1, LIST_LENGTH, 1, integer=True), 1),
    Setting("memory_points", "SOURce<1>:MEMory:POINts", Number(1, 100, 1, integer=True), 1),
    Setting("memory_start", "SOURce<1>:MEMory:STARt", Number(1, 100, 1, integer=True), 1),
)

SENSE = (
    Setting("concurrent", "SENSe<1>:FUNCtion:CONCurrent", _ON, True, "take_concurrent"),
    Setting("limit_v", "SENSe<1>:VOLTage[:DC]:PROTection[:LEVel]", _V, 21.0, "take_limit"),
    Setting("limit_a", "SENSe<1>:CURRent[:DC]:PROTection[:LEVel]", _A, 1.05e-4, "take_limit"),
    Setting(
        "sense_voltage_range", "SENSe<1>:VOLTage[:DC]:RANGe[:UPPer]", _V, 20.0, "take_sense_voltage_range"
    ),
    Setting(
        "sense_current_range", "SENSe<1>:CURRent[:DC]:RANGe[:UPPer]", _A, 1e-4, "take_sense_current_range"
    ),
    Setting("sense_voltage_auto", "SENSe<1>:VOLTage[:DC]:RANGe:AUTO", _ON, True),
    Setting("sense_current_auto", "SENSe<1>:CURRent[:DC]:RANGe:AUTO", _ON, True),
    Setting("resistance_range", "SENSe<1>:RESistance:RANGe[:UPPer]", Number(0, 2.1e8, 2.1e5), 2.1e5),
    Setting("resistance_auto", "SENSe<1>:RESistance:RANGe:AUTO", _ON, True),
    Setting("resistance_mode", "SENSe<1>:RESistance:MODE", Choice("MANual", "AUTO"), "AUTO"),
    Setting("average", "SENSe<1>:AVERage[:STATe]", _ON, False),
    Setting("average_count", "SENSe<1>:AVERage:COUNt", Number(1, 100, 10, integer=True), 10),
    Setting("average_kind", "SENSe<1>:AVERage:TCONtrol", Choice("REPeat", "MOVing"), "REP"),
)

TRIGGER = (
    Setting("trigger_count", "TRIGger:COUNt", Number(1, LIST_LENGTH, 1, integer=True), 1, "check_counts"),
    Setting("trigger_delay_s", "TRIGger:DELay", Number(0, 999.9999, 0.0, unit="S"), 0.0),
    Setting("trigger_source", "TRIGger:SOURce", Choice("IMMediate", "TLINk"), "IMM"),
    Setting("trigger_direction", "TRIGger:DIRection", Choice("SOURce", "ACCeptor"), "ACC"),
    Setting("trigger_in", "TRIGger:ILINe", _LINE, 1),
    Setting("trigger_out", "TRIGger:OLINe", _LINE, 2),
    Setting("trigger_output", "TRIGger:OUTPut", Choice("SOURce", "DELay", "SENSe", "NONE"), "NONE"),
    Setting("arm_count", "ARM:COUNt", Number(1, LIST_LENGTH, 1, integer=True), 1, "check_counts"),
    Setting("arm_source", "ARM:SOURce", Choice("IMMediate", "TIMer", "MANual", "BUS", "TLINk"), "IMM"),
    Setting("arm_timer_s", "ARM:TIMer", Number(1e-3, 99999.99, 0.1, unit="S"), 0.1),
    Setting("arm_in", "ARM:ILINe", _LINE, 1),
    Setting("arm_out", "ARM:OLINe", _LINE, 2),
    Setting("arm_output", "ARM:OUTPut", Choice("TENTer", "TEXit", "NONE"), "NONE"),
)

BUFFER = (  # not affected by *RST: bench.md 2.3 [M]
    Setting(
        "trace_points",
        "TRACe:POINts",
        Number(1, LIST_LENGTH, 100, integer=True),
        100,
        "resize_trace",
        kept=True,
    ),
    Setting(
        "feed",
        "TRACe:FEED",
        Choice("SENSe", "CALCulate", "CALCulate2"),
        "SENS",
        "refuse_while_storing",
        kept=True,
    ),
    Setting("feeding", "TRACe:FEED:CONTrol", Choice("NEXT", "NEVer"), "NEV", "start_feed", kept=True),
    Setting(
        "time_format",
        "TRACe:TSTamp:FORMat",
        Choice("ABSolute", "DELTa"),
        "ABS",
        "refuse_while_storing",
        kept=True,
    ),
    Setting(
        "statistic", "CALCulate3:FORMat", Choice("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK"), "MEAN"
    ),
)

BOX = (
    Setting("output", "OUTPut<1>[:STATe]", _ON, False, "switch_output"),
    Setting("off_state", "OUTPut<1>:SMODe", Choice("HIMPedance", "NORMal", "ZERO", "GUARd"), "NORM", "hold"),
    Setting("interlock", "OUTPut<1>:ENABle[:STATe]", _ON, False, "take_interlock"),
    Setting("remote_sense", "SYSTem:RSENse", _ON, False),
    Setting("line_auto", "SYSTem:LFRequency:AUTO", _ON, True, kept=True),
    Setting("terminals", "ROUTe:TERMinals", Choice("FRONt", "REAR"), "FRON", "take_terminals"),
    Setting("display", "DISPlay:ENABle", _ON, True, kept=True),
    Setting("order", "FORMat:BORDer", Choice("NORMal", "SWAPped"), "NORM"),
)

SETTINGS = SOURCE + SENSE + TRIGGER + BUFFER + BOX
