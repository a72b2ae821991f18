"""The trigger model as arrays: for programmes in which nothing has to wait or is overrun.

Every event source becomes the array of its times. Whatever needs the step-by-step view (a pulse that
ends after the next should start, an event that comes too early, feedback from a channel's end to its own
start) raises `UnsuitableError`, and `resolve` then plays the events one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_instruments.instruments.keithley2636b_events import (
    ARMED,
    MEASURE_COMPLETE,
    PULSE_COMPLETE,
    SOURCE_COMPLETE,
    SWEEPING,
    Channel,
    Network,
    Timer,
    Timing,
    blender_event,
    channel_event,
    play_events,
    timer_event,
    watch_events,
)
from sim_instruments.world.contracts import FloatArray

EARLY = 1e-9  # s; rounding of sums of delays


class UnsuitableError(Exception):
    """The array view does not hold for this network."""


_KEPT = 8
_known: OrderedDict[Any, Mapping[int, Timing]] = OrderedDict()


def resolve(network: Network) -> Mapping[int, Timing]:
    """Timing of every channel by its number, by whichever way is right. Keeps the last few results:
    a programme is usually played many times. Nobody may write into the arrays."""
    key = (
        network.channels,
        tuple(
            (each.number, each.delays_s.tobytes(), each.count, each.passthrough, each.stimulus)
            for each in network.timers
        ),
        network.blenders,
        network.external,
    )
    found = _known.pop(key, None)
    if found is None:
        try:
            found = vectorised(network)
        except UnsuitableError:
            found = play_events(network)
    _known[key] = found
    while len(_known) > _KEPT:
        _known.popitem(last=False)
    return found


def event_times(network: Network, event: int) -> FloatArray:
    """When an event happens, ascending, by whichever way is right."""
    try:
        if network.external:
            raise UnsuitableError
        return _Arrays(network).times(event)
    except UnsuitableError:
        return watch_events(network, event)


def vectorised(network: Network) -> Mapping[int, Timing]:
    """As play_events; UnsuitableError if something would have to wait."""
    if network.external:
        raise UnsuitableError
    view = _Arrays(network)
    return {channel.number: view.timing(channel.number) for channel in network.channels}


class _Arrays:
    def __init__(self, network: Network):
        self._channels = {channel.number: channel for channel in network.channels}
        self._sources: dict[int, Timer | tuple[int, ...] | tuple[Channel, int]] = {}
        for timer in network.timers:
            self._sources[timer_event(timer.number)] = timer
        for blender in network.blenders:
            if blender.either:
                self._sources[blender_event(blender.number)] = blender.stimuli
        for channel in network.channels:
            for what in (SWEEPING, ARMED, SOURCE_COMPLETE, MEASURE_COMPLETE, PULSE_COMPLETE):
                self._sources[channel_event(channel.number, what)] = (channel, what)
        self._known: dict[int, FloatArray] = {}
        self._stages: dict[int, dict[int, FloatArray]] = {}
        self._asked: set[object] = set()

    def timing(self, number: int) -> Timing:
        stages = self._stage(self._channels[number])
        channel = self._channels[number]
        measure = stages[MEASURE_COMPLETE] - channel.aperture_s
        finish = stages[PULSE_COMPLETE][-1]
        if channel.measuring:
            finish = max(finish, measure[-1] + channel.busy_s)
        return Timing(
            stages[SOURCE_COMPLETE] - channel.source_delay_s, measure, stages[PULSE_COMPLETE], float(finish)
        )

    def times(self, event: int) -> FloatArray:
        """When an event happens, ascending."""
        if event not in self._known:
            if event in self._asked:
                raise UnsuitableError  # feedback
            self._asked.add(event)
            self._known[event] = self._compute(event)
        return self._known[event]

    def _compute(self, event: int) -> FloatArray:
        source = self._sources.get(event)
        if source is None:
            raise UnsuitableError
        if isinstance(source, Timer):
            return self._timer(source)
        if isinstance(source[0], Channel):
            return self._channel_event(source[0], source[1])
        return np.sort(np.concatenate([self.times(each) for each in source if each]))

    def _channel_event(self, channel: Channel, what: int) -> FloatArray:
        if channel.stimuli[0] or channel.arms != 1 or channel.count < 1:
            raise UnsuitableError
        if what in (SWEEPING, ARMED):
            return np.array([channel.start_s])
        if what == SOURCE_COMPLETE:
            return self._source(channel) + channel.source_delay_s
        return self._stage(channel)[what]

    def _timer(self, timer: Timer) -> FloatArray:
        starts = self.times(timer.stimulus)
        if timer.count < 1 or not len(starts):
            raise UnsuitableError
        used = np.arange(len(starts) * timer.count) % len(timer.delays_s)
        delays = timer.delays_s[used].reshape(len(starts), timer.count)
        events = starts[:, None] + (np.cumsum(delays, axis=1) if timer.count > 1 else delays)
        if len(starts) > 1 and (events[:-1, -1] >= starts[1:] - EARLY).any():
            raise UnsuitableError  # overrun
        if timer.passthrough:
            events = np.concatenate([starts[:, None], events], axis=1)
        return events.ravel()

    def _source(self, channel: Channel) -> FloatArray:
        """When a source action starts; only where an event says so."""
        if not channel.stimuli[1]:
            raise UnsuitableError
        return _first(self.times(channel.stimuli[1]), channel.count)

    def _stage(self, channel: Channel) -> dict[int, FloatArray]:
        if channel.number not in self._stages:
            if channel in self._asked:
                raise UnsuitableError
            self._asked.add(channel)
            self._channel_event(channel, ARMED)
            self._stages[channel.number] = self._resolve(channel)
        return self._stages[channel.number]

    def _resolve(self, channel: Channel) -> dict[int, FloatArray]:
        _, source, measure, endpulse = channel.stimuli
        if source:
            sourced = self._source(channel) + channel.source_delay_s
        elif measure and not endpulse and not channel.source_delay_s:
            sourced = None  # each trigger begins where the last one ended
        else:
            raise UnsuitableError
        begin = _first(self.times(measure), channel.count) if measure else sourced
        assert begin is not None
        done = begin
        if channel.measuring:
            begin = begin + channel.measure_delay_s
            done = begin + channel.aperture_s
            if len(begin) > 1 and (begin[1:] < begin[:-1] + channel.busy_s - EARLY).any():
                raise UnsuitableError
        ends = _first(self.times(endpulse), channel.count) if endpulse else done
        if sourced is None:
            sourced = np.concatenate([[channel.start_s], ends[:-1]])
        if (
            (done < sourced - EARLY).any()
            or (ends < done - EARLY).any()
            or sourced[0] < channel.start_s - EARLY
        ):
            raise UnsuitableError
        started = sourced - channel.source_delay_s
        if measure and (begin - channel.measure_delay_s * channel.measuring < sourced - EARLY).any():
            raise UnsuitableError
        if (started[1:] < ends[:-1] - EARLY).any():
            raise UnsuitableError
        return {SOURCE_COMPLETE: sourced, MEASURE_COMPLETE: done, PULSE_COMPLETE: ends}


def _first(times: FloatArray, count: int) -> FloatArray:
    if len(times) < count:
        raise UnsuitableError
    return times[:count]
