"""What comes out of a 33600A: every sample at its volts and time, however playing is cut into stretches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

RATE_HZ = 50e3
LATENCY_S = 50e-6
LINE_OHM = 8000.0
FRAME = np.zeros(20, np.int16)
FRAME[1:6], FRAME[7:12], FRAME[13:20] = -32000, 20000, 4000


def armed(awg, as_block, codes, cycles=1, rate_hz=RATE_HZ, vpp=20.0):
    """Channel 1 with a waveform, waiting for *TRG; volts into an open circuit."""
    awg.tell(
        b"FORM:BORD SWAP;:SOUR1:DATA:VOL:CLE;:SOUR1:DATA:ARB:DAC w," + as_block(codes, "<i2"),
        f"FUNC ARB;FUNC:ARB w;:FUNC:ARB:SRAT {rate_hz};:OUTP1:LOAD INF;:VOLT {vpp}",
        f"BURS:STAT ON;:BURS:NCYC {cycles};:TRIG1:SOUR BUS;:OUTP1 ON",
    )
    awg.wait(1.0)
    return awg


def sampled(awg, since_s, points, rate_hz=RATE_HZ):
    """Open-circuit volts at the middle of each sample, from what the world was given."""
    level, start, width = awg.runs()
    middle = since_s + (np.arange(points) + 0.5) / rate_hz
    at = np.searchsorted(start, middle, side="right") - 1
    inside = (at >= 0) & (middle < (start + width)[at])
    return np.where(inside, level[at], 0.0)


def played_v(codes, full_v=10.0):
    """Volts of samples after 14 bits."""
    return np.clip(4 * np.floor(np.asarray(codes, float) / 4 + 0.5), -32764, 32764) / 32767 * full_v


def test_samples_come_out_at_their_volts_and_times_after_14_bits(awg, as_block):
    codes = np.random.default_rng(3).integers(-32767, 32768, 500).astype(np.int16)
    codes[0] = 0
    armed(awg, as_block, codes)
    start_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.wait(1.0)
    assert_allclose(sampled(awg, start_s, 500), played_v(codes), atol=1e-12)
    assert awg.runs()[1][0] == pytest.approx(start_s + 1 / RATE_HZ, abs=1e-12)
    assert awg.held_v() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_playing_in_pieces_is_the_same_as_in_one(make, as_block, seed):
    random = np.random.default_rng(seed)
    codes = np.repeat(random.integers(-5, 6, 60), random.integers(1, 9, 60)).astype(np.int16) * 3000
    codes[0] = 0
    whole, pieces = (armed(make(), as_block, codes, cycles=7) for _ in range(2))
    for each in (whole, pieces):
        each.tell("*TRG")
    since_s, duration_s = whole.world.now + LATENCY_S, 7 * len(codes) / RATE_HZ
    for now in np.sort(random.uniform(0, duration_s, 25)):
        pieces.world.advance(since_s + float(now))
    for each in (whole, pieces):
        each.wait(1.0)
    points = 7 * len(codes)
    assert_array_equal(sampled(pieces, since_s, points), sampled(whole, since_s, points))
    assert_allclose(sampled(whole, since_s, points), np.tile(played_v(codes), 7), atol=1e-12)
    _, start, width = pieces.runs()
    assert (start[1:] >= (start + width)[:-1] - 1e-12).all()
    full = [np.sum(each.runs()[0] * each.runs()[2]) for each in (whole, pieces)]
    assert full[0] == pytest.approx(full[1], rel=1e-9)


def test_the_current_through_the_bar_is_the_voltage_over_bar_and_50_ohm(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 4))
    seen = []
    play = awg.world.play
    awg.world.play = lambda terminal, train: seen.append(play(terminal, train)) or seen[-1]
    awg.tell("*TRG")
    awg.wait(1.0)
    ohm = awg.world.devices["bar"].load("current", 0.0, awg.world.now).ohm
    assert ohm == pytest.approx(LINE_OHM, rel=0.2)
    assert_allclose(seen[0].current_a[:3], played_v([-32000, 20000, 4000]) / (ohm + 50), rtol=1e-6)


def test_an_abort_in_mid_run_plays_exactly_so_far(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 100))
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.world.advance(since_s + 3.5 / RATE_HZ)  # in the reset pulse of the first frame
    awg.tell("ABOR")
    awg.wait(1.0)
    level, _, width = awg.runs()
    assert_allclose(level, played_v([-32000]))
    assert width[0] == pytest.approx(2.5 / RATE_HZ, abs=1e-10)
    assert awg.held_v() == 0.0
    awg.tell("*TRG")  # it waits for the next trigger
    awg.wait(1.0)
    assert len(awg.runs()[0]) == 1 + 300
    assert awg.errors() == []


def test_an_open_output_plays_nothing(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 4))
    awg.tell("OUTP1 OFF;*TRG")
    awg.wait(1.0)
    assert len(awg.runs()[0]) == 0
    assert np.isnan(awg.held_v())


def test_switching_off_in_mid_run_ends_it(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 4))
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.world.advance(since_s + 2 / RATE_HZ)
    awg.tell("OUTP1 OFF")
    awg.wait(1.0)
    assert_allclose(awg.runs()[2], [1 / RATE_HZ], atol=1e-10)


def test_opc_waits_for_the_end_of_the_burst(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 4))
    before_s = awg.world.now
    awg.tell("*TRG")
    awg.ask("*OPC?")
    assert awg.world.now == pytest.approx(before_s + LATENCY_S + 80 / RATE_HZ)


def test_a_waveform_that_is_still_being_taken_over_starts_later(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 4))
    awg.tell(b"DATA:ARB:DAC v," + as_block(np.tile(FRAME, 2), "<i2") + b";:FUNC:ARB v;*TRG")
    before_s = awg.world.now
    awg.wait(1.0)
    assert awg.runs()[1][0] == pytest.approx(before_s + 20e-3 + LATENCY_S + 1 / RATE_HZ)


def test_a_waveform_can_be_loaded_while_another_one_plays(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 50))
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.wait(5e-3)
    awg.tell(b"DATA:ARB:DAC next," + as_block(np.tile(FRAME, 50), "<i2"))
    awg.wait(1.0)
    assert_allclose(sampled(awg, since_s, 1000), np.tile(played_v(FRAME), 50), atol=1e-12)


def wired(make, as_block, frames, marker, cycles):
    """Both channels armed; channel 2 plays a marker on the listener's trigger input."""
    awg = armed(make(wired=True), as_block, np.tile(FRAME, frames))
    awg.tell(
        b"SOUR2:DATA:ARB:DAC m," + as_block(marker, "<i2"),
        f"SOUR2:FUNC ARB;:SOUR2:FUNC:ARB m;:SOUR2:FUNC:ARB:SRAT {RATE_HZ};:OUTP2:LOAD INF;:SOUR2:VOLT 6.6",
        f"SOUR2:BURS:STAT ON;:SOUR2:BURS:NCYC {cycles};:TRIG2:SOUR BUS;:OUTP2 ON",
    )
    awg.wait(1.0)
    return awg


