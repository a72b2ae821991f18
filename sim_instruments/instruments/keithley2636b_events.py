"""The 2636B's trigger model: a network of event sources, resolved into times.

A network is timers, blenders and the two channels' trigger models, joined by event numbers. Times are
seconds from the moment when the first channel was initiated. Two ways give the same answer:
`play_events` steps through the events one by one and covers every network that ends; `vectorised`
(keithley2636b_vector.py) treats whole programmes as arrays where nothing has to wait for anything.

Readings of the manual that are assumptions [R], not verified on a box:
  - a timer that is triggered while it runs ignores that (action overrun); its delay list goes on with
    the next delay at each delay, also from one triggering to the next;
  - a channel remembers one event for each of its four detectors while it does something else;
  - a measurement's aperture ends the measure action; storing the reading goes on beside it and only
    holds up the next measurement.
[M 2600B reference, timers]: count events for each triggering, each delay starts at the end of the one
before, pass-through sends one event more at once; count 0..1048575, delay 8 us..100 ks, lists of more
than one delay average at least 50 us.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.world.contracts import FloatArray

# Event numbers. Channels: base + what; the numbers themselves mean nothing outside one session [R].
SWEEPING, ARMED, SOURCE_COMPLETE, MEASURE_COMPLETE, PULSE_COMPLETE, SWEEP_COMPLETE, IDLE = range(1, 8)
TRIGGER_EVENT = 50  # *TRG
ARM, SOURCE, MEASURE, ENDPULSE = range(4)  # a channel's event detectors
MAX_EVENTS = 3_000_000


def channel_event(channel: int, what: int) -> int:
    """Event number of channel 0 (smua) or 1 (smub)."""
    return 10 * channel + what


def detector_event(channel: int, detector: int) -> int:
    """What smuX.trigger.source.set() and its like send to one detector."""
    return 60 + 4 * channel + detector


def timer_event(number: int) -> int:
    return 100 + number


def blender_event(number: int) -> int:
    return 200 + number


@dataclass(frozen=True)
class Timer:
    number: int
    delays_s: FloatArray
    count: int
    passthrough: bool
    stimulus: int


@dataclass(frozen=True)
class Blender:
    """OR (any of the stimuli) or AND (all of them since the last event)."""

    number: int
    either: bool
    stimuli: tuple[int, ...]


@dataclass(frozen=True)
class Channel:
    """One channel's trigger model. aperture_s and busy_s are of the whole measure action (all its
    readings); measuring False skips it. stimuli: of arm, source, measure, end pulse; 0 waits for nothing."""

    number: int
    start_s: float
    arms: int
    count: int
    stimuli: tuple[int, int, int, int]
    source_delay_s: float
    measuring: bool
    measure_delay_s: float
    aperture_s: float
    busy_s: float


@dataclass(frozen=True)
class Network:
    channels: tuple[Channel, ...]
    timers: tuple[Timer, ...] = ()
    blenders: tuple[Blender, ...] = ()
    external: tuple[tuple[float, int], ...] = ()  # events from outside: (time, number), ascending


@dataclass(frozen=True)
class Timing:
    """When a channel did what (s). source_s (n,), measure_s (m,) start of the apertures, end_s (k,) of the
    pulses with k = n or n - 1 (the last one goes on); finish_s is inf while the channel waits."""

    source_s: FloatArray
    measure_s: FloatArray
    end_s: FloatArray
    finish_s: float


def endless(network: Network) -> bool:
    """True if a channel would never end by itself (count 0)."""
    return any(channel.count == 0 or channel.arms == 0 for channel in network.channels)


# ---- one by one -------------------------------------------------------------------------------------


@dataclass
class _Record:
    source: list[float] = field(default_factory=list)
    measure: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    finish: float = float("inf")


class _Play:
    """Events in order of time; equal times in order of cause."""

    def __init__(self, network: Network, watched: int = 0):
        self.watched = watched
        self.seen: list[float] = []  # when the watched event happened
        self._queue: list[tuple[float, int, str, object]] = []
        self._order = 0
        self.records = {channel.number: _Record() for channel in network.channels}
        self._running: dict[int, Iterator[tuple[str, float]]] = {}
        self._waiting: dict[tuple[int, int], float] = {}  # detector -> since
        self._latched: set[tuple[int, int]] = set()
        self._detectors: dict[int, list[tuple[int, int]]] = {}
        self._timers: dict[int, list[Timer]] = {}
        self._blenders: dict[int, list[Blender]] = {}
        self._next_delay: dict[int, int] = {}
        self._timer_left: dict[int, int] = {}
        self._heard: dict[int, set[int]] = {}
        self._now = 0.0
        for channel in network.channels:
            for detector, stimulus in enumerate(channel.stimuli):
                place = (channel.number, detector)
                for event in (stimulus, detector_event(*place)):
                    self._detectors.setdefault(event, []).append(place)
            self._push(channel.start_s, "start", channel)
        for timer in network.timers:
            self._timers.setdefault(timer.stimulus, []).append(timer)
        for blender in network.blenders:
            for stimulus in blender.stimuli:
                self._blenders.setdefault(stimulus, []).append(blender)
        for time, event in network.external:
            self._push(time, "event", event)

    def run(self) -> None:
        for _ in range(MAX_EVENTS):
            if not self._queue or all(record.finish < float("inf") for record in self.records.values()):
                return
            self._now, _, kind, what = heapq.heappop(self._queue)
            if kind == "start":
                assert isinstance(what, Channel)
                self._running[what.number] = self._channel(what)
                self._go_on(what.number)
            elif kind == "go on":
                assert isinstance(what, int)
                self._go_on(what)
            elif kind == "timer":
                assert isinstance(what, Timer)
                self._timer_ends(what)
            else:
                assert isinstance(what, int)
                self._emit(what)
        raise OverflowError("the trigger programme has too many events")

    def _push(self, time: float, kind: str, what: object) -> None:
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, kind, what))

    def _emit(self, event: int) -> None:
        if not event:
            return
        if event == self.watched:
            self.seen.append(self._now)
        for place in self._detectors.get(event, ()):
            if place in self._waiting:
                del self._waiting[place]
                self._push(self._now, "go on", place[0])
            else:
                self._latched.add(place)
        for timer in self._timers.get(event, ()):
            self._start_timer(timer)
        for blender in self._blenders.get(event, ()):
            heard = self._heard.setdefault(blender.number, set())
            heard.add(event)
            if blender.either or heard >= {each for each in blender.stimuli if each}:
                heard.clear()
                self._emit(blender_event(blender.number))

    def _start_timer(self, timer: Timer) -> None:
        if self._timer_left.get(timer.number):
            return  # overrun
        self._timer_left[timer.number] = timer.count or -1
        self._delay(timer)
        if timer.passthrough:
            self._emit(timer_event(timer.number))

    def _delay(self, timer: Timer) -> None:
        used = self._next_delay.get(timer.number, 0)
        self._next_delay[timer.number] = used + 1
        self._push(self._now + timer.delays_s[used % len(timer.delays_s)], "timer", timer)

    def _timer_ends(self, timer: Timer) -> None:
        self._timer_left[timer.number] -= 1
        if self._timer_left[timer.number]:
            self._delay(timer)
        self._emit(timer_event(timer.number))

    def _go_on(self, number: int) -> None:
        """Let a channel run until it waits for a time or an event."""
        for kind, value in self._running[number]:
            if kind == "until":
                if value > self._now:
                    self._push(value, "go on", number)
                    return
            else:
                place = (number, int(value))
                if place in self._latched:
                    self._latched.discard(place)
                else:
                    self._waiting[place] = self._now
                    return

    def _channel(self, channel: Channel) -> Iterator[tuple[str, float]]:
        record, number = self.records[channel.number], channel.number
        arm, source, measure, endpulse = channel.stimuli
        ready = 0.0  # from when the next measurement can start
        self._emit(channel_event(number, SWEEPING))
        for _ in range(channel.arms):
            if arm:
                yield "event", ARM
            self._emit(channel_event(number, ARMED))
            for _ in range(channel.count):
                if source:
                    yield "event", SOURCE
                record.source.append(self._now)
                yield "until", self._now + channel.source_delay_s
                self._emit(channel_event(number, SOURCE_COMPLETE))
                if measure:
                    yield "event", MEASURE
                if channel.measuring:
                    yield "until", max(self._now + channel.measure_delay_s, ready)
                    record.measure.append(self._now)
                    ready = self._now + channel.busy_s
                    yield "until", self._now + channel.aperture_s
                    self._emit(channel_event(number, MEASURE_COMPLETE))
                if endpulse:
                    yield "event", ENDPULSE
                record.end.append(self._now)
                self._emit(channel_event(number, PULSE_COMPLETE))
            self._emit(channel_event(number, SWEEP_COMPLETE))
        yield "until", max(self._now, ready)
        record.finish = self._now
        self._emit(channel_event(number, IDLE))


def play_events(network: Network) -> Mapping[int, Timing]:
    """Timing of every channel by its number. OverflowError for a programme beyond all measure."""
    play = _Play(network)
    play.run()
    return {
        number: Timing(np.array(record.source), np.array(record.measure), np.array(record.end), record.finish)
        for number, record in play.records.items()
    }


def watch_events(network: Network, event: int) -> FloatArray:
    """When an event happens until the last channel is idle, ascending."""
    play = _Play(network, event)
    play.run()
    return np.array(play.seen)
