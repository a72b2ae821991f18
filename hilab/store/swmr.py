"""An HDF5 file that survives a kill: everything is created first, then only rows and bytes are written.

HDF5 lets a single writer in SWMR mode ("single writer, multiple readers") silently do what readers cannot
follow: new datasets, attributes, texts of variable length. `SwmrFile` is the guard: after `start()` it
raises on all of them, and hands out nothing through which h5py could be reached around it.

Order of writing: the columns of a block, a flush, then the row counts. The chunk cache is off, so every
write is with the operating system when it returns and a count never runs ahead of its rows.
"""

from __future__ import annotations

import gc
import json
import os
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hilab.errors import RunFileError

GROWTH_ROWS = 1024
SLOT_CHUNK = 1 << 16
CHUNK_BYTES = 1 << 20
SLOT_HEAD = struct.Struct("<8sQQII")  # magic, sequence, length, CRC32 of the payload, CRC32 of what precedes
SUPERBLOCK = struct.Struct("<8sB2xB16xQ")  # signature, version, consistency flags, end of file (version 3)
MOST_HOLE = 64 << 20
SLOT_MAGIC = b"hilabsl1"


class SwmrError(RuntimeError):
    """Something that readers of a growing file cannot follow was about to be written: a programming error."""


class SwmrFile:
    """One new run file. Create tables, cells, slots and texts, `start()`, then only write into them.

    Until the start the file has a name of its own (`.part`): a file of the final name is always whole.
    """

    def __init__(self, path: Path):
        self._path = path
        self._building = path.with_name(f"{path.name}.part")
        try:
            # Without file locks a reader on Windows or on a network drive cannot stop the writer;
            # mode "w-" never opens a file that exists.
            self._file = h5py.File(self._building, "w-", libver="latest", locking=False)
        except OSError as error:
            raise RunFileError(f"cannot create the run file {path}: {error}") from error
        self._started = False
        self._failed = False  # a write did not reach the disk
        self._tables: list[Table] = []
        self._parts: list[Table | Cell | Slots] = []
        self._rows = Cell("rows")
        self._size = self.cell("state/file_bytes", np.zeros(1, dtype=np.int64))

    def text(self, name: str, text: str) -> None:
        """Store a text of any length (UTF-8 bytes); before the start only."""
        self._create(name, data=np.frombuffer(text.encode() or b" ", dtype=np.uint8))

    def attribute(self, name: str, value: str | int | float) -> None:
        """Set an attribute of the file; before the start only."""
        self._refuse_after_start(f"attribute {name!r}")
        self._file.attrs[name] = value.replace("\0", "") if isinstance(value, str) else value

    def table(self, name: str, columns: Mapping[str, tuple[np.dtype[Any], str, int]]) -> Table:
        """A table of resizable columns: name -> (dtype, unit, length of a fixed vector or 1)."""
        for column, (dtype, unit, length) in columns.items():
            tail = () if length == 1 else (length,)
            chunk = (max(1, min(GROWTH_ROWS, CHUNK_BYTES // (dtype.itemsize * length))), *tail)
            place = f"{name}/{column}"
            self._create(place, shape=(0, *tail), maxshape=(None, *tail), chunks=chunk, dtype=dtype)
            self._file[place].attrs["units"] = unit
        table = Table(name, tuple(columns))
        self._tables.append(table)
        self._parts.append(table)
        return table

    def cell(self, name: str, initial: NDArray[Any]) -> Cell:
        """A dataset of fixed size that is written as a whole."""
        self._create(name, data=initial, maxshape=initial.shape, chunks=initial.shape)
        cell = Cell(name)
        self._parts.append(cell)
        return cell

    def slots(self, name: str) -> Slots:
        """Two slots for byte strings, written in turn, so that one of them is always whole."""
        slots = Slots(name)
        for place in slots.places:
            self._create(place, shape=(SLOT_CHUNK,), maxshape=(None,), chunks=(SLOT_CHUNK,), dtype="u1")
        self._parts.append(slots)
        return slots

    def start(self) -> None:
        """Take the final name and enter SWMR mode: from here on others can read, and a kill does no harm."""
        names = json.dumps([table.name for table in self._tables])
        self._rows = self.cell("rows", np.zeros(max(1, len(self._tables)), dtype=np.int64))
        self._file["rows"].attrs["tables"] = names
        self._file.close()
        try:
            self._building.rename(self._path)
            self._file = _open_for_writing(self._path)
        except OSError as error:
            raise RunFileError(f"cannot start the run file {self._path}: {error}") from error
        self._started = True
        for part in self._parts:
            part.bind(self._file)

    def append(self, blocks: Sequence[tuple[Table, Mapping[str, NDArray[Any]]]]) -> None:
        """Write one block of rows to each of the tables and make them durable against a kill."""
        grown = False
        try:
            for table, columns in blocks:
                grown |= table.write(columns)
            self._file.flush()
        except (OSError, RuntimeError):
            self._failed = True
            raise
        if grown:
            self.note_size()
        self._rows.write([table.rows for table in self._tables])

    def note_size(self) -> None:
        """Store how long the file is, by which readers know if an unclosed file was cut short."""
        self._size.write(os.stat(self._path).st_size)

    @property
    def failed(self) -> bool:
        """True once a write did not reach the disk: do not open the file again in this process."""
        return self._failed

    def trim(self) -> None:
        """Cut every column to its valid rows, so that any HDF5 program sees just the data."""
        if self._failed:
            return
        self._size.write(0)  # closing makes the file shorter
        for table in self._tables:
            table.trim()
        self._file.flush()

    def close(self) -> None:
        """After a failed write HDF5 cannot close the file properly; what was committed stays readable."""
        if not self._failed:
            self._let_go()
            return
        hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None  # h5py prints a page
        try:
            with suppress(OSError, RuntimeError):
                self._let_go()
            gc.collect()
        finally:
            sys.unraisablehook = hook
        with suppress(OSError, struct.error):
            _reach_stated_end(self._path)

    def _let_go(self) -> None:
        for part in self._parts:
            part.unbind()
        self._file.close()

    def _create(self, name: str, **arguments: Any) -> None:
        self._refuse_after_start(f"dataset {name!r}")
        if self._file.create_dataset(name, **arguments).dtype.hasobject:
            raise SwmrError(f"dataset {name!r} has a type of variable length, which SWMR forbids")

    def _refuse_after_start(self, what: str) -> None:
        if self._started:
            raise SwmrError(f"{what} cannot be created in a run file that is already being written")


def _open_for_writing(path: Path) -> Any:
    """Open the finished layout as its SWMR writer at once (no other mode in between), without chunk cache."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    access.set_file_locking(False, True)
    elements, slots, _, preemption = access.get_cache()
    access.set_cache(elements, slots, 0, preemption)
    mode = h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE
    return h5py.File(h5py.h5f.open(os.fsencode(path), mode, access))


def _reach_stated_end(path: Path) -> None:
    """Make a file that the disk had no room for as long as its head says, with a hole that takes no room."""
    with path.open("rb") as raw:
        end = SUPERBLOCK.unpack(raw.read(SUPERBLOCK.size))[3]
    if path.stat().st_size < end < MOST_HOLE + path.stat().st_size:
        os.truncate(path, end)


class Table:
    """Columns of equal length. `rows` counts the valid rows; the datasets are longer."""

    def __init__(self, name: str, columns: Sequence[str]):
        self.name = name
        self.rows = 0
        self._capacity = 0
        self._columns = columns
        self._datasets: dict[str, Any] = {}

    def bind(self, file: Any) -> None:
        self._datasets = {column: file[f"{self.name}/{column}"] for column in self._columns}

    def unbind(self) -> None:
        self._datasets = {}

    def write(self, columns: Mapping[str, NDArray[Any]]) -> bool:
        """Append rows: for every column an array of its type, all of one length. True if it grew."""
        _refuse_unless_open(self._datasets, self.name)
        end = self.rows + len(columns[self._columns[0]])
        grows = end > self._capacity
        if grows:
            self._resize(-(-end // GROWTH_ROWS) * GROWTH_ROWS)
        for column, dataset in self._datasets.items():
            _write_rows(dataset, self.rows, np.ascontiguousarray(columns[column], dtype=dataset.dtype))
        self.rows = end
        return grows

    def trim(self) -> None:
        if self._capacity != self.rows:
            self._resize(self.rows)

    def _resize(self, rows: int) -> None:
        for dataset in self._datasets.values():
            dataset.id.set_extent((rows, *dataset.shape[1:]))
        self._capacity = rows


class Cell:
    """A value of fixed type and size."""

    def __init__(self, name: str):
        self.name = name
        self._dataset: Any = None

    def bind(self, file: Any) -> None:
        self._dataset = file[self.name]

    def unbind(self) -> None:
        self._dataset = None

    def write(self, value: Any) -> None:
        _refuse_unless_open(self._dataset, self.name)
        array = np.broadcast_to(np.asarray(value, dtype=self._dataset.dtype), self._dataset.shape)
        self._dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))
        self._dataset.id.flush()


class Slots:
    """Byte strings with sequence number, length and CRC in two slots, written in turn."""

    def __init__(self, name: str):
        self.name = name
        self.places = (f"{name}/a", f"{name}/b")
        self.sequence = 0
        self._datasets: list[Any] = []

    def bind(self, file: Any) -> None:
        self._datasets = [file[place] for place in self.places]

    def unbind(self) -> None:
        self._datasets = []

    def write(self, payload: bytes) -> int:
        """Store payload in the older slot; return its sequence number (1, 2, ...)."""
        _refuse_unless_open(self._datasets, self.name)
        sequence = self.sequence + 1
        dataset = self._datasets[sequence % 2]
        raw = np.frombuffer(slot_bytes(sequence, payload), dtype=np.uint8)
        if len(raw) > dataset.shape[0]:
            dataset.id.set_extent((-(-len(raw) // SLOT_CHUNK) * SLOT_CHUNK,))
        _write_rows(dataset, 0, raw)
        dataset.id.flush()
        self.sequence = sequence
        return sequence


def _refuse_unless_open(bound: Any, name: str) -> None:
    if not bound:
        raise SwmrError(f"{name!r} is written between start and close only")


def _write_rows(dataset: Any, start: int, values: NDArray[Any]) -> None:
    """Low-level write: a third of the time of `dataset[start:stop] = values`."""
    memory = h5py.h5s.create_simple(values.shape)
    space = dataset.id.get_space()
    space.select_hyperslab((start, *(0,) * (values.ndim - 1)), values.shape)
    dataset.id.write(memory, space, values)


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
