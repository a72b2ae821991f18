"""An HDF5 file that survives a kill: everything is created first, then only rows and bytes are written.

HDF5 lets a single writer in SWMR mode ("single writer, multiple readers") silently do what readers cannot
follow: new datasets, attributes, texts of variable length. `SwmrFile` is the guard: after `start()` it
raises on all of them, and hands out nothing through which h5py could be reached around it.

Order of writing: the columns of a block, a flush, then the row counts. The chunk cache is off, so every
write is with the operating system when it returns and a count never runs ahead of its rows.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hilab.errors import RunFileError

GROWTH_ROWS = 1024
SLOT_CHUNK = 1 << 16
SLOT_HEAD = struct.Struct("<8sQQII")  # magic, sequence, length, CRC32 of the payload, CRC32 of what precedes
SLOT_MAGIC = b"hilabsl1"


class SwmrError(RuntimeError):
    """Something that readers of a growing file cannot follow was about to be written: a programming error."""


class SwmrFile:
    """One new run file. Create tables, cells, slots and texts, `start()`, then only write into them."""

    def __init__(self, path: Path):
        try:
            # Without file locks a reader on Windows or on a network drive cannot stop the writer;
            # mode "w-" never opens a file that exists.
            self._file = h5py.File(path, "w-", libver="latest", rdcc_nbytes=0, locking=False)
        except OSError as error:
            raise RunFileError(f"cannot create the run file {path}: {error}") from error
        self._started = False
        self._tables: list[Table] = []
        self._rows: Any = None

    def text(self, name: str, text: str) -> None:
        """Store a text of any length (UTF-8 bytes); before the start only."""
        self._create(name, data=np.frombuffer(text.encode() or b" ", dtype=np.uint8))

    def attribute(self, name: str, value: str | int | float) -> None:
        """Set an attribute of the file; before the start only."""
        self._refuse_after_start(f"attribute {name!r}")
        self._file.attrs[name] = value.replace("\0", "") if isinstance(value, str) else value

    def table(self, name: str, columns: Mapping[str, tuple[np.dtype[Any], str, int]]) -> Table:
        """A table of resizable columns: name -> (dtype, unit, length of a fixed vector or 1)."""
        datasets = {}
        for column, (dtype, unit, length) in columns.items():
            tail = () if length == 1 else (length,)
            chunk_rows = max(1, min(GROWTH_ROWS, (1 << 20) // max(1, dtype.itemsize * length)))
            dataset = self._create(
                f"{name}/{column}",
                shape=(0, *tail),
                maxshape=(None, *tail),
                chunks=(chunk_rows, *tail),
                dtype=dtype,
            )
            dataset.attrs["units"] = unit
            datasets[column] = dataset
        table = Table(name, len(self._tables), datasets)
        self._tables.append(table)
        return table

    def cell(self, name: str, initial: NDArray[Any]) -> Cell:
        """A dataset of fixed size that is written as a whole."""
        return Cell(self._create(name, data=initial, maxshape=initial.shape, chunks=initial.shape))

    def slots(self, name: str) -> Slots:
        """Two slots for byte strings, written in turn, so that one of them is always whole."""
        pair = [
            self._create(
                f"{name}/{letter}", shape=(SLOT_CHUNK,), maxshape=(None,), chunks=(SLOT_CHUNK,), dtype="u1"
            )
            for letter in "ab"
        ]
        return Slots(pair)

    def start(self) -> None:
        """Enter SWMR mode: from here on the file is readable by others and survives a kill."""
        names = json.dumps([table.name for table in self._tables])
        counts = np.zeros(max(1, len(self._tables)), dtype=np.int64)
        self._rows = self._create("rows", data=counts, maxshape=counts.shape, chunks=counts.shape)
        self._rows.attrs["tables"] = names
        self._file.flush()
        self._file.swmr_mode = True
        self._started = True

    def append(self, blocks: Sequence[tuple[Table, Mapping[str, NDArray[Any]]]]) -> None:
        """Write one block of rows to each of the tables and make them durable against a kill."""
        if not self._started:
            raise SwmrError("rows are written after the start only")
        for table, columns in blocks:
            table.write(columns)
        self._file.flush()
        counts = np.array([table.rows for table in self._tables], dtype=np.int64)
        self._rows.id.write(h5py.h5s.ALL, h5py.h5s.ALL, counts)
        self._rows.id.flush()

    def flush(self) -> None:
        self._file.flush()

    def trim(self) -> None:
        """Cut every column to its valid rows, so that any HDF5 program sees just the data."""
        for table in self._tables:
            table.trim()
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _create(self, name: str, **arguments: Any) -> Any:
        self._refuse_after_start(f"dataset {name!r}")
        dataset = self._file.create_dataset(name, **arguments)
        if dataset.dtype.hasobject:
            raise SwmrError(f"dataset {name!r} has a type of variable length, which SWMR forbids")
        return dataset

    def _refuse_after_start(self, what: str) -> None:
        if self._started:
            raise SwmrError(f"{what} cannot be created in a run file that is already being written")


class Table:
    """Columns of equal length. `rows` counts the valid rows; the datasets are longer."""

    def __init__(self, name: str, index: int, datasets: Mapping[str, Any]):
        self.name = name
        self.index = index
        self.rows = 0
        self._capacity = 0
        self._datasets = datasets

    def write(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Append rows: for every column an array of the dataset's own type, all of the same length."""
        count = len(next(iter(columns.values())))
        end = self.rows + count
        if end > self._capacity:
            self._capacity = -(-end // GROWTH_ROWS) * GROWTH_ROWS
            for dataset in self._datasets.values():
                dataset.id.set_extent((self._capacity, *dataset.shape[1:]))
        for column, dataset in self._datasets.items():
            _write_rows(dataset, self.rows, np.ascontiguousarray(columns[column], dtype=dataset.dtype))
        self.rows = end

    def trim(self) -> None:
        if self._capacity != self.rows:
            for dataset in self._datasets.values():
                dataset.id.set_extent((self.rows, *dataset.shape[1:]))
            self._capacity = self.rows


def _write_rows(dataset: Any, start: int, values: NDArray[Any]) -> None:
    """Low-level write: a third of the time of `dataset[start:stop] = values`."""
    memory = h5py.h5s.create_simple(values.shape)
    space = dataset.id.get_space()
    space.select_hyperslab((start, *(0,) * (values.ndim - 1)), values.shape)
    dataset.id.write(memory, space, values)


class Cell:
    """A value of fixed type and size."""

    def __init__(self, dataset: Any):
        self._dataset = dataset
        self._dtype = dataset.dtype
        self._shape = dataset.shape

    def write(self, value: Any) -> None:
        array = np.broadcast_to(np.asarray(value, dtype=self._dtype), self._shape)
        self._dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))
        self._dataset.id.flush()


