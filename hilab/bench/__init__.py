"""The bench: its file, opening, the safe state, and what protocols do with it."""

from __future__ import annotations

from hilab.bench.check import read_bench_file
from hilab.bench.field import FieldReading
from hilab.bench.file import BenchFile
from hilab.bench.opening import open_bench
from hilab.bench.reading import PortReading
from hilab.bench.station import Bench

__all__ = ["Bench", "BenchFile", "FieldReading", "PortReading", "open_bench", "read_bench_file"]