MARKER = np.zeros(40, np.int16)
MARKER[[13, 33]] = 32767


def test_both_channels_start_with_the_same_edge_and_markers_trigger_the_reader(make, as_block):
    awg = wired(make, as_block, 30, MARKER, 15)
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.wait(1.0)
    expected = since_s + (np.arange(30) * 20 + 13) / RATE_HZ
    assert_allclose(awg.listener.times, expected, atol=1e-10)
    lines = {line for line, _, _ in awg.listener.heard}
    assert lines == {"dmm.ext_trig"}
    trace = awg.listener.heard[-1][2]
    mean_v = trace.window_v("awg.ch1", expected[:3] + 1e-6, expected[:3] + 100e-6)
    ohm = awg.world.devices["bar"].load("current", 0.0, awg.world.now).ohm
    assert_allclose(mean_v, played_v([4000] * 3) * ohm / (ohm + 50), rtol=1e-6)


def test_readings_are_never_cut_whenever_somebody_looks(make, as_block):
    awg = wired(make, as_block, 30, MARKER, 15)
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    seen = []
    awg.listener.triggered = lambda line, times, trace: seen.append(
        (times, trace.window_v("awg.ch1", times, times + 6.5 / RATE_HZ))
    )
    for share in np.linspace(0.01, 0.99, 40):
        awg.world.advance(since_s + share * 600 / RATE_HZ)
    awg.wait(1.0)
    times, volts = (np.concatenate(each) for each in zip(*seen, strict=True))
    assert_allclose(times, since_s + (np.arange(30) * 20 + 13) / RATE_HZ, atol=1e-10)
    assert len(seen) > 5
    assert_allclose(volts, volts[0], rtol=1e-9)


