"""The DMM6500's trigger model: blocks as they were sent, resolved into stages that can be played as arrays.

A stage is a loop of passes. A pass begins at once or at an external trigger, and makes readings at fixed
times after that. What cannot be written so (a wait in the middle of a loop, an endless measure block) is
refused when the model is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.world.contracts import FloatArray

LATENCY_S = 1e-6  # from the edge to the block after the wait; source: recalled [R]
OVERHEAD_S = 20e-6  # of one pass, before the next trigger is taken; source: recalled [R]
UNROLLED = 7_000_000  # readings of one pass, at most
CLEAR, WAIT, DELAY, MEASURE, NOTHING = "clear", "wait", "delay", "measure", "nothing"
COUNTER, ELAPSED, EVENT = "counter", "elapsed", "event"  # branches back: how often, how long, until when
BRANCHES = (COUNTER, ELAPSED, EVENT)
INFINITE = float("inf")
TIMING_S = 1e-9  # what rounding may add up to


class Block(NamedTuple):
    """One block: its kind, a buffer's name, a number (delay in s, count) and the block it branches to.

    of a wait, number is 1 if triggers from before are forgotten when it is entered.
    """

    kind: str
    buffer: str = ""
    number: float = 0.0
    target: int = 0


@dataclass(frozen=True)
class Conversion:
    """How readings are made: each is the mean over window_s, the next one begins step_s later.

    last_s: from the opening of the last window until the block is over; count: readings of a measure block
    that does not say how many.
    """

    window_s: float
    step_s: float
    last_s: float
    count: int


@dataclass(frozen=True)
class Stage:
    """passes times: wait for a trigger if `waits`, then windows that open at offsets_s (r,) after it.

    pass_s: from the start of a pass until the next one may begin. clears: buffers emptied before the
    first pass. forgets: triggers from before the wait do not count. until: a trigger ends the loop after
    so many passes more (-1: nothing does).
    """

    waits: bool
    forgets: bool
    passes: float
    offsets_s: FloatArray
    pass_s: float
    buffer: str
    clears: tuple[str, ...]
    block: int
    until: int = -1

    def plain(self) -> dict[str, Any]:
        """For a snapshot."""
        return {**vars(self), "clears": list(self.clears)}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Stage:
        """From `plain`."""
        return cls(**{**state, "clears": tuple(state["clears"])})


class _Item(NamedTuple):
    """A block, or a loop over items, and the number of its (first) block."""

    number: int
    block: Block
    body: tuple[Any, ...] = ()


def stages(
    blocks: Mapping[int, Block], conversion: Conversion, overhead_s: float = OVERHEAD_S
) -> tuple[Stage, ...]:
    """The model as stages, in order; -221 says what the simulation does not play."""
    if not blocks:
        raise ScpiError(-221, "Settings conflict; the trigger model has no blocks")
    if sorted(blocks) != list(range(1, len(blocks) + 1)):
        raise ScpiError(-221, "Settings conflict; a block of the trigger model is missing")
    found: list[Stage] = []
    clears: tuple[str, ...] = ()
    straight: list[_Item] = []
    for item in _nested(blocks):
        if item.body or item.block.kind in (WAIT, CLEAR):
            found += _stage(straight, None, clears, conversion, overhead_s)
            clears, straight = (() if straight else clears), []
        if item.block.kind == CLEAR:
            clears += (item.block.buffer,)
        elif item.body:
            found += _stage(item.body, item.block, clears, conversion, overhead_s)
            clears = ()
        else:
            straight.append(item)
    found += _stage(straight, None, clears, conversion, overhead_s)
    return tuple(found)


def _nested(blocks: Mapping[int, Block]) -> list[_Item]:
    """Blocks in order, with each counting branch and what it repeats as one item."""
    items: list[_Item] = []
    for number in sorted(blocks):
        block = blocks[number]
        if block.kind not in BRANCHES:
            items.append(_Item(number, block))
            continue
        inside = [item for item in items if item.number >= block.target]
        if not inside or inside[0].number != block.target:
            raise ScpiError(-221, f"Settings conflict; block {number} branches into another loop or ahead")
        del items[len(items) - len(inside) :]
        items.append(_Item(block.target, block, tuple(inside)))
    return items


def _stage(
    items: Sequence[_Item],
    branch: Block | None,
    clears: tuple[str, ...],
    conversion: Conversion,
    overhead_s: float,
) -> list[Stage]:
    """What stands between branches, or in a loop, as a stage; nothing if there is nothing."""
    if not items:
        return []
    waits = bool(items[0].block.kind == WAIT and not items[0].body)
    start_s = LATENCY_S if waits else 0.0
    offsets, end_s, buffer = _windows(items[1:] if waits else items, start_s, conversion)
    pass_s = end_s + overhead_s
    passes, until = 1.0, -1
    if branch is not None and branch.kind == COUNTER:
        passes = branch.number
    elif branch is not None and branch.kind == ELAPSED:
        passes = float(max(1, int(np.ceil(branch.number / pass_s - 1e-9))))
    elif branch is not None:
        passes, until = INFINITE, int(branch.number)
    forgets = waits and items[0].block.number > 0
    return [Stage(waits, forgets, passes, offsets, pass_s, buffer, clears, items[0].number, until)]


def _windows(items: Sequence[_Item], at_s: float, conversion: Conversion) -> tuple[FloatArray, float, str]:
    """Opening times of the windows of one pass, when it is over, and the buffer that it fills."""
    parts: list[FloatArray] = [np.empty(0)]
    buffers: set[str] = set()
    for item in items:
        kind = item.block.kind
        if item.body:
            inner, length_s, buffer = _windows(item.body, 0.0, conversion)
            repeats = item.block.number if item.block.kind == COUNTER else INFINITE
            if repeats * max(1, len(inner)) > UNROLLED:
                raise ScpiError(-221, "Settings conflict; a loop inside a loop has too many readings")
            starts = at_s + length_s * np.arange(int(repeats))
            parts.append((starts[:, None] + inner).ravel())
            buffers |= {buffer} - {""}
            at_s += length_s * repeats
        elif kind == DELAY:
            at_s += item.block.number
        elif kind == MEASURE:
            count = item.block.number or conversion.count
            if count > UNROLLED:
                raise ScpiError(-221, "Settings conflict; an endless measure block is not simulated")
            parts.append(np.asarray(at_s + conversion.step_s * np.arange(int(count)), dtype=np.float64))
            buffers.add(item.block.buffer)
            at_s += conversion.step_s * (count - 1) + conversion.last_s
        elif kind in (WAIT, CLEAR):
            raise ScpiError(-221, f"Settings conflict; block {item.number} may not stand inside a pass")
    if len(buffers) > 1:
        raise ScpiError(-221, "Settings conflict; one loop fills one buffer here")
    return np.concatenate(parts), at_s, buffers.pop() if buffers else ""


def served(times_s: FloatArray, free_s: float, busy_s: float, latches: bool) -> tuple[FloatArray, int, bool]:
    """Which triggers start a pass when one takes busy_s: start times, how many were missed, one left over.

    times_s ascending; the box is free from free_s on. With `latches` one trigger that comes meanwhile is
    kept and starts its pass late; the last return value says that one is still kept.
    """
    if not len(times_s):
        return times_s, 0, False
    free_s, busy_s = free_s - TIMING_S, busy_s - TIMING_S
    if times_s[0] >= free_s and (len(times_s) == 1 or float(np.diff(times_s).min()) >= busy_s):
        return times_s, 0, False
    starts: list[float] = []
    missed, kept = 0, False
    for time in times_s.tolist():  # only where triggers come too fast
        if kept and time >= free_s:
            starts.append(free_s + TIMING_S)
            free_s, kept = free_s + busy_s, False
        if time >= free_s:
            starts.append(time)
            free_s = time + busy_s
        elif latches and not kept:
            kept = True
        else:
            missed += 1
    return np.array(starts), missed, kept
