"""Frames as waves: samples of a frame, codes of a batch, marker."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.players._compile import (
    FULL_CODE,
    LEAD,
    compile_frames,
    frame_wave,
    marker_codes,
    sample_period_s,
    step_a,
)
from hilab.frames import FrameBatch

STANDARD = {"integration_s": 160e-6}


def batch(write_a, reset_a=-2e-3, read_a=2e-4, **times):
    return FrameBatch.of(["w4"], 0, write_a, reset_a, read_a, **(STANDARD | times))


def compiled(frames, order=None, **options):
    frame = frame_wave(frames, 1e-9)
    order = np.arange(len(frames)) if order is None else np.asarray(order)
    settings = {"code_step": 4, "reversed_read": True} | options
    return frame, compile_frames(frame, frames, order, 4200.0, 10.0, **settings)


def test_the_standard_frame_is_twenty_samples_of_20_us():
    frame = frame_wave(batch([1e-3]), 1e-9)
    assert frame.sample_s == pytest.approx(20e-6)
    assert (frame.samples, frame.resets, frame.write, frame.reads) == (20, ((0, 5),), (6, 11), ((12, 20),))
    assert frame.period_s == pytest.approx(400e-6)
    assert frame.half_s == pytest.approx(80e-6)
    assert frame.read_end_s(-1) == pytest.approx(420e-6)


@pytest.mark.parametrize(
    ("times_us", "sample_us"),
    [
        ([100, 20, 80], 20),
        ([100, 30, 80], 10),
        ([7, 5], 1),
        ([50, 75.02, 25], 25),
        ([50, 75, 20.8], 0.3),
        ([3], 3),
    ],
)
def test_the_sample_is_the_longest_that_holds_every_time(times_us, sample_us):
    found = sample_period_s([each * 1e-6 for each in times_us], 1e-9)
    assert found == pytest.approx(sample_us * 1e-6, rel=5e-3)


def test_times_without_a_common_sample_have_no_wave():
    assert frame_wave(batch([1e-3], reset_wait_s=1.5e-9, read_wait_s=1e-9), 1e-9) is None
    assert sample_period_s([1e-9, 1.5e-9], 1e-9) is None


@given(
    st.lists(st.integers(1, 40), min_size=5, max_size=5),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([1e-6, 20e-6, 0.1]),
)
def test_a_frame_holds_its_times_in_order(counts, resets, verify, unit_s):
    reset, write, gap, wait, half = (count * unit_s for count in counts)
    frames = FrameBatch.of(
        ["d"],
        0,
        [1e-3],
        -1e-3,
        1e-4,
        reset_width_s=reset,
        write_width_s=write,
        reset_gap_s=gap,
        reset_wait_s=wait,
        read_wait_s=gap,
        integration_s=2 * half,
        reset_count=resets,
        verify_reset=verify,
    )
    frame = frame_wave(frames, 1e-9)
    assert frame is not None
    spans = sorted([*frame.resets, frame.write, *frame.reads])
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert spans[-1] == frame.reads[-1]
    assert frame.reads[-1][1] == frame.samples
    assert len(frame.resets) == resets
    assert len(frame.reads) == 1 + verify
    for span, time_s in [*((each, reset) for each in frame.resets), (frame.write, write)]:
        assert frame.length_s(span) == pytest.approx(time_s, rel=2e-3)
    expected_s = resets * reset + max(0, resets - 1) * gap + write + gap + 2 * half
    expected_s += wait * (bool(resets) + verify) + verify * 2 * half
    assert frame.period_s == pytest.approx(expected_s, rel=2e-3)


def test_codes_are_the_pulses_one_after_the_other():
    frames = batch([1e-3, -5e-4, 0.0], reset_a=[-2e-3, 2e-3, -2e-3], read_a=2e-4)
    frame, codes = compiled(frames)
    assert len(codes) == LEAD + 3 * 20
    assert codes[0] == 0
    rows = codes[LEAD:].reshape(3, 20)
    step = step_a(4200.0, 10.0, 4)
    assert rows[:, 0:5].tolist() == [[c] * 5 for c in 4 * np.rint(frames.reset_a / step).astype(int)]
    assert rows[:, 6:11].tolist() == [[c] * 5 for c in 4 * np.rint(frames.write_a / step).astype(int)]
    assert (rows[:, [5, 11]] == 0).all()
    read = 4 * round(2e-4 / step)
    assert rows[:, 12:20].tolist() == [[read] * 4 + [-read] * 4] * 3
    assert frame.samples == 20


def test_a_read_that_is_not_reversed_is_followed_by_zero():
    _, codes = compiled(batch([1e-3]), reversed_read=False)
    assert (codes[LEAD + 12 : LEAD + 16] > 0).all()
    assert (codes[LEAD + 16 :] == 0).all()


def test_volts_of_the_codes_are_the_amplitudes_to_half_a_step():
    rng = np.random.default_rng(1)
    frames = batch(rng.uniform(-2.3e-3, 2.3e-3, 500))
    _, codes = compiled(frames)
    volts = codes[LEAD + 6 :: 20][:500] / FULL_CODE * 10.0
    step = step_a(4200.0, 10.0, 4)
    assert np.abs(volts / 4200.0 - frames.write_a).max() <= 0.5001 * step
    assert (codes % 4 == 0).all()


def test_frames_are_taken_in_the_order_given_and_the_wave_filled_up():
    frames = batch([1e-3, 2e-3, 5e-4])
    _, codes = compiled(frames, [2, 0], fewest=64)
    assert len(codes) == 64
    _, each = compiled(frames)
    assert codes[LEAD : LEAD + 20].tolist() == each[LEAD + 40 :].tolist()
    assert codes[LEAD + 20 : LEAD + 40].tolist() == each[LEAD : LEAD + 20].tolist()
    assert (codes[LEAD + 40 :] == 0).all()


@pytest.mark.parametrize(("verify", "edges"), [(False, [13]), (True, [7, 22])])
def test_the_marker_rises_where_a_read_begins(verify, edges):
    frame = frame_wave(batch([1e-3], verify_reset=verify), 1e-9)
    codes, sample_s = marker_codes(frame, 32)
    finer = round(frame.sample_s / sample_s)
    assert len(codes) == frame.samples * finer >= 32
    assert set(codes.tolist()) == {0, FULL_CODE}
    twice = np.concatenate([codes, codes])
    rising = np.flatnonzero(np.diff(twice.astype(int)) > 0) + 1
    assert rising.tolist() == [e * finer for e in edges] + [(e + frame.samples) * finer for e in edges]
