"""What a generator's channel plays once it is started: blocks of cycles, taken out stretch by stretch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from sim_instruments.instruments.keysight_kernel import rectangles
from sim_instruments.instruments.keysight_shapes import Cycle
from sim_instruments.world.contracts import FloatArray

LONGEST = 1 << 21  # runs that are taken out at once; more of an endless waveform are skipped, and said
UNCUT_S = 20e-3  # runs no longer than this are played in one piece, unless they are ended
SHORTEST_S = 1e-12  # what rounding leaves of a run at the end of a stretch
_NONE: FloatArray = np.empty(0)


class Runs(NamedTuple):
    """Rectangles off the idle level: level (V), start (s), width (s), each (n,), ascending."""

    level_v: FloatArray
    start_s: FloatArray
    width_s: FloatArray


@dataclass
class Block:
    """One waveform played `repeats` times; times (k,) count from the start of a cycle.

    level_v, start_s, width_s: what is not at the idle level; rise_s: where it rises over the logic threshold
    within a cycle, of which `first_rises` tells whether the one at its very start counts in the first cycle.
    waits: it stays there until a trigger; until_trigger: it repeats until one comes.
    sync: the sync output rises with "each" cycle, the "first" one or "none".
    """

    level_v: FloatArray
    start_s: FloatArray
    width_s: FloatArray
    rise_s: FloatArray
    first_rises: bool
    duration_s: float
    repeats: float
    last_v: float
    waits: bool = False
    until_trigger: bool = False
    sync: str = "first"

    @property
    def length_s(self) -> float:
        """All its cycles (s)."""
        return self.repeats * self.duration_s


def block(
    cycle: Cycle,
    half_v: float,
    offset_v: float,
    repeats: float,
    threshold_v: float,
    idle_v: float,
    **more: Any,
) -> Block:
    """A cycle at its amplitude (half_v for level 1, open-circuit volts), seen from the channel's idle_v."""
    level, start, width, rise = rectangles(
        cycle.level, cycle.start_s, cycle.duration_s, half_v, offset_v, idle_v, threshold_v
    )
    first_v = offset_v + half_v * float(cycle.level[0])
    first_rises = first_v > threshold_v >= idle_v
    last_v = offset_v + half_v * float(cycle.level[-1])
    return Block(level, start, width, rise, first_rises, cycle.duration_s, repeats, last_v, **more)


