"""The trigger model: arrays against the step-by-step view, and both against what the manual says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instruments.keithley2636b_events import (
    ARMED,
    PULSE_COMPLETE,
    SOURCE_COMPLETE,
    TRIGGER_EVENT,
    Blender,
    Channel,
    Network,
    Timer,
    blender_event,
    channel_event,
    play_events,
    timer_event,
)
from sim_instruments.instruments.keithley2636b_vector import UnsuitableError, resolve, vectorised

A, B = 0, 1


def frames(
    count: int, periods: list[float], widths: list[float], read_s: float, aperture_s: float
) -> Network:
    """Pulses on a, each checked 60 us after its start, one reading a frame on b."""
    total = count * len(periods)
    ends, checks, reads = timer_event(2), timer_event(5), timer_event(4)
    return Network(
        (
            Channel(B, 0.0, 1, count, (0, 0, reads, 0), 0.0, True, 0.0, aperture_s, aperture_s + 60e-6),
            Channel(A, 0.0, 1, total, (0, timer_event(1), checks, ends), 0.0, True, 0.0, 20e-6, 53e-6),
        ),
        (
            Timer(1, np.array(periods), max(total - 1, 1), True, channel_event(A, ARMED)),
            Timer(2, np.array(widths), 1, False, timer_event(1)),
            Timer(3, np.array([read_s]), 1, False, channel_event(A, ARMED)),
            Timer(4, np.array([sum(periods)]), max(count - 1, 1), True, timer_event(3)),
            Timer(5, np.array([60e-6]), 1, False, timer_event(1)),
        ),
    )


def same(network: Network) -> None:
    slow, fast = play_events(network), vectorised(network)
    for number in slow:
        for name in ("source_s", "measure_s", "end_s"):
            np.testing.assert_allclose(getattr(fast[number], name), getattr(slow[number], name), atol=2e-9)
        assert fast[number].finish_s == pytest.approx(slow[number].finish_s, abs=2e-9)


@given(
    count=st.integers(1, 30),
    widths=st.lists(st.integers(100, 900), min_size=1, max_size=5),
    gap=st.integers(20, 500),
)
@settings(max_examples=40, deadline=None)
def test_arrays_equal_the_events_one_by_one(count: int, widths: list[int], gap: int) -> None:
    periods = [(width + gap) * 1e-6 for width in widths]
    read_s = sum(periods[:-1]) + 20e-6
    same(frames(count, periods, [width * 1e-6 for width in widths], read_s, 50e-6))


def test_delay_lists_cycle_over_one_long_triggering() -> None:
    timing = resolve(frames(3, [120e-6, 130e-6, 400e-6], [100e-6, 110e-6, 350e-6], 300e-6, 100e-6))
    frame = 650e-6
    expected = np.concatenate([frame * n + np.array([0, 120e-6, 250e-6]) for n in range(3)])
    np.testing.assert_allclose(timing[A].source_s, expected, atol=1e-9)
    np.testing.assert_allclose(timing[A].end_s - timing[A].source_s, [100e-6, 110e-6, 350e-6] * 3, atol=1e-9)
    np.testing.assert_allclose(timing[B].measure_s, 300e-6 + frame * np.arange(3), atol=1e-9)


def test_pass_through_adds_one_event() -> None:
    channel = Channel(A, 0.0, 1, 3, (0, timer_event(1), 0, 0), 0.0, False, 0.0, 0.0, 0.0)
    timer = Timer(1, np.array([1e-3]), 2, True, channel_event(A, ARMED))
    for way in (play_events, vectorised):
        np.testing.assert_allclose(way(Network((channel,), (timer,)))[A].source_s, [0, 1e-3, 2e-3])
    waits = play_events(Network((channel,), (replace(timer, passthrough=False),)))[A]
    np.testing.assert_allclose(waits.source_s, [1e-3, 2e-3])
    assert waits.finish_s == np.inf


def test_a_pulse_does_not_end_before_its_measurement() -> None:
    channel = Channel(A, 0.0, 1, 2, (0, timer_event(1), 0, timer_event(2)), 0.0, True, 0.0, 2e-3, 2.1e-3)
    timers = (
        Timer(1, np.array([5e-3]), 1, True, channel_event(A, ARMED)),
        Timer(2, np.array([1e-3]), 1, False, channel_event(A, SOURCE_COMPLETE)),
    )
    with pytest.raises(UnsuitableError):
        vectorised(Network((channel,), timers))
    np.testing.assert_allclose(resolve(Network((channel,), timers))[A].end_s, [2e-3, 7e-3])


def test_a_measure_event_during_a_measurement_is_late_and_a_second_one_is_lost() -> None:
    reader = Channel(A, 0.0, 1, 3, (0, 0, timer_event(1), 0), 0.0, True, 0.0, 1e-3, 1.2e-3)
    timer = Timer(1, np.array([0.4e-3]), 10, True, channel_event(A, ARMED))
    timing = resolve(Network((reader,), (timer,)))[A]
    np.testing.assert_allclose(timing.measure_s, [0, 1.2e-3, 2.4e-3], atol=1e-9)


def test_a_source_event_during_a_pulse_is_remembered_once() -> None:
    channel = Channel(A, 0.0, 1, 2, (0, timer_event(1), 0, timer_event(2)), 0.0, False, 0.0, 0.0, 0.0)
    timers = (
        Timer(1, np.array([1e-3]), 5, True, channel_event(A, ARMED)),
        Timer(2, np.array([2.5e-3]), 1, False, channel_event(A, SOURCE_COMPLETE)),
    )
    timing = resolve(Network((channel,), timers))[A]
    np.testing.assert_allclose(timing.source_s, [0, 2.5e-3], atol=1e-9)


def test_a_timer_ignores_a_trigger_while_it_runs() -> None:
    channel = Channel(A, 0.0, 1, 2, (0, timer_event(2), 0, 0), 0.0, False, 0.0, 0.0, 0.0)
    timers = (
        Timer(1, np.array([0.3e-3]), 8, True, channel_event(A, ARMED)),
        Timer(2, np.array([1e-3]), 1, False, timer_event(1)),
    )
    timing = resolve(Network((channel,), timers))[A]
    np.testing.assert_allclose(timing.source_s, [1e-3, 2.2e-3], atol=1e-9)


def test_free_running_sweep_and_feedback() -> None:
    channel = Channel(A, 0.0, 1, 4, (0, 0, 0, 0), 66e-6, True, 0.0, 0.2e-3, 0.24e-3)
    timing = resolve(Network((channel,)))[A]
    np.testing.assert_allclose(np.diff(timing.source_s), 0.266e-3, atol=1e-9)
    feedback = Channel(A, 0.0, 1, 3, (0, blender_event(1), 0, 0), 0.0, True, 0.0, 1e-3, 1e-3)
    timer = Timer(1, np.array([0.5e-3]), 1, False, channel_event(A, PULSE_COMPLETE))
    blender = Blender(1, True, (channel_event(A, ARMED), timer_event(1)))
    timing = resolve(Network((feedback,), (timer,), (blender,)))[A]
    np.testing.assert_allclose(timing.source_s, [0, 1.5e-3, 3e-3], atol=1e-9)


def test_blender_and_external_events() -> None:
    channel = Channel(A, 0.0, 1, 1, (blender_event(2), 0, 0, 0), 0.0, False, 0.0, 0.0, 0.0)
    both = Blender(2, False, (TRIGGER_EVENT, timer_event(1)))
    timer = Timer(1, np.array([2e-3]), 1, False, TRIGGER_EVENT)
    waiting = resolve(Network((channel,), (timer,), (both,)))[A]
    assert waiting.finish_s == np.inf and not len(waiting.source_s)
    triggered = resolve(Network((channel,), (timer,), (both,), ((1e-3, TRIGGER_EVENT),)))[A]
    np.testing.assert_allclose(triggered.source_s, [3e-3], atol=1e-9)


def test_arm_loops() -> None:
    channel = Channel(A, 0.0, 3, 2, (timer_event(1), 0, 0, 0), 0.0, True, 0.0, 1e-4, 1e-4)
    timers = (Timer(1, np.array([1e-3]), 3, False, TRIGGER_EVENT),)
    timing = resolve(Network((channel,), timers, (), ((0.0, TRIGGER_EVENT),)))[A]
    np.testing.assert_allclose(timing.source_s[::2], [1e-3, 2e-3, 3e-3], atol=1e-9)