class Slots:
    """Byte strings with sequence number, length and CRC in two slots, written in turn."""

    def __init__(self, datasets: Sequence[Any]):
        self._datasets = datasets
        self.sequence = 0

    def write(self, payload: bytes) -> int:
        """Store payload in the older slot; return its sequence number (1, 2, ...)."""
        sequence = self.sequence + 1
        dataset = self._datasets[sequence % 2]
        raw = np.frombuffer(slot_bytes(sequence, payload), dtype=np.uint8)
        if len(raw) > dataset.shape[0]:
            dataset.id.set_extent((-(-len(raw) // SLOT_CHUNK) * SLOT_CHUNK,))
        _write_rows(dataset, 0, raw)
        dataset.id.flush()
        self.sequence = sequence
        return sequence


def slot_bytes(sequence: int, payload: bytes) -> bytes:
    """A slot's content: header, then payload."""
    head = SLOT_HEAD.pack(SLOT_MAGIC, sequence, len(payload), zlib.crc32(payload), 0)
    return head[:-4] + struct.pack("<I", zlib.crc32(head[:-4])) + payload


def slot_payload(raw: bytes) -> tuple[int, bytes] | None:
    """(sequence, payload) of a slot's bytes; None if it was never written or is torn."""
    if len(raw) < SLOT_HEAD.size:
        return None
    magic, sequence, length, checksum, head_checksum = SLOT_HEAD.unpack_from(raw)
    if magic != SLOT_MAGIC or head_checksum != zlib.crc32(raw[: SLOT_HEAD.size - 4]):
        return None
    payload = raw[SLOT_HEAD.size : SLOT_HEAD.size + length]
    if len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    return sequence, payload
