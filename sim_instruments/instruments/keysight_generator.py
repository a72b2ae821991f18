"""The physics of Keysight's two-channel generators: what comes out of the connectors, and when.

A channel is a voltage behind 50 ohm on '<name>.ch1', '<name>.ch2'. What it plays is handed to the world
lazily and exactly. A channel whose cable ends at another box's trigger input drives no device: its rising
edges trigger that box, together with the trace of what the other channel did meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keysight_channels import CHANNELS, ChannelBox
from sim_instruments.instruments.keysight_playback import Block, Playback, Runs, block
from sim_instruments.instruments.keysight_shapes import Cycle
from sim_instruments.world.contracts import FloatArray, Level, PlayTrace, PulseTrain

OUTPUT_OHM = 50.0
OPEN_MAX_V = 10.0  # peak into an open circuit, both boxes [R: data sheets, 5 V into 50 ohm]
LOGIC_V = 1.5  # a trigger input sees an edge where the open-circuit voltage rises over this [R: TTL]
_NOTHING: FloatArray = np.empty(0)


class Generator(ChannelBox):
    """Base of the boxes: outputs, starts, ends and edges. A box says what a channel's cycle and volts are."""

    start_latency_s: ClassVar[Mapping[str, float]] = {}  # from a trigger of that source to the first sample
    extra_outputs: ClassVar[tuple[str, ...]] = ("sync", "trig_out")  # connectors that carry edges only

    def on_reset(self) -> None:
        if "playing" in vars(self):
            self.play_to(self.world.now)
        self.playing: dict[str, Playback] = {}
        self.defaults()
        for channel in CHANNELS:
            self.refresh(channel)

    # ---- what a box says ---------------------------------------------------------------------------

    def cycle(self, channel: int) -> Cycle:
        """One cycle of the function that is chosen."""
        raise NotImplementedError

    def volts(self, channel: int) -> tuple[float, float]:
        """(half the amplitude, offset), open-circuit volts as set; half is negative where inverted."""
        raise NotImplementedError

    def bursting(self, channel: int) -> bool:
        """True if the channel waits for triggers and plays a burst at each."""
        raise NotImplementedError

    def burst_cycles(self, channel: int) -> float:
        """Cycles of one burst."""
        raise NotImplementedError

    def output_on(self, channel: int) -> bool:
        """Whether the output relay is closed."""
        return bool(self.value("output", channel))

    def blocks(self, channel: int, idle_v: float, repeats: float) -> list[Block]:
        """What a channel plays: one waveform, unless the box has sequences."""
        half_v, offset_v = self.true_volts(channel)
        endless = "first" if np.isfinite(repeats) else "each"
        return [block(self.cycle(channel), half_v, offset_v, repeats, LOGIC_V, idle_v, sync=endless)]

    def sync_channel(self) -> int | None:
        """The channel whose starts the sync output shows; None while it is off."""
        return None

    def trigger_out_channel(self) -> int | None:
        """The same for the trigger output."""
        return None

    def power_cycle(self) -> None:
        self.play_to(self.world.now)
        self.playing = {}
        super().power_cycle()

    # ---- starting and ending -----------------------------------------------------------------------

    def refresh(self, channel: int) -> None:
        """Something of the channel changed: it starts afresh, or rests and waits for its trigger."""
        self.playing.pop(str(channel), None)
        if self.output_on(channel) and not self.bursting(channel):
            self.begin(channel, self.world.now, np.inf)
        self.rest(channel)

    def begin(self, channel: int, start_s: float, repeats: float) -> None:
        """Play the channel's function from start_s on, `repeats` times."""
        idle_v = self.idle_v(channel)
        made = self.blocks(channel, idle_v, repeats)
        loops = repeats if len(made) > 1 else 1.0
        self.playing[str(channel)] = Playback(made, start_s, idle_v, loops)

    def start_burst(self, channel: int, time_s: float) -> bool:
        """A trigger reached the channel; False if it does not wait for one."""
        playing = self.playing.get(str(channel))
        past_s = min(time_s, self.world.now)
        if playing is not None and not playing.over(past_s):
            if not playing.takes_triggers:
                return False
            self.play_to(past_s)
            return playing.trigger(time_s)
        if not self.bursting(channel):
            return False
        self.play_to(self.world.now)
        self.begin(channel, time_s, self.burst_cycles(channel))
        return True

    def end_all(self) -> None:
        """Whatever plays ends now; the channels rest."""
        self.play_to(self.world.now)
        for channel in CHANNELS:
            self.refresh(channel)

    def before_change(self, channel: int) -> None:
        """Play what has passed with the settings that were in force."""
        if self.playing:
            self.play_to(self.world.now)

    def operation_end_s(self) -> float:
        """The end of the bursts in progress; an endless waveform is no pending operation."""
        ends = [each.end_s() for each in self.playing.values()]
        return max([self.world.now, *(end for end in ends if np.isfinite(end))])

    # ---- levels -------------------------------------------------------------------------------------

    def true_volts(self, channel: int) -> tuple[float, float]:
        """(half the amplitude, offset) as they come out: the box has its own gain and offset error."""
        half_v, offset_v = self.volts(channel)
        wrong = self.world.instrument_errors(self.name)
        offset_error_v = wrong.source_offset * OPEN_MAX_V
        return half_v * wrong.source_gain, offset_v * wrong.source_gain + offset_error_v

    def idle_v(self, channel: int) -> float:
        """Open-circuit volts between bursts."""
        half_v, offset_v = self.true_volts(channel)
        return offset_v + half_v * self.idle_level(channel)

    def idle_level(self, channel: int) -> float:
        """The same as a part of half the amplitude."""
        return self.cycle(channel).idle

    def rest(self, channel: int) -> None:
        """Hold what the channel gives now."""
        playing = self.playing.get(str(channel))
        level_v = self.idle_v(channel) if playing is None else playing.level_v(self.world.now)
        self._hold(channel, level_v)

    def _hold(self, channel: int, level_v: float) -> None:
        on = self.output_on(channel)
        level = Level(level_v if on else 0.0, np.inf, on, voltage_mode=True, series_ohm=OUTPUT_OHM)
        self.world.set_level(self.terminal(channel), level)

    def terminal(self, channel: int) -> str:
        return f"{self.name}.ch{channel}"

    # ---- playing ------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        if self.playing:
            self.play_to(self._quiet_s(now))

    def play_to(self, until_s: float) -> None:
        """Hand everything up to until_s to the world: first the waveforms, then the edges between them."""
        if not any(each.played_s < until_s for each in self.playing.values()):
            return
        traces: dict[int, PlayTrace] = {}
        edges: dict[str, tuple[int, list[FloatArray]]] = {}
        for channel in CHANNELS:
            playing = self.playing.get(str(channel))
            if playing is None:
                continue
            lines, terminal = self._lines(channel), self.terminal(channel)
            drives = terminal not in lines
            runs, rises, syncs = playing.take(until_s, not drives, len(lines) > (not drives))
            if playing.skipped:
                self.world.fault(f"{self.name}: {playing.skipped} levels of a waveform were not all played")
                playing.skipped = 0
            for line in lines:
                edges[line] = (channel, rises if line == terminal else syncs)
            if drives and self.output_on(channel):
                traces[channel] = self._played(channel, playing.idle_v, runs)
        for line, (channel, times) in edges.items():
            self._send(line, channel, np.concatenate(times) if times else _NOTHING, traces)
        for channel in CHANNELS:
            self._settle(channel, until_s)

    def _played(self, channel: int, idle_v: float, runs: list[Runs]) -> PlayTrace:
        level, start, width = (
            runs[0]
            if len(runs) == 1
            else map(np.concatenate, zip(*runs, strict=True))
            if runs
            else [_NOTHING] * 3
        )
        train = PulseTrain(level, start, width, idle_v, np.inf, voltage_mode=True, series_ohm=OUTPUT_OHM)
        return self.world.play(self.terminal(channel), train)

    def _send(self, line: str, channel: int, times_s: FloatArray, traces: Mapping[int, PlayTrace]) -> None:
        if not len(times_s):
            return
        others = [each for each in CHANNELS if each != channel]
        trace = traces.get(channel) or next((traces[each] for each in others if each in traces), None)
        if trace is None:
            for other in others:
                if self.output_on(other) and not self._listens(self.terminal(other)):
                    trace = self._played(other, self.idle_v(other), [])
        self.world.trigger(line, times_s, trace)

    def _settle(self, channel: int, until_s: float) -> None:
        """After a stretch: forget what is over, and hold what the channel gives at its end."""
        playing = self.playing.get(str(channel))
        if playing is None:
            return
        if playing.over(until_s):
            del self.playing[str(channel)]
            self._hold(channel, playing.idle_v)
            self.burst_over(channel, until_s)
        elif until_s >= self.world.now and not self._listens(self.terminal(channel)):
            self._hold(channel, playing.level_v(until_s))

    def burst_over(self, channel: int, end_s: float) -> None:
        """A burst ended by itself."""

    def _quiet_s(self, now: float) -> float:
        """How far to play: to the last edge that another box waits for, so that what it measures after that
        edge comes in one piece with it; to `now` where all is over or nobody listens, but no short pulse
        is cut."""
        if all(each.over(now) or each.waiting(now) for each in self.playing.values()):
            return now
        quiet, heard = -np.inf, False
        for channel in CHANNELS:
            playing = self.playing.get(str(channel))
            if playing is None:
                continue
            for line in self._lines(channel):
                heard = True
                quiet = max(quiet, playing.last_edge_s(now, sync=line != self.terminal(channel)))
        return quiet if heard else min(each.uncut_s(now) for each in self.playing.values())

    # ---- cables -------------------------------------------------------------------------------------

    def _lines(self, channel: int) -> list[str]:
        """Connectors whose edges, made by this channel, another box listens to."""
        found = []
        if self.output_on(channel) and self._listens(self.terminal(channel)):
            found.append(self.terminal(channel))
        for output, source in (("sync", self.sync_channel()), ("trig_out", self.trigger_out_channel())):
            if source == channel and self._listens(f"{self.name}.{output}"):
                found.append(f"{self.name}.{output}")
        return found

    def _listens(self, line: str) -> bool:
        """True if the cable on this connector ends at a box that takes triggers."""
        end = self.world.wired(line)
        if end is None or "." not in end:
            return False
        try:
            listener = self.world.instrument(end.partition(".")[0])
        except KeyError:
            return False
        return hasattr(listener, "triggered")

    # ---- snapshot -----------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        playing = {channel: each.state() for channel, each in self.playing.items()}
        return {**super().snapshot(), "playing": playing}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.playing = {channel: Playback.from_state(each) for channel, each in state["playing"].items()}