def test_an_abort_hands_over_the_markers_that_were_played(make, as_block):
    awg = wired(make, as_block, 30, MARKER, 15)
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.world.advance(since_s + 54 / RATE_HZ)
    awg.tell("ABOR")
    assert_allclose(awg.listener.times, since_s + np.array([13, 33, 53]) / RATE_HZ, atol=1e-10)


def test_no_marker_without_its_output(make, as_block):
    awg = wired(make, as_block, 30, MARKER, 15)
    awg.tell("OUTP2 OFF;*TRG")
    awg.wait(1.0)
    assert awg.listener.heard == []
    assert len(awg.runs()[0]) == 90


def test_the_sync_output_shows_each_burst(make, as_block):
    awg = make(also=(("awg.sync", "dmm.ext_trig"),))
    armed(awg, as_block, np.tile(FRAME, 4))
    starts = []
    for _ in range(3):
        starts.append(awg.world.now + LATENCY_S)
        awg.tell("*TRG")
        awg.wait(0.1)
    assert_allclose(awg.listener.times, starts, atol=1e-10)
    awg.tell("OUTP:SYNC OFF;*TRG")
    awg.wait(0.1)
    assert len(awg.listener.times) == 3


def test_a_sequence_repeats_waits_for_triggers_and_marks(make, as_block):
    awg = make(also=(("awg.sync", "dmm.ext_trig"),))
    one, two = np.zeros(32, np.int16), np.zeros(32, np.int16)
    one[4:8], two[4:8] = 10000, -10000
    for name, codes in (("one", one), ("two", two)):
        awg.tell(f"DATA:ARB:DAC {name},".encode() + as_block(codes))
    steps = (
        '"s","one",3,repeat,lowAtStart,4,"two",0,onceWaitTrig,highAtStartGoLow,4,'
        '"one",0,repeatTilTrig,maintain,4,"two",1,once,highAtStart,4'
    )
    awg.tell(
        f"DATA:SEQ #3{len(steps)}{steps}",
        "FUNC ARB;FUNC:ARB s;:FUNC:ARB:SRAT 1E3;:OUTP1:LOAD INF;:VOLT 2",
        "BURS:STAT ON;:TRIG1:SOUR BUS;:OUTP1 ON",
    )
    awg.wait(1.0)
    since_s = awg.world.now + LATENCY_S
    awg.tell("*TRG")
    awg.wait(0.5)  # one one one two, then it waits
    assert_array_equal(np.sign(awg.runs()[0]), [1, 1, 1, -1])
    awg.tell("*TRG")
    awg.wait(0.075)  # in the third repetition
    awg.tell("*TRG")
    awg.wait(1.0)
    assert_array_equal(np.sign(awg.runs()[0]), [1, 1, 1, -1, 1, 1, 1, -1])
    assert awg.listener.times[0] == pytest.approx(since_s + 96e-3)
    assert len(awg.listener.times) == 2
    assert awg.errors() == []


def test_the_external_trigger_starts_bursts_and_is_deaf_meanwhile(awg, as_block):
    armed(awg, as_block, np.tile(FRAME, 4))
    awg.tell("TRIG1:SOUR EXT;DEL 1E-3")
    now = awg.world.now
    awg.wait(1.0)
    awg.box.triggered("awg.ext_trig", now + np.array([0.0, 1e-3, 0.1]), None)
    awg.wait(1.0)
    assert_allclose(
        awg.runs()[1][[0, 12]], now + np.array([0.0, 0.1]) + 135e-9 + 1e-3 + 1 / RATE_HZ, atol=1e-10
    )
    assert len(awg.runs()[0]) == 24


def test_triggers_can_advance_sample_by_sample(awg, as_block):
    codes = np.arange(32) * 1000
    armed(awg, as_block, codes)
    awg.tell("FUNC:ARB:ADV TRIG;*TRG;*TRG;*TRG")
    assert awg.held_v() == pytest.approx(played_v([3000])[0])


