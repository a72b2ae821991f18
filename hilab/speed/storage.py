"""Rows into the run file while somebody listens, and PyMeasure's CSV results."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np

from hilab.engine.messages import Column, Reading
from hilab.engine.notices import Notice, Rows
from hilab.speed.rows import Row

BLOCK = 1000
COLUMNS = {
    "device": Column("S16"),
    "amplitude_a": Column("f8", "A"),
    "voltage_v": Column("f8", "V"),
    "flags": Column("u2"),
}
PEER = "PyMeasure Results, CSV"


def storage_rows(blocks: int, rounds: int) -> Iterator[Row]:
    """Rows a second, blocks of 1,000 and single rows, both until they are in the file."""
    with tempfile.TemporaryDirectory(prefix="hilab-speed-") as folder:
        rows = blocks * BLOCK
        ours = max(run_file_rate(Path(folder), blocks, BLOCK) for _ in range(rounds))
        peer = max(csv_rate(Path(folder) / f"peer{number}.csv", rows // 20) for number in range(rounds))
        single = max(run_file_rate(Path(folder), rows // 20, 1) for _ in range(rounds))
    heard = f"{len(COLUMNS)} columns, one live subscriber, until everything is in the file and was heard"
    yield Row(
        "rows into the run file, blocks of 1,000",
        ours,
        "rows/s",
        20.0,
        f"best of {rounds} x {rows:,} rows; {heard}; peer: {rows // 20:,} rows through its queue",
        peer,
        PEER,
        "ratio",
    )
    yield Row(
        "rows into the run file, one by one",
        single,
        "rows/s",
        10e3,
        f"best of {rounds} x {rows // 20:,} rows; {heard}",
        peer,
        PEER,
    )


def run_file_rate(folder: Path, blocks: int, size: int) -> float:
    """Rows a second through the engine's recorder."""
    from hilab.engine.recorder import Recorder
    from hilab.store import RunInfo, RunWriter

    random = np.random.default_rng(3)
    columns = {
        "device": np.full(size, b"w4_d1", dtype="S16"),
        "amplitude_a": random.normal(size=size),
        "voltage_v": random.normal(size=size),
        "flags": np.zeros(size, dtype=np.uint16),
    }
    heard = [0]

    def listen(notice: Notice) -> None:
        if isinstance(notice, Rows):
            heard[0] += len(notice.columns["flags"])

    writer = RunWriter(folder, RunInfo("speed"), {"frames": COLUMNS})
    recorder = Recorder(writer, [listen], time.monotonic, dict)
    start = time.perf_counter()
    for _ in range(blocks):
        recorder.handle(Reading("frames", columns))
    recorder.wind_up(hurry=False)
    recorder.close(30.0)
    took = time.perf_counter() - start
    writer.finish("done")
    if heard[0] != blocks * size:
        raise RuntimeError(f"the subscriber heard of {heard[0]} of {blocks * size} rows")
    return blocks * size / took


def csv_rate(path: Path, rows: int) -> float:
    """Rows a second through PyMeasure's recorder, as its Worker hands them over."""
    from pymeasure.experiment import Procedure, Results
    from pymeasure.experiment.listeners import Recorder

    class Speed(Procedure):  # type: ignore[misc,unused-ignore]  # without types
        """Four columns."""

        DATA_COLUMNS: ClassVar[list[str]] = list(COLUMNS)

    quiet = logging.getLogger("pymeasure")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        results = Results(Speed(), str(path))
        queue: SimpleQueue[Any] = SimpleQueue()
        recorder = Recorder(results, queue)
        recorder.start()
        row = {"device": "w4_d1", "amplitude_a": 1.25e-3, "voltage_v": -3.7e-5, "flags": 0}
        start = time.perf_counter()
        for _ in range(rows):
            queue.put(row)
        recorder.stop()
        took = time.perf_counter() - start
        for handler in recorder.handlers:
            handler.close()  # its own stop closes them before the last rows are written
        return rows / took
    finally:
        quiet.setLevel(level)