@dataclass
class Playback:
    """Blocks one after the other from start_s on; `loops` of them all (inf: for ever).

    index, here and since_s: the block in progress, as it is played this time, and its start;
    played_s: what was taken out so far; skipped: runs of an endless waveform that were too many to play.
    """

    blocks: list[Block]
    start_s: float
    idle_v: float
    loops: float = 1.0
    index: int = 0
    here: Block = field(init=False)
    since_s: float = field(init=False)
    played_s: float = field(init=False)
    skipped: int = 0

    def __post_init__(self) -> None:
        self.here = replace(self.blocks[self.index])
        self.since_s = self.played_s = self.start_s

    def end_s(self) -> float:
        """When it is over; inf while that is not foreseen."""
        if self.loops <= 0:
            return self.since_s
        rest = [self.here, *self.blocks[self.index + 1 :]]
        again = self.blocks if self.loops > 1 else []
        if not np.isfinite(self.loops) or any(each.waits or each.until_trigger for each in (*rest, *again)):
            return float("inf")
        once = sum(each.length_s for each in again)
        return self.since_s + sum(each.length_s for each in rest) + max(self.loops - 1, 0.0) * once

    @property
    def takes_triggers(self) -> bool:
        """True if some block waits for a trigger or ends with one."""
        return any(each.waits or each.until_trigger for each in self.blocks)

    def waiting(self, now: float) -> bool:
        """True while it stands still until a trigger."""
        here, since_s = self._at(now)
        return here.waits and now >= since_s + here.length_s

    def uncut_s(self, now: float) -> float:
        """`now`, or the start of the run in progress if that one is short: it is played when it is over."""
        here, since_s = self._at(now)
        at = _run_at(here, now - since_s)
        if at < 0 or here.width_s[at] > UNCUT_S:
            return now
        begun_s = float((now - since_s) // here.duration_s * here.duration_s + since_s + here.start_s[at])
        return max(min(begun_s, now), self.played_s)

    def _at(self, now: float) -> tuple[Block, float]:
        """(block, its start) in progress at `now`, whatever was taken out so far."""
        here, since_s, index, loops = self.here, self.since_s, self.index, self.loops
        while not (here.waits or here.until_trigger) and now >= since_s + here.length_s:
            index += 1
            if index == len(self.blocks):
                index, loops = 0, loops - 1
            if loops <= 0:
                break
            since_s, here = since_s + here.length_s, self.blocks[index]
        return here, since_s

    def trigger(self, time_s: float) -> bool:
        """A trigger goes on to the next block; False if nothing waits for one."""
        if self.here.until_trigger:
            cycles = max(1.0, float(np.ceil((time_s - self.since_s) / self.here.duration_s - 1e-9)))
            self.here.repeats, self.here.until_trigger = cycles, False
            return True
        if self.waiting(time_s):
            self._enter(time_s)
            return True
        return False

    def take(
        self, until_s: float, with_rises: bool, with_syncs: bool
    ) -> tuple[list[Runs], list[FloatArray], list[FloatArray]]:
        """(runs, rising edges, edges of the sync output) from the last time up to until_s, exactly."""
        runs: list[Runs] = []
        rises: list[FloatArray] = []
        syncs: list[FloatArray] = []
        while self.played_s < until_s and self.loops > 0:
            end_s = self.since_s + self.here.length_s
            stop_s = min(until_s, end_s)
            if stop_s > self.played_s:
                runs.append(self._runs(self.played_s, stop_s))
                if with_rises:
                    rises.append(_rises(self.here, self.since_s, self.played_s, stop_s))
                if with_syncs:
                    syncs.append(_syncs(self.here, self.since_s, self.played_s, stop_s))
                self.played_s = stop_s
            if until_s < end_s:
                break
            if self.here.waits:
                if until_s > self.played_s and self.here.last_v != self.idle_v:
                    held = (self.here.last_v, self.played_s, until_s - self.played_s)
                    runs.append(Runs(*(np.array([value]) for value in held)))
                self.played_s = until_s
                break
            self._enter(end_s)
        return runs, rises, syncs

    def over(self, now: float) -> bool:
        """True if all is played."""
        return self.loops <= 0 or now >= self.end_s()

    def last_edge_s(self, until_s: float, sync: bool) -> float:
        """The last rising edge (of the sync output) before until_s that was not taken yet; -inf for none."""
        last, here, since_s, index, loops = -np.inf, self.here, self.since_s, self.index, self.loops
        while since_s < until_s and loops > 0:
            stop_s = min(until_s, since_s + here.length_s)
            from_s = max(self.played_s, since_s, stop_s - 2 * here.duration_s)
            edges = (_syncs if sync else _rises)(here, since_s, from_s, stop_s)
            last = float(edges[-1]) if len(edges) else last
            if here.waits or not np.isfinite(here.length_s):
                break
            since_s, index = since_s + here.length_s, index + 1
            if index == len(self.blocks):
                index, loops = 0, loops - 1
            here = self.blocks[index]
        return float(last)

    def level_v(self, now: float) -> float:
        """What it gives at `now`, of the block in progress."""
        if now < self.start_s or self.loops <= 0:
            return self.idle_v
        if self.waiting(now):
            return self.here.last_v
        here, since_s = self._at(now)
        at = _run_at(here, now - since_s)
        return float(here.level_v[at]) if at >= 0 else self.idle_v

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        plain = {**vars(self), "here": dict(vars(self.here))}
        return {**plain, "blocks": [dict(vars(each)) for each in self.blocks]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Playback:
        """The playback of a snapshot."""
        made = cls([Block(**each) for each in state["blocks"]], state["start_s"], state["idle_v"])
        made.here = Block(**state["here"])
        made.index, made.loops, made.skipped = int(state["index"]), state["loops"], int(state["skipped"])
        made.since_s, made.played_s = state["since_s"], state["played_s"]
        return made

    def _enter(self, time_s: float) -> None:
        self.index, self.since_s = self.index + 1, time_s
        if self.index == len(self.blocks):
            self.index, self.loops = 0, self.loops - 1
        self.here = replace(self.blocks[self.index])

    def _runs(self, from_s: float, until_s: float) -> Runs:
        here = self.here
        each = len(here.level_v)
        if not each:
            return Runs(_NONE, _NONE, _NONE)
        first, after = _cycles(here, self.since_s, from_s, until_s)
        most = max(1, LONGEST // each)
        if after - first > most + 2:
            self.skipped += (after - first - most) * each
            first = after - most
        if after - first == 1:
            begin_s = self.since_s + first * here.duration_s
            inside = slice(
                max(0, int(np.searchsorted(here.start_s, from_s - begin_s, side="right")) - 1),
                int(np.searchsorted(here.start_s, until_s - begin_s, side="left")),
            )
            start, level, width = here.start_s[inside] + begin_s, here.level_v[inside], here.width_s[inside]
            if not len(start):
                return Runs(_NONE, _NONE, _NONE)
        else:
            begins = self.since_s + np.arange(first, after) * here.duration_s
            start = (begins[:, None] + here.start_s).ravel()
            level, width = np.tile(here.level_v, after - first), np.tile(here.width_s, after - first)
        return _between(Runs(level, start, width), from_s, until_s)


def _between(runs: Runs, from_s: float, until_s: float) -> Runs:
    """What lies between two times; only the first and the last run can be cut."""
    first = max(0, int(np.searchsorted(runs.start_s, from_s, side="right")) - 1)
    if first < len(runs.start_s) and runs.start_s[first] + runs.width_s[first] - from_s <= SHORTEST_S:
        first += 1
    after = int(np.searchsorted(runs.start_s, until_s - SHORTEST_S, side="left"))
    if first >= after:
        return Runs(_NONE, _NONE, _NONE)
    level, start, width = (each[first:after] for each in runs)
    cut_s, left_s = from_s - start[0], until_s - start[-1]
    if cut_s <= 0 and left_s >= width[-1]:
        return Runs(level, start, width)
    start, width = start.copy(), width.copy()
    width[-1] = min(width[-1], left_s)
    if cut_s > 0:
        start[0], width[0] = from_s, width[0] - cut_s
    return Runs(level, start, width)


def _run_at(here: Block, passed_s: float) -> int:
    """Number of the run in progress when passed_s of the block are over; -1 between runs."""
    phase_s = passed_s % here.duration_s
    at = int(np.searchsorted(here.start_s, phase_s, side="right")) - 1
    return at if at >= 0 and phase_s < here.start_s[at] + here.width_s[at] else -1


def _cycles(here: Block, since_s: float, from_s: float, until_s: float) -> tuple[int, int]:
    """First cycle, and the one after the last, that may touch a stretch of time; one more at either end."""
    first = int(np.floor((from_s - since_s) / here.duration_s)) - 1
    after = int(np.ceil((until_s - since_s) / here.duration_s)) + 1
    return max(first, 0), int(min(after, here.repeats))


def _rises(here: Block, since_s: float, from_s: float, until_s: float) -> FloatArray:
    """Rising edges in from_s <= t < until_s."""
    if not len(here.rise_s) and not here.first_rises:
        return _NONE
    first, after = _cycles(here, since_s, from_s, until_s)
    begins = since_s + np.arange(first, after) * here.duration_s
    edges = (begins[:, None] + here.rise_s).ravel()
    at_start = bool(len(here.rise_s)) and here.rise_s[0] == 0.0
    if first == 0 and len(begins) and at_start != here.first_rises:
        edges = edges[1:] if at_start else np.concatenate([[since_s], edges])
    return edges[(edges >= from_s) & (edges < until_s)]


def _syncs(here: Block, since_s: float, from_s: float, until_s: float) -> FloatArray:
    """Rising edges of the sync output in from_s <= t < until_s."""
    if here.sync == "none":
        return _NONE
    if here.sync == "first":
        return np.array([since_s]) if from_s <= since_s < until_s else _NONE
    first, after = _cycles(here, since_s, from_s, until_s)
    edges: FloatArray = since_s + np.arange(first, after, dtype=np.float64) * here.duration_s
    return edges[(edges >= from_s) & (edges < until_s)]
