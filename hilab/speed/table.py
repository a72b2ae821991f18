"""The whole table, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hilab.errors import HilabError
from hilab.frames import PlanRefused
from hilab.paths import bench_files
from hilab.speed.rows import Row, unmeasured


@dataclass(frozen=True)
class Effort:
    """How much is measured: the whole table in minutes, or in quick less of everything."""

    rounds: int
    blocks: int
    steps: int
    starts: int


FULL = Effort(rounds=7, blocks=200, steps=60, starts=5)
QUICK = Effort(rounds=2, blocks=40, steps=10, starts=2)


def measured(quick: bool) -> Iterator[Row]:
    """All rows, as they are measured. What cannot be measured is a row that says why."""
    effort = QUICK if quick else FULL
    for title, group in _groups(effort):
        try:
            yield from group()
        except (HilabError, PlanRefused) as error:
            yield unmeasured(title, "", 0.0, " ".join(str(error).split()))


def _groups(effort: Effort) -> Iterator[tuple[str, Callable[[], Iterator[Row]]]]:
    from hilab.speed import playing, starting, storage, training

    fastest = "sot_waveform" if "sot_waveform" in {path.stem for path in bench_files()} else "sot_fast"
    yield "device model, per-device sigmoid", lambda: playing.sigmoid_rows(effort.rounds)
    yield "device model, full physics", lambda: playing.device_rows(effort.rounds)
    yield "standard frames", lambda: playing.waveform_rows(effort.rounds)
    yield "frames of the TSP player", lambda: playing.tsp_rows(effort.rounds)
    yield "bench busy", lambda: playing.busy_rows(fastest)
    yield "training", lambda: training.training_rows(effort.steps, fastest)
    yield "rows into the run file", lambda: storage.storage_rows(effort.blocks, min(effort.rounds, 3))
    yield "starting", lambda: starting.starting_rows(effort.starts)
