"""Settings of the 6221 as data. Ranges and defaults: bench.md 2.1; what is not there is recalled [R]."""

from __future__ import annotations

from sim_instruments.scpi.instrument import Boolean, Choice, Number, Setting

MAX_A = 0.105
_CURRENT = "SOURce<1>:CURRent"
_SWEEP = "SOURce<1>:SWEep"
_WAVE = "SOURce<1>:WAVE"
_DELTA = "SOURce<1>:DELTa"
_PULSE = "SOURce<1>:PDELta"
_LINE = Number(1, 6, integer=True)
_LONG = 999999.999

DIRECT = (
    Setting(
        "level_a",
        "[SOURce<1>:]CURRent[:LEVel][:IMMediate][:AMPLitude]",
        Number(-MAX_A, MAX_A, 0.0),
        0.0,
        "_check_level",
    ),
    Setting("range_a", "[SOURce<1>:]CURRent:RANGe", Number(-MAX_A, MAX_A, 0.1), 0.1, "_check_range"),
    Setting("auto_range", "[SOURce<1>:]CURRent:RANGe:AUTO", Boolean(), False, "apply_level"),
    Setting("compliance_v", "[SOURce<1>:]CURRent:COMPliance", Number(0.1, 105, 10.0), 10.0, "apply_level"),
    Setting("filter", "[SOURce<1>:]CURRent:FILTer[:STATe]", Boolean(), False),
    Setting("delay_s", "SOURce<1>:DELay", Number(1e-3, _LONG, 1.0), 1.0),
    Setting("output", "OUTPut[:STATe]", Boolean(), False, "_switch_output"),
    Setting("low_to_earth", "OUTPut:LTEarth", Boolean(), False),
    Setting("inner_shield", "OUTPut:ISHield", Choice("GUARd", "OLOW"), "OLOW"),
    Setting("response", "OUTPut:RESPonse", Choice("FAST", "SLOW"), "FAST"),
    Setting("display", "DISPlay:ENABle", Boolean(), True),
    Setting("unit", "UNIT[:VOLTage][:DC]", Choice("V", "OHMS", "W", "SIEMens"), "V"),
)

SWEEP = (
    Setting("sweep_spacing", f"{_SWEEP}:SPACing", Choice("LINear", "LOGarithmic", "LIST"), "LIN"),
    Setting("sweep_ranging", f"{_SWEEP}:RANGing", Choice("BEST", "AUTO", "FIXed"), "BEST"),
    Setting("sweep_count", f"{_SWEEP}:COUNt", Number(1, 9999, 1, integer=True, infinite=True), 1),
    Setting("sweep_abort", f"{_SWEEP}:CABort", Boolean(), False),
    Setting("sweep_points", f"{_SWEEP}:POINts", Number(1, 65535, 11, integer=True), 11),
    Setting("start_a", f"{_CURRENT}:STARt", Number(-MAX_A, MAX_A, 0.0), 0.0),
    Setting("stop_a", f"{_CURRENT}:STOP", Number(-MAX_A, MAX_A, 0.1), 0.1),
)

WAVE = (
    Setting(
        "wave_function",
        f"{_WAVE}:FUNCtion",
        Choice("SINusoid", "SQUare", "RAMP", "ARB0", "ARB1", "ARB2", "ARB3", "ARB4"),
        "SIN",
    ),
    Setting("wave_hz", f"{_WAVE}:FREQuency", Number(1e-3, 1e5, 1e3), 1e3),
    Setting("wave_a", f"{_WAVE}:AMPLitude", Number(2e-12, MAX_A, 1e-3), 1e-3),
    Setting("wave_offset_a", f"{_WAVE}:OFFSet", Number(-MAX_A, MAX_A, 0.0), 0.0),
    Setting("wave_duty", f"{_WAVE}:DCYCle", Number(0, 100, 50.0), 50.0),
    Setting("wave_ranging", f"{_WAVE}:RANGing", Choice("BEST", "FIXed"), "BEST"),
    Setting("marker", f"{_WAVE}:PMARk:STATe", Boolean(), False),
    Setting("marker_deg", f"{_WAVE}:PMARk[:LEVel]", Number(0, 360, 180.0), 180.0),
    Setting("marker_line", f"{_WAVE}:PMARk:OLINe", _LINE, 3, "_check_lines"),
)

DELTA = (
    Setting("delta_high_a", f"{_DELTA}:HIGH", Number(0, MAX_A, 1e-3), 1e-3, "_follow_delta_high"),
    Setting("delta_low_a", f"{_DELTA}:LOW", Number(-MAX_A, 0, -1e-3), -1e-3),
    Setting("delta_delay_s", f"{_DELTA}:DELay", Number(0, 9999.999, 2e-3, infinite=True), 2e-3),
    Setting(
        "delta_count",
        f"{_DELTA}:COUNt",
        Number(1, 65536, integer=True, infinite=True),
        float("inf"),
    ),
    Setting("delta_abort", f"{_DELTA}:CABort", Boolean(), False),
    Setting("delta_cold", f"{_DELTA}:CSWitch", Boolean(), False),
)