def test_the_internal_timer_repeats_bursts(awg):
    awg.tell(
        "FUNC PULS;FUNC:PULS:PER 1E-3;WIDT 1E-4;:OUTP1:LOAD INF;:VOLT:LOW 0;HIGH 1",
        "BURS:NCYC 2;STAT ON;INT:PER 0.01;:OUTP1 ON",
    )
    since_s = awg.world.now
    awg.wait(0.0305)
    assert_allclose(awg.runs()[1] - since_s, [0, 1e-3, 10e-3, 11e-3, 20e-3, 21e-3, 30e-3], atol=1e-9)
    assert_allclose(awg.runs()[2], 1e-4, atol=1e-10)


@pytest.mark.parametrize(("polarity", "low", "high"), [("NORM", 0.0, 2.0), ("INV", -2.0, 0.0)])
def test_a_single_pulse_of_either_sign_from_zero(awg, polarity, low, high):
    awg.tell(
        "OUTP1:LOAD INF;:FUNC PULS;FUNC:PULS:PER 1E-3;WIDT 1E-4",
        f"VOLT 2;VOLT:OFFS {(low + high) / 2};:OUTP1:POL {polarity}",
        "BURS:NCYC 1;STAT ON;:TRIG1:SOUR BUS;:OUTP1 ON;*TRG",
    )
    assert awg.held_v() == 0.0
    awg.wait(0.1)
    level, _, width = awg.runs()
    assert_allclose(level, [2.0 if polarity == "NORM" else -2.0])
    assert_allclose(width, [1e-4])
    assert awg.held_v() == 0.0


def test_a_running_square_is_held_at_its_level_and_played_once(awg):
    awg.tell("OUTP1:LOAD INF;:FUNC SQU;FREQ 10;:VOLT:LOW 0;HIGH 1;:OUTP1 ON")
    awg.wait(0.02)
    assert awg.held_v() == 1.0
    awg.wait(0.05)
    assert awg.held_v() == 0.0
    awg.wait(0.15)
    level, _, width = awg.runs()
    assert np.sum(level * width) == pytest.approx(0.5 * 0.22, abs=0.011)
    assert np.sum(width) == pytest.approx(0.05 + 0.05 + 0.02, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "rms"), [("SIN", 1 / np.sqrt(2)), ("RAMP", 1 / np.sqrt(3)), ("PRBS", 1.0)]
)
def test_smooth_functions_are_staircases_of_the_right_power(awg, function, rms):
    awg.tell(f"OUTP1:LOAD INF;:FUNC {function};FREQ 1E3;:VOLT 2;:FUNC:PRBS:BRAT 1E4;:OUTP1 ON")
    awg.wait(0.1270001)  # a level in progress is played when it is over
    level, _, width = awg.runs()
    if function == "PRBS":  # its low level is where it rests
        assert np.sum(width) == pytest.approx(0.127 * 64 / 127, rel=1e-6)
        assert_allclose(level, rms)
    else:
        assert np.sqrt(np.sum(level**2 * width) / np.sum(width)) == pytest.approx(rms, rel=2e-3)
        assert abs(np.sum(level * width)) < 1e-9


def test_noise_has_its_standard_deviation(awg):
    awg.tell("OUTP1:LOAD INF;:FUNC NOIS;:VOLT 6;:OUTP1 ON")
    awg.wait(0.01)
    level, _, width = awg.runs()
    # 1,024 levels: the standard error of their deviation is 2.2 %; 5 of these, one false alarm in 1.7 million
    assert np.sqrt(np.average(level**2, weights=width)) == pytest.approx(1.0, rel=0.11)


def test_the_bench_may_have_a_generator_out_of_calibration(make):
    awg, right = make(wrong=True), make()
    for each in (awg, right):
        each.tell("OUTP1:LOAD INF;:FUNC DC;:VOLT:OFFS 5;:OUTP1 ON")
    errors = awg.world.instrument_errors("awg")
    assert right.held_v() == 5.0
    assert awg.held_v() == pytest.approx(5 * errors.source_gain + 10 * errors.source_offset)
    assert awg.held_v() != 5.0


def test_too_many_levels_of_an_endless_waveform_are_a_fault(awg):
    awg.tell("FUNC SIN;FREQ 1E6;:OUTP1 ON")
    awg.wait(1.0)
    assert len(awg.world.faults) == 1
    assert "were not all played" in awg.world.faults[0]
