"""The wear ledger: pulses that each device of a sample has had, on disk before they are played.

One SQLite file for all samples (`hilab.paths.wear_file`). What is written counts, so after a crash the
counted wear is never less than the true wear. Reaching the disk takes milliseconds; whoever plays batch
after batch may therefore count some pulses ahead (a lease): they stand on disk before they are played,
later batches are covered by them, and what is left is taken back when the ledger is closed.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from hilab.errors import BenchError

log = logging.getLogger(__name__)

Pulses = Mapping[str, tuple[int, int]]
"""device -> (positive, negative) pulses"""

BATCHES_AHEAD = 20  # a lease lasts for so many more batches like the present one

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
        self._lock = threading.RLock()
        self._lease: dict[str, tuple[int, int]] = {}  # on disk, but not played yet
        self._played: set[str] = set()  # devices that this ledger has counted pulses of
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
        """The counts of every device of the sample that ever had a pulse; leases of others included."""
        with self._lock:
            rows = self._base.execute(
                "SELECT device, positive, negative FROM wear WHERE sample = ?", (self.sample,)
            ).fetchall()
            return {device: _less((plus, minus), self._leased(device)) for device, plus, minus in rows}

    def debit(self, pulses: Pulses, ahead: Mapping[str, int] | None = None) -> None:
        """Count pulses that are about to be played; on disk when this returns.

        ahead: for each device how many pulses more may be counted now for later calls. They are from the
        second call for a device on, since most benches that play once never play again.
        """
        with self._lock:
            if not all(_covers(self._leased(device), counts) for device, counts in pulses.items()):
                self._renew(pulses, ahead or {})
            for device, counts in pulses.items():
                self._lease[device] = _less(self._leased(device), counts)
            self._played.update(pulses)

    def credit(self, pulses: Pulses) -> None:
        """Take back pulses that were counted but surely not played."""
        self._add([(device, -positive, -negative) for device, (positive, negative) in pulses.items()])

    def close(self) -> None:
        """Take back what was counted ahead and close the file; the counts stay. Once is enough."""
        with self._lock:
            left, self._lease = self._lease, {}
            try:
                self.credit(left)
            except BenchError as error:
                log.warning("pulses counted ahead stay counted: %s", error)
            self._base.close()

    def _leased(self, device: str) -> tuple[int, int]:
        return self._lease.get(device, (0, 0))

    def _renew(self, pulses: Pulses, ahead: Mapping[str, int]) -> None:
        """Write what these pulses need and, within `ahead`, some more batches like this one."""
        added = {}
        for device, (positive, negative) in pulses.items():
            room = ahead.get(device, 0) if device in self._played else 0
            batches = 1 + min(BATCHES_AHEAD, room // max(positive + negative, 1))
            plus, minus = _less((batches * positive, batches * negative), self._leased(device))
            added[device] = max(plus, 0), max(minus, 0)
        self._add([(device, *counts) for device, counts in added.items()])
        for device, (plus, minus) in added.items():
            positive, negative = self._leased(device)
            self._lease[device] = positive + plus, negative + minus

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


def _less(counts: tuple[int, int], by: tuple[int, int]) -> tuple[int, int]:
    return counts[0] - by[0], counts[1] - by[1]


def _covers(lease: tuple[int, int], counts: tuple[int, int]) -> bool:
    return lease[0] >= counts[0] and lease[1] >= counts[1]