PULSE_DELTA = (
    Setting("pulse_high_a", f"{_PULSE}:HIGH", Number(-MAX_A, MAX_A, 1e-3), 1e-3),
    Setting("pulse_low_a", f"{_PULSE}:LOW", Number(-MAX_A, MAX_A, 0.0), 0.0),
    Setting("pulse_width_s", f"{_PULSE}:WIDTh", Number(50e-6, 12e-3, 110e-6), 110e-6),
    Setting("pulse_delay_s", f"{_PULSE}:SDELay", Number(16e-6, 11.966e-3, 16e-6), 16e-6),
    Setting(
        "pulse_count",
        f"{_PULSE}:COUNt",
        Number(1, 65636, integer=True, infinite=True),
        float("inf"),
    ),
    Setting("pulse_ranging", f"{_PULSE}:RANGing", Choice("BEST", "FIXed"), "BEST"),
    Setting("pulse_interval", f"{_PULSE}:INTerval", Number(5, 999999, 5, integer=True), 5),
    Setting("pulse_lows", f"{_PULSE}:LMEasure", Number(1, 2, 2, integer=True), 2),
    Setting("pulse_sweep", f"{_PULSE}:SWEep[:STATe]", Boolean(), False),
)

TRIGGER = (
    Setting(
        "arm_source",
        "ARM[:SEQuence<1>][:LAYer<1>]:SOURce",
        Choice("IMMediate", "TIMer", "BUS", "TLINk", "MANual"),
        "IMM",
    ),
    Setting("arm_timer_s", "ARM[:SEQuence<1>][:LAYer<1>]:TIMer", Number(1e-3, 99999.99, 0.1), 0.1),
    Setting("arm_direction", "ARM[:SEQuence<1>][:LAYer<1>]:DIRection", Choice("ACCeptor", "SOURce"), "ACC"),
    Setting("arm_in", "ARM[:SEQuence<1>][:LAYer<1>]:ILINe", _LINE, 1, "_check_lines"),
    Setting("arm_out", "ARM[:SEQuence<1>][:LAYer<1>]:OLINe", _LINE, 2, "_check_lines"),
    Setting("arm_output", "ARM[:SEQuence<1>][:LAYer<1>]:OUTPut", Choice("TENTer", "TEXit", "NONE"), "NONE"),
    Setting("trigger_source", "TRIGger[:SEQuence<1>]:SOURce", Choice("IMMediate", "TLINk"), "IMM"),
    Setting("trigger_direction", "TRIGger[:SEQuence<1>]:DIRection", Choice("ACCeptor", "SOURce"), "ACC"),
    Setting("trigger_in", "TRIGger[:SEQuence<1>]:ILINe", _LINE, 1, "_check_lines"),
    Setting("trigger_out", "TRIGger[:SEQuence<1>]:OLINe", _LINE, 2, "_check_lines"),
    Setting("trigger_output", "TRIGger[:SEQuence<1>]:OUTPut", Choice("SOURce", "DELay", "NONE"), "NONE"),
)

TRACE = (
    Setting("points", "TRACe:POINts", Number(1, 65536, integer=True), 100, "_fix_points"),
    Setting("feed", "TRACe:FEED", Choice("SENSe", "SENSe1", "CALCulate", "CALCulate1", "NONE"), "SENS"),
    Setting("feeding", "TRACe:FEED:CONTrol", Choice("NEXT", "NEVer"), "NEV", "_start_feed"),
    Setting("time_format", "TRACe:TSTamp:FORMat", Choice("ABSolute", "DELTa"), "ABS"),
    Setting("order", "FORMat:BORDer", Choice("NORMal", "SWAPped"), "NORM"),
)

SENSE = (
    Setting("average", "SENSe<1>:AVERage[:STATe]", Boolean(), False),
    Setting("average_kind", "SENSe<1>:AVERage:TCONtrol", Choice("MOVing"), "MOV"),
    Setting("average_count", "SENSe<1>:AVERage:COUNt", Number(2, 300, 10, integer=True), 10),
    Setting("average_window", "SENSe<1>:AVERage:WINDow", Number(0, 10, 0), 0.0),
    Setting("baud", "SYSTem:COMMunicate:SERial:BAUD", Number(300, 19200, integer=True), 9600, kept=True),
)

SETTINGS = (*DIRECT, *SWEEP, *WAVE, *DELTA, *PULSE_DELTA, *TRIGGER, *TRACE, *SENSE)
