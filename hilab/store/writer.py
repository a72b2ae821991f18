"""Writing a run file: rows, log, events, progress, checkpoints, results and how it ended."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hilab.engine.messages import Column
from hilab.errors import RunFileError
from hilab.store.columns import Columns, checked_rows, checked_streams, column_types, fixed_text
from hilab.store.names import run_file_path, writable_directory
from hilab.store.plain import plain, software_versions
from hilab.store.state import encode_state
from hilab.store.swmr import SwmrFile, Table

FORMAT = 1
RESULTS_MAX = 64 << 20
BEAT_S = 1.0  # how often a living writer says so
TEXT_SIZES = {"status": 16, "reason": 2048, "progress_text": 256}
LOG_COLUMNS = {"time_unix": Column("f8", "s"), "level": Column("S8"), "text": Column("S512")}
EVENT_COLUMNS = {
    "time_unix": Column("f8", "s"),
    "bench_time_s": Column("f8", "s"),
    "kind": Column("S32"),
    "text": Column("S1024"),
}


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run before it starts; all of it is stored.

    bench_file: text of the bench file; bench_model: the same as it was checked when the bench was opened;
    bench_settings: the instruments' settings at the start; identities: who answered; versions: software
    beside hilab's own dependencies.
    """

    protocol: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    bench: str = ""
    bench_file: str = ""
    bench_model: Mapping[str, Any] = field(default_factory=dict)
    bench_settings: Mapping[str, Any] = field(default_factory=dict)
    identities: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    sample: str = ""
    operator: str = ""
    note: str = ""
    simulated: bool = False
    resumed_from: str = ""


@dataclass(frozen=True)
class Block:
    """Rows that are in the file: first_row is the number of the first of them."""

    stream: str
    first_row: int
    columns: Columns


