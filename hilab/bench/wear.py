"""The wear ledger: pulses that each device of a sample has had, on disk before they are played.

One SQLite file for all samples (`hilab.paths.wear_file`). What is written counts, so after a crash the
counted wear is never less than the true wear.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from hilab.errors import BenchError

Pulses = Mapping[str, tuple[int, int]]
"""device -> (positive, negative) pulses"""

_TABLE = """
CREATE TABLE IF NOT EXISTS wear (
    sample TEXT NOT NULL,
    device TEXT NOT NULL,
    positive INTEGER NOT NULL DEFAULT 0,
    negative INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (sample, device)
) WITHOUT ROWID
"""
_ADD = """
INSERT INTO wear (sample, device, positive, negative) VALUES (?, ?, ?, ?)
ON CONFLICT (sample, device) DO UPDATE SET
    positive = positive + excluded.positive, negative = negative + excluded.negative
"""


class WearLedger:
    """The wear of one sample. Several processes may share the file."""

    def __init__(self, path: Path, sample: str):
        self.path = path
        self.sample = sample
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute(
                "PRAGMA synchronous = FULL"
            )  # every commit reaches the disk before a pulse is played
            self._base.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise BenchError(
                f"the wear ledger {path} cannot be used ({error}): make its folder writable or set HILAB_HOME"
            ) from error

    def counted(self, device: str) -> tuple[int, int]:
        """(positive, negative) pulses counted so far."""
        return self.all().get(device, (0, 0))

    def all(self) -> dict[str, tuple[int, int]]:
        """The counts of every device of the sample that ever had a pulse."""
        with self._lock:
            rows = self._base.execute(
                "SELECT device, positive, negative FROM wear WHERE sample = ?", (self.sample,)
            ).fetchall()
        return {device: (positive, negative) for device, positive, negative in rows}

    def debit(self, pulses: Pulses) -> None:
        """Count pulses that are about to be played; on disk when this returns."""
        self._add([(device, *counts) for device, counts in pulses.items()])

    def credit(self, pulses: Pulses) -> None:
        """Take back pulses that were counted but surely not played."""
        self._add([(device, -positive, -negative) for device, (positive, negative) in pulses.items()])

    def close(self) -> None:
        """Close the file; the counts stay."""
        self._base.close()

    def _add(self, rows: list[tuple[str, int, int]]) -> None:
        rows = [row for row in rows if row[1] or row[2]]
        if not rows:
            return
        try:
            with self._lock, self._base:
                self._base.execute("BEGIN IMMEDIATE")
                self._base.executemany(_ADD, [(self.sample, *row) for row in rows])
        except sqlite3.Error as error:
            raise BenchError(
                f"the wear ledger {self.path} cannot be written ({error}): nothing was played"
            ) from error