class RunWriter:
    """The one writer of one run file. Every method may be called from any thread."""

    def __init__(
        self,
        directory: str | Path,
        info: RunInfo,
        streams: Mapping[str, Mapping[str, Column]],
        *,
        path: Path | None = None,
    ):
        self._lock = threading.RLock()
        self._streams = checked_streams(streams)
        self._types = column_types(self._streams)
        self._pending: dict[str, list[Columns]] = {}
        self._pending_rows = 0
        self._closed = False
        self._last_beat = 0.0
        self._results: dict[str, Any] = {}
        started = datetime.now().astimezone()
        self.path = path or run_file_path(writable_directory(directory), info.protocol, started)
        self._file = SwmrFile(self.path)
        self._describe(info, started)
        self._tables = self._make_tables()
        self._cells = self._make_cells()
        self._checkpoints = self._file.slots("checkpoints")
        self._result_slots = self._file.slots("results")
        self._file.start()
        self.beat()

    # ---- rows -----------------------------------------------------------------------------------

    def append(self, stream: str, columns: Mapping[str, Any]) -> int:
        """Take a block of rows (or one row of scalars); return how many rows wait for `commit`."""
        block = checked_rows(stream, self._types, columns)
        with self._lock:
            self._refuse_closed()
            self._pending.setdefault(stream, []).append(block)
            self._pending_rows += len(next(iter(block.values())))
            return self._pending_rows

    def commit(self) -> list[Block]:
        """Write what waits; when it returns the rows survive a kill. Returns what was written."""
        with self._lock:
            if not self._pending_rows:
                self._pending.clear()
                return []
            self._refuse_closed()
            waiting = {stream: _joined(blocks) for stream, blocks in self._pending.items()}
            self._pending.clear()
            self._pending_rows = 0
            blocks = [Block(name, self._tables[name].rows, columns) for name, columns in waiting.items()]
            self._write([(self._tables[name], columns) for name, columns in waiting.items()])
            self.beat(BEAT_S)
            return blocks

    def rows(self) -> dict[str, int]:
        """Rows of every stream that are in the file."""
        with self._lock:
            return {stream: self._tables[stream].rows for stream in self._streams}

    # ---- what happens meanwhile -------------------------------------------------------------------

    def log(self, level: str, text: str) -> None:
        self._append_text("log", {"level": level, "text": text})

    def event(self, kind: str, text: str, bench_time_s: float = math.nan) -> None:
        self._append_text("events", {"kind": kind, "text": text, "bench_time_s": bench_time_s})

    def progress(self, done: float, total: float, text: str, wall_left_s: float, bench_left_s: float) -> None:
        with self._lock:
            self._refuse_closed()
            self._cells["progress"].write([done, total, wall_left_s, bench_left_s])
            self._cells["progress_text"].write(fixed_text(text, TEXT_SIZES["progress_text"]))

    def checkpoint(self, state: Mapping[str, Any]) -> int:
        """Commit the rows, then store the state with the row counts; return its sequence number."""
        with self._lock:
            self._refuse_closed()
            self.commit()
            return self._checkpoints.write(encode_state({"rows": self.rows(), **state}))

    def results(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Merge these final figures into the results; return all so far."""
        with self._lock:
            self._refuse_closed()
            self.commit()
            merged = {**self._results, **plain(values)}
            text = json.dumps(merged).encode()
            if len(text) > RESULTS_MAX:
                raise RunFileError(f"results of {len(text)} bytes are too large; write arrays as a stream")
            self._result_slots.write(text)
            self._results = merged
            return dict(merged)

    def beat(self, not_within_s: float = 0.0) -> None:
        """Say that the writer lives, unless it said so within the last not_within_s seconds."""
        with self._lock:
            now = time.time()
            if not self._closed and abs(now - self._last_beat) >= not_within_s:
                self._last_beat = now
                self._cells["beat_unix"].write(now)

    def finish(
        self,
        status: str,
        reason: str = "",
        *,
        verified_safe: bool | None = None,
        bench_time_s: float = math.nan,
    ) -> None:
        """Commit the rows, state how the run ended, trim and close. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            try:
                self.commit()
            finally:
                self._closed = True
                self._cells["reason"].write(fixed_text(reason, TEXT_SIZES["reason"]))
                self._cells["verified_safe"].write(-1 if verified_safe is None else int(verified_safe))
                self._cells["bench_time_s"].write(bench_time_s)
                self._cells["ended_unix"].write(time.time())
                self._file.trim()
                self._cells["status"].write(fixed_text(status, TEXT_SIZES["status"]))
                self._file.close()

    # ---- inside -----------------------------------------------------------------------------------

    def _describe(self, info: RunInfo, started: datetime) -> None:
        about = {
            **{
                name: plain(getattr(info, name)) for name in info.__dataclass_fields__ if name != "bench_file"
            },
            "format": FORMAT,
            "started": started.isoformat(timespec="milliseconds"),
            "started_unix": started.astimezone(UTC).timestamp(),
            "versions": {**software_versions(), **info.versions},
            "host": socket.gethostname(),
            "process": os.getpid(),
            "streams": {
                stream: {
                    name: {"dtype": c.dtype, "unit": c.unit, "length": c.length}
                    for name, c in columns.items()
                }
                for stream, columns in self._streams.items()
            },
        }
        self._file.text("about", json.dumps(about))
        self._file.text("bench_file", info.bench_file)
        self._file.attribute("hilab_run", FORMAT)
        for name in ("protocol", "started", "sample", "operator", "note", "bench", "seed"):
            self._file.attribute(name, about[name])
        self._file.attribute("parameters", json.dumps(about["parameters"])[:32_000])

    def _make_tables(self) -> dict[str, Table]:
        layout = {"log": ("log", LOG_COLUMNS), "events": ("events", EVENT_COLUMNS)}
        tables = {f"/{key}": self._table(name, columns) for key, (name, columns) in layout.items()}
        for stream, columns in self._streams.items():
            tables[stream] = self._table(f"streams/{stream}", columns)
        return tables

    def _table(self, name: str, columns: Mapping[str, Column]) -> Table:
        return self._file.table(
            name, {key: (np.dtype(c.dtype), c.unit, c.length) for key, c in columns.items()}
        )

    def _make_cells(self) -> dict[str, Any]:
        initial: dict[str, Any] = {
            "beat_unix": np.zeros(1),
            "ended_unix": np.full(1, np.nan),
            "bench_time_s": np.full(1, np.nan),
            "verified_safe": np.full(1, -1, dtype=np.int8),
            "progress": np.full(4, np.nan),  # done, total, wall and bench seconds left
        }
        for name, size in TEXT_SIZES.items():
            initial[name] = np.array([b"running" if name == "status" else b""], dtype=f"S{size}")
        return {name: self._file.cell(f"state/{name}", value) for name, value in initial.items()}

    def _append_text(self, name: str, values: Mapping[str, Any]) -> None:
        columns = LOG_COLUMNS if name == "log" else EVENT_COLUMNS
        row = {}
        for key, value in {"time_unix": time.time(), **values}.items():
            dtype = np.dtype(columns[key].dtype)
            row[key] = np.array(
                [fixed_text(value, dtype.itemsize) if dtype.kind == "S" else value], dtype=dtype
            )
        with self._lock:
            if not self._closed:
                self._write([(self._tables[f"/{name}"], row)])

    def _write(self, blocks: list[tuple[Table, Columns]]) -> None:
        try:
            self._file.append(blocks)
        except (OSError, RuntimeError) as error:
            number = error.errno if isinstance(error, OSError) else None
            reason = str(error) if number is None else os.strerror(number)
            raise RunFileError(f"cannot write to {self.path}: {reason}; is the disk full?") from error

    @property
    def failed(self) -> bool:
        """True once something could not be written; what was committed before is in the file."""
        return self._file.failed

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RunFileError(f"the run file {self.path} is closed")


def _joined(blocks: list[Columns]) -> Columns:
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
